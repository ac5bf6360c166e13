//! Real processes behind real connections: is it found out which of them has which?
#![cfg(target_os = "linux")]

#[cfg(test)]
mod server;

use server::{Call, Request, Server};
use throughline_proxy::{
    owners::{Owners, Status},
    processes::{Owner, Verdict},
};

fn owners(server: &Server) -> Owners {
    let owners = Owners::start(server.port);
    owners.caught_up();
    assert_eq!(owners.status(), Status::Available);
    owners
}

/// The id of the process that a call came from, as it is found on the way of the call.
fn caller(owners: &Owners, call: &Call) -> Option<u32> {
    match owners.caller(call.app, call.ours).owner() {
        Owner::Process(process) => owners.pid(process),
        Owner::NotKnown | Owner::Shared => None,
    }
}

fn resolve(owners: &Owners, call: &Call, open: &[&Request]) -> Verdict {
    let caller = owners.caller(call.app, call.ours);
    owners.caught_up();
    owners.resolve(&caller, open.iter().map(|request| &request.carried))
}

/// Where in `open` the cause is, if that is asserted; however sure.
fn served(verdict: &Verdict) -> Option<usize> {
    match verdict {
        Verdict::Served { index, .. } => Some(*index),
        _ => None,
    }
}

#[test]
fn a_call_is_its_workers_and_is_guessed_from_then_on() {
    let server = Server::start(4);
    let owners = owners(&server);
    let (request, call, pid) = server.calling();
    // No number was seen yet to guess by; the search is there for whatever comes on it later.
    let socket = owners.caller(call.app, call.ours);
    owners.caught_up();
    let Owner::Process(process) = socket.owner() else {
        panic!("{socket:?}")
    };
    assert_eq!(owners.pid(process), Some(pid));
    request.end();
    // Another connection, and mostly another worker: all of them were forked alike.
    for _ in 0..8 {
        let (request, call, other) = server.calling();
        assert_eq!(caller(&owners, &call), Some(other));
        request.end();
    }
}

#[test]
fn a_call_is_its_own_workers_request_and_no_others() {
    let server = Server::start(3);
    let owners = owners(&server);
    let (held, _) = server.held();
    let (calling, call, pid) = server.calling();
    let (other, _) = server.held();
    let mut waiting = server.request();
    waiting.tell("hold");
    let open = [&held, &waiting, &calling, &other];
    // The first look knows only that none but one can be the caller's.
    for _ in 0..2 {
        let verdict = resolve(&owners, &call, &open);
        owners.caught_up();
        if let Some(index) = served(&verdict) {
            assert_eq!(index, 2);
        }
    }
    let verdict = resolve(&owners, &call, &open);
    assert_eq!(served(&verdict), Some(2), "{verdict:?}");
    let Owner::Process(process) = calling.socket.owner() else {
        panic!("{:?}", calling.socket)
    };
    assert_eq!(owners.pid(process), Some(pid));
    assert_eq!(waiting.socket.owner(), Owner::NotKnown);
    assert_eq!(waiting.socket.inode(), None, "it waits to be accepted");

    // One worker is free, takes what has waited, and has that one alone.
    held.end();
    let mut line = String::new();
    waiting.hear(&mut line);
    let verdict = resolve(&owners, &call, &[&waiting, &calling, &other]);
    owners.caught_up();
    assert_ne!(served(&verdict), Some(0));
    assert!(waiting.socket.inode().is_some());
    let verdict = resolve(&owners, &call, &[&waiting, &calling, &other]);
    assert_eq!(served(&verdict), Some(1));
}

#[test]
fn a_queue_is_not_asked_for_one_by_one() {
    let server = Server::start(1);
    let owners = owners(&server);
    let (calling, call, _) = server.calling();
    let queue: Vec<_> = (0..100).map(|_| server.request()).collect();
    let mut open = vec![&calling];
    open.extend(&queue);
    resolve(&owners, &call, &open);
    owners.caught_up();
    let verdict = resolve(&owners, &call, &open);
    assert_eq!(served(&verdict), Some(0), "{verdict:?}");
}

#[test]
fn what_several_processes_have_is_nobodys() {
    let server = Server::start(2);
    let owners = owners(&server);
    let mut shared = server.request();
    let said = shared.say("fork");
    assert_eq!(said.split(' ').count(), 2);
    // The child is new: it is in the table once the host was looked at again.
    owners.caught_up();
    let (calling, call, _) = server.calling();
    for _ in 0..3 {
        let verdict = resolve(&owners, &call, &[&shared, &calling]);
        assert_ne!(served(&verdict), Some(0));
        owners.caught_up();
    }
    assert!(
        !matches!(shared.socket.owner(), Owner::Process(_)),
        "{said}"
    );
}

#[test]
fn a_process_that_has_nothing_open_was_not_asked_for_the_call() {
    let server = Server::start(2);
    let owners = owners(&server);
    let (calling, call, _) = server.calling();
    let (held, _) = server.held();
    for _ in 0..2 {
        resolve(&owners, &call, &[&held, &calling]);
        owners.caught_up();
    }
    let verdict = resolve(&owners, &call, &[&held]);
    assert!(matches!(verdict, Verdict::Elsewhere { .. }), "{verdict:?}");
}

#[test]
fn an_app_that_is_gone_has_no_processes() {
    let server = Server::start(1);
    let owners = owners(&server);
    let port = server.port;
    drop(server);
    // The workers are killed, and are gone a little later.
    while owners.status() != Status::NoListener {
        owners.caught_up();
    }
    let verdict = {
        let address = ([127, 0, 0, 1], port).into();
        let caller = owners.caller(address, address);
        owners.resolve(&caller, [])
    };
    assert_eq!(verdict, Verdict::Nothing);
}

#[test]
fn where_nobody_can_be_seen_nothing_is_asked_but_a_sample() {
    // Whoever listens is this very process, which is not an app.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let owners = Owners::start(listener.local_addr().unwrap().port());
    owners.caught_up();
    assert!(!owners.status().is_available());
    let wanted = (0..1024).filter(|_| owners.wants(2)).count();
    assert_eq!(wanted, 4);
}

//! One process takes over from another while requests go on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Request, Response};
use throughline_tests::{
    Answer, Client, Collector, Kind, Protocol, Setup, Sidecar, Span, Upstream, empty, text, until,
};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    call,
    load::{Load, busy_app},
    named,
};

const REQUESTS: usize = 20;

/// A directory with the path of a socket in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("upgrade");
    (directory, path)
}

fn beside(app: &Upstream, socket: &Path) -> Setup {
    Setup::beside(app.address())
        .flag("app-protocol", "http1")
        .flag("upgrade-socket", socket.to_str().unwrap())
}

/// An app that answers what is slow when it is let, and all else after a moment.
async fn slow_app() -> (Upstream, Arc<AtomicUsize>, Arc<Semaphore>) {
    let arrived = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let (count, held) = (arrived.clone(), gate.clone());
    let app = Upstream::http1(move |request| {
        let (count, held) = (count.clone(), held.clone());
        async move {
            if request.uri().path().starts_with("/slow") {
                count.fetch_add(1, Ordering::SeqCst);
                held.acquire().await.unwrap().forget();
            }
            Response::new(text(request.uri().path().to_owned()))
        }
    })
    .await;
    (app, arrived, gate)
}

/// Half of them in HTTP/1.1, each on its own connection, and half as streams of one in HTTP/2.
async fn ask_slowly(sidecar: &Sidecar) -> JoinSet<Result<Answer, String>> {
    let mut asked = JoinSet::new();
    let at = sidecar.inbound();
    for n in 0..REQUESTS / 2 {
        asked.spawn(async move {
            let request = super::get(&format!("/slow{n}"));
            let answer = Client::http1(at).await.try_ask(request).await;
            answer.map_err(|error| format!("{error:?}"))
        });
    }
    let client = Client::http2(at).await;
    let streams: Vec<_> = (0..REQUESTS / 2)
        .map(|_| client.another_stream().unwrap())
        .collect();
    asked.spawn(async move {
        let mut answers = JoinSet::new();
        for (n, mut stream) in streams.into_iter().enumerate() {
            let request = Request::get(format!("http://shop/slow{}", n + REQUESTS / 2));
            let request = request.body(empty()).unwrap();
            answers.spawn(async move { Answer::read(stream.send_request(request).await?).await });
        }
        let mut last = Err("no answer".to_owned());
        while let Some(answer) = answers.join_next().await {
            last = answer.unwrap().map_err(|error| format!("{error:?}"));
            if last.is_err() {
                break;
            }
        }
        drop(client);
        last
    });
    asked
}

#[tokio::test]
async fn nothing_is_refused_or_lost_when_another_process_takes_over_under_load() {
    let (app, arrived, gate) = slow_app().await;
    let upstream = busy_app().await;
    let (directory, socket) = place();
    let log = directory.path().join("access.log");
    let setup = beside(&app, &socket).flag("access-log", log.to_str().unwrap());
    let mut running = setup.start().await;
    let [inbound, outbound] = [running.inbound(), running.outbound()];
    let load = Load::begin_without(&running, &upstream);
    for round in 1..=3 {
        load.answers(50).await;
        let asked = ask_slowly(&running).await;
        until("all requests at the app", async || {
            (arrived.load(Ordering::SeqCst) == round * REQUESTS).then_some(())
        })
        .await;
        let next = setup.start().await;
        assert_eq!([next.inbound(), next.outbound()], [inbound, outbound]);
        until("the end of the old one's part", async || {
            running
                .log()
                .contains("another process has taken over")
                .then_some(())
        })
        .await;
        assert_eq!(running.ended(), None, "it has requests to finish");
        load.answers(50).await;
        assert_eq!(
            next.ask_admin("/readyz").await,
            "ready\n",
            "the new one is who is asked"
        );
        gate.add_permits(REQUESTS);
        for answer in asked.join_all().await {
            assert_eq!(answer.unwrap().status, 200);
        }
        assert_eq!(running.wait().await, 0, "{}", running.log());
        assert!(running.log().contains(" dropped 0 "), "{}", running.log());
        running = next;
    }
    assert_eq!(load.end().await, [""; 0]);
    running.terminate();
    assert_eq!(running.wait().await, 0);
    assert!(!socket.exists(), "nobody serves it any more");
    // Both wrote to the same file, and each wrote whole lines.
    for line in fs::read_to_string(&log).unwrap().lines() {
        serde_json::from_str::<serde_json::Value>(line).expect(line);
    }
}

#[tokio::test]
async fn no_parent_is_worked_out_while_another_process_has_some_of_the_requests() {
    let (app, arrived, gate) = slow_app().await;
    let upstream = named("upstream").await;
    let collector = Collector::start().await;
    let (_directory, socket) = place();
    let setup = beside(&app, &socket).exporting(&collector, Protocol::Http);
    let mut old = setup.start().await;
    let ask = |sidecar: &Sidecar, path: &'static str| {
        let at = sidecar.inbound();
        tokio::spawn(async move { Client::http1(at).await.get(path).await.status })
    };
    let came = async |count| {
        until("a request at the app", async || {
            (arrived.load(Ordering::SeqCst) == count).then_some(())
        })
        .await;
    };
    // A connection of the app that it keeps: it stays with the process that took it.
    let mut kept = Client::http1(old.outbound()).await;
    let first = ask(&old, "/slow1");
    came(1).await;
    let to = |path: &str| {
        let request = Request::get(format!("http://{}{path}", upstream.address()));
        request.body(empty()).unwrap()
    };
    kept.ask(to("/before")).await;
    let new = setup.start().await;
    until("the end of the old one's part", async || {
        old.log()
            .contains("another process has taken over")
            .then_some(())
    })
    .await;
    let second = ask(&new, "/slow2");
    came(2).await;
    kept.ask(to("/by_the_old")).await;
    // Either of them may take it.
    call(&new, &upstream, "/by_any").await;
    gate.add_permits(1);
    assert_eq!(first.await.unwrap(), 200);
    assert_eq!(old.wait().await, 0);
    until("a call that is told by itself", async || {
        call(&new, &upstream, "/after").await;
        let spans = collector.spans();
        let is_told = |span: &Span| {
            let evidence = span.text("throughline.parent.evidence");
            span.path() == "/after" && evidence == "sole_candidate"
        };
        spans.iter().any(is_told).then_some(())
    })
    .await;
    gate.add_permits(1);
    assert_eq!(second.await.unwrap(), 200);
    let evidence = async |path: &str| {
        let span = collector.span(Kind::Client, path).await;
        span.text("throughline.parent.evidence").to_owned()
    };
    assert_eq!(evidence("/before").await, "sole_candidate");
    assert_eq!(evidence("/by_the_old").await, "open");
    assert_eq!(evidence("/by_any").await, "open");
}

#[tokio::test]
async fn one_that_cannot_start_leaves_the_old_one_as_it_was() {
    let app = named("app").await;
    let upstream = named("upstream").await;
    let (_directory, socket) = place();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    let mut old = beside(&app, &socket).start().await;
    let mut client = Client::http1(old.inbound()).await;
    for _ in 0..3 {
        let route = format!("{port}={}", upstream.address());
        let mut new = beside(&app, &socket).flag("route", &route).spawn();
        assert_ne!(new.wait().await, 0);
        assert!(new.log().contains("cannot listen on"), "{}", new.log());
        assert_eq!(client.get("/x").await.text(), "app");
        assert_eq!(call(&old, &upstream, "/x").await, "upstream");
    }
    assert_eq!(old.ended(), None);
    until("that it goes on", async || {
        let log = old.log();
        log.contains("was to take over and did not").then_some(())
    })
    .await;
    // With another route, that is the new one's own.
    let route = format!("127.0.0.1:0={}", upstream.address());
    let new = beside(&app, &socket).flag("route", &route).start().await;
    assert_eq!(old.wait().await, 0);
    assert_eq!(
        Client::http1(new.routes()[0]).await.get("/x").await.text(),
        "upstream"
    );
    assert_eq!(
        Client::http1(new.inbound()).await.get("/x").await.text(),
        "app"
    );
}

#[tokio::test]
async fn a_sidecar_that_stops_lets_go_of_its_ports_although_they_could_be_handed_over() {
    let (app, arrived, gate) = slow_app().await;
    let (_directory, socket) = place();
    let mut sidecar = beside(&app, &socket).start().await;
    let at = sidecar.inbound();
    let asked = tokio::spawn(async move { Client::http1(at).await.get("/slow").await });
    until("the request", async || {
        (arrived.load(Ordering::SeqCst) == 1).then_some(())
    })
    .await;
    sidecar.terminate();
    until("the end of the listener", async || {
        tokio::net::TcpStream::connect(at)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    gate.add_permits(1);
    assert_eq!(asked.await.unwrap().status, 200);
    assert_eq!(sidecar.wait().await, 0);
}

#[tokio::test]
async fn an_app_that_the_sidecar_starts_is_not_handed_over() {
    let (_directory, socket) = place();
    let mut sidecar = Setup::starting(&["sleep", "60"])
        .flag("upgrade-socket", socket.to_str().unwrap())
        .spawn();
    assert_eq!(sidecar.wait().await, 64);
    let log = sidecar.log();
    assert!(
        log.contains("upgrade_socket") && log.contains("give --app PORT"),
        "{log}"
    );
}

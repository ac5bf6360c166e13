//! Which process owns the other end of a connection: the app's socket of a call that it makes to us,
//! and of a request that we send to it.
//!
//! [`Owners`] asks the kernel, and `processes` judges. What is asked on the way of a request is bounded
//! by a `Budget` of system calls, and each connection is asked about once: what a guess does not find
//! is looked for by a thread of our own, and is there for the next request on that connection. Apps that
//! turn out to be one process, and hosts on which nothing can be seen, are asked about in a rare sample.

#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "nothing is spent where nothing can be asked")
)]
mod budget;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod host;
#[cfg(target_os = "linux")]
mod host;
mod search;
mod status;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc::SyncSender,
    },
};

use throughline::ambient;

pub use self::status::Status;
use self::{
    budget::{Asking, Budget},
    host::{End, Found, Host},
    search::{Job, Wanted},
};
use crate::processes::{Carried, Carrier, Learned, Owner, Process, Seen, Socket, Tally, Verdict};

/// One call in so many is looked at where processes tell nothing apart.
const SAMPLE: u32 = 256;

/// Who opened a connection between us and the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// We did, to send it a request.
    Inbound,
    /// The app did, to make a call.
    Outbound,
}

/// Finds the processes of an app, and what they tell about its calls. A clone is another handle.
#[derive(Clone, Debug)]
pub struct Owners {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
}

/// What the handles and the thread that searches have in common. When the last handle is gone, the
/// thread ends.
#[derive(Debug)]
struct Shared {
    host: Result<Host, Status>,
    /// A [`Status`], which every call looks at.
    status: Mutex<Status>,
    /// The last that was said in the log.
    said: Mutex<Status>,
    learned: Mutex<Learned>,
    calls: AtomicU32,
}

impl Owners {
    /// Begins to look after the app that listens on this port of our network namespace.
    ///
    /// It never fails: where nothing can be looked up, [`Owners::status`] says why, and every verdict is
    /// [`Verdict::Nothing`].
    #[must_use]
    pub fn start(app_port: u16) -> Self {
        let host = Host::open(app_port);
        let missing = host.as_ref().err().copied();
        let shared = Arc::new(Shared {
            host,
            status: Mutex::default(),
            said: Mutex::default(),
            learned: Mutex::default(),
            calls: AtomicU32::new(0),
        });
        if let Some(missing) = missing {
            shared.is(missing);
        }
        let jobs = search::start(shared.clone());
        Self { shared, jobs }
    }

    /// Whether processes can be seen, as far as that is known.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// The connection of a call, from `app` to `ours`. It is looked up at once, within a bound of system
    /// calls, unless processes tell little about this app.
    #[must_use]
    pub fn caller(&self, app: SocketAddr, ours: SocketAddr) -> Arc<Socket> {
        let socket = Arc::new(Socket::new(app, ours, ambient::now()));
        if self.is_worth_while() {
            self.owner_of_call(&socket, &mut Budget::default());
        } else if self.status() == Status::NoListener {
            // Somebody calls, so that the app has begun.
            let _ = self.jobs.try_send(Job::Look);
        }
        socket
    }

    /// Whether this call, made while so many requests are open, should be [resolved](Owners::resolve).
    /// Ask once for each call, and before what is open is gathered for it: mostly the answer is no where
    /// processes tell little.
    #[must_use]
    pub fn wants(&self, open: usize) -> bool {
        if self.is_worth_while() {
            // One alone is the cause, whoever serves it; but it shows how the app works.
            return open > 1 || open == 1 && self.shared.learned().is_learning();
        }
        // No call is the first of its sample, so that a few calls at the start cost nothing.
        open > 1 && self.shared.calls.fetch_add(1, Ordering::Relaxed) % SAMPLE == SAMPLE - 1
    }

    /// What processes tell about the cause of a call on `caller`, held against the `open` requests, the
    /// oldest first. A verdict names them by their place in `open`.
    ///
    /// The system calls are bounded, whatever is open, and none of them waits. No lock of the caller's
    /// should be held all the same: they add up to some ten microseconds.
    pub fn resolve<'c>(
        &self,
        caller: &Arc<Socket>,
        open: impl IntoIterator<Item = &'c Carried>,
    ) -> Verdict {
        let mut asking = Asking::default();
        let Some(process) = self.owner_of_call(caller, &mut asking.budget) else {
            self.shared.learned().missed();
            return Verdict::Nothing;
        };
        let mut tally = Tally::new(process);
        let mut own = Vec::new();
        for (index, carried) in open.into_iter().enumerate() {
            match self.seen(carried, process, &mut asking) {
                Seen::By(by) if by == process => own.push((index, carried)),
                seen => tally.note(index, seen),
            }
        }
        let has_several = own.len() > 1;
        for (index, carried) in own {
            let idle = has_several && self.is_not_served(carried, &mut asking);
            let seen = if idle {
                Seen::NotServed
            } else {
                Seen::By(process)
            };
            tally.note(index, seen);
        }
        self.shared.learned().judge(tally)
    }

    /// Whether a process that has several connections has not begun with this one, or is done with it.
    fn is_not_served(&self, carried: &Carried, asking: &mut Asking) -> bool {
        let (Ok(host), Carrier::Socket(socket)) = (&self.shared.host, carried.carrier()) else {
            return false;
        };
        asking.budget.reading() && matches!(host.end(socket), End::Unread(_) | End::Gone)
    }

    /// A cause that processes named was confirmed by better evidence, or refuted by it.
    pub fn audited(&self, was_right: bool) {
        let mut learned = self.shared.learned();
        if was_right {
            learned.agreed();
        } else {
            learned.disagreed();
        }
    }

    /// The id that the kernel knows a process by, while it lives.
    #[must_use]
    pub fn pid(&self, process: Process) -> Option<u32> {
        self.shared.host.as_ref().ok()?.pid(process)
    }

    /// Waits until the host was looked at again, and everything that was asked for has been searched for.
    /// It blocks, and is not for the way of a request.
    pub fn caught_up(&self) {
        let (done, wait) = std::sync::mpsc::sync_channel(1);
        if self.jobs.send(Job::Tell(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    fn is_worth_while(&self) -> bool {
        match self.shared.status() {
            // The first call is what the host is looked at for.
            Status::NotKnown | Status::Available => self.shared.learned().worth().is_worth_while(),
            _ => false,
        }
    }

    /// The process that made a call, if it is found.
    fn owner_of_call(&self, socket: &Arc<Socket>, budget: &mut Budget) -> Option<Process> {
        let host = self.shared.host.as_ref().ok()?;
        match socket.owner() {
            Owner::Process(process) => return Some(process),
            Owner::Shared => return None,
            Owner::NotKnown => {}
        }
        // Guessed once: for whatever was not found then, somebody is searching or has given up.
        if socket.inode().is_some() {
            return None;
        }
        let (End::Inode(inode) | End::Unread(inode)) = host.end(socket) else {
            return None;
        };
        socket.has_inode(inode);
        match host.guess(inode, Direction::Outbound, None, budget) {
            Some(found) => note(socket, found, Direction::Outbound),
            None => {
                self.search(socket, inode, Direction::Outbound);
                None
            }
        }
    }

    /// Who serves an open request.
    fn seen(&self, carried: &Carried, caller: Process, asking: &mut Asking) -> Seen {
        let socket = match carried.carrier() {
            Carrier::None => return Seen::NotAccepted,
            Carrier::Several => return Seen::Unknown,
            Carrier::Socket(socket) => socket,
        };
        match socket.owner() {
            Owner::Process(process) => return Seen::By(process),
            Owner::Shared => return Seen::Unknown,
            Owner::NotKnown => {}
        }
        let Ok(host) = &self.shared.host else {
            return Seen::Unknown;
        };
        let inode = match socket.inode() {
            Some(inode) => inode,
            None => {
                if host.accepts_in_order() && asking.waits_behind(socket) {
                    return Seen::NotAccepted;
                }
                if !asking.budget.end() {
                    return Seen::Unknown;
                }
                match host.end(socket) {
                    End::Inode(inode) => inode,
                    // Accepted, and not begun: a worker may accept ahead of what it serves.
                    End::Unread(inode) => {
                        socket.has_inode(inode);
                        return Seen::NotServed;
                    }
                    End::NotAccepted => {
                        asking.waits(socket);
                        return Seen::NotAccepted;
                    }
                    // Answered and closed; that has not come to the other side yet.
                    End::Gone => return Seen::NotServed,
                }
            }
        };
        socket.has_inode(inode);
        if !socket.is_asked() {
            let budget = &mut asking.budget;
            if let Some(found) = host.guess(inode, Direction::Inbound, Some(caller), budget) {
                return note(socket, found, Direction::Inbound).map_or(Seen::Unknown, Seen::By);
            }
            self.search(socket, inode, Direction::Inbound);
        }
        // Whose it is will be known later. Whether it is the caller's can be known now.
        let own = (asking.own).get_or_insert_with(|| host.sockets_of(caller));
        match own {
            Some(own) if !own.contains(&inode) => Seen::ByAnother,
            // It may be another's too; but it is this one that calls.
            Some(_) => Seen::By(caller),
            None => Seen::Unknown,
        }
    }

    /// Asks the thread for it, unless that has enough to do.
    fn search(&self, socket: &Arc<Socket>, inode: u64, direction: Direction) {
        if socket.ask() {
            let wanted = Wanted {
                socket: socket.clone(),
                inode,
                direction,
            };
            if self.jobs.try_send(Job::Search(wanted)).is_err() {
                socket.answered();
            }
        }
    }
}

/// Notes whose a socket is, if it will stay so, and says which process can be taken for its owner now.
///
/// A child that inherits the socket after this is not noticed. It need not be: a call of the child is
/// then one of a process that has nothing open, which is believed the less the more of them are seen.
fn note(socket: &Socket, found: Found, direction: Direction) -> Option<Process> {
    // Who makes a call keeps the connection; what was accepted may be handed on.
    if found.is_lasting || direction == Direction::Outbound {
        socket.belongs_to(found.owner);
    }
    match found.owner {
        Owner::Process(process) => Some(process),
        Owner::Shared | Owner::NotKnown => None,
    }
}

impl Shared {
    fn status(&self) -> Status {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what can be seen, and says so in the log where that is news.
    fn is(&self, status: Status) {
        self.is_quietly(status);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *said, status) == status {
            return;
        }
        if status.is_available() {
            tracing::info!("process evidence: {status}");
        } else {
            tracing::info!("calls are matched without process evidence: {status}");
        }
    }

    /// Notes what can be seen.
    fn is_quietly(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

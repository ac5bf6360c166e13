//! The thread that looks at the host: for what no guess found, and for the app's processes themselves.
//!
//! It sleeps until it is asked. Looking at the host again is what costs, so that a look that found
//! nobody new doubles the pause until the next one.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use throughline::ambient;

use super::{Direction, Host, Shared, Status, note};
use crate::processes::Socket;

/// The most that may wait to be looked at.
const QUEUE: usize = 64;

/// The shortest and the longest time between two looks at the host.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// For how many looks an app may not listen yet before that is worth a warning.
const STARTING: u32 = 5;

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Job {
    /// Find whose this is.
    Search(Wanted),
    /// See whether the app is there by now.
    Look,
    /// Look at the host and for everything that was asked for, whatever the pause, and then say so.
    Tell(SyncSender<()>),
}

/// A socket whose owner is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) socket: Arc<Socket>,
    pub(super) inode: u64,
    pub(super) direction: Direction,
}

/// Starts the thread, which ends when the sender and all its clones are gone.
pub(super) fn start(shared: Arc<Shared>) -> SyncSender<Job> {
    let (jobs, queue) = sync_channel(QUEUE);
    if shared.host.is_ok() {
        let search = Search {
            shared,
            unfound: Vec::new(),
            looked: None,
            pause: PAUSE.0,
            looks: 0,
        };
        let thread = thread::Builder::new().name("owners".to_owned());
        // Without it, what no guess finds stays unknown, and nobody is kept waiting.
        if let Err(error) = thread.spawn(move || search.run(&queue)) {
            tracing::warn!(%error, "the app's processes cannot be looked for");
        }
    }
    jobs
}

struct Search {
    shared: Arc<Shared>,
    /// Not found, until the host has been looked at again.
    unfound: Vec<Wanted>,
    looked: Option<Instant>,
    pause: Duration,
    looks: u32,
}

impl Search {
    fn run(mut self, queue: &Receiver<Job>) {
        let Ok(host) = &self.shared.clone().host else {
            return;
        };
        self.look(host);
        loop {
            let first = match self.wait() {
                Some(wait) => queue.recv_timeout(wait),
                None => queue.recv().map_err(RecvTimeoutError::from),
            };
            let first = match first {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut wanted, mut tell, mut is_asked) = (Vec::new(), Vec::new(), false);
            for job in first.into_iter().chain(queue.try_iter().take(QUEUE)) {
                match job {
                    Job::Search(one) => wanted.push(one),
                    Job::Look => is_asked = true,
                    Job::Tell(done) => tell.push(done),
                }
            }
            self.search(host, wanted, is_asked, !tell.is_empty());
            for done in tell {
                let _ = done.try_send(());
            }
        }
    }

    fn search(&mut self, host: &Host, wanted: Vec<Wanted>, is_asked: bool, is_urgent: bool) {
        let unfound = found(host, wanted);
        self.unfound.extend(unfound);
        for dropped in self.unfound.drain(self.unfound.len().min(QUEUE)..) {
            dropped.socket.answered();
        }
        let is_absent = self.shared.status() == Status::NoListener;
        let pause = if is_absent && is_asked {
            PAUSE.0
        } else {
            self.pause
        };
        let is_due = self.left(pause).is_zero() && (is_asked || self.wait().is_some());
        if is_due || is_urgent {
            self.look(host);
            // Whoever is still not found is not the app's: it is not asked for again.
            found(host, std::mem::take(&mut self.unfound));
        }
    }

    fn look(&mut self, host: &Host) {
        let (status, new) = host.refresh();
        self.looked = Some(ambient::now());
        self.looks = self.looks.saturating_add(1);
        self.pause = if new > 0 {
            PAUSE.0
        } else {
            (self.pause * 2).min(PAUSE.1)
        };
        if status != Status::NoListener || self.looks >= STARTING {
            self.shared.is(status);
        } else {
            self.shared.is_quietly(status);
        }
    }

    /// How long until the host is to be looked at again; `None` for not at all.
    fn wait(&self) -> Option<Duration> {
        let is_needed = !self.unfound.is_empty() || !self.shared.status().is_available();
        is_needed.then(|| self.left(self.pause))
    }

    fn left(&self, of: Duration) -> Duration {
        self.looked.map_or(Duration::ZERO, |looked| {
            of.saturating_sub(ambient::now().saturating_duration_since(looked))
        })
    }
}

/// Notes the owners of those that are found, and gives back the others.
fn found(host: &Host, wanted: Vec<Wanted>) -> Vec<Wanted> {
    if wanted.is_empty() {
        return wanted;
    }
    let inodes: HashMap<u64, Direction> = (wanted.iter())
        .map(|wanted| (wanted.inode, wanted.direction))
        .collect();
    let found = host.search(&inodes);
    let mut unfound = Vec::new();
    for wanted in wanted {
        match found.get(&wanted.inode) {
            Some(found) => {
                note(&wanted.socket, *found, wanted.direction);
                wanted.socket.answered();
            }
            None => unfound.push(wanted),
        }
    }
    unfound
}

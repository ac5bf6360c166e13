//! Whose is a socket? The answer of a Linux host, by guess and by search.
//!
//! Servers close a connection and open the next, and the kernel gives the lowest number that is free: a
//! worker has its connections at the same few numbers again and again. So these are tried first, one
//! system call each and no more than a [`Budget`] allows. What is not found so is searched for, off the
//! way of requests, through all descriptors of all processes of the app.

mod descriptors;
mod diag;
mod table;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

pub(in crate::owners) use self::diag::End;
use self::{
    diag::Diag,
    table::{Table, Worker},
};
use super::{Budget, Direction, Status};
use crate::processes::{Owner, Process, Socket};

/// How many numbers are remembered that connections of any worker had, for each direction.
const NUMBERS: usize = 4;

/// Where servers of few connections have them, if not where they had them before.
const LOW: std::ops::Range<u32> = 3..40;

/// The most descriptors of the call's process that are looked through before its call goes on.
const MOST_LISTED: usize = 64;

/// What is known of the host, and the socket to ask it through.
#[derive(Debug)]
pub(super) struct Host {
    app_port: u16,
    diag: Mutex<Diag>,
    table: RwLock<Arc<Table>>,
    numbers: [[AtomicU32; NUMBERS]; 2],
    next: Mutex<u32>,
}

impl Host {
    /// The host that an app listens on, at this port.
    ///
    /// # Errors
    ///
    /// The reason why its sockets cannot be looked up.
    pub(super) fn open(app_port: u16) -> Result<Self, Status> {
        let diag = Diag::open().and_then(|mut diag| {
            // A kernel that filters or lacks the family says so at the first question.
            diag.listeners(app_port)?;
            Ok(diag)
        });
        Ok(Self {
            app_port,
            diag: Mutex::new(diag.map_err(|_| Status::NoSocketIndex)?),
            table: RwLock::default(),
            numbers: Default::default(),
            next: Mutex::new(0),
        })
    }

    /// What the kernel knows of the app's end: two system calls.
    pub(super) fn end(&self, of: &Socket) -> End {
        let mut diag = self.diag.lock().unwrap_or_else(PoisonError::into_inner);
        diag.end(of).unwrap_or(End::Gone)
    }

    /// Whether connections wait in one queue, so that they are accepted in the order of their opening.
    pub(super) fn accepts_in_order(&self) -> bool {
        self.table().listeners == 1
    }

    /// The id that the kernel knows a process by.
    pub(super) fn pid(&self, process: Process) -> Option<u32> {
        self.table().worker(process).map(|worker| worker.pid)
    }

    /// Tries the usual numbers, those of the `first` process before the others'.
    pub(super) fn guess(
        &self,
        inode: u64,
        direction: Direction,
        first: Option<Process>,
        budget: &mut Budget,
    ) -> Option<Found> {
        let table = self.table();
        let first = first.and_then(|process| table.worker(process));
        let others = || {
            let others = table.workers.iter();
            others.filter(|worker| first.is_none_or(|first| first.process != worker.process))
        };
        let usual = self.usual(direction);
        let tries = (first.into_iter())
            .flat_map(|worker| {
                let others = usual.iter().filter(|n| worker.last(direction) != Some(**n));
                (worker.last(direction).into_iter())
                    .chain(others.copied())
                    .map(move |number| (worker, number))
            })
            .chain(others().filter_map(|worker| Some((worker, worker.last(direction)?))))
            .chain(usual.iter().flat_map(|&number| {
                others()
                    .filter(move |worker| worker.last(direction) != Some(number))
                    .map(move |worker| (worker, number))
            }))
            .chain(LOW.flat_map(|number| {
                let all = table.workers.iter();
                all.map(move |worker| (worker, number))
            }));
        for (worker, number) in tries {
            if !budget.link() {
                return None;
            }
            if worker.descriptors.socket(number) == Some(inode) {
                self.had(worker, direction, number);
                return sole(&table, worker, number, inode, budget);
            }
        }
        None
    }

    /// The inodes of all sockets of a process, where it has few.
    pub(super) fn sockets_of(&self, process: Process) -> Option<Vec<u64>> {
        let table = self.table();
        let sockets = table
            .worker(process)?
            .descriptors
            .sockets(MOST_LISTED)
            .ok()??;
        Some(sockets.into_iter().map(|(_, inode)| inode).collect())
    }

    /// Looks for these inodes among all descriptors of all processes. Not for the way of a request.
    pub(super) fn search(&self, wanted: &HashMap<u64, Direction>) -> HashMap<u64, Found> {
        let table = self.table();
        let mut found: HashMap<u64, Found> = HashMap::new();
        for worker in &table.workers {
            let sockets = worker.descriptors.sockets(usize::MAX);
            for (number, inode) in sockets.ok().flatten().unwrap_or_default() {
                let Some(&direction) = wanted.get(&inode) else {
                    continue;
                };
                self.had(worker, direction, number);
                let owner = match found.get(&inode) {
                    Some(before) if before.owner != Owner::Process(worker.process) => Owner::Shared,
                    _ => Owner::Process(worker.process),
                };
                let is_lasting = !table.is_parent(worker.process);
                found.insert(inode, Found { owner, is_lasting });
            }
        }
        found
    }

    /// Looks at the host again; says what can be seen of the app, and how many processes are new.
    pub(super) fn refresh(&self) -> (Status, usize) {
        let listeners = {
            let mut diag = self.diag.lock().unwrap_or_else(PoisonError::into_inner);
            diag.listeners(self.app_port)
        };
        let listeners = match listeners {
            Err(_) => return (Status::NoSocketIndex, 0),
            Ok(none) if none.is_empty() => return (Status::NoListener, 0),
            Ok(listeners) => listeners,
        };
        let before = self.table();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let census = before.census(&listeners, &mut next);
        let status = match (census.table.workers.is_empty(), census.denied) {
            (false, _) => Status::Available,
            (true, true) => Status::NotPermitted,
            (true, false) => Status::OtherNamespace,
        };
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(census.table);
        (status, census.found)
    }

    fn table(&self) -> Arc<Table> {
        self.table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The numbers that connections in this direction have, whosever they are; zero is none.
    fn usual(&self, direction: Direction) -> Vec<u32> {
        let numbers = self.numbers[direction as usize].iter();
        let numbers = numbers.map(|number| number.load(Ordering::Relaxed));
        numbers.filter(|number| *number != 0).collect()
    }

    fn had(&self, worker: &Worker, direction: Direction, number: u32) {
        worker.had(direction, number);
        let numbers = &self.numbers[direction as usize];
        let is_known = |known: &AtomicU32| known.load(Ordering::Relaxed) == number;
        if numbers.iter().any(is_known) {
            return;
        }
        // By its value, so that a number seldom pushes out more than the one that it is like.
        let place = usize::try_from(number).unwrap_or_default() % NUMBERS;
        numbers[place].store(number, Ordering::Relaxed);
    }
}

/// Whose a socket turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) owner: Owner,
    /// Whether it stays so. A process with children may hand on what it has accepted, as the primary of
    /// a Node cluster does and a server that forks for each connection.
    pub(super) is_lasting: bool,
}

/// Whether a socket that was found is its process's alone. Whoever inherited it has it at the same
/// number; `None` if there are too many to ask.
fn sole(
    table: &Table,
    worker: &Worker,
    number: u32,
    inode: u64,
    budget: &mut Budget,
) -> Option<Found> {
    let mut owner = Owner::Process(worker.process);
    for relative in table.relatives(worker.process) {
        if !budget.link() {
            return None;
        }
        if relative.descriptors.socket(number) == Some(inode) {
            owner = Owner::Shared;
            break;
        }
    }
    Some(Found {
        owner,
        is_lasting: !table.is_parent(worker.process),
    })
}

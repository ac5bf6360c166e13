//! The processes of the app: those that listen on its port, and their descendants.
//!
//! A server that forks has one process that binds and others that serve; all of them are here. The
//! table is made anew in the background, and processes that are still there keep their place in it.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::io::Errno;

use super::{Direction, descriptors::Descriptors};
use crate::processes::Process;

/// The most processes of one app. Each costs us a descriptor.
const MOST_WORKERS: usize = 256;

/// The most processes of the host that are looked at.
const MOST_PROCESSES: usize = 8192;

/// No descriptor has this number.
const NONE: u32 = u32::MAX;

/// A process of the app.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) process: Process,
    pub(super) pid: u32,
    parent: u32,
    started: u64,
    pub(super) descriptors: Descriptors,
    /// The number that its last connection had, in each direction.
    last: [AtomicU32; 2],
}

impl Worker {
    /// The number that its last connection in this direction had.
    pub(super) fn last(&self, direction: Direction) -> Option<u32> {
        let number = self.last[direction as usize].load(Ordering::Relaxed);
        (number != NONE).then_some(number)
    }

    pub(super) fn had(&self, direction: Direction, number: u32) {
        self.last[direction as usize].store(number, Ordering::Relaxed);
    }
}

/// All processes of the app.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) workers: Vec<Arc<Worker>>,
    /// Who may hold the same sockets as a worker: its parent and its children, by their place.
    relatives: HashMap<Process, Vec<usize>>,
    parents: Vec<Process>,
    /// How many sockets listen on the app's port.
    pub(super) listeners: usize,
}

/// What a look at the host came to.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) table: Table,
    /// How many processes are new.
    pub(super) found: usize,
    /// Whether descriptors of some process were hidden from us.
    pub(super) denied: bool,
}

impl Table {
    pub(super) fn worker(&self, process: Process) -> Option<&Arc<Worker>> {
        self.workers.iter().find(|worker| worker.process == process)
    }

    /// The parent and the children of a process, which may have inherited what it holds.
    pub(super) fn relatives(&self, of: Process) -> impl ExactSizeIterator<Item = &Arc<Worker>> {
        let places = self.relatives.get(&of).map_or(&[][..], Vec::as_slice);
        places.iter().map(|place| &self.workers[*place])
    }

    /// Whether the process has children here, to which it may hand what it has accepted.
    pub(super) fn is_parent(&self, process: Process) -> bool {
        self.parents.contains(&process)
    }

    /// Looks at the host again. `listeners` are the inodes of what listens on the app's port, and
    /// `next` is the first number that no process has had.
    pub(super) fn census(&self, listeners: &[u64], next: &mut u32) -> Census {
        let mut census = Census::default();
        let host = Host::read();
        let mut roots = Vec::new();
        let mut opened = HashMap::new();
        for (&pid, stat) in &host.0 {
            if pid == std::process::id() {
                continue;
            }
            let listens = Descriptors::of(pid).and_then(|descriptors| {
                let sockets = descriptors.sockets(usize::MAX)?.unwrap_or_default();
                let listens = sockets.iter().any(|(_, inode)| listeners.contains(inode));
                Ok((descriptors, listens))
            });
            match listens {
                Ok((descriptors, true)) => {
                    roots.push(pid);
                    opened.insert(pid, descriptors);
                }
                // It is opened again if it turns out to be a descendant: most are not.
                Ok((_, false)) => {}
                Err(Errno::ACCESS | Errno::PERM) => census.denied |= stat.is_user_process(),
                Err(_) => {}
            }
        }
        for pid in host.with_descendants(roots) {
            let Some(stat) = host.0.get(&pid) else {
                continue;
            };
            let known = |worker: &&Arc<Worker>| worker.pid == pid && worker.started == stat.started;
            let worker = match self.workers.iter().find(known) {
                Some(worker) if worker.parent == stat.parent => worker.clone(),
                _ => {
                    let descriptors = opened.remove(&pid).map_or_else(|| Descriptors::of(pid), Ok);
                    let Ok(descriptors) = descriptors else {
                        census.denied = true;
                        continue;
                    };
                    census.found += 1;
                    *next += 1;
                    Arc::new(Worker {
                        process: Process::new(*next),
                        pid,
                        parent: stat.parent,
                        started: stat.started,
                        descriptors,
                        last: [AtomicU32::new(NONE), AtomicU32::new(NONE)],
                    })
                }
            };
            census.table.workers.push(worker);
        }
        census.table.listeners = listeners.len();
        census.table.relate();
        census
    }

    fn relate(&mut self) {
        let place: HashMap<u32, usize> = (self.workers.iter().enumerate())
            .map(|(place, worker)| (worker.pid, place))
            .collect();
        for (child, worker) in self.workers.iter().enumerate() {
            if let Some(&parent) = place.get(&worker.parent) {
                let of = self.workers[parent].process;
                self.relatives
                    .entry(worker.process)
                    .or_default()
                    .push(parent);
                self.relatives.entry(of).or_default().push(child);
                if !self.parents.contains(&of) {
                    self.parents.push(of);
                }
            }
        }
    }
}

/// All processes that can be seen, by their id.
struct Host(HashMap<u32, Stat>);

/// What of `/proc/<pid>/stat` matters here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// In ticks since the host began: with the id it names a process for good.
    started: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The command stands in brackets and may have any characters, brackets too.
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        Some(Self {
            parent: fields.nth(1)?.parse().ok()?,
            started: fields.nth(17)?.parse().ok()?,
        })
    }

    /// Threads of the kernel are children of number 2, and nobody's business.
    fn is_user_process(&self) -> bool {
        self.parent != 2
    }
}

impl Host {
    fn read() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let stats = pids.take(MOST_PROCESSES).filter_map(|pid| {
            let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, Stat::parse(&String::from_utf8_lossy(&text))?))
        });
        Self(stats.collect())
    }

    /// These processes and what they started, in ascending order: at most so many as a table may have.
    fn with_descendants(&self, roots: Vec<u32>) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for (pid, stat) in &self.0 {
            children.entry(stat.parent).or_default().push(*pid);
        }
        let mut family: Vec<u32> = Vec::new();
        let mut left = roots;
        while let Some(pid) = left.pop() {
            if family.len() >= MOST_WORKERS {
                break;
            }
            if family.contains(&pid) {
                continue;
            }
            family.push(pid);
            left.extend(children.get(&pid).into_iter().flatten());
        }
        family.sort_unstable();
        family
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_may_have_any_name() {
        let fields = "S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 999";
        for name in ["python3", "a b", "a) S 9 (b", ")"] {
            let stat = Stat::parse(&format!("42 ({name}) {fields}"));
            let expected = Stat {
                parent: 7,
                started: 12345,
            };
            assert_eq!(stat, Some(expected), "{name}");
        }
        assert_eq!(Stat::parse("42 (x) S"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn a_family_is_roots_and_what_they_started_and_is_bounded() {
        let stat = |parent| Stat { parent, started: 0 };
        let mut host = Host(HashMap::new());
        for (pid, parent) in [(1, 0), (10, 1), (11, 10), (12, 11), (20, 1)] {
            host.0.insert(pid, stat(parent));
        }
        assert_eq!(host.with_descendants(vec![10, 11]), [10, 11, 12]);
        for pid in 1000..2000 {
            host.0.insert(pid, stat(10));
        }
        assert_eq!(host.with_descendants(vec![10]).len(), MOST_WORKERS);
    }

    #[test]
    fn we_ourselves_are_not_of_the_app() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let inode = rustix::fs::fstat(&listener).unwrap().st_ino;
        let census = Table::default().census(&[inode], &mut 0);
        assert!(census.table.workers.is_empty());
    }
}

//! One line for each exchange, sampled or not, written where no request waits for it.
//!
//! ```text
//! request ── offer ──▶ bounded queue ──▶ a thread of its own ──▶ standard output, or a file
//! ```
//!
//! What is offered is the span of the exchange: a line is made of it on the thread that writes, so
//! that a request costs a copy and a push. A reader that is slow, a disk that is full and a pipe that
//! is closed cost lines, which are counted by reason; when they are well again, so is the log.

mod destination;
mod line;
mod worker;

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, Thread},
    time::Duration,
};

use crossbeam_queue::ArrayQueue;
use throughline::span::Span;

use self::destination::Destination;

/// How many lines may wait to be written. At some 1.3 KB for each that is 5 MB, where somebody does
/// not read.
const QUEUE: usize = 4096;

/// Every so many lines the thread is woken; between, it comes by itself. To wake another thread costs
/// a system call.
const WAKE_EVERY: u64 = 512;

/// Where lines go, and how they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where they go.
    pub target: Target,
    /// How they are written.
    pub format: Format,
}

/// Where lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// This file, at its end.
    File(PathBuf),
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// An object of JSON a line.
    #[default]
    Json,
    /// `key=value`, with quotes where a value needs them.
    Text,
}

/// Why a line was not written. The list is closed, so that a metric may be labelled with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// More lines came than could be written.
    QueueFull,
    /// They could not be written: the disk is full, or the pipe is closed.
    WriteFailed,
    /// The process ended before.
    Shutdown,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::QueueFull, Self::WriteFailed, Self::Shutdown];

    /// The value of the metric's label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::WriteFailed => "write_failed",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The access log of a sidecar, off until it is configured; a clone is a handle on the same one.
#[derive(Clone)]
pub struct AccessLog(Arc<Shared>);

struct Shared {
    service: String,
    is_on: AtomicBool,
    running: OnceLock<Running>,
    /// What the thread is to do before it writes on.
    orders: Mutex<Orders>,
    offered: AtomicU64,
    written: AtomicU64,
    dropped: [AtomicU64; Reason::ALL.len()],
}

/// Made when the log is first turned on, and there until the process ends.
struct Running {
    queue: ArrayQueue<Box<Span>>,
    thread: Thread,
}

#[derive(Default)]
struct Orders {
    /// Where lines go from now on, and how.
    destination: Option<(Destination, Format)>,
    /// The file may be another by now.
    reopen: bool,
    /// The end: who is told when the last line is written.
    stop: Option<mpsc::Sender<()>>,
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("is_on", &self.is_on())
            .finish_non_exhaustive()
    }
}

impl AccessLog {
    /// The log of `service`, off.
    #[must_use]
    pub fn new(service: &str) -> Self {
        Self(Arc::new(Shared {
            service: service.to_owned(),
            is_on: AtomicBool::new(false),
            running: OnceLock::new(),
            orders: Mutex::default(),
            offered: AtomicU64::new(0),
            written: AtomicU64::new(0),
            dropped: Default::default(),
        }))
    }

    /// Goes where `config` says from now on. Lines that were offered before may go there too.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or there is no thread to be had; then all stays as it was.
    pub fn configure(&self, config: &Config) -> io::Result<()> {
        let shared = &*self.0;
        if let Some(destination) = Destination::open(&config.target)? {
            let mut orders = shared.orders();
            self.start()?;
            orders.destination = Some((destination, config.format));
            drop(orders);
            shared.is_on.store(true, Ordering::Release);
        } else {
            shared.is_on.store(false, Ordering::Release);
        }
        self.wake();
        Ok(())
    }

    /// Opens its file again: it may have been moved away, as `logrotate` does.
    pub fn reopen(&self) {
        self.0.orders().reopen = true;
        self.wake();
    }

    /// Whether lines are wanted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    /// Takes the record of an exchange, to be written soon. It never waits: one that does not fit is
    /// dropped and counted.
    pub fn offer(&self, span: Box<Span>) {
        let shared = &*self.0;
        let Some(running) = shared.running.get() else {
            return;
        };
        if running.queue.push(span).is_err() {
            shared.lose(Reason::QueueFull, 1);
        }
        let offered = shared.offered.fetch_add(1, Ordering::Relaxed);
        if offered.is_multiple_of(WAKE_EVERY) {
            running.thread.unpark();
        }
    }

    /// The same for an exchange whose span goes on to somebody else.
    pub(crate) fn copy(&self, span: &Span) {
        self.offer(Box::new(span.clone()));
    }

    /// How many lines were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// How many lines were not, for this `reason`.
    #[must_use]
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.0.dropped[reason as usize].load(Ordering::Relaxed)
    }

    /// Writes what has been offered, within `grace`; the rest is dropped and counted.
    ///
    /// It blocks until then.
    pub fn close(&self, grace: Duration) {
        let Some(running) = self.0.running.get() else {
            return;
        };
        let (done, is_done) = mpsc::channel();
        self.0.orders().stop = Some(done);
        running.thread.unpark();
        // Whoever does not read holds up the thread, and not the end of the process.
        let _ = is_done.recv_timeout(grace);
        self.0.is_on.store(false, Ordering::Release);
        while running.queue.pop().is_some() {
            self.0.lose(Reason::Shutdown, 1);
        }
    }

    fn start(&self) -> io::Result<()> {
        if self.0.running.get().is_some() {
            return Ok(());
        }
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new()
            .name("throughline-log".to_owned())
            .spawn(move || worker::run(&shared))?;
        let running = Running {
            queue: ArrayQueue::new(QUEUE),
            thread: thread.thread().clone(),
        };
        // Nobody else sets it: the orders are held meanwhile.
        let _ = self.0.running.set(running);
        Ok(())
    }

    fn wake(&self) {
        if let Some(running) = self.0.running.get() {
            running.thread.unpark();
        }
    }
}

impl Shared {
    fn wrote(&self, lines: u64) {
        self.written.fetch_add(lines, Ordering::Relaxed);
    }

    fn lose(&self, reason: Reason, lines: u64) {
        self.dropped[reason as usize].fetch_add(lines, Ordering::Relaxed);
    }

    fn orders(&self) -> std::sync::MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

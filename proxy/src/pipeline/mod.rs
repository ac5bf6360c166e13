//! From finished spans to their destinations, without ever making a request wait.
//!
//! ```text
//! request ── offer ──▶ bounded queue ──▶ worker ──┬──────────┬─▶ memory
//!                                                 └─ parked ─┴─▶ batches ──▶ one export at a time
//! ```
//!
//! A request pushes its span and goes on; if the queue is full, the span is dropped and counted. One
//! thread of its own takes spans from there, encodes them and sends them. Destinations share nothing
//! but that thread: one that hangs fills its own buffer, and no other. Whatever happens, the
//! [`Ledger`] has it: created = exported + dropped + pending, for every destination.
//!
//! The access log is told on the way, of exchanges too that are not sampled: those go no further.
//!
//! A span whose call is not settled yet is parked first, for a few seconds at most, so that it leaves
//! with all that becomes known of its parent.

mod counters;
mod holding;
mod lane;
mod ledger;
mod parked;
mod worker;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    },
    time::Duration,
};

use crossbeam_queue::ArrayQueue;
use throughline::{context::TraceContext, sink::Sink, span::Span};
use tokio::sync::Notify;

use crate::{
    access_log::AccessLog,
    export::{Exporter, Reason, Resource, memory::Memory, otlp},
    settle::Settlement,
};

pub use counters::{Counters, Flood, Forwarded};
pub use ledger::{Account, Ledger};
pub use worker::Worker;

use holding::Holding;
use ledger::Books;

/// Sizes and times, by the names of `OTEL_BSP_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many spans may wait: in the queue, again until their call is settled, and again for each
    /// destination.
    pub max_queue_size: usize,
    /// How many spans are sent at once, at most.
    pub max_export_batch_size: usize,
    /// How long a span waits for others to be sent with.
    pub schedule_delay: Duration,
    /// How long the export of one batch may take, with everything that is tried again.
    pub export_timeout: Duration,
    /// How many spans are kept in memory, for the admin port.
    pub memory_spans: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_queue_size: 2048,
            max_export_batch_size: 512,
            schedule_delay: Duration::from_secs(5),
            export_timeout: Duration::from_secs(30),
            memory_spans: 1024,
        }
    }
}

/// A pipeline that cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The exporter to a collector cannot be made.
    #[error(transparent)]
    Otlp(#[from] otlp::Error),
    /// The system gives no thread, or nothing to wait for the network with.
    #[error("the thread that exports spans cannot be started")]
    Thread(#[source] io::Error),
}

/// The end of the pipeline that requests see; a clone is a handle on the same one.
#[derive(Clone, Debug)]
pub struct Pipeline(Arc<Shared>);

struct Shared {
    queue: ArrayQueue<Box<Span>>,
    /// Every so many spans the worker is woken; between, it comes by itself.
    wake_every: u64,
    wake: Notify,
    /// Nobody takes spans from the queue any more.
    closed: AtomicBool,
    /// How many spans wait until their call is settled.
    parked: AtomicUsize,
    books: Books,
    memory: Memory,
    counters: Counters,
    access_log: AccessLog,
    /// The exporter that takes the place of the one there is.
    replacement: Mutex<Option<Arc<dyn Exporter>>>,
}

impl Pipeline {
    /// Starts the pipeline, with its memory and, where one is configured, an exporter over OTLP.
    ///
    /// Spans whose [`call`](Span::call) is set are held until `settlement` has said what it found of
    /// it, for 5 s at most; without one, none is held.
    ///
    /// # Errors
    ///
    /// When the exporter's configuration is wrong, or the system gives no thread.
    pub fn start(
        config: Config,
        resource: &Resource,
        otlp: Option<otlp::Config>,
        settlement: Option<Arc<dyn Settlement>>,
    ) -> Result<(Self, Worker), Error> {
        let mut exporters: Vec<Arc<dyn Exporter>> = Vec::new();
        if let Some(otlp) = otlp {
            exporters.push(Arc::new(otlp::Otlp::new(&otlp, resource)?));
        }
        Self::with(config, resource.service_name(), exporters, settlement).map_err(Error::Thread)
    }

    /// Starts the pipeline with these exporters.
    fn with(
        config: Config,
        service: &str,
        exporters: Vec<Arc<dyn Exporter>>,
        settlement: Option<Arc<dyn Settlement>>,
    ) -> io::Result<(Self, Worker)> {
        // Nothing can be sent in batches of none.
        let config = Config {
            max_queue_size: config.max_queue_size.max(1),
            max_export_batch_size: config
                .max_export_batch_size
                .clamp(1, config.max_queue_size.max(1)),
            ..config
        };
        let half = config.max_queue_size.div_ceil(2);
        let memory = Memory::new(service, config.memory_spans);
        let shared = Arc::new(Shared {
            queue: ArrayQueue::new(config.max_queue_size),
            wake_every: config.max_export_batch_size.min(half) as u64,
            wake: Notify::new(),
            closed: AtomicBool::new(false),
            parked: AtomicUsize::new(0),
            books: Books::new(
                (config.memory_spans > 0).then_some("memory"),
                exporters.iter().map(|exporter| exporter.name()),
            ),
            memory,
            counters: Counters::default(),
            access_log: AccessLog::new(service),
            replacement: Mutex::default(),
        });
        let holding = settlement.map(|settlement| Holding::new(settlement, config.max_queue_size));
        let worker = Worker::start(config, exporters, holding, Arc::clone(&shared))?;
        Ok((Self(shared), worker))
    }

    /// Takes one finished span. It never waits: a span that does not fit is dropped and counted.
    ///
    /// Step 9 of the way of a request, second half.
    pub fn offer(&self, span: Box<Span>) {
        let shared = &*self.0;
        // The one place that every exchange comes to. What is not sampled comes for the log alone.
        match (span.flags.is_sampled(), shared.access_log.is_on()) {
            (true, false) => {}
            (true, true) => shared.access_log.copy(&span),
            (false, true) => return shared.access_log.offer(span),
            (false, false) => return,
        }
        let created = shared.books.create();
        if shared.queue.push(span).is_err() {
            shared.books.drop_unqueued(Reason::QueueFull, 1);
        }
        // Between this push and the look at `closed` stands a fence, as between the worker's setting
        // it and its last look at the queue. So one of the two sees the other, and no span stays.
        fence(Ordering::SeqCst);
        if shared.closed.load(Ordering::Relaxed) {
            shared.discard_queue();
        } else if created.is_multiple_of(shared.wake_every) {
            // To wake another thread costs a system call: not for every span.
            shared.wake.notify_one();
        }
    }

    /// The spans that are kept in memory.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.0.memory
    }

    /// Exports by `exporter` from the next batch on, where something is exported. What waits is encoded
    /// already, so that the protocol must be that of the one before.
    pub fn export_by(&self, exporter: Arc<dyn Exporter>) {
        let replacement = self.0.replacement.lock();
        *replacement.unwrap_or_else(PoisonError::into_inner) = Some(exporter);
    }

    /// Where a line is written of each exchange, sampled or not.
    #[must_use]
    pub fn access_log(&self) -> &AccessLog {
        &self.0.access_log
    }

    /// Counts of what happens to requests, for whoever has something to count.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// The account of all spans so far.
    ///
    /// While spans move it is a snapshot of moving things, and may be off by those that are just
    /// being handed over; when none moves it is exact.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.0.ledger()
    }
}

impl Sink for Pipeline {
    type Scope = ();

    fn offer(&self, span: Box<Span>) {
        Self::offer(self, span);
    }

    fn enter(&self, _: &TraceContext) {}
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("queue", &self.queue.len())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The exporter that takes the place of the one there is, once.
    fn replacement(&self) -> Option<Arc<dyn Exporter>> {
        let mut slot = self
            .replacement
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }

    fn ledger(&self) -> Ledger {
        let parked = self.parked.load(Ordering::Relaxed);
        self.books.ledger((self.queue.len() + parked) as u64)
    }

    /// Drops what is in the queue, for there is nobody left to take it.
    fn discard_queue(&self) {
        while self.queue.pop().is_some() {
            self.books.drop_unqueued(Reason::Shutdown, 1);
        }
    }
}

#[cfg(test)]
mod tests;

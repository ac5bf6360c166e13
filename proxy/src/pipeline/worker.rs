//! The thread that takes spans from the queue and carries them to their destinations.
//!
//! It has a small runtime of its own, so that exporting takes no turn from requests and a busy data
//! path takes none from exporting.

use std::{
    io,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use throughline::{ambient, span::Span};
use tokio::sync::oneshot;

use super::{Config, Ledger, Shared, holding::Holding, lane::Lane};
use crate::{export::Exporter, settle::Verdict};

/// How long a span may be in the queue before the worker comes by without having been woken.
const TICK: Duration = Duration::from_millis(100);

/// The running worker. Dropped without [`Worker::shutdown`], it stops at once, and what had not been
/// sent is dropped and counted.
#[derive(Debug)]
#[must_use = "spans are exported for as long as the worker lives"]
pub struct Worker {
    stop: oneshot::Sender<Instant>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

impl Worker {
    pub(super) fn start(
        config: Config,
        exporters: Vec<Arc<dyn Exporter>>,
        holding: Option<Holding>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("throughline-spans".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    runtime.block_on(run(&config, exporters, holding, &shared, stopped));
                    // A name that is still being resolved must not hold up the end.
                    runtime.shutdown_background();
                }
            })?;
        Ok(Self {
            stop,
            thread,
            shared,
        })
    }

    /// Sends what is left and ends the worker, within `grace`; the rest is dropped and counted.
    ///
    /// It blocks until then. From async code, call it in `spawn_blocking`.
    #[must_use = "it says what was lost"]
    pub fn shutdown(self, grace: Duration) -> Ledger {
        // The worker ends before only if it panicked, and then nobody listens.
        let _ = self.stop.send(ambient::now() + grace);
        if self.thread.join().is_err() {
            tracing::error!("the thread that exports spans panicked");
        }
        self.shared.ledger()
    }
}

/// Steps 9 to 10 of the way of a request: spans leave the queue, wait until their call is settled, and
/// each goes every way.
async fn run(
    config: &Config,
    exporters: Vec<Arc<dyn Exporter>>,
    mut holding: Option<Holding>,
    shared: &Arc<Shared>,
    mut stopped: oneshot::Receiver<Instant>,
) {
    let mut lanes: Vec<Lane> = exporters
        .into_iter()
        .enumerate()
        .map(|(index, exporter)| Lane::new(exporter, index, config, Arc::clone(shared)))
        .collect();
    let tick = TICK.min(config.schedule_delay.max(Duration::from_millis(1)));
    let deadline = loop {
        let next = tokio::select! {
            stop = &mut stopped => Some(stop.unwrap_or_else(|_| ambient::now())),
            () = shared.wake.notified() => None,
            () = tokio::time::sleep(tick) => None,
        };
        if let Some(deadline) = next {
            break deadline;
        }
        let now = ambient::now();
        drain(shared, &mut holding, &mut lanes, now);
        if let Some(holding) = &mut holding {
            holding.round(now, &mut |span, verdict| {
                go(shared, &mut lanes, span, verdict, now);
            });
            shared.parked.store(holding.len(), Ordering::Relaxed);
        }
        if let (Some(exporter), [lane]) = (shared.replacement(), &mut lanes[..]) {
            lane.replace(exporter);
        }
        for lane in &mut lanes {
            lane.advance(ambient::now()).await;
        }
    };
    let now = ambient::now();
    drain(shared, &mut holding, &mut lanes, now);
    if let Some(holding) = &mut holding {
        for lane in &mut lanes {
            lane.make_room(holding.len());
        }
        holding.finish(now, &mut |span, verdict| {
            go(shared, &mut lanes, span, verdict, now);
        });
        shared.parked.store(0, Ordering::Relaxed);
    }
    let flushes: Vec<_> = lanes
        .into_iter()
        .map(|lane| tokio::spawn(lane.flush(deadline)))
        .collect();
    for flush in flushes {
        // Each is bounded by the deadline.
        let _ = flush.await;
    }
    shared.closed.store(true, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    shared.discard_queue();
}

/// Takes what is in the queue now, and no more than it holds: whoever fills it faster than it can be
/// emptied must not keep the exports from going on.
fn drain(shared: &Shared, holding: &mut Option<Holding>, lanes: &mut [Lane], now: Instant) {
    for _ in 0..shared.queue.capacity() {
        let Some(span) = shared.queue.pop() else {
            break;
        };
        let Some(holding) = holding else {
            go(shared, lanes, span, None, now);
            continue;
        };
        holding.take(span, now, &mut |span, verdict| {
            go(shared, lanes, span, verdict, now);
        });
        shared.parked.store(holding.len(), Ordering::Relaxed);
    }
}

/// One span goes every way, and what was found of its call is counted.
fn go(
    shared: &Shared,
    lanes: &mut [Lane],
    span: Box<Span>,
    verdict: Option<Verdict>,
    now: Instant,
) {
    if let Some(verdict) = verdict {
        shared.counters.settled(verdict);
    }
    for lane in lanes {
        lane.push(&span, now);
        lane.hold();
    }
    if let Some(book) = &shared.books.memory {
        shared.memory.push(span);
        book.export(1);
    }
}

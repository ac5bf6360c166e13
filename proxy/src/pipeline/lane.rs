//! The way to one destination: spans become batches, and one batch at a time is under way.
//!
//! What waits is bounded. A destination that hangs or refuses fills its lane, and from then on new
//! spans are dropped here, and counted, while every other lane goes on.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use throughline::{ambient, span::Span};
use tokio::task::JoinHandle;

use super::{Config, Shared, ledger::Book};
use crate::export::{Accepted, Exporter, Failure, Reason};

pub(super) struct Lane {
    exporter: Arc<dyn Exporter>,
    shared: Arc<Shared>,
    /// Which of the exporters it is.
    index: usize,
    max_waiting: usize,
    max_batch: usize,
    delay: Duration,
    timeout: Duration,
    waiting: VecDeque<Batch>,
    waiting_spans: usize,
    /// How many bytes the last batch had: room for the next, which will be like it.
    usual_bytes: usize,
    under_way: Option<(usize, JoinHandle<Result<Accepted, Failure>>)>,
    /// Whether the last batch was lost: said once, and once more when it is over.
    failing: bool,
}

/// Encoded spans that are sent together.
struct Batch {
    bytes: Vec<u8>,
    spans: usize,
    oldest: Instant,
}

impl Lane {
    pub(super) fn new(
        exporter: Arc<dyn Exporter>,
        index: usize,
        config: &Config,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            exporter,
            shared,
            index,
            max_waiting: config.max_queue_size,
            max_batch: config.max_export_batch_size,
            delay: config.schedule_delay,
            timeout: config.export_timeout,
            waiting: VecDeque::new(),
            waiting_spans: 0,
            usual_bytes: 0,
            under_way: None,
            failing: false,
        }
    }

    /// Sends by `exporter` from now on, which encodes as the one before does.
    pub(super) fn replace(&mut self, exporter: Arc<dyn Exporter>) {
        self.exporter = exporter;
    }

    /// Adds `span` to what waits, or drops it if too much does.
    pub(super) fn push(&mut self, span: &Span, now: Instant) {
        if self.waiting_spans >= self.max_waiting {
            self.book().drop(Reason::QueueFull, 1);
            return;
        }
        let batch = match self.waiting.back_mut() {
            Some(batch) if batch.spans < self.max_batch => batch,
            _ => {
                self.waiting.push_back(Batch {
                    bytes: Vec::with_capacity(self.usual_bytes),
                    spans: 0,
                    oldest: now,
                });
                self.waiting.back_mut().expect("it was just pushed")
            }
        };
        self.exporter.encode(span, &mut batch.bytes);
        batch.spans += 1;
        self.waiting_spans += 1;
    }

    /// At the end, what was held before it came here needs room at once: this much more.
    pub(super) fn make_room(&mut self, spans: usize) {
        self.max_waiting += spans;
    }

    /// Settles the batch under way if it has come to its end, and sends the next one if it is full
    /// or old enough.
    pub(super) async fn advance(&mut self, now: Instant) {
        if let Some((_, sending)) = &self.under_way
            && sending.is_finished()
        {
            self.settle().await;
        }
        let due = self.waiting.front().is_some_and(|batch| {
            batch.spans >= self.max_batch
                || now.saturating_duration_since(batch.oldest) >= self.delay
        });
        if due && self.under_way.is_none() {
            self.send(now + self.timeout);
        }
        self.hold();
    }

    /// Sends everything that is left, and drops what has not been taken at `deadline`.
    pub(super) async fn flush(mut self, deadline: Instant) {
        let all_of_it = async {
            while self.under_way.is_some() || !self.waiting.is_empty() {
                self.settle().await;
                // Not cut to the deadline: what it cuts short is told apart from what failed.
                self.send(ambient::now() + self.timeout);
                self.hold();
            }
        };
        let _ = tokio::time::timeout_at(deadline.into(), all_of_it).await;
        if let Some((spans, sending)) = self.under_way.take() {
            sending.abort();
            self.conclude(spans, sending.await.ok(), Reason::Shutdown);
        }
        self.book()
            .drop(Reason::Shutdown, self.waiting_spans as u64);
        self.waiting_spans = 0;
        self.hold();
    }

    fn send(&mut self, deadline: Instant) {
        let Some(batch) = self.waiting.pop_front() else {
            return;
        };
        self.waiting_spans -= batch.spans;
        self.usual_bytes = batch.bytes.len();
        let sending = self.exporter.send(batch.bytes, deadline);
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let result = sending.await;
            // The worker looks again: there may be more to send.
            shared.wake.notify_one();
            result
        });
        self.under_way = Some((batch.spans, task));
    }

    /// Waits for the batch under way, if there is one, and puts it into the books.
    async fn settle(&mut self) {
        // It is taken out only at its end, so that it can be waited for again after a deadline.
        let Some((spans, sending)) = &mut self.under_way else {
            return;
        };
        let spans = *spans;
        let result = sending.await.ok();
        self.under_way = None;
        self.conclude(spans, result, Reason::Unavailable);
    }

    /// A batch has come to its end; `otherwise` is why it is lost if its task did not.
    fn conclude(
        &mut self,
        spans: usize,
        result: Option<Result<Accepted, Failure>>,
        otherwise: Reason,
    ) {
        let name = self.exporter.name();
        let total = spans as u64;
        match result {
            Some(Ok(accepted)) => {
                let rejected = accepted.rejected.min(total);
                self.book().export(total - rejected);
                self.book().drop(Reason::Rejected, rejected);
                if rejected > 0 {
                    let why = &accepted.message;
                    tracing::warn!("{name} refused {rejected} of {total} spans: {why}");
                }
                if std::mem::take(&mut self.failing) {
                    tracing::info!("{name} takes spans again");
                }
            }
            Some(Err(failure)) => {
                self.book().drop(failure.reason, total);
                if !std::mem::replace(&mut self.failing, true) {
                    let (reason, why) = (failure.reason, failure.message);
                    tracing::warn!("{name} lost {total} spans ({reason}): {why}");
                }
            }
            None => self.book().drop(otherwise, total),
        }
    }

    /// Notes how many spans this lane holds.
    pub(super) fn hold(&self) {
        let under_way = self.under_way.as_ref().map_or(0, |(spans, _)| *spans);
        self.book().hold((self.waiting_spans + under_way) as u64);
    }

    fn book(&self) -> &Book {
        &self.shared.books.exporters[self.index]
    }
}

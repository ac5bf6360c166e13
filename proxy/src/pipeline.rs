//! placeholder
use std::time::Duration;

/// How spans are queued and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many spans may wait; what is more is dropped and counted.
    pub max_queue_size: usize,
    /// The most spans in one batch.
    pub max_export_batch_size: usize,
    /// How long a span waits at most until its batch is sent.
    pub schedule_delay: Duration,
    /// How long the export of a batch may take, with its retries.
    pub export_timeout: Duration,
    /// How many finished spans the memory ring keeps.
    pub memory_spans: usize,
}

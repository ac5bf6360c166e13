//! Where spans go from here: one wire format a file.
//!
//! Encoding is a pure function of a span; sending is the rest. An [`Exporter`] does both for one
//! destination and knows nothing of queues: what to send when, and what becomes of a batch that
//! could not be sent, is the pipeline's.

pub mod memory;
pub mod otlp;
mod resource;

use std::{fmt, future::Future, pin::Pin, time::Instant};

use throughline::span::Span;

pub use resource::Resource;

/// One destination of spans.
pub trait Exporter: Send + Sync + 'static {
    /// What the ledger and the metrics call it.
    fn name(&self) -> &'static str;

    /// Appends `span` to a batch, as bytes that may be sent as they are.
    fn encode(&self, span: &Span, batch: &mut Vec<u8>);

    /// Sends a batch of encoded spans, and tries again where that may help, until `deadline`.
    fn send(&self, batch: Vec<u8>, deadline: Instant) -> Sending;
}

/// A batch on its way.
pub type Sending = Pin<Box<dyn Future<Output = Result<Accepted, Failure>> + Send>>;

/// A batch that its destination has taken, perhaps but for some of its spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// How many spans of the batch the destination refused.
    pub rejected: u64,
    /// What it said about them, or about the batch as a whole.
    pub message: String,
}

/// A batch that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, in one word.
    pub reason: Reason,
    /// Why, in a sentence for the log.
    pub message: String,
}

/// Why a span was dropped. The list is closed, so that a metric may be labelled with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There were more spans than could be sent or kept.
    QueueFull,
    /// The destination understood the request and refused it.
    Rejected,
    /// The destination could not be reached, or asked for patience for too long.
    Unavailable,
    /// The destination did not answer in time. It may have taken the span all the same: what counts
    /// as exported is what was acknowledged.
    Timeout,
    /// The process ended before the span could be sent.
    Shutdown,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::QueueFull,
        Self::Rejected,
        Self::Unavailable,
        Self::Timeout,
        Self::Shutdown,
    ];

    /// The value of the metric's label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

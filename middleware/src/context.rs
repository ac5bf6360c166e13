//! What travels between services: which trace, whose child, whether it is recorded.

use std::sync::Arc;

use crate::id::{SpanId, TraceId};

/// The position of one span in a trace, as it is sent on in headers.
///
/// The ids and the flags are the context itself; the rest is what travels with it and is passed on
/// as it came: the vendors' `tracestate`, the application's `baggage`, and the fields of an
/// `X-Amzn-Trace-Id` that are not ours to understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that whatever comes next is a child of.
    pub span_id: SpanId,
    /// Whether the trace is recorded, and how its id was made.
    pub flags: TraceFlags,
    /// The W3C `tracestate` list, joined to one line; `None` when there is none.
    pub state: Option<Arc<str>>,
    /// The W3C `baggage` list, joined to one line and otherwise byte for byte as it came.
    pub baggage: Option<Arc<[u8]>>,
    /// The fields of an `X-Amzn-Trace-Id` other than `Root`, `Parent` and `Sampled`.
    pub xray: Option<Arc<str>>,
}

impl TraceContext {
    /// A context of these ids and flags that carries nothing else.
    #[must_use]
    pub fn new(trace_id: TraceId, span_id: SpanId, flags: TraceFlags) -> Self {
        Self {
            trace_id,
            span_id,
            flags,
            state: None,
            baggage: None,
            xray: None,
        }
    }

    /// The same trace, at another span of it.
    #[must_use]
    pub fn child(&self, span_id: SpanId) -> Self {
        Self {
            span_id,
            ..self.clone()
        }
    }
}

/// The `trace-flags` of W3C trace context, level 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceFlags(u8);

impl TraceFlags {
    /// The caller may have recorded the trace.
    pub const SAMPLED: Self = Self(1);
    /// At least the last seven bytes of the trace id are random.
    pub const RANDOM: Self = Self(2);

    /// The flags of this byte. Bits without a meaning yet are dropped, as the specification asks.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self(byte & (Self::SAMPLED.0 | Self::RANDOM.0))
    }

    /// The flags as a byte.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        self.0
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// These flags with the sampled bit set or cleared.
    #[must_use]
    pub fn with_sampled(self, sampled: bool) -> Self {
        if sampled {
            Self(self.0 | Self::SAMPLED.0)
        } else {
            Self(self.0 & !Self::SAMPLED.0)
        }
    }

    /// These flags with the random bit set.
    #[must_use]
    pub fn with_random(self) -> Self {
        Self(self.0 | Self::RANDOM.0)
    }
}

//! What travels between services: which trace, whose child, whether it is recorded.

use std::sync::Arc;

use http::HeaderValue;

use crate::id::{SpanId, TraceId};

/// The position of one span in a trace, as it is sent on in headers.
///
/// The ids and the flags are the context itself; the rest is what travels with it and is passed on
/// as it came: the vendors' `tracestate`, the application's `baggage`, and what the formats of AWS and
/// Datadog carry that is not ours to understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that whatever comes next is a child of.
    pub span_id: SpanId,
    /// Whether the trace is recorded, and how its id was made.
    pub flags: TraceFlags,
    /// The W3C `tracestate` list in one line; `None` when there is none.
    pub state: Option<HeaderValue>,
    /// The W3C `baggage` list in one line and otherwise byte for byte as it came.
    pub baggage: Option<HeaderValue>,
    /// The fields of an `X-Amzn-Trace-Id` in their order, where there are others than `Root`,
    /// `Parent` and `Sampled` or where these are not in that order. Of the three only the names are
    /// kept.
    pub xray: Option<Arc<str>>,
    /// What Datadog's headers say besides ids.
    pub datadog: Option<Arc<Datadog>>,
}

/// What Datadog's headers say besides ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datadog {
    /// `x-datadog-sampling-priority`: above zero, the trace is kept.
    pub priority: i8,
    /// `x-datadog-origin`.
    pub origin: Option<HeaderValue>,
    /// `x-datadog-tags`, without the upper half of the trace id.
    pub tags: Option<Box<str>>,
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
            datadog: None,
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

    /// The same context, without a share in the buffers of the connection that it was read from: for
    /// whoever keeps it longer than the request.
    #[must_use]
    pub fn detached(mut self) -> Self {
        for value in [&mut self.state, &mut self.baggage].into_iter().flatten() {
            *value = copied(value);
        }
        self
    }
}

/// A value in memory of its own.
fn copied(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).expect("the bytes of a header are those of a header")
}

/// The `trace-flags` of W3C trace context, level 2, and one more that other formats have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceFlags(u8);

impl TraceFlags {
    /// The caller may have recorded the trace.
    pub const SAMPLED: Self = Self(1);
    /// At least the last seven bytes of the trace id are random.
    pub const RANDOM: Self = Self(2);
    /// The trace is recorded because somebody debugs, whatever samplers say: a word of B3 and Jaeger
    /// that W3C does not have.
    pub const DEBUG: Self = Self(0x80);

    /// The flags of this byte. Bits without a meaning yet are dropped, as the specification asks.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self(byte & (Self::SAMPLED.0 | Self::RANDOM.0))
    }

    /// The flags as W3C writes them, in a byte.
    #[must_use]
    pub fn to_byte(self) -> u8 {
        self.0 & (Self::SAMPLED.0 | Self::RANDOM.0)
    }

    /// Whether the trace is recorded.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Whether the last seven bytes of the trace id are known to be random.
    #[must_use]
    pub fn is_random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// Whether the trace is recorded because somebody debugs.
    #[must_use]
    pub fn is_debug(self) -> bool {
        self.0 & Self::DEBUG.0 != 0
    }

    /// These flags with the sampled bit set or cleared. What is not recorded is not debugged.
    #[must_use]
    pub fn with_sampled(self, sampled: bool) -> Self {
        if sampled {
            Self(self.0 | Self::SAMPLED.0)
        } else {
            Self(self.0 & !(Self::SAMPLED.0 | Self::DEBUG.0))
        }
    }

    /// These flags and those.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }
}

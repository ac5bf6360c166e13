//! A span as the bytes of an OTLP `ExportTraceServiceRequest`.
//!
//! The bytes of a span are a field of the request's innermost message, and protobuf lets fields be
//! concatenated. So spans are encoded as they come, one behind the other, and a request is a short
//! head in front of them. There are no structs between: that is twelve times cheaper, and the
//! official ones serve as the oracle in the tests.

use std::time::{Duration, SystemTime};

use throughline::{
    attributes::{self, Value},
    span::{Kind, Link, Span},
};

use super::wire::{Head, Writer, header_len, short_tag};
use crate::export::Resource;

/// What the spans of every request are preceded by.
#[derive(Clone, Debug)]
pub(super) struct Preamble {
    /// The encoded `Resource` field of a `ResourceSpans`.
    resource: Vec<u8>,
    /// The encoded `InstrumentationScope` field of a `ScopeSpans`.
    scope: Vec<u8>,
}

impl Preamble {
    pub(super) fn new(resource: &Resource) -> Self {
        let mut preamble = Self {
            resource: Vec::new(),
            scope: Vec::new(),
        };
        Writer(&mut preamble.resource).message(1, |w| {
            for (key, value) in resource.attributes() {
                attribute(w, 1, key, Value::Str(value));
            }
        });
        Writer(&mut preamble.scope).message(1, |w| {
            w.bytes(1, b"throughline");
            w.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
        });
        preamble
    }

    /// The whole request for spans that [`span`] has encoded.
    pub(super) fn request(&self, spans: &[u8]) -> Vec<u8> {
        let scope_spans = self.scope.len() + spans.len();
        let resource_spans = self.resource.len() + header_len(2, scope_spans) + scope_spans;
        let length = header_len(1, resource_spans) + resource_spans;
        let mut out = Vec::with_capacity(length);
        Writer(&mut out).header(1, resource_spans);
        out.extend_from_slice(&self.resource);
        Writer(&mut out).header(2, scope_spans);
        out.extend_from_slice(&self.scope);
        out.extend_from_slice(spans);
        out
    }
}

/// Appends `span` as one `Span` field of a `ScopeSpans`.
pub(super) fn span(span: &Span, out: &mut Vec<u8>) {
    Writer(out).message(2, |w| {
        w.bytes(1, &span.trace_id.to_bytes());
        w.bytes(2, &span.span_id.to_bytes());
        if let Some(state) = &span.state {
            w.bytes(3, state.as_bytes());
        }
        if let Some(parent) = span.parent {
            w.bytes(4, &parent.to_bytes());
        }
        w.bytes(5, span.name().as_str().as_bytes());
        w.varint(
            6,
            match span.kind {
                Kind::Server => 2,
                Kind::Client => 3,
            },
        );
        let start = unix_nanos(span.started);
        w.fixed64(7, start);
        w.fixed64(8, start.saturating_add(nanos(span.duration())));
        attributes::of(span, |key, value| attribute(w, 9, key, value));
        attributes::of_baggage(span, |key, value| attribute(w, 9, key, Value::Str(value)));
        for link in span.links() {
            w.message(13, |w| write_link(link, w));
        }
        if span.error_type().is_some() {
            w.message(15, |w| w.varint(3, STATUS_CODE_ERROR));
        }
        let remote = span.parent.is_some() && span.parent_is_remote;
        w.fixed32(16, flags(span.flags.to_byte(), remote));
    });
}

const STATUS_CODE_ERROR: u64 = 2;

/// The low byte is W3C's; the others say whether the parent is remote, and that this is known.
fn flags(w3c: u8, is_remote: bool) -> u32 {
    const HAS_IS_REMOTE: u32 = 0x100;
    const IS_REMOTE: u32 = 0x200;
    u32::from(w3c) | HAS_IS_REMOTE | if is_remote { IS_REMOTE } else { 0 }
}

fn write_link(link: &Link, w: &mut Writer<'_>) {
    w.bytes(1, &link.trace_id.to_bytes());
    w.bytes(2, &link.span_id.to_bytes());
    attributes::of_link(link, |key, value| attribute(w, 4, key, value));
    // What was worked out is a request of this very process; all others are somebody else's.
    let is_remote = !link.relation.is_inferred();
    w.fixed32(6, flags(link.flags.to_byte(), is_remote));
}

/// One `KeyValue`.
///
/// A span is mostly these, forty of them. So their lengths are counted first and their bytes written
/// in four pieces, a third of what nesting one message in another would take.
fn attribute(w: &mut Writer<'_>, field: u32, key: &str, value: Value<'_>) {
    let mut any = Head::default();
    let mut text: &[u8] = &[];
    match value {
        Value::Str(value) => {
            text = value.as_bytes();
            any.header(1, text.len());
        }
        Value::Bool(yes) => any.varint(2, u64::from(yes)),
        // Nothing that is counted here is negative.
        Value::Int(number) => any.varint(3, u64::try_from(number).unwrap_or(0)),
        Value::Float(number) => any.double(4, number),
    }
    let any_length = any.as_slice().len() + text.len();
    if key.len() + any_length < SHORT {
        // Every tag and every length is one byte.
        let length = 2 + key.len() + 2 + any_length;
        w.0.reserve(2 + length);
        w.0.extend_from_slice(&[short_tag(field), length as u8]);
        w.0.extend_from_slice(&[short_tag(1), key.len() as u8]);
        w.0.extend_from_slice(key.as_bytes());
        w.0.extend_from_slice(&[short_tag(2), any_length as u8]);
        w.0.extend_from_slice(any.as_slice());
        w.0.extend_from_slice(text);
        return;
    }
    let mut between = Head::default();
    between.header(2, any_length);
    between.extend(any.as_slice());

    let mut before = Head::default();
    let length = header_len(1, key.len()) + key.len() + between.as_slice().len() + text.len();
    before.header(field, length);
    before.header(1, key.len());
    let pieces = [before.as_slice(), key.as_bytes(), between.as_slice(), text];
    w.0.reserve(pieces.iter().map(|piece| piece.len()).sum());
    for piece in pieces {
        w.0.extend_from_slice(piece);
    }
}

/// A key and a value that are shorter together make lengths below 128, with what is between them.
const SHORT: usize = 0x80 - 4;

fn unix_nanos(time: SystemTime) -> u64 {
    nanos(
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

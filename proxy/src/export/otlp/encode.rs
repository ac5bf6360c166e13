//! A span as the bytes of an OTLP `ExportTraceServiceRequest`.
//!
//! The bytes of a span are a field of the request's innermost message, and protobuf lets fields be
//! concatenated. So spans are encoded as they come, one behind the other, and a request is a short
//! head in front of them. There are no structs between: that is twelve times cheaper, and the
//! official ones serve as the oracle in the tests.

use std::time::{Duration, SystemTime};

use http::Version;
use throughline::{
    semconv,
    span::{Kind, Link, Span},
};

use super::wire::{Writer, header_len};
use crate::export::Resource;

/// The gRPC status of a call, as a number.
pub const RPC_GRPC_STATUS_CODE: &str = "rpc.grpc.status_code";

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
                attribute(w, 1, [key, ""], Value::Text(value));
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
        attributes(span, w);
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
    let confidence = Value::Double(widen(link.confidence));
    attribute(w, 4, [semconv::PARENT_CONFIDENCE, ""], confidence);
    // Candidates are requests that this very process has open.
    w.fixed32(6, flags(link.flags.to_byte(), false));
}

fn attributes(span: &Span, w: &mut Writer<'_>) {
    let mut put = |key: &str, value: Value<'_>| attribute(w, 9, [key, ""], value);
    match span.known_method() {
        Some(method) => put(semconv::HTTP_REQUEST_METHOD, Value::Text(method)),
        None => {
            put(semconv::HTTP_REQUEST_METHOD, Value::Text("_OTHER"));
            if !span.method.is_empty() {
                let original = Value::Text(span.method.as_str());
                put(semconv::HTTP_REQUEST_METHOD_ORIGINAL, original);
            }
        }
    }
    if let Some(status) = span.status {
        let status = Value::Int(u64::from(status.as_u16()));
        put(semconv::HTTP_RESPONSE_STATUS_CODE, status);
    }
    if let Some(error) = span.error_type() {
        put(semconv::ERROR_TYPE, Value::Text(error.as_str()));
    }
    if let Some(code) = span.grpc_status {
        put(RPC_GRPC_STATUS_CODE, Value::Int(u64::from(code)));
    }
    if let Some(version) = protocol_version(span.version) {
        put(semconv::NETWORK_PROTOCOL_VERSION, Value::Text(version));
    }
    if !span.host.is_empty() {
        // In an attribute, unlike in a URL, an IPv6 address stands without brackets.
        let host = span.host.as_str().trim_matches(['[', ']']);
        put(semconv::SERVER_ADDRESS, Value::Text(host));
    }
    match span.kind {
        Kind::Server => server(span, &mut put),
        Kind::Client => client(span, &mut put),
    }
    ours(span, &mut put);
    for (phase, ns) in span.phases.iter() {
        let key = [semconv::PHASE_PREFIX, phase.name()];
        attribute(w, 9, key, Value::Int(ns));
    }
}

fn server(span: &Span, put: &mut impl FnMut(&str, Value<'_>)) {
    put(semconv::URL_SCHEME, Value::Text(span.scheme.as_str()));
    if !span.path.is_empty() {
        put(semconv::URL_PATH, Value::Text(span.path.as_str()));
    }
    if !span.route.is_empty() {
        put(semconv::HTTP_ROUTE, Value::Text(span.route.as_str()));
    }
    if let Some(port) = span.port {
        put(semconv::SERVER_PORT, Value::Int(u64::from(port)));
    }
    if let Some(client) = span.client {
        // Whoever asked is the peer: the connection on the span is the one to the app.
        let client = client.to_string();
        put(semconv::CLIENT_ADDRESS, Value::Text(&client));
        put(semconv::NETWORK_PEER_ADDRESS, Value::Text(&client));
    }
    if !span.user_agent.is_empty() {
        let agent = Value::Text(span.user_agent.as_str());
        put(semconv::USER_AGENT_ORIGINAL, agent);
    }
}

fn client(span: &Span, put: &mut impl FnMut(&str, Value<'_>)) {
    if !span.host.is_empty() {
        let port = span.port.unwrap_or_else(|| span.scheme.default_port());
        put(semconv::SERVER_PORT, Value::Int(u64::from(port)));
        put(semconv::URL_FULL, Value::Text(&url(span)));
    }
    if let Some(peer) = span.peer() {
        let address = peer.ip().to_string();
        put(semconv::NETWORK_PEER_ADDRESS, Value::Text(&address));
        let port = Value::Int(u64::from(peer.port()));
        put(semconv::NETWORK_PEER_PORT, port);
    }
    if span.resend_count > 0 {
        let count = Value::Int(u64::from(span.resend_count));
        put(semconv::HTTP_REQUEST_RESEND_COUNT, count);
    }
}

/// What no convention has a word for.
fn ours(span: &Span, put: &mut impl FnMut(&str, Value<'_>)) {
    if span.starts_at_headers {
        put(semconv::START_PRECISION, Value::Text("headers"));
    }
    if let Some(failure) = span.failure {
        let phase = Value::Text(failure.phase.name());
        put(semconv::PHASE_INTERRUPTED, phase);
        put(semconv::ENDED_BY, Value::Text(failure.ended_by.name()));
    }
    if let Some(used) = span.connection {
        put(semconv::CONNECTION_REUSED, Value::Bool(used.reused));
        put(semconv::CONNECTION_AGE, Value::Int(nanos(used.age)));
        put(semconv::CONNECTION_ORDINAL, Value::Int(used.ordinal));
    }
    if let Some(parentage) = span.parentage {
        let evidence = Value::Text(parentage.evidence.name());
        put(semconv::PARENT_EVIDENCE, evidence);
        let confidence = Value::Double(widen(parentage.confidence));
        put(semconv::PARENT_CONFIDENCE, confidence);
        let candidates = Value::Int(u64::from(parentage.candidates));
        put(semconv::PARENT_CANDIDATES, candidates);
    }
    if let Some(source) = span.context_source {
        put(semconv::CONTEXT_SOURCE, Value::Text(source.name()));
    }
    if span.context_invalid {
        put(semconv::CONTEXT_INVALID, Value::Bool(true));
    }
}

/// The address of a call without its query, which may hold secrets.
fn url(span: &Span) -> String {
    let (scheme, host, path) = (span.scheme.as_str(), span.host.as_str(), span.path.as_str());
    match span.port {
        Some(port) => format!("{scheme}://{host}:{port}{path}"),
        None => format!("{scheme}://{host}{path}"),
    }
}

fn protocol_version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_09 => Some("0.9"),
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        Version::HTTP_3 => Some("3"),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug)]
enum Value<'v> {
    Text(&'v str),
    Bool(bool),
    Int(u64),
    Double(f64),
}

/// One `KeyValue`; the key comes in two parts, so that prefixed names need no allocation.
fn attribute(w: &mut Writer<'_>, field: u32, key: [&str; 2], value: Value<'_>) {
    w.message(field, |w| {
        w.joined(1, key);
        w.message(2, |w| match value {
            Value::Text(text) => w.bytes(1, text.as_bytes()),
            Value::Bool(yes) => w.varint(2, u64::from(yes)),
            // The type is signed, and what is counted here is far from its end.
            Value::Int(number) => w.varint(3, number.min(i64::MAX as u64)),
            Value::Double(number) => w.double(4, number),
        });
    });
}

/// A confidence as a double that reads as it was written: 0.9, and not 0.8999999761581421.
fn widen(confidence: f32) -> f64 {
    (f64::from(confidence) * 1e6).round() / 1e6
}

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

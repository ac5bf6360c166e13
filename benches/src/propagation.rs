//! Who reads and writes trace context: Throughline in each header format, and the propagators of
//! OpenTelemetry beside it, on the same `http::HeaderMap`.
//!
//! The propagators for Jaeger (`opentelemetry-jaeger-propagator` 0.32) and for Datadog
//! (`opentelemetry-datadog` 0.20, deprecated) are not here: neither has a release for the
//! `opentelemetry` 0.33 of this workspace.
#![allow(
    deprecated,
    reason = "the propagator for B3 is deprecated with its crate and has no successor"
)]

use std::{fmt, hint::black_box};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use opentelemetry::{Context, propagation::TextMapPropagator};
use opentelemetry_aws::trace::XrayPropagator;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use opentelemetry_zipkin::{B3Encoding, Propagator as ZipkinPropagator};
use throughline::{
    id::{SpanId, TraceId},
    propagation::{Format, Propagator},
};

/// One reader and writer of one header format.
pub struct Subject {
    /// Whose it is: `throughline` or `opentelemetry`.
    pub owner: &'static str,
    /// Which format, and what of it.
    pub format: String,
    /// A request that carries the format.
    pub incoming: HeaderMap,
    extract: Box<dyn Fn(&HeaderMap)>,
    inject: Box<dyn Fn(&mut HeaderMap)>,
}

impl Subject {
    /// Reads the context of a request.
    pub fn extract(&self, headers: &HeaderMap) {
        (self.extract)(headers);
    }

    /// Writes into a request the context that [`Subject::incoming`] has.
    pub fn inject(&self, headers: &mut HeaderMap) {
        (self.inject)(headers);
    }

    fn throughline(format: &str, propagator: Propagator, incoming: HeaderMap) -> Self {
        let read = propagator.extract(&incoming);
        assert!(read.rejected.is_empty(), "{incoming:?} is well formed");
        let context = read.continued(SpanId::from_random(7), || TraceId::epoch_prefixed(1, 2));
        let writer = propagator.clone();
        Self {
            owner: "throughline",
            format: format.into(),
            incoming,
            extract: Box::new(move |headers| _ = black_box(propagator.extract(headers))),
            inject: Box::new(move |headers| writer.inject(black_box(&context), headers)),
        }
    }

    fn opentelemetry<P>(format: &str, propagator: impl Fn() -> P, incoming: HeaderMap) -> Self
    where
        P: TextMapPropagator + 'static,
    {
        let (reader, writer) = (propagator(), propagator());
        let nobody = Context::new();
        let context = reader.extract_with_context(&nobody, &HeaderExtractor(&incoming));
        let mut written = HeaderMap::new();
        writer.inject_context(&context, &mut HeaderInjector(&mut written));
        assert!(!written.is_empty(), "{incoming:?} is well formed");
        Self {
            owner: "opentelemetry",
            format: format.into(),
            incoming,
            extract: Box::new(move |headers| {
                let headers = HeaderExtractor(headers);
                black_box(reader.extract_with_context(&nobody, &headers));
            }),
            inject: Box::new(move |headers| {
                writer.inject_context(black_box(&context), &mut HeaderInjector(headers));
            }),
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.format)
    }
}

const TRACEPARENT: (&str, &str) = (
    "traceparent",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
);

/// Everybody, each format of ours followed by who else reads it.
#[must_use]
pub fn subjects() -> Vec<Subject> {
    let bare = request(&[TRACEPARENT]);
    let stated = request(&[TRACEPARENT, ("tracestate", "vendor=1,tenant@system=2")]);
    let baggage = request(&[("baggage", "user=7,tenant=a%20b")]);
    let xray = request(&[(
        "x-amzn-trace-id",
        "Root=1-6721a5f0-112233445566778899aabbcc;Parent=00f067aa0ba902b7;Sampled=1",
    )]);
    let lineage = request(&[(
        "x-amzn-trace-id",
        "Root=1-6721a5f0-112233445566778899aabbcc;Parent=00f067aa0ba902b7;Sampled=1;Lineage=456f6a97:0",
    )]);
    let single = request(&[("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")]);
    let multi = request(&[
        ("x-b3-traceid", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("x-b3-spanid", "00f067aa0ba902b7"),
        ("x-b3-sampled", "1"),
    ]);
    let jaeger = request(&[(
        "uber-trace-id",
        "4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:1",
    )]);
    let datadog = request(&[
        ("x-datadog-trace-id", "11803532876627986230"),
        ("x-datadog-parent-id", "67667974448284343"),
        ("x-datadog-sampling-priority", "1"),
        ("x-datadog-tags", "_dd.p.tid=4bf92f3577b34da6"),
    ]);
    let ours = |name: &str, format: Format, incoming: &HeaderMap| {
        Subject::throughline(name, Propagator::new([format]), incoming.clone())
    };
    let state = "tracecontext with tracestate";
    vec![
        ours("tracecontext", Format::TraceContext, &bare),
        Subject::opentelemetry("tracecontext", TraceContextPropagator::new, bare),
        ours(state, Format::TraceContext, &stated),
        Subject::opentelemetry(state, TraceContextPropagator::new, stated),
        ours("baggage", Format::Baggage, &baggage),
        Subject::opentelemetry("baggage", BaggagePropagator::new, baggage),
        ours("xray", Format::XRay, &xray),
        Subject::opentelemetry("xray", XrayPropagator::new, xray),
        ours("xray with lineage", Format::XRay, &lineage),
        Subject::opentelemetry("xray with lineage", XrayPropagator::new, lineage),
        ours("b3", Format::B3, &single),
        Subject::opentelemetry(
            "b3",
            || ZipkinPropagator::with_encoding(B3Encoding::SingleHeader),
            single,
        ),
        ours("b3multi", Format::B3Multi, &multi),
        Subject::opentelemetry(
            "b3multi",
            || ZipkinPropagator::with_encoding(B3Encoding::MultipleHeader),
            multi,
        ),
        ours("jaeger", Format::Jaeger, &jaeger),
        ours("datadog", Format::Datadog, &datadog),
    ]
}

/// The headers of a request as hyper hands them over: values that share the buffer of a connection.
fn request(context: &[(&'static str, &str)]) -> HeaderMap {
    let mut buffer = BytesMut::new();
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("shop"));
    for (name, text) in context {
        buffer.extend_from_slice(text.as_bytes());
        let value = HeaderValue::from_maybe_shared(buffer.split().freeze());
        headers.insert(
            HeaderName::from_static(name),
            value.expect("visible characters"),
        );
    }
    headers
}

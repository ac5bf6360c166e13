//! What does one hop cost, without a socket?
//!
//! - Taking the notes of a whole exchange, and making phases of them.
//! - [`ServerLayer`] around a service that does nothing: beside the service alone, when the trace is
//!   recorded, and when it is not.
//!
//! `cargo bench -p throughline-benches --bench hop`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros write functions, and a bench may"
)]

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use throughline::{
    ServerLayer, ambient, attributes,
    context::{TraceContext, TraceFlags},
    phase::{ConnectionUse, Phase, Recorder},
    sink::Discard,
    span::{Kind, Span},
};
use tower::{Layer, Service, service_fn};

fn context() -> TraceContext {
    TraceContext {
        state: Some(HeaderValue::from_static("vendor=1")),
        baggage: Some(HeaderValue::from_static("user=7")),
        xray: Some("Lineage=456f6a97:0".into()),
        ..TraceContext::new(
            ambient::trace_id(),
            ambient::span_id(),
            TraceFlags::SAMPLED.and(TraceFlags::RANDOM),
        )
    }
}

/// A request over a new connection, from its first byte to the last of its response.
fn record(start: Instant) -> Recorder {
    let at = |us| start + Duration::from_micros(us);
    let recorder = Recorder::new(start, Phase::Receive);
    recorder.enter(Phase::Proxy, at(1));
    recorder.begin_attempt(at(2));
    recorder.enter(Phase::Dns, at(3));
    recorder.enter(Phase::Connect, at(4));
    recorder.enter(Phase::Tls, at(5));
    recorder.enter(Phase::Send, at(6));
    recorder.connection(ConnectionUse {
        reused: false,
        age: Duration::ZERO,
        ordinal: 1,
        peer: None,
        tls: None,
    });
    recorder.sent(at(7));
    recorder.responded(at(8));
    recorder.enter(Phase::Drain, at(9));
    recorder
}

fn phases(c: &mut Criterion) {
    let start = ambient::now();
    c.bench_function("recorder/whole exchange", |b| {
        b.iter(|| record(black_box(start)));
    });
    let recorder = record(start);
    let end = start + Duration::from_micros(10);
    c.bench_function("phases/of eleven", |b| {
        b.iter(|| recorder.phases(black_box(end)));
    });
    let mut span = Span::new(Kind::Server, &context(), ambient::wall());
    span.method = "GET".into();
    span.host = "shop".into();
    span.path = "/users/17".into();
    span.phases = recorder.phases(end);
    c.bench_function("attributes/of a span", |b| {
        b.iter(|| attributes::of(black_box(&span), |name, value| _ = black_box((name, value))));
    });
}

fn server(c: &mut Criterion) {
    let nothing = service_fn(async |request: Request<Full<Bytes>>| {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    });
    for (name, flags) in [("recorded", "01"), ("not recorded", "00")] {
        let traceparent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let request = move || {
            Request::get("/users/17")
                .header("host", "shop")
                .header("traceparent", &traceparent)
                .body(Full::new(Bytes::from_static(b"Ada")))
                .unwrap()
        };
        let mut traced = ServerLayer::new(Discard).layer(nothing);
        c.bench_function(&format!("server/{name}"), |b| {
            b.iter_batched(&request, |r| answer(&mut traced, r), BatchSize::SmallInput);
        });
        if flags == "01" {
            let mut alone = nothing;
            c.bench_function("server/alone", |b| {
                b.iter_batched(&request, |r| answer(&mut alone, r), BatchSize::SmallInput);
            });
        }
    }
}

/// Runs `service` and reads its response to the end. Nothing in it ever waits.
fn answer<S, B>(service: &mut S, request: Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: Body<Error = Infallible>,
{
    let mut cx = Context::from_waker(Waker::noop());
    let response = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = response.poll(&mut cx) else {
        unreachable!("the service is always ready");
    };
    let mut body = pin!(response.into_body());
    while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut cx) {
        black_box(frame);
    }
}

criterion_group!(hop, phases, server);
criterion_main!(hop);

//! Hop spans and the app's own spans, through one OpenTelemetry SDK.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::MatchedPath,
    http::{HeaderMap, Request, Response, StatusCode},
    routing::get,
};
use http_body_util::BodyExt;
use opentelemetry::{
    Context, Value,
    trace::FutureExt,
    trace::{SpanId, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        self as sdk, InMemorySpanExporter, SdkTracer, SdkTracerProvider, SimpleSpanProcessor,
        SpanData, SpanProcessor,
    },
};
use throughline::{
    ClientLayer, ServerLayer, ambient,
    context::{TraceContext, TraceFlags},
    otel::Hops,
    phase::{Party, Phase, Recorder},
    sink::Sink,
    span::{Kind, Link, Relation, Span},
};
use tower::{Layer, ServiceExt, service_fn};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// An SDK as an app sets it up, with the sink for its hops.
struct Sdk {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
    hops: Hops,
}

impl Sdk {
    fn new() -> Self {
        let exporter = InMemorySpanExporter::default();
        let hops = Hops::new(SimpleSpanProcessor::new(exporter.clone()));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(hops.clone())
            .build();
        Self {
            exporter,
            provider,
            hops,
        }
    }

    fn tracer(&self) -> SdkTracer {
        self.provider.tracer("shop")
    }

    fn layer(&self) -> ServerLayer<Hops> {
        ServerLayer::new(self.hops.clone())
            .route(|request| Some(request.extensions.get::<MatchedPath>()?.as_str().into()))
    }

    /// The exported spans, of which there are `N`, in the order in which they ended.
    fn spans<const N: usize>(&self) -> [SpanData; N] {
        self.exporter
            .get_finished_spans()
            .unwrap()
            .try_into()
            .unwrap()
    }
}

async fn ask(app: Router, traceparent: Option<&str>) -> StatusCode {
    let mut request = Request::get("http://shop:8080/buy/7?secret=1");
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let request = request
        .header("tracestate", "vendor=1")
        .body(Body::empty())
        .unwrap();
    let response = app.oneshot(request).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

fn attribute(span: &SpanData, name: &str) -> Option<Value> {
    let found = span
        .attributes
        .iter()
        .find(|pair| pair.key.as_str() == name);
    found.map(|pair| pair.value.clone())
}

/// The phases of a span, and that their sum is the time from its start to its end.
fn phases(span: &SpanData) -> Vec<String> {
    let mut names = Vec::new();
    let mut sum = 0;
    for pair in &span.attributes {
        let name = pair.key.as_str().strip_prefix("throughline.phase.");
        if let (Some(name), Value::I64(nanos)) = (name, &pair.value) {
            names.push(name.to_owned());
            sum += u128::try_from(*nanos).unwrap();
        }
    }
    let duration = span.end_time.duration_since(span.start_time).unwrap();
    assert_eq!(sum, duration.as_nanos());
    names
}

#[tokio::test]
async fn the_apps_own_span_nests_under_the_request() {
    let sdk = Sdk::new();
    let tracer = sdk.tracer();
    let handler = async move || {
        tokio::task::yield_now().await;
        tracer.in_span("work", |_| {});
        "done"
    };
    let app = Router::new()
        .route("/buy/{id}", get(handler))
        .layer(sdk.layer());
    ask(app, Some(&format!("00-{TRACE}-{CALLER}-01"))).await;

    let [work, request] = sdk.spans();
    assert_eq!(request.name, "GET /buy/{id}");
    assert_eq!(request.span_kind, SpanKind::Server);
    assert_eq!(request.span_context.trace_id().to_string(), TRACE);
    assert_eq!(request.span_context.trace_state().header(), "vendor=1");
    assert_eq!(request.parent_span_id.to_string(), CALLER);
    assert!(request.parent_span_is_remote, "the caller is elsewhere");
    assert_eq!(request.instrumentation_scope.name(), "throughline");
    assert_eq!(work.name, "work");
    assert_eq!(work.span_context.trace_id().to_string(), TRACE);
    assert_eq!(work.parent_span_id, request.span_context.span_id());
    assert!(!work.parent_span_is_remote, "the request is handled here");
    assert_eq!(work.span_context.trace_state().header(), "vendor=1");
}

#[tokio::test]
async fn what_is_exported_is_what_the_span_says() {
    let sdk = Sdk::new();
    let app = Router::new()
        .route("/buy/{id}", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .layer(sdk.layer());
    assert_eq!(ask(app, None).await, 503);

    let [request] = sdk.spans();
    assert_eq!(request.parent_span_id, SpanId::INVALID);
    assert!(!request.parent_span_is_remote);
    assert_eq!(request.status, Status::error(""));
    for (name, value) in [
        ("http.request.method", Value::from("GET")),
        ("http.route", Value::from("/buy/{id}")),
        ("http.response.status_code", Value::from(503)),
        ("error.type", Value::from("503")),
        ("url.path", Value::from("/buy/7")),
        ("server.address", Value::from("shop")),
        ("server.port", Value::from(8080)),
        ("throughline.start.precision", Value::from("headers")),
    ] {
        assert_eq!(attribute(&request, name), Some(value), "{name}");
    }
    assert_eq!(phases(&request), ["proxy", "wait", "transfer", "drain"]);
}

#[tokio::test]
async fn an_unsampled_request_exports_nothing_and_neither_does_the_app() {
    let sdk = Sdk::new();
    let tracer = sdk.tracer();
    let handler =
        async move || tracer.in_span("work", |cx| cx.span().span_context().trace_id().to_string());
    let app = Router::new()
        .route("/buy/{id}", get(handler))
        .layer(sdk.layer());
    let request = Request::get("/buy/7")
        .header("traceparent", format!("00-{TRACE}-{CALLER}-00"))
        .body(Body::empty())
        .unwrap();
    let response = app.oneshot(request).await.unwrap();
    let seen = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(seen, TRACE, "the trace goes on all the same");
    let [] = sdk.spans();
}

#[tokio::test]
async fn a_call_is_a_child_of_the_request_and_parent_of_what_the_callee_makes() {
    let sdk = Sdk::new();
    let upstream = service_fn(async |request: Request<Body>| {
        let parent = request.headers()["traceparent"].clone();
        let response = Response::new(Body::from(parent.to_str().unwrap().to_owned()));
        Ok::<_, Infallible>(response)
    });
    let http = ClientLayer::new(sdk.hops.clone()).layer(upstream);
    let handler = async move |headers: HeaderMap| {
        let call = Request::get("http://stock/items/7").body(Body::empty());
        let response = http.oneshot(call.unwrap()).await.unwrap();
        let sent = response.into_body().collect().await.unwrap().to_bytes();
        assert_ne!(sent, headers["traceparent"].as_bytes());
        sent
    };
    let app = Router::new()
        .route("/buy/{id}", get(handler))
        .layer(sdk.layer());
    let request = Request::get("/buy/7").body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    let sent = response.into_body().collect().await.unwrap().to_bytes();

    let [call, request] = sdk.spans();
    assert_eq!(call.span_kind, SpanKind::Client);
    assert_eq!(
        call.span_context.trace_id(),
        request.span_context.trace_id()
    );
    assert_eq!(call.parent_span_id, request.span_context.span_id());
    assert!(!call.parent_span_is_remote);
    assert_eq!(
        sent,
        format!(
            "00-{}-{}-03",
            call.span_context.trace_id(),
            call.span_context.span_id()
        )
    );
    assert_eq!(
        attribute(&call, "url.full"),
        Some(Value::from("http://stock/items/7"))
    );
    assert_eq!(phases(&call), ["wait", "transfer"]);
    assert_eq!(call.status, Status::Unset);
}

#[tokio::test]
async fn a_call_made_within_the_apps_own_span_is_its_child() {
    let sdk = Sdk::new();
    let upstream =
        service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let http = ClientLayer::new(sdk.hops.clone()).layer(upstream);
    let tracer = sdk.tracer();
    let handler = async move || {
        let work = Context::current_with_span(tracer.start("work"));
        let call = Request::get("http://stock/items/7").body(Body::empty());
        let response = http.oneshot(call.unwrap()).with_context(work).await;
        response.unwrap().into_body().collect().await.unwrap();
    };
    let app = Router::new()
        .route("/buy/{id}", get(handler))
        .layer(sdk.layer());
    ask(app, Some(&format!("00-{TRACE}-{CALLER}-01"))).await;

    let [work, call, _] = sdk.spans();
    assert_eq!(call.parent_span_id, work.span_context.span_id());
    assert_eq!(call.span_context.trace_id().to_string(), TRACE);
    assert_eq!(call.span_context.trace_state().header(), "vendor=1");
}

#[tokio::test]
async fn the_active_span_is_gone_when_the_request_is() {
    let sdk = Sdk::new();
    let app = Router::new()
        .route("/buy/{id}", get(async || "done"))
        .layer(sdk.layer());
    let outer = sdk.tracer().start("outer");
    let outer = Context::current_with_span(outer);
    let _outer = outer.clone().attach();
    ask(app, None).await;
    let here = Context::current().span().span_context().clone();
    assert_eq!(here, *outer.span().span_context());
}

#[test]
fn links_times_and_interruptions_survive_to_the_nanosecond() {
    let sdk = Sdk::new();
    let context = TraceContext::new(
        ambient::trace_id(),
        ambient::span_id(),
        TraceFlags::SAMPLED.and(TraceFlags::RANDOM),
    );
    let started = SystemTime::UNIX_EPOCH + Duration::new(1_764_000_000, 123_456_789);
    let mut span = Box::new(Span::new(Kind::Client, &context, started));
    let candidate = Link {
        relation: Relation::Candidate,
        trace_id: ambient::trace_id(),
        span_id: ambient::span_id(),
        flags: TraceFlags::SAMPLED,
        confidence: 0.4,
    };
    span.links[0] = Some(candidate);
    let parent = Link {
        relation: Relation::Parent,
        span_id: ambient::span_id(),
        confidence: 0.9,
        ..candidate
    };
    span.links[1] = Some(parent);
    span.parent_is_disputed = true;
    let start = ambient::now();
    let recorder = Recorder::new(start, Phase::Queue);
    recorder.enter(Phase::Connect, start + Duration::from_nanos(1_000_000_001));
    recorder.fail(Party::Proxy, "timeout");
    span.phases = recorder.phases(start + Duration::from_nanos(3_000_000_004));
    span.failure = recorder.failure();
    sdk.hops.offer(span);

    let [call] = sdk.spans();
    assert_eq!(call.start_time, started);
    assert_eq!(call.end_time, started + Duration::from_nanos(3_000_000_004));
    assert_eq!(phases(&call), ["queue", "connect"]);
    assert_eq!(
        attribute(&call, "throughline.phase.connect"),
        Some(Value::from(2_000_000_003_i64))
    );
    assert_eq!(
        attribute(&call, "throughline.phase.interrupted"),
        Some(Value::from("connect"))
    );
    assert_eq!(
        attribute(&call, "throughline.ended_by"),
        Some(Value::from("proxy"))
    );
    assert_eq!(call.span_context.trace_flags().to_u8(), 3);
    let disputed = attribute(&call, "throughline.parent.disputed");
    assert_eq!(disputed, Some(Value::from(true)));
    let [link, found] = &call.links[..] else {
        panic!("two links: {:?}", call.links)
    };
    let to = found.span_context.span_id();
    assert_eq!(to.to_string(), parent.span_id.to_string());
    let said: Vec<_> = found.attributes.iter().map(|pair| &pair.value).collect();
    assert_eq!(said, [&Value::from("parent"), &Value::from(0.9)]);
    let to = &link.span_context;
    assert_eq!(to.trace_id().to_string(), candidate.trace_id.to_string());
    assert_eq!(to.span_id().to_string(), candidate.span_id.to_string());
    let confidence = &link.attributes[1];
    assert_eq!(confidence.key.as_str(), "throughline.parent.confidence");
    assert_eq!(confidence.value, Value::from(0.4));
}

/// A processor that counts what is asked of it.
#[derive(Clone, Debug, Default)]
struct Counts(Arc<[AtomicU32; 5]>);

impl Counts {
    fn count(&self, what: usize) {
        self.0[what].fetch_add(1, Ordering::Relaxed);
    }

    fn seen(&self) -> [u32; 5] {
        std::array::from_fn(|what| self.0[what].load(Ordering::Relaxed))
    }
}

impl SpanProcessor for Counts {
    fn on_start(&self, _: &mut sdk::Span, _: &Context) {
        self.count(0);
    }

    fn on_end(&self, _: SpanData) {
        self.count(1);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.count(2);
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.count(3);
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        let name = resource.get(&"service.name".into());
        assert_eq!(name, Some(Value::from("shop")));
        self.count(4);
    }
}

#[test]
fn the_shared_processor_is_told_everything_once() {
    let counts = Counts::default();
    let hops = Hops::new(counts.clone());
    let provider = SdkTracerProvider::builder()
        .with_span_processor(hops.clone())
        .with_resource(Resource::builder().with_service_name("shop").build())
        .build();
    assert_eq!(counts.seen(), [0, 0, 0, 0, 1], "the resource");
    drop(provider.tracer("shop").start("work"));
    assert_eq!(counts.seen(), [1, 1, 0, 0, 1], "the app's span");
    let context = TraceContext::new(ambient::trace_id(), ambient::span_id(), TraceFlags::SAMPLED);
    hops.offer(Box::new(Span::new(Kind::Server, &context, ambient::wall())));
    assert_eq!(counts.seen(), [1, 2, 0, 0, 1], "the hop's span");
    provider.force_flush().unwrap();
    provider.shutdown().unwrap();
    drop((provider, hops));
    assert_eq!(counts.seen(), [1, 2, 1, 1, 1], "flush and shutdown");
}

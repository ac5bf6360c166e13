//! Hop spans through OpenTelemetry's SDK, so that the app's own spans nest under them.
//!
//! An app that has an SDK already has a processor and an exporter. [`Hops`] stands in front of that
//! processor: the SDK's provider gives it the app's spans, the layers give it theirs, and both leave
//! on the same way with the same resource. While a request is handled its span is also the active
//! one of OpenTelemetry, so that whatever the app starts becomes its child.
//!
//! ```text
//! tracer.start("work") ─▶ SdkTracerProvider ─▶ Hops ─▶ BatchSpanProcessor ─▶ exporter
//! ServerLayer, ClientLayer ──────────────────▶
//! ```
//!
//! The SDK's own way to make a span cannot take the ids that were already sent on in headers, so
//! finished spans are handed over as the data that processors take.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    time::Duration,
};

use opentelemetry::{
    ContextGuard, InstrumentationScope, KeyValue,
    trace::{
        Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
        TraceState,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{self as sdk, SpanData, SpanLinks, SpanProcessor},
};

use crate::{
    attributes::{self, Value},
    context::{self, TraceContext},
    current, id,
    sink::Sink,
    span::{self, Kind, Span},
};

/// A sink for hop spans that is also the span processor of the app's tracer provider.
///
/// Give one clone to the provider and one to each layer:
///
/// ```
/// use axum::{Router, routing::get};
/// use opentelemetry::trace::{Tracer, TracerProvider};
/// use opentelemetry_sdk::trace::{BatchSpanProcessor, InMemorySpanExporter, SdkTracerProvider};
/// use throughline::{ServerLayer, otel::Hops};
///
/// let exporter = InMemorySpanExporter::default(); // In an app this one speaks OTLP.
/// let hops = Hops::new(BatchSpanProcessor::builder(exporter).build());
/// let provider = SdkTracerProvider::builder()
///     .with_span_processor(hops.clone())
///     .build();
///
/// let tracer = provider.tracer("shop");
/// let app: Router = Router::new()
///     .route(
///         "/buy",
///         get(async move || {
///             let _child_of_the_request = tracer.start("work");
///         }),
///     )
///     .layer(ServerLayer::new(hops));
/// # drop(app);
/// provider.shutdown().unwrap();
/// ```
///
/// The processor is called on the request's own path, so it should be one that queues, as
/// `BatchSpanProcessor` does. It sees hop spans when they end and not when they start, and it is the
/// only one of the provider's processors that sees them.
///
/// The layers decide what is sampled. The SDK's default sampler follows its parent, and so them; one
/// that decides by itself can leave holes in a trace.
///
/// Flush and shut down through the provider. What ends after its shutdown is lost, as the app's own
/// spans are.
#[derive(Clone, Debug)]
pub struct Hops {
    processor: Arc<RwLock<dyn SpanProcessor>>,
    scope: InstrumentationScope,
}

impl Hops {
    /// Hands the spans of hops, and everything that a provider gives it, to `processor`.
    pub fn new(processor: impl SpanProcessor + 'static) -> Self {
        Self {
            processor: Arc::new(RwLock::new(processor)),
            scope: InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }

    /// The processor. Nobody waits here while requests are served: the only writer is
    /// `set_resource`, which a provider calls once while it is built.
    fn processor(&self) -> RwLockReadGuard<'_, dyn SpanProcessor + 'static> {
        self.processor
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Hops {
    type Scope = Scope;

    fn offer(&self, span: Box<Span>) {
        self.processor()
            .on_end(span_data(&span, self.scope.clone()));
    }

    fn enter(&self, context: &TraceContext) -> Scope {
        let active = span_context(context);
        let otel = opentelemetry::Context::current().with_remote_span_context(active);
        Scope {
            _otel: otel.attach(),
            _own: current::enter(context.clone()),
        }
    }

    /// The app's own active span, where it has one: a call belongs to the work that makes it.
    fn current(&self) -> Option<TraceContext> {
        let active = opentelemetry::Context::map_current(|cx| cx.span().span_context().clone());
        let trace_id = id::TraceId::from_bytes(active.trace_id().to_bytes());
        let span_id = id::SpanId::from_bytes(active.span_id().to_bytes());
        let (Some(trace_id), Some(span_id)) = (trace_id, span_id) else {
            return current::context();
        };
        let flags = context::TraceFlags::from_byte(active.trace_flags().to_u8());
        let own = current::context().filter(|own| own.trace_id == trace_id);
        let mut context = own.unwrap_or_else(|| TraceContext::new(trace_id, span_id, flags));
        (context.span_id, context.flags) = (span_id, flags);
        Some(context)
    }
}

impl SpanProcessor for Hops {
    fn on_start(&self, span: &mut sdk::Span, cx: &opentelemetry::Context) {
        self.processor().on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        self.processor().on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor().force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor().shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .set_resource(resource);
    }
}

/// Puts the contexts back that were current before: OpenTelemetry's and ours.
#[derive(Debug)]
pub struct Scope {
    _otel: ContextGuard,
    _own: current::Scope,
}

/// A hop's position as OpenTelemetry spells it.
///
/// Not "remote", although the SDK did not make the span: what the app starts under it is in the same
/// process, and a child of a remote parent would be shown as a second entry to the service.
fn span_context(context: &TraceContext) -> SpanContext {
    SpanContext::new(
        trace_id(context.trace_id),
        span_id(context.span_id),
        flags(context.flags),
        false,
        trace_state(context.state.as_ref().and_then(|state| state.to_str().ok())),
    )
}

fn span_data(span: &Span, scope: InstrumentationScope) -> SpanData {
    let mut pairs = Vec::with_capacity(32);
    attributes::of(span, |name, value| pairs.push(pair(name, value)));
    attributes::of_baggage(span, |name, value| {
        pairs.push(KeyValue::new(name.to_owned(), value.to_owned()));
    });
    let mut links = SpanLinks::default();
    links.links.extend(span.links().map(link));
    SpanData {
        span_context: SpanContext::new(
            trace_id(span.trace_id),
            span_id(span.span_id),
            flags(span.flags),
            false,
            trace_state(span.state.as_deref()),
        ),
        parent_span_id: span.parent.map_or(SpanId::INVALID, span_id),
        parent_span_is_remote: span.parent_is_remote,
        span_kind: match span.kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        },
        name: span.name().as_str().to_owned().into(),
        start_time: span.started,
        end_time: span.ended(),
        attributes: pairs,
        dropped_attributes_count: 0,
        events: sdk::SpanEvents::default(),
        links,
        // `error.type` says it already; the conventions want no description that repeats it.
        status: match span.error_type() {
            Some(_) => Status::error(""),
            None => Status::Unset,
        },
        instrumentation_scope: scope,
    }
}

fn link(link: &span::Link) -> Link {
    let mut pairs = Vec::with_capacity(1);
    attributes::of_link(link, |name, value| pairs.push(pair(name, value)));
    let to = SpanContext::new(
        trace_id(link.trace_id),
        span_id(link.span_id),
        flags(link.flags),
        false,
        TraceState::NONE,
    );
    Link::new(to, pairs, 0)
}

fn pair(name: &'static str, value: Value<'_>) -> KeyValue {
    match value {
        Value::Str(text) => KeyValue::new(name, text.to_owned()),
        Value::Int(number) => KeyValue::new(name, number),
        Value::Bool(yes) => KeyValue::new(name, yes),
        Value::Float(number) => KeyValue::new(name, number),
    }
}

fn trace_id(id: id::TraceId) -> TraceId {
    TraceId::from_bytes(id.to_bytes())
}

fn span_id(id: id::SpanId) -> SpanId {
    SpanId::from_bytes(id.to_bytes())
}

fn flags(flags: context::TraceFlags) -> TraceFlags {
    TraceFlags::new(flags.to_byte())
}

/// OpenTelemetry reads a little less than the specification allows (a system of 14 characters is too
/// long for it); what it cannot hold still travels in the headers, which are not written from here.
fn trace_state(state: Option<&str>) -> TraceState {
    state.map_or(TraceState::NONE, |state| state.parse().unwrap_or_default())
}

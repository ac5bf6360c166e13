//! [`ClientLayer`]: one CLIENT span for each call that a service makes.

use std::{
    num::NonZeroU64,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response, request};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    ambient,
    body::{Traced, TracedBody},
    context::{TraceContext, TraceFlags},
    exchange::{self, Exchange},
    future::ResponseFuture,
    id::TraceId,
    phase::{Phase, Recorder},
    propagation::{Format, Propagator, Rejections, signed::Signature},
    sample::Sampler,
    server::Hop,
    sink::Sink,
    span::{Conflict, Kind, Link, MAX_LINKS, Parentage, Span},
};

/// Reports a CLIENT span for each call and injects its context into the call's headers.
///
/// The parent is the [`Cause`] in the request's extensions, or else the request that is being
/// handled ([`current::context`](crate::current::context)); without either the call begins a trace of its own.
///
/// ```
/// use http::Request;
/// use http_body_util::Empty;
/// use bytes::Bytes;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use throughline::{ClientLayer, sink::Collect};
/// use tower::{Layer, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let spans = Collect::default();
/// let http = Client::builder(TokioExecutor::new()).build_http();
/// let http = ClientLayer::new(spans.clone()).layer(http);
///
/// let nobody = Request::get("http://127.0.0.1:1/").body(Empty::<Bytes>::new()).unwrap();
/// assert!(http.oneshot(nobody).await.is_err());
/// let span = spans.take().remove(0);
/// assert_eq!((span.host.as_str(), span.port), ("127.0.0.1", Some(1)));
/// assert!(span.failure.is_some());
/// # }
/// ```
///
/// Each call of the service is one attempt. A retry that stands outside of this layer makes a second
/// span, a sibling; give it [`Resend`] to number them.
#[derive(Clone, Debug)]
pub struct ClientLayer<S> {
    shared: Arc<Shared>,
    sink: S,
}

#[derive(Clone, Debug)]
struct Shared {
    propagator: Propagator,
    sampler: Sampler,
    /// Whether what is not sampled is reported all the same.
    reports_unsampled: bool,
}

impl<S: Sink> ClientLayer<S> {
    /// A layer that reports to `sink` and writes every header format.
    pub fn new(sink: S) -> Self {
        Self {
            shared: Arc::new(Shared {
                propagator: Propagator::default(),
                sampler: Sampler::default(),
                reports_unsampled: false,
            }),
            sink,
        }
    }

    /// Writes context as `propagator` says.
    #[must_use]
    pub fn propagator(mut self, propagator: Propagator) -> Self {
        Arc::make_mut(&mut self.shared).propagator = propagator;
        self
    }

    /// Decides with `sampler` which of the traces that begin here are recorded.
    #[must_use]
    pub fn sampler(mut self, sampler: Sampler) -> Self {
        Arc::make_mut(&mut self.shared).sampler = sampler;
        self
    }

    /// Reports calls that are not sampled too, to a sink that looks at the flags of a span.
    ///
    /// A log of accesses wants every one; the trace is as little recorded as before, and says so to
    /// whoever is called.
    #[must_use]
    pub fn report_unsampled(mut self, report: bool) -> Self {
        Arc::make_mut(&mut self.shared).reports_unsampled = report;
        self
    }
}

/// What caused a call, in the extensions of its request.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The context that the call is a child of; `None` lets it begin a trace of its own.
    pub parent: Option<TraceContext>,
    /// The trace that a call without a parent is the first span of, where it names one.
    pub adopted: Option<TraceId>,
    /// What the call itself says about being recorded, where it says that without naming a parent.
    pub sampled: Option<bool>,
    /// Whether the parent's span lives in another process.
    pub parent_is_remote: bool,
    /// How the parent is known.
    pub parentage: Parentage,
    /// What names the call to whoever may learn more of its parent; `None` where nothing more becomes
    /// known. All attempts of one call have the same.
    pub call: Option<NonZeroU64>,
    /// Requests that may have caused it, where none is asserted, and contexts that were not believed.
    pub links: [Option<Link>; MAX_LINKS],
    /// What copied the context onto the call, where a forwarder that launched with the app did.
    pub forwarder: Option<&'static str>,
    /// The header format that the context of the call was read from.
    pub source: Option<Format>,
    /// A context in the call that named another trace, and lost.
    pub conflict: Option<Conflict>,
    /// Context headers of the call that could not be read.
    pub rejected: Rejections,
}

impl Cause {
    /// A call of which nothing is known but this: it begins a trace of its own.
    #[must_use]
    pub fn new(parentage: Parentage) -> Self {
        Self {
            parent: None,
            adopted: None,
            sampled: None,
            parent_is_remote: false,
            parentage,
            call: None,
            links: [None; MAX_LINKS],
            forwarder: None,
            source: None,
            conflict: None,
            rejected: Rejections::default(),
        }
    }
}

/// Which resend of a request this is, from 1, in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resend(pub u32);

impl<T, S: Sink> Layer<T> for ClientLayer<S> {
    type Service = Client<T, S>;

    fn layer(&self, inner: T) -> Client<T, S> {
        Client {
            inner,
            layer: self.clone(),
        }
    }
}

/// The service made by [`ClientLayer`].
#[derive(Clone, Debug)]
pub struct Client<T, S> {
    inner: T,
    layer: ClientLayer<S>,
}

impl<T, S, ReqBody, ResBody> Service<Request<ReqBody>> for Client<T, S>
where
    T: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
    S: Sink,
{
    type Response = Response<TracedBody<ResBody, S>>;
    type Error = T::Error;
    type Future = ResponseFuture<T::Future, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.inner.poll_ready(cx)
    }

    /// Step 7 of the way of a request, second half: the span's id is injected, and the call goes on.
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let to_head = request.method() == Method::HEAD;
        let (mut parts, body) = request.into_parts();
        let (hop, exchange) = self.layer.begin(&mut parts);
        let context = hop.context.clone();
        parts.extensions.insert(hop);
        let traced = Traced {
            exchange,
            context,
            kind: Kind::Client,
            sink: self.layer.sink.clone(),
        };
        let inner = self.inner.call(Request::from_parts(parts, body));
        ResponseFuture::new(inner, traced, to_head)
    }
}

impl<S: Sink> ClientLayer<S> {
    fn begin(&self, request: &mut request::Parts) -> (Hop, Option<Exchange>) {
        let wall = ambient::wall();
        let cause = request.extensions.remove::<Cause>();
        let (parent, adopted, is_remote) = match &cause {
            Some(cause) => (cause.parent.clone(), cause.adopted, cause.parent_is_remote),
            None => (self.sink.current(), None, false),
        };
        let decided = cause.as_ref().and_then(|cause| cause.sampled);
        let context = match &parent {
            Some(parent) => {
                let mut child = parent.child(ambient::span_id());
                if decided == Some(false) {
                    child.flags = child.flags.with_sampled(false);
                }
                child
            }
            None => {
                let trace_id = adopted.unwrap_or_else(|| ambient::trace_id_at(wall));
                let sampled = self.shared.sampler.decide(decided, trace_id);
                let flags = TraceFlags::RANDOM.with_sampled(sampled);
                TraceContext::new(trace_id, ambient::span_id(), flags)
            }
        };
        let signature = Signature::of(&request.uri, &request.headers);
        let propagator = &self.shared.propagator;
        if let Some(cause) = &cause {
            propagator.discard(&cause.rejected, &mut request.headers, signature);
        }
        propagator.inject_signed(&context, &mut request.headers, signature);
        if !context.flags.is_sampled() && !self.shared.reports_unsampled {
            let recorder = None;
            return (Hop { context, recorder }, None);
        }

        let now = ambient::now();
        // Without a pool that says better, all there is to see is that we wait.
        let recorder = Recorder::new(now, Phase::Wait);
        let mut span = Box::new(Span::new(Kind::Client, &context, wall));
        span.parent = parent.map(|parent| parent.span_id);
        span.parent_is_remote = is_remote;
        if let Some(cause) = cause {
            span.parentage = Some(cause.parentage);
            span.call = cause.call;
            span.links = cause.links;
            span.forwarder = cause.forwarder;
            span.context_source = cause.source;
            span.context_conflict = cause.conflict;
            span.context_rejected = cause.rejected;
        }
        span.context_frozen = signature.covers_context();
        span.resend_count = request
            .extensions
            .get::<Resend>()
            .map_or(0, |resend| resend.0);
        exchange::describe(&mut span, request);
        let hop = Hop {
            context,
            recorder: Some(recorder.clone()),
        };
        (hop, Some(Exchange::new(span, recorder)))
    }
}

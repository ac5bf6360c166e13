//! [`ServerLayer`]: one SERVER span for each request that a service answers.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::{Method, Request, Response, request};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    ambient,
    body::{Traced, TracedBody},
    context::TraceContext,
    exchange::{self, Exchange},
    future::ResponseFuture,
    phase::{Phase, Recorder},
    propagation::{Propagator, baggage_value, signed::Signature},
    sample::Sampler,
    sink::Sink,
    span::{Conflict, Kind, Link, Member, Relation, Scheme, Span},
    text::Inline,
    tls::Session,
    trust::Trust,
};

/// Continues the caller's trace and reports a SERVER span for each request.
///
/// The context is read from the request's headers and written back into them, so that a handler
/// which copies headers to its own calls keeps the trace together. The same context is in the
/// request's extensions, as [`Hop`].
///
/// ```
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use bytes::Bytes;
/// use throughline::{ServerLayer, sink::Collect};
/// use tower::{Layer, Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let spans = Collect::default();
/// let hello = service_fn(async |_: Request<Empty<Bytes>>| {
///     Ok::<_, std::io::Error>(Response::new(Empty::<Bytes>::new()))
/// });
/// let service = ServerLayer::new(spans.clone()).layer(hello);
///
/// let response = service.oneshot(Request::new(Empty::new())).await.unwrap();
/// assert!(spans.take().is_empty(), "the span lasts as long as the body");
/// drop(response);
///
/// let span = spans.take().remove(0);
/// assert_eq!(span.name().as_str(), "GET");
/// assert_eq!(span.status.unwrap(), 200);
/// assert_eq!(span.phases.iter().map(|(_, ns)| ns).sum::<u64>(), span.duration().as_nanos() as u64);
/// # }
/// ```
///
/// # Dropping
///
/// A response future that is dropped ends its span as `cancelled`, by the client. So does a body
/// that is dropped before its end.
#[derive(Clone, Debug)]
pub struct ServerLayer<S> {
    shared: Arc<Shared>,
    sink: S,
}

type RouteOf = dyn Fn(&request::Parts) -> Option<Inline<96>> + Send + Sync;

#[derive(Clone)]
struct Shared {
    propagator: Propagator,
    sampler: Sampler,
    /// Whether what is not sampled is reported all the same.
    reports_unsampled: bool,
    route: Option<Arc<RouteOf>>,
    trust: Trust,
    /// The names of the members of baggage that are noted, each as an attribute.
    baggage: Arc<[Arc<str>]>,
}

/// What stands in front of the name of a member of baggage, in the name of its attribute.
const BAGGAGE_PREFIX: &str = "baggage.";

impl Shared {
    fn baggage_members(&self, context: &TraceContext) -> Option<Box<[Member]>> {
        if self.baggage.is_empty() {
            return None;
        }
        let carried = context.baggage.as_ref()?;
        let members: Box<[Member]> = self
            .baggage
            .iter()
            .filter_map(|attribute| {
                let value = baggage_value(carried, &attribute[BAGGAGE_PREFIX.len()..])?;
                Some(Member {
                    attribute: attribute.clone(),
                    value: (&*value).into(),
                })
            })
            .collect();
        (!members.is_empty()).then_some(members)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("propagator", &self.propagator)
            .field("sampler", &self.sampler)
            .finish_non_exhaustive()
    }
}

impl<S: Sink> ServerLayer<S> {
    /// A layer that reports to `sink`, reads and writes the usual header formats and follows the caller's sampling.
    pub fn new(sink: S) -> Self {
        Self {
            shared: Arc::new(Shared {
                propagator: Propagator::default(),
                sampler: Sampler::default(),
                reports_unsampled: false,
                route: None,
                trust: Trust::All,
                baggage: Arc::default(),
            }),
            sink,
        }
    }

    /// Reads and writes context as `propagator` says.
    #[must_use]
    pub fn propagator(mut self, propagator: Propagator) -> Self {
        Arc::make_mut(&mut self.shared).propagator = propagator;
        self
    }

    /// Decides with `sampler` which traces are recorded.
    #[must_use]
    pub fn sampler(mut self, sampler: Sampler) -> Self {
        Arc::make_mut(&mut self.shared).sampler = sampler;
        self
    }

    /// Reports requests that are not sampled too, to a sink that looks at the flags of a span.
    ///
    /// A log of accesses wants every one; the trace is as little recorded as before, and says so to
    /// whoever is called.
    #[must_use]
    pub fn report_unsampled(mut self, report: bool) -> Self {
        Arc::make_mut(&mut self.shared).reports_unsampled = report;
        self
    }

    /// Believes the context of these callers alone.
    ///
    /// Of another caller the context is linked, and a trace begins here, with a decision of our own.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        Arc::make_mut(&mut self.shared).trust = trust;
        self
    }

    /// Notes these members of a request's `baggage` on its span, as `baggage.NAME`.
    #[must_use]
    pub fn baggage_attributes<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter();
        let attributes = names.map(|name| format!("{BAGGAGE_PREFIX}{}", name.as_ref()).into());
        Arc::make_mut(&mut self.shared).baggage = attributes.collect();
        self
    }

    /// Names spans by the route that this function finds for a request.
    ///
    /// In axum that is the [`MatchedPath`], which a layer of a `Router` can see:
    ///
    /// ```
    /// use axum::{Router, extract::MatchedPath, routing::get};
    /// use throughline::{ServerLayer, sink::Discard};
    ///
    /// let traced = ServerLayer::new(Discard)
    ///     .route(|request| Some(request.extensions.get::<MatchedPath>()?.as_str().into()));
    /// let app: Router = Router::new()
    ///     .route("/users/{id}", get(|| async { "Ada" }))
    ///     .layer(traced);
    /// ```
    ///
    /// [`MatchedPath`]: https://docs.rs/axum/latest/axum/extract/struct.MatchedPath.html
    #[must_use]
    pub fn route(
        mut self,
        route: impl Fn(&request::Parts) -> Option<Inline<96>> + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.shared).route = Some(Arc::new(route));
        self
    }

    /// The same layer, reporting to another sink.
    #[must_use]
    pub fn with_sink<T: Sink>(&self, sink: T) -> ServerLayer<T> {
        ServerLayer {
            shared: self.shared.clone(),
            sink,
        }
    }
}

impl<T, S: Sink> Layer<T> for ServerLayer<S> {
    type Service = Server<T, S>;

    fn layer(&self, inner: T) -> Server<T, S> {
        Server {
            inner,
            layer: self.clone(),
        }
    }
}

/// What a server can see of a request before its headers are complete: put into the request's
/// extensions by whoever reads the socket.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When the first byte of the request came, if that could be told apart.
    pub first_byte: Option<Instant>,
    /// When the headers were complete.
    pub headers: Instant,
    /// The other end of the connection.
    pub peer: Option<SocketAddr>,
    /// What TLS told of the connection, and whether this is the first request on it; `None` in clear.
    pub tls: Option<(Arc<Session>, bool)>,
}

impl Arrival {
    /// Whether `trust` believes whoever this came from.
    #[must_use]
    pub fn is_trusted(&self, trust: &Trust) -> bool {
        let names = self.tls.as_ref().map_or(&[][..], |(tls, _)| tls.names());
        trust.includes_named(self.peer.map(|peer| peer.ip()), names)
    }
}

/// The running exchange, in the extensions of its request: for whoever carries it on.
#[derive(Clone, Debug)]
pub struct Hop {
    /// The context at the span of this exchange.
    pub context: TraceContext,
    /// The notes of its phases; `None` when nothing is recorded.
    pub recorder: Option<Recorder>,
}

/// The service made by [`ServerLayer`].
#[derive(Clone, Debug)]
pub struct Server<T, S> {
    inner: T,
    layer: ServerLayer<S>,
}

impl<T, S, ReqBody, ResBody> Service<Request<ReqBody>> for Server<T, S>
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

    /// Steps 2, 3 and 5 of the way of a request: read the context, decide, write it for the app.
    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let to_head = request.method() == Method::HEAD;
        let (mut parts, body) = request.into_parts();
        let (hop, exchange) = self.layer.begin(&mut parts);
        let context = hop.context.clone();
        parts.extensions.insert(hop);
        let traced = Traced {
            exchange,
            context,
            kind: Kind::Server,
            sink: self.layer.sink.clone(),
        };
        let inner = {
            let _scope = traced.sink.enter(&traced.context);
            self.inner.call(Request::from_parts(parts, body))
        };
        ResponseFuture::new(inner, traced, to_head)
    }
}

impl<S: Sink> ServerLayer<S> {
    fn begin(&self, request: &mut request::Parts) -> (Hop, Option<Exchange>) {
        let arrival = request.extensions.get::<Arrival>().cloned();
        // Whoever saw the headers come has just read the clock.
        let now = arrival
            .as_ref()
            .map_or_else(ambient::now, |arrival| arrival.headers);
        let wall = ambient::wall();
        let peer = arrival.as_ref().and_then(|arrival| arrival.peer);
        let is_trusted = arrival.as_ref().map_or_else(
            || self.shared.trust.includes(None),
            |arrival| arrival.is_trusted(&self.shared.trust),
        );
        let propagator = &self.shared.propagator;
        let signature = Signature::of(&request.uri, &request.headers).to_app();
        let read = propagator.extract_signed(&request.headers, signature);
        if !read.rejected.is_empty() {
            self.sink.rejected(&read.rejected);
            propagator.discard(&read.rejected, &mut request.headers, signature);
        }
        let (read, stranger) = if is_trusted {
            (read, None)
        } else {
            propagator.forget(&mut request.headers, signature);
            read.distrusted()
        };
        let context = read.continued(ambient::span_id(), || ambient::trace_id_at(wall));
        let sampled = self.shared.sampler.decide(read.sampled(), context.trace_id);
        let context = TraceContext {
            flags: context.flags.with_sampled(sampled),
            ..context
        };
        propagator.inject_signed(&context, &mut request.headers, signature);
        if !sampled && !self.shared.reports_unsampled {
            let recorder = None;
            return (Hop { context, recorder }, None);
        }

        let first_byte = arrival.as_ref().and_then(|arrival| arrival.first_byte);
        let recorder = match first_byte {
            Some(first_byte) => {
                let recorder = Recorder::new(first_byte, Phase::Receive);
                recorder.enter(Phase::Proxy, now);
                recorder
            }
            None => Recorder::new(now, Phase::Proxy),
        };
        let started = exchange::wall_at(recorder.start(), now, wall);
        let mut span = Box::new(Span::new(Kind::Server, &context, started));
        if let Some(remote) = read.remote() {
            span.parent = remote.parent;
            span.parent_is_remote = remote.parent.is_some();
            span.context_source = Some(remote.source);
            if let Some(loser) = read.conflict(remote) {
                span.context_conflict = Some(Conflict::of(loser));
                span.links[0] = Link::to(loser, Relation::Conflict);
            }
        }
        if let Some(stranger) = stranger {
            span.links[0] = Link::to(&stranger, Relation::Untrusted);
        }
        span.context_rejected = read.rejected;
        span.context_frozen = signature.covers_context();
        span.baggage = self.shared.baggage_members(&context);
        span.starts_at_headers = first_byte.is_none();
        span.client = peer.map(|peer| peer.ip());
        exchange::describe(&mut span, request);
        if let Some(route) = self.shared.route.as_ref().and_then(|route| route(request)) {
            span.route = route;
        }
        let is_elsewhere = arrival.is_none();
        if let Some((session, is_new)) = arrival.and_then(|arrival| arrival.tls) {
            span.scheme = Scheme::Https;
            span.tls = Some(session);
            span.tls_is_new = is_new;
        }
        if is_elsewhere {
            // In an app the work of the handler begins here. Where somebody looks after connections,
            // a pool below says what comes first.
            recorder.enter(Phase::Wait, ambient::now());
        }
        let hop = Hop {
            context,
            recorder: Some(recorder.clone()),
        };
        (hop, Some(Exchange::new(span, recorder)))
    }
}

//! To the app: limits → `ServerLayer` → window → pool.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, Method, Request, Response};
use http_body_util::Either;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use throughline::{
    ServerLayer, ambient,
    body::TracedBody,
    context::TraceContext,
    future::ResponseFuture,
    id::TraceId,
    phase::Recorder,
    server::{Hop, Server},
    sink::Discard,
};
use tower::{Layer, Service};

use crate::{
    correlate::{Correlator, Kind, Request as Opened},
    echoes::{Echoes, OpenValues},
    glimpse::Glimpsed,
    headers,
    hold::Holding,
    interim::Interim,
    listen::{Connection, Draining, Stack},
    pipeline::Pipeline,
    pool::{self, Origin, Pool, Protocol, RequestBody, ResponseBody, Upstream},
    processes::Carried,
    reply,
    request_id::RequestIds,
    retry::Resends,
    tunnel::{Tunnel, Wanted},
    window::Key,
};

/// The longest value that is kept to recognise a request by.
const MAX_REQUEST_ID: usize = 128;

/// How the requests to an app are traced.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// The layer, whose sink is chosen for each connection.
    pub layer: ServerLayer<Discard>,
    /// Where spans go.
    pub pipeline: Pipeline,
    /// Headers whose values name a request.
    pub request_id_headers: Arc<[HeaderName]>,
    /// Gives an id to a request that has none; `None` leaves it without.
    pub request_ids: Option<RequestIds>,
    /// Knows the open exchanges, which outbound calls are held against.
    pub correlator: Arc<Mutex<Correlator>>,
    /// Whether it is noted which connection carries a request, for [`crate::owners`].
    pub notes_carriers: bool,
    /// The values that may come back in calls; `None` does not look at them.
    pub values: Option<Arc<Echoes>>,
}

/// The stack in front of an app.
#[derive(Clone, Debug)]
pub struct Inbound {
    app: Arc<Upstream>,
    request_timeout: Option<Duration>,
    /// Where the app's other ports are had from, for connections that were redirected from them.
    redirected: Option<(Pool, Protocol)>,
    tracing: Option<Arc<Tracing>>,
}

impl Inbound {
    /// Requests go to `app`; without `tracing` that is all that happens to them. Each may take
    /// `request_timeout` until the end of its answer.
    #[must_use]
    pub fn new(
        app: Arc<Upstream>,
        request_timeout: Option<Duration>,
        tracing: Option<Tracing>,
    ) -> Self {
        Self {
            app,
            request_timeout,
            redirected: None,
            tracing: tracing.map(Arc::new),
        }
    }

    /// Connections that were redirected go to the port of the app that they were for; `pool` has it, and
    /// it speaks `protocol`.
    #[must_use]
    pub fn redirected(self, pool: Pool, protocol: Protocol) -> Self {
        Self {
            redirected: Some((pool, protocol)),
            ..self
        }
    }

    /// Who answers the requests of a connection.
    fn app(&self, connection: &Connection) -> Arc<Upstream> {
        let own = self.app.origin();
        match (&self.redirected, connection.destination()) {
            (Some((pool, protocol)), Some(meant)) if meant.port() != own.port() => {
                pool.upstream(&Origin::http(own.host(), meant.port()), *protocol)
            }
            _ => self.app.clone(),
        }
    }
}

impl Stack for Inbound {
    type Body = Either<TracedBody<ToAppBody, Draining>, ToAppBody>;
    type Service = InboundService;

    fn takes_other(&self, meant: SocketAddr) -> Option<(String, u16)> {
        Some((self.app.origin().host().to_owned(), meant.port()))
    }

    fn service(&self, connection: &Arc<Connection>) -> InboundService {
        let to_app = ToApp {
            app: self.app(connection),
            request_timeout: self.request_timeout,
            tracing: self.tracing.clone(),
            connection: connection.clone(),
            caller: connection.early(),
        };
        match &self.tracing {
            None => InboundService::Plain(to_app),
            Some(tracing) => {
                let sink = Draining::new(connection.clone(), tracing.pipeline.clone());
                InboundService::Traced(tracing.layer.with_sink(sink).layer(to_app))
            }
        }
    }
}

/// The service for the requests of one connection.
#[derive(Clone, Debug)]
pub enum InboundService {
    /// With a SERVER span for each.
    Traced(Server<ToApp, Draining>),
    /// As they are.
    Plain(ToApp),
}

impl Service<Request<Incoming>> for InboundService {
    type Response = Response<<Inbound as Stack>::Body>;
    type Error = Infallible;
    type Future = InboundFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> InboundFuture {
        match self {
            Self::Traced(server) => InboundFuture::Traced {
                inner: server.call(request),
            },
            Self::Plain(to_app) => InboundFuture::Plain {
                inner: to_app.call(request),
            },
        }
    }
}

pin_project! {
    /// The answer to an inbound request.
    #[project = InboundFutureProjection]
    #[allow(missing_docs, missing_debug_implementations)]
    pub enum InboundFuture {
        Traced { #[pin] inner: ResponseFuture<ToAppFuture, Draining> },
        Plain { #[pin] inner: ToAppFuture },
    }
}

impl Future for InboundFuture {
    type Output = Result<Response<<Inbound as Stack>::Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(match self.project() {
            InboundFutureProjection::Traced { inner } => ready!(inner.poll(cx))?.map(Either::Left),
            InboundFutureProjection::Plain { inner } => ready!(inner.poll(cx))?.map(Either::Right),
        }))
    }
}

/// What comes back from the app: its answer, which keeps the exchange open, or ours if it fails.
pub type ToAppBody = Either<
    Holding<ResponseBody<Glimpsed<Incoming>>, Option<OpenExchange>>,
    http_body_util::Full<bytes::Bytes>,
>;

type ToAppFuture = Pin<Box<dyn Future<Output = Result<Response<ToAppBody>, Infallible>> + Send>>;

/// Sends a request to the app, with its exchange open in the window for as long as the app may make
/// calls because of it.
#[derive(Clone, Debug)]
pub struct ToApp {
    app: Arc<Upstream>,
    request_timeout: Option<Duration>,
    /// Shared by all connections.
    tracing: Option<Arc<Tracing>>,
    /// For tunnels, which outlive the request.
    connection: Arc<Connection>,
    caller: Option<Arc<Interim>>,
}

impl Service<Request<Incoming>> for ToApp {
    type Response = Response<ToAppBody>;
    type Error = Infallible;
    type Future = ToAppFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Steps 4 and 5 of the way of a request, second half: the exchange is opened, the app is asked.
    fn call(&mut self, mut request: Request<Incoming>) -> ToAppFuture {
        let app = self.app.clone();
        if let Err(bad) = one_host(&mut request, &app) {
            let hop = request.extensions_mut().remove::<Hop>();
            let recorder = hop.and_then(|hop| hop.recorder);
            let error = pool::Error::new(pool::Cause::NoRoute, bad.why());
            let answer = reply::to_error(&error, recorder.as_ref());
            return Box::pin(std::future::ready(Ok(answer)));
        }
        let named = headers::strip_hop_by_hop(request.headers_mut());
        let is_connect = request.method() == Method::CONNECT;
        let version = request.version();
        let wanted = match Wanted::of(version, is_connect, request.extensions_mut(), named) {
            None if is_connect => {
                return Box::pin(std::future::ready(Ok(refuse_tunnel(&mut request))));
            }
            wanted => wanted,
        };
        let ids = self.tracing.as_ref().and_then(|t| t.request_ids.as_ref());
        if let Some(ids) = ids {
            ids.ensure(&mut request, ambient::random);
        }
        let (context, recorder) = match request.extensions_mut().remove::<Hop>() {
            Some(hop) => (Some(hop.context), hop.recorder),
            None => (None, None),
        };
        let trace_id = context.as_ref().map(|context| context.trace_id);
        let open = match (&self.tracing, context) {
            (Some(tracing), Some(context)) => {
                let opened = recorder.as_ref().map_or_else(ambient::now, Recorder::start);
                Some(OpenExchange::begin(tracing, context, opened, &request))
            }
            _ => None,
        };
        let deadline = self.request_timeout.map(|timeout| {
            let start = recorder.as_ref().map_or_else(ambient::now, Recorder::start);
            start + timeout
        });
        let values = open.as_ref().and_then(|open| open.values.as_ref());
        let request = match values {
            Some(values) => values.watch(request),
            None => request.map(Glimpsed::new),
        };
        let mut request = request.map(|body| RequestBody::new(body).of(self.caller.clone()));
        if let Some(wanted) = wanted {
            let switching = self.switch(wanted, request, recorder, open);
            return Box::pin(async move { Ok(switching.await) });
        }
        Box::pin(async move {
            let mut resends = Resends::none();
            let carried = open.as_ref().and_then(OpenExchange::carried);
            let answer = loop {
                let error = match app
                    .send_carried(&mut request, recorder.as_ref(), carried, deadline)
                    .await
                {
                    Ok(response) => break Ok(response),
                    Err(error) => error,
                };
                if let Err(error) = resends.after(error, &mut request) {
                    break Err(error);
                }
            };
            Ok(match answer {
                Ok(mut response) => {
                    headers::strip_hop_by_hop(response.headers_mut());
                    response.map(|body| Either::Left(Holding::new(body, open)))
                }
                Err(error) => {
                    report(&error, trace_id);
                    reply::to_error(&error, recorder.as_ref())
                }
            })
        })
    }
}

impl ToApp {
    /// Asks the app for another protocol, and stays between the two if it agrees.
    fn switch(
        &self,
        wanted: Wanted,
        mut request: Request<RequestBody<Glimpsed<Incoming>>>,
        recorder: Option<Recorder>,
        open: Option<OpenExchange>,
    ) -> impl Future<Output = Response<ToAppBody>> + use<> {
        let (app, connection) = (self.app.clone(), self.connection.clone());
        let pipeline = self.tracing.as_ref().map(|t| t.pipeline.clone());
        async move {
            let carried = open.as_ref().and_then(|open| open.carried.clone());
            // Moved into the tunnel, or held by the answer if there is none.
            let mut open = Some(open);
            let tunnel = |protocol| {
                let mut held = open.take().flatten();
                if let Some(open) = &mut held {
                    open.tunnel();
                }
                Tunnel {
                    connection,
                    pipeline,
                    protocol,
                    may_be_tls: false,
                    held,
                }
            };
            let asked = wanted.ask(
                &app,
                &mut request,
                recorder.as_ref(),
                carried.as_deref(),
                tunnel,
            );
            match asked.await {
                Ok(response) => {
                    response.map(|body| Either::Left(Holding::new(body, open.flatten())))
                }
                Err(error) => {
                    report(&error, None);
                    reply::to_error(&error, recorder.as_ref())
                }
            }
        }
    }
}

/// The answer to whoever takes the app's door for a proxy.
fn refuse_tunnel<B>(request: &mut Request<B>) -> Response<ToAppBody> {
    let hop = request.extensions_mut().remove::<Hop>();
    let recorder = hop.and_then(|hop| hop.recorder);
    let error = pool::Error::new(
        pool::Cause::Tunnel,
        "this is no proxy, and makes no tunnels",
    );
    reply::to_tunnel(
        request.version(),
        reply::to_error(&error, recorder.as_ref()),
    )
}

fn report(error: &pool::Error, trace_id: Option<TraceId>) {
    tracing::debug!(
        %error,
        trace_id = trace_id.map(tracing::field::display),
        xray_trace_id = trace_id.map(|id| tracing::field::display(id.xray())),
        "the app did not answer"
    );
}

/// Sees to it that the app is asked for one host.
fn one_host<B>(request: &mut Request<B>, app: &Upstream) -> Result<(), headers::BadHost> {
    let version = request.version();
    let own = || app.origin().authority();
    // Taken and put back: both are parts of the request, and a copy would be made for each.
    let target = std::mem::take(request.uri_mut());
    let is_one = headers::one_host(version, &target, request.headers_mut(), own);
    *request.uri_mut() = target;
    is_one
}

/// An exchange that is open for the correlator until this is dropped.
#[derive(Debug)]
pub struct OpenExchange {
    correlator: Arc<Mutex<Correlator>>,
    key: Key,
    /// What carries it to the app.
    carried: Option<Arc<Carried>>,
    values: Option<OpenValues>,
}

impl OpenExchange {
    fn begin<B>(
        tracing: &Tracing,
        context: TraceContext,
        opened: Instant,
        request: &Request<B>,
    ) -> Self {
        let carried: Option<Arc<Carried>> = tracing.notes_carriers.then(Arc::default);
        let headers = request.headers();
        let values = tracing.values.as_ref().map(|values| values.open(request));
        let opening = Opened {
            context,
            request_id: request_id(headers, &tracing.request_id_headers).map(Into::into),
            kind: Kind::of(request.method().as_str(), "", request.uri().path()),
            carried: carried.clone(),
            values: values.as_ref().and_then(OpenValues::request),
        };
        let correlator = tracing.correlator.clone();
        let key = correlator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open(opened, opening);
        Self {
            correlator,
            key,
            carried,
            values,
        }
    }

    /// It goes on as a tunnel.
    fn tunnel(&mut self) {
        self.values = None;
        self.correlator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .tunnel(ambient::now(), self.key);
    }

    fn carried(&self) -> Option<&Carried> {
        self.carried.as_deref()
    }
}

impl Drop for OpenExchange {
    fn drop(&mut self) {
        self.correlator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .close(ambient::now(), self.key);
    }
}

/// The value that names a request, if it has one.
pub(crate) fn request_id<'h>(headers: &'h HeaderMap, names: &[HeaderName]) -> Option<&'h str> {
    names
        .iter()
        .filter_map(|name| headers.get(name)?.to_str().ok())
        .find(|value| (1..=MAX_REQUEST_ID).contains(&value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_the_first_header_that_fits() {
        let names = [
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("x-order"),
        ];
        let mut headers = HeaderMap::new();
        assert_eq!(request_id(&headers, &names), None);
        headers.insert("x-order", "17".parse().unwrap());
        headers.insert(
            "x-request-id",
            "y".repeat(MAX_REQUEST_ID + 1).parse().unwrap(),
        );
        assert_eq!(request_id(&headers, &names), Some("17"));
    }
}

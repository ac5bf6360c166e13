//! From the app: route → correlate → retry → `ClientLayer`, one per attempt → pool.
//!
//! A forward proxy takes requests in absolute form, as `HTTP_PROXY` makes clients send them, to any
//! host and port but itself. A fixed route takes what is said to its listener to one upstream.

mod tunnels;

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderName, Method, Request, Response, Uri, Version,
    header::HOST,
    request,
    uri::{Authority, Scheme},
};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use throughline::{
    ClientLayer, ambient,
    body::TracedBody,
    client::{Cause, Client, Resend},
    propagation::{Propagator, signed::Signature},
    server::Hop,
};
use tower::{Layer, Service};

use crate::{
    correlate::{self, Answer, Call, Correlator, Kind, Signal},
    echoes::Echoes,
    forwarders::Mark,
    glimpse::Glimpsed,
    headers,
    hold::Holding,
    inbound,
    interim::Interim,
    listen::{Connection, Stack},
    loops::{self, Passed},
    owners::Owners,
    pipeline::Pipeline,
    pool::{self, Error, Origin, Pool, Protocol, RequestBody, ResponseBody, Upstream},
    processes::{Carried, Socket, Verdict},
    reply,
    retry::Resends,
    signals::{Line, Signals},
    timing::CallKey,
    tunnel::Wanted,
    values::{Fingerprints, Weights},
    window::Key,
};

/// A fixed way out: what is said to `listen` goes to `upstream`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where the app calls.
    pub listen: SocketAddr,
    /// Where that goes: scheme and authority alone.
    pub upstream: Uri,
}

/// How the calls of an app are traced.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// The layer, once for each attempt.
    pub layer: ClientLayer<Pipeline>,
    /// Reads the context that a call carries.
    pub propagator: Arc<Propagator>,
    /// Headers whose values name a request.
    pub request_id_headers: Arc<[HeaderName]>,
    /// Knows the exchanges that may have caused a call, and tells which did.
    pub correlator: Arc<Mutex<Correlator>>,
    /// The values that may come back in a call; `None` does not look at them.
    pub values: Option<Arc<Echoes>>,
    /// Where decisions are counted.
    pub pipeline: Pipeline,
    /// What tells the app's processes apart; `None` where that is not wanted.
    pub owners: Option<Owners>,
    /// The connection that the calls come on, for [`Owners::resolve`].
    pub caller: Option<Arc<Socket>>,
    /// What the app's threads say of themselves; `None` where they cannot.
    pub signals: Option<Signals>,
}

/// The stack behind an app.
#[derive(Clone, Debug)]
pub struct Outbound {
    pool: Pool,
    fixed: Option<Uri>,
    tracing: Option<Tracing>,
}

/// The service for the calls of one connection.
#[derive(Debug)]
pub struct OutboundService {
    stack: Outbound,
    /// Where the connection was going, before it was redirected here.
    destination: Option<SocketAddr>,
    /// What threads say of them.
    line: Option<Line>,
    /// For tunnels, which outlive the request.
    connection: Arc<Connection>,
    caller: Option<Arc<Interim>>,
}

impl Outbound {
    /// A forward proxy.
    #[must_use]
    pub fn forward(pool: Pool, tracing: Option<Tracing>) -> Self {
        Self {
            pool,
            fixed: None,
            tracing,
        }
    }

    /// A fixed route to `upstream`.
    #[must_use]
    pub fn to(pool: Pool, upstream: Uri, tracing: Option<Tracing>) -> Self {
        Self {
            pool,
            fixed: Some(upstream),
            tracing,
        }
    }

    /// Finds where a request goes, and writes that into its address.
    fn route(
        &self,
        request: &mut request::Parts,
        destination: Option<SocketAddr>,
    ) -> Result<Origin, Error> {
        if let (None, Some(at)) = (&self.fixed, destination) {
            return redirected(request, at);
        }
        if let Some(upstream) = &self.fixed {
            let mut target = upstream.clone().into_parts();
            target.path_and_query = request.uri.path_and_query().cloned();
            if target.path_and_query.is_none() {
                target.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
            }
            let authority = || upstream.authority().cloned();
            let own = || authority().unwrap_or_else(|| Authority::from_static("localhost"));
            headers::one_host(request.version, &request.uri, &mut request.headers, own)
                .map_err(|bad| Error::new(pool::Cause::NoRoute, bad.why()))?;
            request.uri = Uri::from_parts(target)
                .map_err(|error| Error::new(pool::Cause::NoRoute, error.to_string()))?;
        } else {
            headers::host_of_target(&request.uri, &mut request.headers);
        }
        Origin::of(&request.uri).ok_or_else(|| {
            Error::new(
                pool::Cause::NoRoute,
                "this is a forward proxy; ask it for a whole address, as HTTP_PROXY makes clients do",
            )
        })
    }
}

/// A request of a connection that was redirected goes to where that was going. Its host is a name for it,
/// and no more: whoever could choose another address by it would have been given that before.
fn redirected(request: &mut request::Parts, at: SocketAddr) -> Result<Origin, Error> {
    let origin = Origin::at(at);
    let no_route = |why: String| Error::new(pool::Cause::NoRoute, why);
    let own = || origin.authority();
    headers::one_host(request.version, &request.uri, &mut request.headers, own)
        .map_err(|bad| no_route(bad.why().to_owned()))?;
    let host = request.headers.get(HOST);
    let named = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut target = std::mem::take(&mut request.uri).into_parts();
    target.authority = target.authority.or(named).or_else(|| Some(own()));
    target.scheme = Some(Scheme::HTTP);
    if target.path_and_query.is_none() {
        target.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    }
    request.uri = Uri::from_parts(target).map_err(|error| no_route(error.to_string()))?;
    Ok(origin)
}

impl Stack for Outbound {
    type Body = OutboundBody;
    type Service = OutboundService;

    fn service(&self, connection: &Arc<Connection>) -> OutboundService {
        let mut stack = self.clone();
        let mut line = None;
        // As the app's own socket has it.
        let ours = connection.local_as_dialled();
        if let Some(tracing) = &mut stack.tracing
            && let (Some(app), Some(ours)) = (connection.peer(), ours)
        {
            let owners = tracing.owners.as_ref();
            tracing.caller = owners.map(|owners| owners.caller(app, ours));
            let signals = tracing.signals.as_ref();
            line = signals.and_then(|signals| signals.line(app, ours));
        }
        OutboundService {
            stack,
            destination: connection.destination(),
            line,
            connection: connection.clone(),
            caller: connection.early(),
        }
    }

    /// What is known of the connection is kept: its line is emptied when it goes.
    fn renew(&self, service: &mut OutboundService, _: &Arc<Connection>) {
        let before = std::mem::replace(&mut service.stack, self.clone());
        if let (Some(now), Some(before)) = (&mut service.stack.tracing, before.tracing) {
            now.caller = before.caller;
        }
    }
}

type CallBody = RequestBody<Glimpsed<Incoming>>;
type UpstreamBody = ResponseBody<Glimpsed<Incoming>>;

/// An answer that holds the call open, for the correlator, until it ends.
type AnswerBody = Holding<TracedBody<UpstreamBody, Pipeline>, Option<OpenCall>>;

/// What comes back to the app: the upstream's answer, or ours if it fails.
pub type OutboundBody = Either<Either<AnswerBody, UpstreamBody>, Full<Bytes>>;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<Request<Incoming>> for OutboundService {
    type Response = Response<OutboundBody>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<OutboundBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Step 7 of the way of a request.
    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let said = Said {
            forwarded: Mark::take(&mut parts.headers),
            // Calls of HTTP/2 overlap, and have no slot.
            signal: match parts.version {
                Version::HTTP_2 => None,
                _ => self.line.as_mut().and_then(Line::read),
            },
        };
        let refuse = |error| Box::pin(std::future::ready(Ok(reply::to_error(&error, None))));
        let passed = Passed::take(&mut parts.headers);
        let mark = self.stack.pool.mark();
        if passed.as_ref().is_some_and(|passed| mark.is_in(passed)) {
            let said = "the call came back from another sidecar";
            return refuse(Error::new(pool::Cause::Loop, said));
        }
        let named = headers::strip_hop_by_hop(&mut parts.headers);
        let is_connect = parts.method == Method::CONNECT;
        let wanted = Wanted::of(parts.version, is_connect, &mut parts.extensions, named);
        if is_connect && wanted.is_none() {
            return self.connect(parts, body, said);
        }
        let origin = match self.stack.route(&mut parts, self.destination) {
            Ok(origin) => origin,
            Err(error) => return refuse(error),
        };
        headers::strip_proxy(&mut parts.headers);
        let upstream = self.stack.pool.upstream(&origin, Protocol::Auto);
        if upstream.is_here() && (passed.is_some() || upstream.has_open(loops::CROWD)) {
            mark.add(passed.as_ref(), &mut parts.headers);
        }
        if let Some(wanted) = wanted {
            return self.switch(wanted, upstream, parts, body, said);
        }
        let tracing = self.stack.tracing.clone();
        let caller = self.caller.clone();
        Box::pin(async move {
            let mut body = Glimpsed::new(body);
            let answer = match tracing {
                None => {
                    let request = Request::from_parts(parts, RequestBody::new(body).of(caller));
                    plain(&upstream, request)
                        .await
                        .map(|r| r.map(Either::Right))
                }
                Some(tracing) => {
                    // Here and not before: hyper reads what came with the head before it polls us.
                    let echoes = tracing.values.as_ref();
                    let values = echoes.map(|echoes| echoes.of_call(&parts, &mut body));
                    let mut request = Request::from_parts(parts, RequestBody::new(body).of(caller));
                    let cause = tracing.correlate(&mut request, said, values.as_ref());
                    traced(&tracing, &upstream, request, cause)
                        .await
                        .map(|r| r.map(Either::Left))
                }
            };
            Ok(match answer {
                Ok(mut response) => {
                    headers::strip_hop_by_hop(response.headers_mut());
                    headers::strip_proxy(response.headers_mut());
                    response.map(Either::Left)
                }
                Err(error) => {
                    tracing::debug!(%error, upstream = %upstream.origin(), "a call failed");
                    reply::to_error(&error, None)
                }
            })
        })
    }
}

async fn plain(
    upstream: &Arc<Upstream>,
    mut request: Request<CallBody>,
) -> Result<Response<UpstreamBody>, Error> {
    let mut resends = Resends::default();
    loop {
        match upstream.send(&mut request, None).await {
            Ok(response) => return Ok(response),
            Err(error) => resends.after(error, &mut request)?,
        };
    }
}

async fn traced(
    tracing: &Tracing,
    upstream: &Arc<Upstream>,
    mut request: Request<CallBody>,
    (cause, call): (Cause, Option<OpenCall>),
) -> Result<Response<AnswerBody>, Error> {
    let uri = request.uri().clone();
    request.extensions_mut().insert(cause.clone());
    let mut resends = Resends::default();
    loop {
        let mut client: Client<ToUpstream, Pipeline> =
            tracing.layer.layer(ToUpstream(upstream.clone()));
        let error = match client.call(pool::taken(&mut request)).await {
            Ok(response) => return Ok(response.map(|body| Holding::new(body, call))),
            Err(error) => error,
        };
        let resent = resends.after(error, &mut request)?;
        // The pool hands back what it sent: by then the target was cut to its path.
        *request.uri_mut() = uri.clone();
        request.extensions_mut().insert(cause.clone());
        request.extensions_mut().insert(Resend(resent));
    }
}

/// What was said of a call by what launched with the app.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// That it copied the context onto the call.
    forwarded: Option<Mark>,
    /// Which request the thread serves.
    signal: Option<Signal>,
}

impl Tracing {
    /// What caused a call; and the call, which is open until that is dropped.
    fn correlate<B>(
        &self,
        request: &mut Request<B>,
        said: Said,
        values: Option<&Fingerprints>,
    ) -> (Cause, Option<OpenCall>) {
        let signature = Signature::of(request.uri(), request.headers());
        let context = self.propagator.extract_signed(request.headers(), signature);
        let request_id = inbound::request_id(request.headers(), &self.request_id_headers);
        let method = request.method().as_str();
        let host = request.uri().authority().map_or("", |host| host.as_str());
        let path = request.uri().path();
        // A context tells more than processes can.
        let process = match (context.remote(), said.signal) {
            (None, None) => self.process(),
            _ => None,
        };
        let process = process.as_ref();
        let kind = Kind::of(method, host, path);
        let values = self.values.as_deref().zip(values.filter(|v| !v.is_empty()));
        let weights = values.map(|(echoes, call)| {
            let mut weights = Weights::new();
            echoes.values().weigh(kind.as_u64(), call, &mut weights);
            weights
        });
        let call = Call {
            context: &context,
            request_id,
            kind,
            forwarder: said.forwarded.map(Mark::text),
            signal: said.signal,
            process: process.map(|(verdict, open)| (verdict, open.as_slice())),
            values: weights.as_ref(),
        };
        let label = || correlate::label(method, host, path);
        let Answer {
            cause,
            call,
            taught_by,
            is_stale,
        } = self.correlator().decide(ambient::now(), call, label);
        if let (Some(owner), Some((echoes, call))) = (taught_by, values) {
            let certainty = cause.parentage.confidence;
            echoes.values().teach(kind.as_u64(), call, owner, certainty);
        }
        let counters = self.pipeline.counters();
        counters.correlated(cause.parentage.evidence);
        counters.contexts_rejected(&context.rejected);
        if let Some(mark) = said.forwarded {
            counters.forwarded(mark, is_stale);
        }
        if is_stale {
            headers::strip_forwarded(request.headers_mut());
        }
        let call = call.map(|key| OpenCall {
            correlator: self.correlator.clone(),
            key,
        });
        (cause, call)
    }

    /// What the process that calls tells, and the exchanges that this is about.
    fn process(&self) -> Option<(Verdict, Vec<Key>)> {
        let (owners, caller) = (self.owners.as_ref()?, self.caller.as_ref()?);
        let open = self.correlator().open_len();
        if !owners.wants(open) {
            return None;
        }
        let (keys, carried): (Vec<Key>, Vec<Arc<Carried>>) = self.correlator().carried().unzip();
        let verdict = owners.resolve(caller, carried.iter().map(|carried| &**carried));
        Some((verdict, keys))
    }

    fn correlator(&self) -> MutexGuard<'_, Correlator> {
        self.correlator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that has not been answered until this is dropped.
#[derive(Debug)]
pub struct OpenCall {
    correlator: Arc<Mutex<Correlator>>,
    key: CallKey,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.correlator
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .answered(ambient::now(), self.key);
    }
}

/// The pool as a service, for the layer to stand on.
#[derive(Clone, Debug)]
struct ToUpstream(Arc<Upstream>);

impl Service<Request<CallBody>> for ToUpstream {
    type Response = Response<UpstreamBody>;
    type Error = Error;
    type Future = BoxFuture<Result<Response<UpstreamBody>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<CallBody>) -> Self::Future {
        let upstream = self.0.clone();
        let hop = request.extensions_mut().remove::<Hop>();
        Box::pin(async move {
            let recorder = hop.as_ref().and_then(|hop| hop.recorder.as_ref());
            let sent = upstream.send(&mut request, recorder).await;
            if let Err(error) = &sent {
                let trace_id = hop.map(|hop| hop.context.trace_id);
                tracing::debug!(
                    %error,
                    upstream = %upstream.origin(),
                    trace_id = trace_id.map(tracing::field::display),
                    xray_trace_id = trace_id.map(|id| tracing::field::display(id.xray())),
                    "an attempt failed"
                );
            }
            sent
        })
    }
}

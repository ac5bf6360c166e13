//! From the app: route → correlate → retry → `ClientLayer`, one per attempt → pool.
//!
//! A forward proxy takes requests in absolute form, as `HTTP_PROXY` makes clients send them, to any
//! host and port but itself. A fixed route takes what is said to its listener to one upstream.

mod tunnels;

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
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
    phase::{Party, Phase, Recorder},
    propagation::{Propagator, signed::Signature},
    server::Hop,
};
use tower::{Layer, Service};

use crate::{
    attempts::Policy,
    correlate::{self, Answer, Call, Correlator, Kind, Signal},
    echoes::Echoes,
    forwarders::Mark,
    glimpse::Glimpsed,
    group::{self, Endpoint, Group, Told, Tried},
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
    retry::{self, Resends, Retries},
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
    /// Where that goes: scheme and authority alone, at least one.
    pub upstreams: Vec<Uri>,
    /// What its upstreams are allowed.
    pub pool: pool::Config,
    /// What holds for each request.
    pub terms: Terms,
    /// How one of several is chosen; `None` for the first that answers at its only name.
    pub group: Option<group::Config>,
}

impl Route {
    /// The group of its upstreams, where it has one: somebody has to [tend](Group::tend) it.
    #[must_use]
    pub fn group(&self, pool: &Pool) -> Option<Arc<Group>> {
        let config = self.group.clone()?;
        let name = self.listen.to_string();
        let upstreams = self.upstreams.clone();
        let group = Group::new(name, upstreams, config, self.pool.clone(), pool.clone());
        Some(group)
    }

    /// The upstream that it is named after.
    ///
    /// # Panics
    ///
    /// Without any.
    #[must_use]
    pub fn upstream(&self) -> &Uri {
        self.upstreams
            .first()
            .expect("a route has an upstream at least")
    }
}

/// What holds for each request, whomever it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long it may take until the end of its answer; `None` for ever.
    pub request_timeout: Option<Duration>,
    /// What is tried again.
    pub retries: Policy,
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
    fixed: Option<Fixed>,
    request_timeout: Option<Duration>,
    retries: Option<Arc<Retries>>,
    tracing: Option<Tracing>,
}

/// Where all requests go.
#[derive(Clone, Debug)]
struct Fixed {
    uri: Uri,
    target: Whom,
}

/// Whom requests of a route are sent to.
#[derive(Clone, Debug)]
enum Whom {
    One(Arc<Upstream>),
    OneOf(Arc<Group>),
}

/// The service for the calls of one connection.
#[derive(Debug)]
pub struct OutboundService {
    stack: Outbound,
    /// Where the connection was going, before it was redirected here.
    destination: Option<SocketAddr>,
    /// What threads say of them.
    line: Option<Line>,
    /// Where they come from.
    peer: Option<IpAddr>,
    /// For tunnels, which outlive the request.
    connection: Arc<Connection>,
    caller: Option<Arc<Interim>>,
}

impl Outbound {
    /// A forward proxy.
    #[must_use]
    pub fn forward(
        pool: Pool,
        terms: &Terms,
        counts: &Arc<retry::Counts>,
        tracing: Option<Tracing>,
    ) -> Self {
        Self {
            pool,
            fixed: None,
            request_timeout: terms.request_timeout,
            retries: Retries::new(&terms.retries, counts).map(Arc::new),
            tracing,
        }
    }

    /// A fixed route, with connections of its own; to one of `group`, where it has one.
    #[must_use]
    pub fn to(
        pool: Pool,
        route: &Route,
        group: Option<Arc<Group>>,
        counts: &Arc<retry::Counts>,
        tracing: Option<Tracing>,
    ) -> Self {
        let uri = route.upstream().clone();
        let target = match group {
            Some(group) => Some(Whom::OneOf(group)),
            None => Origin::of(&uri).map(|origin| {
                Whom::One(pool.dedicated(
                    &route.listen.to_string(),
                    origin,
                    Protocol::Auto,
                    &route.pool,
                ))
            }),
        };
        let fixed = target.map(|target| Fixed { uri, target });
        Self {
            fixed,
            ..Self::forward(pool, &route.terms, counts, tracing)
        }
    }

    /// Finds where a request goes, and writes that into its address.
    fn route(
        &self,
        request: &mut request::Parts,
        peer: Option<IpAddr>,
        destination: Option<SocketAddr>,
    ) -> Result<Target, Error> {
        if let (None, Some(at)) = (&self.fixed, destination) {
            let origin = redirected(request, at)?;
            return Ok(Target::One(self.pool.upstream(&origin, Protocol::Auto)));
        }
        if let Some(Fixed { uri, target }) = &self.fixed {
            let mut whole = uri.clone().into_parts();
            whole.path_and_query = request.uri.path_and_query().cloned();
            if whole.path_and_query.is_none() {
                whole.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
            }
            let authority = || uri.authority().cloned();
            let own = || authority().unwrap_or_else(|| Authority::from_static("localhost"));
            headers::one_host(request.version, &request.uri, &mut request.headers, own)
                .map_err(|bad| Error::new(pool::Cause::NoRoute, bad.why()))?;
            request.uri = Uri::from_parts(whole)
                .map_err(|error| Error::new(pool::Cause::NoRoute, error.to_string()))?;
            return Ok(match target {
                Whom::One(upstream) => Target::One(upstream.clone()),
                Whom::OneOf(group) => Target::OneOf(group.clone(), group.key(request, peer)),
            });
        }
        headers::host_of_target(&request.uri, &mut request.headers);
        let origin = Origin::of(&request.uri).ok_or_else(|| {
            Error::new(
                pool::Cause::NoRoute,
                "this is a forward proxy; ask it for a whole address, as HTTP_PROXY makes clients do",
            )
        })?;
        Ok(Target::One(self.pool.upstream(&origin, Protocol::Auto)))
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
        let peer = connection.peer().map(|peer| peer.ip());
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
            peer,
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
        let peer = self.peer;
        let target = match self.stack.route(&mut parts, peer, self.destination) {
            Ok(target) => target,
            Err(error) => return refuse(error),
        };
        headers::strip_proxy(&mut parts.headers);
        if target.may_loop(passed.is_some()) {
            mark.add(passed.as_ref(), &mut parts.headers);
        }
        if let Some(wanted) = wanted {
            return match target.choose(&mut parts.uri, &mut Tried::new()) {
                Ok(chosen) => {
                    let upstream = chosen.upstream().clone();
                    self.switch(wanted, upstream, parts, body, said)
                }
                Err(error) => refuse(error),
            };
        }
        let timeout = self.stack.request_timeout;
        let deadline = timeout.map(|timeout| ambient::now() + timeout);
        let retries = self.stack.retries.clone();
        let tracing = self.stack.tracing.clone();
        let caller = self.caller.clone();
        Box::pin(async move {
            let mut body = Glimpsed::new(body);
            let attempts = Attempts {
                target: &target,
                retries: retries.as_deref(),
                deadline,
            };
            let answer = match tracing {
                None => {
                    let request = Request::from_parts(parts, RequestBody::new(body).of(caller));
                    plain(attempts, request).await.map(|r| r.map(Either::Right))
                }
                Some(tracing) => {
                    // Here and not before: hyper reads what came with the head before it polls us.
                    let echoes = tracing.values.as_ref();
                    let values = echoes.map(|echoes| echoes.of_call(&parts, &mut body));
                    let mut request = Request::from_parts(parts, RequestBody::new(body).of(caller));
                    let cause = tracing.correlate(&mut request, said, values.as_ref());
                    traced(&tracing, attempts, request, cause)
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
                    tracing::debug!(%error, upstream = %target, "a call failed");
                    reply::to_error(&error, None)
                }
            })
        })
    }
}

/// Whom a request is sent to.
#[derive(Clone, Debug)]
enum Target {
    One(Arc<Upstream>),
    /// One of these, by the request's key.
    OneOf(Arc<Group>, u64),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(upstream) => upstream.origin().fmt(f),
            Self::OneOf(group, _) => f.write_str(group.name()),
        }
    }
}

impl Target {
    /// Whether a call to it may come back here: it is on this host, and the call came from another sidecar
    /// or is one of many.
    fn may_loop(&self, has_passed: bool) -> bool {
        let may = |upstream: &Upstream| {
            upstream.is_here() && (has_passed || upstream.has_open(loops::CROWD))
        };
        match self {
            Self::One(upstream) => may(upstream),
            Self::OneOf(group, _) => {
                let endpoints = group.endpoints();
                endpoints.iter().any(|endpoint| may(endpoint.upstream()))
            }
        }
    }

    /// Whom the next attempt is sent to; `uri` becomes an address of it.
    fn choose(&self, uri: &mut Uri, tried: &mut Tried) -> Result<Chosen<'_>, Error> {
        let (group, key) = match self {
            Self::One(upstream) => return Ok(Chosen::One(upstream)),
            Self::OneOf(group, key) => (group, *key),
        };
        let nobody = || Error::new(pool::Cause::NoRoute, "the route has no upstream");
        let endpoint = group.choose(key, tried).ok_or_else(nobody)?;
        let mut target = std::mem::take(uri).into_parts();
        let chosen = endpoint.uri();
        target.scheme = chosen.scheme().cloned();
        target.authority = chosen.authority().cloned();
        *uri = Uri::from_parts(target)
            .map_err(|error| Error::new(pool::Cause::NoRoute, error.to_string()))?;
        Ok(Chosen::OneOf(group, endpoint))
    }
}

/// Whom an attempt is sent to.
#[derive(Debug)]
enum Chosen<'t> {
    One(&'t Arc<Upstream>),
    OneOf(&'t Group, Arc<Endpoint>),
}

impl Chosen<'_> {
    fn upstream(&self) -> &Arc<Upstream> {
        match self {
            Self::One(upstream) => upstream,
            Self::OneOf(_, endpoint) => endpoint.upstream(),
        }
    }

    /// What became of the attempt.
    fn told<B>(&self, answer: &Result<Response<B>, Error>) {
        if let Self::OneOf(group, endpoint) = self {
            group.told(
                endpoint,
                match answer {
                    Ok(response) => Told::by_status(response.status()),
                    Err(error) => Told::by_error(error),
                },
            );
        }
    }
}

/// How the attempts of a request are made.
#[derive(Clone, Copy, Debug)]
struct Attempts<'r> {
    target: &'r Target,
    retries: Option<&'r Retries>,
    deadline: Option<Instant>,
}

async fn plain(
    attempts: Attempts<'_>,
    mut request: Request<CallBody>,
) -> Result<Response<UpstreamBody>, Error> {
    let Attempts {
        target,
        retries,
        deadline,
    } = attempts;
    let mut resends = Resends::of(&mut request, retries, deadline);
    let mut tried = Tried::new();
    loop {
        let chosen = target.choose(request.uri_mut(), &mut tried)?;
        let upstream = chosen.upstream();
        let sent = upstream.send_carried(&mut request, None, None, deadline);
        let answer = sent.await;
        chosen.told(&answer);
        let again = match answer {
            Ok(mut response) => match resends.after_answer(&response, &mut request) {
                None => return Ok(response),
                Some(again) => {
                    retry::read_off(response.body_mut());
                    again
                }
            },
            Err(error) => resends.after(error, &mut request)?,
        };
        if let Some(pause) = again.pause {
            tokio::time::sleep(pause).await;
        }
    }
}

async fn traced(
    tracing: &Tracing,
    attempts: Attempts<'_>,
    mut request: Request<CallBody>,
    (mut cause, call): (Cause, Option<OpenCall>),
) -> Result<Response<AnswerBody>, Error> {
    let Attempts {
        target,
        retries,
        deadline,
    } = attempts;
    let uri = request.uri().clone();
    if retries.is_some() && cause.parent.is_none() && cause.adopted.is_none() {
        // Else each attempt would begin a trace of its own.
        cause.adopted = Some(ambient::trace_id());
    }
    request.extensions_mut().insert(cause.clone());
    let mut resends = Resends::of(&mut request, retries, deadline);
    let mut pause = None;
    let mut tried = Tried::new();
    loop {
        let chosen = target.choose(request.uri_mut(), &mut tried)?;
        let mut client: Client<ToUpstream, Pipeline> = tracing.layer.layer(ToUpstream {
            upstream: chosen.upstream().clone(),
            deadline,
            pause,
            is_judged: resends.is_any(),
        });
        let answer = client.call(pool::taken(&mut request)).await;
        chosen.told(&answer);
        let again = match answer {
            Ok(mut response) => match resends.after_answer(&response, &mut request) {
                None => return Ok(response.map(|body| Holding::new(body, call))),
                Some(again) => {
                    let recorder = response.extensions_mut().remove::<Recorder>();
                    let is_whole = retry::read_off(response.body_mut());
                    if let (Some(recorder), false) = (recorder, is_whole) {
                        recorder.fail(Party::Proxy, "retried");
                    }
                    again
                }
            },
            Err(error) => resends.after(error, &mut request)?,
        };
        pause = again.pause;
        // The pool hands back what it sent: by then the target was cut to its path.
        *request.uri_mut() = uri.clone();
        request.extensions_mut().insert(cause.clone());
        request.extensions_mut().insert(Resend(again.resent));
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
struct ToUpstream {
    upstream: Arc<Upstream>,
    deadline: Option<Instant>,
    /// How long to wait first.
    pause: Option<Duration>,
    /// Whether an answer may be tried again: then it brings its recorder along.
    is_judged: bool,
}

impl Service<Request<CallBody>> for ToUpstream {
    type Response = Response<UpstreamBody>;
    type Error = Error;
    type Future = BoxFuture<Result<Response<UpstreamBody>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<CallBody>) -> Self::Future {
        let Self {
            upstream,
            deadline,
            pause,
            is_judged,
        } = self.clone();
        let hop = request.extensions_mut().remove::<Hop>();
        Box::pin(async move {
            let recorder = hop.as_ref().and_then(|hop| hop.recorder.as_ref());
            if let Some(pause) = pause {
                if let Some(recorder) = recorder {
                    recorder.enter(Phase::Retry, ambient::now());
                }
                // In a box: nearly no request has to wait.
                Box::pin(tokio::time::sleep(pause)).await;
            }
            let mut sent = upstream
                .send_carried(&mut request, recorder, None, deadline)
                .await;
            if let (Ok(answer), Some(recorder), true) = (&mut sent, recorder, is_judged) {
                answer.extensions_mut().insert(recorder.clone());
            }
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

//! One origin: how a request gets a connection, and what becomes of it there.

use std::{
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::{body::Incoming, client::conn::http2};
use throughline::{ambient, phase::Recorder};
use tokio::{sync::Notify, time::timeout_at};

use super::{
    Cause, Config, Counts, Error, Origin, Protocol, RequestBody, ResponseBody,
    body::Returning,
    connection::{Addresses, Connection},
    dial::{self, Dialled},
    early::Gate as BodyGate,
    gate::{Gate, Pass, Queue},
    http1::Http1,
    http2::{Http2, Slot, is_refusal},
    limits::Limits,
    protocol::{Speech, Spoken},
    whereabouts::Whereabouts,
    wire::Wire,
};
use crate::{
    glimpse::Glimpsed,
    headers,
    pace::{Pace, Stopped},
    processes::Carried,
    tls::{Connector, Offer},
};

/// How often a dead connection is replaced before the request gives up.
const MAX_REPLACED: usize = 8;

/// What sends a request on a shared connection, and the room for it there.
type Shared<B> = (http2::SendRequest<RequestBody<B>>, Slot);

/// A connection that carries one request after another. In a box: it moves with each of them.
pub(super) type Kept<B> = Box<Connection<Http1<B>>>;

/// One origin and the connections to it.
#[derive(Debug)]
pub struct Upstream<B = Glimpsed<Incoming>> {
    origin: Origin,
    config: Config,
    tls: Connector,
    speech: Speech,
    idle: Mutex<Vec<Kept<B>>>,
    /// Told when something happens to one of the idle.
    hangups: Waker,
    /// As few as carry all requests: the first that has room is taken.
    shared: Mutex<Vec<Connection<Http2<B>>>>,
    /// Told when one of them has room.
    room: Arc<Notify>,
    /// Held while an h2 connection is dialled, so that a burst dials once.
    dialling: tokio::sync::Mutex<()>,
    /// Whether its connections do not leave this host, as far as is known.
    is_here: AtomicBool,
    /// How many connections carry a request.
    connections: Gate,
    /// How many requests are open, where that has a limit.
    requests: Option<Gate>,
    queue: Queue,
    counts: Arc<Counts>,
    whereabouts: Mutex<Whereabouts>,
    /// How often there was news of that: looked at when a connection is given back.
    epoch: AtomicU64,
}

impl<B> Upstream<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(
        origin: Origin,
        config: Config,
        tls: Connector,
        protocol: Protocol,
        hangups: Waker,
        counts: &Arc<Counts>,
    ) -> Self {
        Self {
            connections: Gate::new(config.max_connections),
            requests: config.max_requests.map(Gate::new),
            queue: Queue::new(config.max_pending, config.queue_timeout, counts.clone()),
            counts: counts.clone(),
            whereabouts: Mutex::default(),
            epoch: AtomicU64::new(0),
            speech: Speech::new(protocol),
            is_here: AtomicBool::new(false),
            idle: Mutex::default(),
            shared: Mutex::default(),
            room: Arc::default(),
            dialling: tokio::sync::Mutex::default(),
            origin,
            config,
            tls,
            hangups,
        }
    }

    /// The same origin without connections, to be used as `config` says.
    pub(super) fn anew(&self, config: &Config, hangups: Waker, counts: &Arc<Counts>) -> Self {
        Self {
            speech: self.speech.learned(),
            ..Self::new(
                self.origin.clone(),
                config.clone(),
                self.tls.clone(),
                Protocol::Auto,
                hangups,
                counts,
            )
        }
    }

    /// Whether it is what would be made of these.
    pub(super) fn is_as(&self, origin: &Origin, protocol: Protocol, config: &Config) -> bool {
        self.origin == *origin && self.config == *config && self.speech.was_told() == protocol
    }

    /// Closes what has been idle for too long or was closed by the other side, and says whether
    /// anything is left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut idle = self.idle();
        idle.retain_mut(|connection| {
            connection.sender.look();
            connection.sender.watch(&self.hangups);
            !connection.sender.is_closed()
                && now.saturating_duration_since(connection.idle_since) < self.config.idle_timeout
        });
        let mut shared = self.shared();
        shared.retain_mut(|connection| {
            if connection.sender.open() > 0 {
                connection.idle_since = now;
            }
            let idle = now.saturating_duration_since(connection.idle_since);
            !connection.sender.is_closed() && idle < self.config.idle_timeout
        });
        !idle.is_empty() || !shared.is_empty()
    }

    /// The origin.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether it is on this host; its connections tell.
    pub(crate) fn is_here(&self) -> bool {
        self.is_here.load(Ordering::Relaxed)
    }

    /// Whether it is sent this many requests or more at present.
    pub(crate) fn has_open(&self, count: usize) -> bool {
        let over_http1 = self.connections.inside();
        over_http1 >= count || {
            let shared = self.shared();
            let over_http2 = shared.iter().map(|connection| connection.sender.open());
            over_http1 + over_http2.sum::<usize>() >= count
        }
    }

    /// How many of its requests are open, where they are counted: where there is a limit of them.
    #[must_use]
    pub fn open(&self) -> usize {
        self.requests.as_ref().map_or(0, Gate::inside)
    }

    /// Sends a request and waits for the response's headers. Step 4 of the way of a request.
    ///
    /// The exchange's `recorder`, if it has one, is told of every step. The request stays where it is
    /// until it is written: to hand it on from future to future would be to copy it as often.
    ///
    /// # Errors
    ///
    /// [`Error`], which names the phase that the request died in, and hands it back if it may be sent
    /// again.
    pub fn send<'r>(
        self: &'r Arc<Self>,
        request: &'r mut Request<RequestBody<B>>,
        recorder: Option<&'r Recorder>,
    ) -> impl Future<Output = Result<Response<ResponseBody<B>>, Error>> + use<'r, B> {
        self.send_carried(request, recorder, None, None)
    }

    /// The same, and tells `carried` which connection it is that carries the request; at `deadline`
    /// it is given up, be its answer's head there or not.
    ///
    /// # Errors
    ///
    /// As [`Upstream::send`].
    pub fn send_carried<'r>(
        self: &'r Arc<Self>,
        request: &'r mut Request<RequestBody<B>>,
        recorder: Option<&'r Recorder>,
        carried: Option<&'r Carried>,
        deadline: Option<Instant>,
    ) -> impl Future<Output = Result<Response<ResponseBody<B>>, Error>> + use<'r, B> {
        // All that has to be kept of them until there is an answer, and nothing where there are none.
        let idle = self.config.response_idle_timeout;
        let limits = Limits::new(deadline, idle, recorder, &self.counts);
        self.send_limited(request, recorder, carried, limits)
    }

    async fn send_limited(
        self: &Arc<Self>,
        request: &mut Request<RequestBody<B>>,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
        mut limits: Option<Box<Limits>>,
    ) -> Result<Response<ResponseBody<B>>, Error> {
        if let Some(recorder) = recorder {
            recorder.begin_attempt(ambient::now());
            request.body_mut().count(recorder);
        }
        let pace = match request.body().is_end_stream() {
            true => None,
            false => request.extensions_mut().remove::<Arc<Pace>>(),
        };
        if let Some(pace) = &pace {
            request.body_mut().at(pace.clone());
        }
        // In a box, and so is what has a deadline, for the sake of those that have neither.
        if let Some(requests) = &self.requests {
            let deadline = limits.as_ref().and_then(|limits| limits.deadline());
            match Box::pin(self.turn(requests, deadline)).await {
                Ok(pass) => limits
                    .get_or_insert_with(|| Limits::none(&self.counts))
                    .hold(pass),
                Err(error) => return Err(self.failed(error, recorder)),
            }
        }
        let answer = {
            let attempt = pin!(self.attempt(request, recorder, carried));
            match limits.as_ref().and_then(|limits| limits.deadline()) {
                None => attempt.await,
                Some(deadline) => Box::pin(by(deadline, attempt)).await,
            }
        };
        let mut response = answer.map_err(|error| {
            let error = match pace.is_some_and(|pace| pace.is_over()) {
                // Whatever else it looks like: it is why the request was broken off.
                true => Error::new(Cause::BodyTimeout, Stopped.to_string()),
                false => error,
            };
            self.failed(error, recorder)
        })?;
        if let Some(limits) = limits {
            response.body_mut().limit(limits);
        }
        Ok(response)
    }

    /// An attempt has come to nothing.
    pub(super) fn failed(&self, error: Error, recorder: Option<&Recorder>) -> Error {
        noted(error, &self.counts, recorder)
    }

    /// Waits for a place among the requests that are open.
    async fn turn(&self, requests: &Gate, deadline: Option<Instant>) -> Result<Pass, Error> {
        if let Some(pass) = requests.try_enter() {
            return Ok(pass);
        }
        let waits = pin!(requests.enter(&self.queue));
        match deadline {
            None => waits.await,
            Some(deadline) => by(deadline, waits).await,
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        request: &mut Request<RequestBody<B>>,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
    ) -> Result<Response<ResponseBody<B>>, Error> {
        let wants_http2 = request.version() == Version::HTTP_2;
        let is_trial = match self.speech.choose(wants_http2, self.origin.is_tls()) {
            Spoken::Http2 => false,
            Spoken::TryHttp2 => true,
            // Over TLS the handshake tells, and then it is known.
            Spoken::Negotiate if self.has_shared() => false,
            Spoken::Http1 | Spoken::Negotiate => {
                return self.over_http1(request, recorder, carried).await;
            }
        };
        // In a box, and so is a dial: this future is made for every request, and would be a third
        // larger with the room for what most of them never do.
        Box::pin(self.over_http2(request, recorder, carried, is_trial)).await
    }

    async fn over_http1(
        self: &Arc<Self>,
        request: &mut Request<RequestBody<B>>,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
    ) -> Result<Response<ResponseBody<B>>, Error> {
        headers::into_http1(request);
        headers::in_chunks(request);
        for _ in 0..MAX_REPLACED {
            let (mut connection, now) = {
                let permit = match self.connections.try_enter() {
                    Some(pass) => pass,
                    None => Box::pin(self.connections.enter(&self.queue)).await?,
                };
                let (mut connection, now) = match self.checkout().await {
                    Some(had) => had,
                    None => match Box::pin(self.dial(recorder)).await? {
                        Opened::Http1(connection) => (connection, ambient::now()),
                        Opened::Http2 => {
                            drop(permit);
                            let over_http2 = self.over_http2(request, recorder, carried, false);
                            return Box::pin(over_http2).await;
                        }
                    },
                };
                // There, and not here: this future is as large as all that it holds at once.
                connection.pass = Some(permit);
                (connection, now)
            };
            connection.take(recorder, now);
            connection.carries(carried);
            let reused = connection.used > 1;
            let wire = connection.wire.clone();
            let is_whole = request.body().is_end_stream();
            let may_resend = request.method().is_idempotent()
                && is_whole
                && (reused || self.speech.may_refuse_http1());
            let gate = BodyGate::before(request);
            let early = request.body_mut().behind(gate.clone());
            wire.begin(recorder.cloned(), early, is_whole, may_resend);
            request.body_mut().over(&wire);
            let answer = {
                let sent = pin!(connection.sender.exchange(taken(request)));
                match (self.config.response_timeout, &gate) {
                    (None, None) => sent.await,
                    (Some(timeout), None) => Box::pin(within(timeout, sent)).await?,
                    (None, Some(gate)) => Box::pin(gate.open_in_time(sent)).await,
                    (Some(timeout), Some(gate)) => {
                        let mut sent = Box::pin(gate.open_in_time(sent));
                        Box::pin(within(timeout, sent.as_mut())).await?
                    }
                }
            };
            let error = match answer {
                // Nobody asked to switch: `Upgrade` does not get this far.
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Err(Error::new(
                        Cause::BadResponse,
                        "it switched to another protocol, and was not asked to",
                    ));
                }
                Ok(mut response) => {
                    // A body that was not asked for is not sent any more.
                    let is_wanted = gate.is_none_or(|gate| gate.is_open());
                    if !wire.is_request_sent() && is_wanted {
                        connection.sender.go_alone();
                    }
                    // Its framing was for this connection; the caller's is made anew.
                    *response.version_mut() = Version::HTTP_11;
                    self.speech.heard_http1();
                    let returning = Returning::new(self.clone(), connection);
                    return Ok(response.map(|body| ResponseBody::http1(body, returning)));
                }
                Err(error) => error,
            };
            let mut error = error;
            // The first byte of a SETTINGS frame; then it cannot have understood the request.
            let speaks_http2 = wire.lead() == Some(0);
            if speaks_http2 {
                self.speech.refused_http1();
            }
            // Out of the condition: what is taken in one lives, and has room, to the end of its block.
            let is_unsent = match error.take_message() {
                Some(unsent) => {
                    *request = unsent;
                    true
                }
                None => false,
            };
            if is_unsent {
                if self.speech.choose(false, self.origin.is_tls()) == Spoken::Http2 {
                    // It opened with SETTINGS before anything was written, and always would.
                    drop(connection);
                    return Box::pin(self.over_http2(request, recorder, carried, false)).await;
                }
                continue;
            }
            let error = Error::exchange(&error.into_error());
            // On a new connection a death without an answer is the upstream's, and would only be
            // repeated; on one that was kept it may be the race.
            let may_resend = may_resend && (speaks_http2 || (reused && !wire.answered()));
            return Err(match may_resend.then(|| wire.written()).flatten() {
                Some(head) => error.with_replay(Box::new(head)),
                None => error,
            });
        }
        Err(Error::new(
            Cause::Closed,
            "every connection was closed before it could be used",
        ))
    }

    async fn over_http2(
        self: &Arc<Self>,
        request: &mut Request<RequestBody<B>>,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
        is_trial: bool,
    ) -> Result<Response<ResponseBody<B>>, Error> {
        let may_resend = request.method().is_idempotent() && request.body().is_end_stream();
        // Only these may have to ask again: in another protocol, or on another connection. Of what is
        // written nothing can be read back, which was packed for this one connection.
        let mut asked = (is_trial || self.origin.is_tls() || may_resend).then(|| {
            let (mut asked, ()) = Request::new(()).into_parts();
            asked.method = request.method().clone();
            asked.uri = request.uri().clone();
            asked.version = request.version();
            asked.headers = request.headers().clone();
            asked.extensions = request.extensions().clone();
            asked
        });
        headers::into_http2(request, &self.origin.uri_scheme(), &self.origin.authority());
        for _ in 0..MAX_REPLACED {
            let shared = self.http2_sender(recorder, carried, is_trial).await?;
            let (mut sender, slot) = match (shared, asked) {
                (Some(shared), kept) => {
                    asked = kept;
                    shared
                }
                (None, Some(asked)) => {
                    // It turned out to speak HTTP/1.1 alone.
                    let body = taken(request).into_body();
                    *request = Request::from_parts(asked, body);
                    return Box::pin(self.over_http1(request, recorder, carried)).await;
                }
                (None, None) => return Err(Error::new(Cause::Closed, "it closed at once")),
            };
            match recorder {
                Some(recorder) if request.body().is_end_stream() => recorder.sent(ambient::now()),
                Some(recorder) => request.body_mut().noting(recorder),
                None => {}
            }
            // A `100` would not be heard of.
            request.body_mut().behind(None);
            request.body_mut().within(&slot);
            let sent = pin!(sender.try_send_request(taken(request)));
            let answer = match self.config.response_timeout {
                None => sent.await,
                Some(timeout) => Box::pin(within(timeout, sent)).await?,
            };
            match answer {
                Ok(mut response) => {
                    *response.version_mut() = Version::HTTP_11;
                    return Ok(response.map(|body| ResponseBody::shared(body, Some(slot))));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => *request = unsent,
                    None => {
                        let error = error.into_error();
                        let head = asked.filter(|_| may_resend && is_refusal(&error));
                        let error = Error::exchange(&error);
                        return Err(match head {
                            Some(head) => error.with_replay(Box::new(head)),
                            None => error,
                        });
                    }
                },
            }
            // A connection that takes no more requests would be chosen again.
            self.retire(&slot);
        }
        Err(Error::new(
            Cause::Closed,
            "every connection was closed before it could be used",
        ))
    }

    /// A place among the connections, for a request that is not like others.
    pub(super) async fn permit(&self) -> Result<Pass, Error> {
        match self.connections.try_enter() {
            Some(pass) => Ok(pass),
            None => self.connections.enter(&self.queue).await,
        }
    }

    /// A place among the requests, where they have a limit.
    pub(super) async fn place(&self) -> Result<Option<Pass>, Error> {
        match &self.requests {
            None => Ok(None),
            Some(requests) => self.turn(requests, None).await.map(Some),
        }
    }

    /// The idle connection that was used last, if one is still good, and when it was had.
    async fn checkout(&self) -> Option<(Kept<B>, Instant)> {
        let now = ambient::now();
        loop {
            // The guard must not live across the await below.
            let popped = self.idle().pop();
            let mut connection = popped?;
            connection.sender.settle();
            let idle = now.saturating_duration_since(connection.idle_since);
            if connection.sender.is_closed() || idle >= self.config.idle_timeout {
                continue;
            }
            if connection.sender.is_ready() {
                return Some((connection, now));
            }
            // Its task is about to notice that the last answer is over.
            if connection.sender.ready().await {
                return Some((connection, ambient::now()));
            }
        }
    }

    /// The shared h2 connection, for a tunnel; `None` if the upstream does not speak it.
    pub(super) async fn http2_for_tunnel(
        &self,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
    ) -> Result<Option<Shared<B>>, Error> {
        let Some((sender, slot)) = self.http2_sender(recorder, carried, false).await? else {
            return Ok(None);
        };
        let wire = self.wire_of(&slot);
        let wire = wire.ok_or_else(|| Error::new(Cause::Closed, "it closed at once"))?;
        if wire.may_tunnel(self.config.connect_timeout).await {
            return Ok(Some((sender, slot)));
        }
        Err(Error::new(
            Cause::Tunnel,
            format!(
                "{} speaks HTTP/2 and does not offer extended CONNECT in it (RFC 8441)",
                self.origin
            ),
        ))
    }

    /// Whether it is to be asked for another protocol in HTTP/2.
    pub(super) fn tunnels_in_http2(&self, wants_http2: bool) -> bool {
        match self.speech.choose(false, self.origin.is_tls()) {
            Spoken::Http2 => true,
            // What is spoken already is told what was asked in it.
            Spoken::Negotiate => wants_http2 && self.has_shared(),
            _ => wants_http2 && self.speech.choose(true, false) == Spoken::Http2,
        }
    }

    /// It opened with SETTINGS where it was asked in HTTP/1.1.
    pub(super) fn refused_http1(&self) {
        self.speech.refused_http1();
    }

    /// The notes on the connection that has this slot.
    fn wire_of(&self, slot: &Slot) -> Option<Arc<Wire>> {
        let shared = self.shared();
        let mut shared = shared.iter();
        let connection = shared.find(|connection| connection.sender.is_of(slot))?;
        Some(connection.wire.clone())
    }

    /// A shared h2 connection that has room, dialled if need be; `None` if the upstream does not speak
    /// it.
    async fn http2_sender(
        &self,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
        is_trial: bool,
    ) -> Result<Option<Shared<B>>, Error> {
        let deadline = tokio::time::Instant::now() + self.config.connect_timeout;
        loop {
            let mut room = pin!(self.room.notified());
            // From here on no notice is missed.
            room.as_mut().enable();
            if let Some(shared) = self.use_shared(recorder, carried) {
                return Ok(Some(shared));
            }
            if !self.may_open_http2() {
                timeout_at(deadline, room).await.map_err(|_| self.full())?;
                continue;
            }
            let dialling = tokio::select! {
                dialling = self.dialling.lock() => dialling,
                () = room.as_mut() => continue,
                () = tokio::time::sleep_until(deadline) => return Err(self.full()),
            };
            if let Some(shared) = self.use_shared(recorder, carried) {
                return Ok(Some(shared));
            }
            if !self.may_open_http2() {
                continue;
            }
            if is_trial && self.speech.choose(true, false) == Spoken::Http1 {
                // Whoever tried before us has found out.
                return Ok(None);
            }
            let dialled = match self.connect(recorder).await {
                Ok(dialled) => dialled,
                // It takes no more connections; those that there are may have room in time.
                Err(error) if self.has_shared() => {
                    drop(dialling);
                    timeout_at(deadline, room).await.map_err(|_| error)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if self.origin.is_tls() && !dialled.is_http2 {
                self.keep_http1(dialled).await?;
                return Ok(None);
            }
            let connection = self.open_http2(dialled).await?;
            let timeout = self.config.connect_timeout;
            // Nobody else may have it before it is known to be understood.
            if is_trial && !connection.wire.heard_http2(timeout).await {
                self.speech.refused_http2();
                return Ok(None);
            }
            self.speech.heard_http2();
            self.share(connection);
            return Ok(self.use_shared(recorder, carried));
        }
    }

    /// Room on a shared connection, if there is any.
    fn use_shared(
        &self,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
    ) -> Option<Shared<B>> {
        let mut shared = self.shared();
        shared.retain(|connection| !connection.sender.is_closed());
        let (connection, had) = shared.iter_mut().find_map(|connection| {
            let had = connection.sender.slot()?;
            Some((connection, had))
        })?;
        let now = ambient::now();
        connection.idle_since = now;
        connection.take(recorder, now);
        connection.carries(carried);
        Some(had)
    }

    /// Whether one more shared connection may be of use.
    fn may_open_http2(&self) -> bool {
        let shared = self.shared();
        let is_shut = |connection: &Connection<Http2<B>>| connection.sender.is_shut();
        shared.len() < self.config.max_connections && !shared.iter().any(is_shut)
    }

    /// Takes no more requests to the connection that has this slot.
    fn retire(&self, slot: &Slot) {
        self.shared()
            .retain(|connection| !connection.sender.is_of(slot));
    }

    fn has_shared(&self) -> bool {
        let shared = self.shared();
        shared
            .iter()
            .any(|connection| !connection.sender.is_closed())
    }

    fn full(&self) -> Error {
        let timeout = self.config.connect_timeout;
        let connections = self.shared().len();
        Error::new(
            Cause::Queue,
            format!(
                "no room for {timeout:?} on {connections} HTTP/2 connections, which have as many \
                 requests as {} takes",
                self.origin
            ),
        )
    }

    /// A connection that is to speak HTTP/1.1 whatever else the upstream could.
    pub(super) async fn dial_for_http1(
        &self,
        recorder: Option<&Recorder>,
    ) -> Result<Dialled, Error> {
        let offer = Offer::Http1;
        dial::dial(&self.origin, &self.config, &self.tls, offer, recorder).await
    }

    /// How long it may take until the first byte of its response.
    pub(super) fn response_timeout(&self) -> Option<Duration> {
        self.config.response_timeout
    }

    pub(super) async fn connect(&self, recorder: Option<&Recorder>) -> Result<Dialled, Error> {
        let offer = self.speech.offer();
        dial::dial(&self.origin, &self.config, &self.tls, offer, recorder).await
    }

    async fn dial(&self, recorder: Option<&Recorder>) -> Result<Opened<B>, Error> {
        let dialled = self.connect(recorder).await?;
        if dialled.is_http2 {
            let connection = self.open_http2(dialled).await?;
            self.share(connection);
            return Ok(Opened::Http2);
        }
        self.open_http1(dialled).await.map(Opened::Http1)
    }

    pub(super) async fn open_http1(&self, dialled: Dialled) -> Result<Kept<B>, Error> {
        let wire = Arc::new(Wire::default());
        let addresses = Addresses::of(&dialled);
        self.is_here.store(addresses.are_here(), Ordering::Relaxed);
        let http1 = Http1::open(dialled.transport, wire.clone()).await?;
        Ok(Box::new(Connection::new(http1, wire, addresses)))
    }

    async fn keep_http1(&self, dialled: Dialled) -> Result<(), Error> {
        let connection = self.open_http1(dialled).await?;
        self.give_back(connection);
        Ok(())
    }

    async fn open_http2(&self, dialled: Dialled) -> Result<Connection<Http2<B>>, Error> {
        let wire = Arc::new(Wire::default());
        let addresses = Addresses::of(&dialled);
        self.is_here.store(addresses.are_here(), Ordering::Relaxed);
        let http2 = Http2::begin(dialled.transport, wire.clone(), self.room.clone()).await?;
        Ok(Connection::new(http2, wire, addresses))
    }

    fn share(&self, connection: Connection<Http2<B>>) {
        self.shared().push(connection);
        // Whoever waits for the same may use it at once, and not one after another.
        self.room.notify_waiters();
    }
}

/// An error, after the recorder and the counts were told of it.
pub(super) fn noted(error: Error, counts: &Counts, recorder: Option<&Recorder>) -> Error {
    counts.fail(error.cause());
    let Some(recorder) = recorder else {
        return error;
    };
    recorder.fail(error.ended_by(), error.error_type());
    error.in_phase(recorder.running())
}

enum Opened<B> {
    Http1(Kept<B>),
    /// It is the shared one now.
    Http2,
}

/// The response's headers, within the time that the upstream has.
pub(super) async fn within<T>(
    timeout: Duration,
    answer: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Error> {
    tokio::time::timeout(timeout, answer).await.map_err(|_| {
        Error::new(
            Cause::ResponseTimeout,
            format!("no response in {timeout:?}"),
        )
    })
}

/// The answer, by the deadline of its request.
async fn by<T>(
    deadline: Instant,
    answer: Pin<&mut impl Future<Output = Result<T, Error>>>,
) -> Result<T, Error> {
    match timeout_at(deadline.into(), answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(
            Cause::RequestTimeout,
            "it was not answered by the deadline of the request",
        )),
    }
}

/// The request, to be sent.
pub(crate) fn taken<B: Body>(request: &mut Request<RequestBody<B>>) -> Request<RequestBody<B>> {
    std::mem::replace(request, Request::new(RequestBody::empty()))
}

impl<B> Upstream<B> {
    /// Takes a connection back after its answer was read to the end.
    pub(super) fn give_back(&self, mut connection: Kept<B>) {
        // Until it is among the idle: whoever is next finds it there.
        let _pass = connection.pass.take();
        connection.sender.rest();
        if connection.sender.is_closed() {
            return;
        }
        connection.idle_since = ambient::now();
        let epoch = self.epoch.load(Ordering::Relaxed);
        if connection.epoch != epoch {
            connection.epoch = epoch;
            if self.has_left(connection.peer) {
                return;
            }
        }
        let mut idle = self.idle();
        // Nobody can be told of it before it is in the list.
        if !connection.sender.watch(&self.hangups) {
            self.hangups.wake_by_ref();
        }
        idle.push(connection);
    }

    /// Asks where its name leads to, if it has one and connections, and lets those go that lead
    /// elsewhere: the idle now, the others when they have done what they do.
    pub(super) async fn look_up(&self) {
        let host = self.origin.host();
        let is_name = self.config.address.is_none() && host.parse::<IpAddr>().is_err();
        let is_used = || {
            self.connections.inside() > 0 || !self.idle().is_empty() || !self.shared().is_empty()
        };
        if !is_name || !is_used() {
            return;
        }
        let lookup = tokio::net::lookup_host((host, self.origin.port()));
        let found = tokio::time::timeout(self.config.connect_timeout, lookup).await;
        // A name that is not found is no news: the connections that there are may be all there is.
        let Ok(Ok(found)) = found else {
            return;
        };
        let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
        if found.is_empty() || !self.whereabouts().heard(found) {
            return;
        }
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.idle().retain(|idle| !self.has_left(idle.peer));
        // The streams of those that go are not cut; each ends with the last of them.
        self.shared().retain(|shared| !self.has_left(shared.peer));
    }

    /// Whether its name does not lead to `peer` any more.
    fn has_left(&self, peer: Option<SocketAddr>) -> bool {
        peer.is_some_and(|peer| self.whereabouts().is_gone(peer.ip()))
    }

    fn whereabouts(&self) -> MutexGuard<'_, Whereabouts> {
        self.whereabouts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> MutexGuard<'_, Vec<Connection<Http2<B>>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Kept<B>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use http_body_util::Empty;

    #[test]
    fn a_request_has_no_room_for_a_dial() {
        let pool = Pool::<Empty<Bytes>>::new(Config::default(), Connector::system());
        let upstream = pool.upstream(&Origin::http("app", 80), Protocol::Http1);
        let mut request = Request::new(RequestBody::empty());
        let carried = upstream.send(&mut request, None);
        // A dial alone is some hundreds of bytes more.
        assert!(size_of_val(&carried) < 896, "{}", size_of_val(&carried));
    }
}

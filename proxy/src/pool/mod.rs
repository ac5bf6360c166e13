//! Upstream connections: resolve, dial, TLS, reuse; every step leaves a mark.
//!
//! An [`Upstream`] is one origin with its idle connections. A request takes the connection that was
//! used last, or dials; while it is carried, the [`wire`] under the connection notes on the request's
//! [`Recorder`] when its last byte went out and the first byte of the answer came in. The connection
//! goes back when the answer has been read to its end.
//!
//! Two rules keep requests safe. A connection that turns out dead before any of the request was
//! written is simply replaced. One that dies after, without an answer, is the race that every
//! keep-alive connection has; then the request is handed back for another attempt if it is idempotent
//! and has no body, and is otherwise lost: a POST is never sent twice.

mod body;
mod dial;
mod error;
mod origin;
mod protocol;
mod wire;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, Version, request};
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use throughline::{
    ambient,
    phase::{ConnectionUse, Phase, Recorder},
    server::Hop,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::rustls::ClientConfig;

use self::{
    body::Returning,
    dial::Dialled,
    protocol::{Speech, Spoken},
    wire::{Watched, Wire},
};
pub use self::{
    body::{RequestBody, ResponseBody},
    dial::tls_config,
    error::{Cause, Error},
    origin::Origin,
    protocol::Protocol,
};
use crate::headers;

/// What the pool allows upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long resolving, connecting and the TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long an upstream may take until the first byte of its response; `None` for ever.
    pub response_timeout: Option<Duration>,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// The most requests that one upstream is sent at a time over HTTP/1.1; further ones queue.
    pub max_connections: usize,
    /// Ports of this host that lead back to us, and that nothing is sent to.
    pub own_ports: Vec<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: None,
            idle_timeout: Duration::from_secs(30),
            max_connections: 512,
            own_ports: Vec::new(),
        }
    }
}

/// How often a dead connection is replaced before the request gives up.
const MAX_REPLACED: usize = 8;

/// All upstreams that are in use. A clone is another handle.
#[derive(Debug)]
pub struct Pool<B = Incoming>(Arc<Shared<B>>);

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Shared<B> {
    config: Config,
    tls: Arc<ClientConfig>,
    upstreams: Mutex<HashMap<Origin, Arc<Upstream<B>>>>,
}

/// One origin and the connections to it.
#[derive(Debug)]
pub struct Upstream<B = Incoming> {
    origin: Origin,
    config: Config,
    tls: Arc<ClientConfig>,
    speech: Speech,
    idle: Mutex<Vec<Connection<http1::SendRequest<RequestBody<B>>>>>,
    shared: Mutex<Option<Connection<http2::SendRequest<RequestBody<B>>>>>,
    /// Held while an h2 connection is dialled, so that a burst dials once.
    dialling: tokio::sync::Mutex<()>,
    permits: Arc<Semaphore>,
}

/// An open connection, of either protocol.
#[derive(Debug)]
struct Connection<S> {
    sender: S,
    wire: Arc<Wire>,
    peer: Option<std::net::SocketAddr>,
    opened: Instant,
    used: u64,
    idle_since: Instant,
}

impl<S> Connection<S> {
    fn new(sender: S, wire: Arc<Wire>, peer: Option<std::net::SocketAddr>) -> Self {
        let now = ambient::now();
        Self {
            sender,
            wire,
            peer,
            opened: now,
            used: 0,
            idle_since: now,
        }
    }

    /// Counts one more exchange and notes it on its recorder: the connection is ready to send.
    fn take(&mut self, recorder: Option<&Recorder>) {
        self.used += 1;
        if let Some(recorder) = recorder {
            let now = ambient::now();
            recorder.enter(Phase::Send, now);
            recorder.connection(ConnectionUse {
                reused: self.used > 1,
                age: now.saturating_duration_since(self.opened),
                ordinal: self.used,
                peer: self.peer,
            });
        }
    }
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// An empty pool.
    #[must_use]
    pub fn new(config: Config, tls: Arc<ClientConfig>) -> Self {
        Self(Arc::new(Shared {
            config,
            tls,
            upstreams: Mutex::default(),
        }))
    }

    /// The upstream at `origin`, which speaks `protocol`.
    #[must_use]
    pub fn upstream(&self, origin: &Origin, protocol: Protocol) -> Arc<Upstream<B>> {
        let mut upstreams = self.upstreams();
        if let Some(upstream) = upstreams.get(origin) {
            return upstream.clone();
        }
        let upstream = Arc::new(Upstream {
            origin: origin.clone(),
            config: self.0.config.clone(),
            tls: self.0.tls.clone(),
            speech: Speech::new(protocol),
            idle: Mutex::default(),
            shared: Mutex::default(),
            dialling: tokio::sync::Mutex::default(),
            permits: Arc::new(Semaphore::new(self.0.config.max_connections)),
        });
        upstreams.insert(origin.clone(), upstream.clone());
        upstream
    }

    /// Closes what has been idle for too long, and forgets upstreams that nobody uses. Call it every
    /// few seconds: an idle connection is found too old when it is taken, but one that nobody takes
    /// would stay open.
    pub fn sweep(&self, now: Instant) {
        self.upstreams().retain(|_, upstream| {
            let keep = upstream.config.idle_timeout;
            upstream.idle().retain(|connection| {
                !connection.sender.is_closed()
                    && now.saturating_duration_since(connection.idle_since) < keep
            });
            // Whoever is about to use it holds it too.
            Arc::strong_count(upstream) > 1
                || !upstream.idle().is_empty()
                || upstream.shared_sender().is_some()
        });
    }

    fn upstreams(&self) -> MutexGuard<'_, HashMap<Origin, Arc<Upstream<B>>>> {
        self.0
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Upstream<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// The origin.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Sends a request and waits for the response's headers. Step 4 of the way of a request.
    ///
    /// The request's [`Hop`], if it has one, is told of every step.
    ///
    /// # Errors
    ///
    /// [`Error`], which names the phase that the request died in, and hands it back if it may be sent
    /// again.
    pub async fn send(
        self: &Arc<Self>,
        mut request: Request<RequestBody<B>>,
    ) -> Result<Response<ResponseBody<B>>, Error> {
        let recorder = request
            .extensions_mut()
            .remove::<Hop>()
            .and_then(|hop| hop.recorder);
        if let Some(recorder) = &recorder {
            recorder.begin_attempt(ambient::now());
        }
        let result = self.attempt(request, recorder.as_ref()).await;
        if let (Err(error), Some(recorder)) = (&result, &recorder) {
            recorder.fail(error.ended_by(), error.error_type());
        }
        result
    }

    async fn attempt(
        self: &Arc<Self>,
        request: Request<RequestBody<B>>,
        recorder: Option<&Recorder>,
    ) -> Result<Response<ResponseBody<B>>, Error> {
        let wants_http2 = request.version() == Version::HTTP_2;
        match self.speech.choose(wants_http2, self.origin.is_tls()) {
            Spoken::Http2 => self.over_http2(request, recorder, false).await,
            Spoken::TryHttp2 => self.over_http2(request, recorder, true).await,
            Spoken::Http1 => self.over_http1(request, recorder).await,
            Spoken::Negotiate => {
                // Over TLS the handshake tells, and then it is known.
                if self.shared_sender().is_some() {
                    return self.over_http2(request, recorder, false).await;
                }
                self.over_http1(request, recorder).await
            }
        }
    }

    async fn over_http1(
        self: &Arc<Self>,
        request: Request<RequestBody<B>>,
        recorder: Option<&Recorder>,
    ) -> Result<Response<ResponseBody<B>>, Error> {
        let permit = self.permit().await?;
        let (mut parts, mut body) = request.into_parts();
        headers::into_http1(&mut parts);
        for _ in 0..MAX_REPLACED {
            let mut connection = match self.checkout().await {
                Some(connection) => connection,
                None => match self.dial(recorder).await? {
                    Opened::Http1(connection) => connection,
                    Opened::Http2 => {
                        drop(permit);
                        let request = Request::from_parts(parts, body);
                        return Box::pin(self.over_http2(request, recorder, false)).await;
                    }
                },
            };
            connection.take(recorder);
            let reused = connection.used > 1;
            let wire = connection.wire.clone();
            let replay = Replay::of(&parts, &body, reused || self.speech.may_refuse_http1());
            wire.begin(recorder.cloned(), body.is_end_stream());
            body.over(&wire);
            let request = Request::from_parts(parts, body);
            let sent = connection.sender.try_send_request(request);
            let error = match self.answer(sent).await? {
                Ok(mut response) => {
                    // Its framing was for this connection; the caller's is made anew.
                    *response.version_mut() = Version::HTTP_11;
                    self.speech.heard_http1();
                    let returning = Returning::new(self.clone(), connection, permit);
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
            if let Some(unsent) = error.take_message() {
                (parts, body) = unsent.into_parts();
                if self.speech.choose(false, self.origin.is_tls()) == Spoken::Http2 {
                    // It opened with SETTINGS before anything was written, and always would.
                    drop(permit);
                    let request = Request::from_parts(parts, body);
                    return Box::pin(self.over_http2(request, recorder, false)).await;
                }
                continue;
            }
            let error = Error::exchange(&error.into_error());
            let unanswered = !wire.answered() || speaks_http2;
            return Err(match replay.filter(|_| unanswered) {
                Some(replay) => error.with_replay(replay.0),
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
        request: Request<RequestBody<B>>,
        recorder: Option<&Recorder>,
        is_trial: bool,
    ) -> Result<Response<ResponseBody<B>>, Error> {
        let (mut parts, mut body) = request.into_parts();
        // Only these may have to ask again in another protocol.
        let mut asked = (is_trial || self.origin.is_tls()).then(|| parts.clone());
        headers::into_http2(
            &mut parts,
            &self.origin.uri_scheme(),
            &self.origin.authority(),
        );
        for _ in 0..MAX_REPLACED {
            let sender = self.http2_sender(recorder, is_trial).await?;
            let mut sender = match (sender, asked) {
                (Some(sender), kept) => {
                    asked = kept;
                    sender
                }
                (None, Some(asked)) => {
                    // It turned out to speak HTTP/1.1 alone.
                    let request = Request::from_parts(asked, body);
                    return Box::pin(self.over_http1(request, recorder)).await;
                }
                (None, None) => return Err(Error::new(Cause::Closed, "it closed at once")),
            };
            match recorder {
                Some(recorder) if body.is_end_stream() => recorder.sent(ambient::now()),
                Some(recorder) => body.noting(recorder),
                None => {}
            }
            let request = Request::from_parts(parts, body);
            let sent = async move { sender.try_send_request(request).await };
            match self.answer(sent).await? {
                Ok(mut response) => {
                    *response.version_mut() = Version::HTTP_11;
                    return Ok(response.map(ResponseBody::http2));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => (parts, body) = unsent.into_parts(),
                    None => return Err(Error::exchange(&error.into_error())),
                },
            }
            // A connection that takes no more requests would be chosen again.
            self.shared().take();
        }
        Err(Error::new(
            Cause::Closed,
            "every connection was closed before it could be used",
        ))
    }

    /// The response's headers, within the time that the upstream has.
    async fn answer<T, E>(
        &self,
        sent: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, Error> {
        match self.config.response_timeout {
            None => Ok(sent.await),
            Some(timeout) => tokio::time::timeout(timeout, sent).await.map_err(|_| {
                Error::new(
                    Cause::ResponseTimeout,
                    format!("no response in {timeout:?}"),
                )
            }),
        }
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let timeout = self.config.connect_timeout;
        match tokio::time::timeout(timeout, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::new(
                Cause::Queue,
                format!(
                    "{} requests were open for {timeout:?}",
                    self.config.max_connections
                ),
            )),
        }
    }

    /// The idle connection that was used last, if one is still good.
    async fn checkout(&self) -> Option<Connection<http1::SendRequest<RequestBody<B>>>> {
        loop {
            // The guard must not live across the await below.
            let popped = self.idle().pop();
            let mut connection = popped?;
            let idle = ambient::now().saturating_duration_since(connection.idle_since);
            if connection.sender.is_closed() || idle >= self.config.idle_timeout {
                continue;
            }
            // Usually ready; else its task is about to notice that the last answer is over.
            if connection.sender.is_ready() || connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    /// The shared h2 connection, dialled if need be; `None` if the upstream does not speak it.
    async fn http2_sender(
        &self,
        recorder: Option<&Recorder>,
        is_trial: bool,
    ) -> Result<Option<http2::SendRequest<RequestBody<B>>>, Error> {
        if let Some(sender) = self.use_shared(recorder) {
            return Ok(Some(sender));
        }
        let _dialling = self.dialling.lock().await;
        if let Some(sender) = self.use_shared(recorder) {
            return Ok(Some(sender));
        }
        let dialled = dial::dial(&self.origin, &self.config, &self.tls, recorder).await?;
        if self.origin.is_tls() && !dialled.is_http2 {
            self.keep_http1(dialled).await?;
            return Ok(None);
        }
        let wire = self.open_http2(dialled).await?;
        if is_trial && !wire.heard_http2(self.config.connect_timeout).await {
            self.shared().take();
            self.speech.refused_http2();
            return Ok(None);
        }
        self.speech.heard_http2();
        Ok(self.use_shared(recorder))
    }

    fn use_shared(
        &self,
        recorder: Option<&Recorder>,
    ) -> Option<http2::SendRequest<RequestBody<B>>> {
        let mut shared = self.shared();
        let connection = shared.as_mut().filter(|c| !c.sender.is_closed())?;
        connection.take(recorder);
        Some(connection.sender.clone())
    }

    fn shared_sender(&self) -> Option<http2::SendRequest<RequestBody<B>>> {
        let shared = self.shared();
        let connection = shared.as_ref().filter(|c| !c.sender.is_closed())?;
        Some(connection.sender.clone())
    }

    async fn dial(&self, recorder: Option<&Recorder>) -> Result<Opened<B>, Error> {
        let dialled = dial::dial(&self.origin, &self.config, &self.tls, recorder).await?;
        if dialled.is_http2 {
            self.open_http2(dialled).await?;
            return Ok(Opened::Http2);
        }
        self.open_http1(dialled).await.map(Opened::Http1)
    }

    async fn open_http1(
        &self,
        dialled: Dialled,
    ) -> Result<Connection<http1::SendRequest<RequestBody<B>>>, Error> {
        let wire = Arc::new(Wire::default());
        let io = TokioIo::new(Watched::new(dialled.transport, wire.clone()));
        let (sender, connection) = http1::Builder::new()
            .handshake(io)
            .await
            .map_err(|e| Error::exchange(&e))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        });
        Ok(Connection::new(sender, wire, dialled.peer))
    }

    async fn keep_http1(&self, dialled: Dialled) -> Result<(), Error> {
        let connection = self.open_http1(dialled).await?;
        self.idle().push(connection);
        Ok(())
    }

    async fn open_http2(&self, dialled: Dialled) -> Result<Arc<Wire>, Error> {
        let wire = Arc::new(Wire::default());
        let io = TokioIo::new(Watched::new(dialled.transport, wire.clone()));
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .adaptive_window(true)
            .handshake(io)
            .await
            .map_err(|e| Error::exchange(&e))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        });
        *self.shared() = Some(Connection::new(sender, wire.clone(), dialled.peer));
        Ok(wire)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection<http1::SendRequest<RequestBody<B>>>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> MutexGuard<'_, Option<Connection<http2::SendRequest<RequestBody<B>>>>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Opened<B> {
    Http1(Connection<http1::SendRequest<RequestBody<B>>>),
    /// It is the shared one now.
    Http2,
}

/// What is needed to send a request once more.
struct Replay(Box<request::Parts>);

impl Replay {
    fn of<B: Body<Data = Bytes> + Unpin>(
        parts: &request::Parts,
        body: &RequestBody<B>,
        may_be_needed: bool,
    ) -> Option<Self> {
        let may = may_be_needed && parts.method.is_idempotent() && body.is_end_stream();
        may.then(|| {
            let (mut copy, ()) = Request::new(()).into_parts();
            copy.method = parts.method.clone();
            copy.uri = parts.uri.clone();
            copy.headers = parts.headers.clone();
            Self(Box::new(copy))
        })
    }
}

impl<B> Upstream<B> {
    /// Takes a connection back after its answer was read to the end.
    fn give_back(&self, mut connection: Connection<http1::SendRequest<RequestBody<B>>>) {
        if !connection.sender.is_closed() {
            connection.idle_since = ambient::now();
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}

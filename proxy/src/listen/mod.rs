//! The connections that come to us: pingora accepts them, hyper speaks HTTP on each.
//!
//! HTTP/1.1 and HTTP/2 in clear share a port: the first bytes tell them apart (see `preface`). A
//! [`Connection`] under hyper sees the bytes, so that an exchange begins with the first byte of its
//! request and ends when the socket has taken the last byte of its answer; and it knows how long a
//! connection has been idle, or has been at its headers, so that one watchdog a connection enforces
//! both limits without a timer a request.

mod accepted;
mod connection;
mod handshake;
mod preface;
mod redirected;

use std::{
    convert::Infallible,
    fmt,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pingora_core::{apps::ServerApp, protocols::Stream, server::ShutdownWatch};
use throughline::{ambient, server::Arrival, tls::Session};
use tokio::sync::{Notify, watch};
use tower::Service;

pub use self::connection::{Connection, Draining};
use self::{
    accepted::Accepted,
    connection::Expired,
    preface::{Opening, Speech},
};
use crate::{
    bell::{self, First},
    hold::Holding,
    tls::{MaybeTls, Server},
    watched::Watched,
};

/// What a listener allows its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a request's headers may take from their first byte, and a new connection until then.
    pub header_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub idle_timeout: Duration,
    /// How long a tunnel may carry nothing; `None` for ever.
    pub tunnel_idle_timeout: Option<Duration>,
    /// The most bytes that a request's headers may have.
    pub max_header_bytes: usize,
    /// The most requests that one h2 connection may have open.
    pub max_streams: u32,
    /// Whether connections may have been on their way to somebody else.
    pub transparent: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            tunnel_idle_timeout: None,
            max_header_bytes: 64 * 1024,
            max_streams: 256,
            transparent: false,
        }
    }
}

/// The most fields of a request, of whatever size together. hyper has room for 100 of its own accord, `Host`
/// among them. Asked for more, it fills a list for each message: with that of the answers 3,500 instructions
/// for a request, one in twenty, and twice as many for twice as many fields.
const MAX_FIELDS: usize = 128;

/// How long a drain waits for the first request of a connection that was accepted before it.
const LINGER: Duration = Duration::from_millis(250);

/// Makes the service for one connection.
pub trait Stack: Send + Sync + 'static {
    /// The body of its answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static;
    /// The service for all requests of one connection; it never fails.
    type Service: Service<
            Request<Incoming>,
            Response = Response<Self::Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Send
        + 'static;

    /// The service for the requests of `connection`.
    fn service(&self, connection: &Arc<Connection>) -> Self::Service;
}

/// All connections of a listener, for the drain.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicUsize,
    none_left: Notify,
    cut: watch::Sender<bool>,
}

impl Connections {
    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Waits until none is open.
    pub async fn drained(&self) {
        loop {
            let notified = self.none_left.notified();
            if self.open() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Ends every connection now, whatever is asked on it. [`Connections::drained`] then tells when
    /// all that was open has become spans.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    async fn until_cut(&self) {
        // The sender is ours: it cannot be gone before us.
        let _ = self.cut.subscribe().wait_for(|cut| *cut).await;
    }

    fn enter(self: &Arc<Self>) -> Counted {
        self.open.fetch_add(1, Ordering::AcqRel);
        Counted(self.clone())
    }
}

/// One open connection: it counts until the last of its requests is gone too, which h2 serves by
/// tasks of their own.
#[derive(Debug)]
struct Counted(Arc<Connections>);

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

/// What pingora calls for each connection of one listener.
pub struct Listener<K> {
    stack: K,
    config: Config,
    connections: Arc<Connections>,
    drain: watch::Receiver<bool>,
    pipeline: Option<crate::pipeline::Pipeline>,
    tls: Option<Server>,
}

impl<K> fmt::Debug for Listener<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<K: Stack> Listener<K> {
    /// A listener that answers with `stack` until `drain` turns true, and then lets every request
    /// finish. Spans of answers that are still on their way out end up in `pipeline`.
    pub fn new(
        stack: K,
        config: Config,
        drain: watch::Receiver<bool>,
        pipeline: Option<crate::pipeline::Pipeline>,
    ) -> Self {
        Self {
            stack,
            config,
            connections: Arc::default(),
            drain,
            pipeline,
            tls: None,
        }
    }

    /// The same listener, speaking TLS on the terms of `server`.
    #[must_use]
    pub fn with_tls(mut self, server: Server) -> Self {
        self.tls = Some(server);
        self
    }

    /// Its open connections.
    #[must_use]
    pub fn connections(&self) -> Arc<Connections> {
        self.connections.clone()
    }

    /// Step 1 of the way of a request: serves all requests of one connection.
    async fn serve(&self, stream: Stream, counted: Counted) {
        let socket = stream.get_socket_digest();
        let destination = match (&socket, self.config.transparent) {
            (Some(socket), true) => redirected::destination(socket),
            _ => None,
        };
        let mut drain = self.drain.clone();
        let opened = tokio::select! {
            opened = self.opening(stream, destination.is_some(), &mut drain) => opened,
            () = self.connections.until_cut() => None,
        };
        let Some(Opened {
            stream,
            session,
            opening,
        }) = opened
        else {
            return;
        };

        let Opening {
            speech,
            bytes,
            first_byte,
        } = opening;
        let connection = Connection::new(
            socket,
            destination,
            speech == Speech::Http2,
            first_byte,
            self.pipeline.clone(),
            self.config.tunnel_idle_timeout,
            Some(counted),
        );
        let connection = Arc::new(connection.over(session));
        let service = Serve {
            service: Mutex::new(self.stack.service(&connection)),
            connection: connection.clone(),
        };
        let stream = Accepted(stream);
        let io = TokioIo::new(Watched::reading_again(stream, bytes, connection.clone()));
        if speech == Speech::Http2 {
            let serving = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .auto_date_header(false)
                .adaptive_window(true)
                // A WebSocket is one stream among others (RFC 8441).
                .enable_connect_protocol()
                .max_concurrent_streams(self.config.max_streams)
                .max_header_list_size(
                    u32::try_from(self.config.max_header_bytes).unwrap_or(u32::MAX),
                )
                .serve_connection(io, service);
            let mut serving = pin!(serving);
            let result = self
                .run(&connection, drain, serving.as_mut(), |serving| {
                    serving.graceful_shutdown()
                })
                .await;
            report(result, &connection);
        } else {
            let serving = http1::Builder::new()
                .auto_date_header(false)
                // A client that has said all it had to say still gets its answer.
                .half_close(true)
                .header_read_timeout(None)
                .max_header_size(self.config.max_header_bytes)
                .max_headers(MAX_FIELDS)
                .serve_connection(io, service)
                // What it becomes then is carried by a task of its own.
                .with_upgrades();
            let mut serving = pin!(serving);
            let result = self
                .run(&connection, drain, serving.as_mut(), |serving| {
                    serving.graceful_shutdown()
                })
                .await;
            report(result, &connection);
        }
    }

    /// How the connection begins; `None` if it ends before, or takes too long.
    async fn opening(
        &self,
        stream: Stream,
        is_redirected: bool,
        drain: &mut watch::Receiver<bool>,
    ) -> Option<Opened> {
        let mut reading = pin!(self.open(stream, is_redirected));
        let draining = async {
            let _ = drain.wait_for(|draining| *draining).await;
        };
        let opened = tokio::select! {
            biased;
            opened = tokio::time::timeout(self.config.header_timeout, reading.as_mut()) => opened,
            // Nothing was asked yet that we know of; but it may be on its way.
            () = draining => tokio::time::timeout(LINGER, reading).await,
        };
        opened.ok()?
    }

    /// The handshake, where there is one, and the first bytes of the first request.
    ///
    /// A connection that was redirected begins on the same terms as any other: nobody gets around them.
    async fn open(&self, stream: Stream, is_redirected: bool) -> Option<Opened> {
        let terms = self.tls.as_ref().and_then(Server::terms);
        let (mut stream, session) = match terms {
            // In a box: most connections have no use for its room.
            Some(terms) => Box::pin(handshake::greet(stream, terms)).await?,
            None => (MaybeTls::Clear(stream), None),
        };
        let decide = match is_redirected {
            true => redirected::decide,
            false => preface::decide,
        };
        let opening = preface::read(&mut stream, decide).await.ok()??;
        Some(Opened {
            stream,
            session,
            opening,
        })
    }

    /// Drives a connection to its end; on drain or after too long an idle time it takes no more
    /// requests, and after too long over its headers it is cut.
    async fn run<F>(
        &self,
        connection: &Connection,
        mut drain: watch::Receiver<bool>,
        mut serving: Pin<&mut F>,
        graceful: impl Fn(Pin<&mut F>),
    ) -> Result<(), hyper::Error>
    where
        F: Future<Output = Result<(), hyper::Error>>,
    {
        let mut cut = pin!(self.connections.until_cut());
        let leaving = async {
            tokio::select! {
                biased;
                () = cut.as_mut() => Leaving::Now,
                _ = drain.wait_for(|draining| *draining) => Leaving::Gracefully,
                expired = connection.watchdog(self.config.header_timeout, self.config.idle_timeout) => {
                    match expired {
                        Expired::Idle => Leaving::Gracefully,
                        Expired::Headers | Expired::Abandoned => Leaving::Now,
                    }
                }
            }
        };
        // A connection is woken several times for each request, and once in its life for its end.
        match bell::first(serving.as_mut(), leaving).await {
            First::Main(result) => return result,
            First::Side(Leaving::Now) => return Ok(()),
            First::Side(Leaving::Gracefully) => graceful(serving.as_mut()),
        }
        match bell::first(serving, cut).await {
            First::Main(result) => result,
            First::Side(()) => Ok(()),
        }
    }
}

/// A connection on which something has been asked.
struct Opened {
    stream: handshake::Transport,
    session: Option<Session>,
    opening: Opening,
}

/// How a connection is ended from our side.
enum Leaving {
    /// After the requests that are open.
    Gracefully,
    /// Whatever is open.
    Now,
}

fn report(result: Result<(), hyper::Error>, connection: &Connection) {
    if let Err(error) = result {
        tracing::debug!(%error, peer = ?connection.peer(), "a connection ended");
    }
}

#[async_trait]
impl<K: Stack> ServerApp for Listener<K> {
    async fn process_new(self: &Arc<Self>, stream: Stream, _: &ShutdownWatch) -> Option<Stream> {
        let counted = self.connections.enter();
        self.serve(stream, counted).await;
        None
    }
}

/// A service as hyper calls it, for the requests of one connection.
struct Serve<S> {
    /// Never asked twice at a time, so that nobody waits. A clone for each request would count up and
    /// down all that the services share.
    service: Mutex<S>,
    connection: Arc<Connection>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Serve<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes>,
{
    type Response = Response<Holding<B, connection::Busy>>;
    type Error = Infallible;
    type Future = connection::Answering<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let now = ambient::now();
        let (first_byte, busy) = self.connection.request(now);
        let tls = self.connection.session();
        request.extensions_mut().insert(Arrival {
            first_byte,
            headers: now,
            peer: self.connection.peer(),
            tls,
        });
        // Every service here is ready at any time: what has limits makes the request wait instead.
        let mut service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        connection::Answering::new(service.call(request), busy)
    }
}

//! The connections that come to us: pingora accepts them, hyper speaks HTTP on each.
//!
//! HTTP/1.1 and HTTP/2 in clear share a port: the first bytes tell them apart (see `preface`). A
//! [`Connection`] under hyper sees the bytes, so that an exchange begins with the first byte of its
//! request and ends when the socket has taken the last byte of its answer; and it knows how long a
//! connection has been idle, or has been at its headers, so that one watchdog a connection enforces
//! both limits without a timer a request.

mod accepted;
mod connection;
mod floods;
mod handshake;
mod live;
mod preface;
mod redirected;

use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
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
use pingora_core::{
    apps::ServerApp,
    protocols::{GetSocketDigest, SocketDigest, Stream},
    server::ShutdownWatch,
};
use throughline::{ambient, server::Arrival, tls::Session};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{Notify, watch},
};
use tower::Service;

use self::{
    accepted::Accepted,
    connection::Expired,
    preface::{Opening, Speech},
};
pub use self::{
    connection::{Connection, Draining},
    live::Live,
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
    /// How long nothing may come of a request's body while it is waited for; `None` for ever.
    pub body_timeout: Option<Duration>,
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
            body_timeout: Some(Duration::from_secs(60)),
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

/// How long a connection of HTTP/1 that is drained may still ask for something, to be told with the
/// answer that it was the last. Closed at once, it would lose the request that is on its way: whoever
/// keeps a connection for the next request sends that without asking.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// How often it is looked whether a head that is being read at the end of that has been read.
const LOOK: Duration = Duration::from_millis(20);

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

    /// The host and the port that bytes go to which are not HTTP, of a connection that was redirected on its way
    /// to `_meant`; `None` where they are a call.
    fn takes_other(&self, _meant: SocketAddr) -> Option<(String, u16)> {
        None
    }

    /// Makes the service of an older stack, for the same connection, one of this.
    fn renew(&self, service: &mut Self::Service, connection: &Arc<Connection>) {
        *service = self.service(connection);
    }
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

    /// Counts as one that is open, until it is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Counted {
        self.open.fetch_add(1, Ordering::AcqRel);
        Counted(self.clone())
    }
}

/// One open connection: it counts until the last of its requests is gone too, which h2 serves by
/// tasks of their own.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Connections>);

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}

/// What pingora calls for each connection of one listener.
pub struct Listener<K> {
    live: Live<K>,
    connections: Arc<Connections>,
    drain: watch::Receiver<bool>,
    pipeline: Option<crate::pipeline::Pipeline>,
    tls: Option<Server>,
}

impl<K> Clone for Listener<K> {
    fn clone(&self) -> Self {
        Self {
            live: self.live.clone(),
            connections: self.connections.clone(),
            drain: self.drain.clone(),
            pipeline: self.pipeline.clone(),
            tls: self.tls.clone(),
        }
    }
}

impl<K> fmt::Debug for Listener<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
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
            live: Live::new(stack, config),
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

    /// What it does, to be replaced.
    #[must_use]
    pub fn live(&self) -> Live<K> {
        self.live.clone()
    }

    /// Serves a connection that was accepted elsewhere.
    pub(crate) async fn serve_tcp(&self, stream: TcpStream, peer: SocketAddr) {
        let counted = self.connections.enter();
        // As pingora does it.
        let _ = stream.set_nodelay(true);
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        let _ = digest.peer_addr.set(Some(peer.into()));
        let mut stream = pingora_core::protocols::l4::stream::Stream::from(stream);
        stream.set_socket_digest(digest);
        self.serve(Box::new(stream), counted).await;
    }

    /// Step 1 of the way of a request: serves all requests of one connection.
    async fn serve(&self, stream: Stream, counted: Counted) {
        let socket = stream.get_socket_digest();
        let version = self.live.version();
        let now = self.live.now();
        let config = now.config;
        let destination = match (&socket, config.transparent) {
            (Some(socket), true) => redirected::destination(socket),
            _ => None,
        };
        let mut drain = self.drain.clone();
        let timeout = config.header_timeout;
        let opened = tokio::select! {
            opened = self.opening(stream, destination.is_some(), &mut drain, timeout) => opened,
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
        if let (Speech::Other, Some(meant)) = (speech, destination)
            && let Some(to) = now.stack.takes_other(meant)
        {
            drop(now);
            // Until then it counts as open.
            let _counted = counted;
            return self.pass(stream, &bytes, to).await;
        }
        let connection = Connection::new(
            socket,
            destination,
            speech == Speech::Http2,
            first_byte,
            self.pipeline.clone(),
            config.tunnel_idle_timeout,
            Some(counted),
        );
        let connection = Arc::new(connection.over(session));
        connection.begins(&bytes);
        let service = Serve {
            current: Mutex::new(Current {
                service: now.stack.service(&connection),
                version,
            }),
            live: self.live.clone(),
            connection: connection.clone(),
        };
        drop(now);
        let (stream, bytes) = match (speech, destination) {
            (Speech::Other, Some(to)) => {
                let bytes = redirected::as_connect(to, &bytes);
                (Accepted::without_an_answer(stream), bytes)
            }
            _ => (Accepted::new(stream), bytes),
        };
        let io = TokioIo::new(Watched::reading_again(stream, bytes, connection.clone()));
        if speech == Speech::Http2 {
            let serving = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .auto_date_header(false)
                .adaptive_window(true)
                // A WebSocket is one stream among others (RFC 8441).
                .enable_connect_protocol()
                .max_concurrent_streams(config.max_streams)
                .max_header_list_size(u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX))
                .serve_connection(io, service);
            let mut serving = pin!(serving);
            let result = self
                .run(&connection, config, drain, serving.as_mut(), |serving| {
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
                .max_header_size(config.max_header_bytes)
                .max_headers(MAX_FIELDS)
                .serve_connection(io, service)
                // What it becomes then is carried by a task of its own.
                .with_upgrades();
            let mut serving = pin!(serving);
            let result = self
                .run(&connection, config, drain, serving.as_mut(), |serving| {
                    serving.graceful_shutdown()
                })
                .await;
            report(result, &connection);
        }
    }

    /// Carries what is not HTTP between a caller and the app, as it is: it has no requests, and so no spans.
    async fn pass(
        &self,
        mut stream: handshake::Transport,
        bytes: &[u8],
        (host, port): (String, u16),
    ) {
        let passing = async {
            let mut app = TcpStream::connect((&*host, port)).await?;
            // Whatever it is, it was not to wait for more.
            app.set_nodelay(true)?;
            app.write_all(bytes).await?;
            tokio::io::copy_bidirectional(&mut stream, &mut app).await
        };
        tokio::select! {
            passed = passing => if let Err(error) = passed {
                tracing::debug!(%error, host, port, "a connection to the app ended");
            },
            () = self.connections.until_cut() => {}
        }
    }

    /// How the connection begins; `None` if it ends before, or takes too long.
    async fn opening(
        &self,
        stream: Stream,
        is_redirected: bool,
        drain: &mut watch::Receiver<bool>,
        timeout: Duration,
    ) -> Option<Opened> {
        let mut reading = pin!(self.open(stream, is_redirected));
        let draining = async {
            let _ = drain.wait_for(|draining| *draining).await;
        };
        let opened = tokio::select! {
            biased;
            opened = tokio::time::timeout(timeout, reading.as_mut()) => opened,
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
        let opening = match is_redirected {
            true => redirected::read(&mut stream).await,
            false => preface::read(&mut stream, preface::decide).await,
        };
        let opening = opening.ok()??;
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
        config: Config,
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
                _ = drain.wait_for(|draining| *draining) => Leaving::Drained,
                expired = connection.watchdog(&config) => {
                    match expired {
                        Expired::Idle => Leaving::Gracefully,
                        Expired::Headers => Leaving::Refused,
                        Expired::Abandoned => Leaving::Now,
                    }
                }
            }
        };
        // A connection is woken several times for each request, and once in its life for its end.
        match bell::first(serving.as_mut(), leaving).await {
            First::Main(result) => return result,
            First::Side(Leaving::Now) => return Ok(()),
            First::Side(Leaving::Drained) if !connection.is_http2() => {
                connection.answer_for_the_last_time();
                let asked = async {
                    tokio::time::sleep(LAST_REQUEST).await;
                    let head = async {
                        while connection.is_at_head() {
                            tokio::time::sleep(LOOK).await;
                        }
                    };
                    let _ = tokio::time::timeout(config.header_timeout, head).await;
                };
                let ended = async {
                    tokio::select! {
                        biased;
                        () = cut.as_mut() => Leaving::Now,
                        () = asked => Leaving::Gracefully,
                    }
                };
                match bell::first(serving.as_mut(), ended).await {
                    First::Main(result) => return result,
                    First::Side(Leaving::Now) => return Ok(()),
                    First::Side(_) => graceful(serving.as_mut()),
                }
            }
            First::Side(Leaving::Refused) => {
                connection.refuse_headers();
                // It is written when hyper flushes, which it does each time.
                let _ = poll_fn(|cx| Poll::Ready(serving.as_mut().poll(cx))).await;
                return Ok(());
            }
            First::Side(Leaving::Gracefully | Leaving::Drained) => graceful(serving.as_mut()),
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
    /// After those, and after one more where it cannot be told that none is to come.
    Drained,
    /// With an answer to what is no whole request.
    Refused,
    /// Whatever is open.
    Now,
}

fn report(result: Result<(), hyper::Error>, connection: &Connection) {
    if let Err(error) = result {
        if floods::is_one(&error) {
            connection.was_flooded();
        }
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
struct Serve<K: Stack> {
    /// Never asked twice at a time, so that nobody waits. A clone for each request would count up and
    /// down all that the services share.
    current: Mutex<Current<K::Service>>,
    live: Live<K>,
    connection: Arc<Connection>,
}

/// A service, and which of the listener's it is.
struct Current<S> {
    service: S,
    version: u64,
}

impl<K: Stack> hyper::service::Service<Request<Incoming>> for Serve<K> {
    type Response = Response<Holding<K::Body, connection::Busy>>;
    type Error = Infallible;
    type Future = connection::Answering<<K::Service as Service<Request<Incoming>>>::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let now = ambient::now();
        let has_body = !request.body().is_end_stream();
        let version = request.version();
        let (first_byte, busy, pace) = self.connection.request(now, version, has_body);
        if let Some(pace) = pace {
            request.extensions_mut().insert(pace);
        }
        let tls = self.connection.session();
        request.extensions_mut().insert(Arrival {
            first_byte,
            headers: now,
            peer: self.connection.peer(),
            tls,
        });
        // Every service here is ready at any time: what has limits makes the request wait instead.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.live.version();
        if current.version != version {
            let stack = &self.live.now().stack;
            stack.renew(&mut current.service, &self.connection);
            current.version = version;
        }
        connection::Answering::new(current.service.call(request), busy)
    }
}

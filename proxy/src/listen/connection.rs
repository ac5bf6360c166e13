//! What is known of a caller's connection below HTTP: when bytes came, when they were taken, and for
//! how long nothing happened.

use std::{
    io::IoSlice,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use http::{
    HeaderValue, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH},
};
use http_body::Body;
use pin_project_lite::pin_project;
use pingora_core::protocols::SocketDigest;
use throughline::{
    ambient, context::TraceContext, exchange::Exchange, phase::Party, propagation::Rejections,
    sink::Sink, span::Span, tls::Session,
};

use super::{
    Config, Counted,
    floods::{self, Frames},
};
use crate::{
    hold::Holding,
    interim::Interim,
    pace::{Pace, Paces},
    pipeline::{Flood, Pipeline},
    watched::Watch,
};

/// One connection of a caller.
#[derive(Debug)]
pub struct Connection {
    peer: Option<SocketAddr>,
    destination: Option<SocketAddr>,
    /// HTTP/2 sends frames that belong to no request, and its requests overlap: there the first byte
    /// of one cannot be told apart.
    is_http2: bool,
    /// What is said to the caller before its answer; in HTTP/2 nothing can be.
    interim: Option<Arc<Interim>>,
    /// The frames that came; in HTTP/1 there are none.
    frames: Option<Mutex<Frames>>,
    has_enough: AtomicBool,
    /// What its peer was told that it sent too much of, counted from one; zero for nothing.
    flood: AtomicU8,
    state: Mutex<State>,
    /// Whether `left_since` is set: looked at on every write.
    is_leaving: AtomicBool,
    /// Whether each answer is the last of the connection, and says so.
    is_ending: AtomicBool,
    pipeline: Option<Pipeline>,
    /// What TLS told of it, and whether a request has been told; `None` in clear.
    session: Option<(Arc<Session>, AtomicBool)>,
    /// The socket, to be asked whether the caller is still there.
    socket: Option<Arc<SocketDigest>>,
    /// How long a tunnel on it may carry nothing.
    tunnel_idle_timeout: Option<Duration>,
    /// For the drain, which waits until nothing holds the connection any more.
    counted: Option<Counted>,
}

#[derive(Debug)]
struct State {
    /// When the request that is being read began; `None` while none is, or where it cannot be told.
    first_byte: Option<Instant>,
    /// How many requests are being answered.
    busy: usize,
    /// The bodies of those that have one.
    bodies: Paces,
    /// When the watchdog first saw that none was: a request need not read the clock for it.
    idle_since: Option<Instant>,
    /// Since when the caller is known to have said its last, with nothing written to it after.
    left_since: Option<Instant>,
    /// Answers whose last byte the socket has yet to take.
    draining: Vec<Exchange>,
}

impl Connection {
    pub(super) fn new(
        socket: Option<Arc<SocketDigest>>,
        destination: Option<SocketAddr>,
        is_http2: bool,
        first_byte: Instant,
        pipeline: Option<Pipeline>,
        tunnel_idle_timeout: Option<Duration>,
        counted: Option<Counted>,
    ) -> Self {
        let peer = socket.as_ref().and_then(|socket| socket.peer_addr());
        Self {
            peer: peer.and_then(|peer| peer.as_inet().copied()),
            destination,
            is_http2,
            interim: (!is_http2).then(Arc::default),
            frames: is_http2.then(Mutex::default),
            has_enough: AtomicBool::new(false),
            flood: AtomicU8::new(0),
            state: Mutex::new(State {
                first_byte: (!is_http2).then_some(first_byte),
                busy: 0,
                bodies: Paces::default(),
                idle_since: None,
                left_since: None,
                draining: Vec::new(),
            }),
            is_leaving: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            pipeline,
            session: None,
            socket,
            tunnel_idle_timeout,
            counted,
        }
    }

    /// The same connection, over TLS where there is a `session`.
    pub(super) fn over(mut self, session: Option<Session>) -> Self {
        self.session = session.map(|session| (Arc::new(session), AtomicBool::new(false)));
        self
    }

    /// What TLS told of it, and whether the request that asks is the first.
    pub(super) fn session(&self) -> Option<(Arc<Session>, bool)> {
        let (session, told) = self.session.as_ref()?;
        let is_first = !told.swap(true, Ordering::Relaxed);
        Some((session.clone(), is_first))
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Where the caller meant to connect to, if the kernel took the connection here.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        self.destination
    }

    /// Our end, as the caller's side of the connection has it.
    #[must_use]
    pub fn local_as_dialled(&self) -> Option<SocketAddr> {
        self.destination.or_else(|| self.local())
    }

    /// Our end.
    #[must_use]
    pub fn local(&self) -> Option<SocketAddr> {
        let local = self.socket.as_ref()?.local_addr()?;
        local.as_inet().copied()
    }

    /// How long a tunnel on it may carry nothing; `None` for ever.
    #[must_use]
    pub fn tunnel_idle_timeout(&self) -> Option<Duration> {
        self.tunnel_idle_timeout
    }

    /// Waits until all connections are cut, whatever they carry.
    pub async fn cut(&self) {
        match &self.counted {
            Some(Counted(connections)) => connections.until_cut().await,
            None => std::future::pending().await,
        }
    }

    /// Whether they are.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        let counted = self.counted.as_ref();
        counted.is_some_and(|Counted(connections)| *connections.cut.borrow())
    }

    /// Keeps it busy for as long as the tunnel lasts that this is held by.
    pub(crate) fn carries_tunnel(self: &Arc<Self>) -> Busy {
        let mut state = self.state();
        state.busy += 1;
        state.idle_since = None;
        drop(state);
        Busy(self.clone())
    }

    /// A request's headers are complete.
    pub(super) fn request(
        self: &Arc<Self>,
        now: Instant,
        version: Version,
        has_body: bool,
    ) -> (Option<Instant>, Busy, Option<Arc<Pace>>) {
        if let Some(interim) = &self.interim {
            interim.asked(version);
        }
        let mut state = self.state();
        state.busy += 1;
        state.idle_since = None;
        let first_byte = state.first_byte.take().filter(|first| *first <= now);
        let pace = has_body.then(|| state.bodies.add());
        (first_byte, Busy(self.clone()), pace)
    }

    /// The way of interim responses to the caller.
    pub(crate) fn early(&self) -> Option<Arc<Interim>> {
        self.interim.clone()
    }

    /// Answers a request whose headers took too long.
    pub(super) fn refuse_headers(&self) {
        const TEXT: &str = "408 Request Timeout\nthroughline: header_timeout in phase receive: the \
            request's headers were not whole in time\n";
        if let Some(interim) = &self.interim {
            let length = TEXT.len();
            interim.refuse(
                format!(
                    "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain; \
                     charset=utf-8\r\ncontent-length: {length}\r\n\r\n{TEXT}"
                )
                .as_bytes(),
            );
        }
    }

    /// What was read of it before.
    pub(super) fn begins(&self, bytes: &[u8]) {
        if let Some(frames) = &self.frames {
            self.read_frames(frames, bytes);
        }
    }

    fn read_frames(&self, frames: &Mutex<Frames>, bytes: &[u8]) {
        let mut frames = frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flood) = frames.read(bytes) {
            self.has_enough.store(true, Ordering::Release);
            self.flooded(flood);
        }
    }

    /// h2 has ended the connection for a flood.
    pub(super) fn was_flooded(&self) {
        let told = usize::from(self.flood.load(Ordering::Acquire));
        // Without a word it is a head of more bytes than are ever read.
        let flood = told.checked_sub(1).and_then(|kind| Flood::ALL.get(kind));
        self.flooded(*flood.unwrap_or(&Flood::Headers));
    }

    fn flooded(&self, flood: Flood) {
        if let Some(pipeline) = &self.pipeline {
            pipeline.counters().flooded(flood);
        }
        tracing::debug!(kind = flood.name(), peer = ?self.peer, "a flood ended a connection");
    }

    pub(super) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Every answer from now on says that the connection ends with it.
    pub(super) fn answer_for_the_last_time(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// Whether the headers of a request are being read.
    pub(super) fn is_at_head(&self) -> bool {
        let state = self.state();
        state.busy == 0 && state.first_byte.is_some()
    }

    fn report(&self, spans: impl Iterator<Item = Box<Span>>) {
        if let Some(pipeline) = &self.pipeline {
            spans.for_each(|span| pipeline.offer(span));
        }
    }

    /// Waits until the connection has been idle, or at its headers, for too long; bodies that stop
    /// coming are ended meanwhile.
    ///
    /// It sleeps until the earliest moment at which that could be, and then looks: requests come and
    /// go without touching a timer.
    pub(super) async fn watchdog(&self, config: &Config) -> Expired {
        let (headers, idle) = (config.header_timeout, config.idle_timeout);
        loop {
            let now = ambient::now();
            let has_left = self.has_left();
            let wait = {
                let mut state = self.state();
                let wait = match (state.busy, state.first_byte) {
                    (0, Some(first)) => match left(first, headers, now) {
                        Some(wait) => wait,
                        None => return Expired::Headers,
                    },
                    (0, None) => match left(*state.idle_since.get_or_insert(now), idle, now) {
                        // Headers may begin at once, and then have their own time.
                        Some(wait) => wait.min(headers),
                        None => return Expired::Idle,
                    },
                    _ if has_left => {
                        let since = *state.left_since.get_or_insert(now);
                        self.is_leaving.store(true, Ordering::Relaxed);
                        match left(since, idle, now) {
                            Some(wait) => wait.min(headers),
                            None => return Expired::Abandoned,
                        }
                    }
                    _ => headers.min(idle),
                };
                let limit = config.body_timeout;
                match limit.and_then(|limit| state.bodies.look(now, limit)) {
                    Some(body) => wait.min(body),
                    None => wait,
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether the caller has closed its side, or all of the connection.
    ///
    /// One that has only said all that it had to say looks the same as one that is gone, and while it
    /// waits for its answer nothing is read that would tell. So whoever has left still has its answer
    /// made, for as long as a connection may be idle.
    fn has_left(&self) -> bool {
        /// As the kernel numbers them, in `net/tcp_states.h`.
        const CLOSE: u8 = 7;
        const CLOSE_WAIT: u8 = 8;
        let info = self.socket.as_ref().and_then(|socket| socket.tcp_info());
        info.is_some_and(|info| matches!(info.tcpi_state, CLOSE | CLOSE_WAIT))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Connection {
    /// Bytes came. The first after an answer is the first of the next request; what comes while
    /// another is being answered cannot be told apart.
    fn read(&self, bytes: &[u8]) {
        if let Some(frames) = &self.frames {
            self.read_frames(frames, bytes);
            return;
        }
        let mut state = self.state();
        if state.busy == 0 && state.first_byte.is_none() {
            state.first_byte = Some(ambient::now());
        }
    }

    /// Something was written, and taken: whoever has left is at least still getting an answer.
    fn wrote(&self) {
        if self.is_leaving.load(Ordering::Relaxed) {
            self.is_leaving.store(false, Ordering::Relaxed);
            self.state().left_since = None;
        }
    }

    /// Everything that was written has been taken by the socket.
    fn flushed(&self) {
        let mut state = self.state();
        if state.draining.is_empty() {
            return;
        }
        let drained = std::mem::take(&mut state.draining);
        drop(state);
        let now = ambient::now();
        self.report(drained.into_iter().map(|exchange| exchange.finish(now)));
    }

    fn writes(&self, bytes: &[IoSlice<'_>]) {
        if self.is_http2
            && let Some(flood) = floods::said(bytes)
        {
            self.flood.store(flood as u8 + 1, Ordering::Release);
        }
    }

    fn has_enough(&self) -> bool {
        self.is_http2 && self.has_enough.load(Ordering::Acquire)
    }

    fn interim(&self) -> Option<&Interim> {
        self.interim.as_deref()
    }

    /// The connection is gone, and with it what the socket had not taken.
    fn closed(&self) {
        let undrained = std::mem::take(&mut self.state().draining);
        let now = ambient::now();
        self.report(
            undrained
                .into_iter()
                .map(|exchange| exchange.abort(Party::Client, "cancelled", now)),
        );
    }
}

/// What is left of `limit` since `since`; `None` if nothing is.
fn left(since: Instant, limit: Duration, now: Instant) -> Option<Duration> {
    let left = limit.checked_sub(now.saturating_duration_since(since))?;
    (!left.is_zero()).then_some(left)
}

/// What a connection took too long over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// The time between requests.
    Idle,
    /// A request's headers.
    Headers,
    /// An answer, after the caller had left.
    Abandoned,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy -= 1;
    }
}

pin_project! {
    /// A response that keeps its connection busy until its body has ended.
    pub(super) struct Answering<F> {
        #[pin]
        inner: F,
        busy: Option<Busy>,
    }
}

impl<F> Answering<F> {
    pub(super) fn new(inner: F, busy: Busy) -> Self {
        Self {
            inner,
            busy: Some(busy),
        }
    }
}

impl<F, B, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<Holding<B, Busy>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some(Busy(connection)) = this.busy
            && connection.is_ending.load(Ordering::Relaxed)
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        let busy = this
            .busy
            .take()
            .expect("a future is not polled after it is ready");
        if let Some(interim) = &busy.0.interim {
            interim.answered();
        }
        let has_length_alone = response.status() == StatusCode::NOT_MODIFIED
            && response.headers().contains_key(CONTENT_LENGTH)
            && !busy.0.is_http2;
        Poll::Ready(Ok(response.map(|body| match has_length_alone {
            true => Holding::silent(body, busy),
            false => Holding::new(body, busy),
        })))
    }
}

/// The sink of one connection: an answer's span ends when the socket has taken its last byte.
#[derive(Clone, Debug)]
pub struct Draining {
    connection: Arc<Connection>,
    pipeline: Pipeline,
}

impl Draining {
    /// The sink for the requests of `connection`, on to `pipeline`.
    #[must_use]
    pub fn new(connection: Arc<Connection>, pipeline: Pipeline) -> Self {
        Self {
            connection,
            pipeline,
        }
    }
}

impl Sink for Draining {
    type Scope = ();

    fn offer(&self, span: Box<Span>) {
        self.pipeline.offer(span);
    }

    fn enter(&self, _: &TraceContext) {}

    fn rejected(&self, rejected: &Rejections) {
        self.pipeline.counters().contexts_rejected(rejected);
    }

    /// Step 8 of the way of a request, its last part: from here to the flush is the phase `drain`.
    fn drain(&self, exchange: Exchange) {
        self.connection.state().draining.push(exchange);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Arc<Connection> {
        Arc::new(Connection::new(
            None,
            None,
            false,
            ambient::now(),
            None,
            None,
            None,
        ))
    }

    fn limits(header_timeout: Duration, idle_timeout: Duration) -> Config {
        Config {
            header_timeout,
            idle_timeout,
            ..Config::default()
        }
    }

    #[test]
    fn the_first_byte_belongs_to_one_request() {
        let connection = connection();
        let (first, busy, _) = connection.request(ambient::now(), Version::HTTP_11, false);
        assert!(first.is_some());
        connection.read(b"x");
        let (first, second, _) = connection.request(ambient::now(), Version::HTTP_11, false);
        assert!(first.is_none(), "it came while another was being answered");
        drop((busy, second));
        connection.read(b"x");
        assert!(
            connection
                .request(ambient::now(), Version::HTTP_11, false)
                .0
                .is_some()
        );
    }

    #[tokio::test]
    async fn frames_of_an_idle_h2_connection_are_no_headers() {
        let connection = Arc::new(Connection::new(
            None,
            None,
            true,
            ambient::now(),
            None,
            None,
            None,
        ));
        connection.read(b"x");
        let limits = limits(Duration::ZERO, Duration::from_millis(1));
        let expired = connection.watchdog(&limits).await;
        assert_eq!(expired, Expired::Idle);
        assert!(
            connection
                .request(ambient::now(), Version::HTTP_11, false)
                .0
                .is_none()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_expires_at_its_headers_or_between_them() {
        let at_headers = connection();
        let seconds = Duration::from_secs;
        // The clock of `ambient` does not stand still, so that limits of zero are what can expire.
        assert_eq!(
            at_headers
                .watchdog(&limits(Duration::ZERO, seconds(9)))
                .await,
            Expired::Headers
        );
        let idle = connection();
        drop(idle.request(ambient::now(), Version::HTTP_11, false));
        assert_eq!(
            idle.watchdog(&limits(seconds(9), Duration::ZERO)).await,
            Expired::Idle
        );
        let busy = connection();
        let (_, _held, _) = busy.request(ambient::now(), Version::HTTP_11, false);
        let limits = limits(Duration::from_millis(1), Duration::from_millis(1));
        let watchdog = busy.watchdog(&limits);
        assert!(
            tokio::time::timeout(seconds(1), watchdog).await.is_err(),
            "a busy one never does"
        );
    }
}

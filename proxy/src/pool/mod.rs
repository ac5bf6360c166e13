//! Upstream connections: resolve, dial, TLS, reuse; every step leaves a mark.
//!
//! An [`Upstream`] is one origin with its idle connections. A request takes the connection that was
//! used last, or dials; while it is carried, the `wire` under the connection notes on the request's
//! `Recorder` when its last byte went out and the first byte of the answer came in. The connection
//! goes back when the answer has been read to its end. Until then it is driven by the request's own
//! future and its response's body (`http1`), and while it is idle by nobody.
//!
//! Two rules keep requests safe. A connection that turns out dead before any of the request was
//! written is simply replaced. One that dies after, without an answer, is the race that every
//! keep-alive connection has; then the request is handed back for another attempt if it is idempotent
//! and has no body, and is otherwise lost: a POST is never sent twice.

mod body;
mod connect;
mod connection;
mod counts;
mod dial;
mod early;
mod error;
mod gate;
mod hangups;
mod http1;
mod http2;
mod kept;
mod limits;
mod origin;
mod probe;
mod protocol;
mod replay;
mod settings;
mod switched;
#[cfg(test)]
mod tests;
mod upgrade;
mod upstream;
mod whereabouts;
mod wire;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use throughline::ambient;

use self::hangups::Hangups;
pub(crate) use self::upstream::taken;
pub use self::{
    body::{BodyError, RequestBody, ResponseBody},
    counts::Counts,
    error::{Cause, Error},
    kept::Kept,
    origin::Origin,
    protocol::Protocol,
    upgrade::Switch,
    upstream::Upstream,
};
use crate::{glimpse::Glimpsed, loops::Mark, tls::Connector};

/// What the pool allows upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long resolving, connecting and the TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long an upstream may take until the first byte of its response; `None` for ever.
    pub response_timeout: Option<Duration>,
    /// How long the body of a response may pause; `None` for ever.
    pub response_idle_timeout: Option<Duration>,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// The most connections to one upstream; requests that find no room on them queue.
    pub max_connections: usize,
    /// The most requests that one upstream is sent at a time in any protocol; `None` for no limit.
    pub max_requests: Option<usize>,
    /// The most requests that wait for one upstream.
    pub max_pending: usize,
    /// How long they may.
    pub queue_timeout: Duration,
    /// Where upstreams are, if not where their names lead.
    pub address: Option<SocketAddr>,
    /// How often it is asked where the names of upstreams lead to.
    pub resolve_interval: Duration,
    /// Ports of this host that lead back to us, and that nothing is sent to.
    pub own_ports: Vec<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: None,
            response_idle_timeout: None,
            idle_timeout: Duration::from_secs(30),
            max_connections: 512,
            max_requests: None,
            max_pending: 1024,
            queue_timeout: Duration::from_secs(5),
            address: None,
            resolve_interval: Duration::from_secs(10),
            own_ports: Vec::new(),
        }
    }
}

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// All upstreams that are in use. A clone is another handle.
#[derive(Debug)]
pub struct Pool<B = Glimpsed<Incoming>>(Arc<Shared<B>>);

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[derive(Debug)]
struct Shared<B> {
    config: Config,
    tls: Connector,
    hangups: Arc<Hangups>,
    mark: Mark,
    counts: Arc<Counts>,
    upstreams: Mutex<HashMap<Origin, Arc<Upstream<B>>>>,
    /// Those that others hold, and that are not found by their origin.
    dedicated: Mutex<Dedicated<B>>,
}

/// Upstreams, each with the name of whoever holds it.
type Dedicated<B> = Vec<(Box<str>, Weak<Upstream<B>>)>;

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// An empty pool.
    #[must_use]
    pub fn new(config: Config, tls: Connector) -> Self {
        Self::named(config, tls, Mark::new())
    }

    fn named(config: Config, tls: Connector, mark: Mark) -> Self {
        Self(Arc::new(Shared {
            config,
            tls,
            hangups: Arc::default(),
            mark,
            counts: Arc::default(),
            upstreams: Mutex::default(),
            dedicated: Mutex::default(),
        }))
    }

    /// A pool that is used as `config` says, without connections, and with what was learnt of whom.
    /// Connections of this one end with the requests that use them.
    #[must_use]
    pub fn anew(&self, config: Config) -> Self {
        let mut new = Self::named(config, self.0.tls.clone(), self.0.mark.clone());
        if let Some(shared) = Arc::get_mut(&mut new.0) {
            shared.counts = self.0.counts.clone();
        }
        let hangups = || new.0.hangups.clone().into();
        let upstreams = self.upstreams();
        let upstreams = upstreams.iter().map(|(origin, upstream)| {
            let upstream = upstream.anew(&new.0.config, hangups(), &new.0.counts);
            (origin.clone(), Arc::new(upstream))
        });
        *new.upstreams() = upstreams.collect();
        new
    }

    /// The upstream at `origin`, which speaks `protocol`.
    #[must_use]
    pub fn upstream(&self, origin: &Origin, protocol: Protocol) -> Arc<Upstream<B>> {
        let mut upstreams = self.upstreams();
        if let Some(upstream) = upstreams.get(origin) {
            return upstream.clone();
        }
        let upstream = Arc::new(Upstream::new(
            origin.clone(),
            self.0.config.clone(),
            self.0.tls.clone(),
            protocol,
            self.0.hangups.clone().into(),
            &self.0.counts,
        ));
        upstreams.insert(origin.clone(), upstream.clone());
        upstream
    }

    /// The name that calls of this sidecar are known by, should they come back.
    pub(crate) fn mark(&self) -> &Mark {
        &self.0.mark
    }

    /// How its requests fare.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        self.0.counts.clone()
    }

    /// The upstream of `name` at `origin`, with limits and connections of its own: the same one as
    /// before, where it is still held and has the same limits.
    #[must_use]
    pub fn dedicated(
        &self,
        name: &str,
        origin: Origin,
        protocol: Protocol,
        config: &Config,
    ) -> Arc<Upstream<B>> {
        let config = Config {
            own_ports: self.0.config.own_ports.clone(),
            ..config.clone()
        };
        let mut dedicated = self.dedicated_ones();
        let mut alive = dedicated.iter().filter(|(owner, _)| &**owner == name);
        let same = alive.find_map(|(_, upstream)| {
            let upstream = upstream.upgrade()?;
            upstream
                .is_as(&origin, protocol, &config)
                .then_some(upstream)
        });
        if let Some(same) = same {
            return same;
        }
        let hangups = self.0.hangups.clone().into();
        let (tls, counts) = (self.0.tls.clone(), &self.0.counts);
        let upstream = Upstream::new(origin, config, tls, protocol, hangups, counts);
        let upstream = Arc::new(upstream);
        dedicated.push((name.into(), Arc::downgrade(&upstream)));
        upstream
    }

    /// Looks after connections that nobody uses, for as long as anybody else has the pool or one of its
    /// upstreams: an idle one is found too old, or closed, when it is taken, but one that nobody takes
    /// would stay open.
    pub async fn tend(self) {
        while Arc::strong_count(&self.0) > 1
            || !self.upstreams().is_empty()
            || !self.dedicated_ones().is_empty()
        {
            // Whoever closes a connection need not wait long for us to do the same.
            let _ = tokio::time::timeout(SWEEP, self.0.hangups.heard()).await;
            self.sweep(ambient::now());
        }
    }

    /// Asks where the names of upstreams lead to, for as long as anybody has the pool: connections that
    /// are used all the time would never notice that one has moved.
    pub fn follow(&self) -> impl Future<Output = ()> + Send + use<B> {
        let (interval, pool) = (self.0.config.resolve_interval, Arc::downgrade(&self.0));
        async move {
            loop {
                tokio::time::sleep(interval).await;
                let Some(shared) = pool.upgrade() else {
                    return;
                };
                let pool = Self(shared);
                let named: Vec<_> = pool.upstreams().values().cloned().collect();
                let dedicated = pool.dedicated_ones().clone();
                let dedicated = dedicated.iter().filter_map(|(_, one)| one.upgrade());
                for upstream in named.into_iter().chain(dedicated) {
                    upstream.look_up().await;
                }
            }
        }
    }

    /// Closes what has been idle for too long, and forgets upstreams that nobody uses.
    fn sweep(&self, now: Instant) {
        // Whoever is about to use an upstream holds it too.
        self.upstreams()
            .retain(|_, upstream| upstream.sweep(now) || Arc::strong_count(upstream) > 1);
        self.dedicated_ones().retain(|(_, upstream)| {
            let upstream = upstream.upgrade();
            upstream.is_some_and(|upstream| {
                upstream.sweep(now);
                true
            })
        });
    }

    fn dedicated_ones(&self) -> MutexGuard<'_, Dedicated<B>> {
        self.0
            .dedicated
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn upstreams(&self) -> MutexGuard<'_, HashMap<Origin, Arc<Upstream<B>>>> {
        self.0
            .upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

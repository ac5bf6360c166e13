//! The upstreams of one route: who they are, who is well, and whom to ask.
//!
//! A name stands for all of its addresses, and each of them is an [`Endpoint`] with connections of its
//! own. Names are looked up again and again (`tend`): an endpoint that is still there keeps its
//! connections and what is known of it, one that has gone finishes what it has. How one is
//! chosen, and when one is left alone, is decided in [`balance`].

mod endpoint;
mod tend;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arrayvec::ArrayVec;
use http::{Uri, request};
use throughline::ambient;

pub use self::endpoint::{Endpoint, Health, Told};
use crate::{
    balance::{self, Draw, Ejection, Key, Policy},
    pool::{self, Origin, Pool},
};

/// How a route deals with its upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How one is chosen.
    pub policy: Policy,
    /// When one is left alone.
    pub ejection: Ejection,
    /// What they are checked by; `None` does not.
    pub check: Option<Check>,
    /// How often they are checked.
    pub check_interval: Duration,
    /// How often their names are looked up.
    pub resolve_interval: Duration,
}

/// What an upstream is checked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A connection, with its handshake where there is one.
    Connect,
    /// A GET of this path, which has to be answered with 2xx.
    Get(Box<str>),
}

/// The most that a request remembers of whom it was sent to: it has not more attempts.
const MOST_TRIED: usize = 16;

/// Whom a request was sent to.
pub type Tried = ArrayVec<u64, MOST_TRIED>;

/// The upstreams of one route.
#[derive(Debug)]
pub struct Group {
    name: String,
    uris: Vec<Uri>,
    config: Config,
    limits: pool::Config,
    pool: Pool,
    endpoints: RwLock<Arc<[Arc<Endpoint>]>>,
    turn: AtomicU64,
}

impl Group {
    /// The upstreams at `uris`, whose names are yet to be looked up.
    #[must_use]
    pub fn new(
        name: String,
        uris: Vec<Uri>,
        config: Config,
        limits: pool::Config,
        pool: Pool,
    ) -> Arc<Self> {
        // Their requests are counted, as a limit that is never reached would.
        let limits = pool::Config {
            max_requests: limits.max_requests.or(Some(usize::MAX)),
            ..limits
        };
        let group = Self {
            name,
            config,
            limits,
            pool,
            endpoints: RwLock::new(Arc::from([])),
            turn: AtomicU64::new(0),
            uris,
        };
        let first = group.uris.iter().map(|uri| (uri, address_of(uri)));
        let first = first.filter_map(|(uri, address)| group.endpoint(uri, address));
        group.replace(first.collect());
        Arc::new(group)
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it chooses.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.config.policy
    }

    /// All of them, as they are now.
    #[must_use]
    pub fn endpoints(&self) -> Arc<[Arc<Endpoint>]> {
        let endpoints = self.endpoints.read();
        endpoints.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What makes a request go to the same endpoint as others.
    #[must_use]
    pub fn key(&self, request: &request::Parts, client: Option<IpAddr>) -> u64 {
        match &self.config.policy {
            Policy::RoundRobin | Policy::LeastRequests => 0,
            Policy::Hash(Key::Path) => balance::hash(request.uri.path().as_bytes()),
            Policy::Hash(Key::Client) => {
                client.map_or(0, |ip| balance::hash(ip.to_string().as_bytes()))
            }
            Policy::Hash(Key::Header(name)) => {
                let value = request.headers.get(name);
                // Those without it need not all go to one.
                value.map_or_else(ambient::random, |value| balance::hash(value.as_bytes()))
            }
        }
    }

    /// The endpoint for one more attempt of a request; `None` if there are none at all.
    #[must_use]
    pub fn choose(&self, key: u64, tried: &mut Tried) -> Option<Arc<Endpoint>> {
        let endpoints = self.endpoints();
        let draw = Draw {
            turn: self.turn.fetch_add(1, Ordering::Relaxed),
            random: ambient::random(),
            key,
            tried,
        };
        let now = ambient::now();
        let members: ArrayVec<endpoint::Seen<'_>, MOST> = endpoints
            .iter()
            .map(|one| one.seen(now))
            .take(MOST)
            .collect();
        let chosen = &endpoints[balance::choose(&self.config.policy, &members, &draw)?];
        // Whoever has as many attempts may come back to the first of them.
        let _ = tried.try_push(chosen.id());
        Some(chosen.clone())
    }

    /// What became of an attempt.
    pub fn told(&self, endpoint: &Endpoint, told: Told) {
        let all = self.endpoints();
        endpoint.told(told, &self.config.ejection, &all, ambient::now());
    }

    fn endpoint(&self, uri: &Uri, address: Option<SocketAddr>) -> Option<Arc<Endpoint>> {
        let origin = Origin::of(uri)?;
        let limits = pool::Config {
            address,
            ..self.limits.clone()
        };
        let upstream = self
            .pool
            .dedicated(&self.name, origin, pool::Protocol::Auto, &limits);
        Some(Arc::new(Endpoint::new(uri.clone(), address, upstream)))
    }

    fn replace(&self, endpoints: Vec<Arc<Endpoint>>) {
        *self
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner) = endpoints.into();
    }
}

/// The most endpoints of one route; of names with more addresses the first count.
const MOST: usize = 64;

/// The address of an upstream that has no name.
fn address_of(uri: &Uri) -> Option<SocketAddr> {
    let origin = Origin::of(uri)?;
    let ip = origin.host().parse().ok()?;
    Some(SocketAddr::new(ip, origin.port()))
}

//! One address of an upstream, and what is known of it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use http::{StatusCode, Uri};

use crate::{
    balance::{Checks, Ejection, Member, Record, hash},
    pool::{Cause, Error, Upstream},
};

/// One address of an upstream.
#[derive(Debug)]
pub struct Endpoint {
    id: u64,
    uri: Uri,
    address: Option<SocketAddr>,
    upstream: Arc<Upstream>,
    state: Mutex<State>,
    requests: AtomicU64,
    failures: AtomicU64,
    ejections: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    checks: Checks,
    is_ill: bool,
    record: Record,
}

/// How an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is asked.
    Well,
    /// Its checks fail.
    Unhealthy,
    /// Requests failed there, and it is left alone for a while.
    Ejected,
}

impl Health {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
        }
    }
}

/// What became of an attempt, as far as it tells of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was answered.
    Answered,
    /// It was not, and the endpoint is to blame.
    Failed,
    /// Nothing.
    Nothing,
}

impl Told {
    /// What an answer tells. An upstream that answers 500 is there; one that answers 503 says that it
    /// would rather not be asked.
    #[must_use]
    pub fn by_status(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Failed,
            _ => Self::Answered,
        }
    }

    /// What an error tells.
    #[must_use]
    pub fn by_error(error: &Error) -> Self {
        match error.cause() {
            Cause::Dns
            | Cause::DnsTimeout
            | Cause::Connect
            | Cause::ConnectTimeout
            | Cause::Tls(_)
            | Cause::TlsTimeout
            | Cause::Closed
            | Cause::BadResponse
            | Cause::ResponseTimeout
            | Cause::RequestTimeout => Self::Failed,
            _ => Self::Nothing,
        }
    }
}

impl Endpoint {
    pub(super) fn new(uri: Uri, address: Option<SocketAddr>, upstream: Arc<Upstream>) -> Self {
        let name = address.map_or_else(|| uri.to_string(), |address| format!("{uri} {address}"));
        Self {
            id: hash(name.as_bytes()),
            uri,
            address,
            upstream,
            state: Mutex::default(),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
        }
    }

    /// What tells it from others.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The upstream as it was written.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Its address; `None` until its name has been looked up.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where requests to it are sent.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// How it is at `now`.
    #[must_use]
    pub fn health(&self, now: Instant) -> Health {
        let state = self.state();
        if state.is_ill {
            Health::Unhealthy
        } else if state.record.is_ejected(now) {
            Health::Ejected
        } else {
            Health::Well
        }
    }

    /// How many requests are open there.
    #[must_use]
    pub fn open(&self) -> usize {
        self.upstream.open()
    }

    /// How many attempts were made, how many failed, and how often it was left alone for that.
    #[must_use]
    pub fn counts(&self) -> [u64; 3] {
        [&self.requests, &self.failures, &self.ejections].map(|n| n.load(Ordering::Relaxed))
    }

    pub(super) fn seen(&self, now: Instant) -> Seen<'_> {
        Seen {
            endpoint: self,
            is_well: self.health(now) == Health::Well,
        }
    }

    /// What became of an attempt there, where `all` are its group.
    pub(super) fn told(&self, told: Told, ejection: &Ejection, all: &[Arc<Self>], now: Instant) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match told {
            Told::Nothing => {}
            Told::Answered => self.state().record.succeeded(ejection, now),
            Told::Failed => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                let ejected = all.iter().filter(|one| one.is_ejected(now)).count();
                let spares = Ejection::spares(ejected, all.len());
                let until = self.state().record.failed(ejection, spares, now);
                if until.is_some() {
                    self.ejections.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(upstream = %self, "requests fail there; it is left alone for a while");
                }
            }
        }
    }

    fn is_ejected(&self, now: Instant) -> bool {
        self.state().record.is_ejected(now)
    }

    /// It was checked.
    pub(super) fn checked(&self, result: Result<(), Error>) {
        let (was_ill, is_ill) = {
            let mut state = self.state();
            let was_ill = state.is_ill;
            state.is_ill = !state.checks.note(result.is_ok());
            (was_ill, state.is_ill)
        };
        match result {
            Err(error) if is_ill && !was_ill => {
                tracing::warn!(upstream = %self, %error, "its checks fail; it is not asked");
            }
            Ok(()) if was_ill && !is_ill => tracing::info!(upstream = %self, "it is well again"),
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.upstream.origin())?;
        match self.address {
            Some(address) => write!(f, " at {address}"),
            None => Ok(()),
        }
    }
}

/// An endpoint as one choice sees it.
#[derive(Debug)]
pub(super) struct Seen<'e> {
    endpoint: &'e Endpoint,
    is_well: bool,
}

impl Member for Seen<'_> {
    fn id(&self) -> u64 {
        self.endpoint.id
    }

    fn load(&self) -> usize {
        self.endpoint.open()
    }

    fn is_well(&self) -> bool {
        self.is_well
    }
}

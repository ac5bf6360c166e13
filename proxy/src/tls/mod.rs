//! TLS on both sides of the app: certificates, who is believed, and what becomes of them when their
//! files change.
//!
//! [`Tls`] holds what a handshake needs, read from files: a [`Server`] for callers and a [`Connector`]
//! for upstreams. [`Tls::reload`] reads all of it again and swaps it as a whole, or keeps what there is
//! and says why; connections that are open keep what they began with. [`Tls::watch`] does so whenever a
//! file becomes another (`files`), be it written in place or, as Kubernetes does it with secrets, by the
//! swap of a link above it.
//!
//! Nothing here listens or dials: `listen` and `pool` hand over streams.

mod client;
mod counters;
mod failure;
mod files;
mod identity;
mod server;
mod sni;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
mod verify;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use throughline::{ambient, tls::NamePattern};

pub use self::{
    client::Connector,
    counters::{Counters, End, Reload, Side},
    failure::{Failure, Reason},
    files::{Error, Pair},
    server::{Acceptor, Server},
};
pub(crate) use self::{
    client::{Offer, shaken},
    stream::MaybeTls,
};

/// What TLS is set up with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// How callers are spoken to; `None` in clear.
    pub inbound: Option<Inbound>,
    /// How upstreams are, where their address says `https`.
    pub upstream: Upstream,
}

/// How callers are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    /// The certificates, of which the client's SNI chooses; the first is for whoever names none.
    pub certificates: Vec<Pair>,
    /// Whether requests in clear are taken as well.
    pub plaintext: bool,
    /// Files of the authorities that clients' certificates are trusted by; without any, no client is
    /// asked for one.
    pub client_ca: Vec<PathBuf>,
    /// Whether a client without a certificate is served.
    pub client_auth: ClientAuth,
    /// The names that a client's certificate must have one of; empty for any.
    pub client_names: Vec<NamePattern>,
}

/// Whether a client has to have a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Without one there is no connection.
    #[default]
    Required,
    /// One that is shown has to be good.
    Optional,
}

/// How upstreams are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Whether the roots of this system are trusted.
    pub system_roots: bool,
    /// Files of further authorities.
    pub ca: Vec<PathBuf>,
    /// What is shown to an upstream that asks who we are.
    pub certificate: Option<Pair>,
    /// Hosts (`host` or `host:port`) whose certificate is issued for another name than theirs.
    pub names: Vec<(String, NamePattern)>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            system_roots: true,
            ca: Vec::new(),
            certificate: None,
            names: Vec::new(),
        }
    }
}

/// How often files are looked at. A change is taken up when it has stood for one more look, so that
/// certificate and key, written one after the other, are one change.
const LOOK: Duration = Duration::from_secs(1);

/// All that TLS needs, and may need anew. A clone is another handle.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    server: Server,
    connector: Connector,
    counters: Arc<Counters>,
    /// Held while files are read, so that reloads come one after the other.
    loaded: Mutex<Loaded>,
}

/// What all files of a configuration come to.
struct Read {
    terms: Option<server::Terms>,
    trust: client::Trust,
    ends: Vec<End>,
}

impl Read {
    fn files_of(config: &Config) -> Result<Self, Error> {
        let mut ends = Vec::new();
        let inbound = config.inbound.as_ref();
        let terms = inbound
            .map(|inbound| server::Terms::load(inbound, &mut ends))
            .transpose()?;
        let trust = client::Trust::load(&config.upstream, &mut ends)?;
        let now = ambient::wall().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        for end in &ends {
            if u64::try_from(end.seconds).is_ok_and(|seconds| seconds < now) {
                let certificate = &end.certificate;
                tracing::warn!(
                    "the certificate {certificate} has expired, and others will refuse it; write a \
                     new one in its place, which is taken up by itself"
                );
            }
        }
        Ok(Self { terms, trust, ends })
    }
}

struct Loaded {
    config: Config,
    stamp: files::Stamp,
}

impl Tls {
    /// Reads every file.
    ///
    /// # Errors
    ///
    /// When one cannot be read or is not what it should be: one sentence with setting, file and cure.
    pub fn load(config: Config) -> Result<Self, Error> {
        let counters = Arc::<Counters>::default();
        let stamp = files::Stamp::of(config.files());
        let Read { terms, trust, ends } = Read::files_of(&config)?;
        counters.hold_until(ends);
        Ok(Self(Arc::new(Shared {
            server: Server::new(terms, counters.clone()),
            connector: Connector::new(trust, counters.clone()),
            counters,
            loaded: Mutex::new(Loaded { config, stamp }),
        })))
    }

    /// What meets callers.
    #[must_use]
    pub fn server(&self) -> Server {
        self.0.server.clone()
    }

    /// What goes to upstreams.
    #[must_use]
    pub fn connector(&self) -> Connector {
        self.0.connector.clone()
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        self.0.counters.clone()
    }

    /// Reads every file again. New connections get what is in them now; open ones stay.
    ///
    /// It reads files, so that it does not belong on a thread that carries requests.
    ///
    /// # Errors
    ///
    /// As [`Tls::load`]. All is then as it was; it has been logged and counted.
    pub fn reload(&self) -> Result<(), Error> {
        let mut loaded = self.loaded();
        let config = loaded.config.clone();
        self.replace(&mut loaded, config)
    }

    /// Whether it could go by this configuration: all files are read, and nothing is changed.
    ///
    /// # Errors
    ///
    /// As [`Tls::load`].
    pub fn check(config: &Config) -> Result<(), Error> {
        Read::files_of(config).map(drop)
    }

    /// Goes by another configuration from now on.
    ///
    /// # Errors
    ///
    /// As [`Tls::reload`].
    pub fn reconfigure(&self, config: Config) -> Result<(), Error> {
        self.replace(&mut self.loaded(), config)
    }

    /// Reloads whenever a file has changed, for ever.
    pub async fn watch(self) {
        let mut seen = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let tls = self.clone();
            // Files may be on a disk that is slow, and this thread has requests to carry.
            let looked = tokio::task::spawn_blocking(move || tls.look(seen.as_ref())).await;
            seen = looked.unwrap_or_default();
        }
    }

    /// Looks at the files: `seen` is how they looked before, if that was new. Reloads if they still do.
    fn look(&self, seen: Option<&files::Stamp>) -> Option<files::Stamp> {
        let mut loaded = self.loaded();
        let now = files::Stamp::of(loaded.config.files());
        if now == loaded.stamp {
            return None;
        }
        if seen != Some(&now) {
            return Some(now);
        }
        let config = loaded.config.clone();
        // What went wrong is said, and tried again when the files become others still.
        let _ = self.replace(&mut loaded, config);
        None
    }

    fn replace(&self, loaded: &mut Loaded, config: Config) -> Result<(), Error> {
        // Looked at first: what changes while it is read is noticed later.
        loaded.stamp = files::Stamp::of(config.files());
        match Read::files_of(&config) {
            Ok(Read { terms, trust, ends }) => {
                self.0.counters.hold_until(ends);
                self.0.server.replace(terms);
                self.0.connector.replace(trust);
                loaded.config = config;
                self.0.counters.reloaded(Reload::Taken);
                tracing::info!("certificates were read again");
                Ok(())
            }
            Err(error) => {
                self.0.counters.reloaded(Reload::Refused);
                tracing::warn!("certificates stay as they were: {error}");
                // If the configuration is refused, its files are not those to look at.
                if loaded.config != config {
                    loaded.stamp = files::Stamp::of(loaded.config.files());
                }
                Err(error)
            }
        }
    }

    fn loaded(&self) -> std::sync::MutexGuard<'_, Loaded> {
        self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Config {
    /// Every file that it names.
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let inbound = self.inbound.iter().flat_map(|inbound| {
            let pairs = inbound.certificates.iter().flat_map(Pair::files);
            pairs.chain(&inbound.client_ca)
        });
        let certificate = self.upstream.certificate.iter().flat_map(Pair::files);
        inbound.chain(certificate).chain(&self.upstream.ca)
    }
}

#[cfg(test)]
mod tests;

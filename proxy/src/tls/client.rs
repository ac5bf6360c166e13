//! What goes to upstreams: whom it believes, who it says it is, and which name it expects.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use throughline::tls::{Handshake, NamePattern, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, CommonState, HandshakeKind, ProtocolVersion, RootCertStore,
        client::Resumption,
        pki_types::ServerName,
        sign::{CertifiedKey, SingleCertAndKey},
    },
};

use super::{
    Counters, End, Error, Failure, Reason, Side, Upstream,
    files::{self, provider},
    verify::ByUri,
};

/// What an upstream is offered to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// HTTP/2 or HTTP/1.1, as it likes.
    Either,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
}

/// What goes to upstreams, as it is configured at the moment. A clone is another handle.
#[derive(Clone)]
pub struct Connector {
    trust: Arc<RwLock<Arc<Trust>>>,
    counters: Arc<Counters>,
}

/// What new connections are made with.
pub(super) struct Trust {
    /// For a name that is the host's own, or another DNS name.
    usual: Configs,
    /// By `host` or `host:port`: another name than that.
    names: HashMap<String, Expected>,
}

enum Expected {
    Dns(ServerName<'static>),
    Uri(Configs),
}

/// One for each [`Offer`]: they differ in nothing else, and share their sessions.
#[derive(Clone)]
struct Configs([Arc<ClientConfig>; 3]);

impl Connector {
    pub(super) fn new(trust: Trust, counters: Arc<Counters>) -> Self {
        Self {
            trust: Arc::new(RwLock::new(Arc::new(trust))),
            counters,
        }
    }

    /// One that believes the roots of this system, and shows no certificate.
    ///
    /// Without any root every handshake fails and says so.
    #[must_use]
    pub fn system() -> Self {
        let trust = Trust::of(system_roots(), None, &[]);
        Self::new(trust, Arc::default())
    }

    pub(super) fn replace(&self, trust: Trust) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
    }

    /// The handshake with the upstream that is called `host`, at `port`. Whoever calls bounds its time,
    /// and says so to [`Connector::timed_out`].
    ///
    /// # Errors
    ///
    /// When it fails, which is counted.
    pub(crate) async fn connect<T>(
        &self,
        host: &str,
        port: u16,
        offer: Offer,
        stream: T,
    ) -> Result<TlsStream<T>, Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let connecting = {
            let trust = self.trust.read().unwrap_or_else(PoisonError::into_inner);
            let (configs, name) = trust.towards(host, port)?;
            TlsConnector::from(configs.0[offer as usize].clone()).connect(name, stream)
        };
        match connecting.await {
            Ok(stream) => {
                self.counters.done(Side::Upstream);
                Ok(stream)
            }
            Err(error) => {
                let failure = Failure::of(&error);
                self.counters.failed(Side::Upstream, failure.reason);
                Err(failure)
            }
        }
    }

    /// Counts a handshake that took too long.
    pub(crate) fn timed_out(&self) {
        self.counters.failed(Side::Upstream, Reason::Timeout);
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Trust {
    /// Reads what `upstream` names.
    pub(super) fn load(upstream: &Upstream, ends: &mut Vec<End>) -> Result<Self, Error> {
        let mut roots = if upstream.system_roots {
            system_roots()
        } else {
            RootCertStore::empty()
        };
        for path in &upstream.ca {
            files::authorities("upstream_ca", path, &mut roots)?;
        }
        let mut shown = None;
        if let Some(pair) = &upstream.certificate {
            let (certificate, end) = pair.load("upstream_certificate")?;
            shown = Some(certificate);
            ends.extend(end);
        }
        Ok(Self::of(roots, shown.as_ref(), &upstream.names))
    }

    fn of(
        roots: RootCertStore,
        shown: Option<&Arc<CertifiedKey>>,
        names: &[(String, NamePattern)],
    ) -> Self {
        let roots = Arc::new(roots);
        let base = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has ciphers of both versions")
            .with_root_certificates(roots.clone());
        let usual = match shown {
            Some(shown) => {
                base.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown.clone())))
            }
            None => base.with_no_client_auth(),
        };
        let mut expected = HashMap::new();
        for (host, name) in names {
            let host = host.to_ascii_lowercase();
            let name_text = name.to_string();
            let server_name = ServerName::try_from(name_text).ok();
            let is = match (name.is_uri(), server_name) {
                (false, Some(name)) => Expected::Dns(name),
                _ => {
                    let mut config = usual.clone();
                    // Sessions are only as good as what was verified when they were begun.
                    config.resumption = Resumption::default();
                    config.dangerous().set_certificate_verifier(Arc::new(ByUri {
                        roots: roots.clone(),
                        name: name.clone(),
                    }));
                    Expected::Uri(Configs::of(&config))
                }
            };
            expected.insert(host, is);
        }
        Self {
            usual: Configs::of(&usual),
            names: expected,
        }
    }

    /// What is used for an upstream, and the name to ask it for.
    fn towards(&self, host: &str, port: u16) -> Result<(&Configs, ServerName<'static>), Failure> {
        let own = || {
            ServerName::try_from(host.to_owned())
                .map_err(|error| Failure::new(Reason::WrongName, format!("{host:?}: {error}")))
        };
        if self.names.is_empty() {
            return Ok((&self.usual, own()?));
        }
        let found = self.names.get(&format!("{host}:{port}"));
        match found.or_else(|| self.names.get(host)) {
            None => Ok((&self.usual, own()?)),
            Some(Expected::Dns(name)) => Ok((&self.usual, name.clone())),
            Some(Expected::Uri(configs)) => Ok((configs, own()?)),
        }
    }
}

impl Configs {
    fn of(config: &ClientConfig) -> Self {
        let (h2, http1) = (b"h2".to_vec(), b"http/1.1".to_vec());
        Self(
            [vec![h2.clone(), http1.clone()], vec![http1], vec![h2]].map(|offered| {
                let mut config = config.clone();
                config.alpn_protocols = offered;
                Arc::new(config)
            }),
        )
    }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a root certificate could not be read");
    }
    roots.add_parsable_certificates(native.certs);
    roots
}

/// What came of the handshake on either side.
pub(super) fn handshake(tls: &CommonState) -> Handshake {
    Handshake {
        version: match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => Version::Tls12,
            _ => Version::Tls13,
        },
        resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
    }
}

/// Says what came of an upstream's handshake.
pub(crate) fn shaken<T>(stream: &TlsStream<T>) -> (Handshake, bool) {
    let (_, tls) = stream.get_ref();
    (handshake(tls), tls.alpn_protocol() == Some(b"h2"))
}

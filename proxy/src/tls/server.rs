//! What meets callers: certificates chosen by SNI, and who the caller has to be.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use throughline::{ambient, tls::Session};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring::Ticketer,
        server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    },
    server::TlsStream,
};

use super::{
    ClientAuth, Counters, End, Error, Failure, Inbound, Reason, Side,
    client::handshake,
    files::{self, provider},
    identity,
    sni::Certificates,
    verify::Named,
};

/// What meets callers, as it is configured at the moment. A clone is another handle.
#[derive(Clone)]
pub struct Server {
    terms: Arc<RwLock<Option<Arc<Terms>>>>,
    counters: Arc<Counters>,
}

/// What new connections get.
pub(super) struct Terms {
    config: Arc<ServerConfig>,
    plaintext: bool,
}

/// The terms that one connection is accepted on.
pub struct Acceptor {
    terms: Arc<Terms>,
    counters: Arc<Counters>,
}

/// The first byte of every handshake record (RFC 8446 section 5.1), which no request begins with.
const HANDSHAKE: u8 = 22;

impl Server {
    pub(super) fn new(terms: Option<Terms>, counters: Arc<Counters>) -> Self {
        Self {
            terms: Arc::new(RwLock::new(terms.map(Arc::new))),
            counters,
        }
    }

    pub(super) fn replace(&self, terms: Option<Terms>) {
        *self.terms.write().unwrap_or_else(PoisonError::into_inner) = terms.map(Arc::new);
    }

    /// The terms for a connection that begins now; `None` where all is in clear.
    #[must_use]
    pub fn terms(&self) -> Option<Acceptor> {
        let terms = self.terms.read().unwrap_or_else(PoisonError::into_inner);
        terms.clone().map(|terms| Acceptor {
            terms,
            counters: self.counters.clone(),
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl Acceptor {
    /// Whether a connection that begins with this byte is to speak TLS.
    #[must_use]
    pub fn is_tls(&self, first: u8) -> bool {
        first == HANDSHAKE || !self.terms.plaintext
    }

    /// Whether what begins with this byte is something else than TLS, and may be told so in clear.
    #[must_use]
    pub fn is_request(first: u8) -> bool {
        first.is_ascii_uppercase() || matches!(first, b'\r' | b'\n')
    }

    /// Counts a connection that ended before its handshake, or instead of it.
    pub fn failed(&self, reason: Reason) {
        self.counters.failed(Side::Inbound, reason);
    }

    /// The handshake. Whoever calls bounds its time.
    ///
    /// # Errors
    ///
    /// When it fails; the caller has been told by an alert, and it is counted.
    pub async fn accept<T>(&self, stream: T) -> Result<(TlsStream<T>, Session), Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let began = ambient::now();
        let accepting = TlsAcceptor::from(self.terms.config.clone()).accept(stream);
        let stream = accepting.await.map_err(|error| {
            let failure = Failure::of(&error);
            self.failed(failure.reason);
            failure
        })?;
        self.counters.done(Side::Inbound);
        let (_, tls) = stream.get_ref();
        let shown = tls.peer_certificates().and_then(<[_]>::first);
        let session = Session {
            handshake: handshake(tls),
            took: ambient::now().saturating_duration_since(began),
            client: shown.and_then(identity::of),
        };
        Ok((stream, session))
    }
}

impl Terms {
    /// Reads what `inbound` names.
    pub(super) fn load(inbound: &Inbound, ends: &mut Vec<End>) -> Result<Self, Error> {
        let mut certificates = Certificates::default();
        for pair in &inbound.certificates {
            let (certificate, end) = pair.load("inbound_tls")?;
            certificates.add(certificate);
            ends.extend(end);
        }
        let building = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error(format!("inbound_tls: {error}")))?;
        let building = match verifier(inbound)? {
            Some(verifier) => building.with_client_cert_verifier(verifier),
            None => building.with_no_client_auth(),
        };
        let mut config = building.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Sessions are kept by clients, sealed with a key of this process that changes every six hours.
        // New terms have a new key: what was agreed on old ones is not taken up on them.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer =
            Ticketer::new().map_err(|error| Error(format!("inbound_tls: {error}")))?;
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            plaintext: inbound.plaintext,
        })
    }
}

/// Who a client has to be; `None` asks no client.
fn verifier(inbound: &Inbound) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
    if inbound.client_ca.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for path in &inbound.client_ca {
        files::authorities("client_ca", path, &mut roots)?;
    }
    let building = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let building = match inbound.client_auth {
        ClientAuth::Required => building,
        ClientAuth::Optional => building.allow_unauthenticated(),
    };
    let verifier = building
        .build()
        .map_err(|error| Error(format!("client_ca: {error}")))?;
    if inbound.client_names.is_empty() {
        return Ok(Some(verifier));
    }
    Ok(Some(Arc::new(Named {
        verifier,
        names: inbound.client_names.clone(),
    })))
}

#[cfg(test)]
mod tests;

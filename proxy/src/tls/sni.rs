//! The certificate that is shown to whoever asks for a name.

use std::{collections::HashMap, sync::Arc};

use throughline::tls::Name;
use tokio_rustls::rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::identity;

/// The certificates, found by the name that a client asks for.
///
/// Of several for one name, the first that the client can check is taken: an RSA one beside an ECDSA
/// one for clients that know no other.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    pub(super) all: Vec<Arc<CertifiedKey>>,
    /// Places in `all`, by host name in lower case.
    exact: HashMap<String, Vec<usize>>,
    /// The same, by what follows the `*.`.
    wild: HashMap<String, Vec<usize>>,
}

impl Certificates {
    pub(super) fn add(&mut self, certificate: Arc<CertifiedKey>) {
        let place = self.all.len();
        let names = certificate
            .cert
            .first()
            .map_or_else(Vec::new, identity::names);
        for name in names {
            let Name::Dns(name) = name else { continue };
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(rest) => self.wild.entry(rest.to_owned()).or_default().push(place),
                None => self.exact.entry(name).or_default().push(place),
            }
        }
        self.all.push(certificate);
    }

    pub(super) fn choose(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let can_check =
            |certificate: &&Arc<CertifiedKey>| certificate.key.choose_scheme(schemes).is_some();
        let name = name.map(str::to_ascii_lowercase);
        let exact = name.as_ref().and_then(|name| self.exact.get(name));
        let wild = name
            .as_ref()
            .and_then(|name| self.wild.get(name.split_once('.')?.1));
        let named = [exact, wild].into_iter().flatten().flatten();
        named
            .filter_map(|place| self.all.get(*place))
            .find(can_check)
            // Nobody's name: the client decides what to make of the first.
            .or_else(|| self.all.iter().find(can_check))
            .cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

//! An authority of a test's own, with files of what it issues.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use tempfile::TempDir;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

/// An authority and a directory for its files, gone with it.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate and its key, in PEM and as files.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Issued {
    /// As the settings of the sidecar take them.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("{}={}", self.certificate.display(), self.key.display())
    }

    /// The certificate's path, as an argument.
    ///
    /// # Panics
    ///
    /// When the path of a temporary directory is not UTF-8.
    #[must_use]
    pub fn certificate(&self) -> &str {
        self.certificate.to_str().expect("paths of tests are UTF-8")
    }

    /// The key's path, as an argument.
    ///
    /// # Panics
    ///
    /// When the path of a temporary directory is not UTF-8.
    #[must_use]
    pub fn key(&self) -> &str {
        self.key.to_str().expect("paths of tests are UTF-8")
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        let pem = fs::read(&self.certificate).expect("it was written");
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        found.expect("it was written as PEM")
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).expect("it was written as PEM")
    }
}

impl Authority {
    /// An authority of this name.
    ///
    /// # Panics
    ///
    /// When a temporary directory cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("keys can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it can sign itself");
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        fs::write(directory.path().join("ca.crt"), issuer.pem()).expect("it can be written to");
        Self { issuer, directory }
    }

    /// Where its files are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The path of its own certificate.
    ///
    /// # Panics
    ///
    /// When the path of a temporary directory is not UTF-8.
    #[must_use]
    pub fn file(&self) -> String {
        let path = self.directory.path().join("ca.crt");
        path.to_str().expect("paths of tests are UTF-8").to_owned()
    }

    /// Issues a certificate for these names as `file`.crt and `file`.key; the first is its common name.
    ///
    /// # Panics
    ///
    /// When a name is none.
    pub fn issue(&self, file: &str, names: &[&str]) -> Issued {
        self.issue_with(file, names, |_| {})
    }

    /// The same, long past its end.
    ///
    /// # Panics
    ///
    /// When a name is none.
    pub fn expired(&self, file: &str, names: &[&str]) -> Issued {
        self.issue_with(file, names, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    fn issue_with(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let mut params = CertificateParams::default();
        let common = names.first().copied().unwrap_or("nobody");
        params.distinguished_name.push(DnType::CommonName, common);
        let names = names.iter().map(|name| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) if name.contains("://") => {
                SanType::URI((*name).try_into().expect("a URI is ASCII"))
            }
            Err(_) => SanType::DnsName((*name).try_into().expect("a name is ASCII")),
        });
        params.subject_alt_names = names.collect();
        change(&mut params);
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can sign");
        let issued = Issued {
            certificate: self.directory.path().join(format!("{file}.crt")),
            key: self.directory.path().join(format!("{file}.key")),
        };
        fs::write(&issued.certificate, certificate.pem()).expect("it can be written");
        fs::write(&issued.key, key.serialize_pem()).expect("it can be written");
        issued
    }

    /// What a server needs to show `issued`, with these protocols in ALPN. Where `asks`, clients need a
    /// certificate of this authority.
    ///
    /// # Panics
    ///
    /// When certificate and key do not match.
    #[must_use]
    pub fn server(&self, issued: &Issued, protocols: &[&str], asks: bool) -> Arc<ServerConfig> {
        let building = ServerConfig::builder();
        let building = if asks {
            let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots())).build();
            building.with_client_cert_verifier(verifier.expect("there is an authority"))
        } else {
            building.with_no_client_auth()
        };
        let mut config = building
            .with_single_cert(issued.chain(), issued.private())
            .expect("certificate and key were made together");
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// What a client needs to believe this authority, with these protocols in ALPN.
    #[must_use]
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder()
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let own = self.issuer.der().clone();
        roots.add(own).expect("an authority's certificate is one");
        roots
    }
}

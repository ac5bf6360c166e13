//! The files that certificates and keys are in: read whole, checked, and noticed when they change.
//!
//! What is wrong with a file is one sentence: the setting that names it, the file, and the cure. What
//! stands in a key is never repeated.

use std::{
    fmt,
    fs::{self, File},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::rustls::{
    self, InconsistentKeys, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};

use super::{End, identity};

/// More than this is no certificate and no bundle of them.
const MAX_BYTES: u64 = 4 << 20;

/// A certificate with its chain, and the key to it; both may be in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate of the service, and after it those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Pair {
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key].into_iter()
    }

    /// Reads both, as `setting` names them, and tells when the certificate ends.
    pub(super) fn load(&self, setting: &str) -> Result<(Arc<CertifiedKey>, Option<End>), Error> {
        let chain = certificates(setting, &self.certificate)?;
        let key = key(setting, &self.key)?;
        CertifiedKey::from_der(chain, key, &provider())
            .map(|pair| {
                let end = pair
                    .cert
                    .first()
                    .and_then(identity::ends)
                    .map(|seconds| End {
                        certificate: self.certificate.display().to_string(),
                        seconds,
                    });
                (Arc::new(pair), end)
            })
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Error(format!(
                    "{setting}: the key {} is not that of the certificate {}; give the two that \
                     were made together, and the certificate of the service before those of its \
                     authorities",
                    self.key.display(),
                    self.certificate.display()
                )),
                rustls::Error::InvalidCertificate(error) => Error(format!(
                    "{setting}: the certificate {} cannot be understood ({error}); give an X.509 \
                     certificate in PEM",
                    self.certificate.display()
                )),
                error => Error(format!(
                    "{setting}: the key {} cannot be used ({error}); give an RSA, ECDSA or Ed25519 \
                     key in PEM",
                    self.key.display()
                )),
            })
    }
}

/// A file that is not what it should be: one sentence with the setting, the file and the cure.
#[derive(Debug)]
pub struct Error(pub(super) String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// The one implementation of cryptography that is built in.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificates in a file, at least one.
pub(super) fn certificates(
    setting: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(Error(format!(
            "{setting}: {} holds no certificate; give a PEM file, in which one begins with \
             -----BEGIN CERTIFICATE-----",
            path.display()
        ))),
        Ok(found) => Ok(found),
        Err(error) => Err(not_pem(setting, path, &error)),
    }
}

/// Adds the authorities in a file to `roots`.
pub(super) fn authorities(
    setting: &str,
    path: &Path,
    roots: &mut RootCertStore,
) -> Result<(), Error> {
    for certificate in certificates(setting, path)? {
        roots.add(certificate).map_err(|error| {
            Error(format!(
                "{setting}: a certificate in {} cannot be understood ({error}); give X.509 \
                 certificates in PEM",
                path.display()
            ))
        })?;
    }
    Ok(())
}

fn key(setting: &str, path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let bytes = read(setting, path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let path_shown = path.display();
        let text = String::from_utf8_lossy(&bytes);
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Error(format!(
                "{setting}: the key {path_shown} is locked with a passphrase, and nobody is here to \
                 type it; write it without one, as `openssl pkey -in FILE -out FILE` does"
            ));
        }
        match error {
            pem::Error::NoItemsFound => Error(format!(
                "{setting}: {path_shown} holds no private key; give a PEM file, in which one begins \
                 with -----BEGIN PRIVATE KEY-----"
            )),
            error => not_pem(setting, path, &error),
        }
    })
}

fn not_pem(setting: &str, path: &Path, error: &pem::Error) -> Error {
    // Not every error of the library's is free of what stands in the file.
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "a part of it has no end",
        pem::Error::Base64Decode(_) => "a part of it is not base64",
        pem::Error::SectionTooLarge => "a part of it is too long",
        _ => "a line of it is malformed",
    };
    Error(format!(
        "{setting}: {} is no PEM file ({what}); write it again as a whole",
        path.display()
    ))
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, Error> {
    let shown = path.display();
    let cannot = |error: std::io::Error| {
        Error(format!(
            "{setting}: {shown} cannot be read ({error}); give the path of a file that this process \
             may read"
        ))
    };
    let file = File::open(path).map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        return Err(Error(format!(
            "{setting}: {shown} is no file; give the path of one in PEM"
        )));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error(format!(
            "{setting}: {shown} has more than 4 MiB, which no certificate has; give a PEM file"
        )));
    }
    Ok(bytes)
}

/// How files looked: which they were behind all links, and when and how long they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(Vec<Option<[i64; 5]>>);

impl Stamp {
    /// How they look now; one that is missing is another than any that is there.
    pub(super) fn of<'p>(files: impl Iterator<Item = &'p PathBuf>) -> Self {
        let stamps = files.map(|path| {
            let found = fs::metadata(path).ok()?;
            let whole = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
            Some([
                whole(found.dev()),
                whole(found.ino()),
                whole(found.size()),
                found.mtime(),
                found.mtime_nsec(),
            ])
        });
        Self(stamps.collect())
    }
}

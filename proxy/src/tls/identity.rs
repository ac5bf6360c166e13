//! What a certificate says of its owner.

use throughline::tls::{Client, Name};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// The most of a distinguished name that is kept: it stands on every span of its connection.
const MAX_SUBJECT: usize = 256;

/// The most names that are kept of a certificate.
const MAX_NAMES: usize = 64;

/// What `certificate` says; `None` if it cannot be understood.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Client> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Client {
        subject: short(parsed.subject().to_string()),
        issuer: short(parsed.issuer().to_string()),
        names: names_of(&parsed).take(MAX_NAMES).collect(),
    })
}

/// The last second of `certificate`, since 1970.
pub(super) fn ends(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

/// The names that `certificate` is issued for.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<Name> {
    match X509Certificate::from_der(certificate) {
        Ok((_, parsed)) => names_of(&parsed).collect(),
        Err(_) => Vec::new(),
    }
}

fn names_of(certificate: &X509Certificate<'_>) -> impl Iterator<Item = Name> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension
        .into_iter()
        .flat_map(|ext| &ext.value.general_names);
    names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(Name::Dns((*name).into())),
        GeneralName::URI(uri) => Some(Name::Uri((*uri).into())),
        _ => None,
    })
}

fn short(mut text: String) -> Box<str> {
    let mut end = text.len().min(MAX_SUBJECT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.into()
}

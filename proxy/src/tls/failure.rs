//! Why a handshake failed: a word to count by, and a sentence with the cure.

use std::{error::Error as _, fmt, io};

use tokio_rustls::rustls::{self, AlertDescription, CertificateError, PeerIncompatible};

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The certificate is past its end, or not yet at its beginning.
    Expired,
    /// The certificate's authority is not one that is trusted.
    UnknownCa,
    /// The certificate is good, and for somebody else.
    WrongName,
    /// The certificate is broken, revoked or for another use.
    BadCertificate,
    /// None was shown.
    NoCertificate,
    /// No version, cipher or protocol in common.
    Incompatible,
    /// The other side did not accept, and said so.
    Refused,
    /// The other side does not speak TLS.
    NotTls,
    /// The connection ended before the handshake did.
    Closed,
    /// It took too long.
    Timeout,
    /// Anything else.
    Other,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Expired,
        Self::UnknownCa,
        Self::WrongName,
        Self::BadCertificate,
        Self::NoCertificate,
        Self::Incompatible,
        Self::Refused,
        Self::NotTls,
        Self::Closed,
        Self::Timeout,
        Self::Other,
    ];

    /// How it is written in a metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::UnknownCa => "unknown_ca",
            Self::WrongName => "wrong_name",
            Self::BadCertificate => "bad_certificate",
            Self::NoCertificate => "no_certificate",
            Self::Incompatible => "incompatible",
            Self::Refused => "refused",
            Self::NotTls => "not_tls",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }

    fn of(error: &rustls::Error) -> Self {
        use rustls::Error as E;
        match error {
            E::InvalidCertificate(certificate) => Self::of_certificate(certificate),
            E::NoCertificatesPresented => Self::NoCertificate,
            E::PeerIncompatible(PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon)
            | E::PeerIncompatible(_)
            | E::NoApplicationProtocol => Self::Incompatible,
            E::AlertReceived(alert) => match alert {
                AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity
                | AlertDescription::HandshakeFailure
                | AlertDescription::NoApplicationProtocol => Self::Incompatible,
                _ => Self::Refused,
            },
            E::InvalidMessage(_) | E::InappropriateMessage { .. } => Self::NotTls,
            _ => Self::Other,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as C;
        match error {
            C::Expired
            | C::ExpiredContext { .. }
            | C::NotValidYet
            | C::NotValidYetContext { .. } => Self::Expired,
            C::UnknownIssuer => Self::UnknownCa,
            C::NotValidForName
            | C::NotValidForNameContext { .. }
            | C::ApplicationVerificationFailure => Self::WrongName,
            _ => Self::BadCertificate,
        }
    }
}

/// A handshake that failed.
#[derive(Debug)]
pub struct Failure {
    /// Why, in a word.
    pub reason: Reason,
    detail: String,
}

impl Failure {
    /// A handshake that failed for this reason.
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    /// What tokio-rustls says: an error of TLS, or of the transport below.
    pub(super) fn of(error: &io::Error) -> Self {
        let inner = error.get_ref();
        match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Self::new(Reason::of(tls), said(tls)),
            None => Self::new(Reason::Closed, format!("it was broken off ({error})")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Failure {}

/// The sentence for an error: what it is about is the other side's.
fn said(error: &rustls::Error) -> String {
    use CertificateError as C;
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            C::NotValidYet | C::NotValidYetContext { .. } => {
                "its certificate is not valid yet; is the clock of this host right?".to_owned()
            }
            C::Expired | C::ExpiredContext { .. } => "its certificate has expired".to_owned(),
            C::UnknownIssuer => {
                "its certificate is from an authority that is not trusted here".to_owned()
            }
            C::NotValidForNameContext {
                expected,
                presented,
            } => format!(
                "its certificate is not for {}, but for {}",
                expected.to_str(),
                names(presented)
            ),
            C::NotValidForName | C::ApplicationVerificationFailure => {
                "its certificate is for none of the names that are expected".to_owned()
            }
            C::Other(other) => match other.source() {
                Some(source) => format!("its certificate is refused: {source}"),
                None => "its certificate is refused".to_owned(),
            },
            other => format!("its certificate is refused: {other}"),
        },
        rustls::Error::NoCertificatesPresented => "it showed no certificate".to_owned(),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "it wants a certificate from us; give it in upstream_certificate".to_owned()
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired => {
                format!("it does not accept our certificate ({alert:?})")
            }
            alert => format!("it refused ({alert:?})"),
        },
        rustls::Error::InvalidMessage(_) => "what it says is not TLS".to_owned(),
        other => other.to_string(),
    }
}

/// Names as a certificate has them: a few of them, since it may have hundreds.
fn names(presented: &[String]) -> String {
    const SHOWN: usize = 4;
    let more = presented.len().saturating_sub(SHOWN);
    let shown: Vec<_> = presented[..presented.len() - more]
        .iter()
        // As the library writes them: `DnsName("shop")`.
        .map(|name| name.split('"').nth(1).unwrap_or(name))
        .collect();
    let shown = shown.join(", ");
    match (presented.len(), more) {
        (0, _) => "no name at all".to_owned(),
        (_, 0) => shown,
        _ => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_tls_is_known_and_any_other_is_the_transports() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        for (error, reason, part) in [
            (io::Error::other(expired), Reason::Expired, "has expired"),
            (
                io::Error::other(alert),
                Reason::Refused,
                "upstream_certificate",
            ),
            (
                io::Error::from(io::ErrorKind::UnexpectedEof),
                Reason::Closed,
                "broken off",
            ),
        ] {
            let failure = Failure::of(&error);
            assert_eq!(failure.reason, reason);
            assert!(failure.to_string().contains(part), "{failure}");
        }
    }

    #[test]
    fn each_reason_has_its_own_name_and_place() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }

    #[test]
    fn a_certificate_with_many_names_is_a_short_sentence() {
        let many: Vec<_> = (0..9).map(|n| format!("DnsName(\"{n}\")")).collect();
        assert_eq!(names(&many), "0, 1, 2, 3 and 5 more");
        assert_eq!(names(&many[..2]), "0, 1");
        assert_eq!(names(&[]), "no name at all");
    }
}

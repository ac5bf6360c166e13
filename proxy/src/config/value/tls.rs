//! Certificates with their keys, and the names that certificates are issued for.

use std::path::PathBuf;

use throughline::tls::NamePattern;

use super::{Bad, Scalar, Shape, Value, Written, items, pairs};
use crate::tls::{ClientAuth, Pair};

/// Certificates with their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPairs(pub(crate) Vec<Pair>);

impl Value for KeyPairs {
    const SHAPE: Shape = Shape::KeyPairs;

    fn parse(written: &Written) -> Result<Self, Bad> {
        let mut all = Vec::new();
        for (index, item) in items(written)?.into_iter().enumerate() {
            let (certificate, key) = item.split_once('=').unwrap_or((item, item));
            let (certificate, key) = (certificate.trim(), key.trim());
            if certificate.is_empty() || key.is_empty() {
                return Err(Bad {
                    why: format!(
                        "{item:?} is no certificate with its key; give CERTIFICATE=KEY, as in \
                         /tls/tls.crt=/tls/tls.key, or one file that is both"
                    ),
                    item: Some(index),
                });
            }
            all.push(Pair {
                certificate: PathBuf::from(certificate),
                key: PathBuf::from(key),
            });
        }
        Ok(Self(all))
    }

    fn show(&self) -> String {
        let shown = self.0.iter().map(|pair| {
            let (certificate, key) = (pair.certificate.display(), pair.key.display());
            format!("{certificate}={key}")
        });
        shown.collect::<Vec<_>>().join(",")
    }
}

/// Hosts whose certificate is issued for another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostNames(pub(crate) Vec<(String, NamePattern)>);

impl Value for HostNames {
    const SHAPE: Shape = Shape::Pairs;

    fn parse(written: &Written) -> Result<Self, Bad> {
        let mut names = Vec::new();
        for (index, (host, name)) in pairs::pairs(written)?.into_iter().enumerate() {
            let bad = |why: String| Bad {
                why,
                item: Some(index),
            };
            let name = name.trim().parse();
            let name = name.map_err(|error| bad(format!("{error}")))?;
            // A colon belongs to a port, or several to an address in brackets.
            let host = host.trim().replace(['[', ']'], "");
            if host.is_empty() || host.contains('/') || host.contains(char::is_whitespace) {
                return Err(bad(format!(
                    "{host:?} is no host of an upstream, as stock and 10.0.0.7:8443 are"
                )));
            }
            names.push((host, name));
        }
        Ok(Self(names))
    }

    fn show(&self) -> String {
        let shown = self.0.iter().map(|(host, name)| format!("{host}={name}"));
        shown.collect::<Vec<_>>().join(",")
    }
}

impl Scalar for NamePattern {
    fn from_text(text: &str) -> Result<Self, Bad> {
        text.parse().map_err(|error| Bad::new(format!("{error}")))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl Scalar for ClientAuth {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "required" => Ok(Self::Required),
            "optional" => Ok(Self::Optional),
            _ => Err(Bad::new("it is required or optional")),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
        }
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::check, *};

    #[test]
    fn a_certificate_has_a_key_or_is_one_file_with_it() {
        check::<KeyPairs>(&[
            ("", Ok("")),
            ("a.crt=a.key", Ok("a.crt=a.key")),
            ("a.crt=a.key, both.pem", Ok("a.crt=a.key,both.pem=both.pem")),
            ("a.crt=", Err("CERTIFICATE=KEY")),
            ("=a.key", Err("CERTIFICATE=KEY")),
        ]);
    }

    #[test]
    fn names_of_certificates_are_dns_names_and_uris() {
        check::<HostNames>(&[
            ("", Ok("")),
            (
                "stock:443=stock.shop,[::1]:8443=spiffe://prod/stock",
                Ok("stock:443=stock.shop,::1:8443=spiffe://prod/stock"),
            ),
            ("stock", Err("key=value")),
            ("stock=a*", Err("is no name of a certificate")),
            ("https://stock=a", Err("is no host of an upstream")),
        ]);
    }

    #[test]
    fn clients_have_to_have_certificates_or_may() {
        check::<ClientAuth>(&[
            ("required", Ok("required")),
            ("optional", Ok("optional")),
            ("on", Err("required or optional")),
        ]);
    }
}

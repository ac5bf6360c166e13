//! Where requests go: scheme, host and port.

use std::net::SocketAddr;

use std::net::Ipv6Addr;

use http::{
    Uri,
    uri::{Authority, Scheme as UriScheme},
};
use throughline::span::Scheme;

/// One place that connections are made to, and kept for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    is_tls: bool,
    host: Box<str>,
    port: u16,
}

impl Origin {
    /// The origin at this host and port, in clear.
    #[must_use]
    pub fn http(host: &str, port: u16) -> Self {
        Self::new(Scheme::Http, host, port)
    }

    /// The origin at this host and port, over TLS.
    #[must_use]
    pub fn https(host: &str, port: u16) -> Self {
        Self::new(Scheme::Https, host, port)
    }

    /// The origin at this address, in clear.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self::http(&address.ip().to_string(), address.port())
    }

    fn new(scheme: Scheme, host: &str, port: u16) -> Self {
        Self {
            is_tls: scheme == Scheme::Https,
            host: host.to_ascii_lowercase().into(),
            port,
        }
    }

    /// The origin of an absolute `http` or `https` address; `None` for anything else.
    #[must_use]
    pub fn of(uri: &Uri) -> Option<Self> {
        let scheme = match uri.scheme_str()? {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        // Read here: of a port that is too large, or that is none, `http` says that there is no port.
        let all = uri.authority()?.as_str();
        let all = all.rsplit_once('@').map_or(all, |(_, all)| all);
        let end = match all.starts_with('[') {
            true => all.find(']')? + 1,
            false => all.find(':').unwrap_or(all.len()),
        };
        let (host, port) = all.split_at(end);
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => scheme.default_port(),
            Some("") => scheme.default_port(),
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
            _ => return None,
        };
        is_host(host).then(|| Self::new(scheme, host, port))
    }

    /// The host: a name, or an address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is spoken to over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    pub(super) fn uri_scheme(&self) -> UriScheme {
        if self.is_tls {
            UriScheme::HTTPS
        } else {
            UriScheme::HTTP
        }
    }

    pub(crate) fn authority(&self) -> Authority {
        let text = if self.host().contains(':') {
            format!("[{}]:{}", self.host(), self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        };
        Authority::try_from(text).unwrap_or_else(|_| Authority::from_static("unknown"))
    }
}

/// Whether this is a host. `http` takes brackets for part of a name too, and all sorts of things within
/// them.
fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && !host.contains(['[', ']']),
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.uri_scheme(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_address_has_an_origin() {
        for (uri, origin) in [
            ("http://shop/x", Some("http://shop:80")),
            ("http://SHOP:81", Some("http://shop:81")),
            ("https://shop/x", Some("https://shop:443")),
            ("http://[::1]:8080/", Some("http://[::1]:8080")),
            ("http://shop:/x", Some("http://shop:80")),
            ("http://me:word@shop/x", Some("http://shop:80")),
            ("http://me:7@[::1]/x", Some("http://[::1]:80")),
            ("http://shop:99999/x", None),
            ("http://shop[::]x/", None),
            ("http://[:8@46:8]/", None),
            ("/x", None),
            ("ftp://shop/", None),
            ("shop:80", None),
        ] {
            let got = Origin::of(&uri.parse().unwrap()).map(|origin| origin.to_string());
            assert_eq!(got.as_deref(), origin, "{uri}");
        }
    }
}

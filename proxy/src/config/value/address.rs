//! Where something is: listeners, the app, upstreams, the collector.

use std::net::SocketAddr;

use http::Uri;

use super::{Bad, Scalar, Shape, Value, Written, items};
use crate::{config::AppAddress, export::otlp::Protocol as OtlpProtocol};

/// Host names and networks that are called directly; the empty list is a list of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts(pub(crate) String);

impl Value for Hosts {
    const SHAPE: Shape = Shape::List;

    fn parse(written: &Written) -> Result<Self, Bad> {
        let items = items(written)?;
        let text = items.join(",");
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Bad::new("hosts are separated by commas alone"));
        }
        Ok(Self(text))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Scalar for SocketAddr {
    fn from_text(text: &str) -> Result<Self, Bad> {
        text.parse().map_err(|_| {
            Bad::new("an address to listen at is an IP address and a port, as in 127.0.0.1:15001")
        })
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

/// Where the app listens, where that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct App(pub(crate) Option<AppAddress>);

impl Scalar for App {
    fn from_text(text: &str) -> Result<Self, Bad> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let bad = || {
            Bad::new(
                "the app's address is a port or a host and a port, as in 3000 or localhost:3000",
            )
        };
        let (is_tls, text) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest.trim_end_matches('/')),
            None => (false, text),
        };
        let (host, port) = match text.rsplit_once(':') {
            None => ("", text),
            Some(parts) => parts,
        };
        let port: u16 = match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(bad()),
        };
        let unbracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match (host, unbracketed) {
            ("", _) => "127.0.0.1",
            (_, Some(address)) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
            (name, None) if is_host_name(name) => name,
            _ => return Err(bad()),
        };
        Ok(Self(Some(AppAddress {
            host: host.to_owned(),
            port,
            is_tls,
        })))
    }

    fn to_text(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(String::new, ToString::to_string)
    }
}

/// Letters, digits, dots, dashes and underscores: names of DNS and of containers, and IPv4.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// Where OTLP goes, where that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(pub(crate) Option<String>);

impl Scalar for Endpoint {
    fn from_text(text: &str) -> Result<Self, Bad> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let known = text.starts_with("http://") || text.starts_with("https://");
        match text.parse::<Uri>() {
            // It would be shown and logged with the endpoint.
            Ok(uri) if uri.authority().is_some_and(|a| a.as_str().contains('@')) => Err(Bad::new(
                "an endpoint holds no user and password; give them as an authorization header in \
                 otlp_headers",
            )),
            Ok(uri) if known && uri.host().is_some_and(|host| !host.is_empty()) => {
                Ok(Self(Some(text.to_owned())))
            }
            _ => Err(Bad::new(
                "an endpoint is a URL with http or https, as in http://localhost:4318",
            )),
        }
    }

    fn to_text(&self) -> String {
        self.0.clone().unwrap_or_default()
    }
}

impl Endpoint {
    /// The URL that spans are sent to in this protocol.
    ///
    /// HTTP without a path goes to `/v1/traces`, and a path, be it only `/`, stays as it is. gRPC
    /// has paths of its own, so that what was given is left away.
    pub(crate) fn url(&self, protocol: OtlpProtocol) -> String {
        let base = self.0.as_deref().unwrap_or(match protocol {
            OtlpProtocol::Grpc => "http://localhost:4317",
            OtlpProtocol::HttpProtobuf => "http://localhost:4318",
        });
        let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        match protocol {
            OtlpProtocol::Grpc => format!("{scheme}://{}", &rest[..end]),
            OtlpProtocol::HttpProtobuf if end == rest.len() => format!("{base}/v1/traces"),
            OtlpProtocol::HttpProtobuf => base.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            OrOff,
            tests::{check, parse},
        },
        *,
    };

    #[test]
    fn app_is_a_port_or_a_host_and_a_port() {
        check::<App>(&[
            ("3000", Ok("127.0.0.1:3000")),
            (":3000", Ok("127.0.0.1:3000")),
            ("orders:3000", Ok("orders:3000")),
            ("[::1]:3000", Ok("[::1]:3000")),
            ("https://orders:8443", Ok("https://orders:8443")),
            ("https://[::1]:8443/", Ok("https://[::1]:8443")),
            ("https://orders", Err("a host and a port")),
            ("orders", Err("as in 3000 or localhost:3000")),
            ("orders:0", Err("a host and a port")),
            ("orders:99999", Err("a host and a port")),
            ("::1:3000", Err("a host and a port")),
            ("http://orders:3000", Err("a host and a port")),
            ("[nonsense]:80", Err("a host and a port")),
        ]);
    }

    #[test]
    fn listeners_may_be_off() {
        check::<OrOff<SocketAddr>>(&[
            ("0.0.0.0:1", Ok("0.0.0.0:1")),
            ("off", Ok("off")),
            ("8080", Err("127.0.0.1:15001, or off")),
        ]);
    }

    #[test]
    fn endpoints_follow_the_specification() {
        use OtlpProtocol::{Grpc, HttpProtobuf};
        for (given, protocol, expected) in [
            ("", HttpProtobuf, "http://localhost:4318/v1/traces"),
            ("", Grpc, "http://localhost:4317"),
            ("http://c:1", HttpProtobuf, "http://c:1/v1/traces"),
            ("http://c:1/", HttpProtobuf, "http://c:1/"),
            ("https://c/otlp", HttpProtobuf, "https://c/otlp"),
            ("https://c/otlp", Grpc, "https://c"),
        ] {
            let endpoint: Endpoint = parse(given).unwrap();
            assert_eq!(endpoint.url(protocol), expected, "{given:?}");
        }
        for bad in [
            "localhost:4318",
            "ftp://c",
            "http://",
            "http:///x",
            "http://a b",
        ] {
            let why = parse::<Endpoint>(bad).unwrap_err();
            assert!(why.contains("http://localhost:4318"), "{bad}: {why}");
        }
        let why = parse::<Endpoint>("http://me:secret@c").unwrap_err();
        assert!(why.contains("otlp_headers"), "{why}");
    }
}

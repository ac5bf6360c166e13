//! OTLP: spans to an OpenTelemetry collector, over gRPC or HTTP.
//!
//! A span becomes bytes at once, without structs between; a batch of them is sent until the collector
//! takes it, refuses it for good, or time is up. <https://opentelemetry.io/docs/specs/otlp/>

mod answer;
mod encode;
#[cfg(test)]
pub(crate) mod receiver;
mod retry;
mod send;
mod wire;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use send::Otlp;

/// Where the collector is and how it is spoken to.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// For HTTP the whole URL, used as it is; for gRPC scheme, host and port.
    pub endpoint: String,
    /// What is spoken.
    pub protocol: Protocol,
    /// Headers added to every request; their values are keys, more often than not.
    pub headers: Vec<(String, String)>,
    /// How requests are compressed.
    pub compression: Compression,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// A PEM file of certificate authorities, trusted besides those of the system.
    pub certificate: Option<PathBuf>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Config")
            .field("endpoint", &self.endpoint)
            .field("protocol", &self.protocol)
            .field("headers", &headers)
            .field("compression", &self.compression)
            .field("timeout", &self.timeout)
            .field("certificate", &self.certificate)
            .finish()
    }
}

/// How OTLP is spoken: the values of `OTEL_EXPORTER_OTLP_PROTOCOL` that are understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`: over HTTP/2, in clear with prior knowledge.
    #[default]
    Grpc,
    /// `http/protobuf`: one POST a batch, over HTTP/1.1.
    HttpProtobuf,
}

impl Protocol {
    /// The name in `OTEL_EXPORTER_OTLP_PROTOCOL`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

/// How requests are compressed: the values of `OTEL_EXPORTER_OTLP_COMPRESSION`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// `none`.
    #[default]
    None,
    /// `gzip`.
    Gzip,
}

impl Compression {
    /// The name in `OTEL_EXPORTER_OTLP_COMPRESSION`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
        }
    }
}

/// An exporter that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The endpoint is no address.
    #[error("the OTLP endpoint {endpoint:?} {problem}; it looks like {example}")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// What is wrong with it.
        problem: &'static str,
        /// What a good one looks like.
        example: &'static str,
    },
    /// A header that HTTP does not allow. Its value may be a secret and is not shown.
    #[error(
        "the OTLP header {name:?} cannot be sent: its {part} has characters that HTTP does not allow"
    )]
    Header {
        /// Its name.
        name: String,
        /// `name` or `value`.
        part: &'static str,
    },
    /// The file of certificate authorities cannot be used.
    #[error("the OTLP certificate {}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nobody to trust.
    #[error(
        "no certificate authority is installed, so that no https endpoint can be trusted; install ca-certificates or name a file in OTEL_EXPORTER_OTLP_CERTIFICATE"
    )]
    NoAuthorities,
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] tokio_rustls::rustls::Error),
}

impl Error {
    fn certificate(path: &Path, source: io::Error) -> Self {
        Self::Certificate {
            path: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_in_headers_are_not_printed() {
        let config = Config {
            endpoint: "http://collector:4318/v1/traces".to_owned(),
            protocol: Protocol::HttpProtobuf,
            headers: vec![("api-key".to_owned(), "s3cret".to_owned())],
            compression: Compression::None,
            timeout: Duration::from_secs(10),
            certificate: None,
        };
        let printed = format!("{config:?}");
        assert!(
            printed.contains("api-key") && !printed.contains("s3cret"),
            "{printed}"
        );
    }
}

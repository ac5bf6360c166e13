//! A batch on its way to a collector, over gRPC or as an HTTP POST.
//!
//! Both are one request each, with the same bytes in it. hyper's pooled client keeps the one
//! connection that is needed, as there is never more than one batch on its way.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE, TE, USER_AGENT},
    uri,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use throughline::span::Span;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{
    Compression, Config, Error, Protocol,
    answer::{self, Answer},
    encode::{self, Preamble},
    retry,
};
use crate::export::{Exporter, Resource, Sending};

/// The exporter to an OpenTelemetry collector.
#[derive(Clone, Debug)]
pub struct Otlp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    protocol: Protocol,
    compression: Compression,
    timeout: Duration,
    preamble: Preamble,
}

/// More than a collector has to say about a batch.
const MAX_ANSWER: usize = 64 * 1024;

impl Otlp {
    /// An exporter of the spans of `resource`. It connects when there is something to send.
    ///
    /// # Errors
    ///
    /// When the endpoint or a header is malformed, or TLS is asked for and cannot be set up.
    pub fn new(config: &Config, resource: &Resource) -> Result<Self, Error> {
        let uri = target(config)?;
        let headers = headers(config)?;
        Ok(Self(Arc::new(Inner {
            client: client(config, &uri)?,
            uri,
            headers,
            protocol: config.protocol,
            compression: config.compression,
            timeout: config.timeout,
            preamble: Preamble::new(resource),
        })))
    }
}

impl Exporter for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    fn encode(&self, span: &Span, batch: &mut Vec<u8>) {
        encode::span(span, batch);
    }

    fn send(&self, batch: Vec<u8>, deadline: Instant) -> Sending {
        let exporter = Arc::clone(&self.0);
        Box::pin(async move {
            let body = exporter.body(&batch);
            drop(batch);
            retry::until(deadline, exporter.timeout, |allowed| {
                exporter.attempt(body.clone(), allowed)
            })
            .await
        })
    }
}

impl Inner {
    /// The body of the request, made once for all attempts.
    fn body(&self, spans: &[u8]) -> Bytes {
        let message = self.preamble.request(spans);
        let message = match self.compression {
            Compression::None => message,
            Compression::Gzip => gzip(&message),
        };
        match self.protocol {
            Protocol::HttpProtobuf => message.into(),
            Protocol::Grpc => {
                let compressed = u8::from(self.compression == Compression::Gzip);
                let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
                let mut frame = Vec::with_capacity(5 + message.len());
                frame.push(compressed);
                frame.extend_from_slice(&length.to_be_bytes());
                frame.extend_from_slice(&message);
                frame.into()
            }
        }
    }

    async fn attempt(&self, body: Bytes, allowed: Duration) -> Answer {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if self.protocol == Protocol::Grpc {
            // At most eight digits: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
            let millis = allowed.as_millis().clamp(1, 99_999_999);
            if let Ok(value) = HeaderValue::try_from(format!("{millis}m")) {
                request.headers_mut().insert("grpc-timeout", value);
            }
        }
        match self.exchange(request).await {
            Ok(answer) => answer,
            // Not connected, or cut off half way: either may be different the next time.
            Err(error) => Answer::Retry {
                after: None,
                why: chain(&*error),
            },
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = self.client.request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?;
        let trailers = body.trailers().cloned();
        let body = body.to_bytes();
        Ok(match self.protocol {
            Protocol::HttpProtobuf => answer::http(head.status, &head.headers, &body),
            Protocol::Grpc => {
                let end = trailers.as_ref().unwrap_or(&head.headers);
                answer::grpc(head.status, end, &body)
            }
        })
    }
}

/// Where requests go: for HTTP what is configured and nothing else, for gRPC the service's method.
fn target(config: &Config) -> Result<Uri, Error> {
    let error = |problem| Error::Endpoint {
        endpoint: config.endpoint.clone(),
        problem,
        example: match config.protocol {
            Protocol::Grpc => "http://localhost:4317",
            Protocol::HttpProtobuf => "http://localhost:4318/v1/traces",
        },
    };
    let uri: Uri = config
        .endpoint
        .parse()
        .map_err(|_| error("is not an address"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.authority().is_some() => {}
        _ => return Err(error("does not begin with http:// or https:// and a host")),
    }
    match config.protocol {
        Protocol::HttpProtobuf => Ok(uri),
        Protocol::Grpc => {
            let mut parts = uri::Parts::default();
            parts.scheme = uri.scheme().cloned();
            parts.authority = uri.authority().cloned();
            parts.path_and_query = Some(uri::PathAndQuery::from_static(
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            ));
            Uri::from_parts(parts).map_err(|_| error("is not an address"))
        }
    }
}

fn headers(config: &Config) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    let agent = concat!("throughline/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in &config.headers {
        let error = |part| Error::Header {
            name: name.clone(),
            part,
        };
        let header = HeaderName::try_from(name).map_err(|_| error("name"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| error("value"))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    let gzip = config.compression == Compression::Gzip;
    let (content_type, encoding) = match config.protocol {
        Protocol::HttpProtobuf => ("application/x-protobuf", CONTENT_ENCODING),
        Protocol::Grpc => {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            ("application/grpc", HeaderName::from_static("grpc-encoding"))
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if gzip {
        headers.insert(encoding, HeaderValue::from_static("gzip"));
    }
    Ok(headers)
}

fn client(
    config: &Config,
    uri: &Uri,
) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(config.timeout));
    let secure = uri.scheme_str() == Some("https");
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(config.certificate.as_deref(), secure)?)
        .https_or_http();
    let connector = match config.protocol {
        Protocol::HttpProtobuf => connector.enable_http1().wrap_connector(tcp),
        Protocol::Grpc => connector.enable_http2().wrap_connector(tcp),
    };
    Ok(Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .http2_only(config.protocol == Protocol::Grpc)
        // A peer that vanished without a word would keep its connection, and with it every later
        // batch, until TCP gives up, which takes a quarter of an hour.
        .http2_keep_alive_interval(Duration::from_secs(5))
        .http2_keep_alive_timeout(Duration::from_secs(5))
        .build(connector))
}

/// Trust in the system's authorities and in those of a file. Reading them is for those who need it.
fn tls(certificate: Option<&Path>, secure: bool) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if secure {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = certificate {
            for authority in read_authorities(path)? {
                roots
                    .add(authority)
                    .map_err(|error| Error::certificate(path, io::Error::other(error)))?;
            }
        }
        if roots.is_empty() {
            return Err(Error::NoAuthorities);
        }
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = std::fs::read(path).map_err(|source| Error::certificate(path, source))?;
    let authorities: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::certificate(path, io::Error::other(error)))?;
    if authorities.is_empty() {
        let none = io::Error::new(
            io::ErrorKind::InvalidData,
            "no certificate in PEM form in it",
        );
        return Err(Error::certificate(path, none));
    }
    Ok(authorities)
}

fn gzip(message: &[u8]) -> Vec<u8> {
    // Spans of one service resemble each other: the fastest level takes off nine tenths.
    let out = Vec::with_capacity(message.len() / 4);
    let mut encoder = GzEncoder::new(out, flate2::Compression::fast());
    encoder
        .write_all(message)
        .and_then(|()| encoder.finish())
        .expect("writing into memory does not fail")
}

/// An error and its causes in one line: hyper's own text alone is "client error (Connect)".
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;

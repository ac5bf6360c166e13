//! A collector for tests: real sockets, and the official structs and service behind them.
//!
//! It is told what to answer, request by request, and keeps what it took.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Read,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use prost::Message;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Notify,
    task::AbortHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};
use tonic::codec::CompressionEncoding;
use tower::Service;

use super::{Compression, Config, Protocol};

/// What the receiver says to one request.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// Takes the batch.
    Yes,
    /// Takes the batch but for so many spans.
    Partly(i64),
    /// This HTTP status and these headers; for gRPC, its status and metadata.
    No(u16, &'static [(&'static str, &'static str)]),
    /// Nothing, ever.
    Nothing,
}

#[derive(Debug, Default)]
struct Notes {
    script: Mutex<VecDeque<Say>>,
    requests: Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>,
    attempts: Mutex<usize>,
    changed: Notify,
}

/// A running receiver; it stops when it is dropped, and its connections with it.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    protocol: Protocol,
    notes: Arc<Notes>,
    tasks: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        for task in self.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }
}

impl Receiver {
    /// A receiver that says what `script` holds, and yes when it is at its end.
    pub(crate) async fn start(protocol: Protocol, script: impl IntoIterator<Item = Say>) -> Self {
        Self::bind("127.0.0.1:0".parse().unwrap(), protocol, script).await
    }

    /// The same on a given address, where perhaps another one was before.
    pub(crate) async fn bind(
        address: SocketAddr,
        protocol: Protocol,
        script: impl IntoIterator<Item = Say>,
    ) -> Self {
        Self::accept(address, protocol, script, None).await
    }

    /// The same over TLS, and the certificate to trust, in PEM form.
    pub(crate) async fn start_tls(protocol: Protocol) -> (Self, String) {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![match protocol {
            Protocol::Grpc => b"h2".to_vec(),
            Protocol::HttpProtobuf => b"http/1.1".to_vec(),
        }];
        let address = "127.0.0.1:0".parse().unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        let receiver = Self::accept(address, protocol, [], Some(tls)).await;
        (receiver, cert.pem())
    }

    async fn accept(
        address: SocketAddr,
        protocol: Protocol,
        script: impl IntoIterator<Item = Say>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let notes = Arc::new(Notes::default());
        notes.script.lock().unwrap().extend(script);
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            protocol,
            notes: Arc::clone(&notes),
            tasks: Arc::clone(&tasks),
        };
        let accept = {
            let tasks = Arc::clone(&tasks);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (notes, tls) = (Arc::clone(&notes), tls.clone());
                    let connection = tokio::spawn(async move {
                        match tls {
                            None => serve(stream, protocol, notes).await,
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve(stream, protocol, notes).await;
                                }
                            }
                        }
                    });
                    tasks.lock().unwrap().push(connection.abort_handle());
                }
            })
        };
        tasks.lock().unwrap().push(accept.abort_handle());
        receiver
    }

    pub(crate) fn config(&self) -> Config {
        config(self.address, self.protocol)
    }

    /// The requests that were taken.
    pub(crate) fn requests(&self) -> Vec<(HeaderMap, ExportTraceServiceRequest)> {
        self.notes.requests.lock().unwrap().clone()
    }

    /// The spans that were taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.requests()
            .into_iter()
            .flat_map(|(_, request)| request.resource_spans)
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }

    /// How many requests there were, taken or not.
    pub(crate) fn attempts(&self) -> usize {
        *self.notes.attempts.lock().unwrap()
    }

    /// Waits until `done` holds, which is looked at whenever a request comes in.
    pub(crate) async fn until(&self, done: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let changed = self.notes.changed.notified();
                if done(self) {
                    break;
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .unwrap_or_else(|_| panic!("after 20 s: {} attempts", self.attempts()));
    }
}

pub(crate) fn config(address: SocketAddr, protocol: Protocol) -> Config {
    let path = match protocol {
        Protocol::Grpc => "",
        Protocol::HttpProtobuf => "/v1/traces",
    };
    Config {
        endpoint: format!("http://{address}{path}"),
        protocol,
        headers: vec![("api-key".to_owned(), "k1".to_owned())],
        compression: Compression::None,
        timeout: Duration::from_secs(5),
        certificate: None,
    }
}

impl Notes {
    fn next(&self) -> Say {
        *self.attempts.lock().unwrap() += 1;
        let say = self.script.lock().unwrap().pop_front();
        // Whoever waits for an attempt that is not answered is told of it too.
        self.changed.notify_one();
        say.unwrap_or(Say::Yes)
    }

    fn took(&self, headers: HeaderMap, request: ExportTraceServiceRequest) {
        self.requests.lock().unwrap().push((headers, request));
        self.changed.notify_one();
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: Protocol,
    notes: Arc<Notes>,
) {
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::HttpProtobuf => {
            let service = service_fn(move |request| post(request, Arc::clone(&notes)));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await;
        }
        Protocol::Grpc => {
            let server =
                TraceServiceServer::new(Grpc(notes)).accept_compressed(CompressionEncoding::Gzip);
            let service =
                service_fn(move |request: Request<Incoming>| server.clone().call(request));
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(io, service)
                .await;
        }
    }
}

async fn post(
    request: Request<Incoming>,
    notes: Arc<Notes>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let say = notes.next();
    let partial_success = match say {
        Say::Nothing => std::future::pending().await,
        Say::No(status, headers) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            return Ok(response);
        }
        Say::Yes => None,
        Say::Partly(rejected_spans) => Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: "some".to_owned(),
        }),
    };
    let mut plain = Vec::new();
    match head.headers.get("content-encoding") {
        None => plain.extend_from_slice(&body),
        Some(encoding) => {
            assert_eq!(encoding, "gzip");
            flate2::read::GzDecoder::new(&*body)
                .read_to_end(&mut plain)
                .unwrap();
        }
    }
    notes.took(
        head.headers,
        ExportTraceServiceRequest::decode(&*plain).unwrap(),
    );
    let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    let response = Response::builder().header("content-type", "application/x-protobuf");
    Ok(response.body(Full::new(body.into())).unwrap())
}

struct Grpc(Arc<Notes>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let partial_success = match self.0.next() {
            Say::Nothing => std::future::pending().await,
            Say::No(code, metadata) => {
                let mut status = tonic::Status::new(i32::from(code).into(), "no");
                for (name, value) in metadata {
                    status.metadata_mut().insert(*name, value.parse().unwrap());
                }
                return Err(status);
            }
            Say::Yes => None,
            Say::Partly(rejected_spans) => Some(ExportTracePartialSuccess {
                rejected_spans,
                error_message: "some".to_owned(),
            }),
        };
        let headers = request.metadata().clone().into_headers();
        self.0.took(headers, request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse {
            partial_success,
        }))
    }
}

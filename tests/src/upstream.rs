//! Small servers that stand for apps and upstreams where a real one would hide what matters.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{
    BodyExt, Empty, Full,
    channel::{Channel, Sender},
    combinators::BoxBody,
};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use crate::wait::until;

/// A port that the system chooses.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The body of requests and responses in tests.
pub type Body = BoxBody<Bytes, Infallible>;

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().boxed()
}

/// This body.
#[must_use]
pub fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed()
}

/// A body that is written while it is read; the sender waits while `ahead` frames are not taken.
#[must_use]
pub fn streamed(ahead: usize) -> (Sender<Bytes, Infallible>, Body) {
    let (sender, body) = Channel::new(ahead);
    (sender, body.boxed())
}

/// A server at a port of its own; dropped, it is gone with its connections.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Upstream {
    /// A server that speaks HTTP/1.1 alone.
    pub async fn http1<F, A>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::http1_at(ANY, answer).await
    }

    /// The same, at this address: where another was, which has gone.
    pub async fn http1_at<F, A>(address: SocketAddr, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::raw_at(address, move |stream, _| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // How a connection ends is for the other side to judge.
                let _ = served.await;
            }
        })
        .await
    }

    /// A server that speaks HTTP/2 with prior knowledge alone.
    pub async fn http2<F, A>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::raw(move |stream, _| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let served = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                let _ = served.await;
            }
        })
        .await
    }

    /// A server that speaks TLS, and on it what the handshake chose.
    pub async fn tls<F, A>(config: Arc<ServerConfig>, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::raw(move |stream, _| {
            let answer = answer.clone();
            let acceptor = TlsAcceptor::from(config.clone());
            async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let io = TokioIo::new(stream);
                let _ = if is_http2 {
                    let builder = http2::Builder::new(TokioExecutor::new());
                    builder.serve_connection(io, service).await
                } else {
                    http1::Builder::new().serve_connection(io, service).await
                };
            }
        })
        .await
    }

    /// A server that does with each connection what `serve` says; it is told which one it is, from 1.
    ///
    /// # Panics
    ///
    /// When the port does not become free.
    pub async fn raw<F, S>(serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self::raw_at(ANY, serve).await
    }

    async fn raw_at<F, S>(address: SocketAddr, serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        // Whoever was there before may be on his way out.
        let listener = until("the port of an upstream", async || {
            TcpListener::bind(address).await.ok()
        })
        .await;
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let accepting = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let ordinal = count.fetch_add(1, Ordering::SeqCst) + 1;
                open.spawn(serve(stream, ordinal));
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            connections,
            accepting,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

//! Clients: hyper over one connection of its own, and bytes as a test writes them.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    upstream::{Body, empty},
    wait::PATIENCE,
};

/// One connection to a server; dropped, it is closed.
#[derive(Debug)]
pub struct Client {
    sender: Sender,
    /// Ends with the connection.
    connection: JoinHandle<Result<(), hyper::Error>>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// What came after the body.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// Reads a response to its end.
    ///
    /// # Errors
    ///
    /// When the connection breaks before that.
    pub async fn read(response: Response<Incoming>) -> Result<Self, hyper::Error> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Self {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
            trailers,
        })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Client {
    /// Connects, to speak HTTP/1.1.
    ///
    /// # Panics
    ///
    /// When nobody listens at `address`.
    pub async fn http1(address: SocketAddr) -> Self {
        Self::http1_over(connect(address).await).await
    }

    /// Speaks HTTP/1.1 over this transport.
    ///
    /// # Panics
    ///
    /// Never: there is nothing to send yet.
    pub async fn http1_over<T>(transport: T) -> Self
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(transport))
            .await
            .expect("a handshake in HTTP/1 sends nothing");
        Self {
            sender: Sender::Http1(sender),
            connection: tokio::spawn(connection),
        }
    }

    /// Connects, to speak HTTP/2 with prior knowledge.
    ///
    /// # Panics
    ///
    /// When nobody listens at `address`.
    pub async fn http2(address: SocketAddr) -> Self {
        Self::http2_over(connect(address).await).await
    }

    /// Speaks HTTP/2 over this transport.
    ///
    /// # Panics
    ///
    /// When the transport is broken.
    pub async fn http2_over<T>(transport: T) -> Self
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .handshake(TokioIo::new(transport))
            .await
            .expect("the preface can be written");
        Self {
            sender: Sender::Http2(sender),
            connection: tokio::spawn(connection),
        }
    }

    /// Sends a request and waits for the response's headers.
    ///
    /// # Errors
    ///
    /// When the connection breaks, or is closed already.
    ///
    /// # Panics
    ///
    /// When there is no response within [`PATIENCE`].
    pub async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let sent = async {
            match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        timeout(PATIENCE, sent)
            .await
            .expect("a response within the patience of a test")
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn ask(&mut self, request: Request<Body>) -> Answer {
        self.try_ask(request).await.expect("a whole response")
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    ///
    /// # Panics
    ///
    /// When the response does not end within [`PATIENCE`].
    pub async fn try_ask(&mut self, request: Request<Body>) -> Result<Answer, hyper::Error> {
        let response = self.send(request).await?;
        timeout(PATIENCE, Answer::read(response))
            .await
            .expect("a whole response within the patience of a test")
    }

    /// Asks for `path` and reads the whole response.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn get(&mut self, path: &str) -> Answer {
        let target = match &self.sender {
            Sender::Http1(_) => path.to_owned(),
            Sender::Http2(_) => format!("http://shop{path}"),
        };
        let mut request = Request::new(empty());
        *request.uri_mut() = target.parse().expect("the path of a test is a path");
        if let Sender::Http1(_) = self.sender {
            let host = http::HeaderValue::from_static("shop");
            request.headers_mut().insert(http::header::HOST, host);
        }
        self.ask(request).await
    }

    /// Another handle on the same HTTP/2 connection; `None` in HTTP/1.
    #[must_use]
    pub fn another_stream(&self) -> Option<http2::SendRequest<Body>> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(sender.clone()),
        }
    }

    /// Waits until the connection has ended, and says how.
    ///
    /// # Errors
    ///
    /// When it broke.
    ///
    /// # Panics
    ///
    /// When it does not end within [`PATIENCE`].
    pub async fn ended(&mut self) -> Result<(), hyper::Error> {
        timeout(PATIENCE, &mut self.connection)
            .await
            .expect("the connection ends within the patience of a test")
            .expect("the connection's task does not panic")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address)
        .await
        .unwrap_or_else(|error| panic!("nobody listens at {address}: {error}"))
}

/// Writes these bytes to `address`, and reads until the other side closes.
///
/// # Panics
///
/// When nobody listens there, or the other side does not close within [`PATIENCE`].
pub async fn raw(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = connect(address).await;
    // The other side may refuse before it has read everything.
    let _ = stream.write_all(bytes.as_ref()).await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let read = read.expect("the other side closes within the patience of a test");
    if let Err(error) = read {
        assert!(!answer.is_empty(), "no answer at all: {error}");
    }
    String::from_utf8_lossy(&answer).into_owned()
}

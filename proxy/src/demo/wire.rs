//! The small HTTP client that the shop and its customers use: it knows nothing of tracing.
//!
//! It speaks HTTP/1.1 to one address and keeps its connections for the next call, as the client of
//! any runtime does. A service gives it the address of its outbound proxy and asks for whole URLs,
//! which is what `HTTP_PROXY` makes clients do.

use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// More idle connections than this are closed; a demo never has so many calls at once.
const MAX_IDLE: usize = 16;

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is no connection to be had.
    #[error("cannot connect to {0}")]
    Connect(SocketAddr, #[source] std::io::Error),
    /// The connection broke, or the other side does not speak HTTP.
    #[error("no answer from {0}")]
    Http(SocketAddr, #[source] hyper::Error),
}

/// Connections to one address.
#[derive(Debug)]
pub(super) struct Wire {
    address: SocketAddr,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Wire {
    /// A client of `address`, which is not connected yet.
    pub(super) fn to(address: SocketAddr) -> Self {
        Self {
            address,
            idle: Mutex::default(),
        }
    }

    /// Asks `host` for `path`, and waits until its answer has come in completely.
    ///
    /// # Errors
    ///
    /// When there is no answer. One that says that something went wrong is an answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        host: SocketAddr,
        path: &str,
        body: Bytes,
    ) -> Result<StatusCode, Error> {
        // A proxy is asked for a whole URL, and a host for one of its paths.
        let target = if host == self.address {
            path.to_owned()
        } else {
            format!("http://{host}{path}")
        };
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, host.to_string())
            .header(header::USER_AGENT, "shop/1.0")
            .body(Full::new(body))
            .expect("paths of the shop are plain ASCII");
        let failed = |error| Error::Http(self.address, error);
        let mut connection = self.connection().await?;
        let mut answer = connection.send_request(request).await.map_err(failed)?;
        while let Some(frame) = answer.body_mut().frame().await {
            frame.map_err(failed)?;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        Ok(answer.status())
    }

    /// A connection that is ready: one that was used before, or else a new one.
    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, Error> {
        while let Some(mut kept) = self.take() {
            if kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.map_err(|error| Error::Connect(self.address, error))?;
        // Without it a request is slower, and none is lost.
        let _ = stream.set_nodelay(true);
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| Error::Http(self.address, error))?;
        // How the connection ends shows in the next call; there is nobody else to tell.
        tokio::spawn(async { drop(connection.await) });
        Ok(sender)
    }

    fn take(&self) -> Option<SendRequest<Full<Bytes>>> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }
}

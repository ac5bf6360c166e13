//! Whether an upstream is there: a connection of its own, and perhaps one request on it.
//!
//! It is made for the question and closed after it, since a kept connection would say that the upstream
//! was there once.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Version, header};
use http_body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{Cause, Error, RequestBody, Upstream, dial::Dialled, http1::Http1, wire::Wire};

impl<B> Upstream<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Connects, and where `path` is given asks for it; 2xx is what is wanted. In HTTP/1.1, unless the
    /// TLS handshake says otherwise.
    ///
    /// # Errors
    ///
    /// [`Error`], when it does not do so in time.
    pub async fn probe(&self, path: Option<&str>, patience: Duration) -> Result<(), Error> {
        let probe = async {
            let dialled = self.connect(None).await?;
            match path {
                None => Ok(()),
                Some(path) => self.ask(dialled, path).await,
            }
        };
        match tokio::time::timeout(patience, probe).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                Cause::ResponseTimeout,
                format!("no answer to a check in {patience:?}"),
            )),
        }
    }

    async fn ask(&self, dialled: Dialled, path: &str) -> Result<(), Error> {
        let bad = |error: http::Error| Error::new(Cause::NoRoute, error.to_string());
        let authority = self.origin().authority();
        let request = Request::get(path).header(header::USER_AGENT, "throughline");
        let status = if dialled.is_http2 {
            let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
                .handshake(TokioIo::new(dialled.transport))
                .await
                .map_err(|error| Error::exchange(&error))?;
            // It ends when the sender does.
            tokio::spawn(connection);
            let uri = format!("{}://{authority}{path}", self.origin().uri_scheme());
            let request = request.uri(uri).version(Version::HTTP_2);
            let request = request.body(RequestBody::<B>::empty()).map_err(bad)?;
            let answer = sender.send_request(request).await;
            answer.map_err(|error| Error::exchange(&error))?.status()
        } else {
            let mut http1 = Http1::open(dialled.transport, Arc::new(Wire::default())).await?;
            let request = request
                .header(header::HOST, authority.as_str())
                .body(RequestBody::<B>::empty())
                .map_err(bad)?;
            let answer = http1.exchange(request).await;
            answer
                .map_err(|error| Error::exchange(&error.into_error()))?
                .status()
        };
        if status.is_success() {
            return Ok(());
        }
        let said = format!("a check was answered with {}", status.as_u16());
        Err(Error::new(Cause::BadResponse, said))
    }
}

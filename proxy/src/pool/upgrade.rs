//! A request that asks its upstream for another protocol.
//!
//! It gets a connection of its own, since none comes back that is agreed to be something else, and is
//! never sent twice. While it is asked for it counts as a request; a tunnel then does not, for a few
//! hundred of them would leave no room for others.

use std::{pin::pin, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::ext::Protocol;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use throughline::{ambient, phase::Recorder};

use super::{
    Cause, Error, RequestBody, ResponseBody, Upstream,
    body::Returning,
    early::Early,
    switched::Switched,
    upstream::{taken, within},
};
use crate::{
    headers::{self, Upgrade},
    processes::Carried,
};

static WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
static WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// What an upstream says to a request for another protocol.
#[derive(Debug)]
pub enum Switch<B> {
    /// An answer like any other.
    Declined(Response<ResponseBody<B>>),
    /// It goes over to it.
    Agreed {
        /// The answer that says so, without a body.
        response: Response<ResponseBody<B>>,
        /// To what.
        agreed: Upgrade,
        /// What comes and goes behind the answer.
        stream: Switched,
    },
}

impl<B> Upstream<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Sends a request that asks for `upgrade`, and waits for the response's headers.
    ///
    /// # Errors
    ///
    /// As [`Upstream::send`]; nothing is handed back to be sent again.
    pub async fn upgrade(
        self: &Arc<Self>,
        request: &mut Request<RequestBody<B>>,
        upgrade: &Upgrade,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
    ) -> Result<Switch<B>, Error> {
        if let Some(recorder) = recorder {
            recorder.begin_attempt(ambient::now());
        }
        let wants_http2 = *request.method() == Method::CONNECT;
        let failed = |error| self.failed(error, recorder);
        let _place = self.place().await.map_err(failed)?;
        let switched = if self.tunnels_in_http2(wants_http2) {
            self.switch_http2(request, upgrade, recorder, carried).await
        } else {
            self.switch_http1(request, upgrade, recorder, carried).await
        };
        switched.map_err(failed)
    }

    async fn switch_http1(
        self: &Arc<Self>,
        request: &mut Request<RequestBody<B>>,
        upgrade: &Upgrade,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
    ) -> Result<Switch<B>, Error> {
        let permit = self.permit().await?;
        let dialled = self.dial_for_http1(recorder).await?;
        let mut connection = self.open_http1(dialled).await?;
        if *request.method() == Method::CONNECT {
            // RFC 8441 section 5: the same request in HTTP/1.1. The key proves that the server knows
            // WebSocket, which here the 101 does.
            *request.method_mut() = Method::GET;
            if upgrade
                .sole()
                .is_some_and(|p| p.eq_ignore_ascii_case("websocket"))
            {
                let key = [ambient::random(), ambient::random()]
                    .map(u64::to_be_bytes)
                    .concat();
                let key = BASE64_STANDARD.encode(key);
                if let Ok(key) = HeaderValue::from_str(&key) {
                    request.headers_mut().insert(&WEBSOCKET_KEY, key);
                }
            }
        }
        headers::into_http1(request);
        headers::in_chunks(request);
        upgrade.write(request.headers_mut());
        connection.take(recorder, ambient::now());
        connection.carries(carried);
        let wire = connection.wire.clone();
        let early = Early::default();
        wire.begin(
            recorder.cloned(),
            early,
            request.body().is_end_stream(),
            false,
        );
        request.body_mut().over(&wire);
        let answer = {
            let sent = pin!(connection.sender.exchange(taken(request)));
            match self.response_timeout() {
                None => sent.await,
                Some(timeout) => within(timeout, sent).await?,
            }
        };
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => {
                if wire.lead() == Some(0) {
                    self.refused_http1();
                }
                return Err(Error::exchange(&error.into_error()));
            }
        };
        *response.version_mut() = Version::HTTP_11;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            if !wire.is_request_sent() {
                connection.sender.go_alone();
            }
            connection.pass = Some(permit);
            let returning = Returning::new(self.clone(), connection);
            return Ok(Switch::Declined(
                response.map(|body| ResponseBody::http1(body, returning)),
            ));
        }
        let agreed = Upgrade::of(response.headers());
        let agreed = agreed.filter(|agreed| agreed.was_asked_for(upgrade));
        let agreed = agreed.ok_or_else(|| {
            Error::new(
                Cause::BadResponse,
                "it switched to another protocol than it was asked to",
            )
        })?;
        let stream = connection.sender.switched(&mut response).await?;
        Ok(Switch::Agreed {
            // There is none to be given back.
            response: response.map(|body| ResponseBody::shared(body, None)),
            agreed,
            stream: Switched::new(stream, None),
        })
    }

    async fn switch_http2(
        self: &Arc<Self>,
        request: &mut Request<RequestBody<B>>,
        upgrade: &Upgrade,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
    ) -> Result<Switch<B>, Error> {
        let refused = |why| Error::new(Cause::Tunnel, why);
        let protocol = upgrade.sole().ok_or_else(|| {
            refused(
                "in HTTP/2, which it speaks, one protocol can be asked for and no choice of them",
            )
        })?;
        if !request.body().is_end_stream() {
            return Err(refused(
                "in HTTP/2, which it speaks, this cannot have a body",
            ));
        }
        let key = request.headers_mut().remove(&WEBSOCKET_KEY);
        headers::into_http2(
            request,
            &self.origin().uri_scheme(),
            &self.origin().authority(),
        );
        *request.method_mut() = Method::CONNECT;
        // In lower case, as those are registered that HTTP/2 knows.
        let name = protocol.to_ascii_lowercase();
        request.extensions_mut().insert(Protocol::from(&*name));
        let Some((mut sender, slot)) = self.http2_for_tunnel(recorder, carried).await? else {
            return Err(refused("it turned out to speak no HTTP/2"));
        };
        if let Some(recorder) = recorder {
            recorder.sent(ambient::now());
        }
        let answer = {
            let sent = pin!(sender.send_request(taken(request)));
            match self.response_timeout() {
                None => sent.await,
                Some(timeout) => within(timeout, sent).await?,
            }
        };
        let mut response = answer.map_err(|error| Error::exchange(&error))?;
        *response.version_mut() = Version::HTTP_11;
        if !response.status().is_success() {
            return Ok(Switch::Declined(
                response.map(|body| ResponseBody::shared(body, Some(slot))),
            ));
        }
        let stream = hyper::upgrade::on(&mut response).await;
        let stream = stream.map_err(|error| Error::exchange(&error))?;
        if let Some(key) = key {
            let accept = websocket_accept(key.as_bytes());
            response.headers_mut().insert(&WEBSOCKET_ACCEPT, accept);
        }
        Ok(Switch::Agreed {
            response: response.map(|body| ResponseBody::shared(body, None)),
            agreed: upgrade.clone(),
            stream: Switched::new(stream, Some(slot)),
        })
    }
}

/// What proves to a client of HTTP/1.1 that its key was read by a server that knows WebSocket (RFC 6455
/// section 4.2.2). In HTTP/2 the answer itself does.
fn websocket_accept(key: &[u8]) -> HeaderValue {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    let accept = BASE64_STANDARD.encode(digest);
    HeaderValue::from_str(&accept).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_rfc() {
        let accept = websocket_accept(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

//! A request that asks for another protocol, and what becomes of it.
//!
//! In HTTP/1.1 it is a request with `Upgrade`, which is agreed on with 101; in HTTP/2 an extended
//! CONNECT (RFC 8441), which is agreed on with 200. Both are one [`Wanted`] here, and the upstream is
//! asked in whichever of them it understands. Whatever else it answers is an answer like any other.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    Extensions, HeaderName, Request, Response, StatusCode, Version, header::CONTENT_LENGTH,
};
use http_body::Body;
use hyper::{ext::Protocol, upgrade::OnUpgrade};
use throughline::phase::Recorder;

use super::Tunnel;
use crate::{
    headers::{Upgrade, strip_hop_by_hop},
    pool::{Error, RequestBody, ResponseBody, Switch, Upstream},
    processes::Carried,
};

static WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// What a caller wants to go over to.
#[derive(Debug)]
pub(crate) struct Wanted {
    upgrade: Upgrade,
    near: OnUpgrade,
    is_http2: bool,
}

impl Wanted {
    /// What a request asks for, given the upgrade that its fields name; `None` where it is an ordinary
    /// one.
    pub(crate) fn of(
        version: Version,
        is_connect: bool,
        extensions: &mut Extensions,
        named: Option<Upgrade>,
    ) -> Option<Self> {
        let (upgrade, is_http2) = match (version, named) {
            (Version::HTTP_11, Some(upgrade)) if !is_connect => (upgrade, false),
            (Version::HTTP_2, _) if is_connect => {
                let protocol = extensions.remove::<Protocol>()?;
                (Upgrade::to(protocol.as_str())?, true)
            }
            _ => return None,
        };
        Some(Self {
            upgrade,
            near: extensions.remove::<OnUpgrade>()?,
            is_http2,
        })
    }

    /// Asks the upstream, and begins the tunnel that `tunnel` makes if it agrees.
    pub(crate) async fn ask<B, H: Send + 'static>(
        self,
        upstream: &Arc<Upstream<B>>,
        request: &mut Request<RequestBody<B>>,
        recorder: Option<&Recorder>,
        carried: Option<&Carried>,
        tunnel: impl FnOnce(String) -> Tunnel<H>,
    ) -> Result<Response<ResponseBody<B>>, Error>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let asked = upstream.upgrade(request, &self.upgrade, recorder, carried);
        let (mut response, agreed, far) = match asked.await? {
            Switch::Declined(mut response) => {
                strip_hop_by_hop(response.headers_mut());
                return Ok(response);
            }
            Switch::Agreed {
                response,
                agreed,
                stream,
            } => (response, agreed, stream),
        };
        let headers = response.headers_mut();
        strip_hop_by_hop(headers);
        headers.remove(CONTENT_LENGTH);
        if self.is_http2 {
            // It is the stream that was asked for, and proves nothing.
            headers.remove(&WEBSOCKET_ACCEPT);
            *response.status_mut() = StatusCode::OK;
        } else {
            agreed.write(headers);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        let tunnel = tunnel(agreed.as_str().to_owned());
        let handover = tunnel.begin(self.near, far, recorder);
        response.extensions_mut().insert(handover);
        Ok(response)
    }
}

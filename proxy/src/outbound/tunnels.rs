//! Calls that become tunnels: an upgrade on its way to an upstream, and a CONNECT.
//!
//! Both are calls like others: their cause is looked for, and there is one CLIENT span. To the
//! correlator the call is answered once the tunnel is agreed on: what passes then are other requests,
//! which nobody here can tell apart.

use std::{
    convert::Infallible,
    future::ready,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use throughline::{body::TracedBody, client::Client, phase::Recorder, server::Hop};
use tower::{Layer, Service};

use super::{
    BoxFuture, CallBody, OpenCall, OutboundBody, OutboundService, Said, Tracing, UpstreamBody,
};
use crate::{
    glimpse::Glimpsed,
    headers,
    hold::Holding,
    listen::Connection,
    pipeline::Pipeline,
    pool::{Cause, Error, Pool, RequestBody, Upstream},
    reply,
    target::Target,
    tunnel::{Tunnel, Wanted},
};

type Answer = BoxFuture<Result<Response<OutboundBody>, Infallible>>;

impl OutboundService {
    /// A call that asks for another protocol.
    pub(super) fn switch(
        &self,
        wanted: Wanted,
        upstream: Arc<Upstream>,
        parts: request::Parts,
        body: Incoming,
        said: Said,
    ) -> Answer {
        let tracing = self.stack.tracing.clone();
        let mut ask = Ask {
            upstream,
            once: Some((wanted, self.between())),
        };
        Box::pin(async move {
            let answer = match tracing {
                None => {
                    let body = RequestBody::new(Glimpsed::new(body));
                    let answer = ask.call(Request::from_parts(parts, body)).await;
                    answer.map(|response| response.map(Either::Right))
                }
                Some(tracing) => {
                    let answer = tracing.call(ask, parts, body, said).await;
                    answer.map(|(response, call)| {
                        response.map(|body| Either::Left(Holding::new(body, call)))
                    })
                }
            };
            Ok(match answer {
                Ok(mut response) => {
                    headers::strip_proxy(response.headers_mut());
                    response.map(Either::Left)
                }
                Err(error) => {
                    tracing::debug!(%error, "an upgrade failed");
                    reply::to_error(&error, None)
                }
            })
        })
    }

    /// A call for a tunnel to a host and a port.
    pub(super) fn connect(&self, mut parts: request::Parts, body: Incoming, said: Said) -> Answer {
        let version = parts.version;
        let failed = move |error: &Error| {
            tracing::debug!(%error, "a tunnel was not made");
            reply::to_tunnel(version, reply::to_error(error, None))
        };
        let (target, near) = match self.asked(&mut parts, &body) {
            Ok(asked) => asked,
            Err(error) => return Box::pin(ready(Ok(failed(&error)))),
        };
        let tracing = self.stack.tracing.clone();
        let mut dial = Dial {
            pool: self.stack.pool.clone(),
            target,
            once: Some((near, self.between())),
        };
        Box::pin(async move {
            let answer = match tracing {
                None => dial.dial(None).await,
                Some(tracing) => {
                    let answer = tracing.call(dial, parts, body, said).await;
                    answer.map(|(response, _)| response.map(|_| Full::default()))
                }
            };
            Ok(match answer {
                Ok(response) => response.map(Either::Right),
                Err(error) => failed(&error),
            })
        })
    }

    /// Where a CONNECT leads, and the caller's side of it.
    fn asked(
        &self,
        request: &mut request::Parts,
        body: &Incoming,
    ) -> Result<(Target, OnUpgrade), Error> {
        let refused = |why: &str| Error::new(Cause::NoRoute, why);
        if self.stack.fixed.is_some() {
            let said = "this leads to one upstream; the outbound proxy makes tunnels";
            return Err(Error::new(Cause::Tunnel, said));
        }
        if !body.is_end_stream() {
            // RFC 9110 section 9.3.6: what follows is the tunnel's, and must not be a body to others.
            return Err(refused("CONNECT has no body"));
        }
        let uri = &request.uri;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if uri.scheme().is_some() || uri.path_and_query().is_some() {
            return Err(refused("CONNECT takes a host and a port, and no more"));
        }
        let target = Target::parse(authority).map_err(|bad| refused(&bad.to_string()))?;
        let near = request.extensions.remove::<OnUpgrade>();
        let near = near.ok_or_else(|| refused("this connection makes no tunnels"))?;
        Ok((target, near))
    }

    fn between(&self) -> Between {
        let tracing = self.stack.tracing.as_ref();
        Between {
            connection: self.connection.clone(),
            pipeline: tracing.map(|tracing| tracing.pipeline.clone()),
        }
    }
}

impl Tracing {
    /// Sends a call once, with its cause and its span.
    async fn call<S, B>(
        &self,
        service: S,
        parts: request::Parts,
        body: Incoming,
        said: Said,
    ) -> Result<(Response<TracedBody<B, Pipeline>>, Option<OpenCall>), Error>
    where
        S: Service<Request<CallBody>, Response = Response<B>, Error = Error>,
        B: Body,
    {
        let mut body = Glimpsed::new(body);
        let echoes = self.values.as_ref();
        let values = echoes.map(|echoes| echoes.of_call(&parts, &mut body));
        let mut request = Request::from_parts(parts, RequestBody::new(body));
        let (cause, call) = self.correlate(&mut request, said, values.as_ref());
        request.extensions_mut().insert(cause);
        let mut client: Client<S, Pipeline> = self.layer.layer(service);
        let response = client.call(request).await?;
        Ok((response, call))
    }
}

/// What stands between the two sides of a tunnel.
#[derive(Debug)]
struct Between {
    connection: Arc<Connection>,
    pipeline: Option<Pipeline>,
}

impl Between {
    fn tunnel(self, protocol: String, may_be_tls: bool) -> Tunnel<()> {
        Tunnel {
            connection: self.connection,
            pipeline: self.pipeline,
            protocol,
            may_be_tls,
            held: (),
        }
    }
}

fn recorder<B>(request: &mut Request<B>) -> Option<Recorder> {
    let hop = request.extensions_mut().remove::<Hop>();
    hop.and_then(|hop| hop.recorder)
}

/// An upstream that is asked for another protocol, once.
#[derive(Debug)]
struct Ask {
    upstream: Arc<Upstream>,
    once: Option<(Wanted, Between)>,
}

impl Service<Request<CallBody>> for Ask {
    type Response = Response<UpstreamBody>;
    type Error = Error;
    type Future = BoxFuture<Result<Response<UpstreamBody>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<CallBody>) -> Self::Future {
        let (upstream, once) = (self.upstream.clone(), self.once.take());
        Box::pin(async move {
            let (wanted, between) = once.ok_or_else(asked_twice)?;
            let recorder = recorder(&mut request);
            let tunnel = |protocol| between.tunnel(protocol, false);
            wanted
                .ask(&upstream, &mut request, recorder.as_ref(), None, tunnel)
                .await
        })
    }
}

/// A host and a port that are connected to, once.
#[derive(Debug)]
struct Dial {
    pool: Pool,
    target: Target,
    once: Option<(OnUpgrade, Between)>,
}

impl Dial {
    fn dial(
        &mut self,
        recorder: Option<Recorder>,
    ) -> impl Future<Output = Result<Response<Full<Bytes>>, Error>> + use<> {
        let (pool, target, once) = (self.pool.clone(), self.target.clone(), self.once.take());
        async move {
            let (near, between) = once.ok_or_else(asked_twice)?;
            let far = pool.connect(&target, recorder.as_ref()).await?;
            let tunnel = between.tunnel(String::new(), true);
            let handover = tunnel.begin(near, far, recorder.as_ref());
            let mut response = Response::new(Full::default());
            response.extensions_mut().insert(handover);
            Ok(response)
        }
    }
}

impl Service<Request<CallBody>> for Dial {
    type Response = Response<Full<Bytes>>;
    type Error = Error;
    type Future = BoxFuture<Result<Response<Full<Bytes>>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<CallBody>) -> Self::Future {
        Box::pin(self.dial(recorder(&mut request)))
    }
}

/// Neither is ever called again.
fn asked_twice() -> Error {
    Error::new(Cause::Tunnel, "a tunnel is asked for once")
}

//! The future of a response: it hands its exchange on to the body, or ends it when it fails or is
//! dropped.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use crate::{
    ambient,
    body::{Traced, TracedBody},
    handover::Handover,
    phase::{Party, Phase},
    sink::Sink,
};

pin_project! {
    /// The response of a traced service.
    #[derive(Debug)]
    pub struct ResponseFuture<F, S: Sink> {
        #[pin]
        inner: F,
        traced: Option<Traced<S>>,
        to_head: bool,
    }

    impl<F, S: Sink> PinnedDrop for ResponseFuture<F, S> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(traced) = this.project().traced.take() {
                traced.abort(Party::Client, "cancelled");
            }
        }
    }
}

impl<F, S: Sink> ResponseFuture<F, S> {
    pub(crate) fn new(inner: F, traced: Traced<S>, to_head: bool) -> Self {
        Self {
            inner,
            traced: Some(traced),
            to_head,
        }
    }
}

impl<F, B, E, S> Future for ResponseFuture<F, S>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    S: Sink,
{
    type Output = Result<Response<TracedBody<B, S>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = {
            let _scope = this.traced.as_ref().map(|t| t.sink.enter(&t.context));
            ready!(this.inner.poll(cx))
        };
        let mut traced = this.traced.take();
        match result {
            Ok(mut response) => {
                let exchange = traced.as_mut().and_then(|traced| traced.exchange.as_mut());
                if let Some(exchange) = exchange {
                    // Usually the pool has noted it, and the clock need not be read.
                    if exchange.recorder().running() < Phase::Transfer {
                        exchange.recorder().responded(ambient::now());
                    }
                    exchange.responded(response.status(), response.headers());
                }
                if let Some(handover) = response.extensions_mut().remove::<Handover>()
                    && let Some(exchange) = traced.take().and_then(|traced| traced.exchange)
                {
                    handover.give(exchange);
                }
                let bodiless = *this.to_head
                    || matches!(
                        response.status(),
                        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
                    );
                Poll::Ready(Ok(
                    response.map(|body| TracedBody::new(body, traced, bodiless))
                ))
            }
            Err(error) => {
                if let Some(traced) = traced {
                    traced.abort(Party::Upstream, "_OTHER");
                }
                Poll::Ready(Err(error))
            }
        }
    }
}

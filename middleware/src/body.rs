//! A response body that ends its exchange when it ends itself.
//!
//! A span that ends with the response's headers misses what is often the larger part. This one ends
//! with the last frame or the trailers, or when the body is dropped before, and says which.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    ambient,
    context::TraceContext,
    exchange::Exchange,
    phase::{Party, Phase},
    sink::Sink,
    span::Kind,
};

pin_project! {
    /// A response body of an exchange that lasts as long as it does.
    #[derive(Debug)]
    pub struct TracedBody<B: Body, S: Sink> {
        #[pin]
        inner: B,
        traced: Option<Traced<S>>,
        // A response that has no body (to HEAD, say) is complete although nobody reads it.
        bodiless: bool,
    }

    impl<B: Body, S: Sink> PinnedDrop for TracedBody<B, S> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(traced) = this.traced.take() {
                if *this.bodiless || this.inner.is_end_stream() {
                    traced.complete();
                } else {
                    traced.abort(Party::Client, "cancelled");
                }
            }
        }
    }
}

/// An exchange on its way through futures and bodies, and what is needed to end it.
#[derive(Debug)]
pub(crate) struct Traced<S> {
    /// `None` when nothing is recorded: the context is current all the same.
    pub(crate) exchange: Option<Exchange>,
    pub(crate) context: TraceContext,
    pub(crate) kind: Kind,
    pub(crate) sink: S,
}

impl<S: Sink> Traced<S> {
    /// The response was read to its end. Step 8 of the way of a request.
    pub(crate) fn complete(self) {
        let Some(exchange) = self.exchange else {
            return;
        };
        let now = ambient::now();
        match self.kind {
            Kind::Server => {
                // What is left is to hand it to the caller's socket. After a failure that began when
                // the reply of our own did.
                if exchange.recorder().running() < Phase::Drain {
                    exchange.recorder().enter(Phase::Drain, now);
                }
                self.sink.drain(exchange);
            }
            Kind::Client => self.sink.offer(exchange.finish(now)),
        }
    }

    /// Something ended it before. What the connection noted about that, if it did, is more exact.
    pub(crate) fn abort(self, ended_by: Party, error_type: &str) {
        if let Some(exchange) = self.exchange {
            self.sink
                .offer(exchange.abort(ended_by, error_type, ambient::now()));
        }
    }
}

impl<B: Body, S: Sink> TracedBody<B, S> {
    pub(crate) fn new(inner: B, traced: Option<Traced<S>>, bodiless: bool) -> Self {
        Self {
            inner,
            traced,
            bodiless,
        }
    }
}

impl<B: Body, S: Sink> Body for TracedBody<B, S> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = {
            let _scope = this.traced.as_ref().map(|t| t.sink.enter(&t.context));
            ready!(this.inner.as_mut().poll_frame(cx))
        };
        match &frame {
            Some(Ok(frame)) => {
                let exchange = this
                    .traced
                    .as_mut()
                    .and_then(|traced| traced.exchange.as_mut());
                if let Some(exchange) = exchange {
                    if let Some(data) = frame.data_ref() {
                        exchange.response_body(data.remaining());
                    } else if let Some(trailers) = frame.trailers_ref() {
                        exchange.grpc_status(trailers);
                    }
                }
                if this.inner.is_end_stream()
                    && let Some(traced) = this.traced.take()
                {
                    traced.complete();
                }
            }
            Some(Err(_)) => {
                if let Some(traced) = this.traced.take() {
                    traced.abort(Party::Upstream, "body");
                }
            }
            None => {
                if let Some(traced) = this.traced.take() {
                    traced.complete();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

//! Bodies on their way through a connection: the request's, which tells when it is whole, and the
//! response's, which gives the connection back.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use throughline::{ambient, phase::Recorder};
use tokio::sync::OwnedSemaphorePermit;

use super::{Upstream, upstream::Kept, wire::Wire};

/// The body of a request to an upstream; it may be none at all.
#[derive(Debug)]
pub struct RequestBody<B> {
    inner: Option<B>,
    whole: Whole,
    /// Who is told how many bytes have passed.
    counted: Option<Recorder>,
}

/// Who is told that the request is whole.
#[derive(Debug)]
enum Whole {
    Nobody,
    /// The wire, which then sees the last byte go out.
    Wire(Arc<Wire>),
    /// The exchange, where many of them share a wire.
    Recorder(Recorder),
}

impl<B: Body> RequestBody<B> {
    /// This body.
    pub fn new(body: B) -> Self {
        Self {
            inner: (!body.is_end_stream()).then_some(body),
            whole: Whole::Nobody,
            counted: None,
        }
    }

    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            inner: None,
            whole: Whole::Nobody,
            counted: None,
        }
    }

    /// Tells `recorder` how many bytes pass, if there are any to come.
    pub(super) fn count(&mut self, recorder: &Recorder) {
        if self.inner.is_some() {
            self.counted = Some(recorder.clone());
        }
    }

    pub(super) fn over(&mut self, wire: &Arc<Wire>) {
        self.whole = Whole::Wire(wire.clone());
    }

    pub(super) fn noting(&mut self, recorder: &Recorder) {
        self.whole = Whole::Recorder(recorder.clone());
    }

    fn end(&mut self) {
        match std::mem::replace(&mut self.whole, Whole::Nobody) {
            Whole::Nobody => {}
            Whole::Wire(wire) => wire.request_is_whole(),
            Whole::Recorder(recorder) => recorder.sent(ambient::now()),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self { inner, counted, .. } = &mut *self;
        let Some(inner) = inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(&mut *inner).poll_frame(cx));
        if let (Some(Ok(frame)), Some(recorder)) = (&frame, counted)
            && let Some(data) = frame.data_ref()
        {
            recorder.request_body(data.len());
        }
        match &frame {
            // Not whole: hyper breaks the connection off, and the upstream sees it.
            Some(Err(_)) => {}
            Some(Ok(_)) if !inner.is_end_stream() => {}
            _ => self.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// The body of an upstream's response.
#[derive(Debug)]
pub struct ResponseBody<B> {
    inner: Incoming,
    returning: Option<Returning<B>>,
}

/// A connection on its way back to its upstream.
#[derive(Debug)]
pub(super) struct Returning<B> {
    upstream: Arc<Upstream<B>>,
    connection: Kept<B>,
    _permit: OwnedSemaphorePermit,
}

impl<B> Returning<B> {
    pub(super) fn new(
        upstream: Arc<Upstream<B>>,
        connection: Kept<B>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            upstream,
            connection,
            _permit: permit,
        }
    }

    fn give_back(self) {
        // A response may come before its request is whole; then the connection is still taken.
        if self.connection.wire.is_request_whole() {
            self.upstream.give_back(self.connection);
        }
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn http1(inner: Incoming, returning: Returning<B>) -> Self {
        let mut body = Self {
            inner,
            returning: Some(returning),
        };
        if body.inner.is_end_stream() {
            body.end();
        }
        body
    }

    pub(super) fn http2(inner: Incoming) -> Self {
        Self {
            inner,
            returning: None,
        }
    }

    fn end(&mut self) {
        if let Some(returning) = self.returning.take() {
            returning.give_back();
        }
    }
}

impl<B> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { inner, returning } = &mut *self;
        let frame = ready!(match returning {
            Some(returning) => returning.connection.sender.poll_body(cx, inner),
            None => Pin::new(inner).poll_frame(cx),
        });
        match &frame {
            // A broken connection is not given back: it goes with this body.
            Some(Err(_)) => self.returning = None,
            Some(Ok(_)) if !self.inner.is_end_stream() => {}
            _ => self.end(),
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

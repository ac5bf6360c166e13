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

use super::{
    Cause, Upstream,
    early::{Early, Gate},
    http2::Slot,
    kept::{Kept, Reading},
    limits::Limits,
    upstream::Kept as KeptConnection,
    wire::Wire,
};
use crate::{
    interim::Interim,
    pace::{Pace, Stopped},
};

/// The body of a request to an upstream; it may be none at all.
#[derive(Debug)]
pub struct RequestBody<B> {
    inner: Source<B>,
    whole: Whole,
    /// Who is told of interim responses to the request, body or none.
    caller: Option<Arc<Interim>>,
    /// Only few bodies have any. In a box: requests are moved, and most have no body.
    terms: Option<Box<Terms>>,
}

/// On which terms a body is sent.
#[derive(Debug, Default)]
struct Terms {
    /// It waits until its upstream wants it.
    gate: Option<Arc<Gate>>,
    /// Its caller is to send it in time.
    pace: Option<Arc<Pace>>,
    /// It has room on a shared connection.
    slot: Option<Slot>,
    /// Who is told how many bytes have passed.
    counted: Option<Recorder>,
}

/// Where a request's body comes from.
#[derive(Debug)]
enum Source<B> {
    Nothing,
    Caller(B),
    /// The caller too, but it can be read again. In a box: it is rare, and the larger.
    Kept(Box<Reading<B>>),
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

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<B: Body> RequestBody<B> {
    /// This body.
    pub fn new(body: B) -> Self {
        Self {
            inner: if body.is_end_stream() {
                Source::Nothing
            } else {
                Source::Caller(body)
            },
            whole: Whole::Nobody,
            caller: None,
            terms: None,
        }
    }

    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            inner: Source::Nothing,
            whole: Whole::Nobody,
            caller: None,
            terms: None,
        }
    }

    /// Tells `recorder` how many bytes pass, if there are any to come.
    pub(super) fn count(&mut self, recorder: &Recorder) {
        if !matches!(self.inner, Source::Nothing) {
            self.terms().counted = Some(recorder.clone());
        }
    }

    /// The body of a request whose caller is told of interim responses to it.
    #[must_use]
    pub(crate) fn of(mut self, caller: Option<Arc<Interim>>) -> Self {
        self.caller = caller;
        self
    }

    /// Waits at `gate`; and returns who is told of interim responses.
    pub(super) fn behind(&mut self, gate: Option<Arc<Gate>>) -> Early {
        if self.terms.is_some() || gate.is_some() {
            self.terms().gate.clone_from(&gate);
        }
        Early {
            caller: self.caller.clone(),
            gate,
        }
    }

    /// Makes of it one that can be read again, if it is at most `room` bytes long; `None` if it is
    /// empty, and can be in any case.
    pub(crate) fn keep(&mut self, room: usize) -> Option<Kept<B>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match std::mem::replace(&mut self.inner, Source::Nothing) {
            Source::Caller(body) => {
                let kept = Kept::new(body, room);
                self.inner = Source::Kept(Box::new(kept.again()));
                Some(kept)
            }
            other => {
                self.inner = other;
                None
            }
        }
    }

    /// What was kept, from its beginning.
    pub(crate) fn again(kept: Option<&Kept<B>>) -> Self
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut body = Self::empty();
        if let Some(kept) = kept {
            body.inner = Source::Kept(Box::new(kept.again()));
        }
        body
    }

    pub(super) fn over(&mut self, wire: &Arc<Wire>) {
        self.whole = Whole::Wire(wire.clone());
    }

    pub(super) fn noting(&mut self, recorder: &Recorder) {
        self.whole = Whole::Recorder(recorder.clone());
    }

    pub(super) fn at(&mut self, pace: Arc<Pace>) {
        self.terms().pace = Some(pace);
    }

    /// Takes room on a shared connection for as long as this lasts.
    pub(super) fn within(&mut self, slot: &Slot) {
        if !matches!(self.inner, Source::Nothing) {
            self.terms().slot = Some(slot.clone());
        }
    }

    fn terms(&mut self) -> &mut Terms {
        self.terms.get_or_insert_default()
    }

    fn end(&mut self) {
        match std::mem::replace(&mut self.whole, Whole::Nobody) {
            Whole::Nobody => {}
            Whole::Wire(wire) => wire.request_is_whole(),
            Whole::Recorder(recorder) => recorder.sent(ambient::now()),
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { inner, terms, .. } = &mut *self;
        let (pace, counted) = match terms {
            None => (None, None),
            Some(terms) => {
                if let Some(gate) = &terms.gate {
                    ready!(gate.poll_open(cx));
                }
                (terms.pace.as_ref(), terms.counted.as_ref())
            }
        };
        let (polled, is_end) = match inner {
            Source::Nothing => return Poll::Ready(None),
            Source::Caller(body) => {
                let polled = Pin::new(&mut *body).poll_frame(cx);
                let polled = polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)));
                (polled, body.is_end_stream())
            }
            Source::Kept(body) => {
                let polled = Pin::new(&mut **body).poll_frame(cx);
                (polled, body.is_end_stream())
            }
        };
        if let Some(pace) = pace {
            match &polled {
                Poll::Ready(_) => pace.came(),
                Poll::Pending if pace.is_over() => return Poll::Ready(Some(Err(Stopped.into()))),
                Poll::Pending => pace.waits(cx.waker()),
            }
        }
        let frame = ready!(polled);
        if let (Some(Ok(frame)), Some(recorder)) = (&frame, counted)
            && let Some(data) = frame.data_ref()
        {
            recorder.request_body(data.len());
        }
        match &frame {
            // Not whole: hyper breaks the connection off, and the upstream sees it.
            Some(Err(_)) => {}
            Some(Ok(_)) if !is_end => {}
            _ => self.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Source::Nothing => true,
            Source::Caller(body) => body.is_end_stream(),
            Source::Kept(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Source::Nothing => SizeHint::with_exact(0),
            Source::Caller(body) => body.size_hint(),
            Source::Kept(body) => body.size_hint(),
        }
    }
}

/// The body of an upstream's response.
#[derive(Debug)]
pub struct ResponseBody<B> {
    inner: Incoming,
    returning: Option<Returning<B>>,
    /// Its room on a shared connection.
    slot: Option<Slot>,
    /// In a box: most have none.
    limits: Option<Box<Limits>>,
}

/// Why a response's body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Its upstream or its connection did.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// It took too long.
    #[error("the answer was cut: {}", .0.error_type())]
    Expired(Cause),
}

/// A connection on its way back to its upstream.
#[derive(Debug)]
pub(super) struct Returning<B> {
    upstream: Arc<Upstream<B>>,
    connection: KeptConnection<B>,
}

impl<B> Returning<B> {
    pub(super) fn new(upstream: Arc<Upstream<B>>, connection: KeptConnection<B>) -> Self {
        Self {
            upstream,
            connection,
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
            slot: None,
            limits: None,
        };
        if body.inner.is_end_stream() {
            body.end();
        }
        body
    }

    /// The body of an answer whose connection is not given back, and in HTTP/2 has a slot on it.
    pub(super) fn shared(inner: Incoming, slot: Option<Slot>) -> Self {
        let slot = slot.filter(|_| !inner.is_end_stream());
        Self {
            inner,
            returning: None,
            slot,
            limits: None,
        }
    }

    /// Cuts it when it has taken too long, and holds its place until then.
    pub(super) fn limit(&mut self, limits: Box<Limits>) {
        if !self.inner.is_end_stream() {
            self.limits = Some(limits);
        }
    }

    fn end(&mut self) {
        self.slot = None;
        self.limits = None;
        if let Some(returning) = self.returning.take() {
            returning.give_back();
        }
    }
}

impl<B> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self {
            inner,
            returning,
            limits,
            ..
        } = &mut *self;
        let polled = match returning {
            Some(returning) => returning.connection.sender.poll_body(cx, inner),
            None => Pin::new(inner).poll_frame(cx),
        };
        if let Some(limits) = limits
            && let Some(expired) = limits.poll(cx, polled.is_ready())
        {
            // What is left of it is not waited for: the connection goes with it.
            (self.returning, self.limits, self.slot) = (None, None, None);
            return Poll::Ready(Some(Err(BodyError::Expired(expired))));
        }
        let frame = ready!(polled);
        match &frame {
            // A broken connection is not given back: it goes with this body.
            Some(Err(_)) => (self.returning, self.limits, self.slot) = (None, None, None),
            Some(Ok(_)) if !self.inner.is_end_stream() => {}
            _ => self.end(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

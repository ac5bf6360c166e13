//! A body whose first bytes are looked at, and that goes on as it came.
//!
//! In front of the app they are looked at [as they pass](Glimpsed::watched). Behind it nothing may be
//! waited for, so that only what has come together with the head is [looked at](Glimpsed::peek): the
//! body is asked once, and a frame that was there is kept for whoever sends the request on.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::values::Extent;

/// Who is shown the beginning of a body, once.
pub type Witness = Box<dyn FnOnce(&[u8], Extent) + Send>;

/// A body that can be looked at.
pub struct Glimpsed<B: Body> {
    inner: B,
    /// Of most bodies there is nothing to see.
    view: Option<Box<View<B>>>,
}

enum View<B: Body> {
    /// What has been taken from the body and not been handed on.
    Kept(Polled<B>),
    /// Somebody waits for this many bytes.
    Watched(Watch),
}

type Polled<B> = Option<Result<Frame<Bytes>, <B as Body>::Error>>;

struct Watch {
    length: usize,
    /// What has passed, where it did not come in one piece.
    passed: Vec<u8>,
    witness: Witness,
}

impl<B: Body<Data = Bytes> + Unpin> Glimpsed<B> {
    /// A body that nobody looks at.
    pub fn new(inner: B) -> Self {
        Self { inner, view: None }
    }

    /// A body of which `witness` is shown the first `length` bytes as soon as they have passed, or
    /// fewer if it ends before. It is not called for a body that is dropped before it has ended.
    pub fn watched(inner: B, length: usize, witness: Witness) -> Self {
        let watch = Watch {
            length,
            passed: Vec::new(),
            witness,
        };
        Self {
            inner,
            view: Some(Box::new(View::Watched(watch))),
        }
    }

    /// The bytes that have come already, without waiting for any. They stay in the body.
    pub fn peek(&mut self) -> Option<&[u8]> {
        if self.view.is_none() {
            // Whoever reads the body next is woken: the last to ask is.
            let mut cx = Context::from_waker(Waker::noop());
            let Poll::Ready(polled) = Pin::new(&mut self.inner).poll_frame(&mut cx) else {
                return None;
            };
            self.view = Some(Box::new(View::Kept(polled)));
        }
        match self.view.as_deref()? {
            View::Kept(Some(Ok(frame))) => frame.data_ref().map(|data| &data[..]),
            View::Kept(_) | View::Watched(_) => None,
        }
    }

    /// Shows what passes to whoever watches.
    fn show(&mut self, polled: &Polled<B>) {
        let Some(View::Watched(watch)) = self.view.as_deref_mut() else {
            return;
        };
        let data = match polled {
            None => &[][..],
            Some(Ok(frame)) => frame.data_ref().map_or(&[][..], |data| &data[..]),
            Some(Err(_)) => return,
        };
        let has_ended = polled.is_none() || self.inner.is_end_stream();
        if watch.passed.len() + data.len() < watch.length && !has_ended {
            watch.passed.extend_from_slice(data);
            return;
        }
        let Some(View::Watched(watch)) = self.view.take().map(|view| *view) else {
            return;
        };
        watch.end(data);
    }
}

impl Watch {
    fn end(mut self, data: &[u8]) {
        let data = &data[..data.len().min(self.length - self.passed.len())];
        let all = if self.passed.is_empty() {
            data
        } else {
            self.passed.extend_from_slice(data);
            &self.passed
        };
        (self.witness)(all, Extent::of(all, self.length));
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Glimpsed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        if let Some(View::Kept(_)) = this.view.as_deref()
            && let Some(View::Kept(polled)) = this.view.take().map(|view| *view)
        {
            return Poll::Ready(polled);
        }
        let polled = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if this.view.is_some() {
            this.show(&polled);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match self.view.as_deref() {
            Some(View::Kept(polled)) => polled.is_none(),
            _ => self.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.inner.size_hint();
        let Some(View::Kept(Some(Ok(frame)))) = self.view.as_deref() else {
            return hint;
        };
        let kept = frame.data_ref().map_or(0, |data| data.len() as u64);
        let mut all = SizeHint::new();
        if let Some(upper) = hint.upper() {
            all.set_upper(upper.saturating_add(kept));
        }
        all.set_lower(hint.lower().saturating_add(kept));
        all
    }
}

impl<B: Body + fmt::Debug> fmt::Debug for Glimpsed<B> {
    /// Without what is in it: that may be anybody's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = match self.view.as_deref() {
            None => "nobody looks",
            Some(View::Kept(_)) => "a frame is kept",
            Some(View::Watched(_)) => "watched",
        };
        let mut debug = f.debug_struct("Glimpsed");
        debug.field("inner", &self.inner).field("view", &view);
        debug.finish()
    }
}

#[cfg(test)]
#[path = "glimpse/tests.rs"]
mod tests;

//! A body that holds something until it ends.
//!
//! Dropped at its last frame, or when it is dropped itself: an exchange stays open in the window,
//! and a connection busy, exactly that long.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// `B`, and a `G` that is dropped when `B` has ended.
    #[derive(Debug)]
    pub struct Holding<B, G> {
        #[pin]
        inner: B,
        held: Option<G>,
        // It has no bytes, and has to look as if there were some.
        is_silent: bool,
    }
}

impl<B: Body, G> Holding<B, G> {
    /// Holds `held` until `inner` has ended; not at all if it has already.
    pub fn new(inner: B, held: G) -> Self {
        let held = (!inner.is_end_stream()).then_some(held);
        Self {
            inner,
            held,
            is_silent: false,
        }
    }

    /// The body of an answer that has none and says how long it would be. hyper takes the length away from
    /// what has visibly ended; and of what has not it writes nothing, where nothing may be.
    pub fn silent(inner: B, held: G) -> Self {
        Self {
            inner,
            held: Some(held),
            is_silent: true,
        }
    }
}

impl<B: Body, G> Body for Holding<B, G> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || this.inner.is_end_stream() {
            *this.held = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        !self.is_silent && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_silent {
            return SizeHint::default();
        }
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use bytes::Bytes;
    use http_body_util::{BodyExt, Empty, Full};

    #[tokio::test]
    async fn what_is_held_goes_with_the_last_frame() {
        let held = Arc::new(());
        let mut body = Holding::new(Full::new(Bytes::from("x")), held.clone());
        assert_eq!(Arc::strong_count(&held), 2);
        body.frame().await.unwrap().unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn a_silent_body_does_not_show_that_it_has_ended() {
        let held = Arc::new(());
        let silent = Holding::silent(Empty::<Bytes>::new(), held.clone());
        assert!(!silent.is_end_stream() && silent.size_hint().exact().is_none());
        drop(silent);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn nothing_is_held_for_an_empty_body_or_after_a_drop() {
        let held = Arc::new(());
        let _empty = Holding::new(Empty::<Bytes>::new(), held.clone());
        assert_eq!(Arc::strong_count(&held), 1);
        drop(Holding::new(Full::new(Bytes::from("x")), held.clone()));
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

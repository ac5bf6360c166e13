//! A request body that can be sent again.
//!
//! What is read of it is kept as it passes, up to a bound, and nothing waits for that. An attempt that
//! fails leaves the rest where it is: the next one reads what is kept, and then goes on. Of a body that
//! is longer than the bound nothing is kept any more; it passes as any other, and cannot be sent again.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body, and what was read of it.
#[derive(Debug)]
pub struct Kept<B>(Arc<Mutex<State<B>>>);

#[derive(Debug)]
struct State<B> {
    /// What is still to come; `None` once all of it has.
    live: Option<B>,
    pieces: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// How many bytes may still be kept.
    room: usize,
    /// Something that was read is gone.
    is_lost: bool,
    /// Which attempt may read.
    attempt: u32,
    length: Option<u64>,
}

/// The body as one attempt reads it.
#[derive(Debug)]
pub(super) struct Reading<B> {
    kept: Arc<Mutex<State<B>>>,
    attempt: u32,
    /// How many of the pieces were read.
    read: usize,
    passed: u64,
    is_over: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Kept<B> {
    /// Keeps at most `room` bytes of `body`.
    pub(super) fn new(body: B, room: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            length: body.size_hint().exact(),
            live: (!body.is_end_stream()).then_some(body),
            pieces: Vec::new(),
            trailers: None,
            room,
            is_lost: false,
            attempt: 0,
        })))
    }

    /// Whether all that was read is there to be read again.
    pub(crate) fn is_whole(&self) -> bool {
        !lock(&self.0).is_lost
    }

    /// The body from its beginning, for the next attempt; the one before gets no more of it.
    pub(super) fn again(&self) -> Reading<B> {
        let mut state = lock(&self.0);
        state.attempt += 1;
        Reading {
            kept: self.0.clone(),
            attempt: state.attempt,
            read: 0,
            passed: 0,
            is_over: state.live.is_none() && state.pieces.is_empty() && state.trailers.is_none(),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> State<B>
where
    B::Error: Into<BoxError>,
{
    fn poll_live(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(live) = &mut self.live else {
            return Poll::Ready(None);
        };
        let frame = match ready!(Pin::new(&mut *live).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                // The caller broke off: there is no whole request to send again.
                self.lose();
                return Poll::Ready(Some(Err(error.into())));
            }
            None => {
                self.live = None;
                return Poll::Ready(None);
            }
        };
        if live.is_end_stream() {
            self.live = None;
        }
        if let Some(data) = frame.data_ref() {
            match self.room.checked_sub(data.len()) {
                Some(room) if !self.is_lost => {
                    self.room = room;
                    self.pieces.push(data.clone());
                }
                _ => self.lose(),
            }
        } else {
            self.trailers = frame.trailers_ref().cloned();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn lose(&mut self) {
        self.is_lost = true;
        self.pieces = Vec::new();
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Reading<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let mut state = lock(&this.kept);
        if state.attempt != this.attempt {
            // Not the end: an upstream that still reads must not take it for a whole request.
            return Poll::Ready(Some(Err("the request is tried elsewhere".into())));
        }
        let frame = match state.pieces.get(this.read) {
            Some(piece) => Frame::data(piece.clone()),
            None if state.live.is_some() => match ready!(state.poll_live(cx)) {
                Some(Ok(frame)) => frame,
                other => {
                    this.is_over = other.is_none();
                    return Poll::Ready(other);
                }
            },
            None if this.is_over => return Poll::Ready(None),
            None => match state.trailers.clone() {
                Some(trailers) => Frame::trailers(trailers),
                None => return Poll::Ready(None),
            },
        };
        match frame.data_ref() {
            Some(data) => {
                this.passed += data.len() as u64;
                this.read += 1;
                let has_more = this.read < state.pieces.len() || state.live.is_some();
                this.is_over = !has_more && state.trailers.is_none();
            }
            None => this.is_over = true,
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }

    fn size_hint(&self) -> SizeHint {
        match lock(&self.kept).length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.passed)),
            None => SizeHint::default(),
        }
    }
}

fn lock<B>(state: &Mutex<State<B>>) -> MutexGuard<'_, State<B>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};
    use tokio::sync::mpsc;

    /// A body that comes piece by piece, and may break off.
    #[derive(Debug)]
    struct Pieces(mpsc::UnboundedReceiver<Result<Frame<Bytes>, &'static str>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            self.0.poll_recv(cx)
        }
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
        Ok(Frame::data(Bytes::from(text)))
    }

    #[tokio::test]
    async fn a_body_is_read_from_its_beginning_each_time() {
        let kept = Kept::new(Full::new(Bytes::from("abc")), 3);
        for _ in 0..3 {
            let reading = kept.again();
            assert_eq!(reading.size_hint().exact(), Some(3));
            assert!(!reading.is_end_stream());
            assert_eq!(reading.collect().await.unwrap().to_bytes(), "abc");
            assert!(kept.is_whole());
        }
        let empty = Kept::new(Full::new(Bytes::new()), 3);
        assert!(empty.again().is_end_stream());
    }

    #[tokio::test]
    async fn an_attempt_goes_on_where_the_one_before_was_left_and_that_gets_no_more() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let kept = Kept::new(Pieces(receiver), 16);
        let mut first = kept.again();
        sender.send(data("ab")).unwrap();
        let read = first.frame().await.unwrap().unwrap();
        assert_eq!(read.into_data().unwrap(), "ab");
        let second = kept.again();
        assert!(
            first.frame().await.unwrap().is_err(),
            "an end would look whole"
        );
        let mut trailers = HeaderMap::new();
        trailers.insert("sum", "5".parse().unwrap());
        sender.send(data("cd")).unwrap();
        sender.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
        drop(sender);
        let mut reading = second;
        for _ in 0..2 {
            let all = reading.collect().await.unwrap();
            assert_eq!(all.trailers(), Some(&trailers));
            assert_eq!(all.to_bytes(), "abcd");
            reading = kept.again();
        }
    }

    #[tokio::test]
    async fn what_is_too_long_passes_and_is_not_kept() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let kept = Kept::new(Pieces(receiver), 3);
        for piece in ["ab", "cd", "ef"] {
            sender.send(data(piece)).unwrap();
        }
        drop(sender);
        assert_eq!(kept.again().collect().await.unwrap().to_bytes(), "abcdef");
        assert!(!kept.is_whole());
    }

    #[tokio::test]
    async fn what_breaks_off_is_not_whole() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let kept = Kept::new(Pieces(receiver), 16);
        sender.send(data("ab")).unwrap();
        sender.send(Err("gone")).unwrap();
        assert!(kept.again().collect().await.is_err());
        assert!(!kept.is_whole());
    }
}

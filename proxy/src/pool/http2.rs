//! HTTP/2 connections: shared, each by as many requests as its upstream takes at a time.
//!
//! hyper makes two tasks of a connection. One hands requests over, the other reads and writes; and
//! where an upstream answers and says GOAWAY in one breath, the first may learn of the end before it
//! has let go of the request that was answered, and the answer is lost. So here both are one task, and
//! what is to be handed over comes first.
//!
//! hyper also takes any number of requests, and those beyond what the upstream allows wait in it for
//! ever. So they are counted here, and whoever finds no [`Slot`] goes to another connection, or waits
//! for a slot as long as it may.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Body;
use hyper::{client::conn::http2, rt::Executor};
use hyper_util::rt::TokioIo;
use tokio::sync::Notify;

use super::{Error, RequestBody, dial::Transport, wire::Wire};
use crate::watched::Watched;

/// How many requests are sent before the upstream has said how many it takes. It is what hyper and
/// h2 assume, and the least that RFC 9113 recommends to allow.
const UNTIL_SAID: usize = 100;

/// A connection that many requests share.
#[derive(Debug)]
pub(super) struct Http2<B> {
    sender: http2::SendRequest<RequestBody<B>>,
    line: Arc<Line>,
}

/// What is known of a connection by whoever wants to use it.
#[derive(Debug)]
struct Line {
    /// How many requests have a slot.
    open: AtomicUsize,
    /// How many may.
    limit: AtomicUsize,
    /// Told when there is room where there was none.
    room: Arc<Notify>,
}

impl<B> Http2<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// HTTP/2 on `transport`, which tells `wire` what passes; `room` is told when there is some.
    pub(super) async fn begin(
        transport: Transport,
        wire: Arc<Wire>,
        room: Arc<Notify>,
    ) -> Result<Self, Error> {
        let io = TokioIo::new(Watched::new(transport, wire));
        let spawner = Spawner::default();
        let (sender, requests) = http2::Builder::new(spawner.clone())
            .adaptive_window(true)
            .initial_max_send_streams(UNTIL_SAID)
            .handshake(io)
            .await
            .map_err(|e| Error::exchange(&e))?;
        let line = Arc::new(Line {
            open: AtomicUsize::new(0),
            limit: AtomicUsize::new(UNTIL_SAID),
            room,
        });
        tokio::spawn(Driven {
            requests: Some(requests),
            limit: http2::Connection::current_max_send_streams,
            frames: spawner.first(),
            line: line.clone(),
        });
        Ok(Self { sender, line })
    }
}

impl<B> Http2<B> {
    /// Whether it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// How many requests have a slot.
    pub(super) fn open(&self) -> usize {
        self.line.open.load(Ordering::Acquire)
    }

    /// Whether its upstream takes none at all: it would take none on another connection either.
    pub(super) fn is_shut(&self) -> bool {
        self.line.limit.load(Ordering::Acquire) == 0
    }

    /// What sends a request, and the slot that it has until it and its answer have ended; `None` if the
    /// upstream takes no more at a time. Nobody else may be asking.
    pub(super) fn slot(&self) -> Option<(http2::SendRequest<RequestBody<B>>, Slot)> {
        let line = &self.line;
        if line.open.load(Ordering::Acquire) >= line.limit.load(Ordering::Acquire) {
            return None;
        }
        line.open.fetch_add(1, Ordering::AcqRel);
        Some((self.sender.clone(), Slot(Arc::new(Taken(line.clone())))))
    }

    /// Whether `slot` is one of its own.
    pub(super) fn is_of(&self, slot: &Slot) -> bool {
        Arc::ptr_eq(&self.line, &slot.0.0)
    }
}

/// One of the requests that a connection may carry at a time. It is free again when the last clone is
/// gone: the request has one, and its answer.
#[derive(Clone, Debug)]
pub(super) struct Slot(Arc<Taken>);

#[derive(Debug)]
struct Taken(Arc<Line>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.room.notify_one();
    }
}

/// Whether `error` says that nothing was done of the request (RFC 9113 section 8.7): its stream was
/// refused, or was not among those that a GOAWAY says may have been begun.
pub(super) fn is_refusal(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (is_refused || error.is_go_away());
        }
        source = error.source();
    }
    false
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Keeps the first task that it is given, which is the one that reads and writes, and spawns the rest.
#[derive(Clone, Default)]
struct Spawner(Arc<Mutex<First>>);

#[derive(Default)]
enum First {
    #[default]
    None,
    Kept(Task),
    Gone,
}

impl Spawner {
    fn first(&self) -> Option<Task> {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *first, First::Gone) {
            First::Kept(task) => Some(task),
            First::None | First::Gone => None,
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*first, First::None) {
            *first = First::Kept(Box::pin(task));
            return;
        }
        drop(first);
        tokio::spawn(task);
    }
}

/// Both halves of a connection.
struct Driven<R> {
    /// What hands requests over; `None` once it takes no more.
    requests: Option<R>,
    /// How many it may hand over at a time.
    limit: fn(&R) -> usize,
    /// What reads and writes.
    frames: Option<Task>,
    line: Arc<Line>,
}

impl<R: Future<Output = hyper::Result<()>> + Unpin> Future for Driven<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if let Some(requests) = &mut this.requests
            && let Poll::Ready(ended) = Pin::new(requests).poll(cx)
        {
            if let Err(error) = ended {
                tracing::debug!(%error, "an upstream connection ended");
            }
            this.requests = None;
            this.line.room.notify_waiters();
        }
        if let Some(frames) = &mut this.frames
            && frames.as_mut().poll(cx).is_ready()
        {
            this.frames = None;
        }
        if let Some(requests) = &this.requests {
            let limit = (this.limit)(requests);
            if this.line.limit.swap(limit, Ordering::AcqRel) != limit {
                this.line.room.notify_waiters();
            }
        }
        match (&this.requests, &this.frames) {
            (None, None) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl<R> fmt::Debug for Driven<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driven")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

//! An HTTP/1 connection, which is driven by whoever uses it.
//!
//! hyper splits a connection into one half that takes requests and one that reads and writes, for a
//! task of its own. Two tasks would have to wake each other several times for each request, and poll
//! all that they hold each time. So the request's own future polls both halves, and then the
//! response's body does; a [`Bell`] tells whether there is anything for the second half to do. An
//! idle connection is polled by nobody: its bell rings when the other side closes it.
//!
//! Only what somebody waits for can be driven so. A request that is still being uploaded when its
//! response begins goes on whether or not the response is read: then the connection is a task.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::task::coop;

use super::{Error, RequestBody, dial::Transport, wire::Wire};
use crate::{bell::Bell, watched::Watched};

/// The most fields of an answer. Callers are allowed as many, see [`crate::listen`].
pub(super) const MAX_FIELDS: usize = 128;

/// What a request comes to. The error is in a box: it has room for the request, and is rare.
pub(super) type Answer<R> = Result<Response<Incoming>, Box<TrySendError<R>>>;

/// Both halves of a connection.
#[derive(Debug)]
pub(super) struct Http1<B> {
    sender: http1::SendRequest<RequestBody<B>>,
    driver: Driver,
}

impl<B> Http1<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// HTTP/1 on `transport`, which tells `wire` what passes.
    pub(super) async fn open(transport: Transport, wire: Arc<Wire>) -> Result<Self, Error> {
        let io = TokioIo::new(Watched::new(transport, wire));
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_FIELDS)
            .handshake(io)
            .await
            .map_err(|e| Error::exchange(&e))?;
        Ok(Self {
            sender,
            driver: Driver::new(connection.with_upgrades()),
        })
    }

    /// Sends a request and waits for the response's headers.
    pub(super) fn exchange(
        &mut self,
        request: Request<RequestBody<B>>,
    ) -> impl Future<Output = Answer<Request<RequestBody<B>>>> {
        Exchange {
            answer: self.sender.try_send_request(request),
            driver: &mut self.driver,
        }
    }
}

impl<B> Http1<B> {
    /// What comes and goes behind an answer that agreed on another protocol, with what was read of it
    /// already. The connection ends by that.
    pub(super) async fn switched<T>(mut self, answer: &mut Response<T>) -> Result<Upgraded, Error> {
        let mut stream = hyper::upgrade::on(answer);
        let driver = &mut self.driver;
        poll_fn(|cx| driver.poll(cx, |cx| Pin::new(&mut stream).poll(cx)))
            .await
            .map_err(|e| Error::exchange(&e))
    }

    /// What is next of a response's body.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Usually it came together with the headers.
        let mut here = Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(&mut here) {
            return Poll::Ready(frame);
        }
        self.driver
            .poll(cx, |cx| Pin::new(&mut *body).poll_frame(cx))
    }

    /// Whether it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether it takes a request now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until it takes a request; false if it takes none any more.
    pub(super) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Learns what happened since it was last polled, and ends what is left to do in a task: after
    /// this it is closed, or ready, or becomes one of them by itself.
    pub(super) fn settle(&mut self) {
        self.driver.attend();
        if !self.sender.is_ready() && !self.sender.is_closed() {
            self.driver.go_alone();
        }
    }

    /// Leaves it until the next request.
    pub(super) fn rest(&mut self) {
        if self.sender.is_ready() {
            // hyper's body rings for whoever fills it when its last piece is taken, although nobody
            // does any more: hyper is through with the answer. If the other side hung up in this very
            // moment too, the next request or the next sweep finds that out.
            self.driver.bell.hush();
        } else {
            self.settle();
        }
    }

    /// Looks after it whether or not its bell was rung.
    pub(super) fn look(&mut self) {
        drive(&mut self.driver.connection, &mut self.driver.bell.hush());
    }

    /// Makes a task of it, for what must go on although nobody waits for it.
    pub(super) fn go_alone(&mut self) {
        self.driver.go_alone();
    }

    /// Has `waker` told when something happens to it; false if something has.
    pub(super) fn watch(&self, waker: &Waker) -> bool {
        self.driver.bell.wait(waker)
    }
}

pin_project! {
    /// A request on its way, and the connection that carries it.
    struct Exchange<'c, F> {
        #[pin]
        answer: F,
        driver: &'c mut Driver,
    }
}

impl<F, R> Future for Exchange<'_, F>
where
    F: Future<Output = Result<Response<Incoming>, TrySendError<R>>>,
{
    type Output = Answer<R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer<R>> {
        let mut this = self.project();
        this.driver
            .poll(cx, |cx| this.answer.as_mut().poll(cx).map_err(Box::new))
    }
}

/// The half that reads and writes.
struct Driver {
    /// `None` once it has ended, or is a task.
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    bell: Bell,
}

impl Driver {
    fn new(connection: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Self {
        Self {
            connection: Some(Box::pin(connection)),
            bell: Bell::new(),
        }
    }

    /// Polls the connection, if there is anything to do for it, and then `outcome`, which nothing
    /// else can bring about.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut outcome: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { connection, bell } = self;
        let polled = bell.poll(cx, |rung| {
            drive(connection, rung);
            // It is asked again after every turn of the connection, and needs no waker. But a task
            // whose turn is over is refused everything, and has to come again.
            let polled = outcome(&mut Context::from_waker(Waker::noop()));
            if polled.is_pending() && !coop::has_budget_remaining() {
                rung.waker().wake_by_ref();
            }
            polled
        });
        if polled.is_pending() && self.connection.is_none() {
            return outcome(cx);
        }
        polled
    }

    /// Polls the connection if its bell rang while nobody was there.
    fn attend(&mut self) {
        self.bell.attend();
        if let Some(mut rung) = self.bell.answer() {
            drive(&mut self.connection, &mut rung);
        }
    }

    fn go_alone(&mut self) {
        if let Some(connection) = self.connection.take() {
            tokio::spawn(async move { report(connection.await) });
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("is_ours", &self.connection.is_some())
            .field("bell", &self.bell)
            .finish()
    }
}

fn drive(
    connection: &mut Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    cx: &mut Context<'_>,
) {
    if let Some(running) = connection
        && let Poll::Ready(result) = running.as_mut().poll(cx)
    {
        *connection = None;
        report(result);
    }
}

fn report(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "an upstream connection ended");
    }
}

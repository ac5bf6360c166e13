//! The bytes of a caller's connection as they pass, told to its [`Connection`].

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Connection;

pin_project! {
    /// A transport whose first bytes were read already, and that tells what passes.
    #[derive(Debug)]
    pub(super) struct Watched<T> {
        #[pin]
        transport: T,
        again: Bytes,
        connection: Arc<Connection>,
    }

    impl<T> PinnedDrop for Watched<T> {
        fn drop(this: Pin<&mut Self>) {
            this.project().connection.closed();
        }
    }
}

impl<T> Watched<T> {
    pub(super) fn new(transport: T, again: Bytes, connection: Arc<Connection>) -> Self {
        Self {
            transport,
            again,
            connection,
        }
    }
}

impl<T: AsyncRead> AsyncRead for Watched<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        if this.again.has_remaining() {
            // Its arrival was noted when it was read for the first time.
            let take = this.again.len().min(buf.remaining());
            buf.put_slice(&this.again.split_to(take));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = ready!(this.transport.poll_read(cx, buf));
        if buf.filled().len() > before {
            this.connection.read();
        }
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite> AsyncWrite for Watched<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = ready!(this.transport.poll_write(cx, bytes));
        this.connection.wrote();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = ready!(this.transport.poll_write_vectored(cx, bytes));
        this.connection.wrote();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let flushed = ready!(this.transport.poll_flush(cx));
        if flushed.is_ok() {
            this.connection.flushed();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().transport.poll_shutdown(cx)
    }
}

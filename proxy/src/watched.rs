//! A transport that tells what passes.
//!
//! hyper speaks HTTP and keeps the bytes to itself. What the breakdown needs is underneath: when
//! bytes came, when they were written, and when the socket had taken all of them.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::interim::Interim;

/// Whoever is told.
pub(crate) trait Watch {
    /// These bytes came.
    fn read(&self, bytes: &[u8]);

    /// Nothing more will come.
    fn ended(&self) {}

    /// These bytes are to be written; what is not taken of them comes again.
    fn writes(&self, _: &[IoSlice<'_>]) {}

    /// Some of what was to be written was taken.
    fn wrote(&self);

    /// All of it was.
    fn flushed(&self);

    /// The transport is gone.
    fn closed(&self) {}

    /// Whether it has heard enough: from here on every read fails.
    fn has_enough(&self) -> bool {
        false
    }

    /// What is to be written besides.
    fn interim(&self) -> Option<&Interim> {
        None
    }
}

pin_project! {
    /// A transport that tells its `W`.
    #[derive(Debug)]
    pub(crate) struct Watched<T, W: Watch> {
        #[pin]
        transport: T,
        // What was read before, to be read again; its arrival is known already.
        again: Bytes,
        watch: Arc<W>,
    }

    impl<T, W: Watch> PinnedDrop for Watched<T, W> {
        fn drop(this: Pin<&mut Self>) {
            this.project().watch.closed();
        }
    }
}

impl<T, W: Watch> Watched<T, W> {
    pub(crate) fn new(transport: T, watch: Arc<W>) -> Self {
        Self::reading_again(transport, Bytes::new(), watch)
    }

    /// A transport whose first bytes were read to find out what they are.
    pub(crate) fn reading_again(transport: T, again: Bytes, watch: Arc<W>) -> Self {
        Self {
            transport,
            again,
            watch,
        }
    }
}

impl<T: AsyncRead, W: Watch> AsyncRead for Watched<T, W> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        if this.again.has_remaining() {
            let take = this.again.len().min(buf.remaining());
            buf.put_slice(&this.again.split_to(take));
            return Poll::Ready(Ok(()));
        }
        if this.watch.interim().is_some_and(Interim::is_deaf) {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let result = ready!(this.transport.poll_read(cx, buf));
        match &buf.filled()[before..] {
            [] => this.watch.ended(),
            bytes => {
                this.watch.read(bytes);
                if this.watch.has_enough() {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
            }
        }
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite, W: Watch> AsyncWrite for Watched<T, W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut this = self.project();
        let interim = this.watch.interim();
        if let Some(interim) = interim {
            ready!(interim.poll_say(this.transport.as_mut(), cx))?;
        }
        this.watch.writes(bytes);
        let written = match bytes {
            // Most requests are a head alone, and to the kernel `send` is less work than `writev`.
            [all] => this.transport.poll_write(cx, all),
            _ => this.transport.poll_write_vectored(cx, bytes),
        };
        match (&written, interim) {
            (Poll::Ready(_), _) => this.watch.wrote(),
            (Poll::Pending, Some(interim)) => interim.stuck(),
            (Poll::Pending, None) => {}
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut this = self.project();
        let interim = this.watch.interim();
        if let Some(interim) = interim {
            ready!(interim.poll_say(this.transport.as_mut(), cx))?;
        }
        let flushed = ready!(this.transport.poll_flush(cx));
        if flushed.is_ok() {
            if let Some(interim) = interim {
                interim.flushed();
            }
            this.watch.flushed();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().transport.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[derive(Debug, Default)]
    struct Seen(Mutex<Vec<String>>);

    impl Seen {
        fn note(&self, what: impl Into<String>) {
            self.0.lock().unwrap().push(what.into());
        }
    }

    impl Watch for Seen {
        fn read(&self, bytes: &[u8]) {
            self.note(String::from_utf8_lossy(bytes));
        }

        fn ended(&self) {
            self.note("ended");
        }

        fn wrote(&self) {
            self.note("wrote");
        }

        fn flushed(&self) {
            self.note("flushed");
        }

        fn closed(&self) {
            self.note("closed");
        }
    }

    #[tokio::test]
    async fn what_passes_is_told_once_and_in_order() {
        let (mut far, near) = tokio::io::duplex(64);
        let seen = Arc::new(Seen::default());
        let again = Bytes::from_static(b"before");
        let mut near = Watched::reading_again(near, again, seen.clone());
        far.write_all(b"hello").await.unwrap();
        let mut all = [0; 11];
        near.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"beforehello");
        near.write_all(b"answer").await.unwrap();
        near.flush().await.unwrap();
        drop(far);
        assert_eq!(near.read(&mut all).await.unwrap(), 0);
        drop(near);
        let expected = ["hello", "wrote", "flushed", "ended", "closed"];
        assert_eq!(*seen.0.lock().unwrap(), expected);
    }
}

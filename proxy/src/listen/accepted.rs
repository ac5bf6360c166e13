//! What was accepted, under a name.
//!
//! pingora's stream is a box of something that can be read and written. What hyper hands over after an
//! upgrade must not borrow anything, and of a box in a future the compiler does not see that; of a type
//! it does.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handshake::Transport;

/// A stream of pingora's, in clear or over TLS.
pub(super) struct Accepted {
    stream: Transport,
    /// What was to be written of an answer that nobody asked for, until its head is whole.
    unasked: Option<Vec<u8>>,
}

/// The longest head that is kept from a caller; ours are shorter.
const MAX_HEAD: usize = 4096;

impl Accepted {
    pub(super) fn new(stream: Transport) -> Self {
        let unasked = None;
        Self { stream, unasked }
    }

    /// One whose caller speaks no HTTP, and has asked for nothing in it: if the first answer is `200`, he does
    /// not get its head, and otherwise the connection breaks.
    pub(super) fn without_an_answer(stream: Transport) -> Self {
        let unasked = Some(Vec::new());
        Self { stream, unasked }
    }

    /// Keeps of `bytes` what belongs to that answer, and says how many they are.
    fn keep(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(head) = &mut self.unasked else {
            return Ok(0);
        };
        let before = head.len();
        head.extend_from_slice(bytes);
        let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return match head.len() > MAX_HEAD {
                true => Err(io::ErrorKind::ConnectionAborted.into()),
                false => Ok(bytes.len()),
            };
        };
        if !head.starts_with(b"HTTP/1.1 200") {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.unasked = None;
        Ok(end + 4 - before)
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").finish_non_exhaustive()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.unasked.is_some() {
            return Poll::Ready(self.keep(bytes));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.unasked.is_some() {
            let first = bytes.iter().find(|bytes| !bytes.is_empty());
            return Poll::Ready(self.keep(first.map_or(&[], |first| first)));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored() && self.unasked.is_none()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

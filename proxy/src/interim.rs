//! What is said to a caller before its answer, below hyper, which says nothing of the kind.
//!
//! An interim response (RFC 9110 section 15.2) may be written while nothing of the answer has been and
//! all of the answer before it has. hyper has handed on all that it had when the socket did not refuse
//! any of it; so what is to be said goes out before the next that hyper writes, or with the next flush,
//! which follows at once. Where the socket is full it is dropped: nobody has to be told.

use std::{
    io,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use http::Version;
use tokio::io::AsyncWrite;

/// The way to one caller that speaks HTTP/1.
#[derive(Debug, Default)]
pub(crate) struct Interim {
    state: AtomicU8,
    bytes: Mutex<BytesMut>,
}

/// A request in HTTP/1.1 waits for its answer.
const ASKED: u8 = 1;
/// There is something to be written.
const WAITING: u8 = 2;
/// The socket has refused some of what hyper had.
const STUCK: u8 = 4;
/// Nothing is to be heard of the caller any more.
const DEAF: u8 = 8;

/// What may wait for a caller that takes nothing.
const MOST: usize = 64 * 1024;

impl Interim {
    /// A request has come, of which the answer has not begun.
    pub(crate) fn asked(&self, version: Version) {
        // In HTTP/1.0 there are no interim responses.
        if version == Version::HTTP_11 {
            self.state.fetch_or(ASKED, Ordering::AcqRel);
        }
    }

    /// Its answer begins.
    pub(crate) fn answered(&self) {
        if self.has(ASKED) {
            self.state.fetch_and(!ASKED, Ordering::AcqRel);
        }
    }

    /// Says `head` to the caller, if that may be.
    pub(crate) fn say(&self, head: &[u8]) {
        if self.has(ASKED) {
            self.write(head);
        }
    }

    /// Answers what is no whole request with `answer`; from here on nothing is read any more.
    pub(crate) fn refuse(&self, answer: &[u8]) {
        self.state.fetch_or(DEAF, Ordering::AcqRel);
        self.write(answer);
    }

    fn write(&self, head: &[u8]) {
        if self.has(STUCK) {
            return;
        }
        let mut bytes = self.bytes();
        if bytes.len() + head.len() <= MOST {
            bytes.extend_from_slice(head);
            self.state.fetch_or(WAITING, Ordering::AcqRel);
        }
    }

    /// Whether nothing is to be read any more.
    pub(crate) fn is_deaf(&self) -> bool {
        self.has(DEAF)
    }

    /// The socket has refused what was to be written.
    pub(crate) fn stuck(&self) {
        self.state.fetch_or(STUCK, Ordering::AcqRel);
    }

    /// It has taken all.
    pub(crate) fn flushed(&self) {
        if self.has(STUCK) {
            self.state.fetch_and(!STUCK, Ordering::AcqRel);
        }
    }

    /// Writes what is to be said, before anything else is.
    pub(crate) fn poll_say<T: AsyncWrite>(
        &self,
        mut transport: Pin<&mut T>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.has(WAITING) {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = self.bytes();
        while !bytes.is_empty() {
            let written = ready!(transport.as_mut().poll_write(cx, &bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes.advance(written);
        }
        self.state.fetch_and(!WAITING, Ordering::AcqRel);
        Poll::Ready(Ok(()))
    }

    fn has(&self, flag: u8) -> bool {
        self.state.load(Ordering::Acquire) & flag != 0
    }

    fn bytes(&self) -> MutexGuard<'_, BytesMut> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    /// What is written now.
    async fn written(interim: &Interim) -> String {
        let (mut near, mut far) = tokio::io::duplex(2 * MOST);
        let mut near = Pin::new(&mut near);
        std::future::poll_fn(|cx| interim.poll_say(near.as_mut(), cx))
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut near).await.unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn it_is_said_while_an_answer_is_waited_for() {
        let interim = Interim::default();
        interim.say(b"early");
        assert_eq!(written(&interim).await, "", "nobody has asked");
        interim.asked(Version::HTTP_11);
        interim.say(b"103");
        interim.say(b"!");
        assert_eq!(written(&interim).await, "103!");
        assert_eq!(written(&interim).await, "", "it is said once");
        interim.answered();
        interim.say(b"late");
        assert_eq!(written(&interim).await, "");
        interim.asked(Version::HTTP_10);
        interim.say(b"103");
        assert_eq!(
            written(&interim).await,
            "",
            "that knows no interim responses"
        );
    }

    #[tokio::test]
    async fn nothing_is_said_into_an_answer_that_is_not_out() {
        let interim = Interim::default();
        interim.asked(Version::HTTP_11);
        interim.stuck();
        interim.say(b"103");
        assert_eq!(written(&interim).await, "");
        interim.flushed();
        interim.say(b"103");
        assert_eq!(written(&interim).await, "103");
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let interim = Interim::default();
        interim.asked(Version::HTTP_11);
        for _ in 0..100 {
            interim.say(&[b'x'; 1024]);
        }
        assert_eq!(written(&interim).await.len(), MOST);
    }
}

//! What an upstream says before its answer: interim responses, which hyper passes over.
//!
//! They are read from the bytes of the connection, where one is recognised by how it begins, so that
//! nothing is spent on the answers that come without. `100` opens the [`Gate`] before a body that waits
//! for it; the others are passed to the caller.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, header::EXPECT};
use http_body::Body;

use super::http1::MAX_FIELDS;
use crate::{headers, interim::Interim};

/// How long a body waits for the `100` of an upstream that may know none (RFC 9110 section 10.1.1).
const PATIENCE: Duration = Duration::from_secs(1);

/// The most bytes that the heads before an answer may have together, as far as they are read here.
const MOST: usize = 64 * 1024;

/// Who is told of interim responses.
#[derive(Clone, Debug, Default)]
pub(super) struct Early {
    pub(super) caller: Option<Arc<Interim>>,
    pub(super) gate: Option<Arc<Gate>>,
}

/// A head before the answer, as it comes.
#[derive(Debug, Default)]
pub(super) struct Heads(Vec<u8>);

impl Heads {
    /// Whether `bytes`, with which an answer begins, have to be read here.
    pub(super) fn may_begin(bytes: &[u8]) -> bool {
        const BEGIN: &[u8] = b"HTTP/1.1 1";
        let compared = bytes.len().min(BEGIN.len());
        // 101 is an answer.
        bytes[..compared] == BEGIN[..compared] && !bytes.starts_with(b"HTTP/1.1 101")
    }

    /// Whether more is to come of one that has begun.
    pub(super) fn are_begun(&self) -> bool {
        !self.0.is_empty()
    }

    /// Reads on, tells `early` of each that is whole, and says whether the answer has begun.
    pub(super) fn read(&mut self, bytes: &[u8], early: &Early) -> bool {
        self.0.extend_from_slice(bytes);
        let mut read = 0;
        let has_begun = loop {
            let rest = &self.0[read..];
            if rest.is_empty() {
                break false;
            }
            if !Self::may_begin(rest) || rest.len() > MOST {
                break true;
            }
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut head = httparse::Response::new(&mut fields);
            match head.parse(rest) {
                Ok(httparse::Status::Complete(length)) => {
                    early.tell(&head);
                    read += length;
                }
                Ok(httparse::Status::Partial) => break false,
                // hyper says what is wrong with it.
                Err(_) => break true,
            }
        };
        self.0.drain(..read);
        if has_begun {
            self.0 = Vec::new();
        }
        has_begun
    }
}

impl Early {
    fn tell(&self, head: &httparse::Response<'_, '_>) {
        match (head.code, &self.gate, &self.caller) {
            // hyper tells the caller so when its body is asked for.
            (Some(100), Some(gate), _) => gate.open(),
            (Some(100) | None, ..) | (.., None) => {}
            (Some(status), _, Some(caller)) => {
                if let Some(head) = written(status, head) {
                    caller.say(&head);
                }
            }
        }
    }
}

/// A head as the caller gets it: without what belongs to our connection.
fn written(status: u16, head: &httparse::Response<'_, '_>) -> Option<Vec<u8>> {
    let mut fields = HeaderMap::new();
    for field in &*head.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        fields.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    headers::strip_hop_by_hop(&mut fields);
    headers::strip_proxy(&mut fields);
    let mut bytes =
        format!("HTTP/1.1 {status} {}\r\n", head.reason.unwrap_or_default()).into_bytes();
    for (name, value) in &fields {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    Some(bytes)
}

/// What a body waits at until its upstream wants it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    is_open: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Gate {
    /// One for `request`, if it has a body and says that it waits.
    pub(super) fn before<B: Body>(request: &Request<B>) -> Option<Arc<Self>> {
        if request.body().is_end_stream() {
            return None;
        }
        let mut said = request.headers().get_all(EXPECT).iter();
        let waits = said.any(|line| line.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        waits.then(Arc::default)
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    pub(super) fn poll_open(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_open() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = Some(cx.waker().clone());
        // It may have been opened before anybody could be told.
        match self.is_open() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*waiting {
            waker.wake_by_ref();
        }
    }

    /// Waits for `answer`, and opens if it does not come soon.
    pub(super) async fn open_in_time<T>(&self, mut answer: Pin<&mut impl Future<Output = T>>) -> T {
        let opening = async {
            tokio::time::sleep(PATIENCE).await;
            self.open();
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            answer = answer.as_mut() => answer,
            never = opening => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\n\r\n";

    /// What is said of `pieces`, and whether the answer has begun after each.
    fn read(pieces: &[&[u8]]) -> Vec<bool> {
        let (mut heads, early) = (Heads::default(), Early::default());
        pieces
            .iter()
            .map(|piece| heads.read(piece, &early))
            .collect()
    }

    #[test]
    fn an_answer_begins_after_what_came_before_it() {
        let answer = b"HTTP/1.1 200 OK\r\n";
        assert_eq!(read(&[HINTS, answer]), [false, true]);
        assert_eq!(read(&[&[HINTS, HINTS, answer].concat()]), [true]);
        assert_eq!(read(&[HINTS, b"HTTP/1.1 101 "]), [false, true]);
        let mut heads = Heads::default();
        for byte in HINTS {
            assert!(!heads.read(&[*byte], &Early::default()));
        }
        assert!(!heads.are_begun());
        assert!(heads.read(answer, &Early::default()));
    }

    #[test]
    fn what_has_no_end_and_what_is_no_head_is_hypers() {
        assert_eq!(
            read(&[b"HTTP/1.1 1", &[b'x'; 9], b"\r\n"]),
            [false, true, true]
        );
        let endless = [b"HTTP/1.1 103 x\r\na: ", &[b'x'; MOST][..]].concat();
        assert_eq!(read(&[&endless]), [true]);
    }

    #[test]
    fn a_head_is_passed_without_what_belongs_to_the_connection() {
        let mut fields = [httparse::EMPTY_HEADER; 8];
        let mut head = httparse::Response::new(&mut fields);
        head.parse(HINTS).unwrap();
        let written = String::from_utf8(written(103, &head).unwrap()).unwrap();
        assert_eq!(written, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
    }

    #[test]
    fn a_100_opens_the_gate() {
        let gate = Arc::<Gate>::default();
        let early = Early {
            caller: None,
            gate: Some(gate.clone()),
        };
        let mut heads = Heads::default();
        heads.read(HINTS, &early);
        assert!(!gate.is_open());
        heads.read(b"HTTP/1.1 100 Continue\r\n\r\n", &early);
        assert!(gate.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_by_itself_if_nothing_comes() {
        let gate = Gate::default();
        let opened = std::future::poll_fn(|cx| gate.poll_open(cx));
        gate.open_in_time(std::pin::pin!(opened)).await;
    }
}

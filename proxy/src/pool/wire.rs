//! The bytes of an upstream connection as they pass: when the request was out, when the answer began.
//!
//! An HTTP/1 connection carries one exchange at a time, so that what passes belongs to it. hyper
//! flushes the transport once its own buffer is empty; the first flush after the whole request was
//! handed over is the moment that its last byte was written. The first read after that is the first
//! byte of the answer, unless it is an interim response.

use std::{
    io::IoSlice,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use http::request;
use throughline::{ambient, phase::Recorder};
use tokio::sync::{Notify, watch};

use super::{
    early::{Early, Heads},
    replay,
    settings::Settings,
};
use crate::watched::Watch;

/// Notes on one connection, shared by the transport and the pool.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// What is still waited for, as a set of bits: most reads and flushes find nothing set.
    awaited: AtomicU8,
    told: Mutex<Told>,
    /// What the request was written as, where that may be needed again.
    written: Mutex<Vec<u8>>,
    /// The first byte that the other side ever sent, plus one.
    lead: AtomicU16,
    heard: Notify,
    /// Whether it takes tunnels in HTTP/2, once that is known.
    takes_tunnels: watch::Sender<Option<bool>>,
    /// What tells that, as far as it has come.
    settings: Mutex<Settings>,
}

/// Who is told what passes of the exchange under way.
#[derive(Debug, Default)]
struct Told {
    recorder: Option<Recorder>,
    early: Early,
    heads: Heads,
}

/// The answer's first byte has not come.
const ANSWER: u8 = 1;
/// The request's last byte has not been written.
const SENT: u8 = 2;
/// Some of the request has been written.
const WROTE: u8 = 4;
/// The whole request has been handed over.
const WHOLE: u8 = 8;
/// What is written next is to be kept.
const KEEP: u8 = 16;
/// Some of what comes before the answer has come.
const EARLY: u8 = 32;

/// The first frame of HTTP/2 has not been read to its end.
const OPENING: u8 = 64;

/// What a connection keeps room for between requests.
const ROOM: usize = 4096;

impl Wire {
    /// An exchange begins; `is_whole` when its request has no body to come, and `keep` if it may be
    /// sent again.
    pub(super) fn begin(
        &self,
        recorder: Option<Recorder>,
        early: Early,
        is_whole: bool,
        keep: bool,
    ) {
        *self.told() = Told {
            recorder,
            early,
            heads: Heads::default(),
        };
        let whole = if is_whole { WHOLE } else { 0 };
        let keep = if keep { KEEP } else { 0 };
        let awaited = ANSWER | SENT | whole | keep;
        self.awaited.store(awaited, Ordering::Release);
    }

    /// The head of the request that was to be kept, if it was written: until then there may be
    /// another's.
    pub(super) fn written(&self) -> Option<request::Parts> {
        let is_written = self.awaited.load(Ordering::Acquire) & KEEP == 0;
        is_written.then(|| replay::head_of(&self.kept()))?
    }

    fn kept(&self) -> MutexGuard<'_, Vec<u8>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the request's body was handed over.
    pub(super) fn request_is_whole(&self) {
        self.awaited.fetch_or(WHOLE, Ordering::AcqRel);
    }

    /// Whether the whole request was handed over.
    pub(super) fn is_request_whole(&self) -> bool {
        self.awaited.load(Ordering::Acquire) & WHOLE != 0
    }

    /// Whether all of the request was written.
    pub(super) fn is_request_sent(&self) -> bool {
        self.awaited.load(Ordering::Acquire) & (WHOLE | SENT) == WHOLE
    }

    /// Whether the answer has begun.
    pub(super) fn answered(&self) -> bool {
        self.awaited.load(Ordering::Acquire) & ANSWER == 0
    }

    /// The first byte that the other side ever sent.
    pub(super) fn lead(&self) -> Option<u8> {
        let lead = self.lead.load(Ordering::Acquire).checked_sub(1)?;
        u8::try_from(lead).ok()
    }

    /// Looks at the first frame that an HTTP/2 server sends.
    fn opens(&self, bytes: &[u8]) {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(takes_tunnels) = settings.read(bytes) {
            *settings = Settings::default();
            self.awaited.fetch_and(!OPENING, Ordering::AcqRel);
            self.takes_tunnels.send_replace(Some(takes_tunnels));
        }
    }

    /// Whether the other side takes tunnels, as it says within `timeout`.
    pub(super) async fn may_tunnel(&self, timeout: Duration) -> bool {
        let mut known = self.takes_tunnels.subscribe();
        let said = known.wait_for(Option::is_some);
        match tokio::time::timeout(timeout, said).await {
            Ok(Ok(said)) => *said == Some(true),
            _ => false,
        }
    }

    /// Whether the other side begins as an HTTP/2 server does, within `timeout`.
    pub(super) async fn heard_http2(&self, timeout: Duration) -> bool {
        let heard = async {
            // Zero is "not a word yet". The end without a word ends the wait too.
            while self.lead.load(Ordering::Acquire) == 0 {
                self.heard.notified().await;
            }
        };
        // A permit is kept for whoever comes late, so that no notice is missed.
        let _ = tokio::time::timeout(timeout, heard).await;
        self.lead() == Some(0)
    }

    fn note(&self, what: impl FnOnce(&Recorder, Instant)) {
        if let Some(recorder) = &self.told().recorder {
            what(recorder, ambient::now());
        }
    }

    /// Reads what comes before the answer, and says whether the answer has begun.
    fn read_early(&self, bytes: &[u8]) -> bool {
        let Told { early, heads, .. } = &mut *self.told();
        let has_begun = heads.read(bytes, early);
        if heads.are_begun() {
            self.awaited.fetch_or(EARLY, Ordering::AcqRel);
        } else {
            self.awaited.fetch_and(!EARLY, Ordering::AcqRel);
        }
        has_begun
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Wire {
    fn read(&self, bytes: &[u8]) {
        let mut awaited = self.awaited.load(Ordering::Acquire);
        if self.lead.load(Ordering::Relaxed) == 0 {
            self.lead.store(u16::from(bytes[0]) + 1, Ordering::Release);
            self.heard.notify_one();
            if bytes[0] == 0 {
                awaited |= OPENING;
                self.awaited.fetch_or(OPENING, Ordering::AcqRel);
            }
        }
        if awaited & OPENING != 0 {
            self.opens(bytes);
        }
        if awaited & ANSWER == 0 {
            return;
        }
        if (awaited & EARLY != 0 || Heads::may_begin(bytes)) && !self.read_early(bytes) {
            return;
        }
        self.awaited.fetch_and(!ANSWER, Ordering::AcqRel);
        self.note(Recorder::responded);
    }

    fn writes(&self, bytes: &[IoSlice<'_>]) {
        if self.awaited.load(Ordering::Acquire) & KEEP == 0 {
            return;
        }
        // All of a head is in what hyper writes first.
        self.awaited.fetch_and(!KEEP, Ordering::AcqRel);
        let mut written = self.kept();
        written.clear();
        written.shrink_to(ROOM);
        for piece in bytes {
            written.extend_from_slice(piece);
        }
    }

    fn wrote(&self) {
        if self.awaited.load(Ordering::Acquire) & (SENT | WROTE) == SENT {
            self.awaited.fetch_or(WROTE, Ordering::AcqRel);
        }
    }

    fn flushed(&self) {
        let all = SENT | WROTE | WHOLE;
        if self.awaited.load(Ordering::Acquire) & all == all {
            self.awaited.fetch_and(!SENT, Ordering::AcqRel);
            self.note(Recorder::sent);
        }
    }

    /// The other side is gone: whoever waits for its first byte waits in vain.
    fn ended(&self) {
        if self.lead.load(Ordering::Relaxed) == 0 {
            self.lead.store(u16::MAX, Ordering::Release);
            self.heard.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline::phase::Phase;

    #[test]
    fn the_flush_after_the_whole_request_is_the_moment_it_was_sent() {
        let recorder = Recorder::new(ambient::now(), Phase::Send);
        let wire = Wire::default();
        wire.begin(Some(recorder.clone()), Early::default(), false, false);
        wire.flushed();
        wire.wrote();
        wire.flushed();
        assert_eq!(recorder.running(), Phase::Send, "the body is still to come");
        wire.request_is_whole();
        wire.wrote();
        wire.flushed();
        assert_eq!(recorder.running(), Phase::Wait);
    }

    #[test]
    fn what_is_written_first_is_kept_where_it_may_be_needed() {
        let wire = Wire::default();
        let path = || Some(wire.written()?.uri.path().to_owned());
        wire.begin(None, Early::default(), true, true);
        assert_eq!(path(), None, "nothing was written");
        wire.writes(&[
            IoSlice::new(b"GET /one "),
            IoSlice::new(b"HTTP/1.1\r\n\r\n"),
        ]);
        wire.writes(&[IoSlice::new(b"\r\n")]);
        assert_eq!(path().unwrap(), "/one");
        wire.begin(None, Early::default(), true, true);
        assert_eq!(path(), None, "that was another request");
        wire.writes(&[IoSlice::new(b"GET /two HTTP/1.1\r\n\r\n")]);
        assert_eq!(path().unwrap(), "/two");
    }

    #[test]
    fn an_interim_response_is_not_the_answer() {
        let recorder = Recorder::new(ambient::now(), Phase::Wait);
        let wire = Wire::default();
        wire.begin(Some(recorder.clone()), Early::default(), true, false);
        wire.read(b"HTTP/1.1 103 Early Hints\r\n\r\n");
        assert!(!wire.answered());
        wire.read(b"HTTP/1.1 200 OK\r\n");
        assert!(wire.answered());
        assert_eq!(recorder.running(), Phase::Transfer);
        assert_eq!(wire.lead(), Some(b'H'));
    }

    #[tokio::test]
    async fn the_first_byte_tells_the_protocol() {
        let timeout = Duration::from_secs(5);
        let wire = Wire::default();
        wire.read(&[0, 0, 18, 4]);
        assert!(wire.heard_http2(timeout).await);
        let wire = Wire::default();
        wire.read(b"HTTP/1.1 400");
        assert!(!wire.heard_http2(timeout).await);
        let wire = Wire::default();
        wire.ended();
        let heard = tokio::time::timeout(timeout, wire.heard_http2(Duration::MAX));
        let heard = heard.await.expect("an end is not waited beyond");
        assert!(!heard, "closed without a word");
        assert!(
            !Wire::default().heard_http2(Duration::from_millis(10)).await,
            "silent"
        );
    }
}

//! The phases of one exchange, and the recorder that notes when each begins.
//!
//! A recorder holds, for each [`Phase`], the moment that it was entered. When the exchange ends, the
//! moments are clamped so that none is before its predecessor or after the end, and a phase is the
//! difference between neighbours. So the phases of an exchange **add up to its duration exactly**;
//! there is no "other", and a phase that was never entered does not exist.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use throughline::phase::{Phase, Recorder};
//!
//! let start = Instant::now(); // In a server this is the first byte of the request.
//! let at = |ms| start + Duration::from_millis(ms);
//!
//! let recorder = Recorder::new(start, Phase::Proxy);
//! recorder.enter(Phase::Wait, at(1));
//! recorder.enter(Phase::Transfer, at(31));
//!
//! let phases = recorder.phases(at(40));
//! assert_eq!(phases.get(Phase::Wait), Some(Duration::from_millis(30)));
//! assert_eq!(phases.get(Phase::Connect), None, "the connection was there already");
//! assert_eq!(phases.total(), Duration::from_millis(40));
//! ```

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{text::Inline, tls::Handshake};

/// One of the consecutive parts that the duration of an exchange is cut into, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The request's headers arrive: first byte to headers complete.
    Receive,
    /// Our own cost on the way in: headers complete to first attempt.
    Proxy,
    /// Failed attempts and the pauses between them: first attempt to final attempt.
    Retry,
    /// Waiting for a connection: final attempt to dial, or to a pooled connection.
    Queue,
    /// The upstream's name is resolved.
    Dns,
    /// The TCP connection is made.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Connection ready to last byte of the request written, or to the first byte of the response
    /// if that is earlier.
    Send,
    /// To the first byte of the final response. Interim (1xx) responses do not end it.
    Wait,
    /// To the last byte of the response, or its trailers.
    Transfer,
    /// To the last byte taken by the caller's socket.
    Drain,
    /// Bytes that are no HTTP any more: from the answer that agreed on them to the end of both sides.
    Tunnel,
}

impl Phase {
    /// How many phases there are.
    pub const COUNT: usize = 12;

    /// Every phase, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Receive,
        Self::Proxy,
        Self::Retry,
        Self::Queue,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Send,
        Self::Wait,
        Self::Transfer,
        Self::Drain,
        Self::Tunnel,
    ];

    /// The name used on spans and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Proxy => "proxy",
            Self::Retry => "retry",
            Self::Queue => "queue",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Transfer => "transfer",
            Self::Drain => "drain",
            Self::Tunnel => "tunnel",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who ended an exchange before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The caller went away.
    Client,
    /// The callee failed.
    Upstream,
    /// We gave up: a timeout or a limit.
    Proxy,
}

impl Party {
    /// The value of `throughline.ended_by`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Proxy => "proxy",
        }
    }
}

/// Why an exchange did not come to its natural end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The phase that was running.
    pub phase: Phase,
    /// Who ended it.
    pub ended_by: Party,
    /// The value of `error.type`, such as `connection_refused`.
    pub error_type: Inline<40>,
}

/// The connection that an exchange was sent over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionUse {
    /// Whether it had carried another exchange before.
    pub reused: bool,
    /// How long it had been open.
    pub age: Duration,
    /// Which exchange on it this was, from 1.
    pub ordinal: u64,
    /// Its other end.
    pub peer: Option<SocketAddr>,
    /// How it came to speak TLS; `None` in clear.
    pub tls: Option<Handshake>,
}

/// Notes, as an exchange runs, when it enters each phase.
///
/// A clone is another handle on the same notes, so that the layer that owns the exchange and the
/// pool that carries it out write into one account. Nothing here reads a clock.
#[derive(Clone)]
pub struct Recorder(Arc<Notes>);

struct Notes {
    start: Instant,
    /// Nanoseconds from `start` plus one; zero means "not entered".
    entered: [AtomicU64; Phase::COUNT],
    attempts: AtomicU32,
    request_bytes: AtomicU64,
    facts: Mutex<Facts>,
}

#[derive(Clone, Copy, Default)]
struct Facts {
    connection: Option<ConnectionUse>,
    failure: Option<Failure>,
}

impl Recorder {
    /// An exchange that begins at `start`, in the phase `first`.
    #[must_use]
    pub fn new(start: Instant, first: Phase) -> Self {
        let recorder = Self(Arc::new(Notes {
            start,
            entered: Default::default(),
            attempts: AtomicU32::new(0),
            request_bytes: AtomicU64::new(0),
            facts: Mutex::default(),
        }));
        recorder.set(first, start);
        recorder
    }

    /// When the exchange began.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.0.start
    }

    /// The exchange enters `phase`: whatever later phase it was thought to be in, it is not.
    pub fn enter(&self, phase: Phase, at: Instant) {
        self.set(phase, at);
        for later in &self.0.entered[phase.index() + 1..] {
            later.store(0, Ordering::Relaxed);
        }
    }

    /// One more attempt begins. Whatever earlier attempts took becomes [`Phase::Retry`].
    pub fn begin_attempt(&self, at: Instant) {
        let earlier = self.0.attempts.fetch_add(1, Ordering::Relaxed);
        if earlier == 1 {
            let first = self.0.entered[Phase::Queue.index()].load(Ordering::Relaxed);
            self.0.entered[Phase::Retry.index()].store(first, Ordering::Relaxed);
        }
        self.enter(Phase::Queue, at);
        let mut facts = self.facts();
        facts.failure = None;
        facts.connection = None;
    }

    /// How many attempts were begun after the first.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// The last byte of the request was written. Too late to matter once the response has begun.
    pub fn sent(&self, at: Instant) {
        if self.running() < Phase::Wait {
            self.set(Phase::Wait, at);
        }
    }

    /// The first byte of a response was read.
    pub fn responded(&self, at: Instant) {
        if self.running() < Phase::Transfer {
            self.set(Phase::Transfer, at);
        }
    }

    /// What was read was an interim response: the final one is still to come.
    pub fn interim(&self) {
        self.0.entered[Phase::Transfer.index()].store(0, Ordering::Relaxed);
    }

    /// The answer agreed on a tunnel, which begins `now`; its few bytes are no transfer.
    pub fn tunnel(&self, now: Instant) {
        self.0.entered[Phase::Transfer.index()].store(0, Ordering::Relaxed);
        self.enter(Phase::Tunnel, now);
    }

    /// The tunnel that was opened at `opened` had a TLS handshake in it, which took so long.
    ///
    /// The handshake is [`Phase::Tls`], and all the rest of the tunnel [`Phase::Tunnel`], also what went
    /// before the handshake: a connection may be made long before it is used.
    pub fn handshake_within(&self, opened: Instant, took: Duration) {
        self.set(Phase::Tls, opened);
        self.set(Phase::Tunnel, opened + took);
    }

    /// So many more bytes of the request's body went on.
    pub fn request_body(&self, bytes: usize) {
        self.0
            .request_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many bytes of the request's body went on.
    #[must_use]
    pub fn request_bytes(&self) -> u64 {
        self.0.request_bytes.load(Ordering::Relaxed)
    }

    /// Notes the connection that carries the exchange.
    pub fn connection(&self, used: ConnectionUse) {
        self.facts().connection = Some(used);
    }

    /// The connection that carries the exchange, once there is one.
    #[must_use]
    pub fn connection_use(&self) -> Option<ConnectionUse> {
        self.facts().connection
    }

    /// Notes that the running phase failed.
    pub fn fail(&self, ended_by: Party, error_type: &str) {
        let failure = Failure {
            phase: self.running(),
            ended_by,
            error_type: error_type.into(),
        };
        self.facts().failure.get_or_insert(failure);
    }

    /// The failure that was noted, if any.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.facts().failure
    }

    /// The phase that was entered last.
    #[must_use]
    pub fn running(&self) -> Phase {
        Phase::ALL
            .into_iter()
            .rev()
            .find(|phase| self.has(*phase))
            .expect("a recorder is made in a phase")
    }

    /// The phases of the exchange, if it ends at `end`.
    #[must_use]
    pub fn phases(&self, end: Instant) -> Phases {
        let total = nanos(end.saturating_duration_since(self.0.start));
        let mut entered = [None; Phase::COUNT];
        for (slot, note) in entered.iter_mut().zip(&self.0.entered) {
            *slot = note.load(Ordering::Relaxed).checked_sub(1);
        }
        Phases::between(entered, total)
    }

    fn set(&self, phase: Phase, at: Instant) {
        let offset = nanos(at.saturating_duration_since(self.0.start));
        self.0.entered[phase.index()].store(offset.saturating_add(1), Ordering::Relaxed);
    }

    fn has(&self, phase: Phase) -> bool {
        self.0.entered[phase.index()].load(Ordering::Relaxed) != 0
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        // Plain data: whoever panicked while holding it left nothing half done.
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

/// How long each phase of a finished exchange took, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    nanos: [u64; Phase::COUNT],
    present: u16,
}

impl Phases {
    /// The phases between these moments, given as nanoseconds from the start, and the end.
    ///
    /// This is the whole rule. A moment that is out of order is moved: forward to its predecessor,
    /// back to the end, and "request sent" back to "response begun".
    fn between(mut entered: [Option<u64>; Phase::COUNT], end: u64) -> Self {
        let [wait, transfer] = [Phase::Wait.index(), Phase::Transfer.index()];
        if let (Some(sent), Some(responded)) = (entered[wait], entered[transfer]) {
            entered[wait] = Some(sent.min(responded));
        }
        let mut phases = Self::default();
        let mut running: Option<(usize, u64)> = None;
        for (index, moment) in entered.into_iter().enumerate() {
            let Some(moment) = moment else { continue };
            // The first phase that was entered begins with the exchange.
            let begin = running.map_or(0, |(_, since)| moment.clamp(since, end));
            if let Some((index, since)) = running {
                phases.set(index, begin - since);
            }
            running = Some((index, begin));
        }
        if let Some((index, since)) = running {
            phases.set(index, end - since);
        }
        phases
    }

    fn set(&mut self, index: usize, nanos: u64) {
        self.nanos[index] = nanos;
        self.present |= 1 << index;
    }

    /// How long `phase` took, or `None` if the exchange never was in it.
    #[must_use]
    pub fn get(&self, phase: Phase) -> Option<Duration> {
        (self.present & (1 << phase.index()) != 0)
            .then(|| Duration::from_nanos(self.nanos[phase.index()]))
    }

    /// The phases that the exchange went through, in order, with their nanoseconds.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, u64)> + '_ {
        Phase::ALL
            .into_iter()
            .filter(|phase| self.present & (1 << phase.index()) != 0)
            .map(|phase| (phase, self.nanos[phase.index()]))
    }

    /// The duration of the exchange: the sum of all phases.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.nanos.iter().sum())
    }
}

impl fmt::Debug for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self
            .iter()
            .map(|(phase, ns)| (phase, Duration::from_nanos(ns)));
        f.debug_map().entries(named).finish()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "a test needs some moment to count from"
    )]

    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_new_connection_shows_every_step() {
        let start = Instant::now();
        let r = Recorder::new(start, Phase::Receive);
        r.enter(Phase::Proxy, start + ms(1));
        r.begin_attempt(start + ms(2));
        r.enter(Phase::Dns, start + ms(3));
        r.enter(Phase::Connect, start + ms(5));
        r.enter(Phase::Tls, start + ms(8));
        r.enter(Phase::Send, start + ms(12));
        r.sent(start + ms(17));
        r.responded(start + ms(23));
        r.enter(Phase::Drain, start + ms(30));
        let got: Vec<_> = r
            .phases(start + ms(38))
            .iter()
            .map(|(p, ns)| (p, ns / 1_000_000))
            .collect();
        assert_eq!(
            got,
            [
                (Phase::Receive, 1),
                (Phase::Proxy, 1),
                (Phase::Queue, 1),
                (Phase::Dns, 2),
                (Phase::Connect, 3),
                (Phase::Tls, 4),
                (Phase::Send, 5),
                (Phase::Wait, 6),
                (Phase::Transfer, 7),
                (Phase::Drain, 8),
            ]
        );
    }

    #[test]
    fn failed_attempts_become_the_retry_phase() {
        let start = Instant::now();
        let r = Recorder::new(start, Phase::Proxy);
        r.begin_attempt(start + ms(1));
        r.enter(Phase::Send, start + ms(2));
        r.fail(Party::Upstream, "connection_reset");
        r.begin_attempt(start + ms(10));
        r.begin_attempt(start + ms(20));
        r.enter(Phase::Send, start + ms(21));
        r.sent(start + ms(21));
        let phases = r.phases(start + ms(30));
        assert_eq!(phases.get(Phase::Retry), Some(ms(19)));
        assert_eq!(phases.get(Phase::Queue), Some(ms(1)));
        assert_eq!(phases.get(Phase::Wait), Some(ms(9)));
        assert_eq!(r.retries(), 2);
        assert_eq!(r.failure(), None, "a failure belongs to its attempt");
    }

    #[test]
    fn an_early_response_ends_send_and_leaves_no_time_to_wait() {
        let start = Instant::now();
        let r = Recorder::new(start, Phase::Send);
        r.responded(start + ms(4));
        r.sent(start + ms(9));
        let phases = r.phases(start + ms(10));
        assert_eq!(phases.get(Phase::Send), Some(ms(4)));
        assert_eq!(phases.get(Phase::Wait), None);
        assert_eq!(phases.get(Phase::Transfer), Some(ms(6)));
    }

    #[test]
    fn an_interim_response_does_not_end_wait() {
        let start = Instant::now();
        let r = Recorder::new(start, Phase::Send);
        r.sent(start + ms(1));
        r.responded(start + ms(2));
        r.interim();
        r.responded(start + ms(7));
        assert_eq!(r.phases(start + ms(8)).get(Phase::Wait), Some(ms(6)));
    }

    #[test]
    fn a_handshake_within_a_tunnel_is_set_apart_from_it() {
        let start = Instant::now();
        let r = Recorder::new(start, Phase::Proxy);
        r.begin_attempt(start + ms(1));
        r.enter(Phase::Connect, start + ms(2));
        r.enter(Phase::Tunnel, start + ms(5));
        r.responded(start + ms(6));
        // From the 20th to the 24th, after the client had been silent.
        r.handshake_within(start + ms(5), ms(4));
        let phases = r.phases(start + ms(30));
        assert_eq!(phases.get(Phase::Connect), Some(ms(3)));
        assert_eq!(phases.get(Phase::Tls), Some(ms(4)));
        assert_eq!(phases.get(Phase::Tunnel), Some(ms(21)));
        assert_eq!(phases.total(), ms(30));
    }

    #[test]
    fn a_failure_names_the_running_phase_once() {
        let start = Instant::now();
        let r = Recorder::new(start, Phase::Proxy);
        r.begin_attempt(start);
        r.enter(Phase::Connect, start + ms(1));
        r.fail(Party::Proxy, "timeout");
        r.enter(Phase::Drain, start + ms(2));
        r.fail(Party::Client, "too late");
        let failure = r.failure().unwrap();
        assert_eq!(
            (failure.phase, failure.ended_by),
            (Phase::Connect, Party::Proxy)
        );
        assert_eq!(failure.error_type.as_str(), "timeout");
    }

    /// What may happen to an exchange, in any order and at any time.
    #[derive(Clone, Debug)]
    enum Event {
        Enter(usize),
        Attempt,
        Sent,
        Responded,
        Interim,
        Fail,
    }

    fn events() -> impl Strategy<Value = Vec<(Event, u64)>> {
        let event = prop_oneof![
            (0..Phase::COUNT).prop_map(Event::Enter),
            Just(Event::Attempt),
            Just(Event::Sent),
            Just(Event::Responded),
            Just(Event::Interim),
            Just(Event::Fail),
        ];
        prop::collection::vec((event, 0u64..2_000), 0..40)
    }

    proptest! {
        // None can be negative: they are unsigned, and a subtraction that went below zero would
        // panic in this build.
        #[test]
        fn phases_sum_to_the_duration(first in 0..Phase::COUNT, events in events(), end in 0u64..2_000) {
            let start = Instant::now();
            let recorder = Recorder::new(start, Phase::ALL[first]);
            for (event, at) in events {
                let at = start + Duration::from_nanos(at);
                match event {
                    Event::Enter(i) => recorder.enter(Phase::ALL[i], at),
                    Event::Attempt => recorder.begin_attempt(at),
                    Event::Sent => recorder.sent(at),
                    Event::Responded => recorder.responded(at),
                    Event::Interim if recorder.running() > Phase::ALL[first] => recorder.interim(),
                    Event::Interim => {}
                    Event::Fail => recorder.fail(Party::Upstream, "reset"),
                }
            }
            let phases = recorder.phases(start + Duration::from_nanos(end));
            prop_assert_eq!(phases.total(), Duration::from_nanos(end));
            prop_assert_eq!(phases.iter().map(|(_, ns)| ns).sum::<u64>(), end);
            prop_assert!(phases.get(recorder.running()).is_some());
        }
    }
}

//! How the body of a request comes: whether somebody waits for more of it, and whether more came since.
//!
//! A body that its caller stops sending would hold its connection, and one to the upstream, without end.
//! No timer is started for it: whoever reads the body says that it waits, the watchdog of the caller's
//! connection looks now and then, and ends a body of which nothing came between two looks far enough
//! apart. A body that comes slowly is not ended, nor one that the upstream does not take.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

/// The pace of one body, noted by whoever reads it.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How often a wait began or ended: odd while somebody waits.
    turns: AtomicUsize,
    is_over: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Pace {
    /// Nothing is there, and `waker` waits for more.
    pub(crate) fn waits(&self, waker: &Waker) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *waiting {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        if self.turns.load(Ordering::Relaxed).is_multiple_of(2) {
            self.turns.fetch_add(1, Ordering::Release);
        }
    }

    /// More came.
    pub(crate) fn came(&self) {
        if !self.turns.load(Ordering::Relaxed).is_multiple_of(2) {
            self.turns.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether it was waited for too long.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*waiting {
            waker.wake_by_ref();
        }
    }
}

/// Why a body has ended that was waited for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no more of the request's body came in time")
    }
}

impl std::error::Error for Stopped {}

/// The bodies that are coming on one connection.
#[derive(Debug, Default)]
pub(crate) struct Paces(Vec<Seen>);

/// A body as it was when it was looked at.
#[derive(Debug)]
struct Seen {
    pace: Arc<Pace>,
    turns: usize,
    since: Option<Instant>,
}

impl Paces {
    /// One more.
    pub(crate) fn add(&mut self) -> Arc<Pace> {
        let pace = Arc::<Pace>::default();
        self.forget();
        self.0.push(Seen {
            pace: pace.clone(),
            turns: 0,
            since: None,
        });
        pace
    }

    /// Ends those of which nothing has come for `limit`, and says when to look next if there are others.
    pub(crate) fn look(&mut self, now: Instant, limit: Duration) -> Option<Duration> {
        self.forget();
        let mut next: Option<Duration> = None;
        self.0.retain_mut(|seen| {
            let turns = seen.pace.turns.load(Ordering::Acquire);
            if turns.is_multiple_of(2) {
                seen.since = None;
                return true;
            }
            let since = match seen.since {
                Some(since) if seen.turns == turns => since,
                _ => now,
            };
            (seen.turns, seen.since) = (turns, Some(since));
            let waited = now.saturating_duration_since(since);
            let Some(left) = limit.checked_sub(waited).filter(|left| !left.is_zero()) else {
                seen.pace.end();
                return false;
            };
            next = Some(next.map_or(left, |next| next.min(left)));
            true
        });
        next
    }

    /// Nobody reads those any more that are only here.
    fn forget(&mut self) {
        self.0.retain(|seen| Arc::strong_count(&seen.pace) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(throughline::ambient::now) + Duration::from_secs(seconds)
    }

    #[test]
    fn a_body_of_which_nothing_comes_is_ended() {
        let mut paces = Paces::default();
        let pace = paces.add();
        pace.waits(Waker::noop());
        assert_eq!(paces.look(at(0), LIMIT), Some(LIMIT));
        pace.waits(Waker::noop());
        let left = Some(Duration::from_secs(1));
        assert_eq!(
            paces.look(at(59), LIMIT),
            left,
            "asking again is no progress"
        );
        assert!(!pace.is_over());
        assert_eq!(paces.look(at(60), LIMIT), None);
        assert!(pace.is_over());
    }

    #[test]
    fn a_body_that_comes_slowly_is_not() {
        let mut paces = Paces::default();
        let pace = paces.add();
        for minute in 0..100 {
            pace.waits(Waker::noop());
            paces.look(at(59 * minute), LIMIT);
            pace.came();
        }
        assert!(!pace.is_over());
    }

    #[test]
    fn a_body_that_nobody_waits_for_is_not_either() {
        let mut paces = Paces::default();
        let pace = paces.add();
        pace.waits(Waker::noop());
        pace.came();
        for hour in 0..3 {
            assert_eq!(paces.look(at(3600 * hour), LIMIT), None);
        }
        assert!(!pace.is_over());
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let mut paces = Paces::default();
        drop((paces.add(), paces.add()));
        let _third = paces.add();
        assert_eq!(paces.0.len(), 1);
    }
}

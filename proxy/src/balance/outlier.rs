//! When an upstream is left alone for a while because requests fail there.
//!
//! So many failures in a row eject it. It comes back by itself, and if it fails again it goes for
//! twice as long. A time of answering makes up for that.

use std::time::{Duration, Instant};

/// When, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// After so many failures in a row; `None` for never.
    pub after: Option<u32>,
    /// For so long the first time.
    pub time: Duration,
}

/// The longest that any upstream is left alone.
const LONGEST: Duration = Duration::from_secs(300);

/// What is remembered of one upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record {
    failures: u32,
    times: u32,
    until: Option<Instant>,
}

impl Record {
    /// Whether it is left alone at `now`.
    #[must_use]
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// A request was answered.
    pub fn succeeded(&mut self, ejection: &Ejection, now: Instant) {
        self.failures = 0;
        // It has answered for as long as it was away.
        let away = ejection.length(self.times);
        if self.until.is_some_and(|until| now >= until + away) {
            (self.times, self.until) = (0, None);
        }
    }

    /// A request failed. Where that ejects it, says until when; `may_go` is whether it can be spared.
    pub fn failed(&mut self, ejection: &Ejection, may_go: bool, now: Instant) -> Option<Instant> {
        self.failures = self.failures.saturating_add(1);
        let is_due = ejection.after.is_some_and(|after| self.failures >= after);
        if !is_due || !may_go || self.is_ejected(now) {
            return None;
        }
        self.failures = 0;
        self.times = self.times.saturating_add(1);
        self.until = Some(now + ejection.length(self.times));
        self.until
    }
}

impl Ejection {
    /// How long it is away the so manieth time.
    fn length(&self, times: u32) -> Duration {
        let doubled = 1_u32 << times.saturating_sub(1).min(16);
        self.time
            .saturating_mul(doubled)
            .min(LONGEST.max(self.time))
    }

    /// Whether one more of `count` can be spared where `ejected` are away: never more than half.
    #[must_use]
    pub fn spares(ejected: usize, count: usize) -> bool {
        (ejected + 1) * 2 <= count
    }
}

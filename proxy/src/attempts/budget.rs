//! How many retries there may be at all.
//!
//! A bucket of tokens. Each request puts a part of one in, each retry takes a whole one out, and a few
//! trickle in with time, for those who have few requests. What the bucket holds is bounded, so that a
//! quiet day does not pay for a storm.

use std::time::Instant;

/// What retries may be of all requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// In percent of them.
    pub percent: u32,
    /// How many a second there may be in any case.
    pub per_second: u32,
}

/// The most that a bucket holds: so many retries at once, whatever came before.
const MOST: f64 = 100.0;

/// The tokens that are there.
#[derive(Clone, Debug)]
pub struct Budget {
    share: Share,
    tokens: f64,
    at: Instant,
}

impl Budget {
    /// A budget that begins at `now` with what it gets in a second.
    #[must_use]
    pub fn new(share: Share, now: Instant) -> Self {
        Self {
            share,
            tokens: f64::from(share.per_second).min(MOST),
            at: now,
        }
    }

    /// A request was made.
    pub fn deposit(&mut self) {
        let part = f64::from(self.share.percent) / 100.0;
        self.tokens = (self.tokens + part).min(MOST);
    }

    /// Takes a retry, if there is one.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let trickled = passed * f64::from(self.share.per_second);
        self.tokens = (self.tokens + trickled).min(MOST);
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}

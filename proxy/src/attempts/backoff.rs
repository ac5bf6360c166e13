//! How long to wait before the next attempt.
//!
//! Full jitter: anything from nothing to a limit that doubles each time. Requests that failed together
//! come back spread over the whole of that time, and not in waves.

use std::time::{Duration, SystemTime};

use http::HeaderValue;

/// The limits of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The most before the first resend.
    pub base: Duration,
    /// The most before any.
    pub max: Duration,
}

impl Backoff {
    /// The pause before a resend, after as many others.
    pub(super) fn pause(self, resent: u32, random: u64) -> Duration {
        let limit = self.base.saturating_mul(1 << resent.min(16)).min(self.max);
        let share = (random >> 32) as f64 / f64::from(u32::MAX);
        limit.mul_f64(share)
    }
}

/// What a `Retry-After` asks for, when it is `wall`: seconds, or a date. What is neither says nothing.
#[must_use]
pub fn retry_after(value: &HeaderValue, wall: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    // A date that is over asks for no pause.
    Some(date.duration_since(wall).unwrap_or_default())
}

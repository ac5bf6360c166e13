//! Whether a request is tried again, and after which pause.
//!
//! The law comes first: **nothing that may have had an effect is repeated**. A request that never left,
//! or that its upstream says it refused, can be tried again whatever it is. One that was sent is
//! repeated only where its method says that this is safe, or where it carries a mark (`Idempotency-Key`,
//! say) that the operator named. Then come the operator's wishes: after what, how often, how soon. The
//! budget has the last word: retries are a share of the requests, so that an upstream that fails gets
//! a little more load, and never several times as much.
//!
//! Everything here is told the time and its random numbers.

mod backoff;
mod budget;
#[cfg(test)]
mod tests;

use std::{
    str::FromStr,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, Method, StatusCode};

pub use self::{
    backoff::{Backoff, retry_after},
    budget::{Budget, Share},
};

/// What the operator wants tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After what; nothing means never.
    pub on: Vec<On>,
    /// The most attempts after the first.
    pub attempts: u32,
    /// Headers that mark a request as safe to repeat whatever its method.
    pub marked_by: Vec<HeaderName>,
    /// The longest request body that is kept to be sent again.
    pub body_bytes: usize,
    /// How long to wait before.
    pub backoff: Backoff,
    /// How many at all.
    pub budget: Share,
}

/// Something that a request is tried again after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// No connection: no address, nobody there, no handshake.
    Connect,
    /// The upstream said that it did not begin with the request.
    Refused,
    /// The connection ended without an answer.
    Reset,
    /// The answer did not begin in time.
    Timeout,
    /// Any answer from 500 on.
    ServerError,
    /// This answer.
    Status(StatusCode),
}

impl FromStr for On {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "connect" => Self::Connect,
            "refused" => Self::Refused,
            "reset" => Self::Reset,
            "timeout" => Self::Timeout,
            "5xx" => Self::ServerError,
            _ => match text
                .parse()
                .ok()
                .and_then(|code: u16| StatusCode::from_u16(code).ok())
            {
                Some(status) if (400..600).contains(&status.as_u16()) => Self::Status(status),
                _ => {
                    return Err(format!(
                        "nothing is tried again after {text:?}; known are connect, refused, reset, \
                         timeout, 5xx and any status from 400 to 599"
                    ));
                }
            },
        })
    }
}

impl std::fmt::Display for On {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Refused => f.write_str("refused"),
            Self::Reset => f.write_str("reset"),
            Self::Timeout => f.write_str("timeout"),
            Self::ServerError => f.write_str("5xx"),
            Self::Status(status) => write!(f, "{}", status.as_u16()),
        }
    }
}

/// What became of an attempt that may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There was no connection.
    Connect,
    /// It was refused unseen.
    Refused,
    /// It was lost on its way.
    Reset,
    /// It was given up.
    Timeout,
    /// It was answered with this.
    Status(StatusCode),
}

impl Trouble {
    /// Whether the request cannot have had an effect.
    fn is_harmless(self) -> bool {
        matches!(self, Self::Connect | Self::Refused)
    }
}

/// A request whose attempt failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// How.
    pub trouble: Trouble,
    /// How often it was sent again before.
    pub resent: u32,
    /// Whether sending it twice is the same as sending it once.
    pub is_repeatable: bool,
    /// Whether all that was read of its body is there to be sent again.
    pub is_kept: bool,
    /// What the upstream says about when.
    pub retry_after: Option<Duration>,
    /// When it has to be over.
    pub deadline: Option<Instant>,
}

/// Whether to try once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// After this pause.
    Again(Duration),
    /// The operator did not ask for it.
    Unwanted,
    /// No, although the operator asked for it.
    No(Reason),
}

/// Why a request that could be tried again is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It may have had an effect.
    Unsafe,
    /// Its body was too long to be kept.
    Body,
    /// It was tried often enough.
    Attempts,
    /// The upstream wants more time than there is.
    RetryAfter,
    /// Its time is over before.
    Deadline,
    /// Others have used up the budget.
    Budget,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Unsafe,
        Self::Body,
        Self::Attempts,
        Self::RetryAfter,
        Self::Deadline,
        Self::Budget,
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unsafe => "unsafe",
            Self::Body => "body",
            Self::Attempts => "attempts",
            Self::RetryAfter => "retry_after",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
        }
    }
}

impl Policy {
    /// Whether sending such a request twice is the same as sending it once.
    #[must_use]
    pub fn is_repeatable(&self, method: &Method, headers: &HeaderMap) -> bool {
        method.is_idempotent() || self.marked_by.iter().any(|mark| headers.contains_key(mark))
    }

    /// Whether anything could make such a request be sent again.
    #[must_use]
    pub fn concerns(&self, is_repeatable: bool) -> bool {
        let harmless = |on: &On| matches!(on, On::Connect | On::Refused);
        !self.on.is_empty() && (is_repeatable || self.on.iter().any(harmless))
    }

    fn wants(&self, trouble: Trouble) -> bool {
        self.on.iter().any(|on| match (on, trouble) {
            (On::Connect, Trouble::Connect)
            | (On::Refused, Trouble::Refused)
            | (On::Reset, Trouble::Reset)
            | (On::Timeout, Trouble::Timeout) => true,
            (On::ServerError, Trouble::Status(status)) => status.is_server_error(),
            (On::Status(wanted), Trouble::Status(status)) => *wanted == status,
            _ => false,
        })
    }

    /// Decides, at `now`, with 64 random bits; a budget that is asked last is paid from.
    pub fn decide(
        &self,
        failed: &Failed,
        budget: &mut Budget,
        now: Instant,
        random: u64,
    ) -> Verdict {
        if !self.wants(failed.trouble) {
            return Verdict::Unwanted;
        }
        if !failed.trouble.is_harmless() && !failed.is_repeatable {
            return Verdict::No(Reason::Unsafe);
        }
        if failed.resent >= self.attempts {
            return Verdict::No(Reason::Attempts);
        }
        if !failed.is_kept {
            return Verdict::No(Reason::Body);
        }
        let pause = match failed.retry_after {
            Some(asked) if asked > self.backoff.max => return Verdict::No(Reason::RetryAfter),
            Some(asked) => asked,
            None => self.backoff.pause(failed.resent, random),
        };
        if failed
            .deadline
            .is_some_and(|deadline| now + pause >= deadline)
        {
            return Verdict::No(Reason::Deadline);
        }
        if !budget.withdraw(now) {
            return Verdict::No(Reason::Budget);
        }
        Verdict::Again(pause)
    }
}

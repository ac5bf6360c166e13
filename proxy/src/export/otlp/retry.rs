//! When to try again: exponential backoff with jitter, until a deadline.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use throughline::ambient;

use super::answer::Answer;
use crate::export::{Accepted, Failure, Reason};

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(5);

/// The pause after the attempt `attempt`, counted from 0.
///
/// It doubles up to a limit. Half of it is random, so that the sidecars that lost one collector at
/// one moment do not come back to it at one moment.
fn backoff(attempt: u32, random: u64) -> Duration {
    let full = FIRST.saturating_mul(1 << attempt.min(16)).min(LONGEST);
    let share = (random >> 32) as f64 / f64::from(u32::MAX);
    full / 2 + (full / 2).mul_f64(share)
}

/// Attempts until one is accepted or refused, or until there is no time left.
///
/// Each attempt may take `timeout`, and all of them together, with the pauses between, end at
/// `deadline`.
pub(super) async fn until<F: Future<Output = Answer>>(
    deadline: Instant,
    timeout: Duration,
    mut attempt: impl FnMut(Duration) -> F,
) -> Result<Accepted, Failure> {
    let mut attempts = 0;
    let mut lost: Option<(Reason, String)> = None;
    loop {
        let left = deadline.saturating_duration_since(ambient::now());
        let allowed = timeout.min(left);
        let (reason, after, why) = match tokio::time::timeout(allowed, attempt(allowed)).await {
            Ok(Answer::Accepted(accepted)) => return Ok(accepted),
            Ok(Answer::Refused(why)) => return Err(failure(Reason::Rejected, why, attempts + 1)),
            Ok(Answer::Retry { after, why }) => (Reason::Unavailable, after, why),
            Err(_) => {
                let why = format!("no answer within {allowed:?}");
                // An attempt that the deadline cut short tells less than the one before it.
                match lost.take() {
                    Some((reason, why)) if allowed < timeout => (reason, None, why),
                    _ => (Reason::Timeout, None, why),
                }
            }
        };
        let pause = after.unwrap_or_else(|| backoff(attempts, ambient::random()));
        attempts += 1;
        let left = deadline.saturating_duration_since(ambient::now());
        if pause >= left {
            return Err(failure(reason, why, attempts));
        }
        lost = Some((reason, why));
        tokio::time::sleep(pause).await;
    }
}

fn failure(reason: Reason, why: String, attempts: u32) -> Failure {
    let message = match attempts {
        1 => why,
        _ => format!("{why}, after {attempts} attempts"),
    };
    Failure { reason, message }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_grow_to_a_limit_and_differ(attempt in 0u32..100, random: u64) {
            let pause = backoff(attempt, random);
            prop_assert!(pause <= LONGEST);
            prop_assert!(pause >= FIRST / 2);
            prop_assert!(backoff(attempt, 0) <= pause && pause <= backoff(attempt, u64::MAX));
            prop_assert!(backoff(attempt + 1, random) >= pause);
        }
    }

    #[tokio::test]
    async fn a_delay_beyond_the_deadline_is_not_waited_for() {
        let begun = ambient::now();
        let answer = || Answer::Retry {
            after: Some(Duration::from_secs(60)),
            why: "busy".to_owned(),
        };
        let result = until(
            begun + Duration::from_secs(30),
            Duration::from_secs(1),
            |_| async { answer() },
        )
        .await;
        assert_eq!(result.unwrap_err().reason, Reason::Unavailable);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn silence_is_a_timeout_and_the_deadline_holds() {
        let deadline = ambient::now() + Duration::from_millis(50);
        let result = until(deadline, Duration::from_secs(10), |_| {
            std::future::pending()
        })
        .await;
        assert_eq!(result.unwrap_err().reason, Reason::Timeout);
    }

    #[tokio::test]
    async fn the_last_attempt_cut_short_by_the_deadline_does_not_hide_why() {
        let mut attempts = 0;
        let deadline = ambient::now() + Duration::from_millis(800);
        let result = until(deadline, Duration::from_secs(10), |_| {
            attempts += 1;
            let first = attempts == 1;
            async move {
                if first {
                    let why = "connection refused".to_owned();
                    return Answer::Retry { after: None, why };
                }
                std::future::pending().await
            }
        })
        .await;
        let failure = result.unwrap_err();
        assert_eq!(failure.reason, Reason::Unavailable);
        assert_eq!(failure.message, "connection refused, after 2 attempts");
    }
}

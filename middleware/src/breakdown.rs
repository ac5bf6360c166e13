//! Where the time of a request went, beyond its own phases: the app itself, and what it waited for.
//!
//! While a sidecar waits for its app, the app works or waits for others. Calls may overlap, so that
//! their sum says nothing; the *union* of them is the time in which the app waited for somebody, and
//! the rest of the wait is the app's own.

use std::{ops::Range, time::Duration};

/// The app's own time: what of `wait` no call covers.
///
/// All ranges count nanoseconds on one clock. A call that reaches beyond `wait` counts only inside
/// it; the app and its calls together are always exactly the wait.
///
/// ```
/// use std::time::Duration;
/// use throughline::breakdown::self_time;
///
/// let calls = [10..40, 30..60, 90..120];
/// assert_eq!(self_time(0..100, calls), Duration::from_nanos(40));
/// ```
#[must_use]
pub fn self_time(wait: Range<u64>, calls: impl IntoIterator<Item = Range<u64>>) -> Duration {
    let mut calls: Vec<Range<u64>> = calls
        .into_iter()
        .map(|call| call.start.max(wait.start)..call.end.min(wait.end))
        .filter(|call| !call.is_empty())
        .collect();
    calls.sort_unstable_by_key(|call| call.start);
    let mut own = 0;
    let mut covered_to = wait.start;
    for call in calls {
        own += call.start.saturating_sub(covered_to);
        covered_to = covered_to.max(call.end);
    }
    own += wait.end.saturating_sub(covered_to);
    Duration::from_nanos(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn calls_outside_the_wait_do_not_count() {
        assert_eq!(
            self_time(100..200, [0..90, 210..400]),
            Duration::from_nanos(100)
        );
        assert_eq!(self_time(100..200, [0..150, 140..400]), Duration::ZERO);
        assert_eq!(self_time(100..200, []), Duration::from_nanos(100));
    }

    proptest! {
        #[test]
        fn own_time_and_covered_time_are_the_wait(
            wait in (0u64..500, 0u64..500).prop_map(|(a, len)| a..a + len),
            calls in prop::collection::vec((0u64..1000, 0u64..300).prop_map(|(a, len)| a..a + len), 0..8),
        ) {
            let covered = wait.clone().filter(|t| calls.iter().any(|call| call.contains(t))).count() as u64;
            let own = self_time(wait.clone(), calls);
            prop_assert_eq!(own, Duration::from_nanos(wait.end - wait.start - covered));
        }
    }
}

//! How often requests got no answer, and of what kind that was; and how many wait.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Cause;

/// The counts of a pool, over all of its upstreams.
#[derive(Debug, Default)]
pub struct Counts {
    failed: [AtomicU64; Cause::ALL.len()],
    waiting: AtomicI64,
}

impl Counts {
    /// How many failed of `cause`.
    #[must_use]
    pub fn failed(&self, cause: Cause) -> u64 {
        self.failed[slot(cause)].load(Ordering::Relaxed)
    }

    /// How many wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn fail(&self, cause: Cause) {
        self.failed[slot(cause)].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn queued(&self, by: i64) {
        self.waiting.fetch_add(by, Ordering::Relaxed);
    }
}

/// Where a cause is counted: with those that are called the same.
fn slot(cause: Cause) -> usize {
    let name = cause.error_type();
    let slot = Cause::ALL.iter().position(|one| one.error_type() == name);
    slot.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_count_of_its_own() {
        let counts = Counts::default();
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(slot(cause), index);
            counts.fail(cause);
        }
        assert!(
            Cause::ALL
                .into_iter()
                .all(|cause| counts.failed(cause) == 1)
        );
    }
}

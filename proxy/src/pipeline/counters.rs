//! Counts of what happens to requests, beyond the account of their spans.

use std::sync::atomic::{AtomicU64, Ordering};

use throughline::span::Evidence;

/// Counters that anyone on the data path may bump, and that the admin port shows.
#[derive(Debug, Default)]
pub struct Counters {
    correlations: [AtomicU64; Evidence::ALL.len()],
    context_invalid: AtomicU64,
}

impl Counters {
    /// The parent of an outbound call was looked for, and this is how it is known.
    pub fn correlated(&self, evidence: Evidence) {
        self.correlations[slot(evidence)].fetch_add(1, Ordering::Relaxed);
    }

    /// A request had a context header that could not be read.
    pub fn context_invalid(&self) {
        self.context_invalid.fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls were correlated by `evidence`.
    #[must_use]
    pub fn correlations(&self, evidence: Evidence) -> u64 {
        self.correlations[slot(evidence)].load(Ordering::Relaxed)
    }

    /// How many requests had a context header that could not be read.
    #[must_use]
    pub fn contexts_invalid(&self) -> u64 {
        self.context_invalid.load(Ordering::Relaxed)
    }
}

fn slot(evidence: Evidence) -> usize {
    evidence as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_evidence_has_its_own_count() {
        let counters = Counters::default();
        for (n, evidence) in Evidence::ALL.into_iter().enumerate() {
            for _ in 0..n {
                counters.correlated(evidence);
            }
        }
        let got = Evidence::ALL.map(|evidence| counters.correlations(evidence));
        assert_eq!(got, [0, 1, 2, 3, 4, 5]);
        assert_eq!(counters.contexts_invalid(), 0);
    }
}

//! Counts of what happens to requests, beyond the account of their spans.

use std::sync::atomic::{AtomicU64, Ordering};

use throughline::{
    propagation::{Format, Reason, Rejections},
    span::Evidence,
};

/// Counters that anyone on the data path may bump, and that the admin port shows.
#[derive(Debug, Default)]
pub struct Counters {
    correlations: [AtomicU64; Evidence::ALL.len()],
    /// By format and reason.
    contexts_rejected: [[AtomicU64; Reason::COUNT]; Format::COUNT],
}

impl Counters {
    /// The parent of an outbound call was looked for, and this is how it is known.
    pub fn correlated(&self, evidence: Evidence) {
        self.correlations[slot(evidence)].fetch_add(1, Ordering::Relaxed);
    }

    /// A request had context headers that could not be read.
    pub fn contexts_rejected(&self, rejected: &Rejections) {
        for (format, reason) in rejected.iter() {
            self.contexts_rejected[format as usize][reason as usize]
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many calls were correlated by `evidence`.
    #[must_use]
    pub fn correlations(&self, evidence: Evidence) -> u64 {
        self.correlations[slot(evidence)].load(Ordering::Relaxed)
    }

    /// How often a header of `format` could not be read for this `reason`.
    #[must_use]
    pub fn rejections(&self, format: Format, reason: Reason) -> u64 {
        self.contexts_rejected[format as usize][reason as usize].load(Ordering::Relaxed)
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
        assert_eq!(got, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn each_format_and_reason_has_its_own_count() {
        let counters = Counters::default();
        let mut rejected = Rejections::default();
        rejected.note(Format::B3, Reason::Flags);
        rejected.note(Format::XRay, Reason::TraceId);
        counters.contexts_rejected(&rejected);
        counters.contexts_rejected(&rejected);
        assert_eq!(counters.rejections(Format::B3, Reason::Flags), 2);
        assert_eq!(counters.rejections(Format::XRay, Reason::TraceId), 2);
        assert_eq!(counters.rejections(Format::B3, Reason::TraceId), 0);
    }
}

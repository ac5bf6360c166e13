//! Counts of what happens to requests, beyond the account of their spans.

use std::sync::atomic::{AtomicU64, Ordering};

use throughline::{
    propagation::{Format, Reason, Rejections},
    span::Evidence,
};

use crate::{
    forwarders::{Forwarder, Mark},
    settle::Verdict,
};

/// Counters that anyone on the data path may bump, and that the admin port shows.
#[derive(Debug, Default)]
pub struct Counters {
    correlations: [AtomicU64; Evidence::ALL.len()],
    verdicts: [AtomicU64; Verdict::ALL.len()],
    /// By format and reason.
    contexts_rejected: [[AtomicU64; Reason::COUNT]; Format::COUNT],
    /// By forwarder and outcome, those that are not known last.
    forwarded: [[AtomicU64; Forwarded::ALL.len()]; Forwarder::ALL.len() + 1],
    floods: [AtomicU64; Flood::ALL.len()],
}

/// What an HTTP/2 peer sent so much of that its connection was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Requests that it reset at once.
    Reset,
    /// Requests that had to be reset, because something was wrong with them.
    StreamError,
    /// CONTINUATION frames of one head.
    Continuation,
    /// A head of too many bytes.
    Headers,
    /// DATA frames with nothing in them.
    Data,
    /// SETTINGS.
    Settings,
}

impl Flood {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Reset,
        Self::StreamError,
        Self::Continuation,
        Self::Headers,
        Self::Data,
        Self::Settings,
    ];

    /// How it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::StreamError => "stream_error",
            Self::Continuation => "continuation",
            Self::Headers => "headers",
            Self::Data => "data",
            Self::Settings => "settings",
        }
    }
}

/// What became of the context that a forwarder copied onto a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// It names an open request of ours, and is the parent.
    Exact,
    /// So it does, and the forwarder is of another version than we are.
    OtherVersion,
    /// It names none, so that it was not believed.
    Stale,
}

impl Forwarded {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Exact, Self::OtherVersion, Self::Stale];

    /// How it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::OtherVersion => "other_version",
            Self::Stale => "stale",
        }
    }
}

impl Counters {
    /// The parent of an outbound call was looked for, and this is how it is known.
    pub fn correlated(&self, evidence: Evidence) {
        self.correlations[slot(evidence)].fetch_add(1, Ordering::Relaxed);
    }

    /// More became known of the parent of an outbound call, with this verdict on what was decided.
    pub fn settled(&self, verdict: Verdict) {
        self.verdicts[verdict as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A request had context headers that could not be read.
    pub fn contexts_rejected(&self, rejected: &Rejections) {
        for (format, reason) in rejected.iter() {
            self.contexts_rejected[format as usize][reason as usize]
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A forwarder copied a context onto a call.
    pub fn forwarded(&self, mark: Mark, is_stale: bool) {
        let outcome = match (is_stale, mark.is_current) {
            (true, _) => Forwarded::Stale,
            (false, true) => Forwarded::Exact,
            (false, false) => Forwarded::OtherVersion,
        };
        self.forwarded[place(mark.by)][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls a forwarder copied a context onto, of which this became; `None` stands for all
    /// forwarders that are not known.
    #[must_use]
    pub fn forwards(&self, by: Option<Forwarder>, outcome: Forwarded) -> u64 {
        self.forwarded[place(by)][outcome as usize].load(Ordering::Relaxed)
    }

    /// An HTTP/2 connection was ended for what its peer sent too much of.
    pub fn flooded(&self, kind: Flood) {
        self.floods[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were ended for this.
    #[must_use]
    pub fn floods(&self, kind: Flood) -> u64 {
        self.floods[kind as usize].load(Ordering::Relaxed)
    }

    /// How many calls were correlated by `evidence`.
    #[must_use]
    pub fn correlations(&self, evidence: Evidence) -> u64 {
        self.correlations[slot(evidence)].load(Ordering::Relaxed)
    }

    /// How many calls were settled with `verdict`.
    #[must_use]
    pub fn verdicts(&self, verdict: Verdict) -> u64 {
        self.verdicts[verdict as usize].load(Ordering::Relaxed)
    }

    /// The share of settled assertions that were right; `None` before one was settled.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        let confirmed = self.verdicts(Verdict::Confirmed);
        share(confirmed, confirmed + self.verdicts(Verdict::Disputed))
    }

    /// The share of calls whose parent was asserted; `None` before the first call.
    #[must_use]
    pub fn coverage(&self) -> Option<f64> {
        let of = |evidence| self.correlations(evidence);
        let all = Evidence::ALL.into_iter().map(of).sum();
        share(all - of(Evidence::Open), all)
    }

    /// How often a header of `format` could not be read for this `reason`.
    #[must_use]
    pub fn rejections(&self, format: Format, reason: Reason) -> u64 {
        self.contexts_rejected[format as usize][reason as usize].load(Ordering::Relaxed)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn place(by: Option<Forwarder>) -> usize {
    by.map_or(Forwarder::ALL.len(), |by| by as usize)
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
        assert_eq!(got, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn shares_are_of_what_was_settled_and_of_all_calls() {
        let counters = Counters::default();
        assert_eq!((counters.precision(), counters.coverage()), (None, None));
        counters.settled(Verdict::Found);
        counters.settled(Verdict::StillOpen);
        assert_eq!(counters.precision(), None, "nothing that was asserted");
        counters.settled(Verdict::Disputed);
        assert_eq!(counters.precision(), Some(0.0));
        for _ in 0..3 {
            counters.settled(Verdict::Confirmed);
        }
        assert_eq!(counters.precision(), Some(0.75));
        assert_eq!(Verdict::ALL.map(|v| counters.verdicts(v)), [3, 1, 1, 1]);

        counters.correlated(Evidence::Open);
        assert_eq!(counters.coverage(), Some(0.0));
        counters.correlated(Evidence::Propagated);
        counters.correlated(Evidence::Timing);
        counters.correlated(Evidence::Timing);
        assert_eq!(counters.coverage(), Some(0.75));
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

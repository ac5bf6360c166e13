//! How much more likely does it become that this request caused the call?
//!
//! For each value of a call there are two stories. If the request caused it, the app copied the value
//! (at the rate that is learnt for its place) or it meets by chance; if not, by chance alone. The
//! quotient of the two is what a request's likelihood by time is to be multiplied by:
//!
//! ```text
//! the request has the value:        rate / share + (1 - rate)
//! it has not:                       1 - rate
//! ```
//!
//! So a value that all requests share weighs nothing, one that two share does not tell these two
//! apart and still speaks against the others, and a place that never copies is as good as not there.
//!
//! Values of one call are not independent (a user's id and the same user's token), and what was never
//! learnt may be coincidence. Hence the bounds.

use super::{
    copying::{Copying, Counts},
    fingerprint::{Fingerprint, Fingerprints},
    index::{Holders, Index, Request},
    rarity::Rarity,
};

/// The least that one value may leave of a request without it.
const LEAST_EACH: f32 = 0.02;

/// The bounds of all values together.
const LEAST: f64 = 1e-4;
const MOST: f64 = 1e4;

/// A match speaks for a request at most so much before its place was ever seen to copy. It then grows
/// with the square of how often it was: four times, by 100.
const MOST_UNLEARNT: f64 = 4.0;

/// What makes a match more than likely: see [`is_evidence`].
const EVIDENCE: Evidence = Evidence {
    share: 0.01,
    rate: 0.5,
    copied: 8.0,
    lift: 100.0,
};

struct Evidence {
    share: f32,
    rate: f32,
    copied: f32,
    lift: f32,
}

/// What the values of one call say of the open requests. To be used again: it keeps its room.
#[derive(Debug, Default)]
pub struct Weights {
    /// For those that share no value with the call.
    others: f32,
    /// For those that do, in their order.
    weights: Vec<(Request, f32)>,
    evidence: Option<Request>,
    matches: Vec<Match>,
}

impl Weights {
    /// No weights yet: each is 1.
    #[must_use]
    pub fn new() -> Self {
        Self {
            others: 1.0,
            ..Self::default()
        }
    }

    /// What the likelihood of this request is to be multiplied by.
    #[must_use]
    pub fn of(&self, request: Request) -> f32 {
        let at = self.weights.binary_search_by_key(&request, |(of, _)| *of);
        at.map_or(self.others, |at| self.weights[at].1)
    }

    /// What that of every request is to be multiplied by that is not [among](Self::sharing) those
    /// that share a value with the call.
    #[must_use]
    pub fn others(&self) -> f32 {
        self.others
    }

    /// The requests that share a value with the call, each with its factor.
    pub fn sharing(&self) -> impl ExactSizeIterator<Item = (Request, f32)> {
        self.weights.iter().copied()
    }

    /// The request whose value came back, if that is beyond reasonable doubt: no other open request
    /// has the value, it is rare, and calls like this one are known to copy it.
    #[must_use]
    pub fn evidence(&self) -> Option<Request> {
        self.evidence
    }

    /// Weighs a call.
    pub(super) fn fill(
        &mut self,
        kind: u64,
        call: &Fingerprints,
        copying: &Copying,
        index: &Index,
        rarity: &Rarity,
    ) {
        self.matches.clear();
        self.weights.clear();
        self.evidence = None;
        let mut nobody = 1.0;
        for (value, counts) in best_places(kind, call, copying) {
            let rate = counts.rate();
            let without = (1.0 - rate).max(LEAST_EACH);
            let holders = match index.holders(value.hash) {
                // Who is in it cannot be told, so that it speaks neither for nor against anybody.
                Some(Holders::Crowd(_)) => continue,
                holders => holders.map_or(&[][..], Holders::named),
            };
            nobody *= f64::from(without);
            if holders.is_empty() {
                continue;
            }
            let share = rarity.share(value.hash, value.bits);
            let with = rate / share + (1.0 - rate);
            let is_evidence = holders.len() == 1 && is_evidence(counts, share);
            self.matches.extend(holders.iter().map(|request| Match {
                request: *request,
                with,
                without,
                copied: counts.copied(),
                is_evidence,
            }));
        }
        self.others = bounded(nobody);
        self.matches.sort_unstable_by_key(|value| value.request);
        let mut claims = Claims::Nobody;
        for matches in self.matches.chunk_by(|a, b| a.request == b.request) {
            let weight = bounded(together(nobody, matches));
            let request = matches[0].request;
            self.weights.push((request, weight));
            if matches.iter().any(|value| value.is_evidence) {
                claims = match claims {
                    Claims::Nobody => Claims::One(request, weight),
                    Claims::One(..) | Claims::Several => Claims::Several,
                };
            }
        }
        // A value that came back from one request where another value says it was none.
        if let Claims::One(request, weight) = claims
            && weight >= EVIDENCE.lift
        {
            self.evidence = Some(request);
        }
    }
}

/// A request that has a value of the call.
#[derive(Clone, Copy, Debug)]
struct Match {
    request: Request,
    /// The factor for having the value, and for not having it.
    with: f32,
    without: f32,
    copied: f32,
    is_evidence: bool,
}

/// Whose value came back.
enum Claims {
    Nobody,
    One(Request, f32),
    Several,
}

/// The factor for a request that has these values, where one that has none gets `nobody`.
fn together(nobody: f64, matches: &[Match]) -> f64 {
    let mut gain = 1.0;
    let mut rest = nobody;
    let mut copied = 0.0_f32;
    for value in matches {
        gain *= f64::from(value.with);
        rest /= f64::from(value.without);
        copied = copied.max(value.copied);
    }
    let most = MOST_UNLEARNT * f64::from(1.0 + copied).powi(2);
    rest * gain.min(most).min(MOST)
}

fn bounded(weight: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "few digits are enough")]
    let weight = weight.clamp(LEAST, MOST) as f32;
    weight
}

fn is_evidence(counts: Counts, share: f32) -> bool {
    share <= EVIDENCE.share
        && counts.rate() >= EVIDENCE.rate
        && counts.copied() >= EVIDENCE.copied
        && counts.rate() / share >= EVIDENCE.lift
}

/// Each value of the call once, with what is known of the place that copies most of those where it
/// stands.
fn best_places<'c>(
    kind: u64,
    call: &'c Fingerprints,
    copying: &'c Copying,
) -> impl Iterator<Item = (&'c Fingerprint, Counts)> {
    let is_first = |at: usize, hash| !call.iter().take(at).any(|other| other.hash == hash);
    call.iter().enumerate().filter_map(move |(at, value)| {
        if !is_first(at, value.hash) {
            return None;
        }
        let same = call
            .iter()
            .skip(at)
            .filter(|other| other.hash == value.hash);
        let places = same.map(|same| copying.of(kind, same.slot));
        let best = places.max_by(|a, b| a.rate().total_cmp(&b.rate()))?;
        Some((value, best))
    })
}

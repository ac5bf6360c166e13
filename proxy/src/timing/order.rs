//! Is who waits longest served first?
//!
//! Requests that are equally far are told apart by their delays alone. Where an app has one queue, the
//! one that came first is also served first, and more often than delays can tell. How much more is
//! learnt for each state, from calls whose maker became known later.

use super::claims::{Claim, Claims};

/// How much has to be seen before it is believed, in decisions between equals.
const PRIOR: f64 = 16.0;

/// The most that is believed, as a natural logarithm of odds.
const MAX: f64 = 6.0;

/// Equals are looked for among those that are not less likely than this against the likeliest.
const MIN_EQUAL: f32 = 1e-3;

/// Several requests were equally far when a call came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    state: u32,
    /// Who waited longest.
    pub(super) first: u32,
    /// How likely the first was thought to have made the call, if one of these did.
    expected: f64,
}

/// Who made a call, as far as that became known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) request: u32,
    pub(super) probability: f32,
    /// Whether it was as far as the likeliest.
    pub(super) is_equal: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Learned {
    /// What the first one's odds are multiplied by, as a natural logarithm.
    log: f64,
    /// What it was learnt from.
    information: f64,
}

/// What is learnt about the order in which requests in the same state go on.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// By states, of which there are not many.
    learned: Vec<Learned>,
}

impl Orders {
    /// Raises the odds of the one that has waited longest among those that are as far as the likeliest.
    pub(super) fn prefer(&self, claims: &mut Claims) -> Option<Queue> {
        let most = claims.highest()?;
        let (state, least) = (most.standing.state, most.odds * MIN_EQUAL);
        let (mut equals, mut sum) = (0, 0.0);
        let (mut first, mut longest) = (0, u64::MAX);
        for (at, claim) in claims.all_mut().iter_mut().enumerate() {
            claim.is_equal = claim.odds >= least && claim.standing.state == state;
            if claim.is_equal {
                equals += 1;
                sum += f64::from(claim.odds);
                if claim.standing.since < longest {
                    (first, longest) = (at, claim.standing.since);
                }
            }
        }
        if equals < 2 {
            return None;
        }
        let Claim { request, odds, .. } = *claims.all().get(first)?;
        let others = sum - f64::from(odds);
        let odds = claims.raise(first, self.factor(state));
        Some(Queue {
            state,
            first: request,
            expected: odds / (odds + others).max(f64::MIN_POSITIVE),
        })
    }

    fn factor(&self, state: u32) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "a factor")]
        let factor = |learned: &Learned| learned.log.exp() as f32;
        self.learned.get(state as usize).map_or(1.0, factor)
    }

    /// It became known who made the call.
    pub(super) fn learn(&mut self, queue: &Queue, makers: &[Made]) {
        let (mut first, mut any) = (0.0, 0.0);
        for made in makers.iter().filter(|made| made.is_equal) {
            any += f64::from(made.probability);
            if made.request == queue.first {
                first += f64::from(made.probability);
            }
        }
        let expected = queue.expected;
        let state = queue.state as usize;
        if self.learned.len() <= state {
            self.learned.resize(state + 1, Learned::default());
        }
        let learned = &mut self.learned[state];
        learned.information += any * expected * (1.0 - expected);
        let step = (first - any * expected) / (PRIOR / 4.0 + learned.information);
        learned.log = (learned.log + step).clamp(-MAX, MAX);
    }
}

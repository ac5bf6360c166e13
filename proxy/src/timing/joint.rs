//! Ended requests, held against each other: who made which call, all at once.
//!
//! The filter keeps a belief for each request by itself. What it cannot keep is that two beliefs
//! exclude each other in more than one call: if one request made the first of two chains of calls, the
//! other made the second, as a whole. Once requests have ended there is time for that. Here are the
//! assignments of contested calls to ended requests in which no call was made twice, each with its
//! weight: the likeliest of them, and no more than [`MAX_ASSIGNMENTS`].

use std::ops::BitOr;

/// The most assignments that are kept.
const MAX_ASSIGNMENTS: usize = 256;

/// An assignment this much less likely than the likeliest is dropped.
const MIN_SHARE: f64 = 1e-9;

/// How unlikely it is that a call was made twice, where nothing else is left to believe.
const CLASH: f64 = 1e-6;

/// The most contested calls at a time.
pub(super) const MAX_CONTESTED: usize = 128;

/// A set of contested calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Set(u128);

impl Set {
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether they have a call in common.
    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Those that are not among the others.
    #[must_use]
    pub(super) fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// The calls in it.
    pub(super) fn iter(self) -> impl Iterator<Item = Bit> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let bit = u8::try_from(left.trailing_zeros()).ok()?;
            left &= left.checked_sub(1)?;
            Some(Bit(bit))
        })
    }
}

impl BitOr for Set {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One contested call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bit(u8);

impl Bit {
    /// Below [`MAX_CONTESTED`].
    pub(super) fn number(self) -> usize {
        usize::from(self.0)
    }

    pub(super) fn set(self) -> Set {
        Set(1 << self.0)
    }
}

#[derive(Clone, Debug)]
struct Assignment {
    weight: f64,
    made: u128,
    /// The choice for each request, in the order of `requests`.
    chosen: Vec<u8>,
}

#[derive(Debug)]
struct Ended {
    request: u32,
    choices: Vec<(u128, f64)>,
}

/// An assignment and one more choice: score, weight, the assignment, and the choice.
type Extended = (f64, f64, usize, u8);

/// The likeliest assignments of contested calls to ended requests.
#[derive(Debug)]
pub(super) struct Joint {
    assignments: Vec<Assignment>,
    requests: Vec<Ended>,
    /// The bits that stand for a call.
    used: u128,
    /// For each of them, the odds that a request made it that has not ended, or nobody did; as a share
    /// of `scale`.
    others: [f64; MAX_CONTESTED],
    /// For each of them, the odds of all when it began. Odds are rates and may be large or small in any
    /// unit; the product of a hundred of them has no place in a float, that of their shares has.
    scale: [f64; MAX_CONTESTED],
}

impl Joint {
    pub(super) fn new() -> Self {
        Self {
            assignments: vec![Assignment {
                weight: 1.0,
                made: 0,
                chosen: Vec::new(),
            }],
            requests: Vec::new(),
            used: 0,
            others: [1.0; MAX_CONTESTED],
            scale: [1.0; MAX_CONTESTED],
        }
    }

    /// A bit for one more contested call, if there is one left. `all` are the odds of all who may have
    /// made it.
    pub(super) fn begin(&mut self, all: f64) -> Option<Bit> {
        let bit = u8::try_from((!self.used).trailing_zeros()).ok()?;
        self.used |= 1_u128.checked_shl(u32::from(bit))?;
        self.scale[usize::from(bit)] = all.max(f64::MIN_POSITIVE);
        self.others[usize::from(bit)] = 1.0;
        Some(Bit(bit))
    }

    /// The odds that a request made this call that has not ended, or that nobody did.
    pub(super) fn expect(&mut self, call: Bit, others: f64) {
        let call = usize::from(call.0);
        self.others[call] = others / self.scale[call];
    }

    /// A request has ended; these are its choices, at most 256, each with its weight, in which the odds
    /// of each call that it made are a share of those of all. Says what share of all that is possible was
    /// kept.
    pub(super) fn end(&mut self, request: u32, choices: &[(Set, f64)]) -> f64 {
        let choices: Vec<(u128, f64)> = choices.iter().map(|(made, w)| (made.0, *w)).collect();
        let mut next = self.extended(&choices, |clash| (clash == 0).then_some(1.0));
        let mut kept = 1.0;
        if next.is_empty() {
            // What would fit was dropped on the way: two requests made the same call, it seems.
            next = self.extended(&choices, |clash| {
                Some(CLASH.powi(i32::try_from(clash).unwrap_or(i32::MAX)))
            });
            kept = 0.0;
        }
        let all: f64 = next.iter().map(|(score, ..)| score).sum();
        // The likeliest first; of equals, the one that was before.
        let order = |a: &Extended, b: &Extended| {
            let place = |extended: &Extended| (extended.2, extended.3);
            b.0.total_cmp(&a.0).then_with(|| place(a).cmp(&place(b)))
        };
        if next.len() > MAX_ASSIGNMENTS {
            next.select_nth_unstable_by(MAX_ASSIGNMENTS, order);
            next.truncate(MAX_ASSIGNMENTS);
        }
        next.sort_unstable_by(order);
        let least = next.first().map_or(0.0, |best| best.0 * MIN_SHARE);
        next.retain(|(score, ..)| *score >= least);
        let left: f64 = next.iter().map(|(score, ..)| score).sum();
        // The two are summed in different orders, so that what is left may seem more than all.
        kept *= (left / all.max(f64::MIN_POSITIVE)).min(1.0);
        let assignments = next.iter().map(|(_, weight, before, choice)| {
            let before = &self.assignments[*before];
            let mut chosen = Vec::with_capacity(before.chosen.len() + 1);
            chosen.extend_from_slice(&before.chosen);
            chosen.push(*choice);
            Assignment {
                weight: *weight,
                made: before.made | choices[usize::from(*choice)].0,
                chosen,
            }
        });
        self.assignments = assignments.collect();
        self.requests.push(Ended { request, choices });
        self.normalise();
        kept
    }

    /// All assignments with one of `choices` added.
    ///
    /// The score is the weight with what is expected of the calls that are left to others: without that,
    /// assignments with more calls and with fewer could not be compared.
    fn extended(
        &self,
        choices: &[(u128, f64)],
        clash: impl Fn(u32) -> Option<f64>,
    ) -> Vec<Extended> {
        let mut next = Vec::with_capacity(self.assignments.len() * choices.len());
        // The calls of one request are few, and all others are left over in each of its choices.
        let any = choices.iter().fold(0, |any, (made, _)| any | made);
        for (before, assignment) in self.assignments.iter().enumerate() {
            let rest = self.left(assignment.made, self.used & !any);
            for (choice, (made, weight)) in (0_u8..).zip(choices) {
                if let Some(factor) = clash((assignment.made & made).count_ones()) {
                    let weight = assignment.weight * weight * factor;
                    let left = self.left(assignment.made | made, self.used & any);
                    let score = weight * rest * left;
                    next.push((score, weight, before, choice));
                }
            }
        }
        next
    }

    /// What is expected of the calls in `of` that `made` leaves to others.
    fn left(&self, made: u128, of: u128) -> f64 {
        let mut left = of & !made;
        let mut product = 1.0;
        while left != 0 {
            product *= self.others[left.trailing_zeros() as usize];
            left &= left - 1;
        }
        product
    }

    /// The scores of the assignments, which sum to one.
    fn scores(&self) -> Vec<f64> {
        let score = |a: &Assignment| a.weight * self.left(a.made, self.used);
        let mut scores: Vec<f64> = self.assignments.iter().map(score).collect();
        let all: f64 = scores.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "at most a few hundred")]
        let even = 1.0 / scores.len().max(1) as f64;
        let is_something = all > 0.0 && all.is_finite();
        scores
            .iter_mut()
            .for_each(|score| *score = if is_something { *score / all } else { even });
        scores
    }

    /// No more becomes known of a call: how likely each of the ended requests made it.
    ///
    /// What is left of one is the probability that another did, or nobody.
    pub(super) fn settle(&mut self, call: Bit) -> Vec<(u32, f64)> {
        let bit = call.set().0;
        let scores = self.scores();
        let mut makers = Vec::new();
        for (at, ended) in self.requests.iter().enumerate() {
            let share: f64 = self
                .assignments
                .iter()
                .zip(&scores)
                .filter(|(a, _)| ended.choices[usize::from(a.chosen[at])].0 & bit != 0)
                .map(|(_, score)| score)
                .sum();
            if share > 0.0 {
                makers.push((ended.request, share));
            }
        }
        let others = self.others[usize::from(call.0)];
        for assignment in &mut self.assignments {
            if assignment.made & bit == 0 {
                assignment.weight *= others;
            }
            assignment.made &= !bit;
        }
        for ended in &mut self.requests {
            ended.choices.iter_mut().for_each(|(made, _)| *made &= !bit);
        }
        self.used &= !bit;
        self.normalise();
        makers
    }

    /// A request leaves none of whose calls is contested any more: how likely each choice was.
    pub(super) fn forget(&mut self, request: u32) -> Vec<f64> {
        let Some(at) = self.requests.iter().position(|e| e.request == request) else {
            return Vec::new();
        };
        let scores = self.scores();
        let ended = self.requests.remove(at);
        let mut shares = vec![0.0; ended.choices.len()];
        for (assignment, score) in self.assignments.iter_mut().zip(scores) {
            shares[usize::from(assignment.chosen.remove(at))] += score;
        }
        // Those that differed in this request alone are one now.
        self.assignments
            .sort_by(|a, b| (a.made, &a.chosen).cmp(&(b.made, &b.chosen)));
        self.assignments.dedup_by(|gone, kept| {
            let is_same = gone.made == kept.made && gone.chosen == kept.chosen;
            if is_same {
                kept.weight += gone.weight;
            }
            is_same
        });
        shares
    }

    /// How many assignments and requests there are.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.assignments.len(), self.requests.len())
    }

    fn normalise(&mut self) {
        let all: f64 = self.assignments.iter().map(|a| a.weight).sum();
        #[expect(clippy::cast_precision_loss, reason = "at most a few hundred")]
        let even = 1.0 / self.assignments.len().max(1) as f64;
        let is_something = all > 0.0 && all.is_finite();
        for assignment in &mut self.assignments {
            assignment.weight = if is_something {
                assignment.weight / all
            } else {
                even
            };
        }
    }
}

//! Is who waits longest served first?
//!
//! Requests that are equally far are told apart by their delays alone. Where an app has one queue, the
//! one that came first is also served first, and more often than delays can tell. How much more is
//! learnt for each state, from calls whose maker became known later.

use std::collections::HashMap;

/// How much has to be seen before it is believed, in decisions between equals.
const PRIOR: f64 = 16.0;

/// The most that is believed, as a natural logarithm of odds.
const MAX: f64 = 6.0;

/// Several requests were equally far when a call came.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    state: u32,
    /// Who waited longest.
    first: u32,
    all: Vec<u32>,
    /// How likely the first was thought to have made the call, if one of these did.
    expected: f32,
}

/// A request that is as far as the likeliest maker of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Equal {
    /// Its place among the odds.
    pub(super) place: usize,
    pub(super) request: u32,
    /// Since when it waits.
    pub(super) since: u64,
}

/// Who is preferred among equals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Preference {
    state: u32,
    /// Who waited longest.
    pub(super) first: u32,
    /// What its odds were multiplied by.
    pub(super) factor: f32,
    expected: f32,
}

impl Queue {
    /// What is to be learnt from, once it is known which of the equals made the call.
    pub(super) fn new(preference: &Preference, equals: &[Equal]) -> Self {
        Self {
            state: preference.state,
            first: preference.first,
            all: equals.iter().map(|equal| equal.request).collect(),
            expected: preference.expected,
        }
    }
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
    states: HashMap<u32, Learned>,
}

impl Orders {
    /// Raises the odds of the one that has waited longest among those that are as far as the likeliest.
    ///
    /// `equals` are in `state`. Says by what the odds of whom were multiplied.
    pub(super) fn prefer(
        &self,
        state: u32,
        equals: &[Equal],
        odds: &mut [(u32, f32)],
    ) -> Option<Preference> {
        let first = equals.iter().min_by_key(|equal| equal.since)?;
        if equals.len() < 2 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a factor")]
        let factor = self
            .states
            .get(&state)
            .map_or(1.0, |learned| learned.log.exp() as f32);
        odds[first.place].1 *= factor;
        let sum: f32 = equals.iter().map(|equal| odds[equal.place].1).sum();
        Some(Preference {
            state,
            first: first.request,
            factor,
            expected: odds[first.place].1 / sum.max(f32::MIN_POSITIVE),
        })
    }

    /// It became known who made the call: each request with its probability.
    pub(super) fn learn(&mut self, queue: &Queue, makers: &[(u32, f32)]) {
        let (mut first, mut any) = (0.0, 0.0);
        for (request, probability) in makers {
            if queue.all.contains(request) {
                any += f64::from(*probability);
            }
            if *request == queue.first {
                first += f64::from(*probability);
            }
        }
        let expected = f64::from(queue.expected);
        let learned = self.states.entry(queue.state).or_default();
        learned.information += any * expected * (1.0 - expected);
        let step = (first - any * expected) / (PRIOR / 4.0 + learned.information);
        learned.log = (learned.log + step).clamp(-MAX, MAX);
    }
}

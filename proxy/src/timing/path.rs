//! The ways that a request may have taken from state to state, until they are learnt from.

use super::{delays::Event, states::States};

/// The path of a long request is learnt from now and then, and then forgotten.
const MAX_STEPS: usize = 1024;

/// Room for longer paths is given back.
const MAX_SPARE_STEPS: usize = 512;

/// Before the first step.
pub(super) const BEGINNING: u32 = u32::MAX;

/// A visit to a state, and what ended it; an answer cuts it short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    /// The step that led there.
    pub(super) before: u32,
    pub(super) state: u32,
    pub(super) event: Option<Event>,
    pub(super) delay: u64,
}

/// All visits; ways that began together share them.
#[derive(Debug, Default)]
pub(super) struct Path {
    visits: Vec<Visit>,
}

impl Path {
    /// One more step; says which.
    #[inline]
    pub(super) fn step(&mut self, visit: Visit) -> u32 {
        let step = u32::try_from(self.visits.len()).unwrap_or(BEGINNING);
        self.visits.push(visit);
        step
    }

    /// Whether it is to be learnt from, for there is much of it.
    #[inline]
    pub(super) fn is_long(&self) -> bool {
        self.visits.len() > MAX_STEPS
    }

    /// Teaches `states` the way that led to a step.
    pub(super) fn learn(&self, step: u32, weight: f32, states: &mut States) {
        let mut at = step;
        while let Some(visit) = self.visits.get(at as usize) {
            states.learn(visit.state, visit.event, visit.delay, weight);
            at = visit.before;
        }
    }

    pub(super) fn clear(&mut self) {
        self.visits.clear();
    }

    /// Whether its room is worth keeping for another.
    pub(super) fn is_spare(&self) -> bool {
        self.visits.capacity() <= MAX_SPARE_STEPS
    }

    /// How many visits there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.visits.len()
    }
}

//! Where a request stands: what it has called so far, what of that is outstanding, what came last.

use std::collections::HashMap;

use super::{
    bins::{Ticks, bin},
    delays::{Delays, Event},
};

/// The most states that are kept apart; beyond, there are a few coarse ones for all routes.
const MAX_STATES: usize = 512;

/// Calls of one kind are counted up to this.
const MAX_COUNT: u8 = 6;

/// What came last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Last {
    Begun,
    Called,
    Answered,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    route: u16,
    /// Kinds of call and how often each was made, sorted.
    calls: Vec<(u16, u8)>,
    outstanding: u8,
    last: Last,
}

#[derive(Debug)]
struct State {
    key: Key,
    delays: Delays,
    /// Sorted by the step: where kinds have ids in their names, there are many.
    next: Vec<(Step, u32)>,
}

/// What takes a request from one state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// It calls.
    Call(u16),
    /// A call of its is answered.
    Answer,
}

/// All states of an app's requests.
#[derive(Debug)]
pub(super) struct States {
    all: Vec<State>,
    index: HashMap<Key, u32>,
    /// The last step that was asked for, and where it led: many requests take the same one at a time.
    latest: Option<(u32, Step, u32)>,
    ticks: Ticks,
}

impl States {
    pub(super) fn new(grain: u64) -> Self {
        Self {
            all: Vec::new(),
            index: HashMap::new(),
            latest: None,
            ticks: Ticks::every(grain),
        }
    }

    pub(super) fn grain(&self) -> u64 {
        self.ticks.grain()
    }

    /// The clock turned out to tick in other steps.
    pub(super) fn set_grain(&mut self, grain: u64) {
        self.ticks = Ticks::every(grain);
        for state in &mut self.all {
            state.delays.rebuild(&self.ticks);
        }
    }

    pub(super) fn ticks(&self) -> &Ticks {
        &self.ticks
    }

    #[inline]
    pub(super) fn delays(&self, state: u32) -> Option<&Delays> {
        self.all.get(state as usize).map(|state| &state.delays)
    }

    /// How likely nothing happens in this state for so long.
    pub(super) fn stayed(&self, state: u32, delay: u64) -> f32 {
        let delays = &self.all[state as usize].delays;
        delays.stayed(bin(delay), delay, &self.ticks)
    }

    /// The rate at which this state ends by `event` after `delay`, per second.
    pub(super) fn hazard(&self, state: u32, event: Event, delay: u64) -> f32 {
        self.all[state as usize].delays.hazards(event)[bin(delay)]
    }

    /// The kinds of call that were made on the way to this state.
    pub(super) fn calls(&self, state: u32) -> impl Iterator<Item = u16> {
        let calls = &self.all[state as usize].key.calls;
        calls.iter().map(|(kind, _)| *kind)
    }

    pub(super) fn learn(&mut self, state: u32, event: Option<Event>, delay: u64, weight: f32) {
        let delays = &mut self.all[state as usize].delays;
        delays.learn(event, delay, weight, &self.ticks);
    }

    /// The state in which a request of this route begins.
    pub(super) fn begin(&mut self, route: u16) -> u32 {
        self.intern(Key {
            route,
            calls: Vec::new(),
            outstanding: 0,
            last: Last::Begun,
        })
    }

    /// The state after a step.
    #[inline]
    pub(super) fn after(&mut self, state: u32, step: Step) -> u32 {
        match self.latest {
            Some((from, by, to)) if from == state && by == step => to,
            _ => {
                let to = self.step(state, step);
                self.latest = Some((state, step, to));
                to
            }
        }
    }

    fn step(&mut self, state: u32, step: Step) -> u32 {
        let from = &self.all[state as usize];
        let place = match from.next.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(known) => return from.next[known].1,
            Err(place) => place,
        };
        let mut key = from.key.clone();
        match step {
            Step::Call(kind) => {
                match key.calls.binary_search_by_key(&kind, |(kind, _)| *kind) {
                    Ok(at) => key.calls[at].1 = (key.calls[at].1 + 1).min(MAX_COUNT),
                    Err(at) => key.calls.insert(at, (kind, 1)),
                }
                key.outstanding = (key.outstanding + 1).min(MAX_COUNT);
                key.last = Last::Called;
            }
            Step::Answer => {
                key.outstanding = key.outstanding.saturating_sub(1);
                key.last = Last::Answered;
            }
        }
        let next = self.intern(key);
        self.all[state as usize].next.insert(place, (step, next));
        next
    }

    /// How many states there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    fn intern(&mut self, mut key: Key) -> u32 {
        if self.all.len() >= MAX_STATES && !self.index.contains_key(&key) {
            key.route = u16::MAX;
            key.calls.clear();
            key.outstanding = key.outstanding.min(1);
        }
        if let Some(state) = self.index.get(&key) {
            return *state;
        }
        let state = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.index.insert(key.clone(), state);
        self.all.push(State {
            key,
            delays: Delays::new(&self.ticks),
            next: Vec::new(),
        });
        state
    }
}

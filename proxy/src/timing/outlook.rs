//! What may come next, seen from one moment.
//!
//! When a call begins, the same is asked of every hypothesis of every open request. Requests of one route
//! are in the same few states, and those of which each may have made the same call are in them for
//! equally long: what was looked up for one is at hand for the next.

use super::{
    bins::bin,
    delays::{Event, Hazards},
    states::States,
};

/// How many states are at hand, by the last bits of their numbers.
const AT_HAND: usize = 8;

/// A state that began at some time, as it looks now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlook {
    /// How likely nothing happened in it until now.
    pub(super) stayed: f32,
    /// The rate of the event now, per second.
    pub(super) hazard: f32,
}

/// A state that is at hand.
#[derive(Clone, Copy, Debug)]
struct Known<'s> {
    state: u32,
    hazards: &'s Hazards,
    /// What was asked last, and the answer.
    since: u64,
    outlook: Outlook,
}

/// All states as they look at one moment, to one event.
#[derive(Debug)]
pub(super) struct Outlooks<'s> {
    states: &'s States,
    event: Event,
    now: u64,
    known: [Option<Known<'s>>; AT_HAND],
}

impl<'s> Outlooks<'s> {
    pub(super) fn new(states: &'s States, event: Event, now: u64) -> Self {
        Self {
            states,
            event,
            now,
            known: [None; AT_HAND],
        }
    }

    /// The rate of the event in a state that began then.
    pub(super) fn hazard(&mut self, state: u32, since: u64) -> f32 {
        let delay = self.now.saturating_sub(since);
        self.known(state, since).hazards[bin(delay)]
    }

    /// A state that began then.
    pub(super) fn of(&mut self, state: u32, since: u64) -> Outlook {
        let (states, now) = (self.states, self.now);
        let known = self.known(state, since);
        if known.since != since {
            known.since = since;
            known.outlook = outlook(states, state, known.hazards, now.saturating_sub(since));
        }
        known.outlook
    }

    fn known(&mut self, state: u32, since: u64) -> &mut Known<'s> {
        let known = &mut self.known[state as usize % AT_HAND];
        if known.is_some_and(|known| known.state != state) {
            *known = None;
        }
        known.get_or_insert_with(|| {
            let hazards = self.states.hazards(state, self.event);
            let delay = self.now.saturating_sub(since);
            Known {
                state,
                hazards,
                since,
                outlook: outlook(self.states, state, hazards, delay),
            }
        })
    }
}

fn outlook(states: &States, state: u32, hazards: &Hazards, delay: u64) -> Outlook {
    Outlook {
        stayed: states.stayed(state, delay),
        hazard: hazards[bin(delay)],
    }
}

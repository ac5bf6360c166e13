//! What may come next, seen from one moment.
//!
//! When a call begins, the same is asked of every hypothesis of every open request. Requests of one route
//! are in the same few states, and those of which each may have made the same call are in them for
//! equally long: what was looked up for one is at hand for the next.

use super::{
    bins::{BINS, Ticks, bin},
    delays::{Delays, Event},
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
    delays: &'s Delays,
    hazards: &'s [f32; BINS],
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
    /// Each by the last bits of its number.
    known: [Known<'s>; AT_HAND],
}

impl<'s> Outlooks<'s> {
    /// `None` if there are no states.
    pub(super) fn new(states: &'s States, event: Event, now: u64) -> Option<Self> {
        // Any state may stand where its number is not looked for.
        let any = Known::new(0, states.delays(0)?, event, now);
        Some(Self {
            states,
            event,
            now,
            known: [any; AT_HAND],
        })
    }

    /// The rate of the event in a state that began then.
    #[inline]
    pub(super) fn hazard(&mut self, state: u32, since: u64) -> f32 {
        let bin = bin(self.now.saturating_sub(since));
        self.known(state).hazards[bin]
    }

    /// A state that began then.
    #[inline]
    pub(super) fn of(&mut self, state: u32, since: u64) -> Outlook {
        let (now, ticks) = (self.now, self.states.ticks());
        let known = self.known(state);
        if known.since != since {
            known.ask(since, now.saturating_sub(since), ticks);
        }
        known.outlook
    }

    /// The same, where no other is likely to have begun then.
    #[inline]
    pub(super) fn of_one(&mut self, state: u32, since: u64) -> Outlook {
        let (now, ticks) = (self.now, self.states.ticks());
        self.known(state).look(now.saturating_sub(since), ticks)
    }

    #[inline]
    fn known(&mut self, state: u32) -> &mut Known<'s> {
        let known = &mut self.known[state as usize % AT_HAND];
        if known.state != state
            && let Some(delays) = self.states.delays(state)
        {
            *known = Known::new(state, delays, self.event, self.now);
        }
        known
    }
}

impl<'s> Known<'s> {
    #[inline(never)]
    fn new(state: u32, delays: &'s Delays, event: Event, now: u64) -> Self {
        let hazards = delays.hazards(event);
        Self {
            state,
            delays,
            hazards,
            // What begins now needs no question.
            since: now,
            outlook: Outlook {
                stayed: 1.0,
                hazard: hazards[bin(0)],
            },
        }
    }

    fn ask(&mut self, since: u64, delay: u64, ticks: &Ticks) {
        self.since = since;
        self.outlook = self.look(delay, ticks);
    }

    #[inline]
    fn look(&self, delay: u64, ticks: &Ticks) -> Outlook {
        let bin = bin(delay);
        Outlook {
            stayed: self.delays.stayed(bin, delay, ticks),
            hazard: self.hazards[bin],
        }
    }
}

//! One thing that a request may have done: where it would be now, and on which way it came there.

use super::{
    delays::Event,
    joint::Set,
    path::{Path, Visit},
    states::{States, Step},
};

/// One thing that a request may have done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hypothesis {
    /// How likely it was when its state began, relative to the others.
    pub(super) weight: f32,
    pub(super) state: u32,
    pub(super) since: u64,
    /// The last step on the way here.
    pub(super) step: u32,
    /// The contested calls that were made.
    pub(super) made: Set,
}

impl Hypothesis {
    /// What it is now in ended with `event`, or was cut short; the state is yet to be changed.
    #[inline]
    pub(super) fn step(&mut self, now: u64, event: Option<Event>, path: &mut Path) {
        self.step = path.step(Visit {
            before: self.step,
            state: self.state,
            event,
            delay: now.saturating_sub(self.since),
        });
        self.since = now;
    }

    /// The same request, if it made a contested call, with the weight of that.
    #[inline]
    pub(super) fn making(
        &self,
        weight: f32,
        own: Set,
        (now, event, step): (u64, Event, Step),
        path: &mut Path,
        states: &mut States,
    ) -> Self {
        let visit = Visit {
            before: self.step,
            state: self.state,
            event: Some(event),
            delay: now.saturating_sub(self.since),
        };
        Self {
            weight,
            state: states.after(self.state, step),
            since: now,
            step: path.step(visit),
            made: self.made | own,
        }
    }
}

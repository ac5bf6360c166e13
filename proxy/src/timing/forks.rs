//! Contested calls, at each of which requests fork: they made it, or they did not.
//!
//! In a crowd nearly every request may have made nearly every call, and gives that up again at the next
//! one. So a request does not become two at once. It only notes the call, with one weight; where it would
//! be now had it made the call is the same for all that were in the same state before, and is kept here,
//! once for all of them. It takes a hypothesis of its own when something happens to which that matters.

use super::{
    joint::Bit,
    states::{States, Step},
};

/// The most states from which requests fork at one call. From others they are split at once.
const MAX_WAYS: usize = 8;

/// Hypotheses are never quite impossible: what comes next may speak for them.
pub(super) const LEAST: f32 = 1e-20;

/// A call that a request may have made, and of which it knows nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fork {
    pub(super) call: Bit,
    /// The place of the way on which it would be.
    way: u8,
    /// How likely it is that the request made it, relative to its hypothesis.
    pub(super) weight: f32,
}

/// Where a request is that made a contested call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The state in which it made the call.
    from: u32,
    pub(super) state: u32,
    pub(super) since: u64,
    /// How likely it was that the call was not answered before it was.
    pub(super) stayed: f32,
}

/// A contested call, for those that fork at it.
#[derive(Debug, Default)]
pub(super) struct Forking {
    pub(super) kind: u16,
    pub(super) began: u64,
    pub(super) answered: Option<u64>,
    ways: Vec<Way>,
}

/// The contested calls by their bits.
#[derive(Debug, Default)]
pub(super) struct Forks {
    all: Vec<Forking>,
}

impl Forks {
    /// A contested call begins.
    pub(super) fn begin(&mut self, call: Bit, kind: u16, now: u64) {
        if self.all.len() <= call.number() {
            self.all.resize_with(call.number() + 1, Forking::default);
        }
        let forking = &mut self.all[call.number()];
        forking.kind = kind;
        forking.began = now;
        forking.answered = None;
        forking.ways.clear();
    }

    /// A contested call is answered.
    pub(super) fn answer(&mut self, call: Bit, now: u64, states: &mut States) {
        let Some(forking) = self.all.get_mut(call.number()) else {
            return;
        };
        forking.answered = Some(now);
        for way in &mut forking.ways {
            let stayed = states.stayed(way.state, now.saturating_sub(way.since));
            way.stayed = stayed.max(LEAST);
            way.state = states.after(way.state, Step::Answer);
            way.since = now;
        }
    }

    /// A request in this state may have made a call that begins now. `None` where it forks from too many.
    #[inline]
    pub(super) fn fork(
        &mut self,
        call: Bit,
        from: u32,
        weight: f32,
        states: &mut States,
    ) -> Option<Fork> {
        let forking = self.all.get_mut(call.number())?;
        let known = forking.ways.iter().position(|way| way.from == from);
        let way = match known {
            Some(way) => way,
            None => forking.add(from, states)?,
        };
        let way = u8::try_from(way).ok()?;
        Some(Fork { call, way, weight })
    }

    /// Where a request would be that forked.
    #[inline]
    pub(super) fn way(&self, fork: Fork) -> Option<&Way> {
        let forking = self.all.get(fork.call.number())?;
        forking.ways.get(usize::from(fork.way))
    }

    /// The call at which it forked.
    pub(super) fn call(&self, fork: Fork) -> Option<&Forking> {
        self.all.get(fork.call.number())
    }
}

impl Forking {
    /// The place of a new way.
    fn add(&mut self, from: u32, states: &mut States) -> Option<usize> {
        let place = self.ways.len();
        if place >= MAX_WAYS {
            return None;
        }
        self.ways.push(Way {
            from,
            state: states.after(from, Step::Call(self.kind)),
            since: self.began,
            stayed: 1.0,
        });
        Some(place)
    }
}

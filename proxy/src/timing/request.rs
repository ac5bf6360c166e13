//! One request: a mixture of hypotheses about what it has called so far.

use std::cell::RefCell;

use super::{
    delays::Event,
    states::{States, Step},
};

/// The most hypotheses of a request, where few requests are open.
pub(super) const MAX_HYPOTHESES: usize = 24;

/// A hypothesis that is less likely than this is dropped.
const MIN_SHARE: f32 = 3e-4;

/// Hypotheses are never quite impossible: what comes next may speak for them.
const LEAST: f32 = 1e-20;

/// The most contested calls of a request at a time.
pub(super) const MAX_CONTESTS: usize = 32;

/// The path of a long request is learnt from now and then, and then forgotten.
const MAX_STEPS: usize = 1024;

/// Room for longer paths is given back.
const MAX_SPARE_STEPS: usize = 256;

/// Before the first step.
const BEGINNING: u32 = u32::MAX;

/// One thing that a request may have done.
#[derive(Clone, Copy, Debug)]
struct Hypothesis {
    /// How likely it was when its state began, relative to the others.
    weight: f32,
    state: u32,
    since: u64,
    /// The last step on the way here.
    step: u32,
    /// Contested calls that were made, by their places.
    made: u32,
}

/// A visit to a state, and what ended it; an answer cuts it short.
#[derive(Clone, Copy, Debug)]
struct Visit {
    before: u32,
    state: u32,
    event: Option<Event>,
    delay: u64,
}

/// A call that this request may have made, or another.
#[derive(Clone, Copy, Debug)]
struct Contest {
    call: u32,
    /// What a hypothesis was multiplied by for having made the call, in shares of the odds of all.
    share: f64,
}

/// What a hypothesis is worth now, and what it would be if it made the call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'c> {
    pub(super) call: u32,
    pub(super) event: Event,
    pub(super) kind: u16,
    /// What the call's headers and the order of requests add to the odds.
    pub(super) factor: f32,
    pub(super) message: f32,
    /// The odds of all, itself among them.
    pub(super) all: f32,
    pub(super) max_hypotheses: usize,
    pub(super) now: u64,
    /// Where hypotheses are sorted.
    pub(super) scratch: &'c Scratch,
}

/// Room for [`Request::contest`] to work in.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// What each hypothesis is worth, without this call and with it.
    values: RefCell<Vec<(f32, bool, usize)>>,
    /// The hypotheses before the call.
    before: RefCell<Vec<Hypothesis>>,
}

/// A request, from its begin until nothing more can become known of it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) route: u16,
    hypotheses: Vec<Hypothesis>,
    contests: [Option<Contest>; MAX_CONTESTS],
    visits: Vec<Visit>,
}

/// Room that a request had, for another.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    hypotheses: Vec<Hypothesis>,
    visits: Vec<Visit>,
}

impl Request {
    pub(super) fn begin(now: u64, route: u16, states: &mut States, buffers: Buffers) -> Self {
        let Buffers {
            mut hypotheses,
            visits,
        } = buffers;
        hypotheses.push(Hypothesis {
            weight: 1.0,
            state: states.begin(route),
            since: now,
            step: BEGINNING,
            made: 0,
        });
        Self {
            route,
            hypotheses,
            contests: [None; MAX_CONTESTS],
            visits,
        }
    }

    /// The room that it had, unless that was more than most need.
    pub(super) fn into_buffers(mut self) -> Option<Buffers> {
        self.hypotheses.clear();
        self.visits.clear();
        (self.visits.capacity() <= MAX_SPARE_STEPS).then_some(Buffers {
            hypotheses: self.hypotheses,
            visits: self.visits,
        })
    }

    /// The rate at which this request makes such a call now, per second.
    pub(super) fn odds(&self, event: Event, now: u64, states: &States) -> f32 {
        if let [only] = self.hypotheses.as_slice() {
            let delay = now.saturating_sub(only.since);
            return states.hazard(only.state, event, delay);
        }
        let (mut with, mut all) = (0.0, 0.0);
        for hypothesis in &self.hypotheses {
            let delay = now.saturating_sub(hypothesis.since);
            let here = hypothesis.weight * states.stayed(hypothesis.state, delay);
            all += here;
            with += here * states.hazard(hypothesis.state, event, delay);
        }
        with / f32::max(all, f32::MIN_POSITIVE)
    }

    /// The likeliest state, and since when.
    pub(super) fn likeliest(&self) -> Option<(u32, u64)> {
        let weightiest = self
            .hypotheses
            .iter()
            .max_by(|a, b| a.weight.total_cmp(&b.weight));
        weightiest.map(|hypothesis| (hypothesis.state, hypothesis.since))
    }

    /// It made this call for certain.
    pub(super) fn call(&mut self, event: Event, kind: u16, now: u64, states: &mut States) {
        self.each(states, now, Some(event), Some(Step::Call(kind)), |_| true);
    }

    /// Its call was answered, for certain or in the hypotheses that made it.
    pub(super) fn answer(&mut self, call: Option<u32>, now: u64, states: &mut States) {
        let place = call.map(|call| self.place(call));
        match place {
            None => self.each(states, now, None, Some(Step::Answer), |_| true),
            Some(Some(place)) => {
                let bit = 1 << place;
                self.each(states, now, None, Some(Step::Answer), |made| {
                    made & bit != 0
                });
            }
            Some(None) => {}
        }
    }

    /// It ended.
    pub(super) fn end(&mut self, now: u64, states: &mut States) {
        self.each(states, now, Some(Event::End), None, |_| true);
    }

    /// Moves hypotheses on.
    fn each(
        &mut self,
        states: &mut States,
        now: u64,
        event: Option<Event>,
        step: Option<Step>,
        concerns: impl Fn(u32) -> bool,
    ) {
        for at in 0..self.hypotheses.len() {
            let hypothesis = self.hypotheses[at];
            if !concerns(hypothesis.made) {
                continue;
            }
            let delay = now.saturating_sub(hypothesis.since);
            let mut likely = states.stayed(hypothesis.state, delay);
            if let Some(event) = event {
                likely *= states.hazard(hypothesis.state, event, delay);
            }
            let mut next = self.step(hypothesis, now, event, step, states);
            next.weight = hypothesis.weight * likely.max(LEAST);
            self.hypotheses[at] = next;
        }
        self.normalise();
        self.learn_if_long(states);
    }

    /// Some hypotheses have made the call, and some not. Says which other contested calls no hypothesis
    /// has made any more, and whether any has made this one.
    pub(super) fn contest(
        &mut self,
        claim: Claim<'_>,
        states: &mut States,
        mut given_up: impl FnMut(u32),
    ) -> bool {
        let Some(place) = self.free_place() else {
            return false;
        };
        self.contests[place] = Some(Contest {
            call: claim.call,
            share: f64::from(claim.message) * f64::from(claim.all),
        });
        let mut values = claim.scratch.values.borrow_mut();
        values.clear();
        let mut sum = 0.0;
        for (at, hypothesis) in self.hypotheses.iter().enumerate() {
            let delay = claim.now.saturating_sub(hypothesis.since);
            let without = hypothesis.weight * states.stayed(hypothesis.state, delay);
            let hazard = states.hazard(hypothesis.state, claim.event, delay);
            let with = without * hazard * claim.factor * claim.message;
            values.push((without, false, at));
            values.push((with, true, at));
            sum += without + with;
        }
        if !(sum > 0.0 && sum.is_finite()) {
            // Out of range, as after hours in a state that never lasted: nothing is told apart.
            values.iter_mut().for_each(|(value, ..)| *value = 1.0);
            #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
            let count = values.len() as f32;
            sum = count;
        }
        values.retain(|(value, ..)| *value >= MIN_SHARE * sum);
        values.sort_by(|a, b| b.0.total_cmp(&a.0));
        values.truncate(claim.max_hypotheses);
        let sum: f32 = values.iter().map(|(value, ..)| value).sum();
        let mut before = claim.scratch.before.borrow_mut();
        before.clear();
        before.append(&mut self.hypotheses);
        let step = Some(Step::Call(claim.kind));
        for (value, makes, at) in values.iter() {
            let hypothesis = before[*at];
            let next = if *makes {
                let next = self.step(hypothesis, claim.now, Some(claim.event), step, states);
                Hypothesis {
                    weight: value / sum,
                    made: next.made | 1 << place,
                    ..next
                }
            } else {
                Hypothesis {
                    weight: hypothesis.weight / sum,
                    ..hypothesis
                }
            };
            self.hypotheses.push(next);
        }
        drop((values, before));
        self.normalise();
        let made = self.hypotheses.iter().fold(0, |all, h| all | h.made);
        for (at, contest) in self.contests.iter_mut().enumerate() {
            if made & 1 << at == 0
                && let Some(contest) = contest.take()
                && contest.call != claim.call
            {
                given_up(contest.call);
            }
        }
        self.learn_if_long(states);
        made & 1 << place != 0
    }

    /// What it may have done, now that it has ended, without what others think of that.
    ///
    /// `bit` is what stands for a contested call elsewhere.
    pub(super) fn choices<B: Copy + Default + std::ops::BitOrAssign>(
        &self,
        bit: impl Fn(u32) -> B,
    ) -> Vec<(B, f64)> {
        let choice = |hypothesis: &Hypothesis| {
            let mut made = B::default();
            let mut weight = f64::from(hypothesis.weight);
            for (at, contest) in self.contests.iter().enumerate() {
                if let Some(contest) = contest
                    && hypothesis.made & 1 << at != 0
                {
                    made |= bit(contest.call);
                    weight /= contest.share;
                }
            }
            (made, weight)
        };
        self.hypotheses.iter().map(choice).collect()
    }

    /// How likely each choice turned out to be; as far as they were `kept`, for the rest it stays.
    #[expect(clippy::cast_possible_truncation, reason = "a weight")]
    pub(super) fn decided(&mut self, shares: &[f64], kept: f64) {
        for (hypothesis, share) in self.hypotheses.iter_mut().zip(shares) {
            let weight = kept * share + (1.0 - kept) * f64::from(hypothesis.weight);
            hypothesis.weight = weight as f32;
        }
    }

    /// Nothing more becomes known of this call.
    pub(super) fn settle(&mut self, call: u32) {
        if let Some(place) = self.place(call) {
            self.contests[place] = None;
            for hypothesis in &mut self.hypotheses {
                hypothesis.made &= !(1 << place);
            }
        }
    }

    /// Whether it can have made one more contested call.
    pub(super) fn has_room(&self) -> bool {
        self.free_place().is_some()
    }

    /// The contested calls that it may have made.
    pub(super) fn contested(&self) -> impl Iterator<Item = u32> {
        self.contests.iter().flatten().map(|contest| contest.call)
    }

    /// Whether any call of it is contested.
    pub(super) fn is_contested(&self) -> bool {
        self.contests.iter().any(Option::is_some)
    }

    /// Teaches `states` the way that it took, and says which kinds of call it made, each with its
    /// probability.
    pub(super) fn learn(&mut self, states: &mut States, mut made: impl FnMut(u16, f64)) {
        for hypothesis in &self.hypotheses {
            for kind in states.calls(hypothesis.state) {
                made(kind, f64::from(hypothesis.weight));
            }
        }
        self.learn_visits(states);
    }

    fn learn_if_long(&mut self, states: &mut States) {
        if self.visits.len() > MAX_STEPS {
            self.normalise();
            self.learn_visits(states);
        }
    }

    fn learn_visits(&mut self, states: &mut States) {
        for hypothesis in &mut self.hypotheses {
            let mut at = hypothesis.step;
            while let Some(visit) = self.visits.get(at as usize) {
                states.learn(visit.state, visit.event, visit.delay, hypothesis.weight);
                at = visit.before;
            }
            hypothesis.step = BEGINNING;
        }
        self.visits.clear();
    }

    fn step(
        &mut self,
        hypothesis: Hypothesis,
        now: u64,
        event: Option<Event>,
        step: Option<Step>,
        states: &mut States,
    ) -> Hypothesis {
        self.visits.push(Visit {
            before: hypothesis.step,
            state: hypothesis.state,
            event,
            delay: now.saturating_sub(hypothesis.since),
        });
        Hypothesis {
            state: step.map_or(hypothesis.state, |step| {
                states.after(hypothesis.state, step)
            }),
            since: now,
            step: u32::try_from(self.visits.len() - 1).unwrap_or(BEGINNING),
            ..hypothesis
        }
    }

    /// How many hypotheses and visits there are.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.hypotheses.len(), self.visits.len())
    }

    fn normalise(&mut self) {
        let sum: f32 = self.hypotheses.iter().map(|h| h.weight).sum();
        let is_something = sum > 0.0 && sum.is_finite();
        for hypothesis in &mut self.hypotheses {
            hypothesis.weight = if is_something {
                hypothesis.weight / sum
            } else {
                1.0
            };
        }
    }

    fn place(&self, call: u32) -> Option<usize> {
        let is_it = |contest: &Option<Contest>| contest.is_some_and(|c| c.call == call);
        self.contests.iter().position(is_it)
    }

    fn free_place(&self) -> Option<usize> {
        self.contests.iter().position(Option::is_none)
    }
}

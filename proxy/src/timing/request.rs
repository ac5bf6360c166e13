//! One request: a mixture of hypotheses about what it has called so far.

use super::{
    contests::{Contest, Contests},
    delays::Event,
    kept::{Half, Worth, keep},
    outlook::Outlooks,
    path::{BEGINNING, Path, Visit},
    states::{States, Step},
};

/// The most hypotheses of a request, where few requests are open.
pub(super) const MAX_HYPOTHESES: usize = 24;

/// Hypotheses are never quite impossible: what comes next may speak for them.
const LEAST: f32 = 1e-20;

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

/// Where a request stands when a call begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// The rate at which it makes such a call, per second.
    pub(super) rate: f32,
    /// The likeliest state, and since when.
    pub(super) state: u32,
    pub(super) since: u64,
}

/// A call that a request may have made, or another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimed<'c> {
    pub(super) call: u32,
    pub(super) kind: u16,
    pub(super) now: u64,
    /// The request's place among the call's candidates.
    pub(super) candidate: u32,
    /// Its rate when the call began, and its [worths](Worth) if it has several hypotheses.
    pub(super) rate: f32,
    pub(super) worths: &'c [Worth],
    /// What the call's headers and the order of requests add to the odds.
    pub(super) factor: f32,
    /// The odds of all others, and with its own.
    pub(super) others: f32,
    pub(super) all: f32,
    pub(super) max_hypotheses: usize,
}

/// Room for [`Request::contest`] to work in.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    kept: Vec<Half>,
    next: Vec<Hypothesis>,
}

/// A request, from its begin until nothing more can become known of it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) route: u16,
    hypotheses: Vec<Hypothesis>,
    contests: Contests,
    path: Path,
}

/// Room that a request had, for another.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    hypotheses: Vec<Hypothesis>,
    contests: Contests,
    path: Path,
}

impl Request {
    pub(super) fn begin(now: u64, route: u16, states: &mut States, buffers: Buffers) -> Self {
        let Buffers {
            mut hypotheses,
            contests,
            path,
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
            contests,
            path,
        }
    }

    /// The room that it had, unless that was more than most need.
    pub(super) fn into_buffers(mut self) -> Option<Buffers> {
        self.hypotheses.clear();
        self.contests.clear();
        self.path.clear();
        self.path.is_spare().then_some(Buffers {
            hypotheses: self.hypotheses,
            contests: self.contests,
            path: self.path,
        })
    }

    /// Where it stands when a call begins.
    ///
    /// What each hypothesis is worth is added to `worths`, if there are several.
    pub(super) fn standing(
        &self,
        outlooks: &mut Outlooks<'_>,
        worths: &mut Vec<Worth>,
    ) -> Option<Standing> {
        let (first, others) = self.hypotheses.split_first()?;
        let mut likeliest = first;
        let rate = if others.is_empty() {
            outlooks.hazard(first.state, first.since)
        } else {
            let (mut with, mut all) = (0.0, 0.0);
            for hypothesis in &self.hypotheses {
                let outlook = outlooks.of(hypothesis.state, hypothesis.since);
                let without = hypothesis.weight * outlook.stayed;
                let worth = Worth {
                    without,
                    with: without * outlook.hazard,
                };
                all += worth.without;
                with += worth.with;
                worths.push(worth);
                if hypothesis.weight >= likeliest.weight {
                    likeliest = hypothesis;
                }
            }
            with / f32::max(all, f32::MIN_POSITIVE)
        };
        Some(Standing {
            rate,
            state: likeliest.state,
            since: likeliest.since,
        })
    }

    /// It made this call for certain.
    pub(super) fn call(&mut self, kind: u16, now: u64, states: &mut States) {
        let event = Some(Event::Call(kind));
        self.each(states, now, event, Some(Step::Call(kind)), |_| true);
    }

    /// A call that it made for certain was answered.
    pub(super) fn answer(&mut self, now: u64, states: &mut States) {
        self.each(states, now, None, Some(Step::Answer), |_| true);
    }

    /// The contested call in this place was answered, which concerns the hypotheses that made it.
    pub(super) fn answer_contested(&mut self, place: u8, now: u64, states: &mut States) {
        let bit = 1 << place;
        self.each(states, now, None, Some(Step::Answer), |made| {
            made & bit != 0
        });
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
        // The only one is certain, however unlikely it was.
        let is_certain = self.hypotheses.len() == 1;
        for hypothesis in &mut self.hypotheses {
            if !concerns(hypothesis.made) {
                continue;
            }
            let Hypothesis { state, since, .. } = *hypothesis;
            if !is_certain {
                let delay = now.saturating_sub(since);
                let mut likely = states.stayed(state, delay);
                if let Some(event) = event {
                    likely *= states.hazard(state, event, delay);
                }
                hypothesis.weight *= likely.max(LEAST);
            }
            hypothesis.step(now, event, &mut self.path);
            if let Some(step) = step {
                hypothesis.state = states.after(state, step);
            }
        }
        self.normalise();
        self.learn_if_long(states);
    }

    /// Some hypotheses have made the call, and some not. Says which other contested calls no hypothesis
    /// has made any more, and the place of this one, if any has made it.
    pub(super) fn contest(
        &mut self,
        claimed: &Claimed<'_>,
        states: &mut States,
        scratch: &mut Scratch,
        given_up: impl FnMut(Contest),
    ) -> Option<u8> {
        let message = 1.0 / claimed.others.max(1e-12);
        let place = self.contests.begin(Contest {
            call: claimed.call,
            candidate: claimed.candidate,
            share: f64::from(message) * f64::from(claimed.all),
        })?;
        let alone;
        let worths = if let [only] = self.hypotheses.as_slice() {
            let delay = claimed.now.saturating_sub(only.since);
            let without = only.weight * states.stayed(only.state, delay);
            let with = without * claimed.rate;
            alone = [Worth { without, with }];
            &alone
        } else {
            claimed.worths
        };
        let Scratch { kept, next } = scratch;
        keep(
            worths,
            [claimed.factor, message],
            claimed.max_hypotheses,
            kept,
        );
        let sum: f32 = kept.iter().map(|half| half.value).sum();
        next.clear();
        let mut made = 0;
        for half in kept.iter() {
            let mut hypothesis = self.hypotheses[half.of];
            if half.makes {
                let state = hypothesis.state;
                hypothesis.step(claimed.now, Some(Event::Call(claimed.kind)), &mut self.path);
                hypothesis.state = states.after(state, Step::Call(claimed.kind));
                hypothesis.made |= 1 << place;
                hypothesis.weight = half.value;
            }
            hypothesis.weight /= sum;
            made |= hypothesis.made;
            next.push(hypothesis);
        }
        std::mem::swap(&mut self.hypotheses, next);
        self.normalise();
        self.contests.keep(made, given_up);
        self.learn_if_long(states);
        (made & 1 << place != 0).then_some(place)
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
            for (place, contest) in self.contests.iter() {
                if hypothesis.made & 1 << place != 0 {
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

    /// Nothing more becomes known of the call in this place.
    pub(super) fn settle(&mut self, place: u8) {
        self.contests.end(place);
        for hypothesis in &mut self.hypotheses {
            hypothesis.made &= !(1 << place);
        }
    }

    /// The contested calls that it may have made.
    pub(super) fn contests(&self) -> &Contests {
        &self.contests
    }

    /// Teaches `states` the way that it took, and says which kinds of call it made, each with its
    /// probability.
    pub(super) fn learn(&mut self, states: &mut States, mut made: impl FnMut(u16, f64)) {
        for hypothesis in &self.hypotheses {
            for kind in states.calls(hypothesis.state) {
                made(kind, f64::from(hypothesis.weight));
            }
        }
        self.learn_path(states);
    }

    fn learn_if_long(&mut self, states: &mut States) {
        if self.path.is_long() {
            self.learn_path(states);
        }
    }

    fn learn_path(&mut self, states: &mut States) {
        for hypothesis in &mut self.hypotheses {
            self.path.learn(hypothesis.step, hypothesis.weight, states);
            hypothesis.step = BEGINNING;
        }
        self.path.clear();
    }

    /// How many hypotheses and visits there are.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.hypotheses.len(), self.path.len())
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
}

impl Hypothesis {
    /// What it is now in ended with `event`, or was cut short; the state is yet to be changed.
    fn step(&mut self, now: u64, event: Option<Event>, path: &mut Path) {
        self.step = path.step(Visit {
            before: self.step,
            state: self.state,
            event,
            delay: now.saturating_sub(self.since),
        });
        self.since = now;
    }
}

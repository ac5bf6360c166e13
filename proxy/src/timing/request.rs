//! One request: a mixture of hypotheses about what it has called so far.

use super::{
    calls::message,
    claims::Claim,
    delays::Event,
    forks::{Fork, Forks, LEAST},
    hypothesis::Hypothesis,
    joint::{Bit, Set},
    kept::{Cut, Half, keep_any},
    mixtures::{Mixture, Mixtures, Worth},
    outlook::Outlooks,
    path::{BEGINNING, Path},
    states::{States, Step},
};

/// The most hypotheses of a request, where few requests are open.
pub(super) const MAX_HYPOTHESES: usize = 24;

/// Where a request stands when a call begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// The rate at which it makes such a call, per second.
    pub(super) rate: f32,
    /// The likeliest state, and since when.
    pub(super) state: u32,
    pub(super) since: u64,
    /// The place of its mixture, if it has several hypotheses.
    pub(super) mixture: Option<u32>,
}

/// A call that each of several requests may have made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disputed {
    pub(super) call: Bit,
    pub(super) kind: u16,
    pub(super) now: u64,
    /// The odds of all.
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
    /// The contested call that it may have made besides, where there is one hypothesis.
    fork: Option<Fork>,
    /// The contested calls that any hypothesis made, and that.
    contested: Set,
    path: Path,
}

/// Room that a request had, for another.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    hypotheses: Vec<Hypothesis>,
    path: Path,
}

impl Request {
    pub(super) fn begin(now: u64, route: u16, states: &mut States, buffers: Buffers) -> Self {
        let Buffers {
            mut hypotheses,
            path,
        } = buffers;
        hypotheses.push(Hypothesis {
            weight: 1.0,
            state: states.begin(route),
            since: now,
            step: BEGINNING,
            made: Set::default(),
        });
        Self {
            route,
            hypotheses,
            fork: None,
            contested: Set::default(),
            path,
        }
    }

    /// The room that it had, unless that was more than most need.
    pub(super) fn into_buffers(mut self) -> Option<Buffers> {
        self.hypotheses.clear();
        self.path.clear();
        self.path.is_spare().then_some(Buffers {
            hypotheses: self.hypotheses,
            path: self.path,
        })
    }

    /// Where it stands when a call begins, if it has but one hypothesis.
    #[inline]
    pub(super) fn standing(&self, outlooks: &mut Outlooks<'_>) -> Option<Standing> {
        let ([only], None) = (self.hypotheses.as_slice(), self.fork) else {
            return None;
        };
        Some(Standing {
            rate: outlooks.hazard(only.state, only.since),
            state: only.state,
            since: only.since,
            mixture: None,
        })
    }

    /// Where it stands if it forked, what it is worth on either way being added to `mixtures`.
    #[inline(always)]
    pub(super) fn forked_standing(
        &self,
        outlooks: &mut Outlooks<'_>,
        forks: &Forks,
        mixtures: &mut Mixtures,
    ) -> Option<Standing> {
        let ([first], Some(fork)) = (self.hypotheses.as_slice(), self.fork) else {
            return None;
        };
        let way = forks.way(fork)?;
        let worth = Worth::new(first.weight, outlooks.of_one(first.state, first.since));
        let other = Worth::new(fork.weight, outlooks.of(way.state, way.since));
        let (place, rate) = mixtures.add_two(worth, other);
        let (state, since) = if fork.weight >= first.weight {
            (way.state, way.since)
        } else {
            (first.state, first.since)
        };
        Some(Standing {
            rate,
            state,
            since,
            mixture: Some(place),
        })
    }

    /// Where it stands if it has several, what they are worth being added to `mixtures`.
    #[inline]
    pub(super) fn mixed_standing(
        &self,
        outlooks: &mut Outlooks<'_>,
        mixtures: &mut Mixtures,
    ) -> Option<Standing> {
        let (first, others) = self.hypotheses.split_first()?;
        let mut worth = |hypothesis: &Hypothesis| {
            let outlook = outlooks.of(hypothesis.state, hypothesis.since);
            Worth::new(hypothesis.weight, outlook)
        };
        let mut likeliest = first;
        let first = worth(first);
        let others = others.iter().inspect(|other| {
            if other.weight >= likeliest.weight {
                likeliest = other;
            }
        });
        let (place, rate) = mixtures.add(first, others.map(worth));
        Some(Standing {
            rate,
            state: likeliest.state,
            since: likeliest.since,
            mixture: Some(place),
        })
    }

    /// It made this call for certain.
    pub(super) fn call(&mut self, kind: u16, now: u64, forks: &Forks, states: &mut States) {
        self.split_at_fork(forks, states);
        let event = Some(Event::Call(kind));
        self.each(states, now, event, Some(Step::Call(kind)), |_| true);
    }

    /// A call that it made for certain was answered.
    pub(super) fn answer(&mut self, now: u64, forks: &Forks, states: &mut States) {
        self.split_at_fork(forks, states);
        self.each(states, now, None, Some(Step::Answer), |_| true);
    }

    /// A contested call was answered, which concerns the hypotheses that made it. Where it only forked
    /// at it, that is known from the call.
    #[inline]
    pub(super) fn answer_contested(
        &mut self,
        call: Bit,
        now: u64,
        forks: &Forks,
        states: &mut States,
    ) {
        if let (Some(fork), [first]) = (&mut self.fork, self.hypotheses.as_mut_slice())
            && fork.call == call
        {
            if let Some(way) = forks.way(*fork) {
                let weights = [first.weight, fork.weight * way.stayed];
                [first.weight, fork.weight] = shares(weights);
            }
            return;
        }
        self.split_at_fork(forks, states);
        let call = call.set();
        self.each(states, now, None, Some(Step::Answer), |made| {
            made.meets(call)
        });
    }

    /// It ended.
    pub(super) fn end(&mut self, now: u64, forks: &Forks, states: &mut States) {
        self.split_at_fork(forks, states);
        self.each(states, now, Some(Event::End), None, |_| true);
    }

    /// Moves hypotheses on.
    fn each(
        &mut self,
        states: &mut States,
        now: u64,
        event: Option<Event>,
        step: Option<Step>,
        concerns: impl Fn(Set) -> bool,
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
        if self.path.is_long() {
            self.learn_path(states);
        }
    }

    /// Some hypotheses have made the call, and some not. Says which contested calls no hypothesis has
    /// made any more; this one may be among them.
    #[inline]
    pub(super) fn contest(
        &mut self,
        disputed: &Disputed,
        claim: &Claim,
        mixtures: &Mixtures,
        forks: &mut Forks,
        states: &mut States,
        scratch: &mut Scratch,
    ) -> Set {
        let own = disputed.call.set();
        let made = match self.fork_only_first(disputed, claim, mixtures, forks, states) {
            Some(made) => made,
            None => {
                self.split_at_fork(forks, states);
                self.split(disputed, claim, mixtures, states, scratch)
            }
        };
        let over = (self.contested | own).without(made);
        self.contested = made;
        over
    }

    /// Keeps the first hypothesis alone, and notes that it may have made a call, if nothing else is worth
    /// keeping. Says which contested calls it made then. In a crowd it is mostly so.
    #[inline]
    fn fork_only_first(
        &mut self,
        disputed: &Disputed,
        claim: &Claim,
        mixtures: &Mixtures,
        forks: &mut Forks,
        states: &mut States,
    ) -> Option<Set> {
        let mixture = mixtures.get(claim.standing.mixture?)?;
        let cut = Cut::new(mixture, claim.weight, message(claim.odds, disputed.all))?;
        let with = cut.only_first(mixture)?;
        let first = self.hypotheses.first_mut()?;
        let kept = mixture.first.without + with;
        let [stays, makes] = shares([first.weight / kept, with / kept]);
        self.fork = Some(forks.fork(disputed.call, first.state, makes, states)?);
        first.weight = stays;
        let made = first.made | disputed.call.set();
        self.hypotheses.truncate(1);
        Some(made)
    }

    /// Becomes two where it forked, for something happens to which that matters.
    fn split_at_fork(&mut self, forks: &Forks, states: &mut States) {
        let Some(fork) = self.fork.take() else {
            return;
        };
        if let (Some(first), Some(call), Some(way)) =
            (self.hypotheses.first(), forks.call(fork), forks.way(fork))
        {
            let step = (call.began, Event::Call(call.kind), Step::Call(call.kind));
            let mut makes =
                first.making(fork.weight, fork.call.set(), step, &mut self.path, states);
            if let Some(answered) = call.answered {
                makes.step(answered, None, &mut self.path);
                makes.state = way.state;
            }
            self.hypotheses.push(makes);
        }
    }

    /// Splits hypotheses into two halves each, of which the likely are kept. Says which contested calls any
    /// of them made.
    // Apart from what is done for each request of a crowd, which would else have no registers left.
    #[inline(never)]
    fn split(
        &mut self,
        disputed: &Disputed,
        claim: &Claim,
        mixtures: &Mixtures,
        states: &mut States,
        Scratch { kept, next }: &mut Scratch,
    ) -> Set {
        let place = claim.standing.mixture;
        let alone;
        let mixture = match place.and_then(|place| mixtures.get(place)) {
            Some(mixture) => mixture,
            None => {
                alone = Mixture::of_one(only(claim.standing, disputed.now, states));
                &alone
            }
        };
        let each = mixtures.each(mixture);
        kept.clear();
        match Cut::new(mixture, claim.weight, message(claim.odds, disputed.all)) {
            Some(cut) => cut.keep(each, disputed.max_hypotheses, kept),
            None => keep_any(each, disputed.max_hypotheses, kept),
        }
        let Disputed { kind, now, .. } = *disputed;
        let (own, step) = (
            disputed.call.set(),
            (now, Event::Call(kind), Step::Call(kind)),
        );
        next.clear();
        let mut made = Set::default();
        let sum: f32 = kept.iter().map(|half| half.value).sum();
        for half in kept.iter() {
            let Some(mut hypothesis) = self.hypotheses.get(usize::from(half.of)).copied() else {
                continue;
            };
            if half.makes {
                hypothesis = hypothesis.making(half.value, own, step, &mut self.path, states);
            }
            hypothesis.weight /= sum;
            made = made | hypothesis.made;
            next.push(hypothesis);
        }
        std::mem::swap(&mut self.hypotheses, next);
        self.normalise();
        if self.path.is_long() {
            self.learn_path(states);
        }
        made
    }

    /// What it may have done, now that it has ended, without what others think of that.
    ///
    /// `share` is what a hypothesis was multiplied by for having made a call.
    pub(super) fn choices(&self, share: impl Fn(Bit) -> f64) -> Vec<(Set, f64)> {
        let choice = |hypothesis: &Hypothesis| {
            let weight = f64::from(hypothesis.weight);
            let shares = hypothesis.made.iter().map(&share);
            (
                hypothesis.made,
                shares.fold(weight, |weight, share| weight / share),
            )
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

    /// Nothing more becomes known of a call.
    pub(super) fn settle(&mut self, call: Bit, forks: &Forks, states: &mut States) {
        if self.fork.is_some_and(|fork| fork.call == call) {
            self.split_at_fork(forks, states);
        }
        self.contested = self.contested.without(call.set());
        for hypothesis in &mut self.hypotheses {
            hypothesis.made = hypothesis.made.without(call.set());
        }
    }

    /// The contested calls that it may have made.
    #[inline]
    pub(super) fn contested(&self) -> Set {
        self.contested
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
        let forked = usize::from(self.fork.is_some());
        (self.hypotheses.len() + forked, self.path.len())
    }

    /// Weights are shares of their sum.
    fn normalise(&mut self) {
        let sum: f32 = self.hypotheses.iter().map(|h| h.weight).sum();
        let is_something = sum > 0.0 && sum.is_finite();
        for hypothesis in &mut self.hypotheses {
            let share = hypothesis.weight / sum;
            hypothesis.weight = if is_something { share } else { 1.0 };
        }
    }
}

/// Two weights as shares of their sum.
#[inline]
fn shares(weights: [f32; 2]) -> [f32; 2] {
    let sum = weights[0] + weights[1];
    weights.map(|weight| weight / sum)
}

/// What the only hypothesis of a request is worth.
fn only(standing: Standing, now: u64, states: &States) -> Worth {
    let Standing {
        rate, state, since, ..
    } = standing;
    let without = states.stayed(state, now.saturating_sub(since));
    Worth {
        without,
        with: without * rate,
    }
}

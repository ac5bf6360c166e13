//! Shows the filter what happened, and holds what it says against the truth.

use std::collections::HashMap;

use super::{
    super::{CallKey, Doubt, Filter, MAX_NAMED, Owner, RequestKey, Settled},
    sim::{Event, What},
};

/// From this confidence on a maker is asserted.
pub(super) const THRESHOLD: f32 = 0.9;

type Likely = [Option<(usize, f32)>; MAX_NAMED];

/// What was said of one call.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) kind: u64,
    pub(super) maker: Option<usize>,
    /// Who was named at once.
    pub(super) all_named: Vec<usize>,
    pub(super) at_once: Opinion,
    /// What is thought of it when nothing more becomes known.
    pub(super) finally: Opinion,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Opinion {
    pub(super) likeliest: Option<(usize, f32)>,
    pub(super) doubt: Option<Doubt>,
}

impl Opinion {
    fn new(likely: Likely, doubt: Option<Doubt>) -> Self {
        check_probabilities(&likely);
        Self {
            likeliest: likely[0],
            doubt,
        }
    }

    pub(super) fn asserted(&self) -> Option<usize> {
        let (request, confidence) = self.likeliest?;
        (self.doubt.is_none() && confidence >= THRESHOLD).then_some(request)
    }
}

/// Probabilities are probabilities, in falling order.
pub(super) fn check_probabilities<T: std::fmt::Debug>(likely: &[Option<(T, f32)>; MAX_NAMED]) {
    let named = || likely.iter().flatten().map(|(_, probability)| *probability);
    assert!(named().all(|p| (0.0..=1.0).contains(&p)), "{likely:?}");
    assert!(named().sum::<f32>() <= 1.0001, "{likely:?}");
    assert!(named().is_sorted_by(|a, b| a >= b), "{likely:?}");
}

/// What was said of all calls.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) said: Vec<Said>,
}

/// How good a part of it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Score {
    pub(super) calls: usize,
    pub(super) asserted: usize,
    pub(super) wrong: usize,
}

impl Score {
    fn of(opinions: impl Iterator<Item = (Option<usize>, Opinion)>) -> Self {
        let mut score = Self::default();
        for (maker, opinion) in opinions {
            score.calls += usize::from(maker.is_some());
            let asserted = opinion.asserted();
            score.asserted += usize::from(asserted.is_some());
            score.wrong += usize::from(asserted.is_some() && asserted != maker);
        }
        score
    }

    /// The share of what was asserted that is right.
    pub(super) fn precision(&self) -> f64 {
        1.0 - self.wrong as f64 / self.asserted.max(1) as f64
    }

    /// The share of the calls that requests made whose maker was asserted, and rightly.
    pub(super) fn coverage(&self) -> f64 {
        (self.asserted - self.wrong) as f64 / self.calls.max(1) as f64
    }
}

impl Report {
    pub(super) fn at_once(&self) -> Score {
        Score::of(self.said.iter().map(|said| (said.maker, said.at_once)))
    }

    pub(super) fn finally(&self) -> Score {
        Score::of(self.said.iter().map(|said| (said.maker, said.finally)))
    }

    /// Without the first so many calls.
    pub(super) fn after(&self, calls: usize) -> Self {
        Self {
            said: self.said[calls.min(self.said.len())..].to_vec(),
        }
    }

    /// Of what is asserted at least 99 % is right; and of all calls, so many are, at once and finally.
    #[track_caller]
    pub(super) fn check(&self, name: &str, at_once: f64, finally: f64) {
        self.check_precise(name, 0.99, at_once, finally);
    }

    #[track_caller]
    pub(super) fn check_precise(&self, name: &str, precision: f64, at_once: f64, finally: f64) {
        for (when, score, coverage) in [
            ("at once", self.at_once(), at_once),
            ("finally", self.finally(), finally),
        ] {
            let (right, covered) = (score.precision(), score.coverage());
            let text = format!("{name}, {when}: {right:.4} right, {covered:.3} covered");
            eprintln!("{text} of {}", score.calls);
            assert!(right >= precision, "{text}");
            assert!(covered >= coverage, "{text}");
        }
    }

    /// Of all calls at most 1 % are given to the wrong request.
    #[track_caller]
    pub(super) fn check_few_are_wrong(&self, name: &str) {
        for (when, score) in [("at once", self.at_once()), ("finally", self.finally())] {
            eprintln!("{name}, {when}: {score:?}");
            let most = self.said.len() / 100;
            assert!(score.wrong <= most, "{name}, {when}: {score:?}");
        }
    }
}

/// A filter and what is known beside it.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) filter: Filter<usize>,
    requests: HashMap<usize, Option<RequestKey>>,
    calls: HashMap<usize, CallKey>,
    by_key: HashMap<CallKey, usize>,
    pub(super) said: Vec<Said>,
    /// Of every so many calls one is told by something else than time.
    told_of: Option<usize>,
}

impl Observer {
    pub(super) fn new() -> Self {
        Self {
            filter: Filter::new(THRESHOLD),
            requests: HashMap::new(),
            calls: HashMap::new(),
            by_key: HashMap::new(),
            said: Vec::new(),
            told_of: None,
        }
    }

    /// One that is told the maker of one in so many calls.
    pub(super) fn told_of(calls: usize) -> Self {
        Self {
            told_of: Some(calls),
            ..Self::new()
        }
    }

    pub(super) fn see(&mut self, (now, what): Event) {
        self.see_weighed(now, what, |_, _| 1.0);
    }

    /// `weigh` is told the true maker and a request.
    pub(super) fn see_weighed(
        &mut self,
        now: u64,
        what: What,
        weigh: impl Fn(Option<usize>, usize) -> f32,
    ) {
        match what {
            What::Begin { request, route } => {
                let key = self.filter.begin(now, request, route);
                self.requests.insert(request, key);
            }
            What::Call { call, kind, maker } => {
                let requests = &self.requests;
                let name = |key| requests.iter().find(|(_, k)| **k == Some(key));
                let is_told = self.told_of.is_some_and(|calls| call % calls == 0);
                let key_of = |maker| requests.get(&maker).copied().flatten();
                let owner = match maker.and_then(key_of) {
                    _ if !is_told => Owner::Unknown,
                    Some(key) => Owner::Request(key),
                    None => Owner::Elsewhere,
                };
                let decision = self.filter.call(now, kind, owner, |key| {
                    name(key).map_or(1.0, |(name, _)| weigh(maker, *name))
                });
                if let Some(key) = decision.call {
                    self.calls.insert(call, key);
                    assert_eq!(self.by_key.insert(key, call), None, "a key for two calls");
                }
                let opinion = Opinion::new(decision.likely, decision.doubt);
                assert_eq!(call, self.said.len());
                let named = decision.likely.iter().flatten().map(|(name, _)| *name);
                self.said.push(Said {
                    kind,
                    maker,
                    all_named: named.collect(),
                    at_once: opinion,
                    finally: opinion,
                });
            }
            What::Answer { call } => {
                if let Some(key) = self.calls.remove(&call) {
                    self.filter.answered(now, key);
                }
            }
            What::End { request } => match self.requests.remove(&request) {
                Some(Some(key)) => self.filter.end(now, key),
                _ => self.filter.end_unknown(),
            },
        }
        self.settle(now);
    }

    /// Takes what became known.
    pub(super) fn settle(&mut self, now: u64) {
        for Settled {
            call,
            likely,
            doubt,
        } in self.filter.settled(now)
        {
            let call = self.by_key.remove(&call).expect("settled once");
            self.said[call].finally = Opinion::new(likely, doubt);
        }
    }

    pub(super) fn report(self) -> Report {
        Report { said: self.said }
    }
}

/// What is said of calls in these events.
pub(super) fn observe(events: &[Event]) -> Report {
    observe_by(Observer::new(), events)
}

/// The same by an observer that may know more.
pub(super) fn observe_by(mut observer: Observer, events: &[Event]) -> Report {
    for event in events {
        observer.see(*event);
    }
    let last = events.last().map_or(0, |(now, _)| *now);
    observer.settle(last.saturating_add(10_000_000_000));
    observer.report()
}

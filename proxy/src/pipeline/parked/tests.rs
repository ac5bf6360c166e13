//! Made-up moments: spans and outcomes in any order, and none of either beyond its time or number.

use std::{
    collections::{HashMap, HashSet},
    time::SystemTime,
};

use proptest::prelude::*;
use throughline::{
    ambient,
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
    span::{Evidence, Kind, Link, Parentage, Relation},
};

use super::*;

fn span(id: u64, call: u64) -> Box<Span> {
    let context = TraceContext::new(
        TraceId::epoch_prefixed(1, u128::from(id)),
        SpanId::from_random(id),
        TraceFlags::SAMPLED,
    );
    let mut span = Box::new(Span::new(Kind::Client, &context, SystemTime::UNIX_EPOCH));
    span.call = NonZeroU64::new(call);
    span.parentage = Some(Parentage {
        evidence: Evidence::Open,
        confidence: 0.0,
        candidates: 2,
    });
    span
}

fn found(parent: u64) -> Outcome {
    let mut outcome = Outcome {
        believed: true,
        ..Outcome::default()
    };
    outcome.likely[0] = Some(Link {
        relation: Relation::Candidate,
        trace_id: TraceId::epoch_prefixed(1, u128::from(parent)),
        span_id: SpanId::from_random(parent),
        flags: TraceFlags::SAMPLED,
        confidence: 0.97,
    });
    outcome
}

fn call(n: u64) -> NonZeroU64 {
    NonZeroU64::new(n).unwrap()
}

/// A lot, a clock that is moved by hand, and what went on.
struct Lot {
    parked: Parked,
    now: Instant,
    /// By the number in their span ids: whether they were written into, and the verdict.
    on: Vec<(SpanId, bool, Option<Verdict>)>,
}

impl Lot {
    fn new(max: usize) -> Self {
        Self {
            parked: Parked::new(max),
            now: ambient::now(),
            on: Vec::new(),
        }
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self.with(|parked, now, on| parked.expire(now, on))
    }

    fn take(&mut self, id: u64, call: u64) -> &mut Self {
        self.with(|parked, now, on| parked.take(span(id, call), now, on))
    }

    fn settle(&mut self, n: u64) -> &mut Self {
        self.with(|parked, now, on| parked.settle(call(n), found(n), now, on))
    }

    fn with(&mut self, what: impl FnOnce(&mut Parked, Instant, &mut On<'_>)) -> &mut Self {
        let on = &mut self.on;
        what(&mut self.parked, self.now, &mut |span, verdict| {
            on.push((span.span_id, span.links[0].is_some(), verdict));
        });
        self
    }

    /// What went on since the last look.
    fn check(&mut self, expected: &[(u64, bool, Option<Verdict>)]) -> &mut Self {
        let expected: Vec<_> = expected
            .iter()
            .map(|(id, linked, verdict)| (SpanId::from_random(*id), *linked, *verdict))
            .collect();
        assert_eq!(std::mem::take(&mut self.on), expected);
        self
    }
}

const FOUND: Option<Verdict> = Some(Verdict::Found);

#[test]
fn a_span_waits_for_its_outcome_and_one_without_a_call_for_nothing() {
    let mut lot = Lot::new(8);
    lot.take(1, 1).take(2, 0).check(&[(2, false, None)]);
    lot.settle(2).check(&[]);
    lot.settle(1).check(&[(1, true, FOUND)]);
    assert_eq!(lot.parked.len(), 0);
}

#[test]
fn all_attempts_are_written_into_and_their_call_is_counted_once() {
    let mut lot = Lot::new(8);
    lot.take(1, 7).take(2, 7).take(3, 8).settle(7);
    lot.check(&[(1, true, FOUND), (2, true, None)]);
    lot.after(1000).take(4, 7).check(&[(4, true, None)]);
    lot.settle(7).take(5, 7).check(&[(5, true, None)]);
}

#[test]
fn an_outcome_may_come_first_and_is_kept_for_six_seconds() {
    let mut lot = Lot::new(8);
    lot.settle(1).settle(2).after(5_999).take(1, 1);
    lot.check(&[(1, true, FOUND)]);
    lot.after(1).take(2, 2).check(&[]);
    assert_eq!(lot.parked.outcomes.len(), 0);
}

#[test]
fn an_outcome_that_came_again_is_kept_from_then() {
    let mut lot = Lot::new(8);
    lot.settle(1).after(4_000).settle(1).after(4_000).take(1, 1);
    lot.check(&[(1, true, FOUND)]);
}

#[test]
fn nothing_waits_for_longer_than_five_seconds() {
    let mut lot = Lot::new(8);
    lot.take(1, 1).after(1).take(2, 2).after(4_998).check(&[]);
    lot.after(1).check(&[(1, false, None)]);
    lot.after(1).check(&[(2, false, None)]);
    lot.settle(1).check(&[]);
}

#[test]
fn who_waits_longest_makes_room() {
    let mut lot = Lot::new(2);
    lot.take(1, 1)
        .take(2, 2)
        .take(3, 3)
        .check(&[(1, false, None)]);
    lot.settle(2).take(4, 4).check(&[(2, true, FOUND)]);
    lot.take(5, 5).check(&[(3, false, None)]);
    lot.with(|parked, _, on| parked.empty(on));
    lot.check(&[(4, false, None), (5, false, None)]);
    // Outcomes make room too: the first of three is gone.
    lot.settle(11).settle(12).settle(13).take(6, 11).take(7, 12);
    lot.check(&[(7, true, FOUND)]);

    Lot::new(0).take(1, 1).check(&[(1, false, None)]);
}

#[derive(Clone, Debug)]
enum Step {
    Take(u64),
    Settle(u64),
    After(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u64..12).prop_map(Step::Take),
        2 => (1u64..12).prop_map(Step::Settle),
        2 => (0u64..3_000).prop_map(Step::After),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn no_span_is_lost_doubled_or_held_too_long_and_memory_is_bounded(
        max in 0usize..6,
        steps in steps(),
    ) {
        let mut lot = Lot::new(max);
        let mut came: HashMap<SpanId, Instant> = HashMap::new();
        let mut gone: HashSet<SpanId> = HashSet::new();
        let mut verdicts = 0;
        let mut settled = 0;
        for (id, step) in (1u64..).zip(steps) {
            match step {
                Step::Take(call) => {
                    came.insert(SpanId::from_random(id), lot.now);
                    lot.take(id, call);
                }
                Step::Settle(call) => {
                    settled += 1;
                    lot.settle(call);
                }
                Step::After(millis) => {
                    lot.after(millis);
                }
            }
            for (id, linked, verdict) in lot.on.drain(..) {
                prop_assert!(came.contains_key(&id) && gone.insert(id), "once each");
                prop_assert!(verdict.is_none() || linked);
                verdicts += usize::from(verdict.is_some());
            }
            let waiting = came.iter().filter(|(id, _)| !gone.contains(id));
            let mut count = 0;
            for (_, since) in waiting {
                count += 1;
                prop_assert!(lot.now - *since < MAX_WAIT);
            }
            let parked = &lot.parked;
            prop_assert_eq!(count, parked.len());
            prop_assert_eq!(count, parked.by_call.len());
            prop_assert!(count <= max);
            prop_assert!(parked.order.len() <= max);
            prop_assert!(parked.outcomes.len() <= parked.order.len());
        }
        prop_assert!(verdicts <= settled, "a call is counted once for an outcome at most");
        lot.with(|parked, _, on| parked.empty(on));
        prop_assert!(lot.on.iter().all(|(id, ..)| gone.insert(*id)));
        prop_assert_eq!(gone.len(), came.len());
        prop_assert_eq!((lot.parked.len(), lot.parked.by_call.len()), (0, 0));
    }
}

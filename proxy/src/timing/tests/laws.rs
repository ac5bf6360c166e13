//! What holds whatever comes, in any order and at any time.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{
    super::{CallKey, Filter, Owner, RequestKey},
    observe::{THRESHOLD, check_probabilities},
    sim::{MS, SECOND},
};

#[derive(Clone, Debug)]
enum Do {
    Begin(u64),
    /// A call of this kind; who is known to own it; and what everybody weighs.
    Call(u64, Known, f32),
    /// Of what was begun so far: any, in whatever state it is.
    Answered(prop::sample::Index),
    End(prop::sample::Index),
    EndUnknown,
    Settled,
}

#[derive(Clone, Debug)]
enum Known {
    Nothing,
    Request(prop::sample::Index),
    Elsewhere,
}

fn act() -> impl Strategy<Value = Do> {
    let known = prop_oneof![
        8 => Just(Known::Nothing),
        1 => any::<prop::sample::Index>().prop_map(Known::Request),
        1 => Just(Known::Elsewhere),
    ];
    let weight = prop_oneof![8 => Just(1.0), 1 => Just(0.0), 1 => any::<f32>()];
    prop_oneof![
        6 => (0..4_u64).prop_map(Do::Begin),
        8 => (0..4_u64, known, weight).prop_map(|(kind, known, weight)| Do::Call(kind, known, weight)),
        6 => any::<prop::sample::Index>().prop_map(Do::Answered),
        4 => any::<prop::sample::Index>().prop_map(Do::End),
        1 => Just(Do::EndUnknown),
        1 => Just(Do::Settled),
    ]
}

/// How far the clock goes on: mostly a little, often not at all, at times very far.
fn step() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 12 => 0..5 * MS, 2 => 0..10 * SECOND, 1 => any::<u64>()]
}

struct World {
    filter: Filter<usize>,
    requests: Vec<RequestKey>,
    calls: Vec<CallKey>,
    /// How often each call was settled.
    settled: HashMap<CallKey, usize>,
}

impl World {
    fn new() -> Self {
        Self {
            filter: Filter::new(THRESHOLD),
            requests: Vec::new(),
            calls: Vec::new(),
            settled: HashMap::new(),
        }
    }

    fn act(&mut self, now: u64, act: &Do) {
        let of = |index: &prop::sample::Index, len: usize| (len > 0).then(|| index.index(len));
        match act {
            Do::Begin(route) => {
                let name = self.requests.len();
                self.requests.extend(self.filter.begin(now, name, *route));
            }
            Do::Call(kind, known, weight) => {
                let owner = match known {
                    Known::Nothing => Owner::Unknown,
                    Known::Elsewhere => Owner::Elsewhere,
                    Known::Request(index) => of(index, self.requests.len())
                        .map_or(Owner::Unknown, |at| Owner::Request(self.requests[at])),
                };
                let decision = self.filter.call(now, *kind, owner, |_| *weight);
                check_probabilities(&decision.likely);
                self.calls.extend(decision.call);
            }
            Do::Answered(index) => {
                if let Some(at) = of(index, self.calls.len()) {
                    self.filter.answered(now, self.calls[at]);
                }
            }
            Do::End(index) => {
                if let Some(at) = of(index, self.requests.len()) {
                    self.filter.end(now, self.requests[at]);
                }
            }
            Do::EndUnknown => self.filter.end_unknown(),
            Do::Settled => self.settle(now),
        }
    }

    fn settle(&mut self, now: u64) {
        for settled in self.filter.settled(now) {
            check_probabilities(&settled.likely);
            *self.settled.entry(settled.call).or_default() += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_order_at_any_time(acts in prop::collection::vec((step(), act()), 0..120)) {
        let mut world = World::new();
        // Which calls are contested is asked of the filter, right after each began.
        let mut contested = 0;
        let mut now = 0_u64;
        for (step, act) in &acts {
            // A step too far comes round: the clock is set back.
            now = now.wrapping_add(*step);
            let before = world.filter.sizes().contested + world.settled.len();
            world.act(now, act);
            if !matches!(act, Do::Settled) {
                world.settle(now);
            }
            let after = world.filter.sizes().contested + world.settled.len();
            prop_assert!(after >= before, "a contested call was lost");
            contested += after - before;
        }
        prop_assert!(world.filter.sizes().contested <= 128);
        now = now.min(u64::MAX - 4 * SECOND);
        world.settle(now);
        world.settle(now + 4 * SECOND);
        prop_assert_eq!(world.filter.sizes().contested, 0, "later than 4 s");
        prop_assert_eq!(world.settled.len(), contested, "each of them");
        prop_assert!(world.settled.values().all(|times| *times == 1), "once");

        for key in std::mem::take(&mut world.requests) {
            world.filter.end(now, key);
        }
        for key in std::mem::take(&mut world.calls) {
            world.filter.answered(now, key);
        }
        world.settle(now + 8 * SECOND);
        let sizes = world.filter.sizes();
        prop_assert_eq!((sizes.requests, sizes.calls, sizes.contested), (0, 0, 0));
        prop_assert_eq!(sizes.joint, (1, 0));
    }
}

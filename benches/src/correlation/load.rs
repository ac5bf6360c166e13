//! Traffic that is made up, with so many requests in flight at a time: with it is measured what the
//! filter costs.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    hint::black_box,
};

use throughline_proxy::timing::{Decision, Filter, Owner, RequestKey};

use super::replay::THRESHOLD;

/// What the requests in flight have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All but the newest have made their call, and work on: one alone can have made the next.
    Sole,
    /// All are about to make the same call, and who waits longest is no likelier to: each may be meant.
    Contested,
}

/// How many requests are learnt from, one by one.
const LEARNT: u64 = 2000;

/// The time between two events, in nanoseconds.
const STEP: u64 = 10_000;

const ROUTE: u64 = 1;
const KIND: u64 = 2;

/// A filter that has learnt, and its requests in flight.
#[derive(Debug)]
pub struct Load {
    filter: Filter<u64>,
    shape: Shape,
    now: u64,
    names: u64,
    in_flight: VecDeque<RequestKey>,
}

impl Load {
    /// So many requests in flight, after a time of one by one.
    #[must_use]
    pub fn new(shape: Shape, in_flight: u32) -> Self {
        let mut load = Self {
            filter: Filter::new(THRESHOLD),
            shape,
            now: 0,
            names: 0,
            in_flight: VecDeque::new(),
        };
        // In a turn there are three steps, and a request is in flight for as many turns as there are.
        let longest = 6 * u64::from(in_flight);
        for nth in 0..LEARNT {
            load.begin();
            let steps = match shape {
                Shape::Sole => 1,
                Shape::Contested => 1 + nth * 7919 % longest,
            };
            load.now += (steps - 1) * STEP;
            let decision = load.call();
            load.answer(&decision);
            load.now += match shape {
                Shape::Sole => longest / 2 * STEP,
                Shape::Contested => 0,
            };
            load.end();
            load.now += 100 * STEP;
        }
        load.begin();
        for _ in 1..in_flight {
            if shape == Shape::Sole {
                let decision = load.call();
                load.answer(&decision);
            }
            load.now += STEP;
            load.begin();
        }
        load
    }

    /// A call begins.
    pub fn call(&mut self) -> Decision<u64> {
        self.now += STEP;
        self.filter.call(self.now, KIND, Owner::Unknown, |_| 1.0)
    }

    /// What comes between two calls: this one is answered, a request ends and another begins.
    pub fn rest(&mut self, decision: &Decision<u64>) {
        self.answer(decision);
        self.end();
        self.begin();
    }

    fn begin(&mut self) {
        self.names += 1;
        let key = self.filter.begin(self.now, self.names, ROUTE);
        self.in_flight.extend(key);
    }

    fn answer(&mut self, decision: &Decision<u64>) {
        self.now += STEP;
        if let Some(call) = decision.call {
            self.filter.answered(self.now, call);
        }
    }

    fn end(&mut self) {
        self.now += STEP;
        let ends = match self.shape {
            Shape::Sole => self.in_flight.pop_front(),
            // By chance, and by the same in every run: then time alone never tells who is next.
            Shape::Contested => {
                let count = self.in_flight.len().max(1);
                let mut chance = DefaultHasher::new();
                self.names.hash(&mut chance);
                let place = usize::try_from(chance.finish()).map_or(0, |chance| chance % count);
                self.in_flight.swap_remove_back(place)
            }
        };
        if let Some(key) = ends {
            self.filter.end(self.now, key);
        }
        black_box(self.filter.settled(self.now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_what_it_is_called() {
        for (shape, is_contested) in [(Shape::Sole, false), (Shape::Contested, true)] {
            let mut load = Load::new(shape, 10);
            let mut turns = 0;
            for _ in 0..3000 {
                let decision = load.call();
                assert_eq!(decision.open, 10, "{shape:?}");
                turns += u32::from(decision.is_contested == is_contested);
                load.rest(&decision);
            }
            assert!(turns > 2990, "{shape:?}: {turns} of 3000 turns");
        }
    }
}

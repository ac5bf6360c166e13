//! What the filter that tells by time takes in memory: nothing more for a usual call, and never more than
//! a bound.

use std::collections::VecDeque;

use allocation_counter::measure;
use throughline_benches::correlation::load::{Load, Shape};
use throughline_proxy::timing::{Filter, Owner};

/// What the filter may have at a time, whatever comes.
const MOST: u64 = 32 << 20;

#[test]
fn a_call_that_is_one_requests_alone_allocates_nothing() {
    for in_flight in [10, 100, 1000] {
        let mut load = Load::new(Shape::Sole, in_flight);
        let mut turns = |count: u32| {
            for _ in 0..count {
                let decision = load.call();
                assert!(!decision.is_contested);
                load.rest(&decision);
            }
        };
        turns(2000);
        let allocations = measure(|| turns(10_000)).count_total;
        assert_eq!(allocations, 0, "with {in_flight} in flight");
    }
}

#[test]
fn a_call_that_may_be_anybodys_takes_a_bounded_room() {
    let mut contested = 0;
    let info = measure(|| {
        let mut load = Load::new(Shape::Contested, 1000);
        for _ in 0..300 {
            let decision = load.call();
            contested += u32::from(decision.is_contested);
            load.rest(&decision);
        }
    });
    assert_eq!(contested, 300);
    assert!(info.bytes_max < MOST, "{} bytes", info.bytes_max);
}

/// Ids in paths make thousands of routes and of kinds, and some calls are never answered.
#[test]
fn memory_is_bounded_where_names_have_ids_in_them() {
    let mut filter = Filter::new(0.9);
    let mut open = VecDeque::new();
    let mut now = 0;
    let mut rounds = |from: u64, to: u64| {
        for nth in from..to {
            now += 50_000;
            open.extend(filter.begin(now, nth, nth % 5003));
            let decision = filter.call(now + 30_000, nth, Owner::Unknown, |_| 1.0);
            let is_answered = !nth.is_multiple_of(7);
            if let Some(key) = decision.call.filter(|_| is_answered) {
                filter.answered(now + 40_000, key);
            }
            if open.len() > 4
                && let Some(key) = open.pop_front()
            {
                filter.end(now + 45_000, key);
            }
            filter.settled(now + 45_000);
        }
    };
    let first = measure(|| rounds(0, 50_000));
    let second = measure(|| rounds(50_000, 100_000));
    let (first_left, second_left) = (first.bytes_current, second.bytes_current);
    assert!(first.bytes_max < MOST, "{} bytes", first.bytes_max);
    assert!(
        second_left < 1 << 20,
        "{first_left} bytes after half of it, and {second_left} more after all"
    );
}

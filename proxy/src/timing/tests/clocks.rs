//! Clocks that stand still, tick coarsely or jump.

use super::{
    super::{Filter, Owner},
    accuracy::serial,
    observe::{THRESHOLD, observe},
    sim::{Event, MS, SECOND, app, closed},
};

const HOURS: u64 = 3600 * SECOND;

fn events(in_flight: usize) -> Vec<Event> {
    app(serial(), closed(in_flight), 1000).run(5)
}

fn at(events: &[Event], clock: impl Fn(usize, u64) -> u64) -> Vec<Event> {
    let with = |(place, (now, what)): (usize, &Event)| (clock(place, *now), *what);
    events.iter().enumerate().map(with).collect()
}

#[test]
fn a_clock_that_stands_still() {
    observe(&at(&events(1), |_, _| SECOND)).check("one", 0.99, 0.99);
    observe(&at(&events(3), |_, _| SECOND)).check("three", 0.0, 0.0);
    observe(&at(&events(3), |_, _| 0)).check("at nought", 0.0, 0.0);
    observe(&at(&events(3), |_, _| u64::MAX)).check("at the end of time", 0.0, 0.0);
}

#[test]
fn a_clock_that_ticks_in_milliseconds() {
    observe(&at(&events(3), |_, now| now / MS * MS)).check("milliseconds", 0.3, 0.4);
}

#[test]
fn a_clock_that_jumps() {
    let events = events(3);
    let middle = events.len() / 2;
    let ahead = |place, now| if place < middle { now } else { now + 5 * HOURS };
    observe(&at(&events, ahead)).check("ahead", 0.7, 0.85);
    let back = |place, now| if place < middle { now + 5 * HOURS } else { now };
    observe(&at(&events, back)).check("back", 0.7, 0.85);
    let to_and_fro = |place, now| now + (place as u64 / 100 % 2) * 5 * HOURS;
    // Each time, requests seem to have waited for hours.
    observe(&at(&events, to_and_fro)).check_precise("to and fro", 0.97, 0.4, 0.5);
}

#[test]
fn calls_are_settled_in_time_though_the_clock_was_set_back() {
    let mut filter = Filter::new(THRESHOLD);
    for name in 0..2 {
        filter.begin(HOURS, name, 1);
    }
    let mut call = |now| filter.call(now, 1, Owner::Unknown, |_| 1.0).call;
    let before = call(HOURS + MS);
    let after = call(SECOND);
    assert!(filter.settled(2 * SECOND).is_empty());
    let settled = filter.settled(SECOND + 4 * SECOND);
    let settled: Vec<_> = settled.iter().map(|settled| Some(settled.call)).collect();
    assert_eq!(settled, [before, after]);
}

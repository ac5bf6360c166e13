//! Apps that do what the filter does not expect: it may say less, but not what is wrong.

use std::collections::HashMap;

use super::{
    accuracy::{parallel, serial, several},
    observe::observe,
    sim::{App, Event, Load, MS, SECOND, Stage, What, about, app, closed, route, stage},
};

/// The same at three in flight, with something added.
fn with(change: impl Fn(&mut App)) -> App {
    let mut app = app(serial(), closed(3), 1000);
    change(&mut app);
    app
}

/// The same app, not always busy, so that what comes by itself is seen alone.
fn now_and_then_idle(background: &[(u64, f64, bool)]) -> App {
    App {
        load: Load::Open(100.0),
        ..with(|app| app.background = background.to_vec())
    }
}

#[test]
fn background_calls_of_the_same_kind() {
    // Requests make 200 calls a second.
    for (name, rate) in [("5 %", 10.0), ("20 %", 40.0)] {
        let report = several(&now_and_then_idle(&[(1, rate, false)]), 1..4);
        report.check(name, 0.9, 0.95);
    }
}

/// An app that is never idle shows nobody what comes by itself, so more of it is taken for its requests'.
#[test]
fn background_calls_of_the_same_kind_in_an_app_that_is_never_idle() {
    // At three in flight it makes about 1100 calls a second.
    for (name, rate, at_once, finally) in [("5 %", 55.0, 0.7, 0.8), ("20 %", 220.0, 0.45, 0.5)] {
        let report = several(&with(|app| app.background = vec![(1, rate, false)]), 1..3);
        report.check_precise(name, 0.97, at_once, finally);
    }
}

/// A period is not noticed: only how many come. 70 a second beside 200 are many.
#[test]
fn timers_with_a_period() {
    let report = several(&now_and_then_idle(&[(1, 5.0, true), (9, 2.0, true)]), 1..4);
    report.check("slow timers", 0.9, 0.95);
    let report = several(
        &now_and_then_idle(&[(1, 50.0, true), (9, 20.0, true)]),
        1..4,
    );
    report.check_precise("fast timers", 0.97, 0.9, 0.95);
}

#[test]
fn retries() {
    let retried = |stage: &mut Stage| stage.retried = 0.1;
    let report = several(
        &with(|app| {
            let stages = app.routes.iter_mut().flat_map(|route| &mut route.stages);
            stages.for_each(retried);
        }),
        1..4,
    );
    report.check("retries", 0.5, 0.7);
}

#[test]
fn requests_without_calls() {
    let report = several(
        &with(|app| {
            app.routes.push(route([]));
            // And on one route a request calls or does not.
            app.routes[2].stages[0].chance = 0.5;
        }),
        1..4,
    );
    report.check("requests without calls", 0.7, 0.8);
}

#[test]
fn calls_without_requests() {
    let mut quiet = route([]);
    quiet.rest = about(5 * MS, 1.6);
    let lonely = App {
        background: vec![(1, 300.0, false), (2, 50.0, true)],
        ..app(vec![quiet], Load::Open(100.0), 500)
    };
    let report = several(&lonely, 1..4);
    assert!(report.said.len() > 4000);
    report.check_few_are_wrong("calls without requests");
}

#[test]
fn calls_that_are_never_answered() {
    let report = several(&with(|app| app.unanswered = 0.3), 1..4);
    report.check("30 % unanswered", 0.2, 0.3);
}

/// Three requests, of a route each, wait for each other, and the last one makes one call for all. So
/// much time is between the first requests of two rounds.
fn joins(gap: u64, seed: u64) -> Vec<Event> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut events = Vec::new();
    let mut round_begins = SECOND;
    for round in 0..250 {
        let mut members = [0, 1, 2];
        rng.shuffle(&mut members);
        let mut now = round_begins;
        for member in members {
            now += rng.u64(MS / 5..3 * MS);
            let request = round * 3 + member;
            let route = member as u64;
            events.push((now, What::Begin { request, route }));
        }
        now += rng.u64(MS / 2..MS);
        let call = round;
        let maker = Some(round * 3 + members[2]);
        let kind = 1;
        events.push((now, What::Call { call, kind, maker }));
        now += 2 * MS;
        events.push((now, What::Answer { call }));
        for member in members {
            now += rng.u64(MS / 10..MS / 5);
            let request = round * 3 + member;
            events.push((now, What::End { request }));
        }
        round_begins += rng.u64(gap / 2..gap * 3 / 2);
    }
    in_order(events)
}

/// Sorted by time, and calls numbered in that order.
fn in_order(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by_key(|(now, _)| *now);
    let mut numbers = HashMap::new();
    for (_, what) in &mut events {
        if let What::Call { call, .. } | What::Answer { call } = what {
            let next = numbers.len();
            *call = *numbers.entry(*call).or_insert(next);
        }
    }
    events
}

/// How many runs of twelve give more than 1 % of calls to the wrong request.
fn misled_by_joins(gap: u64) -> usize {
    let is_misled = |seed: &u64| {
        let report = observe(&joins(gap, *seed));
        let wrong = report.at_once().wrong.max(report.finally().wrong);
        wrong * 100 > report.said.len()
    };
    (1..13).filter(is_misled).count()
}

#[test]
fn a_join_is_mostly_noticed() {
    for gap in [3 * MS, 12 * MS] {
        let misled = misled_by_joins(gap);
        assert!(misled <= 4, "{misled} of 12");
    }
}

/// That one route makes all the calls of a join explains them too, as long as each route takes part in
/// each round. Where the filter happens to believe that early, it goes on to, and no guard speaks up.
#[test]
#[ignore = "not kept yet: in one of four runs it settles on one of the routes"]
fn a_join_is_always_noticed() {
    for gap in [2 * MS, 5 * MS, 12 * MS] {
        assert_eq!(misled_by_joins(gap), 0);
    }
}

#[test]
fn everything_at_once() {
    let app = App {
        background: vec![(1, 40.0, false), (5, 30.0, true)],
        unanswered: 0.02,
        upstream: about(3 * MS, 2.5),
        ..app(
            parallel()
                .into_iter()
                .chain([route([stage(&[9])])])
                .collect(),
            Load::Open(100.0),
            1000,
        )
    };
    several(&app, 1..4).check("everything", 0.87, 0.9);
}

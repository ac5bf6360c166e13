//! Well-behaved apps: what is asserted is right, much is asserted, and confidence means what it says.

use super::{
    super::{Doubt, Filter, Owner},
    observe::{Observer, Report, THRESHOLD, observe, observe_by},
    sim::{App, Load, MS, Route, SECOND, app, closed, route, stage},
};

/// Three routes that call one after the other.
pub(super) fn serial() -> Vec<Route> {
    vec![
        route([stage(&[1]), stage(&[2])]),
        route([stage(&[2]), stage(&[3]), stage(&[1])]),
        route([stage(&[4])]),
    ]
}

/// Three routes that call in parallel.
pub(super) fn parallel() -> Vec<Route> {
    vec![
        route([stage(&[1, 2, 3])]),
        route([stage(&[2, 4]), stage(&[1])]),
        route([stage(&[5, 5])]),
    ]
}

/// The same app with several seeds, as one report.
pub(super) fn several(app: &App, seeds: std::ops::Range<u64>) -> Report {
    Report {
        said: seeds
            .flat_map(|seed| observe(&app.run(seed)).said)
            .collect(),
    }
}

#[test]
fn one_request_at_a_time_makes_every_call_from_the_first_on() {
    for routes in [serial(), parallel()] {
        for said in observe(&app(routes, closed(1), 300).run(1)).said {
            for opinion in [said.at_once, said.finally] {
                assert_eq!(opinion.asserted(), said.maker);
            }
        }
    }
}

#[test]
fn calls_while_nobody_is_open_have_no_maker_and_are_learnt_to_come_by_themselves() {
    let mut filter = Filter::<u8>::new(THRESHOLD);
    let mut now = SECOND;
    let mut confidence_after = |alone: u64| {
        for _ in 0..alone {
            now += 10 * MS;
            let decision = filter.call(now, 1, Owner::Unknown, |_| 1.0);
            assert_eq!(decision.likely, [None; 4]);
            assert_eq!(decision.doubt, Some(Doubt::Nobody));
        }
        let key = filter.begin(now, 1, 1).unwrap();
        let decision = filter.call(now + 100 * MS, 1, Owner::Unknown, |_| 1.0);
        now += 101 * MS;
        filter.end(now, key);
        (decision.likely[0].unwrap().1, decision.doubt)
    };
    let (before, doubt) = confidence_after(0);
    assert!(before > 0.99 && doubt.is_none());
    let (after, doubt) = confidence_after(100);
    assert!(after < 0.5, "{after}");
    assert_eq!(doubt, Some(Doubt::Ambiguous));
}

#[test]
fn calls_in_series_are_told_apart() {
    for (in_flight, at_once, finally) in [(2, 0.87, 0.95), (4, 0.65, 0.85), (6, 0.4, 0.65)] {
        let report = several(&app(serial(), closed(in_flight), 1000), 1..3);
        report.check(&format!("{in_flight} in flight"), at_once, finally);
    }
    for (rate, at_once, finally) in [(100.0, 0.92, 0.97), (600.0, 0.65, 0.85)] {
        let report = several(&app(serial(), Load::Open(rate), 1000), 1..3);
        report.check(&format!("{rate} a second"), at_once, finally);
    }
}

#[test]
fn calls_in_parallel_are_told_apart() {
    for (in_flight, at_once, finally) in [(2, 0.87, 0.92), (3, 0.8, 0.88), (4, 0.65, 0.8)] {
        let report = several(&app(parallel(), closed(in_flight), 1000), 1..4);
        report.check(&format!("{in_flight} in flight"), at_once, finally);
    }
    let report = several(&app(parallel(), Load::Open(300.0), 1000), 1..3);
    report.check("300 a second", 0.85, 0.92);
}

/// Six fans of the same kinds overlap, and a fan is mistaken as a whole: this is the hardest of all.
#[test]
fn six_fans_at_a_time_are_told_apart_nearly_as_well() {
    let report = several(&app(parallel(), closed(6), 1000), 1..3);
    report.check_precise("6 in flight", 0.98, 0.5, 0.65);
}

/// A FIFO app with four workers: alone for a while, and then with so many requests at once.
fn jumped(routes: &[Route], then: usize, requests: usize, seed: u64) -> Report {
    let jump = Load::Closed {
        first: 1,
        after: 300,
        then,
    };
    let app = App {
        workers: 4,
        ..app(routes.to_vec(), jump, requests)
    };
    observe(&app.run(seed))
}

/// For a while. What happens later is in the test after this one.
#[test]
fn a_load_that_jumps_does_not_mislead_at_first() {
    for routes in [serial(), parallel()] {
        for seed in 1..3 {
            let report = jumped(&routes, 64, 550, seed);
            report.check_few_are_wrong("from 1 to 64");
            // While it was alone, each request was asserted; so this is not for want of saying anything.
            assert!(report.at_once().asserted > 400);
        }
    }
}

#[test]
#[ignore = "not kept yet: of 48 runs with calls in parallel 14 have more than 1 % wrong, up to 11.5 % at \
            once and 20 % finally; it settles on what confirms itself"]
fn a_load_that_jumps_and_stays_does_not_mislead() {
    for routes in [serial(), parallel()] {
        for then in [8, 16, 24, 32, 48, 64] {
            for seed in 1..9 {
                let report = jumped(&routes, then, 1500, seed);
                report.check_few_are_wrong(&format!("from 1 to {then}, seed {seed}"));
            }
        }
    }
}

/// The same, where one call in five is told: by a header, or by the process that made it.
#[test]
fn what_is_told_keeps_a_load_from_misleading() {
    for then in [8, 16, 32, 64] {
        for seed in 1..5 {
            let jump = Load::Closed {
                first: 1,
                after: 300,
                then,
            };
            let app = App {
                workers: 4,
                ..app(parallel(), jump, 1500)
            };
            let report = observe_by(Observer::told_of(5), &app.run(seed));
            report.check_few_are_wrong(&format!("from 1 to {then}, seed {seed}"));
        }
    }
}

#[test]
fn a_cold_start_in_a_crowd_does_not_mislead() {
    for routes in [serial(), parallel()] {
        let app = App {
            workers: 4,
            ..app(routes, closed(64), 180)
        };
        observe(&app.run(1)).check_few_are_wrong("64 at once");
    }
}

#[test]
fn confidence_is_observed() {
    let report = several(&app(serial(), closed(3), 6000), 1..3).after(500);
    let stated = report.said.iter().map(|said| {
        let likeliest = said.at_once.likeliest;
        likeliest.map(|(request, p)| (f64::from(p), Some(request) == said.maker))
    });
    let stated: Vec<(f64, bool)> = stated.flatten().collect();
    for bin in [0.4..0.6, 0.6..0.75, 0.75..0.9, 0.9..0.97, 0.97..1.1] {
        let inside: Vec<_> = stated.iter().filter(|(p, _)| bin.contains(p)).collect();
        let count = inside.len() as f64;
        assert!(count > 500.0, "{bin:?}: {count}");
        let said = inside.iter().map(|(p, _)| p).sum::<f64>() / count;
        let right = inside.iter().filter(|(_, right)| *right).count() as f64 / count;
        eprintln!("{bin:?}: said {said:.3}, right {right:.3} of {count}");
        assert!((said - right).abs() < 0.03, "{bin:?}: {said} {right}");
    }
}

//! Memory and work are bounded, whatever comes.

use super::{
    super::{Doubt, Filter, Owner},
    accuracy::serial,
    observe::{Observer, THRESHOLD},
    sim::{App, MS, SECOND, US, app, closed},
};

type Keys = Vec<super::super::RequestKey>;

#[test]
fn thousands_of_routes_and_kinds() {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut filter = Filter::new(THRESHOLD);
    let mut now = SECOND;
    let mut open = Keys::new();
    for round in 0..6000 {
        now += rng.u64(1..2 * MS);
        open.extend(filter.begin(now, round, round));
        let decision = filter.call(now + US, rng.u64(..), Owner::Unknown, |_| 1.0);
        if let Some(call) = decision.call {
            filter.answered(now + 2 * US, call);
        }
        if open.len() > 3 {
            filter.end(now + 3 * US, open.swap_remove(rng.usize(..3)));
        }
        filter.settled(now);
    }
    let sizes = filter.sizes();
    assert!(sizes.states <= 512 + 16, "{sizes:?}");
    assert!(sizes.kinds <= 1024, "{sizes:?}");
    assert!(sizes.requests <= 256 && sizes.calls <= 128, "{sizes:?}");
    assert!(sizes.hypotheses <= 256 * 24, "{sizes:?}");
    assert!(sizes.joint.0 <= 256, "{sizes:?}");
}

#[test]
fn five_thousand_open_requests() {
    let mut filter = Filter::new(THRESHOLD);
    let now = |at: usize| SECOND + at as u64 * US;
    let keys: Vec<_> = (0..5000).map(|at| filter.begin(now(at), at, 1)).collect();
    assert_eq!(filter.open(), 5000);
    assert_eq!(filter.sizes().requests, 1024);
    for at in 5000..5100 {
        let decision = filter.call(now(at), 1, Owner::Unknown, |_| 1.0);
        assert_eq!(decision.open, 5000);
        assert_eq!(decision.doubt, Some(Doubt::Crowd));
    }
    for (at, key) in (5100..).zip(keys) {
        match key {
            Some(key) => filter.end(now(at), key),
            None => filter.end_unknown(),
        }
    }
    assert_eq!(filter.open(), 0);
    assert_eq!(filter.sizes().requests, 0);
    let key = filter.begin(now(20_000), 1, 1).unwrap();
    let decision = filter.call(now(20_100), 1, Owner::Unknown, |_| 1.0);
    assert_ne!(decision.doubt, Some(Doubt::Crowd), "it is over");
    assert!(decision.likely[0].is_some());
    filter.end(now(20_200), key);
}

#[test]
fn as_many_requests_as_are_told_apart_contest_a_call() {
    let mut filter = Filter::new(THRESHOLD);
    for at in 0..1024 {
        filter.begin(SECOND, at, 1);
    }
    for at in 1..40 {
        let decision = filter.call(SECOND + at * US, 1, Owner::Unknown, |_| 1.0);
        assert_eq!(decision.doubt, Some(Doubt::Ambiguous));
        let sizes = filter.sizes();
        assert!(sizes.hypotheses <= 2048 + 1024, "{sizes:?}");
    }
}

#[test]
fn a_request_that_stays_open_for_hours_and_calls_a_hundred_thousand_times() {
    let mut filter = Filter::new(THRESHOLD);
    let mut now = SECOND;
    let long = filter.begin(now, 0, 1).unwrap();
    let mut most = 0;
    for at in 0..100_000_u64 {
        now += 100 * MS + at % 7 * MS;
        let decision = filter.call(now, at % 3, Owner::Unknown, |_| 1.0);
        assert_eq!(decision.likely[0].unwrap().0, 0);
        filter.answered(now + MS, decision.call.unwrap());
        if at % 100 == 0 {
            most = most.max(filter.sizes().visits);
            filter.settled(now);
        }
    }
    assert!(most <= 1100, "{most} visits");
    assert!(most > 500, "{most} visits: not learnt from at every step");
    filter.end(now, long);
    assert_eq!(filter.sizes().requests, 0);
}

#[test]
fn calls_that_are_never_answered_do_not_stop_it() {
    // One request makes its calls for certain; those of two are contested.
    for in_flight in [1, 2] {
        let mut filter = Filter::new(THRESHOLD);
        for at in 0..5000 {
            let now = SECOND + at * MS;
            let begin = |_| filter.begin(now, at, 1).unwrap();
            let keys: Keys = (0..in_flight).map(begin).collect();
            let decision = filter.call(now + 300 * US, 1, Owner::Unknown, |_| 1.0);
            assert!(decision.call.is_some(), "after {at} calls of {in_flight}");
            for key in keys {
                filter.end(now + 600 * US, key);
            }
        }
        assert!(filter.sizes().calls <= 4096);
    }
}

#[test]
fn settled_calls_do_not_queue_behind_one_that_is_not() {
    let mut filter = Filter::new(THRESHOLD);
    let _stays = [filter.begin(SECOND, 0, 1), filter.begin(SECOND, 1, 1)];
    filter.call(SECOND + MS, 1, Owner::Unknown, |_| 1.0);
    for at in 2..2000 {
        // All within the time after which a call is settled whatever comes.
        let now = SECOND + at * MS;
        let keys = [at, at + 10_000].map(|name| filter.begin(now, name, 2).unwrap());
        let decision = filter.call(now + 200 * US, 2, Owner::Unknown, |_| 1.0);
        filter.answered(now + 300 * US, decision.call.unwrap());
        for key in keys {
            filter.end(now + 400 * US, key);
        }
    }
    let sizes = filter.sizes();
    assert!(sizes.contested <= 128, "{sizes:?}");
}

#[test]
fn nothing_is_remembered_in_the_end() {
    for (in_flight, workers) in [(3, usize::MAX), (64, 4)] {
        let app = App {
            workers,
            background: vec![(1, 100.0, false)],
            ..app(serial(), closed(in_flight), 110)
        };
        let mut observer = Observer::new();
        let events = app.run(1);
        for event in &events {
            observer.see(*event);
        }
        observer.settle(events.last().unwrap().0 + 4 * SECOND);
        let sizes = observer.filter.sizes();
        assert_eq!(sizes.requests, 0);
        assert_eq!(sizes.calls, 0);
        assert_eq!(sizes.contested, 0);
        assert_eq!(sizes.joint, (1, 0));
    }
}

//! What else is known of a call: who made it, who did not, and who is likelier than time tells. And
//! keys that are used in ways they should not be.

use super::{
    super::{Doubt, Filter, Owner},
    accuracy::serial,
    observe::{Observer, THRESHOLD, check_probabilities},
    sim::{MS, SECOND, US, What, app, closed},
};

/// A filter with three requests that are equally far.
fn three() -> (Filter<u8>, [super::super::RequestKey; 3]) {
    let mut filter = Filter::new(THRESHOLD);
    let keys = [0, 1, 2].map(|name| filter.begin(SECOND, name, 1).unwrap());
    (filter, keys)
}

#[test]
fn who_weighs_nothing_is_never_named() {
    let mut observer = Observer::new();
    let mut named = 0;
    for (now, what) in app(serial(), closed(4), 300).run(1) {
        // Here the true makers of calls of kind 1 weigh nothing.
        let is_one = matches!(what, What::Call { kind: 1, .. });
        observer.see_weighed(now, what, |maker, request| {
            if is_one && maker == Some(request) {
                0.0
            } else {
                1.0
            }
        });
        if is_one {
            let said = observer.said.last().unwrap();
            assert!(said.all_named.iter().all(|name| Some(*name) != said.maker));
            named += said.all_named.len();
        }
    }
    observer.settle(u64::MAX);
    assert!(named > 100);
    for said in &observer.said {
        if said.kind == 1 {
            let finally = said.finally.likeliest.map(|(name, _)| name);
            assert!(finally.is_none() || finally != said.maker);
        }
    }
}

#[test]
fn if_all_weigh_nothing_nobody_made_it() {
    let (mut filter, _) = three();
    let decision = filter.call(SECOND + MS, 1, Owner::Unknown, |_| 0.0);
    assert_eq!(decision.likely, [None; 4]);
    assert_eq!(decision.doubt, Some(Doubt::Nobody));
}

#[test]
fn who_is_weighed_up_wins_where_time_does_not_tell() {
    for winner in 0..3 {
        let (mut filter, keys) = three();
        let decision = filter.call(SECOND + MS, 1, Owner::Unknown, |key| {
            if key == keys[winner] { 1000.0 } else { 1.0 }
        });
        let (name, confidence) = decision.likely[0].unwrap();
        assert_eq!(usize::from(name), winner);
        assert!(confidence > 0.99);
        let (_, next) = decision.likely[1].unwrap();
        assert!(next < 0.01);
    }
}

#[test]
fn weights_that_make_no_sense_do_no_harm() {
    for weight in [f32::NAN, f32::INFINITY, f32::MAX, -1.0, f32::NEG_INFINITY] {
        let (mut filter, keys) = three();
        for at in 1..10 {
            let weigh = |key| if key == keys[0] { weight } else { 1.0 };
            let decision = filter.call(SECOND + at * MS, 1, Owner::Unknown, weigh);
            check_probabilities(&decision.likely);
            assert!(decision.likely[0].is_some(), "{weight}");
        }
        for key in keys {
            filter.end(SECOND + 10 * MS, key);
        }
        for settled in filter.settled(SECOND + 20 * SECOND) {
            check_probabilities(&settled.likely);
        }
    }
}

#[test]
fn an_owner_that_is_known_is_named_and_learnt_from() {
    let (mut filter, keys) = three();
    let decision = filter.call(SECOND + MS, 1, Owner::Request(keys[1]), |_| 0.0);
    assert_eq!(decision.likely[0], Some((1, 1.0)));
    assert_eq!(decision.doubt, None);
    filter.answered(SECOND + 3 * MS, decision.call.unwrap());
    for key in keys {
        filter.end(SECOND + 4 * MS, key);
    }
    assert!(
        filter.settled(SECOND + 10 * SECOND).is_empty(),
        "nothing to settle"
    );

    // Route 1 calls kind 1 and route 2 kind 2: so it was told, and so it guesses now.
    let mut now = 10 * SECOND;
    for round in 0..50 {
        let routes = [1, 2];
        let keys = routes.map(|route| filter.begin(now, round, route).unwrap());
        for (kind, key) in [(1, keys[0]), (2, keys[1])] {
            let owner = Owner::Request(key);
            let call = filter.call(now + kind * 100 * US, kind, owner, |_| 1.0);
            filter.answered(now + MS, call.call.unwrap());
        }
        for key in keys {
            filter.end(now + 2 * MS, key);
        }
        now += 10 * MS;
    }
    filter.begin(now, 101, 1).unwrap();
    filter.begin(now, 102, 2).unwrap();
    let decision = filter.call(now + 150 * US, 2, Owner::Unknown, |_| 1.0);
    let (name, confidence) = decision.likely[0].unwrap();
    assert_eq!(name, 102);
    assert!(confidence > 0.95, "{confidence}");
}

#[test]
fn a_call_from_elsewhere_is_nobodys_and_teaches_nothing() {
    let (mut told, _) = three();
    let (mut untold, _) = three();
    for at in 1..100 {
        let decision = told.call(SECOND + at * US, 1, Owner::Elsewhere, |_| 1.0);
        assert_eq!(decision.likely, [None; 4]);
        assert_eq!(decision.call, None);
        assert_eq!(decision.doubt, Some(Doubt::Nobody));
        // The other only hears that time passes.
        untold.settled(SECOND + at * US);
    }
    let [a, b] = [&mut told, &mut untold].map(|f| f.call(SECOND + MS, 1, Owner::Unknown, |_| 1.0));
    assert_eq!(a.likely, b.likely);
}

#[test]
fn keys_of_what_is_forgotten_do_nothing() {
    let (mut filter, keys) = three();
    let call = filter.call(SECOND + MS, 1, Owner::Request(keys[0]), |_| 1.0);
    let call = call.call.unwrap();
    for _ in 0..2 {
        filter.answered(SECOND + 2 * MS, call);
        for key in keys {
            filter.end(SECOND + 3 * MS, key);
        }
        assert_eq!(filter.open(), 0);
        assert_eq!(filter.sizes().requests, 0);
        assert_eq!(filter.sizes().calls, 0);
    }
    let new = filter.begin(SECOND + 4 * MS, 3, 1).unwrap();
    let owner = Owner::Request(keys[0]);
    let decision = filter.call(SECOND + 5 * MS, 1, owner, |_| 1.0);
    assert_eq!(
        decision.likely, [None; 4],
        "it is not the one in the same slot"
    );
    for key in keys {
        filter.end(SECOND + 6 * MS, key);
    }
    assert_eq!(filter.open(), 1, "it is not ended by the keys of others");
    filter.end(SECOND + 6 * MS, new);
    filter.end_unknown();
    assert_eq!(filter.open(), 0);
}

/// A call may outlive its request, and another request may be in its place when the answer comes.
#[test]
fn a_late_answer_is_not_taken_for_that_of_another_request() {
    let decide = |is_answered: bool| {
        let (mut filter, keys) = three();
        let call = filter.call(SECOND + MS, 1, Owner::Request(keys[2]), |_| 1.0);
        filter.end(SECOND + 2 * MS, keys[2]);
        let new = filter.begin(SECOND + 3 * MS, 3, 1).unwrap();
        filter.call(SECOND + 4 * MS, 1, Owner::Request(new), |_| 1.0);
        if is_answered {
            filter.answered(SECOND + 5 * MS, call.call.unwrap());
        }
        filter
            .call(SECOND + 6 * MS, 2, Owner::Unknown, |_| 1.0)
            .likely
    };
    assert_eq!(decide(true), decide(false));
}

//! Requests that fork at a contested call, and are not split before that matters.

use super::{
    super::{
        Filter, Owner,
        delays::Event,
        forks::Forks,
        joint::Joint,
        states::{States, Step},
    },
    observe::THRESHOLD,
    sim::{MS, SECOND, US},
};

/// Kinds of call.
const FIRST: u16 = 1;
const SECOND_KIND: u16 = 2;

#[test]
fn those_who_forked_are_where_their_call_and_its_answer_lead() {
    let mut states = States::new(US);
    let mut forks = Forks::default();
    let call = Joint::new().begin(1.0).unwrap();
    let from = states.begin(0);
    let other = states.after(from, Step::Call(FIRST));
    for state in [from, other] {
        let called = states.after(state, Step::Call(SECOND_KIND));
        states.learn(called, Some(Event::End), MS, 3.0);
    }
    forks.begin(call, SECOND_KIND, 5 * MS);
    let taken = [from, other, from].map(|state| forks.fork(call, state, 0.5, &mut states).unwrap());
    for (fork, state) in taken.into_iter().zip([from, other, from]) {
        let way = forks.way(fork).unwrap();
        let called = states.after(state, Step::Call(SECOND_KIND));
        assert_eq!((way.state, way.since), (called, 5 * MS));
    }
    forks.answer(call, 7 * MS, &mut states);
    for (fork, state) in taken.into_iter().zip([from, other, from]) {
        let way = forks.way(fork).unwrap();
        let called = states.after(state, Step::Call(SECOND_KIND));
        let answered = states.after(called, Step::Answer);
        assert_eq!((way.state, way.since), (answered, 7 * MS));
        let stayed = states.stayed(called, 2 * MS);
        assert!((way.stayed - stayed).abs() < f32::EPSILON, "{way:?}");
        assert!(stayed < 0.5, "{stayed}");
    }
}

#[test]
fn a_call_that_begins_with_the_same_bit_has_ways_of_its_own() {
    let mut states = States::new(US);
    let mut forks = Forks::default();
    let call = Joint::new().begin(1.0).unwrap();
    let from = states.begin(0);
    forks.begin(call, FIRST, MS);
    forks.fork(call, from, 0.5, &mut states).unwrap();
    forks.answer(call, 2 * MS, &mut states);
    forks.begin(call, SECOND_KIND, 3 * MS);
    let fork = forks.fork(call, from, 0.5, &mut states).unwrap();
    let called = states.after(from, Step::Call(SECOND_KIND));
    let way = forks.way(fork).unwrap();
    assert_eq!((way.state, way.since), (called, 3 * MS));
    assert_eq!(forks.call(fork).unwrap().answered, None);
}

#[test]
fn only_so_many_states_have_a_way() {
    let mut states = States::new(US);
    let mut forks = Forks::default();
    let call = Joint::new().begin(1.0).unwrap();
    forks.begin(call, FIRST, MS);
    let taken = (0..100)
        .filter(|route| {
            let from = states.begin(*route);
            forks.fork(call, from, 0.5, &mut states).is_some()
        })
        .count();
    assert_eq!(taken, 8);
}

/// What a request gives up again at the next call is not on its way: that would be learnt from, and grow.
#[test]
fn in_a_crowd_the_ways_of_requests_do_not_grow_with_the_calls_of_others() {
    let mut filter = Filter::new(THRESHOLD);
    let mut now = SECOND;
    for nth in 0..1000 {
        let key = filter.begin(now, nth, 1).unwrap();
        now += MS + nth * 7919 % (100 * MS);
        let decision = filter.call(now, 1, Owner::Unknown, |_| 1.0);
        filter.answered(now + 10 * US, decision.call.unwrap());
        filter.end(now + 20 * US, key);
        now += MS;
    }
    for nth in 0..50 {
        filter.begin(now, nth, 1);
    }
    let mut contested = 0;
    for _ in 0..40 {
        now += MS;
        let decision = filter.call(now, 1, Owner::Unknown, |_| 1.0);
        contested += u32::from(decision.is_contested);
        filter.answered(now + 10 * US, decision.call.unwrap());
    }
    assert_eq!(contested, 40);
    let sizes = filter.sizes();
    assert_eq!(sizes.hypotheses, 100, "{sizes:?}");
    assert!(sizes.visits < 10, "{sizes:?}");
}

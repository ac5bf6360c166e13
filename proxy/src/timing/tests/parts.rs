//! The parts one by one: bins, delays, and what the guards, the order and the background are for.

use proptest::prelude::*;

use super::{
    super::{
        background::{Background, Clock},
        bins::{BINS, Ticks, bin, seconds, start},
        claims::Claims,
        delays::{Delays, Event},
        guards::{Audit, Bands, Loads, Makers},
        kept::Cut,
        mixtures::{Mixtures, Worth},
        order::{Made, Orders},
        request::Standing,
    },
    sim::{MS, SECOND, US},
};

#[test]
fn bins_follow_each_other_without_a_gap() {
    assert_eq!(start(0), 0);
    for at in 0..BINS {
        assert!(start(at) < start(at + 1));
        assert_eq!(bin(start(at)), at);
        assert_eq!(bin(start(at + 1) - 1), at);
        for grain in [1, 1000, MS] {
            assert!(Ticks::every(grain).width(at) > 0.0);
        }
        let exact = seconds(start(at + 1) - start(at));
        assert!((Ticks::every(1).width(at) - exact).abs() <= 1e-9 * exact);
    }
    assert_eq!(bin(u64::MAX), BINS - 1);
}

#[test]
fn bins_are_as_wide_as_the_ticks_in_them() {
    for grain in [1_u64, 10, 1000, MS] {
        // Bins between two ticks are given a width of nearly nothing.
        let ticks = Ticks::every(grain);
        let sum: f64 = (0..BINS).map(|at| ticks.width(at)).sum();
        let all = seconds(start(BINS));
        let most = seconds(grain) + 1e-6;
        assert!((sum - all).abs() <= most, "{grain}: {sum} {all}");
    }
}

fn learnt(visits: &[(u8, u64, f32)], ticks: &Ticks) -> Delays {
    let mut delays = Delays::new(ticks);
    for (event, delay, weight) in visits {
        let event = match event {
            0 => None,
            1 => Some(Event::End),
            kind => Some(Event::Call(u16::from(*kind))),
        };
        delays.learn(event, *delay, *weight, ticks);
    }
    delays
}

fn delay() -> impl Strategy<Value = u64> {
    prop_oneof![0..10 * MS, 0..100 * SECOND, any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn hazards_are_positive_and_survival_falls(
        visits in prop::collection::vec((0..24_u8, delay(), 0.0..1.0_f32), 0..40),
        grain in prop::sample::select(vec![1, 1000, MS]),
        mut delays in prop::collection::vec(delay(), 2..20),
    ) {
        let ticks = Ticks::every(grain);
        let learnt = learnt(&visits, &ticks);
        delays.iter_mut().for_each(|delay| *delay = *delay / grain * grain);
        delays.sort_unstable();
        let mut before = 0.0;
        for delay in delays {
            for event in [Event::End, Event::Call(2), Event::Call(999)] {
                let hazard = learnt.hazards(event)[bin(delay)];
                prop_assert!(hazard > 0.0 && hazard.is_finite(), "{hazard}");
            }
            let passed = learnt.passed(bin(delay), delay, &ticks);
            prop_assert!(passed.is_finite());
            prop_assert!(passed >= before * 0.999, "{before} {passed}");
            before = passed;
        }
    }
}

#[test]
fn delays_are_learnt() {
    let visits: Vec<_> = (0..100).map(|at| (2, MS + at * 10 * US, 1.0)).collect();
    let ticks = Ticks::every(1);
    let delays = learnt(&visits, &ticks);
    let hazard = |event, delay| delays.hazards(event)[bin(delay)];
    let [early, then] = [MS / 10, 3 * MS / 2].map(|delay| hazard(Event::Call(2), delay));
    assert!(then > 100.0 * early, "{early} {then}");
    assert!(then > 20.0 * hazard(Event::End, 3 * MS / 2));
    let stayed = |delay| (-delays.passed(bin(delay), delay, &ticks)).exp();
    assert!(stayed(MS / 2) > 0.8 && stayed(3 * MS) < 0.1);
}

#[test]
fn routes_that_make_a_call_now_and_then_may_join() {
    let ended = |_| 100.0;
    let mut makers = Makers::default();
    makers.learn(1, 100.0);
    makers.learn(2, 100.0);
    assert!(!makers.may_join(ended), "each always makes it");
    let mut makers = Makers::default();
    makers.learn(1, 50.0);
    assert!(!makers.may_join(ended), "it is the only one");
    makers.learn(2, 50.0);
    assert!(makers.may_join(ended));
}

#[test]
fn an_audit_stops_believing_what_is_not_confirmed() {
    let mut audit = Audit::new();
    assert!(audit.is_good());
    (0..10).for_each(|_| audit.check(0.5));
    assert!(!audit.is_good());
    (0..300).for_each(|_| audit.check(1.0));
    assert!(audit.is_good(), "it may win back what it lost");
    (0..300).for_each(|_| audit.decide(0.3));
    assert!(!audit.is_good(), "hardly anything is told apart");
}

#[test]
fn a_load_is_believed_when_it_was_tried() {
    let mut loads = Loads::new();
    assert!(loads.are_proven(1) && !loads.are_proven(2) && !loads.are_proven(64));
    (0..4).for_each(|_| loads.check(2, 1.0));
    assert!(
        loads.are_proven(2) && loads.are_proven(4),
        "and twice as many"
    );
    assert!(!loads.are_proven(8));
    (0..10).for_each(|_| loads.check(2, 0.0));
    assert!(!loads.are_proven(2));
    assert!(!loads.are_proven(usize::MAX / 4));
}

#[test]
fn a_band_of_confidence_has_to_be_worth_it() {
    let mut bands = Bands::new(0.9);
    assert!(bands.are_worth_it(0.99), "the surest are believed at first");
    assert!(!bands.are_worth_it(0.91));
    (0..20).for_each(|_| bands.check(0.91, 1.0));
    assert!(bands.are_worth_it(0.91));
    (0..20).for_each(|_| bands.check(0.91, 0.5));
    assert!(!bands.are_worth_it(0.91));
    assert!(bands.are_worth_it(0.99));
}

/// Claims with these odds of requests that are equally far, since these times.
fn claims<const N: usize>(of: [(f32, u64); N]) -> Claims {
    let mut claims = Claims::default();
    for (request, (rate, since)) in (7..).zip(of) {
        let standing = Standing {
            rate,
            state: 0,
            since,
            mixture: None,
        };
        claims.add(request, 1.0, standing);
    }
    claims
}

#[test]
fn that_the_first_is_served_first_is_learnt_where_it_is_so() {
    let raised = |is_fifo: bool| {
        let mut orders = Orders::default();
        for round in 0..200 {
            let mut claims = claims([(1.0, 30), (1.0, 10), (1.0, 20)]);
            let queue = orders.prefer(&mut claims).unwrap();
            assert_eq!(queue.first, 8);
            let made = Made {
                request: if is_fifo { 8 } else { 7 + round % 3 },
                probability: 1.0,
                is_equal: true,
            };
            orders.learn(&queue, &[made]);
        }
        let mut claims = claims([(1.0, 2), (1.0, 1)]);
        orders.prefer(&mut claims).unwrap();
        let [second, first] = [0, 1].map(|at| claims.all()[at]);
        assert_eq!(first.odds, first.weight, "both are raised");
        assert_eq!(claims.candidates(0.0).total, first.odds + second.odds);
        first.odds / second.odds
    };
    assert!(raised(true) > 20.0);
    assert!((0.5..2.0).contains(&raised(false)));
}

#[test]
fn the_likeliest_are_named_in_their_order() {
    let all = claims([3.0, 1.0, 7.0, 3.0, 9.0, 1e-9, 5.0].map(|odds| (odds, 0)));
    let candidates = all.candidates(2.0);
    assert_eq!(candidates.count, 6, "one is too unlikely");
    assert_eq!(candidates.total, 30.0);
    let named = candidates.likeliest.map(|likely| likely.unwrap().0);
    assert_eq!(named, [11, 9, 13, 7], "of equals the first");
    let candidates = claims([(3.0, 0)]).candidates(1e-6);
    assert!(candidates.is_one_alone());
    assert_eq!(candidates.likeliest[1], None);
}

fn worth() -> impl Strategy<Value = Worth> {
    let value = || prop_oneof![0.0..1.0_f32, 0.0..1e-3_f32, Just(0.0)];
    (value(), value()).prop_map(|(without, with)| Worth { without, with })
}

proptest! {
    #[test]
    fn the_shortcut_keeps_what_the_long_way_keeps(
        first in worth(),
        others in prop::collection::vec(worth(), 0..4),
        factor in 0.0..2.0_f32,
    ) {
        let mut mixtures = Mixtures::default();
        let (place, _) = mixtures.add(first, others.into_iter());
        let mixture = mixtures.get(place).unwrap();
        let Some(cut) = Cut::new(mixture, 1.0, factor) else {
            return Ok(());
        };
        let mut kept = Vec::new();
        cut.keep(mixtures.each(mixture), 24, &mut kept);
        let halves: Vec<_> = kept.iter().map(|half| (half.of, half.makes)).collect();
        let is_short = halves == [(0, false), (0, true)];
        prop_assert_eq!(cut.only_first(mixture).is_some(), is_short);
        if let Some(with) = cut.only_first(mixture) {
            prop_assert_eq!(with, kept[1].value);
        }
        prop_assert!(kept.is_sorted_by(|a, b| a.value >= b.value));
    }
}

#[test]
fn what_comes_alone_is_expected_to_come_by_itself() {
    let mut background = Background::default();
    let idle = |idle| Clock { idle, busy: 0.0 };
    assert!(background.rate(idle(0.0)) < 0.01);
    assert!(background.rate(idle(0.0)) > 0.0);
    (0..100).for_each(|_| background.alone());
    let rate = background.rate(idle(10.0));
    assert!((9.0..10.5).contains(&rate), "{rate}");

    // What goes unexplained again and again while requests are open is theirs.
    let clock = Clock {
        idle: 10.0,
        busy: 10.0,
    };
    let mut theirs = Background::default();
    let before = theirs.rate(clock);
    (0..100).for_each(|_| theirs.unexplained(1.0));
    assert!(theirs.rate(clock) < before * 1e-6);
    assert!(theirs.rate(clock) > 0.0);
}

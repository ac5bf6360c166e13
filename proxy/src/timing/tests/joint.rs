//! The joint assignments against brute force.

use super::super::joint::{Bit, Joint, Set};

/// Requests with what each may have made, by the places of calls, and its weight.
type Choices = Vec<Vec<(Vec<usize>, f64)>>;

fn set(bits: &[Bit], made: &[usize]) -> Set {
    let mut set = Set::default();
    for call in made {
        set = set | bits[*call].set();
    }
    set
}

/// For each call and request, how likely it made the call: by all assignments that are possible.
fn brute(choices: &Choices, others: &[f64]) -> Vec<Vec<f64>> {
    let mut shares = vec![vec![0.0; choices.len()]; others.len()];
    let mut all = 0.0;
    let mut chosen = vec![0; choices.len()];
    loop {
        let mut weight = 1.0;
        let mut makers = vec![Vec::new(); others.len()];
        for (request, (of, choice)) in choices.iter().zip(&chosen).enumerate() {
            let (made, w): &(Vec<usize>, f64) = &of[*choice];
            weight *= w;
            made.iter().for_each(|call| makers[*call].push(request));
        }
        if makers.iter().all(|makers| makers.len() <= 1) {
            for (makers, others) in makers.iter().zip(others) {
                weight *= if makers.is_empty() { *others } else { 1.0 };
            }
            all += weight;
            for (shares, makers) in shares.iter_mut().zip(&makers) {
                makers.iter().for_each(|request| shares[*request] += weight);
            }
        }
        let Some(next) = (0..chosen.len()).find(|at| chosen[*at] + 1 < choices[*at].len()) else {
            break;
        };
        chosen[next] += 1;
        chosen[..next].fill(0);
    }
    shares.iter_mut().flatten().for_each(|share| *share /= all);
    shares
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6
}

#[test]
fn it_says_what_all_assignments_together_say() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let calls = rng.usize(1..5);
        // Rates of any size, as they are where apps are fast or slow.
        let unit = 10_f64.powi(rng.i32(-6..7));
        let others: Vec<f64> = (0..calls).map(|_| unit * (0.1 + rng.f64())).collect();
        let scale: Vec<f64> = others.iter().map(|o| o + unit * rng.f64()).collect();
        let choices: Choices = (0..rng.usize(1..5))
            .map(|_| {
                // Nothing is always possible, so that no two requests have to clash.
                let mut all = vec![(Vec::new(), 0.1 + rng.f64())];
                for _ in 0..rng.usize(0..4) {
                    let made: Vec<usize> = (0..calls).filter(|_| rng.bool()).collect();
                    let rates = unit.powi(made.len() as i32);
                    all.push((made, rng.f64() * rates));
                }
                all
            })
            .collect();

        let mut joint = Joint::new();
        let bits: Vec<Bit> = scale.iter().map(|s| joint.begin(*s).unwrap()).collect();
        for (bit, others) in bits.iter().zip(&others) {
            joint.expect(*bit, *others);
        }
        for (request, of) in (0..).zip(&choices) {
            let shares = of.iter().map(|(made, weight)| {
                let scale: f64 = made.iter().map(|call| scale[*call]).product();
                (set(&bits, made), weight / scale)
            });
            let kept = joint.end(request, &shares.collect::<Vec<_>>());
            assert!(close(kept, 1.0), "{kept}");
        }
        let truth = brute(&choices, &others);
        // Settling one call changes nothing in what is known of the others.
        for (bit, truth) in bits.iter().zip(&truth) {
            let makers = joint.settle(*bit);
            for (request, truth) in (0..).zip(truth) {
                let found = makers.iter().find(|(r, _)| *r == request);
                let found = found.map_or(0.0, |(_, share)| *share);
                assert!(close(found, *truth), "seed {seed}: {found} {truth}");
            }
        }
        for (request, of) in (0..).zip(&choices) {
            let shares = joint.forget(request);
            assert_eq!(shares.len(), of.len());
            assert!(close(shares.iter().sum(), 1.0), "{shares:?}");
        }
        assert_eq!(joint.sizes(), (1, 0));
    }
}

#[test]
fn two_that_can_only_have_made_the_same_call_share_it() {
    let mut joint = Joint::new();
    let bit = joint.begin(2.0).unwrap();
    assert!(close(joint.end(0, &[(bit.set(), 1.0)]), 1.0));
    let kept = joint.end(1, &[(bit.set(), 1.0)]);
    assert!(
        kept.abs() < 1e-9,
        "nothing that is possible was kept: {kept}"
    );
    for (_, share) in joint.settle(bit) {
        assert!((0.0..=1.0).contains(&share));
    }
}

/// The product of a hundred rates is no float any more.
#[test]
fn many_calls_at_a_high_rate_are_told_apart() {
    for rate in [1e-9, 1.0, 1e9] {
        let mut joint = Joint::new();
        let bits: Vec<Bit> = (0..128).map(|_| joint.begin(2.0 * rate).unwrap()).collect();
        assert!(joint.begin(rate).is_none());
        bits.iter().for_each(|bit| joint.expect(*bit, rate));
        for (request, bit) in (0..).zip(&bits[..8]) {
            let kept = joint.end(request, &[(bit.set(), 0.5 * 3.0), (Set::default(), 1.0)]);
            assert!((0.9..=1.000_001).contains(&kept), "{rate}: {kept}");
        }
        let makers = joint.settle(bits[0]);
        let (request, share) = makers[0];
        assert_eq!(request, 0);
        assert!(close(share, 0.75), "{rate}: {share}");
    }
}

#[test]
fn what_was_dropped_is_said() {
    let mut joint = Joint::new();
    let bits: Vec<Bit> = (0..10).map(|_| joint.begin(2.0).unwrap()).collect();
    bits.iter().for_each(|bit| joint.expect(*bit, 1.0));
    let mut kept = 1.0;
    for (request, bit) in (0..).zip(&bits) {
        kept *= joint.end(request, &[(bit.set(), 0.5), (Set::default(), 1.0)]);
    }
    // All 1024 assignments are equally likely, and 256 are kept.
    assert!(close(kept, 0.25), "{kept}");
    assert_eq!(joint.sizes(), (256, 10));
}

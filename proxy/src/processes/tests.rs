use proptest::prelude::*;

use super::*;

const P: Process = Process(1);

fn judge(learned: &mut Learned, seen: &[Seen]) -> Verdict {
    let mut tally = Tally::new(P);
    for (index, seen) in seen.iter().enumerate() {
        tally.note(index, *seen);
    }
    learned.judge(tally)
}

/// A prefork server under load: the caller's request, another's, and one that waits.
const PREFORK: [Seen; 3] = [Seen::By(Process(2)), Seen::By(P), Seen::NotAccepted];

fn confidence(verdict: &Verdict) -> f32 {
    match verdict {
        Verdict::Served { confidence, .. }
        | Verdict::Among { confidence, .. }
        | Verdict::Elsewhere { confidence } => *confidence,
        Verdict::Nothing => 0.0,
    }
}

/// An app that has shown for long that it serves one at a time.
fn prefork() -> Learned {
    let mut learned = Learned::default();
    for _ in 0..100 {
        judge(&mut learned, &PREFORK);
    }
    learned
}

#[test]
fn one_at_a_time_is_not_believed_before_it_is_shown() {
    let mut learned = Learned::default();
    assert!(confidence(&judge(&mut learned, &PREFORK)) < 0.5);
    let mut calls = 1;
    while confidence(&judge(&mut learned, &PREFORK)) < 0.9 {
        calls += 1;
        assert!(calls < 20, "it is never believed");
    }
    assert!(calls > 5, "{calls}");
    let verdict = judge(&mut prefork(), &PREFORK);
    assert!(matches!(verdict, Verdict::Served { index: 1, confidence } if confidence > 0.95));
}

#[test]
fn a_request_that_is_alone_shows_a_little() {
    let mut learned = Learned::default();
    for _ in 0..10 {
        judge(&mut learned, &[Seen::By(P)]);
    }
    let few = confidence(&judge(&mut learned, &PREFORK));
    assert!((0.5..0.9).contains(&few), "{few}");
    for _ in 0..100 {
        judge(&mut learned, &[Seen::By(P)]);
    }
    assert!(!learned.is_learning());
}

#[test]
fn work_that_is_handed_over_takes_the_confidence_away() {
    let mut learned = prefork();
    for _ in 0..10 {
        let verdict = judge(&mut learned, &[Seen::By(Process(2)), Seen::ByAnother]);
        assert!(matches!(verdict, Verdict::Elsewhere { .. }));
    }
    assert!(confidence(&judge(&mut learned, &PREFORK)) < 0.9);
}

#[test]
fn a_process_that_serves_several_narrows_the_choice_and_no_more() {
    let mut learned = prefork();
    let several = [
        Seen::By(P),
        Seen::NotAccepted,
        Seen::By(P),
        Seen::By(Process(2)),
    ];
    for _ in 0..20 {
        let verdict = judge(&mut learned, &several);
        assert!(matches!(&verdict, Verdict::Among { indices, confidence }
                if indices[..] == [0, 2] && *confidence > 0.9));
    }
    assert!(
        confidence(&judge(&mut learned, &PREFORK)) > 0.9,
        "while it serves one, that one is the cause"
    );
}

#[test]
fn what_is_not_known_may_be_the_cause() {
    let mut learned = prefork();
    let verdict = judge(
        &mut learned,
        &[Seen::Unknown, Seen::NotAccepted, Seen::By(P)],
    );
    assert!(matches!(verdict, Verdict::Among { indices, .. } if indices == [0, 2]));
    let verdict = judge(&mut learned, &[Seen::Unknown, Seen::By(Process(2))]);
    assert_eq!(verdict, Verdict::Nothing);
    assert_eq!(judge(&mut learned, &[]), Verdict::Nothing);
}

#[test]
fn a_flood_tells_nothing_and_is_not_kept() {
    let verdict = judge(&mut prefork(), &vec![Seen::By(P); MOST + 1]);
    assert_eq!(verdict, Verdict::Nothing);
}

#[test]
fn an_audit_is_heeded() {
    let mut learned = prefork();
    let before = confidence(&judge(&mut learned, &PREFORK));
    learned.disagreed();
    let wrong = confidence(&judge(&mut learned, &PREFORK));
    assert!(wrong < 0.9 && wrong < before, "{before} {wrong}");
    for _ in 0..1000 {
        learned.agreed();
    }
    assert!(confidence(&judge(&mut learned, &PREFORK)) > 0.9);
}

#[test]
fn an_app_of_one_process_is_soon_left_alone_and_another_is_not() {
    let mut learned = Learned::default();
    for _ in 0..Worth::PATIENCE {
        assert!(learned.worth().is_worth_while());
        judge(&mut learned, &[Seen::By(P), Seen::By(P)]);
    }
    assert!(!learned.worth().is_worth_while());
    judge(&mut learned, &PREFORK);
    assert!(learned.worth().is_worth_while());

    let mut learned = prefork();
    for _ in 0..Worth::PATIENCE - 1 {
        learned.missed();
    }
    assert!(learned.worth().is_worth_while());
    learned.missed();
    assert!(!learned.worth().is_worth_while());
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        (1..4_u32).prop_map(|number| Seen::By(Process(number))),
        Just(Seen::ByAnother),
        Just(Seen::NotAccepted),
        Just(Seen::Unknown),
    ]
}

proptest! {
    #[test]
    fn a_verdict_keeps_to_what_was_seen(
        calls in prop::collection::vec(prop::collection::vec(seen(), 0..12), 0..40)
    ) {
        let mut learned = Learned::default();
        for seen in calls {
            let verdict = judge(&mut learned, &seen);
            let confidence = confidence(&verdict);
            prop_assert!((0.0..1.0).contains(&confidence));
            let may_be = |of: &dyn Fn(Seen) -> bool| -> Vec<usize> {
                (0..seen.len()).filter(|index| of(seen[*index])).collect()
            };
            let own = may_be(&|seen| seen == Seen::By(P));
            let possible = may_be(&|seen| matches!(seen, Seen::Unknown) || seen == Seen::By(P));
            match verdict {
                Verdict::Served { index, .. } => {
                    prop_assert_eq!(&own, &vec![index]);
                    prop_assert_eq!(&possible, &vec![index], "an unknown one may be the cause");
                }
                Verdict::Among { indices, .. } => {
                    prop_assert!(indices.len() > 1 && !own.is_empty());
                    prop_assert_eq!(indices, possible);
                }
                Verdict::Elsewhere { .. } => {
                    prop_assert!(possible.is_empty() && !seen.is_empty());
                }
                Verdict::Nothing => prop_assert!(own.is_empty()),
            }
        }
    }

    #[test]
    fn a_call_that_does_not_fit_never_raises_the_confidence(
        fits in 0..200_usize,
        misfits in 1..50_usize,
    ) {
        let mut learned = Learned::default();
        for _ in 0..fits {
            judge(&mut learned, &PREFORK);
        }
        let mut before = 1.0;
        for _ in 0..misfits {
            // A copy is asked, so that the question is not learnt from.
            let now = confidence(&judge(&mut learned.clone(), &PREFORK));
            prop_assert!(now <= before);
            before = now;
            judge(&mut learned, &[Seen::By(Process(2))]);
        }
    }
}

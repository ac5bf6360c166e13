//! What is tried again and what is not, as tables.

#![allow(
    clippy::disallowed_methods,
    reason = "a test needs some moment to count from"
)]

use std::time::SystemTime;

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn policy(on: &str) -> Policy {
    Policy {
        on: on.split(' ').map(|on| on.parse().unwrap()).collect(),
        attempts: 2,
        marked_by: vec![HeaderName::from_static("idempotency-key")],
        body_bytes: 1024,
        backoff: Backoff {
            base: ms(100),
            max: ms(1000),
        },
        budget: Share {
            percent: 20,
            per_second: 10,
        },
    }
}

fn failed(trouble: Trouble) -> Failed {
    Failed {
        trouble,
        resent: 0,
        is_repeatable: true,
        is_kept: true,
        retry_after: None,
        deadline: None,
    }
}

fn decide(policy: &Policy, failed: &Failed) -> Verdict {
    let now = Instant::now();
    policy.decide(failed, &mut Budget::new(policy.budget, now), now, u64::MAX)
}

const ALL: &str = "connect refused reset timeout 5xx 429";

fn troubles() -> [Trouble; 7] {
    let status = |code| Trouble::Status(StatusCode::from_u16(code).unwrap());
    [
        Trouble::Connect,
        Trouble::Refused,
        Trouble::Reset,
        Trouble::Timeout,
        status(500),
        status(503),
        status(429),
    ]
}

#[test]
fn only_what_is_asked_for_is_tried_again() {
    for (on, expected) in [
        ("connect", [true, false, false, false, false, false, false]),
        ("refused", [false, true, false, false, false, false, false]),
        ("reset", [false, false, true, false, false, false, false]),
        ("timeout", [false, false, false, true, false, false, false]),
        ("5xx", [false, false, false, false, true, true, false]),
        ("503", [false, false, false, false, false, true, false]),
        ("429 reset", [false, false, true, false, false, false, true]),
        (ALL, [true; 7]),
    ] {
        for (trouble, expected) in troubles().into_iter().zip(expected) {
            let verdict = decide(&policy(on), &failed(trouble));
            let is_again = verdict == Verdict::Again(ms(100));
            assert_eq!(is_again, expected, "{on}: {trouble:?}");
            assert_eq!(verdict == Verdict::Unwanted, !expected);
        }
    }
    let status = StatusCode::OK;
    assert_eq!(
        decide(&policy(ALL), &failed(Trouble::Status(status))),
        Verdict::Unwanted
    );
}

#[test]
fn what_may_have_had_an_effect_is_not_repeated_whatever_is_asked_for() {
    for trouble in troubles() {
        let failed = Failed {
            is_repeatable: false,
            ..failed(trouble)
        };
        let expected = match trouble {
            Trouble::Connect | Trouble::Refused => Verdict::Again(ms(100)),
            _ => Verdict::No(Reason::Unsafe),
        };
        assert_eq!(decide(&policy(ALL), &failed), expected, "{trouble:?}");
    }
}

#[test]
fn a_method_or_a_mark_that_was_named_makes_a_request_repeatable() {
    let marked = [("idempotency-key", "7")];
    for (method, headers, expected) in [
        ("GET", &[][..], true),
        ("HEAD", &[], true),
        ("PUT", &[], true),
        ("DELETE", &[], true),
        ("OPTIONS", &[], true),
        ("POST", &[], false),
        ("PATCH", &[], false),
        ("CHARGE", &[], false),
        ("POST", &marked, true),
        ("PATCH", &marked, true),
        ("POST", &[("x-key", "7")], false),
    ] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let method = method.parse().unwrap();
        let all = policy(ALL);
        assert_eq!(
            all.is_repeatable(&method, &map),
            expected,
            "{method} {headers:?}"
        );
        let unmarked = Policy {
            marked_by: Vec::new(),
            ..all
        };
        assert_eq!(
            unmarked.is_repeatable(&method, &map),
            method.is_idempotent()
        );
    }
}

#[test]
fn a_request_that_nothing_can_repeat_is_not_kept() {
    for (on, is_repeatable, expected) in [
        ("reset 5xx timeout 429", false, false),
        ("connect", false, true),
        ("refused", false, true),
        ("503", true, true),
    ] {
        assert_eq!(policy(on).concerns(is_repeatable), expected, "{on}");
    }
    let never = Policy {
        on: Vec::new(),
        ..policy(ALL)
    };
    assert!(!never.concerns(true));
}

#[test]
fn there_is_a_reason_for_every_no() {
    let reset = failed(Trouble::Reset);
    let soon = Instant::now() + ms(50);
    for (failed, expected) in [
        (Failed { resent: 2, ..reset }, Reason::Attempts),
        (
            Failed {
                is_kept: false,
                ..reset
            },
            Reason::Body,
        ),
        (
            Failed {
                retry_after: Some(ms(1001)),
                ..reset
            },
            Reason::RetryAfter,
        ),
        (
            Failed {
                deadline: Some(soon),
                ..reset
            },
            Reason::Deadline,
        ),
        (
            Failed {
                is_repeatable: false,
                ..reset
            },
            Reason::Unsafe,
        ),
    ] {
        assert_eq!(decide(&policy(ALL), &failed), Verdict::No(expected));
    }
    let policy = Policy {
        budget: Share {
            percent: 0,
            per_second: 0,
        },
        ..policy(ALL)
    };
    assert_eq!(decide(&policy, &reset), Verdict::No(Reason::Budget));
}

#[test]
fn retry_after_is_waited_for_up_to_a_bound() {
    let asked = Failed {
        retry_after: Some(ms(1000)),
        ..failed(Trouble::Reset)
    };
    assert_eq!(decide(&policy(ALL), &asked), Verdict::Again(ms(1000)));
    let epoch = SystemTime::UNIX_EPOCH;
    for (value, expected) in [
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("0", Some(0)),
        ("Thu, 01 Jan 1970 00:00:09 GMT", Some(9)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ] {
        let after = retry_after(&HeaderValue::from_static(value), epoch);
        assert_eq!(after, expected.map(Duration::from_secs), "{value:?}");
    }
    let late = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:09 GMT");
    assert_eq!(retry_after(&late, epoch + ms(20_000)), Some(Duration::ZERO));
}

#[test]
fn what_is_tried_again_has_a_name() {
    for on in ALL.split(' ') {
        assert_eq!(on.parse::<On>().unwrap().to_string(), on);
    }
    for wrong in ["200", "399", "600", "always", ""] {
        assert!(wrong.parse::<On>().unwrap_err().contains("known are"));
    }
}

#[test]
fn a_budget_is_a_share_of_the_requests_and_a_trickle() {
    let now = Instant::now();
    let share = Share {
        percent: 20,
        per_second: 0,
    };
    let mut budget = Budget::new(share, now);
    assert!(!budget.withdraw(now), "nothing was made yet");
    for _ in 0..5 {
        budget.deposit();
    }
    assert!(budget.withdraw(now), "one of five");
    assert!(!budget.withdraw(now + ms(60_000)));

    let share = Share {
        percent: 0,
        per_second: 2,
    };
    let mut budget = Budget::new(share, now);
    let taken = |budget: &mut Budget, at| (0..1000).filter(|_| budget.withdraw(at)).count();
    assert_eq!(taken(&mut budget, now), 2);
    assert_eq!(taken(&mut budget, now + ms(500)), 1);
    assert_eq!(
        taken(&mut budget, now + ms(3_600_000)),
        100,
        "a quiet hour is not saved up"
    );
    assert_eq!(
        taken(&mut budget, now),
        0,
        "a clock that steps back gives nothing"
    );
}

proptest! {
    #[test]
    fn a_pause_is_never_longer_than_its_limit(resent in any::<u32>(), random in any::<u64>()) {
        let backoff = Backoff { base: ms(25), max: ms(1000) };
        let limit = 25_u64.saturating_mul(1 << resent.min(16)).min(1000);
        prop_assert!(backoff.pause(resent, random) <= ms(limit));
    }

    #[test]
    fn retries_are_never_more_than_their_share(
        percent in 0_u32..100,
        requests in 1_usize..500,
        tries in 1_usize..5,
    ) {
        let now = Instant::now();
        let mut budget = Budget::new(Share { percent, per_second: 0 }, now);
        let mut retries = 0;
        for _ in 0..requests {
            budget.deposit();
            retries += (0..tries).filter(|_| budget.withdraw(now)).count();
        }
        prop_assert!(retries * 100 <= requests * percent as usize + 1);
    }
}

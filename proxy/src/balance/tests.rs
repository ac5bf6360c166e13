//! Choices, checks and ejections, without an upstream.

#![allow(
    clippy::disallowed_methods,
    reason = "a test needs some moment to count from"
)]

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
struct Fake {
    id: u64,
    load: usize,
    is_well: bool,
}

impl Member for Fake {
    fn id(&self) -> u64 {
        self.id
    }

    fn load(&self) -> usize {
        self.load
    }

    fn is_well(&self) -> bool {
        self.is_well
    }
}

fn fakes(loads: &[usize]) -> Vec<Fake> {
    let members = loads.iter().zip(0..);
    members
        .map(|(load, id)| Fake {
            id: id * 7919,
            load: *load,
            is_well: true,
        })
        .collect()
}

fn policies() -> [Policy; 3] {
    [
        Policy::RoundRobin,
        Policy::LeastRequests,
        Policy::Hash(Key::Path),
    ]
}

#[test]
fn round_robin_asks_one_after_the_other_and_leaves_out_the_ill() {
    let mut members = fakes(&[0; 4]);
    members[1].is_well = false;
    let asked: Vec<_> = (0..6)
        .map(|turn| {
            choose(
                &Policy::RoundRobin,
                &members,
                &Draw {
                    turn,
                    ..Draw::default()
                },
            )
        })
        .collect();
    assert_eq!(asked, [0, 2, 3, 0, 2, 3].map(Some));
}

#[test]
fn of_two_the_one_with_fewer_requests_is_asked() {
    let members = fakes(&[9, 0]);
    for random in [0, u64::MAX, 1 << 32, 0x1234_5678_9abc_def0] {
        let draw = Draw {
            random,
            ..Draw::default()
        };
        assert_eq!(choose(&Policy::LeastRequests, &members, &draw), Some(1));
    }
    for random in 0..1000 {
        let random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(random);
        let (one, other) = two_of(5, random);
        assert!(one != other && one < 5 && other < 5);
    }
}

#[test]
fn a_request_goes_where_it_was_not_yet_and_if_it_was_everywhere_to_anybody_who_is_well() {
    for policy in policies() {
        let mut members = fakes(&[0; 3]);
        let mut tried = Vec::new();
        for _ in 0..3 {
            let draw = Draw {
                tried: &tried,
                ..Draw::default()
            };
            let id = members[choose(&policy, &members, &draw).unwrap()].id;
            assert!(!tried.contains(&id), "{policy}");
            tried.push(id);
        }
        members[0].is_well = false;
        let draw = Draw {
            tried: &tried,
            ..Draw::default()
        };
        assert_ne!(choose(&policy, &members, &draw), Some(0), "{policy}");
    }
}

#[test]
fn where_nobody_is_well_all_are_asked() {
    let mut members = fakes(&[0; 3]);
    members.iter_mut().for_each(|member| member.is_well = false);
    let asked = (0..3).map(|turn| {
        let draw = Draw {
            turn,
            ..Draw::default()
        };
        choose(&Policy::RoundRobin, &members, &draw)
    });
    assert_eq!(asked.collect::<Vec<_>>(), [0, 1, 2].map(Some));
    assert_eq!(
        choose(&Policy::RoundRobin, &fakes(&[]), &Draw::default()),
        None
    );
}

#[test]
fn a_key_stays_where_it_is_unless_its_upstream_goes() {
    let policy = Policy::Hash(Key::Path);
    let mut members = fakes(&[0; 5]);
    let place = |members: &[Fake], key: u64| {
        let key = hash(&key.to_le_bytes());
        choose(
            &policy,
            members,
            &Draw {
                key,
                ..Draw::default()
            },
        )
        .unwrap()
    };
    let before: Vec<_> = (0..1000).map(|key| place(&members, key)).collect();
    for index in 0..5 {
        let share = before.iter().filter(|place| **place == index).count();
        assert!((140..260).contains(&share), "{index} has {share} of 1000");
    }
    members[2].is_well = false;
    for (key, before) in (0..1000).zip(before) {
        let after = place(&members, key);
        assert_eq!(after != before, before == 2, "{key}");
    }
}

#[test]
fn policies_have_names() {
    for name in [
        "round_robin",
        "least_requests",
        "hash:client",
        "hash:path",
        "hash:header:x-user",
    ] {
        assert_eq!(name.parse::<Policy>().unwrap().to_string(), name);
    }
    for wrong in [
        "",
        "random",
        "hash",
        "hash:",
        "hash:header:",
        "hash:header:a b",
        "hash:body",
    ] {
        assert!(
            wrong.parse::<Policy>().unwrap_err().contains("known are"),
            "{wrong}"
        );
    }
}

#[test]
fn two_checks_in_a_row_decide() {
    let mut checks = Checks::default();
    for (is_good, expected) in [
        (false, true),
        (true, true),
        (false, true),
        (false, false),
        (false, false),
        (true, false),
        (false, false),
        (true, false),
        (true, true),
    ] {
        assert_eq!(checks.note(is_good), expected);
    }
}

fn ejection() -> Ejection {
    Ejection {
        after: Some(3),
        time: Duration::from_secs(10),
    }
}

#[test]
fn failures_in_a_row_eject_for_twice_as_long_each_time() {
    let ejection = ejection();
    let mut now = Instant::now();
    let mut record = Record::default();
    for expected in [10, 20, 40, 80, 160, 300, 300] {
        assert_eq!(record.failed(&ejection, true, now), None);
        record.succeeded(&ejection, now);
        assert_eq!(
            record.failed(&ejection, true, now),
            None,
            "they were not in a row"
        );
        assert_eq!(record.failed(&ejection, true, now), None);
        let until = record.failed(&ejection, true, now).unwrap();
        assert_eq!(until - now, Duration::from_secs(expected));
        assert!(record.is_ejected(now));
        assert_eq!(
            record.failed(&ejection, true, now),
            None,
            "it is away already"
        );
        now = until;
        assert!(!record.is_ejected(now), "it comes back by itself");
    }
    record.succeeded(&ejection, now + Duration::from_secs(300));
    for _ in 0..2 {
        record.failed(&ejection, true, now);
    }
    let until = record.failed(&ejection, true, now).unwrap();
    assert_eq!(
        until - now,
        Duration::from_secs(10),
        "it has made up for it"
    );
}

#[test]
fn whoever_cannot_be_spared_stays_and_so_does_everybody_where_it_is_off() {
    let now = Instant::now();
    let never = Ejection {
        after: None,
        ..ejection()
    };
    let mut record = Record::default();
    for _ in 0..100 {
        assert_eq!(record.failed(&never, true, now), None);
        assert_eq!(record.failed(&ejection(), false, now), None);
    }
    assert!(
        record.failed(&ejection(), true, now).is_some(),
        "as soon as it can"
    );
}

proptest! {
    #[test]
    fn never_more_than_half_are_away(count in 0_usize..100) {
        let mut ejected = 0;
        while Ejection::spares(ejected, count) {
            ejected += 1;
        }
        prop_assert_eq!(ejected, count / 2);
    }

    #[test]
    fn somebody_is_always_asked(
        loads in prop::collection::vec((0_usize..9, any::<bool>()), 1..9),
        turn: u64,
        random: u64,
        key: u64,
        tried in prop::collection::vec((0_u64..9).prop_map(|id| id * 7919), 0..9),
    ) {
        let members: Vec<_> = loads
            .iter()
            .zip(0..)
            .map(|((load, is_well), id)| Fake { id: id * 7919, load: *load, is_well: *is_well })
            .collect();
        let draw = Draw { turn, random, key, tried: &tried };
        for policy in policies() {
            let index = choose(&policy, &members, &draw).unwrap();
            let is_panic = members.iter().all(|member| !member.is_well);
            prop_assert!(members[index].is_well || is_panic);
        }
    }
}

//! What an app does, and what an adversary may send.

use http::HeaderMap;

use super::*;

const KIND: u64 = 7;

struct App {
    reader: Reader,
    values: Values,
    weights: Weights,
}

impl App {
    fn new() -> Self {
        Self {
            reader: Reader::new(&Config::default(), Secret::new([3, 4])).unwrap(),
            values: Values::new(4096),
            weights: Weights::new(),
        }
    }

    /// The fingerprints of a target and an `Authorization`.
    fn read(&self, target: &str, token: &str) -> Fingerprints {
        let mut headers = HeaderMap::new();
        if !token.is_empty() {
            headers.insert("authorization", token.parse().unwrap());
        }
        self.reader.head(&target.parse().unwrap(), &headers)
    }

    fn begin(&mut self, target: &str, token: &str) -> Request {
        let values = self.read(target, token);
        self.values.begin(values).unwrap()
    }

    /// So many requests, one after the other, each with one call whose cause is known. Both are made
    /// from the number of the request, as target and token.
    fn live(
        mut self,
        requests: u32,
        request: impl Fn(u32) -> (String, String),
        call: impl Fn(u32) -> (String, String),
    ) -> Self {
        for n in 0..requests {
            let (target, token) = request(n);
            let owner = self.begin(&target, &token);
            let (target, token) = call(n);
            let call = self.read(&target, &token);
            let owner = self.values.end(owner).unwrap();
            self.values.learn(KIND, &call, &owner, 1.0);
        }
        self
    }

    /// The weights of these requests for a call, relative to the first.
    fn weigh(&mut self, target: &str, token: &str, requests: &[Request]) -> Vec<f32> {
        let call = self.read(target, token);
        self.values.weigh(KIND, &call, &mut self.weights);
        requests
            .iter()
            .map(|request| self.weights.of(*request))
            .collect()
    }
}

fn bare(target: String) -> (String, String) {
    (target, String::new())
}

/// An app that passes on the id in the path, and the token.
fn copies() -> App {
    App::new().live(
        300,
        |n| {
            (
                format!("/orders/order-{n}"),
                format!("Bearer user-{}", n % 50),
            )
        },
        |n| {
            (
                format!("/stock?order=order-{n}"),
                format!("Bearer user-{}", n % 50),
            )
        },
    )
}

#[test]
fn a_rare_value_that_comes_back_is_evidence() {
    let mut app = copies();
    let all = [1001, 1002, 1003].map(|n| app.begin(&format!("/orders/order-{n}"), ""));
    let weights = app.weigh("/stock?order=order-1002", "", &all);
    assert!(
        weights[1] > 100.0 && weights[0] < 0.05 && weights[2] < 0.05,
        "{weights:?}"
    );
    assert_eq!(app.weights.evidence(), Some(all[1]));
    assert_eq!(app.weights.sharing().len(), 1);
    app.values.end(all[1]);
    let weights = app.weigh("/stock?order=order-1002", "", &all[..1]);
    assert!(
        weights[0] < 0.05,
        "none of those that are left: {weights:?}"
    );
    assert_eq!(app.weights.evidence(), None);
}

#[test]
fn nothing_is_evidence_before_it_was_learnt() {
    for requests in 0..12 {
        let mut app = App::new().live(
            requests,
            |n| bare(format!("/orders/order-{n}")),
            |n| bare(format!("/stock?order=order-{n}")),
        );
        let all = [1, 2].map(|n| app.begin(&format!("/orders/other-{n}"), ""));
        let weights = app.weigh("/stock?order=other-2", "", &all);
        assert!(weights[1] > weights[0], "it is a hint: {weights:?}");
        if requests < 2 {
            assert!(weights[1] / weights[0] < 9.0, "and no more: {weights:?}");
        }
        if requests < 8 {
            assert_eq!(app.weights.evidence(), None, "after {requests}");
        }
    }
}

#[test]
fn a_token_that_all_requests_share_weighs_nothing() {
    let mut app = App::new().live(
        500,
        |n| (format!("/orders/order-{n}"), "Bearer everybody".to_owned()),
        |_| ("/stock".to_owned(), "Bearer everybody".to_owned()),
    );
    let few = [1, 2, 3].map(|n| app.begin(&format!("/orders/x-{n}"), "Bearer everybody"));
    let without = app.begin("/health", "");
    let weights = app.weigh(
        "/stock",
        "Bearer everybody",
        &[few[0], few[1], few[2], without],
    );
    assert!(
        weights.iter().all(|weight| (0.7..1.4).contains(weight)),
        "{weights:?}"
    );
    assert_eq!(app.weights.evidence(), None);
    for n in 0..100 {
        app.begin(&format!("/orders/y-{n}"), "Bearer everybody");
    }
    let weights = app.weigh("/stock", "Bearer everybody", &few);
    assert!(
        weights.iter().all(|weight| (0.7..1.4).contains(weight)),
        "a crowd: {weights:?}"
    );
}

#[test]
fn a_token_of_two_open_requests_cancels_between_them_and_excludes_the_others() {
    let mut app = copies();
    let one = app.begin("/orders/order-1001", "Bearer user-7");
    let two = app.begin("/orders/order-1002", "Bearer user-7");
    let other = app.begin("/orders/order-1003", "Bearer user-8");
    let weights = app.weigh("/rates", "Bearer user-7", &[one, two, other]);
    assert!(
        (weights[0] - weights[1]).abs() < f32::EPSILON,
        "{weights:?}"
    );
    assert!(weights[0] / weights[2] > 100.0, "{weights:?}");
    assert_eq!(app.weights.evidence(), None);
}

#[test]
fn an_idempotency_key_in_many_requests_at_once_is_no_evidence() {
    let key = |n: u32| format!("/orders?key=key-{n}");
    let mut app = App::new().live(300, |n| bare(key(n)), |n| bare(key(n)));
    for at_once in [2, 31, 33, 200] {
        let all: Vec<_> = (0..at_once).map(|_| app.begin(&key(9999), "")).collect();
        let weights = app.weigh(&key(9999), "", &all);
        assert!(
            weights
                .iter()
                .all(|weight| (weight / weights[0] - 1.0).abs() < 1e-6)
        );
        assert_eq!(app.weights.evidence(), None, "{at_once} at once");
        for request in all {
            app.values.end(request);
        }
    }
}

#[test]
fn small_numbers_that_meet_by_chance_prove_nothing() {
    // The number in the call is a quantity, and has nothing to do with the number in the path.
    let mut app = App::new().live(
        400,
        |n| bare(format!("/items/{}", n % 9 + 1)),
        |n| bare(format!("/stock?quantity={}", n / 9 % 9 + 1)),
    );
    let all = [7, 8].map(|n| app.begin(&format!("/items/{n}"), ""));
    let weights = app.weigh("/stock?quantity=7", "", &all);
    assert!(weights[0] / weights[1] < 1.5, "{weights:?}");
    assert_eq!(app.weights.evidence(), None);
}

#[test]
fn small_numbers_that_are_copied_tell_requests_apart_without_being_evidence() {
    let mut app = App::new().live(
        400,
        |n| bare(format!("/items/{}", n % 9 + 1)),
        |n| bare(format!("/stock?item={}", n % 9 + 1)),
    );
    let all = [7, 8].map(|n| app.begin(&format!("/items/{n}"), ""));
    let weights = app.weigh("/stock?item=7", "", &all);
    assert!(weights[0] / weights[1] > 50.0, "{weights:?}");
    assert_eq!(app.weights.evidence(), None);
}

#[test]
fn a_call_that_never_copies_is_not_proved_by_a_match() {
    let mut app = App::new().live(
        50,
        |n| bare(format!("/orders/order-{n}")),
        |n| bare(format!("/stock?batch=batch-{n}")),
    );
    let all = [1, 2].map(|n| app.begin(&format!("/orders/batch-900{n}"), ""));
    let weights = app.weigh("/stock?batch=batch-9001", "", &all);
    assert!(weights[0] / weights[1] < 5.0, "{weights:?}");
    assert_eq!(app.weights.evidence(), None);
}

#[test]
fn a_value_in_many_places_of_a_call_counts_once() {
    let once = |id: &str| format!("/stock?a={id}");
    let often = |id: &str| format!("/stock?a={id}&b={id}&c={id}&d={id}&e={id}");
    let request = |n: u32| bare(format!("/orders/{}", n % 30 + 10));
    let id = |n: u32| (n % 30 + 10).to_string();
    let mut one = App::new().live(300, request, |n| bare(once(&id(n))));
    let mut five = App::new().live(300, request, |n| bare(often(&id(n))));
    let all =
        [17, 18].map(|n| [&mut one, &mut five].map(|app| app.begin(&format!("/orders/{n}"), "")));
    let of_one = one.weigh(&once("17"), "", &[all[0][0], all[1][0]]);
    let of_five = five.weigh(&often("17"), "", &[all[0][1], all[1][1]]);
    for (one, five) in of_one.into_iter().zip(of_five) {
        assert!((one / five - 1.0).abs() < 0.05, "{one} {five}");
    }
}

#[test]
fn values_that_contradict_each_other_are_no_evidence() {
    let mut app = copies();
    let one = app.begin("/orders/order-1001", "Bearer user-new-1");
    let two = app.begin("/orders/order-1002", "Bearer user-new-2");
    let weights = app.weigh("/stock?order=order-1001", "Bearer user-new-2", &[one, two]);
    assert_eq!(app.weights.evidence(), None, "{weights:?}");
}

#[test]
fn weights_stay_within_their_bounds() {
    let target = |n: u32| format!("/a?p={n}x&q={n}y&r={n}z&s={n}u&t={n}w");
    let mut app = App::new().live(1000, |n| bare(target(n)), |n| bare(target(n)));
    let all = [1, 2].map(|n| app.begin(&target(10_000 + n), ""));
    let weights = app.weigh(&target(10_001), "", &all);
    assert!(
        weights[0] <= 10_000.0 && weights[1] >= 0.0001,
        "{weights:?}"
    );
}

#[test]
fn ids_by_the_thousand_leave_nothing_behind() {
    let mut app = App::new().live(
        50_000,
        |n| {
            (
                format!("/users/user-{n}/orders/order-{n}"),
                format!("Bearer t-{n}"),
            )
        },
        |n| {
            (
                format!("/stock/item-{n}?order=order-{n}"),
                format!("Bearer t-{n}"),
            )
        },
    );
    let left = format!("{:?}", app.values.index);
    assert!(left.contains("holders: {}") && left.len() < 1000, "{left}");
    let all = [1, 2].map(|n| app.begin(&format!("/users/u-{n}/orders/o-{n}"), ""));
    app.weigh("/stock/item-1?order=o-1", "", &all);
    assert_eq!(
        app.weights.evidence(),
        Some(all[0]),
        "and it knows what it learnt"
    );
}

#[test]
fn what_a_body_adds_is_known_from_then_on() {
    let config = Config {
        from: vec![Source::Path, Source::Body],
        ..Config::default()
    };
    let mut app = copies();
    app.reader = Reader::new(&config, Secret::new([3, 4])).unwrap();
    let request = app.begin("/orders", "");
    let App { values, reader, .. } = &mut app;
    let body = br#"{"order": "order-4711"}"#;
    let mut found = Fingerprints::default();
    reader.body(body, Extent::Whole, &mut found);
    values.complete(request, &found);
    assert_eq!(values.of(request).unwrap().len(), 2);
    app.reader = Reader::new(&Config::default(), Secret::new([3, 4])).unwrap();
    app.weigh("/stock?order=order-4711", "", &[]);
    assert_eq!(app.weights.evidence(), Some(request));
}

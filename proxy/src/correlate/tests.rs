#![allow(
    clippy::disallowed_methods,
    reason = "a test needs some moment to count from"
)]

use std::time::Duration;

use super::*;
use crate::processes::Socket;
use http::{HeaderMap, HeaderValue};
use throughline::propagation::{Format, Propagator};

/// A correlator, and the time.
struct Bench {
    correlator: Correlator,
    now: Instant,
    /// What the thread says that makes the next call.
    signal: Option<Signal>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            correlator: Correlator::new(0.9, now),
            now,
            signal: None,
        }
    }

    /// An app with this many open requests, numbered from 1, each 3 ms after the one before.
    fn open(requests: u64) -> Self {
        let mut bench = Self::new();
        for n in 1..=requests {
            bench.request(n);
        }
        bench
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn request(&mut self, n: u64) -> Key {
        self.wait(3);
        let mut context = TraceContext::new(trace(n), span(n), TraceFlags::SAMPLED);
        context.state = Some(HeaderValue::from_static("vendor=1"));
        let request = Request {
            context,
            request_id: Some(format!("request-{n}").into()),
            kind: Kind::of("GET", "", "/orders"),
            carried: Some(Arc::new(carried(n))),
            values: None,
        };
        self.correlator.open(self.now, request)
    }

    fn call(
        &mut self,
        headers: &[(&'static str, String)],
        process: Option<(&Verdict, &[Key])>,
    ) -> Answer {
        self.wait(1);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let context = Propagator::new(Format::ALL).extract(&map);
        let call = Call {
            context: &context,
            request_id: map.get("x-request-id").map(|id| id.to_str().unwrap()),
            kind: Kind::of("GET", "stock", "/items/7"),
            forwarder: map
                .contains_key("throughline-forwarder")
                .then_some("node/1"),
            signal: self.signal.take(),
            process,
            values: None,
        };
        let label = || label("GET", "stock", "/items/7");
        self.correlator.decide(self.now, call, label)
    }

    fn decide(&mut self, headers: &[(&'static str, String)]) -> Cause {
        self.call(headers, None).cause
    }
}

/// By a connection from our port of that number.
fn carried(n: u64) -> Carried {
    let ours = format!("127.0.0.1:{n}").parse().unwrap();
    let socket = Socket::new("127.0.0.1:3000".parse().unwrap(), ours, Instant::now());
    let carried = Carried::default();
    carried.by(&Arc::new(socket));
    carried
}

fn trace(n: u64) -> TraceId {
    TraceId::epoch_prefixed(7, u128::from(n))
}

fn span(n: u64) -> SpanId {
    SpanId::from_random(n)
}

#[test]
fn a_context_that_names_our_span_is_propagated_and_completed() {
    let w3c = format!("00-{}-{}-01", trace(2), span(2));
    let cause = Bench::open(3).decide(&[("traceparent", w3c)]);
    assert_eq!(cause.parentage.evidence, Evidence::Propagated);
    assert!(!cause.parent_is_remote);
    let parent = cause.parent.unwrap();
    assert_eq!(parent.span_id, span(2));
    assert_eq!(
        parent.state.unwrap(),
        "vendor=1",
        "the app dropped it, we did not"
    );
}

/// The headers of a call onto which a forwarder copied the context of span `n`.
fn forwarded(n: u64) -> [(&'static str, String); 2] {
    [
        ("traceparent", format!("00-{}-{}-01", trace(n), span(n))),
        ("throughline-forwarder", "node/1".to_owned()),
    ]
}

#[test]
fn what_a_forwarder_copied_from_an_open_request_is_its_parent() {
    let answer = Bench::open(3).call(&forwarded(2), None);
    assert_eq!(answer.cause.parentage.evidence, Evidence::Propagated);
    assert_eq!(answer.cause.parent.unwrap().span_id, span(2));
    assert_eq!(answer.cause.forwarder, Some("node/1"));
    assert!(!answer.is_stale);
}

#[test]
fn what_a_forwarder_copied_from_elsewhere_is_not_believed() {
    let answer = Bench::open(3).call(&forwarded(9), None);
    assert!(answer.is_stale);
    assert_eq!(answer.cause.parentage.evidence, Evidence::Open);
    assert_eq!((answer.cause.forwarder, answer.cause.adopted), (None, None));

    let mut named = forwarded(2);
    named[0].1 = named[0]
        .1
        .replace(&trace(2).to_string(), &trace(8).to_string());
    let answer = Bench::open(3).call(&named, None);
    assert!(answer.is_stale, "our span, but in another trace");
}

#[test]
fn a_context_that_a_forwarder_copied_expires_with_its_response() {
    for (millis, grace, is_stale) in [
        (ON_ITS_WAY.as_millis(), 0, false),
        (ON_ITS_WAY.as_millis() + 2, 0, true),
        (ON_ITS_WAY.as_millis() + 2, 5, false),
    ] {
        let mut bench = Bench::open(1);
        bench.correlator = bench.correlator.with_grace(Duration::from_millis(grace));
        let ends = bench.request(2);
        bench.correlator.close(bench.now, ends);
        bench.wait(u64::try_from(millis).unwrap() - 1);
        assert_eq!(
            bench.call(&forwarded(2), None).is_stale,
            is_stale,
            "{millis}"
        );
    }
}

#[test]
fn a_thread_tells_which_request_it_serves() {
    let said = |port, millis| {
        Some(Signal {
            port,
            age: Duration::from_millis(millis),
        })
    };
    let mut bench = Bench::open(3);
    bench.signal = said(2, 1);
    let cause = bench.decide(&[]);
    assert_eq!(cause.parentage.evidence, Evidence::Signal);
    assert_eq!(cause.parent.unwrap().span_id, span(2));

    bench.signal = said(3, 40);
    let cause = bench.decide(&[]);
    assert_eq!(
        cause.parentage.evidence,
        Evidence::Open,
        "said before there was such a request"
    );
    assert_eq!(cause.links, [None; MAX_LINKS]);

    let mut bench = Bench::open(1);
    bench.signal = said(77, 1);
    let cause = bench.decide(&[]);
    assert_eq!(
        cause.parentage.evidence,
        Evidence::Open,
        "the only one here is not the one"
    );
}

#[test]
fn a_span_of_the_apps_own_is_left_alone() {
    let w3c = format!("00-{}-{}-01", trace(2), span(99));
    let cause = Bench::open(3).decide(&[("traceparent", w3c)]);
    assert_eq!(cause.parentage.evidence, Evidence::Propagated);
    assert!(cause.parent_is_remote);
    assert_eq!(cause.parent.unwrap().span_id, span(99));
}

#[test]
fn our_span_id_in_another_trace_is_not_ours() {
    let w3c = format!("00-{}-{}-01", trace(50), span(2));
    let cause = Bench::open(3).decide(&[("traceparent", w3c)]);
    assert_eq!(cause.parent.unwrap().trace_id, trace(50));
}

#[test]
fn a_bare_root_finds_its_exchange_or_keeps_its_trace() {
    let root = |n| vec![("x-amzn-trace-id", format!("Root={}", trace(n).xray()))];
    let cause = Bench::open(3).decide(&root(2));
    assert_eq!(cause.parent.unwrap().span_id, span(2));
    let cause = Bench::open(3).decide(&root(50));
    assert_eq!((cause.parent, cause.adopted), (None, Some(trace(50))));
}

#[test]
fn of_several_contexts_that_disagree_the_one_that_is_open_here_is_believed() {
    let ours = |n| format!("Root={};Parent={};Sampled=1", trace(n).xray(), span(n));
    let w3c = |n, s| format!("00-{}-{}-01", trace(n), span(s));
    for (why, traceparent, xray, expected, conflict) in [
        (
            "a library began another trace, and our header was copied",
            w3c(50, 51),
            ours(2),
            (trace(2), span(2)),
            true,
        ),
        (
            "our headers were copied, and a library made a span in one format",
            w3c(2, 2),
            format!("Root={};Parent={};Sampled=1", trace(2).xray(), span(99)),
            (trace(2), span(99)),
            false,
        ),
        (
            "nothing is known here",
            w3c(50, 51),
            ours(60),
            (trace(50), span(51)),
            true,
        ),
    ] {
        let headers = [("traceparent", traceparent), ("x-amzn-trace-id", xray)];
        let cause = Bench::open(3).decide(&headers);
        let parent = cause.parent.unwrap();
        assert_eq!((parent.trace_id, parent.span_id), expected, "{why}");
        assert_eq!(cause.conflict.is_some(), conflict, "{why}");
        let relation = cause.links[0].map(|link| link.relation);
        assert_eq!(relation, conflict.then_some(Relation::Conflict), "{why}");
    }
}

#[test]
fn what_a_call_decides_without_naming_a_parent_is_kept() {
    let zeros = "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0";
    let bare = format!("Root={};Sampled=0", trace(50).xray());
    for requests in 0..3 {
        for said in [zeros, &bare] {
            let said = [("x-amzn-trace-id", said.to_owned())];
            let cause = Bench::open(requests).decide(&said);
            assert_eq!(cause.sampled, Some(false), "{requests} open, {said:?}");
        }
        let cause = Bench::open(requests).decide(&[]);
        assert_eq!(cause.sampled, None, "{requests} open");
    }
    let w3c = format!("00-{}-{}-00", trace(2), span(99));
    let cause = Bench::open(1).decide(&[("traceparent", w3c)]);
    assert_eq!(cause.sampled, None, "its parent says it");
    assert!(!cause.parent.unwrap().flags.is_sampled());
}

#[test]
fn a_request_id_that_comes_back_tells_the_cause_among_many() {
    let said = [("x-request-id", "request-4".to_owned())];
    let cause = Bench::open(9).decide(&said);
    assert_eq!(cause.parentage.evidence, Evidence::RequestId);
    assert_eq!(cause.parent.unwrap().span_id, span(4));
}

#[test]
fn the_only_open_request_is_the_cause() {
    let cause = Bench::open(1).decide(&[]);
    assert_eq!(cause.parentage.evidence, Evidence::SoleCandidate);
    assert!(cause.parentage.confidence >= 0.9);
    assert_eq!(cause.parent.unwrap().span_id, span(1));
}

#[test]
fn the_only_one_that_is_open_here_is_not_the_cause_while_others_are_open_elsewhere() {
    let mut bench = Bench::open(1);
    bench.correlator.unknown_begin();
    let cause = bench.decide(&[]);
    assert_eq!(cause.parentage.evidence, Evidence::Open);
    let named = bench.decide(&[("x-request-id", "request-1".to_owned())]);
    assert_eq!(named.parentage.evidence, Evidence::RequestId);
    bench.correlator.unknown_end();
    let cause = bench.decide(&[]);
    assert_eq!(cause.parentage.evidence, Evidence::SoleCandidate);
}

#[test]
fn with_two_open_requests_nothing_is_asserted_and_both_are_linked() {
    let cause = Bench::open(2).decide(&[]);
    assert_eq!(cause.parentage.evidence, Evidence::Open);
    assert_eq!(cause.parentage.candidates, 2);
    assert!(cause.parent.is_none());
    assert!(cause.call.is_some(), "more may become known");
    let mut linked: Vec<_> = cause.links.iter().flatten().map(|l| l.span_id).collect();
    linked.sort_by_key(ToString::to_string);
    let mut both = [span(1), span(2)];
    both.sort_by_key(ToString::to_string);
    assert_eq!(linked, both);
    let sum: f32 = cause.links.iter().flatten().map(|l| l.confidence).sum();
    assert!((0.95..=1.0).contains(&sum), "{sum}");
}

#[test]
fn links_are_few_and_only_to_the_likely() {
    for requests in [10, 100] {
        let cause = Bench::open(requests).decide(&[]);
        let links: Vec<_> = cause.links.iter().flatten().collect();
        assert!(links.len() <= MAX_LINKS);
        assert!(links.iter().all(|link| link.confidence >= MIN_LINK));
        assert_eq!(cause.parentage.evidence, Evidence::Open);
    }
}

#[test]
fn a_kind_of_call_that_also_comes_by_itself_is_not_pinned_on_a_bystander() {
    let mut bench = Bench::new();
    let mut alone = bench.decide(&[]);
    assert_eq!(
        (alone.parentage.evidence, alone.parentage.candidates),
        (Evidence::Open, 0)
    );
    for _ in 0..20 {
        bench.wait(50);
        alone = bench.decide(&[]);
    }
    assert!(alone.call.is_none(), "nothing more becomes known of it");
    let key = bench.request(1);
    bench.wait(40);
    let next = bench.decide(&[]);
    assert_eq!(next.parentage.evidence, Evidence::Open, "{next:?}");
    bench.correlator.close(bench.now, key);
}

#[test]
fn what_is_learnt_while_requests_come_one_by_one_tells_two_apart() {
    let mut bench = Bench::new();
    for n in 1..200 {
        let key = bench.request(n);
        bench.wait(4);
        let answer = bench.call(&[], None);
        assert_eq!(answer.cause.parentage.evidence, Evidence::SoleCandidate);
        bench.wait(2);
        bench.correlator.answered(bench.now, answer.call.unwrap());
        bench.correlator.close(bench.now, key);
    }
    bench.request(1000);
    bench.wait(2);
    bench.request(1001);
    let call = bench.decide(&[]);
    assert_eq!(call.parentage.evidence, Evidence::Timing, "{call:?}");
    assert_eq!(
        call.parent.unwrap().span_id,
        span(1000),
        "it calls after 5 ms"
    );
    let row = &bench.correlator.report()[0];
    assert_eq!((&*row.route, row.calls), ("GET stock/items/{}", 200));
    assert_eq!(row.evidence, [0, 0, 0, 0, 0, 199, 1, 0]);
    assert_eq!(row.confidence[BINS - 1], 200);
}

#[test]
fn the_process_that_calls_tells_the_cause_among_many() {
    let mut bench = Bench::new();
    let keys: Vec<Key> = (1..=9).map(|n| bench.request(n)).collect();
    let served = Verdict::Served {
        index: 3,
        confidence: 0.97,
    };
    let cause = bench.call(&[], Some((&served, &keys))).cause;
    assert_eq!(cause.parentage.evidence, Evidence::Process);
    assert_eq!(cause.parent.unwrap().span_id, span(4));
    assert!(cause.call.is_none());

    let unsure = Verdict::Served {
        index: 5,
        confidence: 0.7,
    };
    let cause = bench.call(&[], Some((&unsure, &keys))).cause;
    assert_eq!(cause.parentage.evidence, Evidence::Open);
    assert_eq!(cause.links[0].unwrap().span_id, span(6), "but it counts");
}

#[test]
fn what_becomes_known_is_said_once() {
    let mut bench = Bench::new();
    let keys: Vec<Key> = (1..=2).map(|n| bench.request(n)).collect();
    let cause = bench.decide(&[]);
    assert_eq!(bench.correlator.settled(bench.now).count(), 0);
    for key in keys {
        bench.wait(1);
        bench.correlator.close(bench.now, key);
    }
    let settled: Vec<_> = bench.correlator.settled(bench.now).collect();
    assert_eq!(settled.len(), 1);
    assert_eq!(Some(settled[0].0), cause.call);
    assert!(!settled[0].1.believed, "one call says little");
    assert_eq!(bench.correlator.settled(bench.now).count(), 0);
}

#[test]
fn a_tunnel_is_the_cause_of_what_names_it_and_of_nothing_else() {
    let mut bench = Bench::new();
    let tunnel = bench.request(1);
    bench.correlator.tunnel(bench.now, tunnel);
    bench.request(2);
    let cause = bench.decide(&[]);
    assert_eq!(cause.parentage.evidence, Evidence::SoleCandidate);
    assert_eq!(cause.parent.unwrap().span_id, span(2));

    let w3c = format!("00-{}-{}-01", trace(1), span(1));
    let copied = [
        ("traceparent", w3c),
        ("throughline-forwarder", "node/1".to_owned()),
    ];
    // However long it lasts.
    bench.wait(3_600_000);
    let answer = bench.call(&copied, None);
    assert!(!answer.is_stale);
    assert_eq!(answer.cause.parent.unwrap().span_id, span(1));
    bench.signal = Some(Signal {
        port: 1,
        age: Duration::ZERO,
    });
    let cause = bench.decide(&[]);
    assert_eq!(cause.parentage.evidence, Evidence::Signal);
    assert_eq!(cause.parent.unwrap().span_id, span(1));

    bench.correlator.close(bench.now, tunnel);
    bench.wait(1_000);
    assert!(bench.call(&copied, None).is_stale);

    let mut alone = Bench::new();
    let tunnel = alone.request(1);
    alone.correlator.tunnel(alone.now, tunnel);
    let parentage = alone.decide(&[]).parentage;
    assert_eq!(
        (parentage.evidence, parentage.candidates),
        (Evidence::Open, 0)
    );
}

//! The policy across formats.

use http::HeaderMap;

use super::*;
use crate::{
    context::TraceFlags,
    id::{SpanId, TraceId},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const BARE_ROOT: &str = "Root=1-6721a5f0-112233445566778899aabbcc";
const XRAY: &str = "Root=1-6721a5f0-112233445566778899aabbcc;Parent=b7ad6b7169203331;Sampled=1";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn all() -> Propagator {
    Propagator::new(Format::ALL)
}

fn context() -> TraceContext {
    TraceContext::new(
        TraceId::from_hex(TRACE).unwrap(),
        SpanId::from_hex(SPAN).unwrap(),
        TraceFlags::SAMPLED,
    )
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.iter();
    let mut lines: Vec<_> = lines
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_whole_context_wins_over_a_bare_root_and_the_first_of_two_whole_ones() {
    for (pairs, winner, conflict) in [
        (
            &[("x-amzn-trace-id", BARE_ROOT), ("traceparent", W3C)][..],
            Format::TraceContext,
            Some(Format::XRay),
        ),
        (
            &[("x-amzn-trace-id", XRAY), ("traceparent", W3C)],
            Format::TraceContext,
            Some(Format::XRay),
        ),
        (
            &[
                ("x-amzn-trace-id", BARE_ROOT),
                ("uber-trace-id", "4bf92f3577b34da6a3ce929d0e0e4736:1:0:1"),
            ],
            Format::Jaeger,
            Some(Format::XRay),
        ),
        (&[("x-amzn-trace-id", BARE_ROOT)], Format::XRay, None),
        // The same trace in two formats, once cut to eight bytes, is no conflict.
        (
            &[
                ("traceparent", W3C),
                ("x-b3-traceid", "a3ce929d0e0e4736"),
                ("x-b3-spanid", "1111111111111111"),
            ],
            Format::TraceContext,
            None,
        ),
    ] {
        let read = all().extract(&headers(pairs));
        let remote = read.remote().unwrap();
        assert_eq!(remote.source, winner, "{pairs:?}");
        let loser = read.conflict(remote).map(|remote| remote.source);
        assert_eq!(loser, conflict, "{pairs:?}");
    }
}

#[test]
fn the_order_of_trust_is_the_configured_one() {
    let pairs = [("x-amzn-trace-id", XRAY), ("traceparent", W3C)];
    let propagator = Propagator::new([Format::XRay, Format::TraceContext]);
    let read = propagator.extract(&headers(&pairs));
    assert_eq!(read.remote().unwrap().source, Format::XRay);
    let state = [pairs[0], pairs[1], ("tracestate", "a=1")];
    let read = propagator.extract(&headers(&state));
    let context = read.continued(SpanId::from_random(1), || unreachable!());
    assert_eq!(context.state, None, "it belongs to the trace that lost");
}

#[test]
fn a_broken_header_is_noted_and_taken_away_and_the_next_one_believed() {
    let mut headers = headers(&[
        ("x-amzn-trace-id", XRAY),
        ("traceparent", "00-zz"),
        ("tracestate", "a=1"),
        ("b3", "nonsense"),
        ("baggage", "kept"),
    ]);
    let propagator = all().writing([Format::XRay]);
    let read = propagator.extract(&headers);
    assert_eq!(read.remote().unwrap().source, Format::XRay);
    let rejected: Vec<_> = read.rejected.iter().collect();
    let expected = [
        (Format::TraceContext, Reason::Syntax),
        (Format::B3, Reason::Flags),
    ];
    assert_eq!(rejected, expected);
    propagator.discard(&read.rejected, &mut headers, Signature::default());
    propagator.inject(&context(), &mut headers);
    let names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-amzn-trace-id", "baggage"]);
}

#[test]
fn a_broken_tracestate_goes_alone() {
    let mut map = headers(&[("traceparent", W3C), ("tracestate", "a=1=2")]);
    let propagator = all().writing([]);
    let read = propagator.extract(&map);
    assert_eq!(read.remote().unwrap().source, Format::TraceContext);
    propagator.discard(&read.rejected, &mut map, Signature::default());
    assert_eq!(lines(&map), [format!("traceparent: {W3C}")]);
}

#[test]
fn a_decision_without_a_trace_is_heeded() {
    let read = all().extract(&headers(&[("b3", "0")]));
    assert_eq!((read.remote(), read.sampled()), (None, Some(false)));
    let read = all().extract(&headers(&[("b3", "0"), ("traceparent", W3C)]));
    assert_eq!(read.sampled(), Some(true), "whoever names a trace decides");
}

#[test]
fn all_outputs_agree_and_leave_nothing_stale() {
    let mut map = headers(&[
        ("traceparent", "stale"),
        ("traceparent", "staler"),
        ("tracestate", "a=1"),
        ("x-b3-parentspanid", SPAN),
    ]);
    all().inject(&context(), &mut map);
    assert_eq!(
        lines(&map),
        [
            "b3: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "uber-trace-id: 4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:1",
            "x-amzn-trace-id: Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1",
            "x-b3-sampled: 1",
            "x-b3-spanid: 00f067aa0ba902b7",
            "x-b3-traceid: 4bf92f3577b34da6a3ce929d0e0e4736",
            "x-datadog-parent-id: 67667974448284343",
            "x-datadog-sampling-priority: 1",
            "x-datadog-tags: _dd.p.tid=4bf92f3577b34da6",
            "x-datadog-trace-id: 11803532876627986230",
        ]
    );
    let read = all().extract(&map);
    for remote in read.remotes() {
        assert_eq!(remote.trace_id, context().trace_id, "{:?}", remote.source);
        assert_eq!(
            remote.parent,
            Some(context().span_id),
            "{:?}",
            remote.source
        );
        assert_eq!(remote.sampled, Some(true), "{:?}", remote.source);
    }
    assert_eq!(read.remotes().count(), 6);
}

#[test]
fn what_is_not_written_is_left_alone_unless_it_is_stripped() {
    let before = headers(&[
        ("b3", "0"),
        ("uber-trace-id", "1:2:0:1"),
        ("uberctx-a", "1"),
    ]);
    let mut map = before.clone();
    let propagator = all().writing([]);
    propagator.inject(&context(), &mut map);
    assert_eq!(map, before);
    propagator
        .stripping([Format::Jaeger])
        .inject(&context(), &mut map);
    assert_eq!(lines(&map), ["b3: 0"]);
}

#[test]
fn what_is_signed_is_believed_first_and_left_as_it_is() {
    let mut map = headers(&[
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=K/20261124/eu-west-1/s3/aws4_request, \
             SignedHeaders=host;traceparent, Signature=ab",
        ),
        ("x-amzn-trace-id", XRAY),
        ("traceparent", W3C),
        ("b3", "0"),
    ]);
    let signature = Signature::of(&"/".parse().unwrap(), &map);
    let propagator =
        Propagator::new([Format::XRay, Format::B3, Format::TraceContext]).stripping(Format::ALL);
    let read = propagator.extract_signed(&map, signature);
    assert_eq!(read.remote().unwrap().source, Format::TraceContext);

    let mut ours = context();
    ours.span_id = SpanId::from_random(1);
    propagator.inject_signed(&ours, &mut map, signature);
    map.remove("authorization");
    assert_eq!(
        lines(&map),
        [
            &*format!("traceparent: {W3C}"),
            "x-amzn-trace-id: Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=0000000000000001;Sampled=1",
        ],
        "AWS reads no other format, and what is signed stays"
    );
}

#[test]
fn a_signed_root_wins_over_a_whole_context_that_is_not_signed() {
    const JAEGER: &str = "4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1";
    for (list, pairs, winner, is_signed) in [
        (
            "x-amzn-trace-id",
            &[("x-amzn-trace-id", BARE_ROOT), ("uber-trace-id", JAEGER)][..],
            Format::XRay,
            true,
        ),
        // A list may name a header that is not there, whose other spelling is not signed.
        (
            "b3",
            &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)],
            Format::B3Multi,
            false,
        ),
        ("host", &[("traceparent", W3C)], Format::TraceContext, false),
    ] {
        let mut map = headers(pairs);
        let scope = "AWS4-HMAC-SHA256 Credential=K/20261124/eu-west-1/lambda/aws4_request";
        let authorization = format!("{scope}, SignedHeaders={list}, Signature=ab");
        map.insert("authorization", authorization.parse().unwrap());
        let signature = Signature::of(&"/".parse().unwrap(), &map);
        let read = all().extract_signed(&map, signature);
        assert_eq!(read.remote().unwrap().source, winner, "{list}");
        assert_eq!(read.is_signed(), is_signed, "{list}");
        let (read, _) = read.distrusted();
        assert!(!read.is_signed(), "there is nothing left to be signed");
    }
}

#[test]
fn of_a_stranger_nothing_is_believed_but_the_link() {
    let mut map = headers(&[
        ("traceparent", W3C),
        ("tracestate", "a=1"),
        (
            "x-amzn-trace-id",
            "Self=1-67891233-abc;Root=1-6721a5f0-112233445566778899aabbcc",
        ),
        ("baggage", "a=1"),
        ("b3", "0"),
    ]);
    let propagator = all().writing([Format::XRay]);
    let (read, stranger) = propagator.extract(&map).distrusted();
    assert_eq!(stranger.unwrap().parent, SpanId::from_hex(SPAN));
    assert_eq!((read.remote(), read.sampled()), (None, None));
    let fresh = TraceId::epoch_prefixed(7, 7);
    let context = read.continued(SpanId::from_random(1), || fresh);
    assert_eq!((context.trace_id, context.state.as_ref()), (fresh, None));

    propagator.forget(&mut map, Signature::default());
    propagator.inject(&context, &mut map);
    assert_eq!(
        lines(&map),
        [
            "baggage: a=1",
            "x-amzn-trace-id: Self=1-67891233-abc;Root=1-00000007-000000000000000000000007;Parent=0000000000000001;Sampled=0",
        ]
    );
}

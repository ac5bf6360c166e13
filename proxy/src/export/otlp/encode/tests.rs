//! The official protobuf structs are the oracle: what is written directly decodes to what the same
//! span is when it is built of them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};

use http::{StatusCode, Version};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, KeyValueList, any_value::Value as Any},
    trace::v1::{Span as Decoded, span::SpanKind, status::StatusCode as SpanStatus},
};
use proptest::prelude::*;
use prost::Message;
use throughline::{
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
    phase::{ConnectionUse, Failure, Party, Phase, Phases, Recorder},
    propagation::{Format, Reason},
    semconv,
    span::{Evidence, Member, Parentage, Relation, Scheme},
};

use super::*;

fn decode(spans: &[Span]) -> ExportTraceServiceRequest {
    let mut bytes = Vec::new();
    for one in spans {
        span(one, &mut bytes);
    }
    let extra = vec![("deployment.environment.name".to_owned(), "test".to_owned())];
    let resource = Resource::new("orders", extra);
    ExportTraceServiceRequest::decode(&*Preamble::new(&resource).request(&bytes)).unwrap()
}

fn decode_one(span: &Span) -> Decoded {
    let request = decode(std::slice::from_ref(span));
    request.resource_spans[0].scope_spans[0].spans[0].clone()
}

fn map(attributes: &[KeyValue]) -> BTreeMap<String, Any> {
    let map: BTreeMap<_, _> = attributes
        .iter()
        .map(|pair| {
            let value = pair.value.clone().and_then(|any| any.value);
            (
                pair.key.clone(),
                value.expect("every attribute has a value"),
            )
        })
        .collect();
    assert_eq!(map.len(), attributes.len(), "each key once: {attributes:?}");
    map
}

fn check(attributes: &[KeyValue], expected: &[(&str, Any)]) {
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    assert_eq!(map(attributes), expected);
}

fn text(text: &str) -> Any {
    Any::StringValue(text.to_owned())
}

fn phases(until: [(Phase, u64); 3]) -> Phases {
    let start = throughline::ambient::now();
    let at = |ns: u64| -> Instant { start + Duration::from_nanos(ns) };
    let recorder = Recorder::new(start, until[0].0);
    recorder.enter(until[1].0, at(until[0].1));
    recorder.enter(until[2].0, at(until[0].1 + until[1].1));
    recorder.phases(at(until.iter().map(|(_, ns)| ns).sum()))
}

fn bare(kind: Kind) -> Span {
    let context = TraceContext::new(
        TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").unwrap(),
        SpanId::from_hex("00f067aa0ba902b7").unwrap(),
        TraceFlags::SAMPLED.and(TraceFlags::RANDOM),
    );
    let started = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
    Span::new(kind, &context, started)
}

fn server_span() -> Span {
    let mut span = bare(Kind::Server);
    span.parent = SpanId::from_hex("1111111111111111");
    span.parent_is_remote = true;
    span.state = Some(Arc::from("vendor=1"));
    span.phases = phases([
        (Phase::Receive, 10),
        (Phase::Proxy, 20),
        (Phase::Wait, 3000),
    ]);
    span.starts_at_headers = true;
    span.method = "BREW".into();
    span.route = "/pots/{id}".into();
    span.host = "[::1]".into();
    span.port = Some(8080);
    span.path = "/pots/17".into();
    span.user_agent = "curl/8".into();
    span.client = Some([10, 0, 0, 9].into());
    span.version = Version::HTTP_2;
    span.status = Some(StatusCode::BAD_GATEWAY);
    span.failure = Some(Failure {
        phase: Phase::Wait,
        ended_by: Party::Upstream,
        error_type: "connection_reset".into(),
    });
    span.connection = Some(ConnectionUse {
        reused: true,
        age: Duration::from_millis(5),
        ordinal: 3,
        peer: "127.0.0.1:3000".parse().ok(),
        tls: None,
    });
    span.context_source = Some(Format::XRay);
    span.context_rejected
        .note(Format::TraceContext, Reason::Version);
    span.baggage = Some(Box::new([Member {
        attribute: "baggage.tenant".into(),
        value: "blue".into(),
    }]));
    span
}

#[test]
fn a_server_span_has_every_field() {
    let decoded = decode_one(&server_span());
    assert_eq!(decoded.trace_id, server_span().trace_id.to_bytes().to_vec());
    assert_eq!(decoded.span_id, server_span().span_id.to_bytes().to_vec());
    assert_eq!(decoded.parent_span_id, [0x11; 8]);
    assert_eq!(decoded.trace_state, "vendor=1");
    assert_eq!(decoded.flags, 0x303);
    assert_eq!(decoded.name, "HTTP /pots/{id}");
    assert_eq!(decoded.kind(), SpanKind::Server);
    assert_eq!(decoded.start_time_unix_nano, 1_700_000_000_123_456_789);
    assert_eq!(decoded.end_time_unix_nano, 1_700_000_000_123_459_819);
    assert_eq!(decoded.status.unwrap().code(), SpanStatus::Error);
    check(
        &decoded.attributes,
        &[
            ("http.request.method", text("_OTHER")),
            ("http.request.method_original", text("BREW")),
            ("http.response.status_code", Any::IntValue(502)),
            ("http.route", text("/pots/{id}")),
            ("error.type", text("connection_reset")),
            ("url.scheme", text("http")),
            ("url.path", text("/pots/17")),
            ("server.address", text("::1")),
            ("server.port", Any::IntValue(8080)),
            ("client.address", text("10.0.0.9")),
            ("network.peer.address", text("10.0.0.9")),
            ("network.protocol.version", text("2")),
            ("user_agent.original", text("curl/8")),
            ("throughline.phase.receive", Any::IntValue(10)),
            ("throughline.phase.proxy", Any::IntValue(20)),
            ("throughline.phase.wait", Any::IntValue(3000)),
            ("throughline.phase.interrupted", text("wait")),
            ("throughline.ended_by", text("upstream")),
            ("throughline.start.precision", text("headers")),
            ("throughline.connection.reused", Any::BoolValue(true)),
            ("throughline.connection.age", Any::IntValue(5_000_000)),
            ("throughline.connection.ordinal", Any::IntValue(3)),
            ("throughline.context.source", text("xray")),
            ("throughline.context.rejected", text("tracecontext:version")),
            ("baggage.tenant", text("blue")),
        ],
    );
}

#[test]
fn an_inferred_parent_is_marked() {
    let mut span = bare(Kind::Client);
    span.parent = SpanId::from_hex("1111111111111111");
    span.parentage = Some(Parentage {
        evidence: Evidence::SoleCandidate,
        confidence: 0.9,
        candidates: 1,
    });
    span.method = "GET".into();
    span.host = "stock".into();
    span.path = "/items".into();
    span.scheme = Scheme::Https;
    span.status = Some(StatusCode::NOT_FOUND);
    span.grpc_status = Some(5);
    span.resend_count = 2;
    span.connection = Some(ConnectionUse {
        reused: false,
        age: Duration::ZERO,
        ordinal: 1,
        peer: "[2001:db8::7]:443".parse().ok(),
        tls: None,
    });
    let decoded = decode_one(&span);
    assert_eq!(decoded.name, "GET");
    assert_eq!(decoded.kind(), SpanKind::Client);
    assert_eq!(decoded.flags, 0x103, "the parent lives in this process");
    assert_eq!(decoded.trace_state, "");
    check(
        &decoded.attributes,
        &[
            ("http.request.method", text("GET")),
            ("http.response.status_code", Any::IntValue(404)),
            ("error.type", text("404")),
            ("rpc.grpc.status_code", Any::IntValue(5)),
            ("url.full", text("https://stock/items")),
            ("server.address", text("stock")),
            ("server.port", Any::IntValue(443)),
            ("network.peer.address", text("2001:db8::7")),
            ("network.peer.port", Any::IntValue(443)),
            ("network.protocol.version", text("1.1")),
            ("http.request.resend_count", Any::IntValue(2)),
            ("throughline.connection.reused", Any::BoolValue(false)),
            ("throughline.connection.age", Any::IntValue(0)),
            ("throughline.connection.ordinal", Any::IntValue(1)),
            ("throughline.parent.evidence", text("sole_candidate")),
            ("throughline.parent.confidence", Any::DoubleValue(0.9)),
            ("throughline.parent.candidates", Any::IntValue(1)),
        ],
    );
}

#[test]
fn candidates_are_linked_with_their_confidence() {
    let mut span = bare(Kind::Client);
    span.links[2] = Some(Link {
        relation: Relation::Candidate,
        trace_id: TraceId::epoch_prefixed(7, 8),
        span_id: SpanId::from_random(9),
        flags: TraceFlags::SAMPLED,
        confidence: 0.25,
    });
    let decoded = decode_one(&span);
    assert_eq!(decoded.links.len(), 1);
    let link = &decoded.links[0];
    assert_eq!(
        link.trace_id,
        TraceId::epoch_prefixed(7, 8).to_bytes().to_vec()
    );
    assert_eq!(link.span_id, SpanId::from_random(9).to_bytes().to_vec());
    assert_eq!(link.flags, 0x101);
    check(
        &link.attributes,
        &[
            ("throughline.link", text("candidate")),
            ("throughline.parent.confidence", Any::DoubleValue(0.25)),
        ],
    );
}

#[test]
fn a_parent_that_was_found_too_late_is_linked_and_the_wrong_one_disputed() {
    let mut span = bare(Kind::Client);
    span.parent = SpanId::from_hex("1111111111111111");
    span.parent_is_disputed = true;
    span.links[0] = Some(Link {
        relation: Relation::Parent,
        trace_id: TraceId::epoch_prefixed(7, 8),
        span_id: SpanId::from_random(9),
        flags: TraceFlags::SAMPLED,
        confidence: 0.97,
    });
    let decoded = decode_one(&span);
    let disputed = map(&decoded.attributes).remove("throughline.parent.disputed");
    assert_eq!(disputed, Some(Any::BoolValue(true)));
    assert_eq!(decoded.parent_span_id, [0x11; 8], "what went out stays");
    let link = &decoded.links[0];
    assert_eq!(link.span_id, SpanId::from_random(9).to_bytes().to_vec());
    assert_eq!(link.flags, 0x101, "it is a request of this process");
    check(
        &link.attributes,
        &[
            ("throughline.link", text("parent")),
            ("throughline.parent.confidence", Any::DoubleValue(0.97)),
        ],
    );
}

#[test]
fn a_root_that_went_well_says_neither_parent_nor_status() {
    let mut span = bare(Kind::Server);
    span.parent_is_remote = true;
    span.status = Some(StatusCode::NOT_FOUND);
    let decoded = decode_one(&span);
    assert!(decoded.parent_span_id.is_empty());
    assert_eq!(decoded.flags, 0x103, "no parent, no remote parent");
    assert_eq!(decoded.status, None, "404 is the caller's error");
}

#[test]
fn text_of_any_length_is_read_as_it_was() {
    for length in (0..300).chain([16_000, 17_000]) {
        let mut bytes = Vec::new();
        let said = "x".repeat(length);
        attribute(&mut Writer(&mut bytes), 1, "key", Value::Str(&said));
        let list = KeyValueList::decode(&*bytes).unwrap();
        check(&list.values, &[("key", text(&said))]);
    }
}

#[test]
fn the_request_says_who_reports() {
    let request = decode(&[server_span(), bare(Kind::Client)]);
    assert_eq!(request.resource_spans.len(), 1);
    let spans = &request.resource_spans[0];
    let resource = map(&spans.resource.as_ref().unwrap().attributes);
    assert_eq!(resource["service.name"], text("orders"));
    assert_eq!(resource["deployment.environment.name"], text("test"));
    let scope = spans.scope_spans[0].scope.as_ref().unwrap();
    assert_eq!(
        (&*scope.name, &*scope.version),
        ("throughline", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(spans.scope_spans[0].spans.len(), 2);
}

fn any_span() -> impl Strategy<Value = Span> {
    let who = (
        any::<u128>(),
        any::<u64>(),
        any::<Option<u64>>(),
        any::<[bool; 5]>(),
    );
    let what = ("[A-Z]{0,30}", "\\PC{0,120}", "\\PC{0,250}", "[a-z.]{0,120}");
    let how = (
        any::<Option<u16>>(),
        prop::option::of(100u16..600),
        prop::option::of(0u16..17),
        any::<u32>(),
        prop::option::of((any::<SocketAddr>(), any::<u64>(), any::<u64>())),
    );
    let parent = (
        prop::option::of((0usize..6, 0.0f32..=1.0, any::<u16>())),
        prop::collection::vec((any::<u128>(), any::<u64>(), 0.0f32..=1.0), 0..5),
        prop::array::uniform3(0u64..10_000_000_000),
    );
    (who, what, how, parent).prop_map(|(who, what, how, parent)| {
        let [is_client, remote, failed, https, disputed] = who.3;
        let mut span = bare(if is_client {
            Kind::Client
        } else {
            Kind::Server
        });
        span.trace_id = TraceId::epoch_prefixed(1, who.0);
        span.span_id = SpanId::from_random(who.1);
        span.parent = who.2.map(SpanId::from_random);
        span.parent_is_remote = remote;
        span.parent_is_disputed = disputed;
        span.method = what.0.as_str().into();
        span.route = what.1.as_str().into();
        span.path = what.2.as_str().into();
        span.user_agent = what.2.as_str().into();
        span.host = what.3.as_str().into();
        span.scheme = if https { Scheme::Https } else { Scheme::Http };
        span.port = how.0;
        span.status = how.1.and_then(|status| StatusCode::from_u16(status).ok());
        span.grpc_status = how.2;
        span.resend_count = how.3;
        span.client = how.4.map(|(address, ..)| address.ip());
        span.connection = how.4.map(|(address, age, ordinal)| ConnectionUse {
            reused: remote,
            age: Duration::from_nanos(age),
            ordinal,
            peer: Some(address),
            tls: None,
        });
        span.failure = failed.then(|| Failure {
            phase: Phase::Connect,
            ended_by: Party::Proxy,
            error_type: "timeout".into(),
        });
        span.parentage = parent
            .0
            .map(|(evidence, confidence, candidates)| Parentage {
                evidence: Evidence::ALL[evidence],
                confidence,
                candidates,
            });
        for (slot, (trace, id, confidence)) in span.links.iter_mut().zip(parent.1) {
            *slot = Some(Link {
                relation: Relation::Candidate,
                trace_id: TraceId::epoch_prefixed(2, trace),
                span_id: SpanId::from_random(id),
                flags: TraceFlags::default(),
                confidence,
            });
        }
        let [a, b, c] = parent.2;
        span.phases = phases([(Phase::Receive, a), (Phase::Wait, b), (Phase::Transfer, c)]);
        span
    })
}

proptest! {
    #[test]
    fn any_span_is_read_by_the_official_structs(spans in prop::collection::vec(any_span(), 1..5)) {
        let request = decode(&spans);
        let decoded = &request.resource_spans[0].scope_spans[0].spans;
        prop_assert_eq!(decoded.len(), spans.len());
        for (span, decoded) in spans.iter().zip(decoded) {
            prop_assert_eq!(&decoded.trace_id[..], span.trace_id.to_bytes());
            prop_assert_eq!(&decoded.span_id[..], span.span_id.to_bytes());
            let parent = span.parent.map(|id| id.to_bytes().to_vec()).unwrap_or_default();
            prop_assert_eq!(&decoded.parent_span_id, &parent);
            let name = span.name();
            prop_assert_eq!(&*decoded.name, name.as_str());
            let took = decoded.end_time_unix_nano - decoded.start_time_unix_nano;
            prop_assert_eq!(Duration::from_nanos(took), span.duration());
            prop_assert_eq!(decoded.status.is_some(), span.error_type().is_some());
            prop_assert_eq!(decoded.links.len(), span.links().count());

            let attributes = map(&decoded.attributes);
            let parts: i64 = attributes
                .iter()
                .filter(|(key, _)| key.starts_with(semconv::PHASE_PREFIX))
                .filter_map(|(_, value)| match value { Any::IntValue(ns) => Some(*ns), _ => None })
                .sum();
            prop_assert_eq!(u64::try_from(parts).unwrap(), took, "the phases sum to the duration");
            let evidence = attributes.get("throughline.parent.evidence").cloned();
            let expected = span.parentage.map(|parentage| text(parentage.evidence.name()));
            prop_assert_eq!(evidence, expected);
            let disputed = attributes.get("throughline.parent.disputed").cloned();
            let expected = span.parent_is_disputed.then_some(Any::BoolValue(true));
            prop_assert_eq!(disputed, expected);

            // What the structs write of it is as long: nothing was written that they do not know.
            let mut direct = Vec::new();
            super::span(span, &mut direct);
            let body = decoded.encoded_len();
            prop_assert_eq!(direct.len(), header_len(2, body) + body);
        }
    }
}

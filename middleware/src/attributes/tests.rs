//! What each kind of span says.

#![allow(
    clippy::disallowed_methods,
    reason = "a test needs some moment to count from"
)]

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::StatusCode;

use super::*;
use crate::{
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
    phase::{ConnectionUse, Party, Recorder},
    propagation::Reason,
    span::{Conflict, Evidence, Parentage, Relation, Scheme, Tls},
    text::Inline,
    tls::{self, Handshake, Session},
};

fn span(kind: Kind) -> Span {
    let context = TraceContext::new(
        TraceId::epoch_prefixed(1, 2),
        SpanId::from_random(3),
        TraceFlags::SAMPLED,
    );
    let mut span = Span::new(kind, &context, SystemTime::UNIX_EPOCH);
    span.method = "GET".into();
    span
}

fn list(span: &Span) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    of(span, |name, value| {
        let value = match value {
            Value::Str(text) => format!("{text:?}"),
            Value::Int(number) => number.to_string(),
            Value::Bool(yes) => yes.to_string(),
            Value::Float(number) => format!("{number:?}"),
        };
        all.push((name, value));
    });
    let names: HashSet<_> = all.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), all.len(), "no name twice: {all:?}");
    all
}

fn check(span: &Span, expected: &[(&'static str, &str)]) {
    let got = list(span);
    let got: Vec<_> = got.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(got, expected);
}

fn value(span: &Span, name: &str) -> Option<String> {
    let found = list(span).into_iter().find(|(n, _)| *n == name);
    found.map(|(_, value)| value)
}

#[test]
fn a_server_span_says_everything_it_knows() {
    let mut span = span(Kind::Server);
    span.route = "/users/{id}".into();
    span.host = "shop".into();
    span.port = Some(8080);
    span.path = "/users/17".into();
    span.user_agent = "curl/8".into();
    span.client = Some("2001:db8::7".parse().unwrap());
    span.status = Some(StatusCode::BAD_GATEWAY);
    span.starts_at_headers = true;
    span.context_source = Some(Format::XRay);
    span.context_conflict = Some(Conflict {
        format: Format::XRay,
        trace_id: TraceId::epoch_prefixed(0x6721_a5f0, 7),
    });
    span.context_rejected.note(Format::B3, Reason::Flags);
    span.context_rejected
        .note(Format::TraceContext, Reason::Syntax);
    span.context_frozen = true;
    let start = Instant::now();
    let recorder = Recorder::new(start, Phase::Proxy);
    recorder.enter(Phase::Connect, start + Duration::from_nanos(7));
    recorder.fail(Party::Upstream, "connection_refused");
    span.phases = recorder.phases(start + Duration::from_nanos(30));
    span.failure = recorder.failure();
    check(
        &span,
        &[
            ("http.request.method", "\"GET\""),
            ("server.address", "\"shop\""),
            ("server.port", "8080"),
            ("network.protocol.version", "\"1.1\""),
            ("http.route", "\"/users/{id}\""),
            ("url.scheme", "\"http\""),
            ("url.path", "\"/users/17\""),
            ("client.address", "\"2001:db8::7\""),
            ("network.peer.address", "\"2001:db8::7\""),
            ("user_agent.original", "\"curl/8\""),
            ("http.response.status_code", "502"),
            ("error.type", "\"connection_refused\""),
            ("throughline.phase.proxy", "7"),
            ("throughline.phase.connect", "23"),
            ("throughline.phase.interrupted", "\"connect\""),
            ("throughline.ended_by", "\"upstream\""),
            ("throughline.start.precision", "\"headers\""),
            ("throughline.context.source", "\"xray\""),
            (
                "throughline.context.conflict",
                "\"xray:1-6721a5f0-000000000000000000000007\"",
            ),
            (
                "throughline.context.rejected",
                "\"tracecontext:syntax,b3:flags\"",
            ),
            ("throughline.context.frozen", "true"),
        ],
    );
}

#[test]
fn a_client_span_says_everything_it_knows() {
    let mut span = span(Kind::Client);
    span.host = "stock".into();
    span.path = "/items".into();
    span.version = Version::HTTP_2;
    span.status = Some(StatusCode::OK);
    span.grpc_status = Some(14);
    span.resend_count = 2;
    span.connection = Some(ConnectionUse {
        reused: true,
        age: Duration::from_micros(5),
        ordinal: 3,
        peer: Some("10.0.0.7:80".parse().unwrap()),
        tls: None,
    });
    span.parentage = Some(Parentage {
        evidence: Evidence::SoleCandidate,
        confidence: 0.9,
        candidates: 1,
    });
    span.parent_is_disputed = true;
    check(
        &span,
        &[
            ("http.request.method", "\"GET\""),
            ("server.address", "\"stock\""),
            ("server.port", "80"),
            ("network.protocol.version", "\"2\""),
            ("url.full", "\"http://stock/items\""),
            ("network.peer.address", "\"10.0.0.7\""),
            ("network.peer.port", "80"),
            ("http.request.resend_count", "2"),
            ("http.response.status_code", "200"),
            ("rpc.grpc.status_code", "14"),
            ("error.type", "\"grpc_14\""),
            ("throughline.connection.reused", "true"),
            ("throughline.connection.age", "5000"),
            ("throughline.connection.ordinal", "3"),
            ("throughline.parent.evidence", "\"sole_candidate\""),
            ("throughline.parent.confidence", "0.9"),
            ("throughline.parent.candidates", "1"),
            ("throughline.parent.disputed", "true"),
        ],
    );
}

#[test]
fn what_is_not_known_is_not_said() {
    check(
        &span(Kind::Server),
        &[
            ("http.request.method", "\"GET\""),
            ("network.protocol.version", "\"1.1\""),
            ("url.scheme", "\"http\""),
        ],
    );
    check(
        &span(Kind::Client),
        &[
            ("http.request.method", "\"GET\""),
            ("network.protocol.version", "\"1.1\""),
        ],
    );
}

#[test]
fn an_odd_method_is_other_and_kept_aside() {
    let mut span = span(Kind::Server);
    span.method = "BREW".into();
    let got = |name| value(&span, name);
    assert_eq!(got("http.request.method").as_deref(), Some("\"_OTHER\""));
    assert_eq!(
        got("http.request.method_original").as_deref(),
        Some("\"BREW\"")
    );
}

#[test]
fn the_address_of_a_call_is_a_url() {
    for (scheme, host, port, path, expected) in [
        (Scheme::Http, "a", None, "/x", "http://a/x"),
        (Scheme::Https, "a", Some(8443), "/x", "https://a:8443/x"),
        (Scheme::Http, "[::1]", Some(80), "/", "http://[::1]:80/"),
        (Scheme::Http, "a", Some(443), "", "http://a:443"),
        (Scheme::Http, "a", None, "*", "http://a"),
    ] {
        let mut span = span(Kind::Client);
        (span.scheme, span.port) = (scheme, port);
        (span.host, span.path) = (host.into(), path.into());
        assert_eq!(
            value(&span, "url.full"),
            Some(format!("{expected:?}")),
            "{host} {path}"
        );
    }
}

#[test]
fn the_longest_address_is_not_cut() {
    let mut span = span(Kind::Client);
    span.scheme = Scheme::Https;
    span.host = "h".repeat(300).as_str().into();
    span.path = format!("/{}", "p".repeat(300)).as_str().into();
    span.port = Some(65535);
    let expected = format!(
        "\"https://{}:65535/{}\"",
        "h".repeat(96),
        "p".repeat(199) // and the slash
    );
    assert_eq!(value(&span, "url.full"), Some(expected));
}

#[test]
fn a_server_does_not_guess_its_port_and_an_address_has_no_brackets() {
    let mut span = span(Kind::Server);
    span.host = "[::1]".into();
    assert_eq!(value(&span, "server.port"), None);
    assert_eq!(value(&span, "server.address").as_deref(), Some("\"::1\""));
    span.kind = Kind::Client;
    span.scheme = Scheme::Https;
    assert_eq!(value(&span, "server.port").as_deref(), Some("443"));
}

#[test]
fn phase_attributes_are_the_prefix_and_the_phase() {
    for phase in Phase::ALL {
        assert_eq!(
            phase_name(phase),
            format!("{}{phase}", name::PHASE_PREFIX),
            "{phase}"
        );
    }
}

#[test]
fn a_link_says_why_and_how_likely_it_is() {
    let link = Link {
        relation: Relation::Candidate,
        trace_id: TraceId::epoch_prefixed(1, 2),
        span_id: SpanId::from_random(3),
        flags: TraceFlags::SAMPLED,
        confidence: 0.3,
    };
    let said = |link: &Link| {
        let mut all = Vec::new();
        of_link(link, |name, value| all.push(format!("{name} {value:?}")));
        all
    };
    let confidence = "throughline.parent.confidence Float(0.3)";
    let candidate = "throughline.link Str(\"candidate\")";
    assert_eq!(said(&link), [candidate, confidence]);
    let found = Link {
        relation: Relation::Parent,
        ..link
    };
    let parent = "throughline.link Str(\"parent\")";
    assert_eq!(said(&found), [parent, confidence]);
    let stranger = Link {
        relation: Relation::Untrusted,
        ..link
    };
    assert_eq!(said(&stranger), ["throughline.link Str(\"untrusted\")"]);
}

#[test]
fn a_tunnel_says_what_passed_and_who_ended_it() {
    let mut span = span(Kind::Client);
    span.method = "CONNECT".into();
    span.tunnel = Some(Box::new(Tunnel {
        protocol: Inline::EMPTY,
        to_server: 517,
        to_client: 4_000,
        ended_by: Some(Party::Client),
        tls: Some(Tls {
            server_name: "bank.example".into(),
            next_protocol: "h2".into(),
            version: Some("1.2"),
        }),
    }));
    check(
        &span,
        &[
            ("http.request.method", "\"CONNECT\""),
            ("network.protocol.version", "\"1.1\""),
            ("throughline.ended_by", "\"client\""),
            ("throughline.tunnel.to_server", "517"),
            ("throughline.tunnel.to_client", "4000"),
            ("tls.client.server_name", "\"bank.example\""),
            ("tls.next_protocol", "\"h2\""),
            ("tls.protocol.version", "\"1.2\""),
        ],
    );
    let recorder = Recorder::new(Instant::now(), Phase::Tunnel);
    recorder.fail(Party::Proxy, "shutdown");
    span.failure = recorder.failure();
    assert_eq!(value(&span, "throughline.ended_by").unwrap(), "\"proxy\"");
    assert_eq!(value(&span, "error.type").unwrap(), "\"shutdown\"");
}

#[test]
fn a_server_span_says_who_the_client_is_and_the_first_how_long_the_handshake_took() {
    let mut span = span(Kind::Server);
    span.tls = Some(Arc::new(Session {
        handshake: Handshake {
            version: tls::Version::Tls13,
            resumed: false,
        },
        took: Duration::from_micros(7),
        client: Some(tls::Client {
            subject: "CN=orders".into(),
            issuer: "CN=ca".into(),
            names: [tls::Name::Uri("spiffe://prod/orders".into())].into(),
        }),
    }));
    let named = [
        ("tls.protocol.name", Some("\"tls\"")),
        ("tls.protocol.version", Some("\"1.3\"")),
        ("tls.resumed", Some("false")),
        ("tls.client.subject", Some("\"CN=orders\"")),
        ("tls.client.issuer", Some("\"CN=ca\"")),
        (
            "throughline.tls.client.name",
            Some("\"spiffe://prod/orders\""),
        ),
        ("throughline.tls.handshake", None),
    ];
    for (name, expected) in named {
        assert_eq!(value(&span, name).as_deref(), expected, "{name}");
    }
    span.tls_is_new = true;
    let took = value(&span, "throughline.tls.handshake");
    assert_eq!(took.as_deref(), Some("7000"));
}

#[test]
fn a_span_speaks_of_the_tls_of_its_own_side() {
    for (kind, expected) in [(Kind::Client, Some("\"1.2\"")), (Kind::Server, None)] {
        let mut span = span(kind);
        span.connection = Some(ConnectionUse {
            reused: false,
            age: Duration::ZERO,
            ordinal: 1,
            peer: None,
            tls: Some(Handshake {
                version: tls::Version::Tls12,
                resumed: true,
            }),
        });
        let got = value(&span, "tls.protocol.version");
        assert_eq!(got.as_deref(), expected, "{kind:?}");
    }
}

#[test]
fn a_grpc_call_is_named_by_its_service_and_method() {
    let said = |path: &str| {
        let mut span = span(Kind::Server);
        span.is_grpc = true;
        span.path = path.into();
        let mut said = Vec::new();
        of(&span, |name, value| match value {
            Value::Str(value) if name.starts_with("rpc.") => said.push(value.to_owned()),
            _ => {}
        });
        said
    };
    assert_eq!(said("/shop.v1.Stock/Get"), ["grpc", "shop.v1.Stock", "Get"]);
    assert_eq!(said("/a/b/Get"), ["grpc", "a/b", "Get"]);
    assert_eq!(said("/odd"), ["grpc"]);
}

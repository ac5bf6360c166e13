//! The traces in memory, as JSON.
//!
//! Times are in nanoseconds: moments since 1970 as `…_unix_nano`, like OTLP, and durations as
//! `…_ns`. A span says how its parent is known, as it does in every export.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use throughline::{
    id::TraceId,
    span::{Kind, Span},
};

use super::{respond, tls_view as tls};
use crate::export::memory::{Memory, Summary};

/// How many traces are listed where nobody says.
const DEFAULT_LIMIT: usize = 20;

/// `GET /api/traces`
pub(super) fn list(memory: &Memory, query: &str) -> Response<Bytes> {
    let limit = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("limit="))
        .map_or(Ok(DEFAULT_LIMIT), str::parse);
    let Ok(limit) = limit else {
        let what = "limit is not a whole number; try ?limit=20";
        return failure(StatusCode::BAD_REQUEST, what);
    };
    #[derive(Serialize)]
    struct List {
        traces: Vec<ListedTrace>,
    }
    let traces = memory.recent(limit).iter().map(listed).collect();
    json(StatusCode::OK, &List { traces })
}

/// `GET /api/traces/{id}`
pub(super) fn trace(memory: &Memory, id: &str) -> Response<Bytes> {
    let Some(trace_id) = parse_id(id) else {
        let what = "that is no trace id; it has 32 hexadecimal digits, or is written 1-8-24";
        return failure(StatusCode::NOT_FOUND, what);
    };
    let spans = memory.trace(trace_id);
    if spans.is_empty() {
        let what = "that trace is not in memory, or not any more";
        return failure(StatusCode::NOT_FOUND, what);
    }
    #[derive(Serialize)]
    struct Trace<'t> {
        trace_id: String,
        xray_id: String,
        service: &'t str,
        spans: Vec<SpanView>,
    }
    let view = Trace {
        trace_id: trace_id.to_string(),
        xray_id: trace_id.xray().to_string(),
        service: memory.service(),
        spans: spans.iter().map(|span| view(span)).collect(),
    };
    json(StatusCode::OK, &view)
}

/// An id in hex, or as X-Ray spells it: `1-67891233-abcdef012345678912345678`.
fn parse_id(id: &str) -> Option<TraceId> {
    match id.strip_prefix("1-").and_then(|rest| rest.split_once('-')) {
        Some((epoch, random)) if epoch.len() == 8 => TraceId::from_hex(format!("{epoch}{random}")),
        Some(_) => None,
        None => TraceId::from_hex(id),
    }
}

#[derive(Serialize)]
struct ListedTrace {
    trace_id: String,
    name: String,
    path: String,
    service: String,
    start_unix_nano: u64,
    duration_ns: u64,
    spans: usize,
    error: bool,
}

fn listed(summary: &Summary) -> ListedTrace {
    ListedTrace {
        trace_id: summary.trace_id.to_string(),
        name: summary.name.to_string(),
        path: summary.path.to_string(),
        service: summary.service.to_string(),
        start_unix_nano: unix_nanos(summary.started),
        duration_ns: nanos(summary.duration),
        spans: summary.spans,
        error: summary.error,
    }
}

#[derive(Serialize)]
struct SpanView {
    span_id: String,
    parent_span_id: Option<String>,
    parent_is_remote: bool,
    /// How the parent is known; absent where it is simply the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<ParentView>,
    links: Vec<LinkView>,
    kind: &'static str,
    name: String,
    start_unix_nano: u64,
    duration_ns: u64,
    /// In the order in which they follow one another; they add up to the duration.
    phases: Vec<PhaseView>,
    starts_at_headers: bool,
    method: String,
    scheme: &'static str,
    host: String,
    port: Option<u16>,
    path: String,
    route: Option<String>,
    status: Option<u16>,
    grpc_status: Option<u16>,
    error: Option<String>,
    interrupted: Option<&'static str>,
    ended_by: Option<&'static str>,
    client: Option<IpAddr>,
    resend_count: u32,
    connection: Option<ConnectionView>,
    /// Of the caller's connection where it was answered, of the upstream's where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<tls::View>,
    context_source: Option<&'static str>,
    /// The context in another format that named another trace, and lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_conflict: Option<ConflictView>,
    /// Each context header that could not be read, as `format:reason`.
    context_rejected: Vec<String>,
    context_frozen: bool,
    /// Members of the baggage that were asked for.
    baggage: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct ConflictView {
    format: &'static str,
    trace_id: String,
}

#[derive(Serialize)]
struct ParentView {
    evidence: &'static str,
    confidence: f32,
    candidates: u16,
    /// Whether it turned out to be the wrong one; absent where it did not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disputed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarder: Option<&'static str>,
}

#[derive(Serialize)]
struct LinkView {
    relation: &'static str,
    trace_id: String,
    span_id: String,
    confidence: f32,
}

#[derive(Serialize)]
struct PhaseView {
    name: &'static str,
    duration_ns: u64,
}

#[derive(Serialize)]
struct ConnectionView {
    reused: bool,
    age_ns: u64,
    ordinal: u64,
    peer: Option<String>,
}

fn view(span: &Span) -> SpanView {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    SpanView {
        span_id: span.span_id.to_string(),
        parent_span_id: span.parent.map(|id| id.to_string()),
        parent_is_remote: span.parent_is_remote,
        parent: span.parentage.map(|parentage| ParentView {
            evidence: parentage.evidence.name(),
            confidence: parentage.confidence,
            candidates: parentage.candidates,
            disputed: span.parent_is_disputed,
            forwarder: span.forwarder,
        }),
        links: span
            .links()
            .map(|link| LinkView {
                relation: link.relation.name(),
                trace_id: link.trace_id.to_string(),
                span_id: link.span_id.to_string(),
                confidence: link.confidence,
            })
            .collect(),
        kind: match span.kind {
            Kind::Server => "server",
            Kind::Client => "client",
        },
        name: span.name().to_string(),
        start_unix_nano: unix_nanos(span.started),
        duration_ns: nanos(span.duration()),
        phases: span
            .phases
            .iter()
            .map(|(phase, duration_ns)| PhaseView {
                name: phase.name(),
                duration_ns,
            })
            .collect(),
        starts_at_headers: span.starts_at_headers,
        method: span.method.to_string(),
        scheme: span.scheme.as_str(),
        host: span.host.to_string(),
        port: span.port,
        path: span.path.to_string(),
        route: text(span.route.as_str()),
        status: span.status.map(|status| status.as_u16()),
        grpc_status: span.grpc_status,
        error: span.error_type().and_then(|error| text(error.as_str())),
        interrupted: span.interrupted().map(|phase| phase.name()),
        ended_by: span.failure.map(|failure| failure.ended_by.name()),
        client: span.client,
        resend_count: span.resend_count,
        connection: span.connection.map(|used| ConnectionView {
            reused: used.reused,
            age_ns: nanos(used.age),
            ordinal: used.ordinal,
            peer: used.peer.map(|peer| peer.to_string()),
        }),
        tls: tls::View::of(span),
        context_source: span.context_source.map(|format| format.name()),
        context_conflict: span.context_conflict.map(|conflict| ConflictView {
            format: conflict.format.name(),
            trace_id: conflict.trace_id.to_string(),
        }),
        context_rejected: span
            .context_rejected
            .iter()
            .map(|(format, reason)| format!("{format}:{}", reason.name()))
            .collect(),
        context_frozen: span.context_frozen,
        baggage: span
            .baggage
            .iter()
            .flatten()
            .map(|member| (member.attribute.to_string(), member.value.to_string()))
            .collect(),
    }
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Bytes> {
    let body = serde_json::to_vec(value).expect("these structs have string keys and no maps");
    respond(status, "application/json", body.into())
}

fn failure(status: StatusCode, what: &str) -> Response<Bytes> {
    json(status, &BTreeMap::from([("error", what)]))
}

pub(super) fn unix_nanos(time: SystemTime) -> u64 {
    nanos(
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use throughline::{
        ambient,
        context::{TraceContext, TraceFlags},
        id::SpanId,
        phase::{Phase, Recorder},
        span::{Evidence, Link, Parentage, Relation},
    };

    use super::*;

    const ID: &str = "6789123300000000000000000000002a";

    fn memory() -> Memory {
        let memory = Memory::new("orders", 10);
        let context = TraceContext::new(
            TraceId::from_hex(ID).unwrap(),
            SpanId::from_random(1),
            TraceFlags::SAMPLED,
        );
        let started = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001);
        let mut span = Span::new(Kind::Client, &context, started);
        span.method = "GET".into();
        span.path = "/items".into();
        span.status = StatusCode::from_u16(503).ok();
        span.parent = Some(SpanId::from_random(2));
        span.parentage = Some(Parentage {
            evidence: Evidence::SoleCandidate,
            confidence: 0.5,
            candidates: 1,
        });
        span.links[0] = Some(Link {
            relation: Relation::Candidate,
            trace_id: context.trace_id,
            span_id: SpanId::from_random(3),
            flags: TraceFlags::SAMPLED,
            confidence: 0.25,
        });
        let start = ambient::now();
        let recorder = Recorder::new(start, Phase::Send);
        recorder.enter(Phase::Wait, start + Duration::from_nanos(7));
        span.phases = recorder.phases(start + Duration::from_nanos(107));
        memory.push(Box::new(span));
        memory
    }

    fn body(response: &Response<Bytes>) -> Value {
        assert_eq!(response.headers()["content-type"], "application/json");
        serde_json::from_slice(response.body()).unwrap()
    }

    #[test]
    fn the_list_has_what_a_line_needs() {
        let response = list(&memory(), "");
        assert_eq!(
            body(&response),
            json!({"traces": [{
                "trace_id": ID,
                "name": "GET",
                "path": "/items",
                "service": "orders",
                "start_unix_nano": 1_700_000_000_000_000_001_u64,
                "duration_ns": 107,
                "spans": 1,
                "error": true,
            }]})
        );
    }

    #[test]
    fn a_limit_is_kept_and_nonsense_is_refused() {
        assert_eq!(body(&list(&memory(), "a=b&limit=0")), json!({"traces": []}));
        for query in ["limit=", "limit=x", "limit=-1"] {
            let response = list(&memory(), query);
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
            assert!(body(&response)["error"].is_string());
        }
    }

    #[test]
    fn a_trace_is_found_by_either_spelling_of_its_id() {
        let xray = format!("1-{}-{}", &ID[..8], &ID[8..]);
        for id in [ID, &ID.to_uppercase(), &xray] {
            let response = trace(&memory(), id);
            assert_eq!(response.status(), StatusCode::OK, "{id}");
            assert_eq!(body(&response)["xray_id"], *xray);
        }
    }

    #[test]
    fn a_trace_that_is_not_here_is_404_in_json() {
        let unknown = "7".repeat(32);
        for id in ["", "x", "1-1-1", "1-67891233", &ID[1..], &unknown] {
            let response = trace(&memory(), id);
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{id}");
            assert!(body(&response)["error"].is_string(), "{id}");
        }
    }

    #[test]
    fn an_inferred_parent_is_marked_and_the_phases_sum() {
        let trace = body(&trace(&memory(), ID));
        assert_eq!(trace["service"], "orders");
        let span = &trace["spans"][0];
        let parent = json!({"evidence": "sole_candidate", "confidence": 0.5, "candidates": 1});
        assert_eq!(span["parent"], parent);
        assert_eq!(span["parent_span_id"], "0000000000000002");
        assert_eq!(span["links"][0]["relation"], "candidate");
        assert_eq!(span["links"][0]["confidence"], 0.25);
        assert_eq!(
            span["phases"],
            json!([{"name": "send", "duration_ns": 7}, {"name": "wait", "duration_ns": 100}])
        );
        assert_eq!(span["duration_ns"], 107);
        assert_eq!(span["error"], "503");
    }

    #[test]
    fn a_disputed_parent_says_so_and_the_better_one_is_linked() {
        let memory = memory();
        let mut span = Box::new((*memory.spans()[0]).clone());
        span.parent_is_disputed = true;
        if let Some(link) = &mut span.links[0] {
            link.relation = Relation::Parent;
        }
        memory.push(span);
        let trace = body(&trace(&memory, ID));
        let [before, after] = [0, 1].map(|n| &trace["spans"][n]);
        assert_eq!(before["parent"].get("disputed"), None);
        assert_eq!(after["parent"]["disputed"], true);
        assert_eq!(after["parent_span_id"], "0000000000000002");
        assert_eq!(after["links"][0]["relation"], "parent");
    }
}

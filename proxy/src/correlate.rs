//! Which inbound exchange caused this outbound call?
//!
//! Evidence is weighed in falling certainty: a context in the call itself, a unique value that comes
//! back, and at last that nothing else can have been the cause. Where that does not suffice **no
//! parent is asserted**; the call begins a trace of its own, linked to the candidates. A wrong parent
//! is worse than none.
//!
//! Time, the window and the call are arguments: nothing here reads a clock or a socket. What is learnt
//! (which kinds of call come without any request) is kept in the [`Correlator`] and bounded.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use throughline::{
    client::Cause,
    context::TraceContext,
    id::SpanId,
    propagation::{Extraction, Remote},
    span::{Conflict, Evidence, Link, Parentage, Relation},
};

use crate::window::{Inbound, Window};

/// The most kinds of call that are learnt about; beyond, new kinds are taken as never seen.
const MAX_KINDS: usize = 1024;

/// A link is made only to a candidate that is at least this likely.
const MIN_LINK: f32 = 0.05;

/// An outbound call, as far as it tells what caused it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// The context in its headers.
    pub context: &'c Extraction,
    /// A value in its headers that names a request, such as an `X-Request-Id`.
    pub request_id: Option<&'c str>,
    /// What kind of call it is.
    pub kind: CallKind,
}

/// Calls that an app makes for the same reason: of one method, to one host, on one path but for the
/// parts of the path that look like ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKind(u64);

impl CallKind {
    /// The kind of a call.
    #[must_use]
    pub fn of(method: &str, host: &str, path: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (method, host).hash(&mut hasher);
        for segment in path.split('/') {
            let is_id = segment.bytes().any(|c| c.is_ascii_digit());
            (if is_id { "{}" } else { segment }).hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}

/// How often calls of one kind were seen, and in what company.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// While exactly one request was open.
    accompanied: u32,
    /// While none was: a timer, a queue consumer, or work left over after an answer.
    alone: u32,
}

/// Finds causes, and learns from the calls that it sees.
#[derive(Debug)]
pub struct Correlator {
    threshold: f32,
    kinds: HashMap<CallKind, Seen>,
}

impl Correlator {
    /// A correlator that asserts a parent only when it is at least this sure, in 0..=1.
    #[must_use]
    pub fn new(threshold: f32) -> Self {
        Self {
            threshold,
            kinds: HashMap::new(),
        }
    }

    /// The cause of `call`, given the exchanges that may have been it. Part of step 7 of the way of a
    /// request.
    pub fn decide(&mut self, window: &Window, call: Call<'_>) -> Cause {
        let winner = believed(window, call.context);
        let names_parent = winner.is_some_and(|remote| remote.parent.is_some());
        let mut cause = match winner {
            Some(remote) => {
                let candidates = window.newest_open().len();
                propagated(window, remote, call.context, candidates)
            }
            None => self.inferred(window, call),
        };
        cause.sampled = match winner {
            Some(remote) => remote.sampled.filter(|_| !names_parent),
            None => call.context.decision,
        };
        cause.source = winner.map(|remote| remote.source);
        cause.rejected = call.context.rejected;
        if let Some(loser) = winner.and_then(|winner| call.context.conflict(winner)) {
            cause.conflict = Some(Conflict::of(loser));
            if let Some(free) = cause.links.iter_mut().find(|link| link.is_none()) {
                *free = Link::to(loser, Relation::Conflict);
            }
        }
        cause
    }

    /// The cause of a call that carries no context.
    fn inferred(&mut self, window: &Window, call: Call<'_>) -> Cause {
        let candidates = window.newest_open().len();
        if let Some(inbound) = call.request_id.and_then(|id| window.by_request_id(id)) {
            return asserted(inbound, Evidence::RequestId, 1.0, candidates);
        }
        let confidence = self.learn(call.kind, candidates);
        let mut open = window.newest_open();
        match (open.next(), open.next()) {
            (Some(sole), None) if confidence >= self.threshold => {
                asserted(sole, Evidence::SoleCandidate, confidence, candidates)
            }
            (Some(_), None) => left_open(window, confidence, candidates),
            #[expect(clippy::cast_precision_loss, reason = "a share of a small count")]
            _ => left_open(window, 1.0 / candidates.max(1) as f32, candidates),
        }
    }

    /// Notes a call of this kind, and says how sure it is that the only open request caused it.
    ///
    /// A kind that was never seen without a request is believed at once; each time that it is seen
    /// without one speaks against it, until it is outweighed.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
    fn learn(&mut self, kind: CallKind, candidates: usize) -> f32 {
        if candidates > 1 {
            return 0.0;
        }
        if self.kinds.len() >= MAX_KINDS && !self.kinds.contains_key(&kind) {
            return 0.99;
        }
        let seen = self.kinds.entry(kind).or_default();
        let confidence =
            (seen.accompanied as f32 + 0.99) / (seen.accompanied as f32 + seen.alone as f32 + 1.0);
        let count = if candidates == 0 {
            &mut seen.alone
        } else {
            &mut seen.accompanied
        };
        *count = count.saturating_add(1);
        confidence
    }
}

/// Which of the contexts in a call is believed, where several disagree.
///
/// An app that knows some formats and not others passes on what it knows, and leaves in the rest what
/// was there before, or what a library of its own began. So a context of a trace that is open here
/// goes before one that is not; and in such a trace a span of the app's own before ours, because that
/// lies between. Where that does not decide, the order of trust does.
fn believed<'r>(window: &Window, read: &'r Extraction) -> Option<&'r Remote> {
    let first = read.remote()?;
    let agrees = |remote: &Remote| {
        remote.parent == first.parent && remote.trace_id.is_same_trace(first.trace_id)
    };
    if read.is_signed() || read.remotes().all(agrees) {
        return Some(first);
    }
    let is_ours = |parent: SpanId| window.by_span(parent).is_some();
    let known = || {
        read.remotes()
            .filter(|remote| window.knows(remote.trace_id))
    };
    let of_the_app = known().find(|remote| remote.parent.is_some_and(|parent| !is_ours(parent)));
    of_the_app.or_else(|| known().next()).or(Some(first))
}

/// The call carries a context.
fn propagated(window: &Window, remote: &Remote, read: &Extraction, candidates: usize) -> Cause {
    let ours = match remote.parent {
        Some(parent) => window.by_span(parent),
        // A trace without a span (a bare `Root`): whichever open exchange of that trace is ours.
        None => window
            .newest_open()
            .find(|inbound| inbound.context.trace_id == remote.trace_id),
    };
    let ours = ours.filter(|inbound| inbound.context.trace_id == remote.trace_id);
    let parent = match (ours, remote.parent) {
        // The app forwards what we gave it, perhaps not all of it: what it left out still holds.
        (Some(inbound), _) => {
            let ours = inbound.context.clone();
            let said = read.at(remote, ours.span_id);
            Some(TraceContext {
                state: said.state.or(ours.state),
                baggage: said.baggage.or(ours.baggage),
                xray: said.xray.or(ours.xray),
                datadog: said.datadog.or(ours.datadog),
                ..ours
            })
        }
        // The app makes spans of its own: its parent is left alone.
        (None, Some(parent)) => {
            let mut theirs = read.at(remote, parent);
            theirs.flags = theirs.flags.with_sampled(remote.sampled.unwrap_or(true));
            Some(theirs)
        }
        (None, None) => None,
    };
    Cause {
        adopted: parent.is_none().then_some(remote.trace_id),
        parent,
        parent_is_remote: ours.is_none(),
        ..cause(Evidence::Propagated, 1.0, candidates)
    }
}

fn asserted(inbound: &Inbound, evidence: Evidence, confidence: f32, candidates: usize) -> Cause {
    Cause {
        parent: Some(inbound.context.clone()),
        ..cause(evidence, confidence, candidates)
    }
}

/// No parent is asserted: each candidate is as likely as this.
fn left_open(window: &Window, each: f32, candidates: usize) -> Cause {
    let mut cause = cause(Evidence::Open, 0.0, candidates);
    if each >= MIN_LINK {
        for (link, inbound) in cause.links.iter_mut().zip(window.newest_open()) {
            *link = Some(Link {
                relation: Relation::Candidate,
                trace_id: inbound.context.trace_id,
                span_id: inbound.context.span_id,
                flags: inbound.context.flags,
                confidence: each,
            });
        }
    }
    cause
}

fn cause(evidence: Evidence, confidence: f32, candidates: usize) -> Cause {
    Cause::new(Parentage {
        evidence,
        confidence,
        candidates: count(candidates),
    })
}

fn count(candidates: usize) -> u16 {
    u16::try_from(candidates).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "a test needs some moment to count from"
    )]

    use std::time::Instant;

    use super::*;
    use http::{HeaderMap, HeaderValue};
    use throughline::{
        context::TraceFlags,
        id::TraceId,
        propagation::{Format, Propagator},
    };

    /// An app with this many open requests, numbered from 1.
    fn open(requests: u64) -> Window {
        let mut window = Window::new(64, 64);
        for n in 1..=requests {
            let mut context = TraceContext::new(trace(n), span(n), TraceFlags::SAMPLED);
            context.state = Some(HeaderValue::from_static("vendor=1"));
            window.open(Inbound {
                context,
                request_id: Some(format!("request-{n}").into()),
                opened: Instant::now(),
            });
        }
        window
    }

    fn trace(n: u64) -> TraceId {
        TraceId::epoch_prefixed(7, u128::from(n))
    }

    fn span(n: u64) -> SpanId {
        SpanId::from_random(n)
    }

    fn decide(
        correlator: &mut Correlator,
        window: &Window,
        headers: &[(&'static str, String)],
    ) -> Cause {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let context = Propagator::new(Format::ALL).extract(&map);
        let call = Call {
            context: &context,
            request_id: map.get("x-request-id").map(|id| id.to_str().unwrap()),
            kind: CallKind::of("GET", "stock", "/items/7"),
        };
        correlator.decide(window, call)
    }

    fn fresh() -> Correlator {
        Correlator::new(0.9)
    }

    #[test]
    fn a_context_that_names_our_span_is_propagated_and_completed() {
        let w3c = format!("00-{}-{}-01", trace(2), span(2));
        let cause = decide(&mut fresh(), &open(3), &[("traceparent", w3c)]);
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

    #[test]
    fn a_span_of_the_apps_own_is_left_alone() {
        let w3c = format!("00-{}-{}-01", trace(2), span(99));
        let cause = decide(&mut fresh(), &open(3), &[("traceparent", w3c)]);
        assert_eq!(cause.parentage.evidence, Evidence::Propagated);
        assert!(cause.parent_is_remote);
        assert_eq!(cause.parent.unwrap().span_id, span(99));
    }

    #[test]
    fn our_span_id_in_another_trace_is_not_ours() {
        let w3c = format!("00-{}-{}-01", trace(50), span(2));
        let cause = decide(&mut fresh(), &open(3), &[("traceparent", w3c)]);
        assert_eq!(cause.parent.unwrap().trace_id, trace(50));
    }

    #[test]
    fn a_bare_root_finds_its_exchange_or_keeps_its_trace() {
        let root = |n| vec![("x-amzn-trace-id", format!("Root={}", trace(n).xray()))];
        let cause = decide(&mut fresh(), &open(3), &root(2));
        assert_eq!(cause.parent.unwrap().span_id, span(2));
        let cause = decide(&mut fresh(), &open(3), &root(50));
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
            let cause = decide(&mut fresh(), &open(3), &headers);
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
                let cause = decide(&mut fresh(), &open(requests), &said);
                assert_eq!(cause.sampled, Some(false), "{requests} open, {said:?}");
            }
            let cause = decide(&mut fresh(), &open(requests), &[]);
            assert_eq!(cause.sampled, None, "{requests} open");
        }
        let w3c = format!("00-{}-{}-00", trace(2), span(99));
        let cause = decide(&mut fresh(), &open(1), &[("traceparent", w3c)]);
        assert_eq!(cause.sampled, None, "its parent says it");
        assert!(!cause.parent.unwrap().flags.is_sampled());
    }

    #[test]
    fn a_request_id_that_comes_back_tells_the_cause_among_many() {
        let cause = decide(
            &mut fresh(),
            &open(9),
            &[("x-request-id", "request-4".to_owned())],
        );
        assert_eq!(cause.parentage.evidence, Evidence::RequestId);
        assert_eq!(cause.parent.unwrap().span_id, span(4));
    }

    #[test]
    fn the_only_open_request_is_the_cause() {
        let cause = decide(&mut fresh(), &open(1), &[]);
        assert_eq!(cause.parentage.evidence, Evidence::SoleCandidate);
        assert!(cause.parentage.confidence >= 0.9);
        assert_eq!(cause.parent.unwrap().span_id, span(1));
    }

    #[test]
    fn with_two_open_requests_nothing_is_asserted_and_both_are_linked() {
        let cause = decide(&mut fresh(), &open(2), &[]);
        assert_eq!(cause.parentage.evidence, Evidence::Open);
        assert_eq!(cause.parentage.candidates, 2);
        assert!(cause.parent.is_none());
        let links: Vec<_> = cause
            .links
            .iter()
            .flatten()
            .map(|l| (l.span_id, l.confidence))
            .collect();
        assert_eq!(links, [(span(2), 0.5), (span(1), 0.5)]);
    }

    #[test]
    fn links_are_few_and_only_to_the_likely() {
        assert_eq!(
            decide(&mut fresh(), &open(10), &[])
                .links
                .iter()
                .flatten()
                .count(),
            4
        );
        assert_eq!(
            decide(&mut fresh(), &open(21), &[])
                .links
                .iter()
                .flatten()
                .count(),
            0
        );
    }

    #[test]
    fn a_kind_of_call_that_also_comes_by_itself_is_not_pinned_on_a_bystander() {
        let mut correlator = fresh();
        let alone = decide(&mut correlator, &open(0), &[]);
        assert_eq!(
            (alone.parentage.evidence, alone.parentage.candidates),
            (Evidence::Open, 0)
        );
        let next = decide(&mut correlator, &open(1), &[]);
        assert_eq!(next.parentage.evidence, Evidence::Open);
        assert_eq!(next.links.iter().flatten().count(), 1);
        for _ in 0..30 {
            decide(&mut correlator, &open(1), &[]);
        }
        let later = decide(&mut correlator, &open(1), &[]);
        assert_eq!(
            later.parentage.evidence,
            Evidence::SoleCandidate,
            "outweighed"
        );
    }

    #[test]
    fn kinds_ignore_ids_and_are_bounded() {
        assert_eq!(
            CallKind::of("GET", "a", "/x/1/y"),
            CallKind::of("GET", "a", "/x/22b/y")
        );
        assert_ne!(
            CallKind::of("GET", "a", "/x/1/y"),
            CallKind::of("GET", "a", "/x/1/z")
        );
        assert_ne!(
            CallKind::of("GET", "a", "/x"),
            CallKind::of("PUT", "a", "/x")
        );
        let mut correlator = fresh();
        for n in 0..5000 {
            let letters = format!("/{}", char::from_u32(0x4e00 + n).unwrap());
            correlator.learn(CallKind::of("GET", "a", &letters), 0);
        }
        assert_eq!(correlator.kinds.len(), MAX_KINDS);
    }
}

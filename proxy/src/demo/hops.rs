//! The spans of many sidecars, put together to hops: who called whom, and because of what.
//!
//! A hop is one edge of a call tree. Its caller's sidecar has a CLIENT span of it and its callee's
//! sidecar a SERVER span; either may be missing. Nothing but ids is used to put them together, so
//! that this is the picture which any tracing backend would have.

use std::{
    collections::{HashMap, HashSet},
    ops::{Range, RangeInclusive},
    sync::Arc,
    time::SystemTime,
};

use throughline::{
    breakdown,
    id::{SpanId, TraceId},
    phase::Phase,
    span::{Evidence, Kind, Span},
};

/// A span, with the service whose sidecar made it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) service: &'static str,
    pub(super) span: Arc<Span>,
}

impl Seen {
    /// How the parent of this call is known; `None` for a request that came in.
    pub(super) fn evidence(&self) -> Option<Evidence> {
        self.span.parentage.map(|parentage| parentage.evidence)
    }

    /// Whether this is a call that was left open.
    pub(super) fn is_open(&self) -> bool {
        self.evidence() == Some(Evidence::Open)
    }

    /// Its nanoseconds, counted from `origin`.
    pub(super) fn range(&self, origin: SystemTime) -> Range<u64> {
        let start = nanos_between(origin, self.span.started);
        start..start + nanos(&self.span)
    }

    /// The nanoseconds in which it waited for its upstream, counted from `origin`.
    fn wait(&self, origin: SystemTime) -> Range<u64> {
        let mut at = self.range(origin).start;
        for (phase, nanos) in self.span.phases.iter() {
            if phase == Phase::Wait {
                return at..at + nanos;
            }
            at += nanos;
        }
        at..at
    }
}

/// The duration of a span in nanoseconds.
pub(super) fn nanos(span: &Span) -> u64 {
    u64::try_from(span.duration().as_nanos()).unwrap_or(u64::MAX)
}

/// The nanoseconds that a span spent in these phases.
fn nanos_in(span: &Span, phases: RangeInclusive<Phase>) -> u64 {
    let within = span
        .phases
        .iter()
        .filter(|(phase, _)| phases.contains(phase));
    within.map(|(_, nanos)| nanos).sum()
}

/// How far `moment` is behind `origin`; nothing if it is before.
pub(super) fn nanos_between(origin: SystemTime, moment: SystemTime) -> u64 {
    let since = moment.duration_since(origin).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// One edge of a call tree, with those that follow from it.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    /// The CLIENT span; `None` where the caller has no sidecar.
    pub(super) caller: Option<Seen>,
    /// The SERVER span; `None` where the call never came through.
    pub(super) callee: Option<Seen>,
    /// The calls that the callee made because of it, in the order in which they began.
    pub(super) calls: Vec<Self>,
}

impl Hop {
    /// The span that says the most about the whole hop: the caller's, or else the callee's.
    pub(super) fn outer(&self) -> &Seen {
        let either = self.caller.as_ref().or(self.callee.as_ref());
        either.expect("a hop has at least one span")
    }

    /// The service that is called, where its sidecar saw the call.
    pub(super) fn callee_name(&self) -> &'static str {
        self.callee.as_ref().map_or("(nobody)", |seen| seen.service)
    }

    /// This hop and all that follow from it, with how deep each is below this one.
    pub(super) fn walk(&self) -> Vec<(usize, &Self)> {
        let mut all = vec![(0, self)];
        for call in &self.calls {
            all.extend(call.walk().into_iter().map(|(depth, hop)| (depth + 1, hop)));
        }
        all
    }

    /// The time in which the callee waited for its own calls, and the time in which it worked, both
    /// within the wait of its SERVER span.
    pub(super) fn app_time(&self) -> (u64, u64) {
        let Some(callee) = &self.callee else {
            return (0, 0);
        };
        let origin = callee.span.started;
        let wait = callee.wait(origin);
        let calls = self.calls.iter().map(|call| call.outer().range(origin));
        let own = breakdown::self_time(wait.clone(), calls);
        let own = u64::try_from(own.as_nanos()).unwrap_or(u64::MAX);
        ((wait.end - wait.start).saturating_sub(own), own)
    }

    /// What the hop took, without what the callee's own calls took.
    pub(super) fn exclusive(&self) -> u64 {
        nanos(&self.outer().span).saturating_sub(self.app_time().0)
    }

    /// The time on the way between the two sidecars, there and back: from the caller's first byte sent
    /// to its first byte back, without what the callee's sidecar took until then. `None` where only
    /// one of them saw the hop.
    ///
    /// Both are durations, each on a clock of its own, so that no clocks need to agree.
    pub(super) fn gap(&self) -> Option<u64> {
        let caller = nanos_in(&self.caller.as_ref()?.span, Phase::Send..=Phase::Wait);
        let callee = nanos_in(&self.callee.as_ref()?.span, Phase::Receive..=Phase::Wait);
        Some(caller.saturating_sub(callee))
    }

    fn has_error(&self) -> bool {
        self.outer().span.error_type().is_some()
    }
}

/// Everything that was seen, as trees.
#[derive(Debug, Default)]
pub(super) struct Hops {
    /// The first hop of each tree: a request from outside, or a call that was left open.
    pub(super) roots: Vec<Hop>,
    /// The SERVER spans that some open call may belong to, so that their calls are not all known.
    unsettled: HashSet<SpanId>,
}

impl Hops {
    /// The trees of these spans, in the order in which they began.
    pub(super) fn of(spans: &[Seen]) -> Self {
        let known: HashMap<SpanId, &Seen> =
            spans.iter().map(|seen| (seen.span.span_id, seen)).collect();
        let mut children: HashMap<SpanId, Vec<&Seen>> = HashMap::new();
        let mut roots = Vec::new();
        for seen in spans {
            match seen.span.parent.filter(|parent| known.contains_key(parent)) {
                Some(parent) => children.entry(parent).or_default().push(seen),
                None => roots.push(seen),
            }
        }
        for siblings in children.values_mut() {
            siblings.sort_by_key(|seen| seen.span.started);
        }
        roots.sort_by_key(|seen| seen.span.started);
        Self {
            roots: roots.into_iter().map(|seen| hop(seen, &children)).collect(),
            unsettled: unsettled(spans),
        }
    }

    /// All hops of all trees.
    pub(super) fn all(&self) -> impl Iterator<Item = &Hop> {
        let all = self.roots.iter().flat_map(Hop::walk);
        all.map(|(_, hop)| hop)
    }

    /// Whether every call that the callee made because of this hop is known to be here.
    pub(super) fn is_settled(&self, hop: &Hop) -> bool {
        let callee = hop.callee.as_ref();
        callee.is_some_and(|seen| !self.unsettled.contains(&seen.span.span_id))
    }

    /// The tree that shows the most: whole, with a failure and a queue in it, and deep.
    pub(super) fn most_instructive(&self) -> Option<&Hop> {
        self.roots.iter().max_by_key(|root| {
            let hops = root.walk();
            let whole = hops.iter().all(|(_, hop)| self.is_settled(hop));
            let from_outside = root.caller.is_none();
            let failed = hops.iter().any(|(_, hop)| hop.has_error());
            let queued = hops.iter().any(|(_, hop)| has_queued(hop));
            let depth = hops.iter().map(|(depth, _)| *depth).max();
            (from_outside && whole, depth, failed, hops.len(), queued)
        })
    }
}

/// Whether waiting for a connection took a visible part of a hop.
fn has_queued(hop: &Hop) -> bool {
    hop.callee.as_ref().is_some_and(|seen| {
        let queue = seen.span.phases.get(Phase::Queue).unwrap_or_default();
        queue * 10 > seen.span.duration()
    })
}

fn hop(seen: &Seen, children: &HashMap<SpanId, Vec<&Seen>>) -> Hop {
    let of = |seen: &Seen| children.get(&seen.span.span_id).into_iter().flatten();
    let (caller, callee) = match seen.span.kind {
        Kind::Server => (None, Some(seen)),
        // A sidecar tries one call again as a second CLIENT span, so that each has one callee.
        Kind::Client => (Some(seen), of(seen).next().copied()),
    };
    let calls = callee.into_iter().flat_map(of);
    Hop {
        caller: caller.cloned(),
        callee: callee.cloned(),
        calls: calls.map(|call| hop(call, children)).collect(),
    }
}

/// The requests during which an open call was made by the same service.
///
/// A call is linked to at most four candidates, and there may have been more; time tells of all.
fn unsettled(spans: &[Seen]) -> HashSet<SpanId> {
    let open: Vec<&Seen> = spans.iter().filter(|seen| seen.is_open()).collect();
    let during = |request: &Seen| {
        open.iter().any(|call| {
            call.service == request.service
                && call.span.started <= request.span.ended()
                && call.span.ended() >= request.span.started
        })
    };
    let requests = spans.iter().filter(|seen| seen.span.kind == Kind::Server);
    let unsettled = requests.filter(|request| during(request));
    unsettled.map(|seen| seen.span.span_id).collect()
}

/// The trace of a hop.
pub(super) fn trace_of(hop: &Hop) -> TraceId {
    hop.outer().span.trace_id
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use throughline::{
        ambient,
        context::{TraceContext, TraceFlags},
        phase::Recorder,
        span::{Link, Parentage, Relation},
    };

    use super::*;

    /// A span of `phases`, each with its microseconds, that begins so many microseconds after the
    /// epoch. Ids are small numbers; trace and span share them where the span is a root.
    pub(in super::super) fn span(
        service: &'static str,
        kind: Kind,
        [trace, id, parent]: [u64; 3],
        path: &str,
        start: u64,
        phases: &[(Phase, u64)],
    ) -> Seen {
        let context = TraceContext::new(
            TraceId::epoch_prefixed(1, u128::from(trace)),
            SpanId::from_random(id),
            TraceFlags::SAMPLED,
        );
        let started = SystemTime::UNIX_EPOCH + Duration::from_micros(start);
        let mut span = Span::new(kind, &context, started);
        span.parent = (parent > 0).then(|| SpanId::from_random(parent));
        span.method = "GET".into();
        span.path = path.into();
        span.status = Some(http::StatusCode::OK);
        if kind == Kind::Client {
            span.parentage = Some(Parentage {
                evidence: if parent > 0 {
                    Evidence::SoleCandidate
                } else {
                    Evidence::Open
                },
                confidence: if parent > 0 { 0.99 } else { 0.0 },
                candidates: if parent > 0 { 1 } else { 2 },
            });
        }
        let begin = ambient::now();
        let recorder = Recorder::new(begin, phases[0].0);
        let mut at = begin;
        for (phase, micros) in phases {
            recorder.enter(*phase, at);
            at += Duration::from_micros(*micros);
        }
        span.phases = recorder.phases(at);
        Seen {
            service,
            span: Arc::new(span),
        }
    }

    /// The same span, changed.
    pub(in super::super) fn with(mut seen: Seen, change: impl FnOnce(&mut Span)) -> Seen {
        change(Arc::make_mut(&mut seen.span));
        seen
    }

    /// One request to a `front` that asks `back` twice, the second time in vain; and a call of `back`
    /// that was left open between that request and another one.
    pub(in super::super) fn example() -> Vec<Seen> {
        use Kind::{Client, Server};
        use Phase::{Connect, Drain, Proxy, Queue, Receive, Send, Transfer, Wait};
        let failed = |seen| {
            with(seen, |span| {
                span.status = Some(http::StatusCode::SERVICE_UNAVAILABLE);
            })
        };
        let linked = |seen, to: &[u64]| {
            with(seen, |span| {
                for (link, (trace, id)) in span.links.iter_mut().zip(to.iter().map(|id| (1, *id))) {
                    *link = Some(Link {
                        relation: Relation::Candidate,
                        trace_id: TraceId::epoch_prefixed(1, trace),
                        span_id: SpanId::from_random(id),
                        flags: TraceFlags::SAMPLED,
                        confidence: 0.5,
                    });
                }
            })
        };
        vec![
            span(
                "front",
                Server,
                [1, 1, 0],
                "/checkout/7",
                0,
                &[
                    (Receive, 1_000),
                    (Proxy, 1_000),
                    (Wait, 96_000),
                    (Drain, 2_000),
                ],
            ),
            span(
                "front",
                Client,
                [1, 2, 1],
                "/stock/7",
                10_000,
                &[
                    (Connect, 4_000),
                    (Send, 2_000),
                    (Wait, 42_000),
                    (Transfer, 2_000),
                ],
            ),
            span(
                "back",
                Server,
                [1, 3, 2],
                "/stock/7",
                18_000,
                &[(Queue, 10_000), (Wait, 20_000), (Transfer, 8_000)],
            ),
            failed(span(
                "front",
                Client,
                [1, 4, 1],
                "/stock/7",
                70_000,
                &[(Send, 1_000), (Wait, 19_000)],
            )),
            failed(span(
                "back",
                Server,
                [1, 5, 4],
                "/stock/7",
                72_000,
                &[(Wait, 16_000)],
            )),
            span(
                "front",
                Server,
                [9, 9, 0],
                "/checkout/8",
                200_000,
                &[(Wait, 40_000)],
            ),
            linked(
                span(
                    "front",
                    Client,
                    [10, 10, 0],
                    "/stock/8",
                    210_000,
                    &[(Wait, 20_000)],
                ),
                &[9],
            ),
            span(
                "back",
                Server,
                [10, 11, 10],
                "/stock/8",
                211_000,
                &[(Wait, 18_000)],
            ),
        ]
    }

    #[test]
    fn a_hop_is_what_both_of_its_sides_saw() {
        let hops = Hops::of(&example());
        assert_eq!(hops.roots.len(), 3);
        let root = &hops.roots[0];
        assert!(root.caller.is_none());
        let named = |hop: &Hop| {
            let caller = hop.caller.as_ref().map(|seen| seen.service);
            (caller, hop.callee_name())
        };
        let calls: Vec<_> = root.calls.iter().map(named).collect();
        assert_eq!(calls, [(Some("front"), "back"), (Some("front"), "back")]);
        assert_eq!(root.walk().len(), 3);
        assert_eq!(hops.all().count(), 5);
    }

    #[test]
    fn a_request_is_settled_unless_a_call_of_its_service_was_left_open_meanwhile() {
        let hops = Hops::of(&example());
        assert!(hops.is_settled(&hops.roots[0]));
        assert!(!hops.is_settled(&hops.roots[1]));
        let best = hops.most_instructive().unwrap();
        assert_eq!(best.outer().span.path.as_str(), "/checkout/7");
    }

    #[test]
    fn the_time_of_a_hop_is_told_apart() {
        let hops = Hops::of(&example());
        let root = &hops.roots[0];
        // 96 ms of waiting, of which two calls took 50 ms and 20 ms.
        assert_eq!(root.app_time(), (70_000_000, 26_000_000));
        assert_eq!(root.exclusive(), 30_000_000);
        assert_eq!(root.gap(), None);
        // 44 ms until the first byte came back, of which the callee took 30 ms.
        assert_eq!(root.calls[0].gap(), Some(14_000_000));
    }

    #[test]
    fn a_span_whose_parent_was_never_seen_is_a_root() {
        let spans = [span(
            "front",
            Kind::Server,
            [1, 2, 77],
            "/",
            0,
            &[(Phase::Wait, 5)],
        )];
        let hops = Hops::of(&spans);
        assert_eq!(hops.roots.len(), 1);
    }
}

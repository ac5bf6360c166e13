//! What each outcome does to a span whose parent was asserted, left open or told.

use std::time::SystemTime;

use proptest::prelude::*;
use throughline::{
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
    span::{Kind, Parentage},
};

use super::*;
use Relation::{Candidate, Conflict, Parent, Untrusted};

fn link(relation: Relation, id: u64, confidence: f32) -> Option<Link> {
    Some(Link {
        relation,
        trace_id: TraceId::epoch_prefixed(1, u128::from(id)),
        span_id: SpanId::from_random(id),
        flags: TraceFlags::SAMPLED,
        confidence,
    })
}

fn outcome(believed: bool, likely: &[(u64, f32)]) -> Outcome {
    let mut outcome = Outcome {
        believed,
        ..Outcome::default()
    };
    for (place, (id, confidence)) in outcome.likely.iter_mut().zip(likely) {
        *place = link(Candidate, *id, *confidence);
    }
    outcome
}

fn span(evidence: Evidence, parent: Option<u64>, links: &[(Relation, u64)]) -> Span {
    let own = parent.unwrap_or(99);
    let context = TraceContext::new(
        TraceId::epoch_prefixed(1, u128::from(own)),
        SpanId::from_random(1000),
        TraceFlags::SAMPLED,
    );
    let mut span = Span::new(Kind::Client, &context, SystemTime::UNIX_EPOCH);
    span.parent = parent.map(SpanId::from_random);
    span.parentage = Some(Parentage {
        evidence,
        confidence: 0.95,
        candidates: 3,
    });
    for (place, (relation, id)) in span.links.iter_mut().zip(links) {
        *place = link(*relation, *id, 0.3);
    }
    span
}

fn links(span: &Span) -> Vec<(Relation, SpanId)> {
    span.links()
        .map(|link| (link.relation, link.span_id))
        .collect()
}

fn expect(list: &[(Relation, u64)]) -> Vec<(Relation, SpanId)> {
    list.iter()
        .map(|(relation, id)| (*relation, SpanId::from_random(*id)))
        .collect()
}

#[test]
fn an_asserted_parent_is_confirmed_disputed_or_neither() {
    use Verdict::{Confirmed, Disputed, StillOpen};
    let conflict = (Conflict, 50);
    for (why, outcome, verdict, linked) in [
        ("the same", outcome(true, &[(1, 0.99)]), Confirmed, vec![]),
        (
            "the same, less surely",
            outcome(false, &[(1, 0.5), (2, 0.4)]),
            Confirmed,
            vec![],
        ),
        (
            "another",
            outcome(true, &[(2, 0.97), (1, 0.02)]),
            Disputed,
            vec![(Parent, 2)],
        ),
        (
            "another, and not surely",
            outcome(false, &[(2, 0.6), (1, 0.4)]),
            StillOpen,
            vec![],
        ),
        ("none", outcome(false, &[]), StillOpen, vec![]),
        ("none, and surely", outcome(true, &[]), StillOpen, vec![]),
    ] {
        let mut span = span(Evidence::Timing, Some(1), &[conflict]);
        let trace_id = span.trace_id;
        assert_eq!(apply(&mut span, &outcome), Some(verdict), "{why}");
        let linked: Vec<_> = [conflict].into_iter().chain(linked).collect();
        assert_eq!(links(&span), expect(&linked), "{why}");
        assert_eq!(span.parent_is_disputed, verdict == Disputed, "{why}");
        assert_eq!(span.parent, Some(SpanId::from_random(1)), "{why}");
        assert_eq!(span.trace_id, trace_id, "{why}");
    }
}

#[test]
fn the_better_parent_takes_its_own_place_or_a_candidates_and_no_others() {
    let conflicts = [(Conflict, 5), (Untrusted, 6), (Conflict, 7), (Conflict, 8)];
    for (before, after) in [
        (
            [
                (Candidate, 4),
                (Candidate, 2),
                (Candidate, 3),
                (Conflict, 5),
            ],
            [(Candidate, 4), (Parent, 2), (Candidate, 3), (Conflict, 5)],
        ),
        (
            [
                (Candidate, 4),
                (Candidate, 6),
                (Candidate, 3),
                (Conflict, 5),
            ],
            [(Candidate, 4), (Candidate, 6), (Parent, 2), (Conflict, 5)],
        ),
        (conflicts, conflicts),
    ] {
        let mut span = span(Evidence::SoleCandidate, Some(1), &before);
        let verdict = apply(&mut span, &outcome(true, &[(2, 0.97)]));
        assert_eq!(verdict, Some(Verdict::Disputed));
        assert_eq!(links(&span), expect(&after));
    }
}

#[test]
fn an_open_call_gets_what_is_likely_now() {
    use Verdict::{Found, StillOpen};
    let five = [(1, 0.95), (2, 0.05), (3, 0.049), (4, 0.001)];
    for (why, outcome, verdict, linked) in [
        (
            "one is believed",
            outcome(true, &five),
            Found,
            vec![(Parent, 1), (Conflict, 50), (Candidate, 2)],
        ),
        (
            "none is",
            outcome(false, &[(1, 0.5), (2, 0.3), (3, 0.1), (4, 0.1)]),
            StillOpen,
            vec![
                (Candidate, 1),
                (Conflict, 50),
                (Candidate, 2),
                (Candidate, 3),
            ],
        ),
        (
            "all are ruled out",
            outcome(false, &[(1, 0.01)]),
            StillOpen,
            vec![(Conflict, 50)],
        ),
        (
            "none, and surely",
            outcome(true, &[]),
            StillOpen,
            vec![(Conflict, 50)],
        ),
    ] {
        let before = [(Candidate, 9), (Conflict, 50), (Candidate, 8)];
        let mut span = span(Evidence::Open, None, &before);
        let trace_id = span.trace_id;
        assert_eq!(apply(&mut span, &outcome), Some(verdict), "{why}");
        assert_eq!(links(&span), expect(&linked), "{why}");
        assert_eq!((span.parent, span.trace_id), (None, trace_id), "{why}");
        assert!(!span.parent_is_disputed, "{why}");
    }
}

#[test]
fn what_was_told_is_not_settled() {
    let outcome = outcome(true, &[(2, 0.99)]);
    let mut told = span(Evidence::Propagated, Some(1), &[]);
    assert_eq!(apply(&mut told, &outcome), None);
    let mut plain = span(Evidence::Open, Some(1), &[]);
    plain.parentage = None;
    assert_eq!(apply(&mut plain, &outcome), None);
    for span in [told, plain] {
        assert_eq!(links(&span), []);
        assert!(!span.parent_is_disputed);
    }
}

fn any_relation() -> impl Strategy<Value = Relation> {
    prop::sample::select(vec![Candidate, Conflict, Untrusted])
}

proptest! {
    #[test]
    fn only_inferred_links_change_and_at_most_one_parent_is_named(
        evidence in prop::sample::select(Evidence::ALL.to_vec()),
        parent in prop::option::of(1u64..6),
        before in prop::collection::vec((any_relation(), 1u64..9), 0..=MAX_LINKS),
        likely in prop::collection::vec((1u64..9, 0.0f32..=1.0), 0..=MAX_LINKS),
        believed in any::<bool>(),
    ) {
        let mut span = span(evidence, parent, &before);
        let was = span.clone();
        let outcome = outcome(believed, &likely);
        let verdict = apply(&mut span, &outcome);

        let others = |span: &Span| -> Vec<_> {
            span.links.map(|link| link.filter(|link| !link.relation.is_inferred())).to_vec()
        };
        prop_assert_eq!(others(&was), others(&span));
        prop_assert_eq!((was.trace_id, was.parent), (span.trace_id, span.parent));
        prop_assert_eq!(was.parentage, span.parentage);
        let parents = span.links().filter(|link| link.relation == Parent).count();
        prop_assert!(parents <= 1);
        if parents == 1 {
            prop_assert!(matches!(verdict, Some(Verdict::Found | Verdict::Disputed)));
        }
        prop_assert_eq!(span.parent_is_disputed, verdict == Some(Verdict::Disputed));

        // Another attempt of the same call is told the same, and so is this one once more.
        let links = span.links;
        prop_assert_eq!(apply(&mut span, &outcome), verdict);
        prop_assert_eq!(span.links, links);
    }
}

//! Holds what the sidecar said of each call against what really happened.

use std::collections::{HashMap, HashSet};

use throughline_tests::{Kind, Span};

use crate::truth::{Arrival, Told};

/// Of a span, what matters here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// Whether it is a call, and not a request.
    pub(crate) is_call: bool,
    /// Its trace.
    pub(crate) trace: String,
    /// Its parent; empty where none is asserted.
    pub(crate) parent: String,
    /// How the parent is known.
    pub(crate) evidence: String,
    /// How many requests were open that could have made the call.
    pub(crate) open: i64,
    /// The requests that are linked as its possible parents, and how likely each is.
    pub(crate) candidates: Vec<(String, f64)>,
}

/// What the sidecar said, by the id of the span.
pub(crate) type Spans = HashMap<String, Said>;

/// Takes from spans what matters.
pub(crate) fn said(spans: &[Span]) -> Spans {
    let said = spans.iter().map(|span| {
        let said = Said {
            is_call: span.kind() == Kind::Client,
            trace: span.trace_id(),
            parent: span.parent(),
            evidence: span.text("throughline.parent.evidence").to_owned(),
            open: span
                .number("throughline.parent.candidates")
                .unwrap_or_default(),
            candidates: span.candidates(),
        };
        (span.id(), said)
    });
    said.collect()
}

/// Whether a call has the right parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the request that made the call.
    Right,
    /// It is another.
    Wrong,
    /// It has none.
    Open {
        /// Whether the likeliest of the links, the first of those, is the request that made the call.
        likeliest: bool,
    },
}

/// A call that both ends know of, and the sidecar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged<'s> {
    /// The SERVER span of the request that made it.
    pub(crate) server: String,
    /// Its CLIENT span.
    pub(crate) client: String,
    /// What was said of it.
    pub(crate) said: &'s Said,
    /// Whether that is right.
    pub(crate) verdict: Verdict,
}

/// The verdicts, and what does not fit together: a rig that loses calls measures nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Judgement<'s> {
    pub(crate) calls: Vec<Judged<'s>>,
    pub(crate) complaints: Vec<String>,
}

/// Judges each call that arrived.
pub(crate) fn judge<'s>(told: &Told, arrivals: &[Arrival], spans: &'s Spans) -> Judgement<'s> {
    let mut judgement = Judgement::default();
    for arrival in arrivals {
        match judged(told, arrival, spans) {
            Ok(call) => judgement.calls.push(call),
            Err(complaint) => judgement.complaints.push(complaint),
        }
    }
    judgement
}

/// What is missing when all that arrived has been judged: calls that nobody got, got twice, or that have
/// no number.
pub(crate) fn missing(told: &Told, arrivals: &[Arrival], spans: &Spans) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut arrived = HashSet::new();
    let mut named = HashSet::new();
    for Arrival { number, client } in arrivals {
        if !arrived.insert(number) {
            complaints.push(format!("the call {number} arrived twice"));
        }
        if !named.insert(client) {
            complaints.push(format!("two calls have the span {client}"));
        }
    }
    let lost = told.keys().filter(|number| !arrived.contains(number));
    complaints.extend(lost.map(|number| format!("the call {number} never arrived")));
    let calls = spans.iter().filter(|(_, said)| said.is_call);
    let strange = calls.filter(|(client, _)| !named.contains(client));
    complaints.extend(strange.map(|(client, _)| format!("no call has the span {client}")));
    complaints
}

fn judged<'s>(told: &Told, arrival: &Arrival, spans: &'s Spans) -> Result<Judged<'s>, String> {
    let Arrival { number, client } = arrival;
    let server = told.get(number);
    let server = server.ok_or_else(|| format!("the app knows nothing of the call {number:?}"))?;
    let cause = spans.get(server).filter(|said| !said.is_call);
    let cause = cause.ok_or_else(|| format!("there is no SERVER span {server}"))?;
    let said = spans.get(client).filter(|said| said.is_call);
    let said = said.ok_or_else(|| format!("there is no CLIENT span {client:?}"))?;
    let verdict = if said.parent.is_empty() {
        Verdict::Open {
            likeliest: likeliest(said) == Some(server),
        }
    } else if said.parent == *server && said.trace == cause.trace {
        Verdict::Right
    } else {
        Verdict::Wrong
    };
    Ok(Judged {
        server: server.clone(),
        client: client.clone(),
        said,
        verdict,
    })
}

fn likeliest(said: &Said) -> Option<&String> {
    let mut likeliest: Option<&(String, f64)> = None;
    for candidate in &said.candidates {
        if likeliest.is_none_or(|(_, confidence)| candidate.1 > *confidence) {
            likeliest = Some(candidate);
        }
    }
    likeliest.map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two requests, `s1` and `s2`, and a call `c1` of the first that has this parent in this trace.
    fn spans(parent: &str, trace: &str, candidates: &[(&str, f64)]) -> Spans {
        let request = |trace: &str| Said {
            trace: trace.to_owned(),
            ..Said::default()
        };
        let candidates = candidates.iter();
        let call = Said {
            is_call: true,
            trace: trace.to_owned(),
            parent: parent.to_owned(),
            candidates: candidates.map(|(id, c)| ((*id).to_owned(), *c)).collect(),
            ..Said::default()
        };
        Spans::from([
            ("s1".to_owned(), request("t1")),
            ("s2".to_owned(), request("t2")),
            ("c1".to_owned(), call),
        ])
    }

    fn told() -> Told {
        Told::from([("7".to_owned(), "s1".to_owned())])
    }

    fn arrival(number: &str, client: &str) -> Arrival {
        Arrival {
            number: number.to_owned(),
            client: client.to_owned(),
        }
    }

    #[test]
    fn a_parent_is_right_only_if_it_made_the_call() {
        let open = |likeliest| Verdict::Open { likeliest };
        for (why, spans, verdict) in [
            ("its own", spans("s1", "t1", &[]), Verdict::Right),
            ("another's", spans("s2", "t2", &[]), Verdict::Wrong),
            ("in a wrong trace", spans("s1", "t2", &[]), Verdict::Wrong),
            ("of nowhere", spans("s9", "t9", &[]), Verdict::Wrong),
            ("none, no links", spans("", "t3", &[]), open(false)),
            (
                "none, and the likeliest is true",
                spans("", "t3", &[("s2", 0.3), ("s1", 0.7)]),
                open(true),
            ),
            (
                "none, and the likeliest is another",
                spans("", "t3", &[("s2", 0.6), ("s1", 0.4)]),
                open(false),
            ),
            (
                "none, and the first of two that are as likely counts",
                spans("", "t3", &[("s2", 0.5), ("s1", 0.5)]),
                open(false),
            ),
        ] {
            let judgement = judge(&told(), &[arrival("7", "c1")], &spans);
            assert_eq!(judgement.complaints, [""; 0], "{why}");
            let verdicts: Vec<_> = judgement.calls.iter().map(|call| call.verdict).collect();
            assert_eq!(verdicts, [verdict], "{why}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_said() {
        let all = spans("s1", "t1", &[]);
        for (told, arrival, complaint) in [
            (
                told(),
                arrival("8", "c1"),
                "the app knows nothing of the call \"8\"",
            ),
            (told(), arrival("7", "c9"), "there is no CLIENT span \"c9\""),
            (told(), arrival("7", "s2"), "there is no CLIENT span \"s2\""),
            (
                Told::from([("7".to_owned(), "s9".to_owned())]),
                arrival("7", "c1"),
                "there is no SERVER span s9",
            ),
        ] {
            let judgement = judge(&told, &[arrival], &all);
            assert_eq!(judgement.complaints, [complaint]);
            assert_eq!(judgement.calls, []);
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let all = spans("s1", "t1", &[]);
        let complete = [arrival("7", "c1")];
        assert_eq!(missing(&told(), &complete, &all), [""; 0]);
        assert_eq!(
            missing(&told(), &[], &all),
            ["the call 7 never arrived", "no call has the span c1"]
        );
        let twice = [arrival("7", "c1"), arrival("7", "c1")];
        assert_eq!(
            missing(&told(), &twice, &all),
            ["the call 7 arrived twice", "two calls have the span c1"]
        );
    }
}

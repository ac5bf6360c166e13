//! `GET /api/correlation`: how the causes of calls were found, for each kind of call.
//!
//! `confidence` counts how likely the likeliest cause was, in tenths, of the calls whose cause was
//! inferred by time; `doubts` counts why none was asserted. `precision` is what became known later:
//! the share of asserted parents that were confirmed, of those that were confirmed or disputed.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use throughline::span::Evidence;

use super::api::json;
use crate::{
    correlate::{Correlator, Row},
    forwarders::Forwarder,
    pipeline::{Counters, Forwarded},
    settle::Verdict,
    timing::Doubt,
};

#[derive(Serialize)]
struct Page {
    open_requests: usize,
    forgotten_requests: u64,
    coverage: Option<f64>,
    precision: Option<f64>,
    settled: BTreeMap<&'static str, u64>,
    /// By forwarder, what became of the contexts that it copied.
    forwarded: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    routes: Vec<Route>,
}

#[derive(Serialize)]
struct Route {
    route: String,
    calls: u64,
    evidence: BTreeMap<&'static str, u64>,
    confidence: [u64; crate::correlate::BINS],
    doubts: BTreeMap<&'static str, u64>,
}

/// What is known; an empty table where nothing is traced.
pub(super) fn answer(
    correlator: Option<&Mutex<Correlator>>,
    counters: &Counters,
) -> Response<Bytes> {
    let (open_requests, forgotten_requests, rows) = match correlator {
        None => (0, 0, Vec::new()),
        Some(correlator) => {
            let correlator = correlator.lock().unwrap_or_else(PoisonError::into_inner);
            let (open, forgotten) = (correlator.open_len(), correlator.forgotten());
            (open, forgotten, correlator.report())
        }
    };
    let settled = Verdict::ALL.map(|verdict| (verdict.name(), counters.verdicts(verdict)));
    json(
        StatusCode::OK,
        &Page {
            open_requests,
            forgotten_requests,
            coverage: counters.coverage(),
            precision: counters.precision(),
            settled: settled.into_iter().collect(),
            forwarded: forwarded(counters),
            routes: rows.into_iter().map(route).collect(),
        },
    )
}

/// The forwarders that were seen, and what became of what they copied.
fn forwarded(counters: &Counters) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
    let outcomes = |by| {
        let of = |outcome: Forwarded| (outcome.name(), counters.forwards(by, outcome));
        seen(Forwarded::ALL.map(of).into_iter())
    };
    let all = Forwarder::ALL.into_iter().map(Some).chain([None]);
    all.map(|by| (by.map_or("other", Forwarder::name), outcomes(by)))
        .filter(|(_, outcomes)| !outcomes.is_empty())
        .collect()
}

fn route(row: Row) -> Route {
    let evidence = Evidence::ALL.map(Evidence::name).into_iter();
    let doubts = Doubt::ALL.map(Doubt::name).into_iter();
    Route {
        route: row.route.into(),
        calls: row.calls,
        evidence: seen(evidence.zip(row.evidence)),
        confidence: row.confidence,
        doubts: seen(doubts.zip(row.doubts)),
    }
}

/// The counts that are not zero.
fn seen(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<&'static str, u64> {
    counts.filter(|(_, count)| *count > 0).collect()
}

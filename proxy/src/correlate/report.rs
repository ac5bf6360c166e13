//! What was decided about the calls of each kind: the table behind `/api/correlation`.

use std::collections::HashMap;

use throughline::span::Evidence;

use super::kind::Kind;
use crate::timing::Doubt;

/// The most kinds that have a row of their own; all others share one.
const MAX_ROWS: usize = 256;

/// How many bins a confidence falls into.
pub const BINS: usize = 10;

/// The decisions about calls of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// What they are called, such as `GET stock:8080/items/{}`.
    pub route: Box<str>,
    /// How many there were.
    pub calls: u64,
    /// How the cause was found, in the order of [`Evidence::ALL`].
    pub evidence: [u64; Evidence::ALL.len()],
    /// How likely the likeliest cause was, of calls whose cause was inferred by time: tenths.
    pub confidence: [u64; BINS],
    /// Why no cause was asserted, in the order of [`Doubt::ALL`].
    pub doubts: [u64; Doubt::ALL.len()],
}

/// All rows.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: HashMap<Kind, Row>,
    others: Row,
}

/// A decision, as far as it is reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided {
    pub(super) evidence: Evidence,
    /// The probability of the likeliest, where time was asked.
    pub(super) likeliest: Option<f32>,
    pub(super) doubt: Option<Doubt>,
}

impl Report {
    /// Notes a decision about a call of `kind`; `label` says what that is called.
    pub(super) fn note(&mut self, kind: Kind, decided: Decided, label: impl FnOnce() -> Box<str>) {
        let has_room = self.rows.len() < MAX_ROWS || self.rows.contains_key(&kind);
        let row = if has_room {
            self.rows.entry(kind).or_insert_with(|| Row {
                route: label(),
                ..Row::default()
            })
        } else {
            &mut self.others
        };
        row.calls += 1;
        let place = Evidence::ALL.iter().position(|e| *e == decided.evidence);
        if let Some(count) = place.and_then(|at| row.evidence.get_mut(at)) {
            *count += 1;
        }
        if let Some(likeliest) = decided.likeliest {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a probability, in tenths"
            )]
            let bin = (likeliest.clamp(0.0, 1.0) * BINS as f32) as usize;
            row.confidence[bin.min(BINS - 1)] += 1;
        }
        let place = decided
            .doubt
            .and_then(|doubt| Doubt::ALL.iter().position(|d| *d == doubt));
        if let Some(count) = place.and_then(|at| row.doubts.get_mut(at)) {
            *count += 1;
        }
    }

    /// The rows, those with the most calls first.
    pub(super) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.rows.values().cloned().collect();
        rows.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.route.cmp(&b.route)));
        if self.others.calls > 0 {
            rows.push(Row {
                route: "others".into(),
                ..self.others.clone()
            });
        }
        rows
    }
}

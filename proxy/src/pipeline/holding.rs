//! A settlement, and the spans that wait for what it finds.

use std::{num::NonZeroU64, sync::Arc, time::Instant};

use throughline::span::Span;

use super::parked::{On, Parked};
use crate::settle::{Outcome, Settlement};

/// Holds the spans of calls that are not settled yet.
#[derive(Debug)]
pub(super) struct Holding {
    settlement: Arc<dyn Settlement>,
    parked: Parked,
    /// What the settlement said in this round. It is written into spans, and they are encoded, only
    /// when it has said all: it may hold a lock that requests wait for.
    said: Vec<(NonZeroU64, Outcome)>,
}

impl Holding {
    /// At most `max` spans, for what `settlement` finds.
    pub(super) fn new(settlement: Arc<dyn Settlement>, max: usize) -> Self {
        Self {
            settlement,
            parked: Parked::new(max),
            said: Vec::new(),
        }
    }

    /// How many spans wait.
    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }

    /// Takes `span`, which goes on at once if there is nothing to wait for.
    pub(super) fn take(&mut self, span: Box<Span>, now: Instant, on: &mut On<'_>) {
        self.parked.take(span, now, on);
    }

    /// Asks what has been settled, once, and lets go on what waited for it or has waited for too
    /// long.
    pub(super) fn round(&mut self, now: Instant, on: &mut On<'_>) {
        let said = &mut self.said;
        self.settlement
            .settled(now, &mut |call, outcome| said.push((call, outcome)));
        for (call, outcome) in self.said.drain(..) {
            self.parked.settle(call, outcome, now, on);
        }
        self.parked.expire(now, on);
    }

    /// Asks one last time, and lets all go on.
    pub(super) fn finish(&mut self, now: Instant, on: &mut On<'_>) {
        self.round(now, on);
        self.parked.empty(on);
    }
}

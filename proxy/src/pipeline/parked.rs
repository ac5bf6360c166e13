//! Spans that wait until more is known of their call, and what is known of calls lately.
//!
//! The outcome of a call and the spans of its attempts come in any order, so whichever comes first
//! waits for the other. Both wait for a limited time and in limited number. A span that has waited
//! for long enough, or that has to make room, goes on as it is: none is ever dropped here.
//!
//! Time is an argument.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    num::NonZeroU64,
    time::{Duration, Instant},
};

use throughline::span::Span;

use crate::settle::{self, Outcome, Verdict};

/// How long a span waits for the outcome of its call, at most.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(5);

/// How long an outcome is kept for the spans of its call: as long as spans wait, and a little, for
/// those of attempts that came later.
const MAX_KEEP: Duration = Duration::from_secs(6);

/// Where spans go on to; with a span goes the verdict on its call, if it is the first that it was
/// written into.
pub(super) type On<'a> = dyn FnMut(Box<Span>, Option<Verdict>) + 'a;

/// The spans that wait, and the outcomes that are kept.
#[derive(Debug)]
pub(super) struct Parked {
    max: usize,
    /// By the order in which they came.
    spans: BTreeMap<u64, Waiting>,
    /// The same spans, by their call.
    by_call: BTreeSet<(NonZeroU64, u64)>,
    next: u64,
    outcomes: HashMap<NonZeroU64, Known>,
    /// When each outcome came, the oldest first. One that was replaced is in here twice.
    order: VecDeque<(Instant, NonZeroU64)>,
}

#[derive(Debug)]
struct Waiting {
    span: Box<Span>,
    call: NonZeroU64,
    since: Instant,
}

#[derive(Debug)]
struct Known {
    outcome: Outcome,
    came: Instant,
    /// Whether its verdict has been given with a span.
    told: bool,
}

impl Parked {
    /// Room for at most `max` spans, and for as many outcomes.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            spans: BTreeMap::new(),
            by_call: BTreeSet::new(),
            next: 0,
            outcomes: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// How many spans wait.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Takes `span`, which waits if the outcome of its call is still to come, or else goes on.
    pub(super) fn take(&mut self, span: Box<Span>, now: Instant, on: &mut On<'_>) {
        let Some(call) = span.call else {
            on(span, None);
            return;
        };
        if let Some(known) = self.outcomes.get_mut(&call) {
            known.release(span, on);
            return;
        }
        if self.spans.len() >= self.max
            && let Some((place, oldest)) = self.spans.pop_first()
        {
            self.by_call.remove(&(oldest.call, place));
            on(oldest.span, None);
        }
        if self.max == 0 {
            on(span, None);
            return;
        }
        let since = now;
        self.by_call.insert((call, self.next));
        self.spans.insert(self.next, Waiting { span, call, since });
        self.next += 1;
    }

    /// The outcome of `call` is there: the spans that wait for it go on, and it is kept for others.
    pub(super) fn settle(
        &mut self,
        call: NonZeroU64,
        outcome: Outcome,
        now: Instant,
        on: &mut On<'_>,
    ) {
        let mut known = Known {
            outcome,
            came: now,
            told: self.outcomes.get(&call).is_some_and(|known| known.told),
        };
        while let Some((_, place)) = self.first_of(call) {
            self.by_call.remove(&(call, place));
            if let Some(waiting) = self.spans.remove(&place) {
                known.release(waiting.span, on);
            }
        }
        self.outcomes.insert(call, known);
        self.order.push_back((now, call));
        while self.order.len() > self.max {
            self.forget_oldest();
        }
    }

    /// Lets those go on that have waited for long enough, and forgets outcomes that were kept so.
    pub(super) fn expire(&mut self, now: Instant, on: &mut On<'_>) {
        while let Some(first) = self.spans.first_entry()
            && now.saturating_duration_since(first.get().since) >= MAX_WAIT
        {
            let (place, waiting) = first.remove_entry();
            self.by_call.remove(&(waiting.call, place));
            on(waiting.span, None);
        }
        while let Some((came, _)) = self.order.front()
            && now.saturating_duration_since(*came) >= MAX_KEEP
        {
            self.forget_oldest();
        }
    }

    /// Lets all go on, in the order in which they came.
    pub(super) fn empty(&mut self, on: &mut On<'_>) {
        self.by_call.clear();
        while let Some((_, waiting)) = self.spans.pop_first() {
            on(waiting.span, None);
        }
    }

    fn first_of(&self, call: NonZeroU64) -> Option<(NonZeroU64, u64)> {
        self.by_call
            .range((call, 0)..=(call, u64::MAX))
            .next()
            .copied()
    }

    fn forget_oldest(&mut self) {
        if let Some((came, call)) = self.order.pop_front()
            && self
                .outcomes
                .get(&call)
                .is_some_and(|known| known.came <= came)
        {
            self.outcomes.remove(&call);
        }
    }
}

impl Known {
    /// Writes the outcome into `span` and lets it go on.
    fn release(&mut self, mut span: Box<Span>, on: &mut On<'_>) {
        let verdict = settle::apply(&mut span, &self.outcome);
        let first = !std::mem::replace(&mut self.told, true);
        on(span, verdict.filter(|_| first));
    }
}

#[cfg(test)]
mod tests;

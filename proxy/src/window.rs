//! The app's inbound exchanges, open and recent, in the order in which they began.
//!
//! This is what an outbound call is held against to find its cause. It is bounded twice: in open
//! exchanges, of which the oldest is forgotten first (a stream that stays open for days must not
//! push out everything else, but a flood must not fill memory either), and in ended ones, of which
//! only the last few are remembered, for calls that an app makes after it has answered.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use throughline::{
    context::TraceContext,
    id::{SpanId, TraceId},
};

/// An inbound exchange, as far as it matters to calls that it may cause.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The context at its SERVER span.
    pub context: TraceContext,
    /// The unique value that it came with, such as its `X-Request-Id`.
    pub request_id: Option<Box<str>>,
    /// When it began.
    pub opened: Instant,
}

/// Names an exchange in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(u64);

/// The open and the recent exchanges of one app.
#[derive(Debug)]
pub struct Window {
    open: BTreeMap<Key, Inbound>,
    recent: VecDeque<Inbound>,
    next: u64,
    max_open: usize,
    max_recent: usize,
    forgotten: u64,
}

impl Window {
    /// A window that remembers this many open and this many ended exchanges at most.
    #[must_use]
    pub fn new(max_open: usize, max_recent: usize) -> Self {
        Self {
            open: BTreeMap::new(),
            recent: VecDeque::with_capacity(max_recent),
            next: 0,
            max_open,
            max_recent,
            forgotten: 0,
        }
    }

    /// An exchange begins.
    pub fn open(&mut self, inbound: Inbound) -> Key {
        let context = inbound.context.detached();
        let inbound = Inbound { context, ..inbound };
        if self.open.len() >= self.max_open {
            self.open.pop_first();
            self.forgotten += 1;
        }
        let key = Key(self.next);
        self.next += 1;
        self.open.insert(key, inbound);
        key
    }

    /// An exchange ends: the app has said all that it had to say.
    pub fn close(&mut self, key: Key) {
        let Some(inbound) = self.open.remove(&key) else {
            return;
        };
        if self.max_recent == 0 {
            return;
        }
        if self.recent.len() >= self.max_recent {
            self.recent.pop_front();
        }
        self.recent.push_back(inbound);
    }

    /// The open exchanges, the newest first.
    pub fn newest_open(&self) -> impl ExactSizeIterator<Item = &Inbound> {
        self.open.values().rev()
    }

    /// The exchange of this span, open or recent.
    #[must_use]
    pub fn by_span(&self, span_id: SpanId) -> Option<&Inbound> {
        self.all()
            .find(|inbound| inbound.context.span_id == span_id)
    }

    /// Whether an exchange, open or recent, belongs to this trace.
    #[must_use]
    pub fn knows(&self, trace_id: TraceId) -> bool {
        self.all()
            .any(|inbound| inbound.context.trace_id == trace_id)
    }

    /// The one exchange that came with this value; `None` if there are several.
    #[must_use]
    pub fn by_request_id(&self, request_id: &str) -> Option<&Inbound> {
        let mut found = self
            .all()
            .filter(|inbound| inbound.request_id.as_deref() == Some(request_id));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// How many open exchanges were forgotten because there were too many.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn all(&self) -> impl Iterator<Item = &Inbound> {
        self.newest_open().chain(self.recent.iter().rev())
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "a test needs some moment to count from"
    )]

    use super::*;
    use throughline::context::TraceFlags;

    fn inbound(n: u64, request_id: Option<&str>) -> Inbound {
        Inbound {
            context: TraceContext::new(
                TraceId::epoch_prefixed(1, u128::from(n)),
                SpanId::from_random(n),
                TraceFlags::SAMPLED,
            ),
            request_id: request_id.map(Into::into),
            opened: Instant::now(),
        }
    }

    #[test]
    fn an_ended_exchange_is_recent_and_no_longer_open() {
        let mut window = Window::new(8, 8);
        let key = window.open(inbound(1, Some("a")));
        window.open(inbound(2, None));
        window.close(key);
        window.close(key);
        let open: Vec<_> = window.newest_open().map(|i| i.context.span_id).collect();
        assert_eq!(open, [SpanId::from_random(2)]);
        assert!(window.by_span(SpanId::from_random(1)).is_some());
        assert!(window.by_request_id("a").is_some());
    }

    #[test]
    fn a_value_that_two_exchanges_share_tells_nothing() {
        let mut window = Window::new(8, 8);
        let key = window.open(inbound(1, Some("a")));
        window.close(key);
        window.open(inbound(2, Some("a")));
        assert!(window.by_request_id("a").is_none());
        assert!(window.by_request_id("b").is_none());
    }

    #[test]
    fn a_flood_is_forgotten_from_its_oldest_end_and_counted() {
        let mut window = Window::new(4, 2);
        let keys: Vec<_> = (1..=10).map(|n| window.open(inbound(n, None))).collect();
        assert_eq!(window.newest_open().len(), 4);
        assert_eq!(window.forgotten(), 6);
        keys.into_iter().for_each(|key| window.close(key));
        assert_eq!(window.newest_open().len(), 0);
        assert_eq!(window.all().count(), 2);
    }
}

//! The app's inbound exchanges, open and recent, in the order in which they began.
//!
//! This is what an outbound call is held against to find its cause. It is bounded twice: in open
//! exchanges, of which the oldest is forgotten first (a stream that stays open for days must not
//! push out everything else, but a flood must not fill memory either), and in ended ones, of which
//! only the last few are remembered, for calls that an app makes after it has answered.
//!
//! A third kind lies between: a tunnel goes on for as long as it likes, and is no candidate for whatever
//! happens meanwhile; but who names it means it. There may be as many of them as of open exchanges.
//!
//! Whatever an exchange is looked up by is indexed: a call costs the same however many are open.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
};

use throughline::{
    context::TraceContext,
    id::{SpanId, TraceId},
};

use crate::{processes::Carried, timing::RequestKey, values};

/// An inbound exchange, as far as it matters to calls that it may cause.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The context at its SERVER span.
    pub context: TraceContext,
    /// The unique value that it came with, such as its `X-Request-Id`.
    pub request_id: Option<Box<str>>,
    /// The connection that carries it to the app, where that is of interest.
    pub carried: Option<Arc<Carried>>,
    /// What it is called where values are compared.
    pub values: Option<values::Request>,
    /// What it is called where time is looked at.
    pub timing: Option<RequestKey>,
    /// When it began, in nanoseconds of the window's owner.
    pub began: u64,
    /// When it ended; `None` while it is open.
    pub ended: Option<u64>,
}

/// Names an exchange in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

/// The open and the recent exchanges of one app.
#[derive(Debug)]
pub struct Window {
    all: HashMap<Key, Inbound>,
    open: BTreeSet<Key>,
    tunnels: BTreeSet<Key>,
    recent: VecDeque<Key>,
    spans: Index<SpanId>,
    traces: Index<TraceId>,
    request_ids: Index<Box<str>>,
    next: u64,
    max_open: usize,
    max_recent: usize,
    forgotten: u64,
}

/// Which exchange has a value: the newest of them, and how many there are.
#[derive(Debug)]
struct Index<V>(HashMap<V, (Key, usize)>);

impl<V: Eq + Hash> Index<V> {
    fn add(&mut self, value: V, key: Key) {
        let (newest, count) = self.0.entry(value).or_insert((key, 0));
        *newest = key;
        *count += 1;
    }

    fn remove(&mut self, value: &V) {
        if let Some((_, count)) = self.0.get_mut(value) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(value);
            }
        }
    }
}

impl Window {
    /// A window that remembers this many open and this many ended exchanges at most.
    #[must_use]
    pub fn new(max_open: usize, max_recent: usize) -> Self {
        Self {
            all: HashMap::new(),
            open: BTreeSet::new(),
            tunnels: BTreeSet::new(),
            recent: VecDeque::new(),
            spans: Index(HashMap::new()),
            traces: Index(HashMap::new()),
            request_ids: Index(HashMap::new()),
            next: 0,
            max_open: max_open.max(1),
            max_recent,
            forgotten: 0,
        }
    }

    /// The key that the next exchange will have.
    #[must_use]
    pub fn next_key(&self) -> Key {
        Key(self.next)
    }

    /// An exchange begins. Hands back the oldest open one if that had to be forgotten for it.
    pub fn open(&mut self, inbound: Inbound) -> (Key, Option<Inbound>) {
        let context = inbound.context.detached();
        let inbound = Inbound { context, ..inbound };
        let oldest = (self.open.len() >= self.max_open).then(|| self.open.pop_first());
        let forgotten = oldest.flatten().and_then(|oldest| self.forget(oldest));
        self.forgotten += u64::from(forgotten.is_some());
        let key = self.next_key();
        self.next += 1;
        self.spans.add(inbound.context.span_id, key);
        self.traces.add(inbound.context.trace_id, key);
        if let Some(request_id) = &inbound.request_id {
            self.request_ids.add(request_id.clone(), key);
        }
        self.open.insert(key);
        self.all.insert(key, inbound);
        (key, forgotten)
    }

    /// An open exchange goes on as a tunnel. Hands back what it was called where values and time are
    /// looked at, where it is not any more; `None` if it was not open.
    pub fn tunnel(&mut self, key: Key) -> Option<Inbound> {
        if !self.open.remove(&key) {
            return None;
        }
        if self.tunnels.len() >= self.max_open
            && let Some(oldest) = self.tunnels.pop_first()
        {
            self.forget(oldest);
            self.forgotten += 1;
        }
        self.tunnels.insert(key);
        let inbound = self.all.get_mut(&key)?;
        let was = inbound.clone();
        inbound.values = None;
        inbound.timing = None;
        Some(was)
    }

    /// A tunnel ends; false if it is none.
    pub fn close_tunnel(&mut self, key: Key, now: u64) -> bool {
        let was = self.tunnels.remove(&key);
        if was {
            self.end(key, now);
        }
        was
    }

    /// An exchange ends: the app has said all that it had to say.
    pub fn close(&mut self, key: Key, now: u64) -> Option<&Inbound> {
        if !self.open.remove(&key) {
            return None;
        }
        self.end(key, now);
        self.all.get(&key)
    }

    fn end(&mut self, key: Key, now: u64) {
        if let Some(inbound) = self.all.get_mut(&key) {
            inbound.ended = Some(now);
        }
        self.recent.push_back(key);
        // One more than is remembered, so that the one that just ended can be handed back.
        while self.recent.len() > self.max_recent.max(1) {
            if let Some(oldest) = self.recent.pop_front() {
                self.forget(oldest);
            }
        }
    }

    fn forget(&mut self, key: Key) -> Option<Inbound> {
        let inbound = self.all.remove(&key)?;
        self.spans.remove(&inbound.context.span_id);
        self.traces.remove(&inbound.context.trace_id);
        if let Some(request_id) = &inbound.request_id {
            self.request_ids.remove(request_id);
        }
        Some(inbound)
    }

    /// An exchange, open or recent.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<&Inbound> {
        self.all.get(&key)
    }

    /// How many exchanges are open.
    #[must_use]
    pub fn open_len(&self) -> usize {
        self.open.len()
    }

    /// The open exchanges, the oldest first.
    pub fn oldest_open(&self) -> impl Iterator<Item = (Key, &Inbound)> {
        let known = |key: &Key| Some((*key, self.all.get(key)?));
        self.open.iter().filter_map(known)
    }

    /// The exchanges that have become tunnels, the oldest first.
    pub fn oldest_tunnels(&self) -> impl Iterator<Item = (Key, &Inbound)> {
        let known = |key: &Key| Some((*key, self.all.get(key)?));
        self.tunnels.iter().filter_map(known)
    }

    /// Whether an exchange is open.
    #[must_use]
    pub fn is_open(&self, key: Key) -> bool {
        self.open.contains(&key)
    }

    /// The exchange of this span, open or recent.
    #[must_use]
    pub fn by_span(&self, span_id: SpanId) -> Option<(Key, &Inbound)> {
        let (key, _) = *self.spans.0.get(&span_id)?;
        Some((key, self.get(key)?))
    }

    /// The newest exchange of this trace, open or recent.
    #[must_use]
    pub fn by_trace(&self, trace_id: TraceId) -> Option<(Key, &Inbound)> {
        let (key, _) = *self.traces.0.get(&trace_id)?;
        Some((key, self.get(key)?))
    }

    /// Whether an exchange, open or recent, belongs to this trace.
    #[must_use]
    pub fn knows(&self, trace_id: TraceId) -> bool {
        self.traces.0.contains_key(&trace_id)
    }

    /// The one exchange that came with this value; `None` if there are several.
    #[must_use]
    pub fn by_request_id(&self, request_id: &str) -> Option<(Key, &Inbound)> {
        match *self.request_ids.0.get(request_id)? {
            (key, 1) => Some((key, self.get(key)?)),
            _ => None,
        }
    }

    /// How many open exchanges were forgotten because there were too many.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
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
            carried: None,
            values: None,
            timing: None,
            began: n,
            ended: None,
        }
    }

    fn span(n: u64) -> SpanId {
        SpanId::from_random(n)
    }

    #[test]
    fn an_ended_exchange_is_recent_and_no_longer_open() {
        let mut window = Window::new(8, 8);
        let (key, _) = window.open(inbound(1, Some("a")));
        window.open(inbound(2, None));
        assert!(window.close(key, 9).is_some());
        assert!(window.close(key, 9).is_none());
        let open: Vec<_> = window
            .oldest_open()
            .map(|(_, i)| i.context.span_id)
            .collect();
        assert_eq!(open, [span(2)]);
        let ended = window.by_span(span(1)).unwrap().1.ended;
        assert_eq!(ended, Some(9));
        assert!(window.by_request_id("a").is_some());
        assert!(!window.is_open(key));
    }

    #[test]
    fn a_value_that_two_exchanges_share_tells_nothing() {
        let mut window = Window::new(8, 1);
        let (first, _) = window.open(inbound(1, Some("a")));
        window.close(first, 9);
        let (second, _) = window.open(inbound(2, Some("a")));
        assert!(window.by_request_id("a").is_none());
        assert!(window.by_request_id("b").is_none());
        let (third, _) = window.open(inbound(3, None));
        window.close(third, 9);
        let (found, _) = window.by_request_id("a").unwrap();
        assert_eq!(found, second, "the other one is forgotten");
    }

    #[test]
    fn of_a_trace_with_several_exchanges_the_newest_is_found() {
        let mut window = Window::new(8, 8);
        let (first, _) = window.open(inbound(1, None));
        let mut again = inbound(2, None);
        again.context.trace_id = inbound(1, None).context.trace_id;
        let (second, _) = window.open(again);
        let trace_id = inbound(1, None).context.trace_id;
        assert_eq!(window.by_trace(trace_id).unwrap().0, second);
        window.close(first, 9);
        assert!(window.knows(trace_id));
    }

    #[test]
    fn a_tunnel_is_found_by_its_name_and_is_not_open() {
        let mut window = Window::new(2, 8);
        let (key, _) = window.open(inbound(1, Some("a")));
        assert!(window.tunnel(key).is_some());
        assert!(window.tunnel(key).is_none(), "it is one already");
        assert_eq!(window.open_len(), 0);
        assert_eq!(window.by_span(span(1)).unwrap().1.ended, None);
        assert!(window.by_request_id("a").is_some());
        assert!(window.close(key, 9).is_none());
        assert!(window.close_tunnel(key, 9));
        assert!(!window.close_tunnel(key, 9));
        assert_eq!(window.by_span(span(1)).unwrap().1.ended, Some(9));
        for n in 2..=9 {
            let (key, _) = window.open(inbound(n, None));
            window.tunnel(key);
        }
        let kept = window.oldest_tunnels().map(|(_, i)| i.began);
        assert_eq!(kept.collect::<Vec<_>>(), [8, 9]);
    }

    #[test]
    fn a_flood_is_forgotten_from_its_oldest_end_and_counted() {
        let mut window = Window::new(4, 2);
        let opened: Vec<_> = (1..=10).map(|n| window.open(inbound(n, None))).collect();
        assert_eq!(window.open_len(), 4);
        assert_eq!(window.forgotten(), 6);
        let lost = opened[4].1.as_ref().map(|i| i.context.span_id);
        assert_eq!(lost, Some(span(1)));
        for (key, _) in opened {
            window.close(key, 9);
        }
        assert_eq!(window.open_len(), 0);
        let sizes = [
            window.all.len(),
            window.spans.0.len(),
            window.traces.0.len(),
        ];
        assert_eq!(sizes, [2; 3]);
    }
}

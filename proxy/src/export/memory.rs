//! The last spans, kept in memory: what the admin port and the demo show.
//!
//! A ring of fixed size. Spans share their trace by id alone, so that a trace is whatever of it is
//! still here, and a listing is worked out when somebody asks.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use throughline::{id::TraceId, span::Span, text::Inline};

/// Spans as requests made them. Whoever asks for some gets copies, which is rare; to keep them ready
/// to be shared would cost a copy of each.
type Ring = VecDeque<Box<Span>>;

/// A handle on the ring.
#[derive(Clone, Debug)]
pub struct Memory {
    service: Arc<str>,
    capacity: usize,
    ring: Arc<Mutex<Ring>>,
}

/// What one line of a list says about a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The trace.
    pub trace_id: TraceId,
    /// The name of its first span: its root, as far as it is still here.
    pub name: Inline<128>,
    /// The path of that span, which its name never holds.
    pub path: Inline<200>,
    /// The service whose sidecar this is.
    pub service: Arc<str>,
    /// When its first span began.
    pub started: SystemTime,
    /// From there until its last span ended.
    pub duration: Duration,
    /// How many spans of it are here.
    pub spans: usize,
    /// Whether any of them is an error.
    pub error: bool,
}

impl Memory {
    /// A ring of the last `capacity` spans of `service`.
    #[must_use]
    pub fn new(service: &str, capacity: usize) -> Self {
        Self {
            service: service.into(),
            capacity,
            ring: Arc::default(),
        }
    }

    /// How many spans it keeps at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The service whose spans these are.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Keeps `span`; the oldest makes room for it.
    pub fn push(&self, span: Box<Span>) {
        if self.capacity == 0 {
            return;
        }
        let mut ring = self.ring();
        let evicted = (ring.len() >= self.capacity)
            .then(|| ring.pop_front())
            .flatten();
        ring.push_back(span);
        drop(ring);
        drop(evicted);
    }

    /// Every span that is here, in the order in which they were reported.
    #[must_use]
    pub fn spans(&self) -> Vec<Arc<Span>> {
        self.ring().iter().cloned().map(Arc::from).collect()
    }

    /// The spans of one trace, by start; none if it is not here.
    #[must_use]
    pub fn trace(&self, id: TraceId) -> Vec<Arc<Span>> {
        let ring = self.ring();
        let of_it = ring.iter().filter(|span| span.trace_id == id);
        let mut spans: Vec<Arc<Span>> = of_it.cloned().map(Arc::from).collect();
        drop(ring);
        spans.sort_by_key(|span| span.started);
        spans
    }

    /// The last traces, of at most `limit`: that which a span was last reported of comes first.
    #[must_use]
    pub fn recent(&self, limit: usize) -> Vec<Summary> {
        let mut order: Vec<TraceId> = Vec::new();
        let mut traces: HashMap<TraceId, Vec<&Span>> = HashMap::new();
        let ring = self.ring();
        for span in ring.iter().rev() {
            let spans = traces.entry(span.trace_id).or_default();
            if spans.is_empty() {
                order.push(span.trace_id);
            }
            spans.push(span);
        }
        order.truncate(limit);
        order
            .iter()
            .filter_map(|id| self.summarize(&traces[id]))
            .collect()
    }

    fn summarize(&self, spans: &[&Span]) -> Option<Summary> {
        // At the same moment, a span without a parent is the root.
        let first = spans
            .iter()
            .min_by_key(|span| (span.started, span.parent.is_some()))?;
        let ended = spans.iter().map(|span| span.ended()).max()?;
        Some(Summary {
            trace_id: first.trace_id,
            name: first.name(),
            path: first.path,
            service: Arc::clone(&self.service),
            started: first.started,
            duration: ended.duration_since(first.started).unwrap_or_default(),
            spans: spans.len(),
            error: spans.iter().any(|span| span.error_type().is_some()),
        })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // No request waits here: spans are put in by the pipeline's own thread. Whoever panicked
        // while holding the lock left whole spans behind.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use throughline::{
        context::{TraceContext, TraceFlags},
        id::SpanId,
        span::Kind,
    };

    use super::*;

    fn span(trace: u128, id: u64, started_ms: u64) -> Span {
        let context = TraceContext::new(
            TraceId::epoch_prefixed(1, trace),
            SpanId::from_random(id),
            TraceFlags::SAMPLED,
        );
        let started = SystemTime::UNIX_EPOCH + Duration::from_millis(started_ms);
        let mut span = Span::new(Kind::Server, &context, started);
        span.method = "GET".into();
        span
    }

    #[test]
    fn the_oldest_span_makes_room() {
        let memory = Memory::new("orders", 3);
        for id in 1..=5 {
            memory.push(Box::new(span(1, id, id)));
        }
        let ids: Vec<_> = memory.spans().iter().map(|span| span.span_id).collect();
        assert_eq!(ids, [3, 4, 5].map(SpanId::from_random));
        assert!(memory.ring().capacity() < 16, "bounded");
    }

    #[test]
    fn a_ring_of_none_keeps_none() {
        let memory = Memory::new("orders", 0);
        memory.push(Box::new(span(1, 1, 1)));
        assert!(memory.spans().is_empty());
    }

    #[test]
    fn a_trace_is_listed_by_its_root_and_the_latest_first() {
        let memory = Memory::new("orders", 10);
        let mut call = span(1, 2, 20);
        call.kind = Kind::Client;
        call.parent = Some(SpanId::from_random(1));
        call.status = Some(StatusCode::NOT_FOUND);
        let mut root = span(1, 1, 20);
        root.route = "/cart".into();
        memory.push(Box::new(call));
        memory.push(Box::new(root));
        memory.push(Box::new(span(2, 3, 5)));

        let recent = memory.recent(10);
        assert_eq!(recent.len(), 2);
        assert_eq!(recent[0].trace_id, TraceId::epoch_prefixed(1, 2));
        assert!(!recent[0].error);
        assert_eq!(recent[1].name.as_str(), "GET /cart");
        assert_eq!(&*recent[1].service, "orders");
        assert_eq!(recent[1].spans, 2);
        assert!(
            recent[1].error,
            "a call that failed makes the trace an error"
        );
        assert_eq!(memory.recent(1).len(), 1);
    }

    #[test]
    fn one_trace_is_found_by_its_id_in_order() {
        let memory = Memory::new("orders", 10);
        memory.push(Box::new(span(1, 2, 20)));
        memory.push(Box::new(span(1, 1, 10)));
        memory.push(Box::new(span(2, 3, 5)));
        let trace = memory.trace(TraceId::epoch_prefixed(1, 1));
        let ids: Vec<_> = trace.iter().map(|span| span.span_id).collect();
        assert_eq!(ids, [1, 2].map(SpanId::from_random));
        assert!(memory.trace(TraceId::epoch_prefixed(1, 9)).is_empty());
    }
}

//! Spans that are held until their call is settled: in the account all the while, never past the end,
//! and gone with what was found.

use std::{num::NonZeroU64, sync::Mutex};

use throughline::span::{Evidence, Link, Parentage, Relation};

use super::*;
use crate::settle::{Outcome, Verdict};

/// What is found out, as soon as a test puts it here.
#[derive(Debug, Default)]
struct Findings(Mutex<Vec<(NonZeroU64, Outcome)>>);

impl Findings {
    fn find(&self, call: u64, parent: u64) {
        let mut outcome = Outcome {
            believed: true,
            ..Outcome::default()
        };
        outcome.likely[0] = Some(Link {
            relation: Relation::Candidate,
            trace_id: ambient::trace_id(),
            span_id: SpanId::from_random(parent),
            flags: TraceFlags::SAMPLED,
            confidence: 0.97,
        });
        let call = NonZeroU64::new(call).unwrap();
        self.0.lock().unwrap().push((call, outcome));
    }
}

impl Settlement for Findings {
    fn settled(&self, _: Instant, each: &mut dyn FnMut(NonZeroU64, Outcome)) {
        for (call, outcome) in self.0.lock().unwrap().drain(..) {
            each(call, outcome);
        }
    }
}

/// A span of `call` whose parent was left open, or asserted.
fn span_of(call: u64, parent: Option<u64>) -> Box<Span> {
    let mut span = span();
    span.kind = Kind::Client;
    span.call = NonZeroU64::new(call);
    span.parent = parent.map(SpanId::from_random);
    span.parentage = Some(Parentage {
        evidence: parent.map_or(Evidence::Open, |_| Evidence::Timing),
        confidence: 0.0,
        candidates: 2,
    });
    span
}

fn start(
    settlement: Option<Arc<dyn Settlement>>,
    exporters: Vec<Arc<dyn Exporter>>,
) -> (Pipeline, Worker) {
    Pipeline::with(config(), "orders", exporters, settlement).unwrap()
}

fn memory(ledger: &Ledger) -> &Account {
    ledger.account("memory").unwrap()
}

#[tokio::test]
async fn a_span_is_pending_until_its_call_is_settled_and_leaves_with_what_was_found() {
    let findings = Arc::new(Findings::default());
    let (pipeline, worker) = start(Some(findings.clone()), Vec::new());
    pipeline.offer(span_of(1, None));
    pipeline.offer(span_of(1, None));
    pipeline.offer(span_of(2, Some(20)));
    pipeline.offer(span_of(3, Some(30)));
    pipeline.offer(span_of(9, None));
    pipeline.offer(span());
    // The last to come is the first to go on.
    let ledger = until(&pipeline, |ledger| memory(ledger).exported == 1).await;
    assert_eq!(memory(&ledger).pending, 5, "{ledger}");
    assert!(ledger.balances(), "{ledger}");

    findings.find(1, 10);
    findings.find(2, 20);
    findings.find(3, 33);
    until(&pipeline, |ledger| memory(ledger).exported == 5).await;
    let counts = Verdict::ALL.map(|verdict| pipeline.counters().verdicts(verdict));
    assert_eq!(counts, [1, 1, 1, 0], "each call once");
    for span in pipeline.memory().spans() {
        let call = span.call.map(NonZeroU64::get);
        let parent = match call {
            Some(1) => Some(10),
            Some(3) => Some(33),
            _ => None,
        };
        let found = span.links().map(|link| (link.relation, link.span_id));
        let parent = parent.map(|id| (Relation::Parent, SpanId::from_random(id)));
        assert_eq!(found.collect::<Vec<_>>(), Vec::from_iter(parent));
        assert_eq!(span.parent_is_disputed, call == Some(3));
    }
    let ledger = shutdown(worker, Duration::from_secs(5)).await;
    assert_eq!(memory(&ledger).exported, 6, "{ledger}");
    assert!(ledger.balances(), "{ledger}");
}

#[tokio::test]
async fn an_outcome_may_be_there_before_the_span() {
    let findings = Arc::new(Findings::default());
    let (pipeline, worker) = start(Some(findings.clone()), Vec::new());
    findings.find(1, 10);
    until(&pipeline, |_| findings.0.lock().unwrap().is_empty()).await;
    pipeline.offer(span_of(1, None));
    pipeline.offer(span());
    until(&pipeline, |ledger| memory(ledger).exported == 2).await;
    let first = pipeline.memory().spans().remove(0);
    assert_eq!(first.links[0].unwrap().relation, Relation::Parent);
    let _ = shutdown(worker, Duration::ZERO).await;
}

#[tokio::test]
async fn without_a_settlement_nothing_is_held() {
    let (pipeline, worker) = start(None, Vec::new());
    pipeline.offer(span_of(1, None));
    pipeline.offer(span());
    until(&pipeline, |ledger| memory(ledger).exported == 2).await;
    let first = pipeline.memory().spans().remove(0);
    assert!(first.call.is_some(), "in the order in which they came");
    let _ = shutdown(worker, Duration::ZERO).await;
}

#[test]
fn the_settlement_is_asked_once_more_at_the_end() {
    let findings = Arc::new(Findings::default());
    let mut holding = Holding::new(findings.clone(), 8);
    let now = ambient::now();
    let mut gone = Vec::new();
    let mut on = |span: Box<Span>, verdict| gone.push((span.call, verdict));
    holding.take(span_of(1, None), now, &mut on);
    holding.take(span_of(2, None), now, &mut on);
    holding.round(now, &mut on);
    findings.find(2, 20);
    holding.finish(now, &mut on);
    assert_eq!(holding.len(), 0);
    let call = NonZeroU64::new;
    assert_eq!(
        gone,
        [(call(2), Some(Verdict::Found)), (call(1), None)],
        "nothing went on before the end, and then all did"
    );
}

#[tokio::test]
async fn the_end_finds_room_for_what_was_held() {
    let gate = Gate::new(0, Ok(Accepted::default()));
    let exporter: Arc<dyn Exporter> = Arc::new(To("to", Arc::clone(&gate)));
    let (pipeline, worker) = start(Some(Arc::new(Findings::default())), vec![exporter]);
    for call in 1..=64 {
        pipeline.offer(span_of(call, None));
    }
    until(&pipeline, |_| {
        pipeline.0.parked.load(Ordering::SeqCst) == 64
    })
    .await;
    // The destination hangs, and its lane is full too.
    let ledger = until(&pipeline, |ledger| {
        pipeline.offer(span());
        ledger.account("to").unwrap().dropped(Reason::QueueFull) > 0
    })
    .await;
    let account = ledger.account("to").unwrap();
    assert!(account.pending >= 64 + 64, "{ledger}");

    let dropped = |ledger: &Ledger| ledger.account("to").unwrap().dropped_total();
    // What may still be in the queue: it gets no more room than ever.
    until(&pipeline, |_| pipeline.0.queue.is_empty()).await;
    let before = until(&pipeline, Ledger::balances).await;
    // It takes spans again only when all that was held has come to the lane.
    let end = tokio::spawn(shutdown(worker, Duration::from_secs(10)));
    until(&pipeline, |_| pipeline.0.parked.load(Ordering::SeqCst) == 0).await;
    gate.open.add_permits(1000);
    let after = end.await.unwrap();
    assert_eq!(dropped(&after), dropped(&before), "{after}");
    assert!(after.account("to").unwrap().exported >= 64 + 64, "{after}");
    assert!(after.balances(), "{after}");
}

#[tokio::test]
async fn nothing_is_held_past_the_grace() {
    let hung = Gate::new(0, Ok(Accepted::default()));
    let exporter: Arc<dyn Exporter> = Arc::new(To("to", hung));
    let (pipeline, worker) = start(Some(Arc::new(Findings::default())), vec![exporter]);
    for call in 1..=40 {
        pipeline.offer(span_of(call, None));
    }
    until(&pipeline, |_| {
        pipeline.0.parked.load(Ordering::SeqCst) == 40
    })
    .await;
    let ledger = shutdown(worker, Duration::ZERO).await;
    assert_eq!(memory(&ledger).exported, 40, "{ledger}");
    let account = ledger.account("to").unwrap();
    assert_eq!(account.dropped(Reason::Shutdown), 40, "{ledger}");
    assert_eq!(account.pending, 0, "{ledger}");
    assert!(ledger.balances(), "{ledger}");
}

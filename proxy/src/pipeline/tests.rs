//! Collectors that hang, refuse or vanish; and that nothing of it touches a request or is lost from
//! the account.

mod settling;

use std::{
    collections::HashSet,
    sync::atomic::AtomicUsize,
    time::{Instant, SystemTime},
};

use throughline::{
    ambient,
    context::{TraceContext, TraceFlags},
    id::SpanId,
    span::Kind,
};
use tokio::sync::Semaphore;

use super::*;
use crate::export::{
    Accepted, Failure, Sending,
    otlp::{
        Protocol,
        receiver::{self, Receiver, Say},
    },
};

fn span() -> Box<Span> {
    let context = TraceContext::new(ambient::trace_id(), ambient::span_id(), TraceFlags::SAMPLED);
    Box::new(Span::new(Kind::Server, &context, SystemTime::UNIX_EPOCH))
}

fn config() -> Config {
    Config {
        max_queue_size: 64,
        max_export_batch_size: 16,
        schedule_delay: Duration::from_millis(20),
        export_timeout: Duration::from_secs(5),
        memory_spans: 32,
    }
}

fn start(config: Config, otlp: Option<otlp::Config>) -> (Pipeline, Worker) {
    Pipeline::start(config, &Resource::new("orders", Vec::new()), otlp, None).unwrap()
}

/// Offers spans as the queue has room, so that none is dropped there.
async fn offer_gently(pipeline: &Pipeline, spans: usize) {
    for _ in 0..spans {
        while pipeline.0.queue.is_full() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        pipeline.offer(span());
    }
}

async fn shutdown(worker: Worker, grace: Duration) -> Ledger {
    tokio::task::spawn_blocking(move || worker.shutdown(grace))
        .await
        .unwrap()
}

/// Waits for what the ledger is to say.
async fn until(pipeline: &Pipeline, done: impl Fn(&Ledger) -> bool) -> Ledger {
    let begun = ambient::now();
    loop {
        let ledger = pipeline.ledger();
        if done(&ledger) {
            return ledger;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{ledger}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn otlp_account(ledger: &Ledger) -> &Account {
    ledger.account("otlp").unwrap()
}

/// What counts as exported has arrived. More may have, where the answer came too late to count.
fn check_arrived(ledger: &Ledger, receiver: &Receiver) {
    let spans = receiver.spans();
    let arrived: HashSet<_> = spans.iter().map(|span| &span.span_id).collect();
    let account = otlp_account(ledger);
    let doubtful = account.dropped(Reason::Timeout) + account.dropped(Reason::Unavailable);
    let possible = account.exported..=account.exported + doubtful;
    let arrived = arrived.len() as u64;
    assert!(possible.contains(&arrived), "{arrived} arrived, {ledger}");
}

/// An exporter that takes a batch when it is let, and knows how many were under way at once.
#[derive(Debug)]
struct Gate {
    open: Semaphore,
    under_way: AtomicUsize,
    most: AtomicUsize,
    answer: Result<Accepted, Failure>,
}

impl Gate {
    fn new(permits: usize, answer: Result<Accepted, Failure>) -> Arc<Self> {
        Arc::new(Self {
            open: Semaphore::new(permits),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            answer,
        })
    }
}

#[derive(Debug)]
struct To(&'static str, Arc<Gate>);

impl Exporter for To {
    fn name(&self) -> &'static str {
        self.0
    }

    fn encode(&self, _: &Span, batch: &mut Vec<u8>) {
        batch.push(1);
    }

    fn send(&self, _: Vec<u8>, _: Instant) -> Sending {
        let gate = Arc::clone(&self.1);
        Box::pin(async move {
            let now = gate.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            gate.most.fetch_max(now, Ordering::SeqCst);
            gate.open.acquire().await.unwrap().forget();
            gate.under_way.fetch_sub(1, Ordering::SeqCst);
            gate.answer.clone()
        })
    }
}

#[tokio::test]
async fn every_span_arrives_over_both_protocols() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let receiver = Receiver::start(protocol, []).await;
        let roomy = Config {
            max_queue_size: 256,
            ..config()
        };
        let (pipeline, worker) = start(roomy, Some(receiver.config()));
        offer_gently(&pipeline, 200).await;
        receiver
            .until(|receiver| receiver.spans().len() == 200)
            .await;
        let ledger = shutdown(worker, Duration::from_secs(5)).await;
        assert!(ledger.balances(), "{ledger}");
        assert_eq!(otlp_account(&ledger).exported, 200, "{ledger}");
        assert_eq!(ledger.account("memory").unwrap().exported, 200);
        assert_eq!(pipeline.memory().spans().len(), 32);
    }
}

#[tokio::test]
async fn shutdown_sends_what_is_left() {
    let receiver = Receiver::start(Protocol::Grpc, []).await;
    let slow = Config {
        schedule_delay: Duration::from_secs(3600),
        ..config()
    };
    let (pipeline, worker) = start(slow, Some(receiver.config()));
    for _ in 0..50 {
        pipeline.offer(span());
    }
    let ledger = shutdown(worker, Duration::from_secs(10)).await;
    assert_eq!(otlp_account(&ledger).exported, 50, "{ledger}");
    assert_eq!(receiver.spans().len(), 50);
    assert!(ledger.balances() && ledger.accounts.iter().all(|a| a.pending == 0));
}

#[tokio::test]
async fn a_span_after_the_end_is_accounted_for() {
    let (pipeline, worker) = start(config(), None);
    let _ = shutdown(worker, Duration::ZERO).await;
    pipeline.offer(span());
    let ledger = pipeline.ledger();
    assert!(ledger.balances(), "{ledger}");
    assert_eq!(ledger.accounts[0].dropped(Reason::Shutdown), 1);
}

#[tokio::test]
async fn a_black_hole_costs_spans_and_no_time_and_is_forgotten_when_it_ends() {
    let say_nothing = std::iter::repeat_n(Say::Nothing, 4);
    let receiver = Receiver::start(Protocol::HttpProtobuf, say_nothing).await;
    let otlp = otlp::Config {
        timeout: Duration::from_millis(150),
        ..receiver.config()
    };
    let config = Config {
        export_timeout: Duration::from_millis(200),
        ..config()
    };
    let (pipeline, worker) = start(config, Some(otlp));
    offer_gently(&pipeline, 500).await;
    let begun = ambient::now();
    for _ in 0..10_000 {
        pipeline.offer(span());
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let most = 2 * config.max_queue_size + config.max_export_batch_size;
    let ledger = pipeline.ledger();
    assert!(otlp_account(&ledger).pending <= most as u64, "{ledger}");
    assert!(
        otlp_account(&ledger).dropped(Reason::QueueFull) > 0,
        "{ledger}"
    );

    // Four batches vanish, and the fifth is answered.
    receiver.until(|receiver| receiver.attempts() >= 5).await;
    offer_gently(&pipeline, 10).await;
    let ledger = shutdown(worker, Duration::from_secs(5)).await;
    assert!(ledger.balances(), "{ledger}");
    let account = otlp_account(&ledger);
    assert_eq!(account.pending, 0);
    check_arrived(&ledger, &receiver);
    assert!(
        account.exported > 0 && account.dropped(Reason::Timeout) > 0,
        "{ledger}"
    );
    let memory = ledger.account("memory").unwrap();
    let elsewhere = account.exported + account.dropped(Reason::Timeout);
    assert!(
        memory.exported > elsewhere,
        "memory went on meanwhile: {ledger}"
    );
}

#[tokio::test]
async fn spans_flow_again_when_a_refusing_collector_returns() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let first = Receiver::start(protocol, []).await;
        let address = first.address;
        drop(first);
        let config = Config {
            export_timeout: Duration::from_millis(300),
            ..config()
        };
        let (pipeline, worker) = start(config, Some(receiver::config(address, protocol)));
        offer_gently(&pipeline, 40).await;
        until(&pipeline, |ledger| {
            otlp_account(ledger).dropped(Reason::Unavailable) > 0
        })
        .await;

        let back = Receiver::bind(address, protocol, []).await;
        until(&pipeline, |ledger| {
            pipeline.offer(span());
            otlp_account(ledger).exported > 0
        })
        .await;
        let ledger = shutdown(worker, Duration::from_secs(5)).await;
        assert!(ledger.balances(), "{ledger}");
        check_arrived(&ledger, &back);
    }
}

#[tokio::test]
async fn what_does_not_fit_the_grace_is_dropped_and_says_so() {
    let receiver = Receiver::start(Protocol::Grpc, std::iter::repeat_n(Say::Nothing, 9)).await;
    let (pipeline, worker) = start(config(), Some(receiver.config()));
    offer_gently(&pipeline, 40).await;
    receiver.until(|receiver| receiver.attempts() > 0).await;
    let begun = ambient::now();
    let ledger = shutdown(worker, Duration::from_millis(200)).await;
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert!(ledger.balances(), "{ledger}");
    let account = otlp_account(&ledger);
    assert_eq!(account.dropped(Reason::Shutdown), 40, "{ledger}");
}

#[tokio::test]
async fn a_worker_that_is_dropped_leaves_a_balanced_account() {
    let (pipeline, worker) = start(config(), None);
    pipeline.offer(span());
    drop(worker);
    until(&pipeline, |_| pipeline.0.closed.load(Ordering::SeqCst)).await;
    let ledger = until(&pipeline, |ledger| ledger.accounts[0].pending == 0).await;
    assert!(ledger.balances(), "{ledger}");
}

#[tokio::test]
async fn one_destination_that_hangs_holds_up_no_other() {
    let fine = Gate::new(Semaphore::MAX_PERMITS, Ok(Accepted::default()));
    let hung = Gate::new(0, Ok(Accepted::default()));
    let exporters: Vec<Arc<dyn Exporter>> = vec![
        Arc::new(To("hung", Arc::clone(&hung))),
        Arc::new(To("fine", fine)),
    ];
    let (pipeline, worker) = Pipeline::with(config(), "orders", exporters, None).unwrap();
    for round in 1..=20 {
        offer_gently(&pipeline, 16).await;
        until(&pipeline, |ledger| {
            ledger.account("fine").unwrap().exported == 16 * round
        })
        .await;
    }
    let ledger = pipeline.ledger();
    let held = ledger.account("hung").unwrap();
    // What may wait, and the batch that is under way, which may have been sent before it was full.
    assert!((64 + 1..=64 + 16).contains(&held.pending), "{ledger}");
    assert_eq!(held.dropped(Reason::QueueFull), 320 - held.pending);
    assert_eq!(held.exported, 0);
    let held = held.pending;
    hung.open.add_permits(1000);
    let ledger = shutdown(worker, Duration::from_secs(5)).await;
    assert_eq!(ledger.account("hung").unwrap().exported, held, "{ledger}");
    assert_eq!(hung.most.load(Ordering::SeqCst), 1, "one export at a time");
    assert!(ledger.balances(), "{ledger}");
}

#[tokio::test]
async fn refusals_are_counted_to_the_span() {
    let partly = Accepted {
        rejected: 3,
        message: "too old".to_owned(),
    };
    for (answer, exported, reason, dropped) in [
        (Ok(partly), 7, Reason::Rejected, 3),
        (
            Err(Failure {
                reason: Reason::Unavailable,
                message: "gone".to_owned(),
            }),
            0,
            Reason::Unavailable,
            10,
        ),
    ] {
        let gate = Gate::new(1000, answer);
        // One batch, so that it is refused once: nothing sends it before the end does.
        let one_batch = Config {
            schedule_delay: Duration::from_secs(3600),
            ..config()
        };
        let (pipeline, worker) =
            Pipeline::with(one_batch, "orders", vec![Arc::new(To("to", gate))], None).unwrap();
        for _ in 0..10 {
            pipeline.offer(span());
        }
        let ledger = shutdown(worker, Duration::from_secs(5)).await;
        let account = ledger.account("to").unwrap();
        assert_eq!(account.exported, exported, "{ledger}");
        assert_eq!(account.dropped(reason), dropped, "{ledger}");
        assert!(ledger.balances(), "{ledger}");
    }
}

#[test]
fn threads_that_offer_at_once_and_beyond_the_end_are_accounted_for_exactly() {
    let gate = Gate::new(Semaphore::MAX_PERMITS, Ok(Accepted::default()));
    let (pipeline, worker) =
        Pipeline::with(config(), "orders", vec![Arc::new(To("to", gate))], None).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let pipeline = pipeline.clone();
            std::thread::spawn(move || (0..5000).for_each(|_| pipeline.offer(span())))
        })
        .collect();
    let _ = worker.shutdown(Duration::from_millis(5));
    for thread in threads {
        thread.join().unwrap();
    }
    let ledger = pipeline.ledger();
    assert_eq!(ledger.created, 20_000);
    assert!(ledger.balances(), "{ledger}");
    assert!(
        ledger.accounts.iter().all(|account| account.pending == 0),
        "{ledger}"
    );
}

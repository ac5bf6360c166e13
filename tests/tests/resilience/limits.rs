//! How many requests an upstream or the app has at a time, how many wait, and who is sent away.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::Response;
use throughline_tests::{Client, Collector, Kind, Protocol, Setup, Sidecar, Upstream, text, until};
use tokio::{sync::Semaphore, task::JoinHandle};

use super::{check, route, routes};

/// An upstream that answers once it is let, and knows how many wait for that.
struct Held {
    upstream: Upstream,
    gate: Arc<Semaphore>,
    taken: Arc<AtomicUsize>,
}

impl Held {
    async fn new(is_http2: bool) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let taken = Arc::new(AtomicUsize::new(0));
        let (held, count) = (gate.clone(), taken.clone());
        let answer = move |_| {
            let (held, count) = (held.clone(), count.clone());
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                held.acquire().await.unwrap().forget();
                Response::new(text("ok"))
            }
        };
        let upstream = if is_http2 {
            Upstream::http2(answer).await
        } else {
            Upstream::http1(answer).await
        };
        Self {
            upstream,
            gate,
            taken,
        }
    }

    /// Waits until so many requests have come in all.
    async fn has_taken(&self, count: usize) {
        until("the upstream's requests", async || {
            (self.taken.load(Ordering::SeqCst) == count).then_some(())
        })
        .await;
    }
}

/// One request on a connection of its own, and its status.
fn ask(sidecar: &Sidecar, is_http2: bool, path: &'static str) -> JoinHandle<u16> {
    let at = sidecar.routes().first().copied();
    let at = at.unwrap_or_else(|| sidecar.inbound());
    tokio::spawn(async move {
        let mut client = if is_http2 {
            Client::http2(at).await
        } else {
            Client::http1(at).await
        };
        client.get(path).await.status.as_u16()
    })
}

async fn queued(sidecar: &Sidecar, count: f64) {
    let queued = "throughline_requests_queued";
    sidecar
        .metrics_until("the queue", |metrics| metrics.value(queued) == count)
        .await;
}

#[tokio::test]
async fn so_many_are_sent_so_many_wait_and_one_more_is_503_at_once() {
    for is_http2 in [false, true] {
        let held = Held::new(is_http2).await;
        let collector = Collector::start().await;
        let own = "max_requests=2;max_pending=1;queue_timeout=1m";
        let sidecar = routes(&[route(held.upstream.address(), own)])
            .exporting(&collector, Protocol::Grpc)
            .start()
            .await;
        let first = [ask(&sidecar, is_http2, "/a"), ask(&sidecar, is_http2, "/b")];
        held.has_taken(2).await;
        let waits = ask(&sidecar, is_http2, "/waits");
        queued(&sidecar, 1.0).await;
        let mut client = Client::http1(sidecar.routes()[0]).await;
        let away = client.get("/away").await;
        assert_eq!(
            (away.status.as_u16(), away.header("retry-after")),
            (503, "1")
        );
        assert!(
            away.text().contains("queue_full in phase queue"),
            "{}",
            away.text()
        );
        check(
            &collector.span(Kind::Client, "/away").await,
            "queue",
            "proxy",
            "queue_full",
        );
        let full = "throughline_requests_failed_total{error=\"queue_full\"}";
        assert_eq!(sidecar.metrics().await.value(full), 1.0);
        assert_eq!(
            held.taken.load(Ordering::SeqCst),
            2,
            "nobody else was asked"
        );
        held.gate.add_permits(3);
        for asked in first.into_iter().chain([waits]) {
            assert_eq!(asked.await.unwrap(), 200);
        }
        let span = collector.span(Kind::Client, "/waits").await;
        assert!(span.has_phase("queue"), "{}", span.summary());
        queued(&sidecar, 0.0).await;
    }
}

#[tokio::test]
async fn the_app_has_a_limit_of_its_own() {
    let held = Held::new(false).await;
    let sidecar = Setup::beside(held.upstream.address())
        .flag("app-max-requests", "1")
        .flag("queue-timeout", "1m")
        .start()
        .await;
    let asked = [ask(&sidecar, false, "/a"), ask(&sidecar, false, "/b")];
    held.has_taken(1).await;
    queued(&sidecar, 1.0).await;
    held.gate.add_permits(1);
    held.has_taken(2).await;
    held.gate.add_permits(1);
    for asked in asked {
        assert_eq!(asked.await.unwrap(), 200);
    }
    assert_eq!(held.upstream.connections(), 1);
}

#[tokio::test]
async fn whoever_has_waited_for_too_long_is_503() {
    let held = Held::new(false).await;
    let collector = Collector::start().await;
    let sidecar = routes(&[route(
        held.upstream.address(),
        "max_requests=1;queue_timeout=200ms",
    )])
    .exporting(&collector, Protocol::Grpc)
    .start()
    .await;
    let first = ask(&sidecar, false, "/first");
    held.has_taken(1).await;
    assert_eq!(ask(&sidecar, false, "/late").await.unwrap(), 503);
    check(
        &collector.span(Kind::Client, "/late").await,
        "queue",
        "proxy",
        "queue_timeout",
    );
    held.gate.add_permits(1);
    assert_eq!(first.await.unwrap(), 200);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_queue() {
    let held = Held::new(false).await;
    let sidecar = routes(&[route(
        held.upstream.address(),
        "max_requests=1;queue_timeout=1m",
    )])
    .start()
    .await;
    let first = ask(&sidecar, false, "/first");
    held.has_taken(1).await;
    let gone = ask(&sidecar, true, "/gone");
    queued(&sidecar, 1.0).await;
    gone.abort();
    queued(&sidecar, 0.0).await;
    held.gate.add_permits(2);
    assert_eq!(first.await.unwrap(), 200);
    assert_eq!(ask(&sidecar, false, "/next").await.unwrap(), 200);
    assert_eq!(held.taken.load(Ordering::SeqCst), 2);
}

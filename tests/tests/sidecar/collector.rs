//! What a faulty collector does to requests, to memory and to the account of spans: nothing, nothing,
//! and no gap.

use std::sync::Arc;

use http::Response;
use throughline_tests::{
    Behaviour, Client, Collector, Kind, Metrics, Protocol, Setup, Sidecar, Upstream, text, until,
};
use tokio::task::JoinSet;

/// An app that answers with the path that it was asked for.
async fn app() -> Upstream {
    Upstream::http1(|request| async move { Response::new(text(request.uri().path().to_owned())) })
        .await
}

/// A sidecar with a small queue and short patience, so that every kind of loss comes soon.
fn setup(app: &Upstream, collector: &Collector, protocol: Protocol) -> Setup {
    Setup::beside(app.address())
        .exporting(collector, protocol)
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "150")
        .variable("OTEL_BSP_EXPORT_TIMEOUT", "400")
        .variable("OTEL_BSP_MAX_QUEUE_SIZE", "256")
        .variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64")
        .flag("memory-spans", "100")
}

/// Asks `requests` times over each of `clients` connections; every answer must be the right one, in
/// its turn.
async fn ask(sidecar: &Sidecar, clients: usize, requests: usize) {
    let mut asking = JoinSet::new();
    for client in 0..clients {
        let inbound = sidecar.inbound();
        asking.spawn(async move {
            let mut connection = Client::http1(inbound).await;
            for n in 0..requests {
                let path = format!("/{client}/{n}");
                let answer = connection.get(&path).await;
                assert_eq!((answer.status.as_u16(), answer.text()), (200, path));
            }
        });
    }
    asking.join_all().await;
}

/// Waits until nothing is on its way any more: then the account of `created` spans has to add up, for
/// as long as anybody looks.
async fn settled(sidecar: &Sidecar, created: usize) -> Metrics {
    let is_still = |metrics: &Metrics| {
        let pending = metrics.pending("otlp") + metrics.pending("memory");
        metrics.created() >= created as f64 && pending < 0.5 && metrics.balances("otlp")
    };
    let what = format!("an account of {created} spans that adds up, with none pending");
    let metrics = sidecar.metrics_until(&what, is_still).await;
    assert!(
        (metrics.created() - created as f64).abs() < 0.5,
        "{metrics:?}"
    );
    assert!(metrics.balances("memory"), "{metrics:?}");
    metrics
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_costs_spans_and_nothing_else() {
    for protocol in Protocol::ALL {
        let collector = Arc::new(Collector::start().await);
        collector.behave(Behaviour::Hang);
        let app = app().await;
        let sidecar = setup(&app, &collector, protocol).start().await;
        ask(&sidecar, 8, 250).await;
        assert!(collector.hanging() >= 1, "{protocol:?}: it was asked");
        assert!(collector.spans().is_empty());
        let moving = sidecar.metrics().await;
        // What waits is bounded: the queue, the exporter's own, and the batch under way.
        assert!(moving.pending("otlp") <= 2.0 * 256.0 + 64.0, "{moving:?}");
        let metrics = settled(&sidecar, 2000).await;
        assert!(
            metrics.dropped_for("otlp", "queue_full") > 0.0,
            "{metrics:?}"
        );
        assert!(metrics.dropped_for("otlp", "timeout") > 0.0, "{metrics:?}");
        assert!(
            (metrics.dropped("otlp") - 2000.0).abs() < 0.5,
            "{metrics:?}"
        );
        comes_back(&sidecar, &collector, 2000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_refuses_costs_spans_and_nothing_else() {
    for protocol in Protocol::ALL {
        let collector = Collector::start().await;
        collector.behave(Behaviour::Refuse);
        let app = app().await;
        let sidecar = setup(&app, &collector, protocol).start().await;
        ask(&sidecar, 8, 250).await;
        let metrics = settled(&sidecar, 2000).await;
        assert!(collector.refused() >= 1, "{protocol:?}: it was asked");
        assert!(
            (metrics.dropped("otlp") - 2000.0).abs() < 0.5,
            "{metrics:?}"
        );
        comes_back(&sidecar, &collector, 2000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_gone_costs_spans_and_nothing_else() {
    for protocol in Protocol::ALL {
        let mut collector = Collector::start().await;
        let app = app().await;
        let sidecar = setup(&app, &collector, protocol).start().await;
        ask(&sidecar, 1, 10).await;
        collector.wanted(10, |_| true).await;
        collector.close();
        ask(&sidecar, 8, 250).await;
        let metrics = settled(&sidecar, 2010).await;
        assert!(metrics.dropped("otlp") > 0.0, "{metrics:?}");
        collector.open().await;
        comes_back(&sidecar, &collector, 2010).await;
    }
}

/// Spans flow again once they are taken, and the account goes on.
async fn comes_back(sidecar: &Sidecar, collector: &Collector, created: usize) {
    collector.behave(Behaviour::Take);
    let before = collector.spans().len();
    ask(sidecar, 1, 20).await;
    let metrics = settled(sidecar, created + 20).await;
    let taken = collector.spans().len();
    assert_eq!(taken - before, 20);
    assert!(
        (metrics.exported("otlp") - taken as f64).abs() < 0.5,
        "{metrics:?}"
    );
    for span in collector.spans() {
        span.check();
        assert_eq!(span.kind(), Kind::Server);
    }
    until("the line that says so", async || {
        sidecar.log().contains("takes spans again").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_flat_over_tens_of_thousands_of_requests_that_nobody_takes_spans_of() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Hang);
    let app = app().await;
    let sidecar = setup(&app, &collector, Protocol::Grpc).start().await;
    // Until every buffer has the size that it will have.
    ask(&sidecar, 16, 500).await;
    let warm = sidecar.resident_kib();
    ask(&sidecar, 16, 1500).await;
    let grown = sidecar.resident_kib().saturating_sub(warm);
    assert!(
        grown < 4 * 1024,
        "{grown} KiB more than {warm} KiB after 24000 requests"
    );
    let metrics = settled(&sidecar, 32_000).await;
    assert!(
        metrics.dropped_for("otlp", "queue_full") > 0.0,
        "{metrics:?}"
    );
}

#[tokio::test]
async fn at_the_end_a_collector_that_hangs_is_not_waited_for_beyond_the_grace() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Hang);
    let app = app().await;
    let mut sidecar = setup(&app, &collector, Protocol::Http)
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
        .variable("OTEL_BSP_EXPORT_TIMEOUT", "3600000")
        .flag("shutdown-grace", "1s")
        .start()
        .await;
    ask(&sidecar, 1, 30).await;
    sidecar.terminate();
    assert_eq!(sidecar.wait().await, 0, "{}", sidecar.log());
    let account = "otlp    created 30 = exported 0 + dropped 30 (shutdown 30) + pending 0";
    assert!(sidecar.log().contains(account), "{}", sidecar.log());
}

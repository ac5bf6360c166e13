//! The account of spans, when all has come to rest.

use throughline_tests::{Metrics, Sidecar};

/// The same, of a sidecar that exports.
pub(crate) async fn exported(sidecar: &Sidecar, created: usize) -> Metrics {
    let metrics = settled(sidecar, created).await;
    assert!(metrics.balances("otlp"), "{metrics:?}");
    metrics
}

/// Waits until `created` spans are made and none is on its way any more, and checks that none is missing.
pub(crate) async fn settled(sidecar: &Sidecar, created: usize) -> Metrics {
    let is_still = |metrics: &Metrics| {
        let pending = metrics.pending("otlp") + metrics.pending("memory");
        metrics.created() >= created as f64 && pending < 0.5
    };
    let what = format!("an account of {created} spans, with none pending");
    let metrics = sidecar.metrics_until(&what, is_still).await;
    let off = (metrics.created() - created as f64).abs();
    assert!(off < 0.5, "of {created} spans: {metrics:?}");
    assert!(metrics.balances("memory"), "{metrics:?}");
    metrics
}

//! A context that is among the signed headers: it is not ours to write.

use throughline_tests::{Call, Cloud, Collector};

use super::{assert_traced, assert_valid, outbound};

#[tokio::test]
async fn a_signed_context_is_left_as_it_is_and_is_the_parent() {
    let (cloud, collector) = tokio::join!(Cloud::start(), Collector::start());
    let sidecar = outbound(&collector).await;
    let written = cloud.run("traced.js", Some(sidecar.outbound())).await;
    let calls = cloud.calls().await;
    assert_eq!(written, calls.len());
    let is_link = |call: &&Call| call.target.contains("X-Amz-SignedHeaders=");
    assert_eq!(calls.iter().filter(is_link).count(), 1);
    assert_valid(&calls);
    let spans = assert_traced(&calls, &collector).await;
    for (n, (call, span)) in calls.iter().zip(&spans).enumerate() {
        let trace_id = "0af7651916cd43dd8448eb211c80319c";
        let caller = format!("{:016x}", n + 1);
        let state = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";
        let signed = [
            ("traceparent", &*format!("00-{trace_id}-{caller}-01")),
            ("tracestate", state),
            ("baggage", "user=7"),
        ];
        for (name, value) in signed {
            assert!(call.signed.iter().any(|signed| signed == name));
            assert_eq!(call.values(name), [value]);
        }
        assert_eq!(span.parent(), caller);
        assert_eq!(span.trace_id(), trace_id);
        assert_eq!(span.trace_state(), state);
        assert_eq!(span.text("throughline.parent.evidence"), "propagated");
    }
}

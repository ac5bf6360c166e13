//! A collector that is slow, that talks nonsense, and that comes and goes. One that hangs, refuses or is gone
//! for good is in `tests/tests/sidecar/collector.rs`.

use std::time::Duration;

use throughline_tests::{Behaviour, Collector, Protocol, Setup, until};

use crate::{
    account::exported,
    load::{Load, app},
};

/// Answers of a collector that is none.
const GARBAGE: &[&[u8]] = &[
    b"\0\xff\xfe\x01 nonsense\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 5\r\n\r\n\xff\xff\xff\xff\xff",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    // SETTINGS, and then a frame that claims 16 MiB.
    b"\0\0\0\x04\0\0\0\0\0\xff\xff\xff\x09\x09\0\0\0\x01",
];

fn setup(app: &throughline_tests::Upstream, collector: &Collector, protocol: Protocol) -> Setup {
    Setup::beside(app.address())
        .exporting(collector, protocol)
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
        .variable("OTEL_BSP_EXPORT_TIMEOUT", "600")
        .variable("OTEL_BSP_MAX_QUEUE_SIZE", "512")
        .variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64")
        .flag("memory-spans", "100")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_talks_nonsense_costs_spans_and_nothing_else() {
    for protocol in Protocol::ALL {
        let mut collector = Collector::start().await;
        let app = app().await;
        let sidecar = setup(&app, &collector, protocol).start().await;
        let load = Load::of(sidecar.inbound(), 4);
        for garbage in GARBAGE {
            collector.behave(Behaviour::Garbage(garbage));
            collector.close();
            collector.open().await;
            let before = collector.garbled();
            until("the collector's nonsense is heard", async || {
                (collector.garbled() > before).then_some(())
            })
            .await;
            load.more(50).await;
        }
        let before = collector.spans().len();
        collector.behave(Behaviour::Take);
        until("spans are taken again", async || {
            (collector.spans().len() > before).then_some(())
        })
        .await;
        let asked = load.stop().await;
        let metrics = exported(&sidecar, asked).await;
        let taken = collector.spans().len() as f64;
        // What a 200 with nonsense behind it means is not for us to doubt: it was taken, it says.
        assert!(metrics.exported("otlp") >= taken, "{metrics:?}");
        assert!(metrics.dropped("otlp") > 0.0, "{metrics:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_collector_is_asked_one_thing_at_a_time() {
    for protocol in Protocol::ALL {
        let collector = Collector::start().await;
        collector.behave(Behaviour::Slow(Duration::from_millis(100)));
        let app = app().await;
        let sidecar = setup(&app, &collector, protocol).start().await;
        let load = Load::of(sidecar.inbound(), 8);
        load.more(2000).await;
        let asked = load.stop().await;
        let metrics = exported(&sidecar, asked).await;
        assert_eq!(collector.most_at_once(), 1, "{protocol:?}");
        let taken = collector.spans().len() as f64;
        assert!(
            (metrics.exported("otlp") - taken).abs() < 0.5,
            "{metrics:?}"
        );
        assert!(taken > 0.0, "slow is not gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_comes_and_goes_loses_no_more_than_is_said() {
    for protocol in Protocol::ALL {
        let mut collector = Collector::start().await;
        let app = app().await;
        let sidecar = setup(&app, &collector, protocol).start().await;
        let load = Load::of(sidecar.inbound(), 4);
        for _ in 0..3 {
            for behaviour in [Behaviour::Refuse, Behaviour::Hang, Behaviour::Take] {
                collector.behave(behaviour);
                load.more(200).await;
            }
            collector.close();
            load.more(200).await;
            collector.open().await;
            collector.behave(Behaviour::Take);
            let before = collector.spans().len();
            until("spans are taken again", async || {
                (collector.spans().len() > before).then_some(())
            })
            .await;
        }
        let asked = load.stop().await;
        let metrics = exported(&sidecar, asked).await;
        let taken = collector.spans().len() as f64;
        // A batch whose answer was lost may have been taken, and is counted as lost; never the reverse.
        assert!(metrics.exported("otlp") <= taken, "{metrics:?}");
        assert!(metrics.exported("otlp") > 0.0, "{metrics:?}");
        assert!(metrics.dropped("otlp") > 0.0, "{metrics:?}");
    }
}

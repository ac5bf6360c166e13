//! Everything at once, for a while: `SOAK_SECONDS` says how long, 20 by itself, an hour before a release.
//!
//! A day has rounds of equal length, each with good requests, broken ones, callers that leave, and a collector
//! that comes and goes. What is held and what is open after the first rounds is what there may be after the
//! last.

use std::time::Duration;

use http::{Request, Response};
use throughline_tests::{
    Behaviour, Client, Collector, Protocol, Setup, Sidecar, Upstream, empty, text, until,
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, sleep},
};

use crate::{account::exported, load::Load};

/// An app that echoes its path, breaks off below `/break`, and takes its time below `/slow`.
async fn app() -> Upstream {
    Upstream::http1(|request| async move {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/break" => {
                let (mut sender, body) = throughline_tests::streamed(1);
                // Half of what is announced below.
                tokio::spawn(async move { drop(sender.send_data("begun".into()).await) });
                let mut response = Response::new(body);
                let length = http::HeaderValue::from_static("10");
                response.headers_mut().insert("content-length", length);
                response
            }
            "/slow" => {
                sleep(Duration::from_millis(200)).await;
                Response::new(text(path))
            }
            _ => Response::new(text(path)),
        }
    })
    .await
}

/// How long it lasts.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the test says how long"
)]
fn length() -> Duration {
    let said = std::env::var("SOAK_SECONDS").ok();
    Duration::from_secs(said.and_then(|said| said.parse().ok()).unwrap_or(20))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows() {
    let end = Instant::now() + length();
    let mut collector = Collector::start().await;
    let app = app().await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Grpc)
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "300")
        .variable("OTEL_BSP_MAX_QUEUE_SIZE", "1024")
        .flag("memory-spans", "200")
        .start()
        .await;
    let load = Load::of(sidecar.inbound(), 6);
    let mut others = 0;
    for _ in 0..3 {
        others += round(&sidecar, &load, &mut collector).await;
    }
    let (held, open) = (sidecar.resident_kib(), sidecar.descriptors());
    let mut rounds = 0;
    while Instant::now() < end || rounds == 0 {
        others += round(&sidecar, &load, &mut collector).await;
        rounds += 1;
    }
    until("as few descriptors as before", async || {
        (sidecar.descriptors() <= open + 4).then_some(())
    })
    .await;
    let grown = sidecar.resident_kib().saturating_sub(held);
    assert!(
        grown < 24 * 1024,
        "{grown} KiB more than {held} KiB after {rounds} rounds"
    );
    let asked = load.stop().await;
    exported(&sidecar, asked + others).await;
}

/// One of each, and how many requests that was besides the load's.
async fn round(sidecar: &Sidecar, load: &Load, collector: &mut Collector) -> usize {
    let mut asked = 0;
    for behaviour in [Behaviour::Hang, Behaviour::Refuse, Behaviour::Take] {
        collector.behave(behaviour);
        load.more(100).await;
    }
    collector.close();
    load.more(100).await;
    collector.open().await;

    let mut client = Client::http1(sidecar.inbound()).await;
    assert!(client.try_ask(get("/break")).await.is_err());
    asked += 1;
    for _ in 0..4 {
        // It leaves before there is an answer.
        let stream = TcpStream::connect(sidecar.inbound()).await;
        let mut stream = stream.expect("it listens");
        let asks = stream
            .write_all(b"GET /slow HTTP/1.1\r\nHost: app\r\n\r\n")
            .await;
        asks.expect("a request can be written");
        asked += 1;
        load.more(10).await;
        drop(stream);
    }
    // It never was one.
    throughline_tests::raw(sidecar.inbound(), "nonsense\r\n\r\n").await;
    load.more(100).await;
    asked
}

fn get(path: &str) -> Request<throughline_tests::Body> {
    let mut request = Request::new(empty());
    *request.uri_mut() = path.parse().expect("a path");
    let host = http::HeaderValue::from_static("app");
    request.headers_mut().insert("host", host);
    request
}

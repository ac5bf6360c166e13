//! No descriptors left.

use std::time::Duration;

use http::{Response, StatusCode};
use throughline_tests::{Client, Setup, Upstream, text, until};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    account::settled,
    load::{Load, app},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_descriptors_run_out_the_connections_that_are_there_go_on() {
    let app = app().await;
    let sidecar = Setup::beside(app.address()).start().await;
    let load = Load::of(sidecar.inbound(), 4);
    load.more(100).await;
    let in_use = sidecar.descriptors();
    sidecar.limit_descriptors(u64::try_from(in_use + 16).expect("a small number"));

    // The kernel completes these by itself, as far as its backlog goes; the sidecar cannot take them.
    let mut crowd = Vec::new();
    for _ in 0..64 {
        let connect = TcpStream::connect(sidecar.inbound());
        if let Ok(Ok(stream)) = timeout(Duration::from_secs(1), connect).await {
            crowd.push(stream);
        }
    }
    until("the limit", async || {
        (sidecar.descriptors() >= in_use + 15).then_some(())
    })
    .await;
    load.more(1000).await;
    drop(crowd);

    // Those who come now are served again, by the same process.
    let mut late = Client::http1(sidecar.inbound()).await;
    assert_eq!(late.get("/late").await.status, StatusCode::OK);
    let asked = load.stop().await;
    settled(&sidecar, asked + 1).await;
}

/// A connection to the app needs a descriptor as well: without one it is an answer, and not a hang.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_gets_no_descriptor_is_told_so() {
    // One that closes after each answer, so that each request needs a new connection.
    let app = Upstream::http1(|_| async {
        let mut response = Response::new(text("here"));
        let close = http::HeaderValue::from_static("close");
        response.headers_mut().insert("connection", close);
        response
    })
    .await;
    let sidecar = Setup::beside(app.address()).start().await;
    let mut client = Client::http1(sidecar.inbound()).await;
    assert_eq!(client.get("/w").await.status, StatusCode::OK);
    // Standard input, output and error have the numbers below: what is open stays, and nothing else is had.
    sidecar.limit_descriptors(3);
    let refused = client.get("/x").await;
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY, "{refused:?}");
    assert!(
        refused.text().contains("Too many open files"),
        "{refused:?}"
    );
    sidecar.limit_descriptors(1024);
    assert_eq!(client.get("/y").await.status, StatusCode::OK);
    settled(&sidecar, 3).await;
}

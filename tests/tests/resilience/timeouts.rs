//! How long an answer may take: to begin, to go on, and to end.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use throughline_tests::{
    Body, Client, Collector, Kind, Protocol, Setup, Upstream, empty, streamed, text,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use super::{check, route, routes};

/// An upstream that begins an answer and goes on with it for ever, a byte at a time; and what tells of
/// each connection's end.
async fn endless(pause: Duration) -> (Upstream, mpsc::UnboundedReceiver<()>) {
    let (ended, ends) = mpsc::unbounded_channel();
    let upstream = Upstream::raw(move |mut stream, _| {
        let ended = ended.clone();
        async move {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let begun = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
            let mut written = stream.write_all(begun.as_bytes()).await;
            let (mut read, mut write) = stream.split();
            while written.is_ok() {
                // A side that closes ends the pause.
                let mut rest = [0; 64];
                match tokio::time::timeout(pause, read.read(&mut rest)).await {
                    Err(_) => written = write.write_all(b"1\r\nx\r\n").await,
                    Ok(_) => break,
                }
            }
            let _ = ended.send(());
        }
    })
    .await;
    (upstream, ends)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An upstream that answers `/never` never and everything else at once.
async fn silent() -> Upstream {
    Upstream::http1(|request| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        Response::new(text("ok"))
    })
    .await
}

#[tokio::test]
async fn a_request_that_is_not_answered_in_time_is_504_and_its_connection_is_not_used_again() {
    let collector = Collector::start().await;
    let upstream = silent().await;
    let sidecar = routes(&[route(upstream.address(), "request_timeout=300ms")])
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    assert_eq!(client.get("/first").await.text(), "ok");
    let answer = client.get("/never").await;
    assert_eq!(answer.status, 504);
    assert!(
        answer.text().contains("request_timeout in phase wait"),
        "{}",
        answer.text()
    );
    let span = collector.span(Kind::Client, "/never").await;
    check(&span, "wait", "proxy", "request_timeout");
    assert_eq!(client.get("/after").await.text(), "ok");
    assert_eq!(upstream.connections(), 2, "one was given up");
}

#[tokio::test]
async fn each_route_has_its_own_time() {
    let upstream = Upstream::http1(|_| async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        Response::new(text("late"))
    })
    .await;
    let sidecar = routes(&[
        route(upstream.address(), "response_timeout=200ms"),
        route(upstream.address(), "response_timeout=1m"),
    ])
    .start()
    .await;
    let ask = |at| async move { Client::http1(at).await.get("/").await };
    let quick = ask(sidecar.routes()[0]).await;
    assert_eq!(quick.status, 504);
    assert!(
        quick.text().contains("response_timeout"),
        "{}",
        quick.text()
    );
    assert_eq!(ask(sidecar.routes()[1]).await.text(), "late");
}

#[tokio::test]
async fn an_answer_that_goes_on_for_too_long_breaks_off_on_every_way() {
    let collector = Collector::start().await;
    let (upstream, mut ends) = endless(Duration::from_millis(20)).await;
    let sidecar = Setup::beside(upstream.address())
        .flag("request-timeout", "400ms")
        .flag("routes", &route(upstream.address(), ""))
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    for (at, kind, path) in [
        (sidecar.inbound(), Kind::Server, "/app"),
        (sidecar.routes()[0], Kind::Client, "/route"),
    ] {
        let mut client = Client::http1(at).await;
        let response = client.send(request(path)).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect();
        let body = tokio::time::timeout(seconds(20), body).await.unwrap();
        assert!(body.is_err(), "{path} looks whole");
        let span = collector.span(kind, path).await;
        check(&span, "transfer", "proxy", "request_timeout");
        tokio::time::timeout(seconds(20), ends.recv())
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_pauses_for_too_long_breaks_off() {
    let collector = Collector::start().await;
    let (upstream, mut ends) = endless(seconds(60)).await;
    let sidecar = routes(&[route(upstream.address(), "response_idle_timeout=300ms")])
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    let response = client.send(request("/stalls")).await.unwrap();
    let body = tokio::time::timeout(seconds(20), response.into_body().collect())
        .await
        .unwrap();
    assert!(body.is_err(), "it looks whole");
    let span = collector.span(Kind::Client, "/stalls").await;
    check(&span, "transfer", "proxy", "response_idle_timeout");
    tokio::time::timeout(seconds(20), ends.recv())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn an_answer_that_is_slow_but_goes_on_is_not_cut() {
    let upstream = Upstream::http1(|_| async {
        let (mut sender, body) = streamed(1);
        tokio::spawn(async move {
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let _ = sender.send_data("x".into()).await;
            }
        });
        Response::new(body)
    })
    .await;
    let sidecar = routes(&[route(upstream.address(), "response_idle_timeout=500ms")])
        .start()
        .await;
    let answer = Client::http1(sidecar.routes()[0]).await.get("/").await;
    assert_eq!(answer.text(), "xxxxxxxx");
}

#[tokio::test]
async fn over_http2_only_the_request_that_takes_too_long_is_ended() {
    let upstream = Upstream::http2(|request| async move {
        if request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        Response::new(text("ok"))
    })
    .await;
    let sidecar = routes(&[route(upstream.address(), "request_timeout=300ms")])
        .start()
        .await;
    let mut client = Client::http2(sidecar.routes()[0]).await;
    assert_eq!(client.get("/first").await.text(), "ok");
    assert_eq!(client.get("/never").await.status, 504);
    assert_eq!(client.get("/after").await.text(), "ok");
    assert_eq!(upstream.connections(), 1, "the others are not concerned");
}

fn request(path: &str) -> http::Request<Body> {
    http::Request::get(path)
        .header("host", "shop")
        .body(empty())
        .unwrap()
}

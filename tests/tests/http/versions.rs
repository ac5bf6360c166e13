//! Request lines: odd versions and odd lines, and HTTP/1.0 on both sides.

use super::{
    recorder::{Expect, check},
    scene::{Scene, WAYS, Way},
    wire::Framing,
};
use Expect::{OneReading, Refused};

fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: shop\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn an_odd_version_is_refused() {
    let versions = [
        "HTTP/2.0",
        "HTTP/3.0",
        "HTTP/0.9",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1,1",
        "http/1.1",
        "HTTPS/1.1",
        "HTTP 1.1",
        "HTTP/1.1.1",
        "HTTP/1.1 x",
        "HTTP/-1.1",
        "JUNK",
        "HTTP/11",
        "HTTP/2",
    ];
    let cases: Vec<_> = versions
        .iter()
        .map(|version| (*version, line(&format!("GET /first {version}")), Refused))
        .collect();
    check(&WAYS, &cases).await;
}

#[tokio::test]
async fn a_later_minor_version_is_taken_for_1_1_or_refused() {
    // RFC 9110 section 2.5: a minor version that is not known is treated as the highest that is.
    let cases = [("HTTP/1.2", line("GET /first HTTP/1.2"), OneReading(""))];
    check(&WAYS, &cases).await;
}

#[tokio::test]
async fn an_odd_request_line_is_refused_or_has_one_reading() {
    let lines = [
        ("two spaces before the target", "GET  /first HTTP/1.1"),
        ("two spaces after it", "GET /first  HTTP/1.1"),
        ("a tab", "GET\t/first\tHTTP/1.1"),
        ("a space at the end", "GET /first HTTP/1.1 "),
        ("a space at the beginning", " GET /first HTTP/1.1"),
        ("a space in the target", "GET /first x HTTP/1.1"),
        ("no target", "GET HTTP/1.1"),
        ("no version", "GET /first"),
        ("no method", "/first HTTP/1.1"),
        ("a colon in the method", "GE:T /first HTTP/1.1"),
        ("a parenthesis in the method", "GE(T /first HTTP/1.1"),
        ("a target without a slash", "GET first HTTP/1.1"),
        ("a fragment", "GET /first#x HTTP/1.1"),
    ];
    let cases: Vec<_> = lines
        .iter()
        .map(|(name, said)| (*name, line(said), OneReading("")))
        .collect();
    check(&WAYS, &cases).await;
}

#[tokio::test]
async fn an_http_1_0_client_gets_an_answer_that_it_can_read() {
    let scene = Scene::start().await;
    for way in WAYS {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        ] {
            let request = "GET /old HTTP/1.0\r\nHost: shop\r\n\r\n";
            let (mut client, mut upstream) = scene.ask(way, request).await;
            let got = upstream.request().await.head;
            assert!(
                got.line.starts_with("GET /old HTTP/1."),
                "{way:?}: {}",
                got.line
            );
            upstream.send(answer).await;
            upstream.finish().await;
            let got = client.response().await;
            assert_eq!(got.head.status(), 200, "{way:?}");
            assert_ne!(got.framing, Framing::Chunked, "{way:?}: it knows no chunks");
            assert_eq!(got.text(), "hello", "{way:?}, {answer:?}");
            assert_eq!(client.rest().await, b"", "{way:?}: and then it is closed");
            upstream.close().await;
        }
    }
}

/// What an HTTP/1.0 client that names no host is answered, and what the upstream is told.
async fn without_a_host(ways: &[Way]) {
    let scene = Scene::start().await;
    for &way in ways {
        let (mut client, mut upstream) = scene.ask(way, "GET /old HTTP/1.0\r\n\r\n").await;
        let got = upstream.try_head().await.unwrap();
        assert!(
            got.line.starts_with("GET /old HTTP/1."),
            "{way:?}: {}",
            got.line
        );
        let is_1_1 = got.line.ends_with("HTTP/1.1");
        assert!(!is_1_1 || got.all("host").len() == 1, "{way:?}: {got:?}");
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        assert_eq!(client.response().await.text(), "ok", "{way:?}");
    }
}

#[tokio::test]
async fn an_http_1_0_client_without_a_host_is_answered_on_its_way_out() {
    without_a_host(&[Way::Route, Way::Proxy]).await;
}

#[tokio::test]
async fn an_http_1_0_client_without_a_host_is_answered_by_the_app() {
    without_a_host(&[Way::Inbound]).await;
}

#[tokio::test]
async fn an_http_1_0_client_may_keep_its_connection() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "GET /old HTTP/1.0\r\nHost: shop\r\nConnection: keep-alive\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        for n in 0..3 {
            upstream.request().await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}");
            upstream.send(answer).await;
            let got = client.response().await;
            assert_eq!(got.text(), n.to_string(), "{way:?}");
            let kept = got.head.all("connection");
            assert!(
                kept.iter().any(|c| c.eq_ignore_ascii_case("keep-alive")),
                "{way:?}: {kept:?}"
            );
            client.send(scene.spell(way, request)).await;
        }
    }
}

#[tokio::test]
async fn an_http_1_0_upstream_is_understood() {
    let scene = Scene::start().await;
    for way in WAYS {
        for (answer, body) in [
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
            (
                "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nto the end",
                "to the end",
            ),
            ("HTTP/1.0 200\r\n\r\n", ""),
        ] {
            let request = "GET /old HTTP/1.1\r\nHost: shop\r\n\r\n";
            let (mut client, mut upstream) = scene.ask(way, request).await;
            upstream.request().await;
            upstream.send(answer).await;
            upstream.close().await;
            let got = client.response().await;
            assert!(
                got.head.line.starts_with("HTTP/1.1 200"),
                "{way:?}: {}",
                got.head.line
            );
            assert_eq!(got.text(), body, "{way:?}");
            // What ends with its connection over there need not do so here.
            client.send(scene.spell(way, request)).await;
            let mut upstream = scene.accept(way).await;
            upstream.request().await;
            upstream
                .send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                .await;
            assert_eq!(client.response().await.head.status(), 204, "{way:?}");
            upstream.close().await;
        }
    }
}

#[tokio::test]
async fn an_http_1_0_upstream_that_keeps_its_connection_is_asked_again_on_it() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "GET /old HTTP/1.1\r\nHost: shop\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        for n in 0..3 {
            upstream.request().await;
            let head = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n";
            upstream.send(format!("{head}{n}")).await;
            assert_eq!(client.response().await.text(), n.to_string(), "{way:?}");
            client.send(scene.spell(way, request)).await;
        }
        upstream.request().await;
    }
}

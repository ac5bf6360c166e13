//! WebSocket and other upgrades: agreed on by both ends, and then bytes.

use throughline_tests::{Collector, Kind, Protocol};

use super::{
    frames::{DATA, END_HEADERS, HEADERS, Peer, block},
    scene::{Scene, WAYS, Way},
    wire::Wire,
};

pub(crate) const ASK: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\nOrigin: http://shop\r\n\r\n";

const TAKE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: chat\r\n\r\n";

/// Both ends after the upgrade.
pub(crate) async fn upgraded(scene: &Scene, way: Way) -> (Wire, Wire) {
    let (mut client, mut upstream) = scene.ask(way, ASK).await;
    let head = upstream.head().await;
    assert_eq!(head.line, "GET /chat?room=1 HTTP/1.1", "{way:?}");
    assert_eq!(head.all("upgrade"), ["websocket"], "{way:?}");
    upstream.send(TAKE).await;
    assert_eq!(client.head().await.status(), 101, "{way:?}");
    (client, upstream)
}

#[tokio::test]
async fn a_websocket_is_agreed_on_by_both_ends() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, ASK).await;
        let head = upstream.head().await;
        assert_eq!(head.line, "GET /chat?room=1 HTTP/1.1", "{way:?}");
        for (name, value) in [
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("origin", "http://shop"),
        ] {
            assert_eq!(head.all(name), [value], "{way:?}");
        }
        let connection = head.all("connection").join(",").to_lowercase();
        assert!(connection.contains("upgrade"), "{way:?}: {connection}");
        upstream.send(TAKE).await;
        let head = client.head().await;
        assert_eq!(head.status(), 101, "{way:?}");
        assert_eq!(head.all("upgrade"), ["websocket"], "{way:?}");
        let accept = head.all("sec-websocket-accept");
        assert_eq!(accept, ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="], "{way:?}");
        assert_eq!(head.all("sec-websocket-protocol"), ["chat"], "{way:?}");
        let connection = head.all("connection").join(",").to_lowercase();
        assert!(connection.contains("upgrade"), "{way:?}: {connection}");
    }
}

#[tokio::test]
async fn bytes_pass_both_ways_after_an_upgrade() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = upgraded(&scene, way).await;
        // What looks like HTTP is none any more.
        for n in 0..5 {
            let up = format!("GET /{n} HTTP/1.1\r\n\r\n\0");
            client.send(&up).await;
            assert_eq!(
                upstream.exactly(up.len()).await.unwrap(),
                up.as_bytes(),
                "{way:?}"
            );
            let down = [n; 3];
            upstream.send(down).await;
            assert_eq!(client.exactly(3).await.unwrap(), down, "{way:?}");
        }
    }
}

#[tokio::test]
async fn bytes_that_come_with_the_agreement_are_not_lost() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, ASK).await;
        upstream.head().await;
        upstream.send(format!("{TAKE}first from the app")).await;
        assert_eq!(client.head().await.status(), 101, "{way:?}");
        assert_eq!(
            client.exactly(18).await.unwrap(),
            b"first from the app",
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn the_end_of_either_side_is_the_end_for_the_other() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = upgraded(&scene, way).await;
        client.send("last words").await;
        client.finish().await;
        assert_eq!(upstream.rest().await, b"last words", "{way:?}");
        upstream.send("and an answer").await;
        upstream.finish().await;
        assert_eq!(
            client.rest().await,
            b"and an answer",
            "{way:?}: half was open"
        );

        let (mut client, mut upstream) = upgraded(&scene, way).await;
        upstream.send("bye").await;
        upstream.finish().await;
        assert_eq!(client.rest().await, b"bye", "{way:?}");
        client.finish().await;
        assert_eq!(upstream.rest().await, b"", "{way:?}");
    }
}

#[tokio::test]
async fn an_open_tunnel_is_not_cut_for_being_idle_between_requests() {
    let scene = Scene::with(|setup| {
        setup
            .flag("idle-timeout", "100ms")
            .flag("header-timeout", "100ms")
    })
    .await;
    let (mut client, mut upstream) = upgraded(&scene, Way::Inbound).await;
    // Another that is idle, as a clock: when it is cut, so would this one be.
    let mut idle = scene.client(Way::Inbound).await;
    for _ in 0..2 {
        idle.rest().await;
        idle = scene.client(Way::Inbound).await;
    }
    client.send("still").await;
    assert_eq!(upstream.exactly(5).await.unwrap(), b"still");
}

#[tokio::test]
async fn an_upgrade_that_is_declined_is_an_answer_like_any_other() {
    let scene = Scene::start().await;
    for way in WAYS {
        for status in ["200 OK", "403 Forbidden", "426 Upgrade Required"] {
            let (mut client, mut upstream) = scene.ask(way, ASK).await;
            upstream.request().await;
            upstream
                .send(format!(
                    "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
                ))
                .await;
            let got = client.response().await;
            assert_eq!(got.head.line, format!("HTTP/1.1 {status}"), "{way:?}");
            assert_eq!(got.text(), "no", "{way:?}");
            upstream.close().await;
            // The connection is one of HTTP as before.
            client
                .send(scene.spell(way, "GET /next HTTP/1.1\r\nHost: shop\r\n\r\n"))
                .await;
            let mut upstream = scene.accept(way).await;
            assert_eq!(
                upstream.request().await.head.line,
                "GET /next HTTP/1.1",
                "{way:?}"
            );
            upstream
                .send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                .await;
            assert_eq!(client.response().await.head.status(), 204, "{way:?}");
            upstream.close().await;
        }
    }
}

#[tokio::test]
async fn any_protocol_may_be_upgraded_to() {
    let scene = Scene::start().await;
    for way in WAYS {
        let ask = "POST /attach HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\n\
            Upgrade: tcp\r\nContent-Length: 0\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, ask).await;
        assert_eq!(
            upstream.request().await.head.all("upgrade"),
            ["tcp"],
            "{way:?}"
        );
        upstream
            .send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello")
            .await;
        let head = client.head().await;
        assert_eq!(
            (head.status(), head.all("upgrade")),
            (101, vec!["tcp".to_owned()]),
            "{way:?}"
        );
        assert_eq!(client.exactly(5).await.unwrap(), b"hello", "{way:?}");
    }
}

#[tokio::test]
async fn an_upgrade_to_h2c_goes_no_further() {
    // Behind it would be requests that nobody here sees (RFC 9113 section 3.1 dropped it).
    let scene = Scene::start().await;
    for way in WAYS {
        let ask = "GET /x HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade, HTTP2-Settings\r\n\
            Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, ask).await;
        let head = upstream.request().await.head;
        assert!(head.all("upgrade").is_empty(), "{way:?}: {head:?}");
        assert!(head.all("http2-settings").is_empty(), "{way:?}: {head:?}");
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        assert_eq!(client.response().await.text(), "ok", "{way:?}");
    }
}

#[tokio::test]
async fn a_101_to_another_protocol_than_was_asked_for_is_broken() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, ASK).await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            .await;
        upstream.finish().await;
        assert_eq!(client.response().await.head.status(), 502, "{way:?}");
    }
}

#[tokio::test]
async fn the_span_of_a_websocket_has_its_tunnel() {
    let collector = Collector::start().await;
    let scene = Scene::with(|setup| setup.exporting(&collector, Protocol::Grpc)).await;
    for (way, kind) in [(Way::Inbound, Kind::Server), (Way::Proxy, Kind::Client)] {
        let (mut client, mut upstream) = upgraded(&scene, way).await;
        client.send("hello").await;
        assert_eq!(upstream.exactly(5).await.unwrap(), b"hello");
        tokio::join!(upstream.close(), client.close());
        let span = collector.span(kind, "/chat").await;
        assert_eq!(span.status(), Some(101), "{}", span.summary());
        assert!(span.has_phase("tunnel"), "{}", span.summary());
    }
}

#[tokio::test]
async fn a_websocket_in_http2_is_an_upgrade_in_http1() {
    // RFC 8441.
    let scene = Scene::with(|setup| setup.flag("app-protocol", "http1")).await;
    let mut client = Peer::connect(scene.sidecar.inbound(), &[]).await;
    let ask = block(&[
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"http"),
        (b":authority", b"shop"),
        (b":path", b"/chat"),
        (b"sec-websocket-version", b"13"),
    ]);
    client.send(HEADERS, END_HEADERS, 1, &ask).await;
    let serving = async {
        let mut app = scene.accept(Way::Inbound).await;
        let head = app.head().await;
        assert_eq!(head.line, "GET /chat HTTP/1.1");
        assert_eq!(head.all("upgrade"), ["websocket"]);
        app.send(TAKE).await;
        app
    };
    let mut app = tokio::select! {
        app = serving => app,
        frame = client.next() => panic!("{frame:?} without the app"),
    };
    assert!(client.wait(HEADERS, 1).await.is_ok());
    client.send(DATA, 0, 1, b"up").await;
    assert_eq!(app.exactly(2).await.unwrap(), b"up");
    app.send("down").await;
    assert_eq!(client.wait(DATA, 1).await.payload, b"down");
}

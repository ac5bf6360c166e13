//! HTTP/1.1 on one side and HTTP/2 on the other.

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use throughline_tests::{Body, Client, Setup, Sidecar, Upstream, empty, text};

use super::{
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, Peer, RST_STREAM, block},
    scene::{Scene, Way, entry},
    wire::{Framing, Wire},
};

/// Before an app that speaks HTTP/1.1.
async fn to_http1() -> Scene {
    Scene::with(|setup| setup.flag("app-protocol", "http1")).await
}

/// An app in HTTP/2 that answers with the head and the body that it got.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let mut said = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        said.push_str(&format!(
            "{name}: {}\n",
            String::from_utf8_lossy(value.as_bytes())
        ));
    }
    said.push_str(&format!("body: {}\n", String::from_utf8_lossy(&body)));
    let mut response = Response::new(text(said));
    if parts.method == Method::HEAD || parts.uri.path() == "/empty" {
        *response.body_mut() = empty();
    }
    if parts.uri.path() == "/empty" {
        *response.status_mut() = http::StatusCode::NO_CONTENT;
    }
    response
}

async fn to_http2() -> (Upstream, Sidecar) {
    let app = Upstream::http2(echo).await;
    let setup = Setup::beside(app.address()).flag("app-protocol", "h2c");
    let sidecar = setup.start().await;
    (app, sidecar)
}

#[tokio::test]
async fn an_http1_request_reaches_an_http2_app() {
    let (_app, sidecar) = to_http2().await;
    let mut client = Wire::connect(sidecar.inbound()).await;
    client
        .send(
            "POST /a//b;c?d=%2F HTTP/1.1\r\nHost: shop:81\r\nX-Twice: 1\r\nX-Twice: 2\r\n\
             Cookie: a=1; b=2\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n\
             TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        )
        .await;
    let got = client.response().await;
    assert_eq!(got.head.status(), 200);
    let said = got.text();
    assert!(
        said.starts_with("POST http://shop:81/a//b;c?d=%2F\n"),
        "{said}"
    );
    for line in ["x-twice: 1", "x-twice: 2", "body: abcde", "te: trailers"] {
        assert!(said.lines().any(|l| l == line), "{line}: {said}");
    }
    let cookies: Vec<&str> = said.lines().filter(|l| l.starts_with("cookie")).collect();
    assert_eq!(
        cookies.join("; ").replace("; cookie: ", "; "),
        "cookie: a=1; b=2",
        "{said}"
    );
    for name in [
        "connection",
        "x-mine",
        "keep-alive",
        "transfer-encoding",
        "host",
    ] {
        assert!(!said.contains(&format!("\n{name}: ")), "{name}: {said}");
    }
    // The connection goes on.
    for (request, status) in [
        ("GET /x HTTP/1.1\r\nHost: shop\r\n\r\n", 200),
        ("GET /empty HTTP/1.1\r\nHost: shop\r\n\r\n", 204),
        (
            "GET /x HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n",
            200,
        ),
    ] {
        client.send(request).await;
        let got = client.response().await;
        assert_eq!(got.head.status(), status);
        assert_ne!(got.framing, Framing::Close, "{request:?}");
    }
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn an_http1_head_is_answered_by_an_http2_app() {
    let (_app, sidecar) = to_http2().await;
    let mut client = Wire::connect(sidecar.inbound()).await;
    for _ in 0..2 {
        client.send("HEAD /x HTTP/1.1\r\nHost: shop\r\n\r\n").await;
        assert_eq!(client.response_to_head().await.head.status(), 200);
    }
    client.send("GET /x HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    assert!(client.response().await.text().starts_with("GET "));
}

#[tokio::test]
async fn an_http_1_0_client_is_answered_by_an_http2_app() {
    let (_app, sidecar) = to_http2().await;
    let mut client = Wire::connect(sidecar.inbound()).await;
    client.send("GET /x HTTP/1.0\r\nHost: shop\r\n\r\n").await;
    let got = client.response().await;
    assert_ne!(got.framing, Framing::Chunked);
    assert!(
        got.text().starts_with("GET http://shop/x\n"),
        "{}",
        got.text()
    );
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn an_http2_request_reaches_an_http1_app() {
    let scene = to_http1().await;
    let mut client = Peer::connect(scene.sidecar.inbound(), &[]).await;
    let head = block(&[
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"shop:81"),
        (b":path", b"/a//b;c?d=%2F"),
        (b"cookie", b"a=1"),
        (b"x-twice", b"1"),
        (b"x-twice", b"2"),
        (b"cookie", b"b=2"),
        (b"x-name", b"caf\xe9"),
    ]);
    client.send(HEADERS, END_HEADERS, 1, &head).await;
    client.send(DATA, END_STREAM, 1, b"abcde").await;
    let mut app = scene.accept(Way::Inbound).await;
    let got = app.request().await;
    assert_eq!(got.head.line, "POST /a//b;c?d=%2F HTTP/1.1");
    assert_eq!(got.head.all("host"), ["shop:81"]);
    assert_eq!(got.head.all("cookie"), ["a=1; b=2"]);
    assert_eq!(got.head.all("x-twice"), ["1", "2"]);
    assert!(
        got.head
            .fields
            .contains(&("x-name".into(), b"caf\xe9".to_vec()))
    );
    assert_eq!(got.text(), "abcde");
    assert_eq!(got.framing, Framing::Chunked, "its length was not said");
    app.send(
        "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    )
    .await;
    assert!(client.wait(HEADERS, 1).await.is_ok());
    assert_eq!(client.wait(DATA, 1).await.payload, b"abc");
}

#[tokio::test]
async fn a_length_in_http2_is_a_length_in_http1() {
    let scene = to_http1().await;
    let mut client = Peer::connect(scene.sidecar.inbound(), &[]).await;
    let head = block(&[
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"shop"),
        (b":path", b"/"),
        (b"content-length", b"5"),
    ]);
    client.send(HEADERS, END_HEADERS, 1, &head).await;
    client.send(DATA, END_STREAM, 1, b"abcde").await;
    let mut app = scene.accept(Way::Inbound).await;
    let got = app.request().await;
    assert_eq!((got.framing, &*got.text()), (Framing::Length, "abcde"));
}

#[tokio::test]
async fn an_http2_request_without_a_body_has_none_in_http1() {
    let scene = to_http1().await;
    for method in ["GET", "DELETE", "OPTIONS", "POST"] {
        let mut client = Peer::connect(scene.sidecar.inbound(), &[]).await;
        let head = super::frames::request(method, "/x");
        client
            .send(HEADERS, END_HEADERS | END_STREAM, 1, &head)
            .await;
        let mut app = scene.accept(Way::Inbound).await;
        let got = app.request().await;
        assert_eq!(
            (got.head.line, got.body.len()),
            (format!("{method} /x HTTP/1.1"), 0)
        );
        app.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            .await;
        let got = client.wait(HEADERS, 1).await;
        assert!(got.ends(), "{method}: {got:?}");
        app.close().await;
    }
}

#[tokio::test]
async fn options_of_the_whole_server_become_a_star_in_http1() {
    // RFC 9113 section 8.3.1.
    let scene = to_http1().await;
    let mut client = Peer::connect(scene.sidecar.inbound(), &[]).await;
    let head = super::frames::request("OPTIONS", "*");
    client
        .send(HEADERS, END_HEADERS | END_STREAM, 1, &head)
        .await;
    let mut app = scene.accept(Way::Inbound).await;
    assert_eq!(app.request().await.head.line, "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn an_http2_upload_that_breaks_off_is_never_whole_in_http1() {
    let scene = to_http1().await;
    for is_reset in [true, false] {
        let mut client = Peer::connect(scene.sidecar.inbound(), &[]).await;
        client.post(1, "/").await;
        client.send(DATA, 0, 1, b"some").await;
        let mut app = scene.accept(Way::Inbound).await;
        app.through(b"some").await;
        if is_reset {
            client.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]).await;
        } else {
            client.wire.reset();
        }
        let rest = String::from_utf8_lossy(&app.rest().await).into_owned();
        assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
    }
}

#[tokio::test]
async fn an_http1_upload_that_breaks_off_is_never_whole_in_http2() {
    let scene = Scene::with(|setup| setup.flag("app-protocol", "h2c")).await;
    for request in [
        "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n",
    ] {
        let mut client = scene.client(Way::Inbound).await;
        client.send(request).await;
        let mut app = Peer::serve(scene.accept(Way::Inbound).await, &[]).await;
        app.wait(HEADERS, 1).await;
        client.finish().await;
        loop {
            let frame = app.next().await.expect("the connection goes on");
            assert!(!frame.ends(), "{request:?}: {frame:?}");
            if frame.is(RST_STREAM, 1) {
                break;
            }
        }
        app.wire.close().await;
    }
}

#[tokio::test]
#[ignore = "h2 has no way to send an interim answer"]
async fn early_hints_pass_from_http1_to_http2() {
    let scene = to_http1().await;
    let mut client = Peer::connect(scene.sidecar.inbound(), &[]).await;
    client.get(1, "/x").await;
    let mut app = scene.accept(Way::Inbound).await;
    app.request().await;
    app.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        .await;
    let first = client.wait(HEADERS, 1).await;
    assert!(!first.ends(), "{first:?}");
    assert!(client.wait(HEADERS, 1).await.ends());
}

#[tokio::test]
async fn each_side_of_a_route_speaks_what_it_does() {
    let app1 = Upstream::http1(|_| async { Response::new(text("1")) }).await;
    let app2 = Upstream::http2(|_| async { Response::new(text("2")) }).await;
    for app in [&app1, &app2] {
        let route = format!("127.0.0.1:0={}", app.address());
        let sidecar = Setup::beside(app.address())
            .flag("routes", &route)
            .start()
            .await;
        for way in [Way::Inbound, Way::Route] {
            for mut client in [
                Client::http2(entry(&sidecar, way)).await,
                Client::http1(entry(&sidecar, way)).await,
            ] {
                assert_eq!(client.get("/").await.status, 200, "{way:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_refused_in_http2() {
    let scene = to_http1().await;
    let mut client = Peer::connect(scene.sidecar.inbound(), &[]).await;
    client.get(1, "/x").await;
    let mut app = scene.accept(Way::Inbound).await;
    app.request().await;
    app.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    assert_eq!(client.outcome(1).await, Outcome::Refused);
}

#[tokio::test]
async fn each_event_of_an_http1_stream_comes_to_an_http2_client_before_the_next_is_made() {
    let scene = to_http1().await;
    let mut client = Peer::connect(scene.sidecar.inbound(), &[]).await;
    client.get(1, "/events").await;
    let mut app = scene.accept(Way::Inbound).await;
    app.request().await;
    app.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        .await;
    assert!(client.wait(HEADERS, 1).await.is_ok());
    for n in 0..5 {
        let event = format!("data: {n}\n\n");
        app.send(&event).await;
        assert_eq!(client.wait(DATA, 1).await.payload, event.as_bytes());
    }
}

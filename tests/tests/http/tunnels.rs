//! What is true of every tunnel: its account, its end, and what it is to everything else.

use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use throughline_tests::{Collector, Kind, Protocol, Setup, Span, Upstream, text, until};

use super::{
    connect::tunnel,
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Peer, RST_STREAM, SETTINGS, block},
    scene::{Scene, Way},
    upgrades::{ASK, upgraded},
    wire::Wire,
};

async fn traced(collector: &Collector, more: impl FnOnce(Setup) -> Setup) -> Scene {
    Scene::with(|setup| more(setup.exporting(collector, Protocol::Grpc))).await
}

/// The only span of that kind.
async fn only(collector: &Collector, kind: Kind) -> Span {
    let mut spans = collector.wanted(1, |span| span.kind() == kind).await;
    assert_eq!(spans.len(), 1);
    let span = spans.remove(0);
    span.check();
    span
}

#[tokio::test]
async fn one_span_has_the_bytes_of_a_websocket_and_who_ended_it() {
    for (way, kind) in [(Way::Inbound, Kind::Server), (Way::Route, Kind::Client)] {
        for ender in ["client", "upstream"] {
            let collector = Collector::start().await;
            let scene = traced(&collector, |setup| setup).await;
            let (mut client, mut upstream) = upgraded(&scene, way).await;
            client.send("hello").await;
            assert_eq!(upstream.exactly(5).await.unwrap(), b"hello");
            upstream.send("and welcome").await;
            assert_eq!(client.exactly(11).await.unwrap(), b"and welcome");
            let (mut first, mut second) = match ender {
                "client" => (client, upstream),
                _ => (upstream, client),
            };
            first.finish().await;
            second.rest().await;
            second.finish().await;
            first.rest().await;
            let span = only(&collector, kind).await;
            let summary = span.summary();
            assert_eq!(span.status(), Some(101), "{summary}");
            assert_eq!(span.text("throughline.tunnel.protocol"), "websocket");
            assert_eq!(span.number("throughline.tunnel.to_server"), Some(5));
            assert_eq!(span.number("throughline.tunnel.to_client"), Some(11));
            assert_eq!(span.text("throughline.ended_by"), ender, "{summary}");
            assert_eq!(span.text("error.type"), "", "{summary}");
            for phase in ["send", "wait", "tunnel"] {
                assert!(span.has_phase(phase), "{phase}: {summary}");
            }
            assert!(!span.has_phase("transfer"), "{summary}");
        }
    }
}

#[tokio::test]
async fn a_side_that_breaks_off_is_said_to_have_broken_off() {
    for ender in ["client", "upstream"] {
        let collector = Collector::start().await;
        let scene = traced(&collector, |setup| setup).await;
        let (client, upstream) = upgraded(&scene, Way::Inbound).await;
        let mut other = match ender {
            "client" => {
                client.reset();
                upstream
            }
            _ => {
                upstream.reset();
                client
            }
        };
        other.rest().await;
        let span = only(&collector, Kind::Server).await;
        assert_eq!(span.text("throughline.ended_by"), ender);
        assert_eq!(span.text("error.type"), "connection_reset");
        assert_eq!(span.text("throughline.phase.interrupted"), "tunnel");
    }
}

#[tokio::test]
async fn a_tunnel_that_carries_nothing_ends_where_that_is_configured() {
    let collector = Collector::start().await;
    let scene = traced(&collector, |s| s.flag("tunnel-idle-timeout", "100ms")).await;
    let (mut client, mut upstream) = tunnel(&scene).await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(upstream.rest().await, b"");
    let span = only(&collector, Kind::Client).await;
    assert_eq!(span.text("throughline.ended_by"), "proxy");
    assert_eq!(span.text("error.type"), "idle_timeout");
}

#[tokio::test]
async fn an_open_tunnel_ends_with_the_grace_of_a_shutdown_and_its_span_says_so() {
    let collector = Collector::start().await;
    let mut scene = traced(&collector, |setup| setup.flag("shutdown-grace", "1s")).await;
    let (mut client, mut upstream) = upgraded(&scene, Way::Inbound).await;
    let (mut caller, mut called) = tunnel(&scene).await;
    scene.sidecar.terminate();
    // Until then they work as before.
    until("the sidecar does not accept any more", async || {
        let connected = tokio::net::TcpStream::connect(scene.sidecar.inbound()).await;
        connected.is_err().then_some(())
    })
    .await;
    client.send("still").await;
    assert_eq!(upstream.exactly(5).await.unwrap(), b"still");
    called.send("here").await;
    assert_eq!(caller.exactly(4).await.unwrap(), b"here");
    for wire in [&mut client, &mut upstream, &mut caller, &mut called] {
        assert_eq!(wire.rest().await, b"");
    }
    assert_eq!(scene.sidecar.wait().await, 0);
    for kind in [Kind::Server, Kind::Client] {
        let span = only(&collector, kind).await;
        assert_eq!(span.text("throughline.ended_by"), "proxy", "{kind:?}");
        assert_eq!(span.text("error.type"), "shutdown", "{kind:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_its_end_is_an_error() {
    let collector = Collector::start().await;
    let scene = traced(&collector, |setup| setup).await;
    let (mut client, mut upstream) = tunnel(&scene).await;
    client.send([22, 3, 1, 0, 5, 1, 0, 0, 1, 3]).await;
    upstream.exactly(10).await.unwrap();
    // A fatal alert: the handshake fails.
    upstream.send([21, 3, 3, 0, 2, 2, 40]).await;
    upstream.finish().await;
    client.rest().await;
    client.finish().await;
    let span = only(&collector, Kind::Client).await;
    assert_eq!(span.text("throughline.ended_by"), "upstream");
    assert_eq!(span.text("error.type"), "tls_error");
    assert!(span.has_phase("tls"), "{}", span.summary());
}

#[tokio::test]
async fn a_tunnel_takes_no_place_from_requests() {
    let scene = Scene::with(|setup| setup.flag("max-connections", "1")).await;
    let (mut client, mut upstream) = upgraded(&scene, Way::Inbound).await;
    let (mut other, mut asked) = scene
        .ask(Way::Inbound, "GET /other HTTP/1.1\r\nHost: shop\r\n\r\n")
        .await;
    assert_eq!(asked.request().await.head.line, "GET /other HTTP/1.1");
    asked
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await;
    assert_eq!(other.response().await.text(), "ok");
    client.send("x").await;
    assert_eq!(upstream.exactly(1).await.unwrap(), b"x");
}

#[tokio::test]
async fn a_call_is_not_put_down_to_a_websocket_that_happens_to_be_open() {
    let collector = Collector::start().await;
    let scene = traced(&collector, |setup| setup).await;
    let (_client, _upstream) = upgraded(&scene, Way::Inbound).await;
    let ask = "GET /order HTTP/1.1\r\nHost: shop\r\n\r\n";
    let (mut client, mut app) = scene.ask(Way::Inbound, ask).await;
    app.request().await;
    // The app connects to somebody, because of the one request that is open.
    let (mut caller, mut called) = tunnel(&scene).await;
    called.send("x").await;
    caller.exactly(1).await.unwrap();
    app.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        .await;
    client.response().await;
    tokio::join!(caller.close(), called.close());
    let order = collector.span(Kind::Server, "/order").await;
    let call = only(&collector, Kind::Client).await;
    assert_eq!(call.parent(), order.id(), "{}", call.summary());
    assert_eq!(call.text("throughline.parent.evidence"), "sole_candidate");
    assert_eq!(call.number("throughline.parent.candidates"), Some(1));
}

#[tokio::test]
async fn what_comes_behind_a_refused_connect_is_no_request() {
    let scene = Scene::start().await;
    let nobody = throughline_tests::free_port();
    for (way, ask) in [
        (Way::Inbound, "CONNECT shop:443 HTTP/1.1".to_owned()),
        (Way::Route, "CONNECT shop:443 HTTP/1.1".to_owned()),
        (Way::Proxy, "CONNECT shop HTTP/1.1".to_owned()),
        (Way::Proxy, format!("CONNECT 127.0.0.1:{nobody} HTTP/1.1")),
        (
            Way::Proxy,
            format!(
                "CONNECT {} HTTP/1.1\r\nContent-Length: 4",
                scene.upstream(Way::Proxy)
            ),
        ),
        (
            Way::Proxy,
            format!(
                "CONNECT {} HTTP/1.1\r\nTransfer-Encoding: chunked",
                scene.upstream(Way::Proxy)
            ),
        ),
    ] {
        let mut client = scene.client(way).await;
        let next = scene.spell(way, "GET /next HTTP/1.1\r\nHost: shop\r\n\r\n");
        client
            .send([format!("{ask}\r\nHost: shop\r\n\r\n").as_bytes(), &next].concat())
            .await;
        let answer = client.response().await.head;
        assert!(
            (400..=502).contains(&answer.status()),
            "{way:?} {ask}: {answer:?}"
        );
        assert_eq!(answer.all("connection"), ["close"], "{way:?} {ask}");
        assert_eq!(client.rest().await, b"", "{way:?} {ask}");
        assert!(!scene.is_called(way).await, "{way:?} {ask}");
    }
}

#[tokio::test]
async fn a_tunnel_may_be_asked_for_in_http2() {
    let scene = Scene::start().await;
    let to = scene.upstream(Way::Proxy).to_string();
    let mut client = Peer::connect(scene.sidecar.outbound(), &[]).await;
    let ask = block(&[(b":method", b"CONNECT"), (b":authority", to.as_bytes())]);
    client.send(HEADERS, END_HEADERS, 1, &ask).await;
    let accepting = scene.accept(Way::Proxy);
    let (mut upstream, head) = tokio::join!(accepting, client.wait(HEADERS, 1));
    assert!(head.is_ok() && !head.ends());
    client.send(DATA, 0, 1, b"up").await;
    assert_eq!(upstream.exactly(2).await.unwrap(), b"up");
    upstream.send("down").await;
    assert_eq!(client.wait(DATA, 1).await.payload, b"down");
    // Half closed, as in HTTP/1.
    client.send(DATA, END_STREAM, 1, b"").await;
    assert_eq!(upstream.rest().await, b"");
    upstream.send("last").await;
    upstream.finish().await;
    assert_eq!(client.wait(DATA, 1).await.payload, b"last");
    let end = client.next().await.unwrap();
    assert!(
        end.is(DATA, 1) && end.ends() || end.is(RST_STREAM, 1),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_tunnel_in_http2_is_refused_at_the_apps_door() {
    let scene = Scene::start().await;
    let mut client = Peer::connect(scene.sidecar.inbound(), &[]).await;
    for (stream, ask) in [
        (
            1,
            block(&[(b":method", b"CONNECT"), (b":authority", b"shop:443")]),
        ),
        (
            3,
            block(&[
                (b":method", b"CONNECT"),
                (b":protocol", b"h2c"),
                (b":scheme", b"http"),
                (b":authority", b"shop"),
                (b":path", b"/"),
            ]),
        ),
    ] {
        client.send(HEADERS, END_HEADERS, stream, &ask).await;
        assert!(!client.wait(HEADERS, stream).await.is_ok());
        assert!(!scene.is_called(Way::Inbound).await);
    }
}

/// An upstream of HTTP/2 that takes extended CONNECT, and sends back what it gets.
async fn http2_echo() -> Upstream {
    Upstream::raw(|stream, _| async move {
        let service = hyper::service::service_fn(|mut request: http::Request<_>| async move {
            let protocol = request.extensions().get::<hyper::ext::Protocol>().cloned();
            let said = (request.method().clone(), request.uri().path().to_owned());
            let is_right = protocol.is_some_and(|p| p.as_str() == "websocket")
                && said == (http::Method::CONNECT, "/chat".to_owned())
                && !request.headers().contains_key("sec-websocket-key");
            let mut answer = http::Response::new(Empty::<bytes::Bytes>::new());
            if !is_right {
                *answer.status_mut() = http::StatusCode::BAD_REQUEST;
                return Ok::<_, std::io::Error>(answer);
            }
            let asked = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(asked.await.unwrap());
                let (mut read, mut write) = tokio::io::split(&mut stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut write).await;
            });
            let _: &hyper::body::Incoming = request.body();
            Ok(answer)
        });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .enable_connect_protocol()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    })
    .await
}

#[tokio::test]
async fn a_websocket_in_http1_is_an_extended_connect_to_an_app_of_http2() {
    let app = http2_echo().await;
    let sidecar = Setup::beside(app.address())
        .flag("app-protocol", "h2c")
        .start()
        .await;
    let mut client = Wire::connect(sidecar.inbound()).await;
    client.send(ASK.replace("?room=1", "")).await;
    let head = client.head().await;
    assert_eq!(head.status(), 101, "{head:?}");
    assert_eq!(head.all("upgrade"), ["websocket"]);
    let accept = head.all("sec-websocket-accept");
    assert_eq!(accept, ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    client.send("there and back").await;
    assert_eq!(client.exactly(14).await.unwrap(), b"there and back");
    client.finish().await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn an_extended_connect_goes_on_as_one() {
    let app = http2_echo().await;
    let sidecar = Setup::beside(app.address())
        .flag("app-protocol", "h2c")
        .start()
        .await;
    let mut client = Peer::connect(sidecar.inbound(), &[]).await;
    let ask = block(&[
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"http"),
        (b":authority", b"shop"),
        (b":path", b"/chat"),
        (b"sec-websocket-version", b"13"),
    ]);
    client.send(HEADERS, END_HEADERS, 1, &ask).await;
    assert!(client.wait(HEADERS, 1).await.is_ok());
    client.send(DATA, 0, 1, b"there and back").await;
    assert_eq!(client.wait(DATA, 1).await.payload, b"there and back");
}

#[tokio::test]
async fn an_app_of_http2_that_takes_no_tunnels_is_not_asked_for_one() {
    let app = Upstream::http2(|_| async { http::Response::new(text("ordinary")) }).await;
    let sidecar = Setup::beside(app.address())
        .flag("app-protocol", "h2c")
        .start()
        .await;
    let mut client = Wire::connect(sidecar.inbound()).await;
    client.send(ASK).await;
    let answer = client.response().await;
    assert_eq!(answer.head.status(), 501, "{answer:?}");
    assert!(
        answer.text().contains("extended CONNECT"),
        "{}",
        answer.text()
    );
    // The connection is one of HTTP as before.
    client.send("GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "ordinary");
}

#[tokio::test]
async fn tunnels_are_offered_in_http2() {
    let scene = Scene::start().await;
    for way in [Way::Inbound, Way::Proxy] {
        let mut client = scene.client(way).await;
        client.send(super::frames::PREFACE).await;
        let head = client.exactly(9).await.unwrap();
        assert_eq!(head[3], SETTINGS, "{way:?}");
        let length = usize::from(head[2]);
        let settings = client.exactly(length).await.unwrap();
        let says = settings.chunks(6).any(|pair| pair == [0, 8, 0, 0, 0, 1]);
        assert!(says, "{way:?}: {settings:?}");
    }
}

#[tokio::test]
async fn tunnels_pass_where_nothing_is_traced() {
    let scene = Scene::with(|setup| setup.flag("tracing", "off")).await;
    let opened = [
        upgraded(&scene, Way::Inbound).await,
        upgraded(&scene, Way::Proxy).await,
        tunnel(&scene).await,
    ];
    for (mut client, mut upstream) in opened {
        client.send("up").await;
        assert_eq!(upstream.exactly(2).await.unwrap(), b"up");
        upstream.send("down").await;
        upstream.finish().await;
        assert_eq!(client.rest().await, b"down");
    }
}

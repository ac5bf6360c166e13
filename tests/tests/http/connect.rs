//! CONNECT through the outbound proxy, and the fields that are said to a proxy.

use throughline_tests::{Collector, Kind, Protocol, Upstream, curl, text};

use super::{
    scene::{Scene, Way},
    wire::Wire,
};

/// Both ends of a tunnel.
pub(crate) async fn tunnel(scene: &Scene) -> (Wire, Wire) {
    let to = scene.upstream(Way::Proxy);
    let mut client = scene.client(Way::Proxy).await;
    client
        .send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n"))
        .await;
    let head = client.head().await;
    assert_eq!(head.status(), 200, "{}", head.line);
    // RFC 9110 section 9.3.6: what follows is the tunnel, and nothing frames it.
    assert!(head.all("content-length").is_empty(), "{head:?}");
    assert!(head.all("transfer-encoding").is_empty(), "{head:?}");
    let upstream = scene.accept(Way::Proxy).await;
    (client, upstream)
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways() {
    let scene = Scene::start().await;
    let (mut client, mut upstream) = tunnel(&scene).await;
    for n in 0..5 {
        let up = format!("GET /{n} HTTP/1.1\r\n\r\n\0");
        client.send(&up).await;
        assert_eq!(upstream.exactly(up.len()).await.unwrap(), up.as_bytes());
        upstream.send([n; 3]).await;
        assert_eq!(client.exactly(3).await.unwrap(), [n; 3]);
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_first_is_heard() {
    let scene = Scene::start().await;
    let (mut client, mut upstream) = tunnel(&scene).await;
    upstream.send("220 ready\r\n").await;
    assert_eq!(client.exactly(11).await.unwrap(), b"220 ready\r\n");
}

#[tokio::test]
async fn bytes_that_come_with_the_request_for_a_tunnel_are_not_lost() {
    let scene = Scene::start().await;
    let to = scene.upstream(Way::Proxy);
    let mut client = scene.client(Way::Proxy).await;
    client
        .send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\nearly"))
        .await;
    assert_eq!(client.head().await.status(), 200);
    let mut upstream = scene.accept(Way::Proxy).await;
    assert_eq!(upstream.exactly(5).await.unwrap(), b"early");
}

#[tokio::test]
async fn a_tunnel_may_be_half_closed_from_either_side() {
    let scene = Scene::start().await;
    let (mut client, mut upstream) = tunnel(&scene).await;
    client.send("all that I say").await;
    client.finish().await;
    assert_eq!(upstream.rest().await, b"all that I say");
    upstream.send("and all that I do").await;
    upstream.finish().await;
    assert_eq!(client.rest().await, b"and all that I do");

    let (mut client, mut upstream) = tunnel(&scene).await;
    upstream.send("bye").await;
    upstream.finish().await;
    assert_eq!(client.rest().await, b"bye");
    client.send("not yet").await;
    client.finish().await;
    assert_eq!(upstream.rest().await, b"not yet");
}

#[tokio::test]
async fn a_tunnel_to_nobody_is_refused_and_says_why() {
    let scene = Scene::start().await;
    let port = throughline_tests::free_port();
    for (to, status) in [
        (format!("127.0.0.1:{port}"), 502),
        ("no-such-host.invalid:443".to_owned(), 502),
    ] {
        let mut client = scene.client(Way::Proxy).await;
        client
            .send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n"))
            .await;
        assert_eq!(client.response().await.head.status(), status, "{to}");
    }
}

#[tokio::test]
async fn a_tunnel_to_the_sidecar_itself_is_refused() {
    let scene = Scene::start().await;
    let ports = [
        scene.sidecar.outbound().port(),
        scene.sidecar.routes()[0].port(),
    ];
    for port in ports {
        for host in ["127.0.0.1", "localhost"] {
            let mut client = scene.client(Way::Proxy).await;
            client
                .send(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n"))
                .await;
            assert_eq!(client.response().await.head.status(), 508, "{host}:{port}");
        }
    }
}

#[tokio::test]
async fn a_tunnel_to_nowhere_in_particular_is_refused() {
    let scene = Scene::start().await;
    let to = scene.upstream(Way::Proxy);
    for target in [
        "127.0.0.1".to_owned(),
        "127.0.0.1:".to_owned(),
        "127.0.0.1:0".to_owned(),
        "127.0.0.1:99999".to_owned(),
        "127.0.0.1:x".to_owned(),
        ":443".to_owned(),
        "/x".to_owned(),
        "*".to_owned(),
        format!("http://{to}"),
        format!("http://{to}/"),
        format!("{to}/x"),
        format!("me@{to}"),
    ] {
        let mut client = scene.client(Way::Proxy).await;
        client
            .send(format!("CONNECT {target} HTTP/1.1\r\nHost: shop\r\n\r\n"))
            .await;
        client.finish().await;
        let said = client.rest_text().await;
        assert!(said.starts_with("HTTP/1.1 4"), "{target}: {said}");
        assert!(!scene.is_called(Way::Proxy).await, "{target}");
    }
}

/// Asks for a tunnel where there is none to be had.
async fn no_tunnel(way: Way) {
    let scene = Scene::start().await;
    let to = scene.upstream(way);
    let mut client = scene.client(way).await;
    client
        .send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n"))
        .await;
    let status = tokio::select! {
        answer = client.response() => answer.head.status(),
        _ = scene.accept(way) => panic!("{way:?}: the upstream is asked"),
    };
    assert!([400, 403, 405, 501].contains(&status), "{way:?}: {status}");
}

#[tokio::test]
async fn a_tunnel_is_not_made_on_a_route() {
    no_tunnel(Way::Route).await;
}

#[tokio::test]
async fn a_tunnel_is_not_made_at_the_apps_door() {
    no_tunnel(Way::Inbound).await;
}

#[tokio::test]
async fn curl_calls_through_a_tunnel() {
    let upstream = Upstream::http1(|_| async { http::Response::new(text("through")) }).await;
    let scene = Scene::start().await;
    let proxy = format!("http://{}", scene.sidecar.outbound());
    let url = format!("http://{}/x", upstream.address());
    let arguments = [
        "--proxytunnel",
        "--proxy-user",
        "me:secret",
        "-x",
        &proxy,
        &url,
    ];
    let answer = curl(&arguments).await;
    assert_eq!(
        (answer.status, &*answer.body),
        (200, "through"),
        "{}",
        answer.log
    );
}

#[tokio::test]
async fn what_is_said_to_a_proxy_is_not_said_to_the_upstream() {
    let scene = Scene::start().await;
    let request = "GET / HTTP/1.1\r\nHost: shop\r\nProxy-Authorization: Basic eA==\r\n\
        Proxy-Connection: keep-alive\r\nAuthorization: Basic eQ==\r\n\r\n";
    for way in [Way::Proxy, Way::Route] {
        let (mut client, mut upstream) = scene.ask(way, request).await;
        let head = upstream.request().await.head;
        assert!(
            head.all("proxy-authorization").is_empty(),
            "{way:?}: {head:?}"
        );
        assert!(head.all("proxy-connection").is_empty(), "{way:?}: {head:?}");
        assert_eq!(head.all("authorization"), ["Basic eQ=="], "{way:?}");
        upstream
            .send("HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
            .await;
        let head = client.response().await.head;
        assert!(
            head.all("proxy-authenticate").is_empty(),
            "{way:?}: {head:?}"
        );
    }
}

/// A TLS record of a ClientHello that names `host`, with no more in it than that takes.
fn client_hello(host: &str) -> Vec<u8> {
    let number = |n: usize| u16::try_from(n).unwrap().to_be_bytes();
    let name = [&[0], &number(host.len())[..], host.as_bytes()].concat();
    let names = [&number(name.len())[..], &name].concat();
    let extension = [&[0, 0], &number(names.len())[..], &names].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &[0, 2, 0x13, 0x01],
        &[1, 0],
        &number(extension.len()),
        &extension,
    ]
    .concat();
    let hello = [&[1, 0], &number(body.len())[..], &body].concat();
    [&[22, 3, 1], &number(hello.len())[..], &hello].concat()
}

#[tokio::test]
async fn the_span_of_a_tunnel_says_where_to_and_how_it_went() {
    let collector = Collector::start().await;
    let scene = Scene::with(|setup| setup.exporting(&collector, Protocol::Grpc)).await;
    let to = scene.upstream(Way::Proxy);
    let mut client = scene.client(Way::Proxy).await;
    let target = format!("localhost:{}", to.port());
    client
        .send(format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.head().await.status(), 200);
    let mut upstream = scene.accept(Way::Proxy).await;
    let hello = client_hello("bank.example");
    client.send(&hello).await;
    assert_eq!(upstream.exactly(hello.len()).await.unwrap(), hello);
    // A ServerHello and what else there is, as records, and then data.
    upstream.send([22, 3, 3, 0, 2, 2, 0]).await;
    upstream.send([20, 3, 3, 0, 1, 1]).await;
    upstream.send([23, 3, 3, 0, 2, 9, 9]).await;
    client.exactly(20).await.unwrap();
    client.send([23, 3, 3, 0, 2, 8, 8]).await;
    upstream.exactly(7).await.unwrap();
    client.finish().await;
    upstream.rest().await;
    tokio::join!(upstream.close(), client.close());
    let spans = collector
        .wanted(1, |span| span.kind() == Kind::Client)
        .await;
    let span = &spans[0];
    assert_eq!(
        span.text("server.address"),
        "localhost",
        "{}",
        span.summary()
    );
    assert_eq!(span.number("server.port"), Some(i64::from(to.port())));
    for phase in ["dns", "connect", "tls", "tunnel"] {
        assert!(span.has_phase(phase), "{phase}: {}", span.summary());
    }
    assert_eq!(span.text("tls.client.server_name"), "bank.example");
    assert_eq!(span.text("throughline.ended_by"), "client");
}

//! Callers over TLS: versions, protocols, names, and those who do not speak it.

use http::{Request, Response};
use throughline_tests::{
    Authority, Client, Collector, Kind, PATIENCE, Protocol, Setup, Sidecar, Upstream, curl, raw,
    text,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::{
    app,
    clients::{ask, ask_host, client, connect, s_client},
};

async fn sidecar(app: &Upstream, ca: &Authority) -> Sidecar {
    let shop = ca.issue("shop", &["shop.example"]);
    let setup = Setup::beside(app.address()).flag("inbound-tls", &shop.flag());
    setup.start().await
}

#[tokio::test]
async fn curl_is_served_in_each_version_and_protocol_and_the_span_says_which() {
    let (collector, app, ca) = (
        Collector::start().await,
        app().await,
        Authority::new("house"),
    );
    let shop = ca.issue("shop", &["shop.example"]);
    let sidecar = Setup::beside(app.address())
        .flag("inbound-tls", &shop.flag())
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    for (path, flags, http, tls) in [
        ("/a", &["--http1.1"][..], "1.1", "1.3"),
        ("/b", &["--http2"], "2", "1.3"),
        ("/c", &["--http1.1", "--tls-max", "1.2"], "1.1", "1.2"),
        ("/d", &["--http2", "--tls-max", "1.2"], "2", "1.2"),
    ] {
        let answer = ask(sidecar.inbound(), path, &ca, flags).await;
        assert_eq!(
            (answer.status, &*answer.body),
            (200, "ok"),
            "{}",
            answer.log
        );
        let span = collector.span(Kind::Server, path).await;
        span.check();
        assert_eq!(span.text("network.protocol.version"), http, "{path}");
        assert_eq!(span.text("tls.protocol.name"), "tls");
        assert_eq!(span.text("tls.protocol.version"), tls, "{path}");
        assert_eq!(span.text("url.scheme"), "https");
        assert_eq!(span.text("server.address"), "shop.example");
        assert!(
            !span.has_phase("tls"),
            "that is the app's: {}",
            span.summary()
        );
        let took = span.number("throughline.tls.handshake").unwrap();
        assert!(took > 0, "{}", span.summary());
    }
    let old = ["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"];
    let answer = ask(sidecar.inbound(), "/", &ca, &old).await;
    assert_eq!((answer.status, answer.code), (0, 35), "{}", answer.log);
    let refused =
        "throughline_tls_handshake_failures_total{side=\"inbound\",reason=\"incompatible\"} 1";
    assert!(sidecar.ask_admin("/metrics").await.contains(refused));
}

#[tokio::test]
async fn the_handshake_is_told_once_and_lies_before_the_request() {
    let (collector, app, ca) = (
        Collector::start().await,
        app().await,
        Authority::new("house"),
    );
    let shop = ca.issue("shop", &["shop.example"]);
    let sidecar = Setup::beside(app.address())
        .flag("inbound-tls", &shop.flag())
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut client = client(sidecar.inbound(), &ca).await;
    for path in ["/first", "/second"] {
        assert_eq!(client.get(path).await.text(), "ok");
    }
    let first = collector.span(Kind::Server, "/first").await;
    let second = collector.span(Kind::Server, "/second").await;
    assert!(first.number("throughline.tls.handshake").is_some());
    assert_eq!(second.number("throughline.tls.handshake"), None);
    assert_eq!(second.text("tls.protocol.version"), "1.3");
    for span in [first, second] {
        span.check();
        assert!(span.has_phase("receive"), "{}", span.summary());
        assert_eq!(span.text("throughline.start.precision"), "");
    }
}

#[tokio::test]
async fn openssl_is_shown_the_certificate_of_its_sni_and_without_one_the_first() {
    let (app, ca) = (app().await, Authority::new("house"));
    let shop = ca.issue("shop", &["shop.example"]);
    let wild = ca.issue("wild", &["*.stock.example"]);
    let both = format!("{},{}", shop.flag(), wild.flag());
    let sidecar = Setup::beside(app.address())
        .flag("inbound-tls", &both)
        .start()
        .await;
    for (flags, expected) in [
        (&["-noservername"][..], "CN = shop.example"),
        (&["-servername", "shop.example"], "CN = shop.example"),
        (&["-servername", "a.stock.example"], "CN = *.stock.example"),
        (&["-servername", "a.b.stock.example"], "CN = shop.example"),
        (&["-servername", "else.example"], "CN = shop.example"),
        (&["-noservername", "-tls1_2"], "CN = shop.example"),
    ] {
        let said = s_client(sidecar.inbound(), flags).await;
        let line = format!("subject={expected}");
        assert!(said.contains(&line), "{flags:?}: no {line} in {said}");
    }
    for (offered, chosen) in [
        ("h2,http/1.1", "ALPN protocol: h2"),
        ("http/1.1", "ALPN protocol: http/1.1"),
    ] {
        let said = s_client(sidecar.inbound(), &["-alpn", offered]).await;
        assert!(said.contains(chosen), "{said}");
    }
    let answer = ask_host("a.stock.example", sidecar.inbound(), "/", &ca, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.log);
}

#[tokio::test]
async fn whoever_asks_in_clear_is_told_so_in_clear() {
    let (app, ca) = (app().await, Authority::new("house"));
    let sidecar = sidecar(&app, &ca).await;
    let answer = curl(&[&sidecar.url("/")]).await;
    assert_eq!(answer.status, 400, "{}", answer.log);
    assert!(answer.body.contains("https"), "{}", answer.body);
    // A body that nobody reads does not take the answer away.
    let long = format!(
        "POST / HTTP/1.1\r\ncontent-length: 9999\r\n\r\n{}",
        "x".repeat(9999)
    );
    let answer = raw(sidecar.inbound(), long).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(app.connections(), 0);
    let counted = "throughline_tls_handshake_failures_total{side=\"inbound\",reason=\"not_tls\"} 2";
    assert!(sidecar.ask_admin("/metrics").await.contains(counted));
    // What is neither is cut off.
    let mut stream = TcpStream::connect(sidecar.inbound()).await.unwrap();
    stream.write_all(&[0; 64]).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
}

#[tokio::test]
async fn requests_in_clear_are_taken_too_where_that_is_said() {
    let (app, ca) = (app().await, Authority::new("house"));
    let shop = ca.issue("shop", &["shop.example"]);
    let sidecar = Setup::beside(app.address())
        .flag("inbound-tls", &shop.flag())
        .flag("inbound-plaintext", "on")
        .start()
        .await;
    assert_eq!(curl(&[&sidecar.url("/")]).await.body, "ok");
    assert_eq!(ask(sidecar.inbound(), "/", &ca, &[]).await.body, "ok");
    let mut client = Client::http2(sidecar.inbound()).await;
    assert_eq!(client.get("/").await.text(), "ok");
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_ended_and_holds_nobody() {
    let (app, ca) = (app().await, Authority::new("house"));
    let shop = ca.issue("shop", &["shop.example"]);
    let sidecar = Setup::beside(app.address())
        .flag("inbound-tls", &shop.flag())
        .flag("header-timeout", "1s")
        .start()
        .await;
    let mut slow = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(sidecar.inbound()).await.unwrap();
        // The head of a record, and nothing of it.
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        slow.push(stream);
    }
    assert_eq!(ask(sidecar.inbound(), "/", &ca, &[]).await.body, "ok");
    for mut stream in slow {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    sidecar
        .metrics_until("64 handshakes that took too long", |metrics| {
            let name =
                "throughline_tls_handshake_failures_total{side=\"inbound\",reason=\"timeout\"}";
            metrics.value(name) == 64.0
        })
        .await;
}

#[tokio::test]
async fn bodies_pass_both_ways_over_tls() {
    let app = Upstream::http1(|request| async move {
        use http_body_util::BodyExt;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(text(body))
    })
    .await;
    let ca = Authority::new("house");
    let sidecar = sidecar(&app, &ca).await;
    let long: String = (0..200_000)
        .map(|n| char::from(b'a' + (n % 26) as u8))
        .collect();
    for protocol in ["h2", "http/1.1"] {
        let stream = connect(sidecar.inbound(), &ca, &[protocol]).await;
        let (mut client, uri) = if protocol == "h2" {
            (Client::http2_over(stream).await, "https://shop.example/")
        } else {
            (Client::http1_over(stream).await, "/")
        };
        let request = Request::post(uri).header("host", "shop.example");
        let answer = client.ask(request.body(text(long.clone())).unwrap()).await;
        assert_eq!(answer.text(), long, "{protocol}");
    }
}

#[tokio::test]
async fn an_app_that_speaks_http2_is_asked_over_its_own_connection() {
    let app = Upstream::http2(|request| async move {
        let said = format!("{:?}", request.uri().scheme_str());
        assert!(request.uri().authority().is_some());
        Response::new(text(said))
    })
    .await;
    let ca = Authority::new("house");
    let shop = ca.issue("shop", &["shop.example"]);
    let sidecar = Setup::beside(app.address())
        .flag("inbound-tls", &shop.flag())
        .flag("app-protocol", "h2c")
        .start()
        .await;
    let answer = ask(sidecar.inbound(), "/", &ca, &["--http2"]).await;
    assert_eq!((answer.status, &*answer.body), (200, "Some(\"http\")"));
}

#[tokio::test]
async fn a_websocket_passes_over_tls_on_both_sides_of_the_sidecar() {
    let ca = Authority::new("house");
    let (shop, own) = (
        ca.issue("shop", &["shop.example"]),
        ca.issue("app", &["127.0.0.1"]),
    );
    let acceptor = TlsAcceptor::from(ca.server(&own, &["http/1.1"], false));
    let app = Upstream::raw(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            head(&mut stream).await;
            let agreed = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            stream.write_all(agreed).await.unwrap();
            let (mut from, mut to) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut from, &mut to).await;
        }
    })
    .await;
    let sidecar = Setup::default()
        .flag("app", &format!("https://{}", app.address()))
        .flag("upstream-ca", &ca.file())
        .flag("inbound-tls", &shop.flag())
        .start()
        .await;
    let mut client = connect(sidecar.inbound(), &ca, &["http/1.1"]).await;
    let asked = b"GET /ws HTTP/1.1\r\nhost: shop.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    client.write_all(asked).await.unwrap();
    let agreed = head(&mut client).await;
    assert!(agreed.starts_with("HTTP/1.1 101 "), "{agreed}");
    client.write_all(b"there and back").await.unwrap();
    let mut back = [0; 14];
    client.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"there and back");
}

/// A message's head, read to its end and no further.
async fn head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
        head.push(char::from(byte.unwrap().unwrap()));
    }
    head
}

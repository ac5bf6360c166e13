//! The app's own calls, and the app itself, over TLS.

use http::{Request, Response};
use throughline_tests::{
    Authority, Client, Collector, Kind, Protocol, Setup, Sidecar, Upstream, curl, empty, text,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::ok;

/// An upstream that says what HTTP it was asked in.
async fn upstream(ca: &Authority, names: &[&str], protocols: &[&str], asks: bool) -> Upstream {
    let issued = ca.issue("upstream", names);
    let config = ca.server(&issued, protocols, asks);
    Upstream::tls(config, |request| async move {
        Response::new(text(format!("{:?}", request.version())))
    })
    .await
}

async fn route(upstream: &Upstream, collector: &Collector, flags: &[(&str, &str)]) -> Sidecar {
    let route = format!("127.0.0.1:0=https://{}", upstream.address());
    let mut setup = Setup::outbound_alone().flag("routes", &route);
    for (name, value) in flags {
        setup = setup.flag(name, value);
    }
    setup.exporting(collector, Protocol::Http).start().await
}

#[tokio::test]
async fn a_route_speaks_what_the_handshake_chose_and_the_handshake_is_a_phase() {
    let (collector, ca) = (Collector::start().await, Authority::new("house"));
    for (protocols, expected) in [
        (&["h2", "http/1.1"][..], "HTTP/2.0"),
        (&["http/1.1"], "HTTP/1.1"),
        (&[], "HTTP/1.1"),
    ] {
        let upstream = upstream(&ca, &["127.0.0.1"], protocols, false).await;
        let sidecar = route(&upstream, &collector, &[("upstream-ca", &ca.file())]).await;
        let mut client = Client::http1(sidecar.routes()[0]).await;
        let name = format!("/{}", expected.replace('/', ""));
        for count in ["first", "second"] {
            let path =
                format!("{name}/{protocols:?}/{count}").replace(['"', '[', ']', ' ', ','], "");
            assert_eq!(client.get(&path).await.text(), expected);
            let span = collector.span(Kind::Client, &path).await;
            span.check();
            assert_eq!(span.text("tls.protocol.version"), "1.3");
            assert_eq!(span.truth("tls.resumed"), Some(false));
            assert_eq!(
                span.has_phase("tls"),
                count == "first",
                "{}",
                span.summary()
            );
        }
        assert_eq!(upstream.connections(), 1);
    }
}

#[tokio::test]
async fn a_handshake_that_fails_is_502_and_says_why() {
    let collector = Collector::start().await;
    let (ca, other) = (Authority::new("house"), Authority::new("other"));
    let expired = ca.expired("expired", &["127.0.0.1"]);
    let stranger = other.issue("stranger", &["127.0.0.1"]);
    let misnamed = ca.issue("misnamed", &["shop.example"]);
    for (path, config, error, said) in [
        (
            "/expired",
            ca.server(&expired, &[], false),
            "tls_certificate_expired",
            "its certificate has expired",
        ),
        (
            "/stranger",
            ca.server(&stranger, &[], false),
            "tls_unknown_ca",
            "from an authority that is not trusted here",
        ),
        (
            "/misnamed",
            ca.server(&misnamed, &[], false),
            "tls_wrong_name",
            "its certificate is not for 127.0.0.1, but for shop.example",
        ),
        (
            "/alpn",
            ca.server(&ca.issue("good", &["127.0.0.1"]), &["spdy"], false),
            "tls_error",
            "NoApplicationProtocol",
        ),
    ] {
        let upstream = Upstream::tls(config, |_| async { ok() }).await;
        let sidecar = route(&upstream, &collector, &[("upstream-ca", &ca.file())]).await;
        let answer = Client::http1(sidecar.routes()[0]).await.get(path).await;
        assert_eq!(answer.status, 502);
        let body = answer.text();
        assert!(body.contains(said) && body.contains(error), "{body}");
        assert!(body.contains("in phase tls"), "{body}");
        let span = collector.span(Kind::Client, path).await;
        span.check();
        assert_eq!(span.text("error.type"), error);
        assert_eq!(span.text("throughline.phase.interrupted"), "tls");
        assert_eq!(span.text("throughline.ended_by"), "upstream");
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_tls_or_breaks_off_is_502() {
    let collector = Collector::start().await;
    for (path, said) in [("/clear", "not TLS"), ("/gone", "broken off")] {
        let is_clear = path == "/clear";
        let upstream = Upstream::raw(move |mut stream, _| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            if is_clear {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                let _ = stream.shutdown().await;
                let _ = stream.read(&mut [0; 1024]).await;
            }
        })
        .await;
        let sidecar = route(&upstream, &collector, &[]).await;
        let answer = Client::http1(sidecar.routes()[0]).await.get(path).await;
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains(said), "{}", answer.text());
    }
}

#[tokio::test]
async fn an_upstream_that_asks_who_we_are_is_told() {
    let (collector, ca) = (Collector::start().await, Authority::new("house"));
    let upstream = upstream(&ca, &["127.0.0.1"], &["h2"], true).await;
    let own = ca.issue("own", &["orders.example"]);
    let flags = [
        ("upstream-ca", &*ca.file()),
        ("upstream-certificate", own.certificate()),
        ("upstream-key", own.key()),
    ];
    let sidecar = route(&upstream, &collector, &flags).await;
    let answer = Client::http1(sidecar.routes()[0]).await.get("/").await;
    assert_eq!(answer.text(), "HTTP/2.0");
    let sidecar = route(&upstream, &collector, &flags[..1]).await;
    let answer = Client::http1(sidecar.routes()[0]).await.get("/").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
}

#[tokio::test]
async fn an_upstream_is_known_by_the_name_that_is_expected() {
    let (collector, ca) = (Collector::start().await, Authority::new("house"));
    let names = ["stock.example", "spiffe://prod/stock"];
    let upstream = upstream(&ca, &names, &[], false).await;
    let at = upstream.address();
    for (name, status) in [
        ("stock.example", 200),
        ("spiffe://prod/stock", 200),
        ("spiffe://prod/*", 200),
        ("spiffe://prod/orders", 502),
        ("orders.example", 502),
    ] {
        let expected = format!("{at}={name}");
        let flags = [("upstream-ca", &*ca.file()), ("upstream-names", &*expected)];
        let sidecar = route(&upstream, &collector, &flags).await;
        let answer = Client::http1(sidecar.routes()[0]).await.get("/").await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_outbound_proxy_calls_https_where_it_is_asked_to() {
    let ca = Authority::new("house");
    let upstream = upstream(&ca, &["127.0.0.1"], &["h2", "http/1.1"], false).await;
    let sidecar = Setup::outbound_alone()
        .flag("upstream-ca", &format!("system,{}", ca.file()))
        .start()
        .await;
    let mut client = Client::http1(sidecar.outbound()).await;
    let uri = format!("https://{}/x", upstream.address());
    let host = upstream.address().to_string();
    let request = Request::get(uri).header("host", host).body(empty());
    assert_eq!(client.ask(request.unwrap()).await.text(), "HTTP/2.0");
}

#[tokio::test]
async fn the_app_itself_may_speak_tls() {
    let (collector, ca) = (Collector::start().await, Authority::new("house"));
    let app = upstream(&ca, &["app.example"], &["h2", "http/1.1"], false).await;
    let names = format!("{}=app.example", app.address());
    for (protocol, expected) in [
        ("auto", "HTTP/2.0"),
        ("http1", "HTTP/1.1"),
        ("h2c", "HTTP/2.0"),
    ] {
        let sidecar = Setup::default()
            .flag("app", &format!("https://{}", app.address()))
            .flag("app-protocol", protocol)
            .flag("upstream-ca", &ca.file())
            .flag("upstream-names", &names)
            .exporting(&collector, Protocol::Http)
            .start()
            .await;
        let path = format!("/{protocol}");
        let answer = curl(&[&sidecar.url(&path)]).await;
        assert_eq!((answer.status, &*answer.body), (200, expected));
        let span = collector.span(Kind::Server, &path).await;
        span.check();
        assert!(span.has_phase("tls"), "{}", span.summary());
        assert_eq!(
            span.text("url.scheme"),
            "http",
            "the caller's side is in clear"
        );
        assert_eq!(span.text("tls.protocol.version"), "");
    }
}

/// RFC 9112 section 9.8: an answer that ends with its connection is whole only after a closure alert.
#[tokio::test]
async fn an_answer_whose_connection_is_cut_below_tls_does_not_look_whole() {
    let (collector, ca) = (Collector::start().await, Authority::new("house"));
    let config = ca.server(&ca.issue("upstream", &["127.0.0.1"]), &[], false);
    for (path, is_whole) in [("/whole", true), ("/cut", false)] {
        let acceptor = TlsAcceptor::from(config.clone());
        let upstream = Upstream::raw(move |stream, _| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let _ = stream.read(&mut [0; 1024]).await;
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nsome of it";
                let _ = stream.write_all(answer).await;
                let _ = stream.flush().await;
                if is_whole {
                    let _ = stream.shutdown().await;
                }
            }
        })
        .await;
        let sidecar = route(&upstream, &collector, &[("upstream-ca", &ca.file())]).await;
        let mut client = Client::http1(sidecar.routes()[0]).await;
        let request = Request::get(path).header("host", "shop").body(empty());
        let answer = client.try_ask(request.unwrap()).await;
        let text = answer.as_ref().map(throughline_tests::Answer::text);
        assert_eq!(text.is_ok(), is_whole, "{path}: {text:?}");
        let span = collector.span(Kind::Client, path).await;
        let party = span.text("throughline.ended_by");
        assert_eq!(party, if is_whole { "" } else { "upstream" });
    }
}

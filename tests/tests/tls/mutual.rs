//! Callers that have to say who they are.

use throughline_tests::{Authority, Collector, Issued, Kind, Protocol, Setup};

use super::{app, clients::ask};

fn setup(app: std::net::SocketAddr, ca: &Authority) -> Setup {
    let shop = ca.issue("shop", &["shop.example"]);
    Setup::beside(app)
        .flag("inbound-tls", &shop.flag())
        .flag("client-ca", &ca.file())
}

fn with(issued: &Issued) -> [&str; 4] {
    ["--cert", issued.certificate(), "--key", issued.key()]
}

#[tokio::test]
async fn a_client_is_served_with_a_certificate_and_its_span_says_whose() {
    let (collector, app, ca) = (
        Collector::start().await,
        app().await,
        Authority::new("house"),
    );
    let sidecar = setup(app.address(), &ca)
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    let orders = ca.issue("orders", &["orders.example", "spiffe://prod/orders"]);
    for (path, version) in [("/13", "1.3"), ("/12", "1.2")] {
        let mut flags = with(&orders).to_vec();
        flags.extend(["--tls-max", version]);
        let answer = ask(sidecar.inbound(), path, &ca, &flags).await;
        assert_eq!(answer.status, 200, "{}", answer.log);
        let span = collector.span(Kind::Server, path).await;
        assert_eq!(span.text("tls.client.subject"), "CN=orders.example");
        assert_eq!(span.text("tls.client.issuer"), "CN=house");
        let name = span.text("throughline.tls.client.name");
        assert_eq!(name, "spiffe://prod/orders");
    }
    for flags in [
        &[][..],
        &with(&Authority::new("other").issue("orders", &["orders.example"])),
        &with(&ca.expired("old", &["orders.example"])),
    ] {
        let answer = ask(sidecar.inbound(), "/no", &ca, flags).await;
        assert_eq!(answer.status, 0, "{}", answer.log);
    }
    let metrics = sidecar.ask_admin("/metrics").await;
    for reason in ["no_certificate", "unknown_ca", "expired"] {
        let line = format!(
            "throughline_tls_handshake_failures_total{{side=\"inbound\",reason=\"{reason}\"}} 1"
        );
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
}

#[tokio::test]
async fn a_client_needs_no_certificate_where_it_is_optional() {
    let (collector, app, ca) = (
        Collector::start().await,
        app().await,
        Authority::new("house"),
    );
    let sidecar = setup(app.address(), &ca)
        .flag("client-auth", "optional")
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    assert_eq!(
        ask(sidecar.inbound(), "/nobody", &ca, &[]).await.status,
        200
    );
    let span = collector.span(Kind::Server, "/nobody").await;
    assert_eq!(span.text("tls.client.subject"), "");
    let bad = Authority::new("other").issue("orders", &["orders.example"]);
    let answer = ask(sidecar.inbound(), "/", &ca, &with(&bad)).await;
    assert_eq!(answer.status, 0, "{}", answer.log);
}

#[tokio::test]
async fn a_client_has_to_have_a_name_that_is_listed() {
    let (app, ca) = (app().await, Authority::new("house"));
    let sidecar = setup(app.address(), &ca)
        .flag("client-names", "*.shop.example,spiffe://prod/ns/*")
        .start()
        .await;
    for (file, names, status) in [
        ("a", &["orders.shop.example"][..], 200),
        ("b", &["else", "spiffe://prod/ns/orders"], 200),
        ("c", &["orders.example"], 0),
        ("d", &["spiffe://prod/ns/shop/orders"], 0),
        ("e", &[], 0),
    ] {
        let issued = ca.issue(file, names);
        let answer = ask(sidecar.inbound(), "/", &ca, &with(&issued)).await;
        assert_eq!(answer.status, status, "{names:?}: {}", answer.log);
    }
}

#[tokio::test]
async fn a_verified_name_is_a_reason_to_continue_a_trace() {
    let (collector, app, ca) = (
        Collector::start().await,
        app().await,
        Authority::new("house"),
    );
    let sidecar = setup(app.address(), &ca)
        .flag("trust", "spiffe://prod/*")
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let header = format!("traceparent: 00-{trace}-b7ad6b7169203331-01");
    for (path, name, is_continued) in [
        ("/friend", "spiffe://prod/orders", true),
        ("/stranger", "spiffe://test/orders", false),
    ] {
        let issued = ca.issue("orders", &[name]);
        let mut flags = with(&issued).to_vec();
        flags.extend(["-H", &header]);
        let answer = ask(sidecar.inbound(), path, &ca, &flags).await;
        assert_eq!(answer.status, 200, "{}", answer.log);
        let span = collector.span(Kind::Server, path).await;
        assert_eq!(span.trace_id() == trace, is_continued, "{}", span.summary());
    }
}

//! Whom a call reaches that goes out, and whom it does not.

use http::{Method, Request};
use throughline_tests::{Client, Collector, Kind, Protocol, Setup, curl, empty, raw};

use super::{echo_headers, echoed, get};

#[tokio::test]
async fn curl_reaches_any_host_and_port_through_the_proxy() {
    let collector = Collector::start().await;
    let upstream = echo_headers().await;
    let sidecar = Setup::outbound_alone()
        .flag("name", "orders")
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    let proxy = format!("http://{}", sidecar.outbound());
    let port = upstream.address().port();
    let url = format!("http://localhost:{port}/stock/7?secret=1");
    let answer = curl(&[
        "-x",
        &proxy,
        "--proxy-header",
        "Proxy-Authorization: x",
        &url,
    ])
    .await;
    assert_eq!(answer.status, 200, "{}", answer.log);
    assert!(
        answer.body.starts_with("GET /stock/7?secret=1\n"),
        "{}",
        answer.body
    );
    let host = format!("localhost:{port}");
    assert_eq!(echoed(&answer.body, "host"), [&*host]);
    assert!(echoed(&answer.body, "proxy-connection").is_empty());
    assert!(echoed(&answer.body, "proxy-authorization").is_empty());

    let span = collector.span(Kind::Client, "/stock/7").await;
    assert_eq!(span.resource("service.name"), "orders");
    assert_eq!(
        span.text("url.full"),
        format!("http://{host}/stock/7"),
        "no query"
    );
    assert_eq!(span.text("server.address"), "localhost");
    assert_eq!(span.number("server.port"), Some(i64::from(port)));
    assert_eq!(span.status(), Some(200));
    assert_eq!(span.text("throughline.parent.evidence"), "open");
    assert_eq!(
        span.parent(),
        "",
        "no request was open that could have caused it"
    );
    assert!(
        span.has_phase("dns") && span.has_phase("connect"),
        "{:?}",
        span.phases()
    );
    let traceparent = echoed(&answer.body, "traceparent");
    let said = format!("00-{}-{}-03", span.trace_id(), span.id());
    assert_eq!(
        traceparent,
        [&*said],
        "the upstream is told of this very span"
    );
}

#[tokio::test]
async fn the_target_overrides_the_host_header() {
    let upstream = echo_headers().await;
    let sidecar = Setup::outbound_alone().start().await;
    let address = upstream.address();
    let request =
        format!("GET http://{address}/x HTTP/1.1\r\nhost: elsewhere\r\nconnection: close\r\n\r\n");
    let answer = raw(sidecar.outbound(), request).await;
    assert!(answer.contains(&format!("host: {address}\n")), "{answer}");
    assert!(!answer.contains("elsewhere"), "{answer}");
}

#[tokio::test]
async fn a_request_that_would_come_back_is_refused() {
    let app = echo_headers().await;
    let sidecar = Setup::beside(app.address())
        .flag("routes", "127.0.0.1:0=localhost:1")
        .start()
        .await;
    let proxy = format!("http://{}", sidecar.outbound());
    let ports = [sidecar.outbound().port(), sidecar.routes()[0].port()];
    for port in ports {
        for host in ["127.0.0.1", "localhost"] {
            let answer = curl(&["-x", &proxy, &format!("http://{host}:{port}/x")]).await;
            assert_eq!(answer.status, 508, "{}", answer.body);
            assert!(answer.body.contains("this proxy itself"), "{}", answer.body);
        }
    }
    // The app's own front door is no loop by itself.
    let answer = curl(&["-x", &proxy, &sidecar.url("/x")]).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn who_takes_the_proxy_for_a_server_is_told_what_it_is() {
    let sidecar = Setup::outbound_alone().start().await;
    let mut client = Client::http1(sidecar.outbound()).await;
    let answer = client.get("/orders").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("forward proxy"), "{}", answer.text());
    assert!(answer.text().contains("HTTP_PROXY"), "{}", answer.text());

    let connect = Request::builder().method(Method::CONNECT).uri("shop");
    let answer = client.ask(connect.body(empty()).unwrap()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("shop:443"), "{}", answer.text());
}

#[tokio::test]
async fn a_fixed_route_leads_to_its_upstream_whatever_the_host() {
    let collector = Collector::start().await;
    let stock = echo_headers().await;
    let price = echo_headers().await;
    let sidecar = Setup::outbound_alone()
        .flag("routes", &format!("127.0.0.1:0={}", stock.address()))
        .flag("route", &format!("127.0.0.1:0=http://{}", price.address()))
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    for (route, upstream) in sidecar.routes().iter().zip([&stock, &price]) {
        let mut client = Client::http1(*route).await;
        let path = format!("/to/{}", upstream.address().port());
        let answer = client.ask(get(&path).body(empty()).unwrap()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            echoed(&answer.text(), "host"),
            ["shop"],
            "{}",
            answer.text()
        );
        assert_eq!(upstream.connections(), 1);
        let span = collector.span(Kind::Client, &path).await;
        let port = i64::from(upstream.address().port());
        assert_eq!(span.number("network.peer.port"), Some(port));
    }
}

#[tokio::test]
async fn a_request_id_that_comes_back_names_the_parent_among_many() {
    let collector = Collector::start().await;
    let upstream = echo_headers().await;
    let (arrived, mut arrives) = tokio::sync::mpsc::unbounded_channel();
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let app = {
        let gate = gate.clone();
        throughline_tests::Upstream::http1(move |request| {
            let (arrived, gate) = (arrived.clone(), gate.clone());
            async move {
                let _ = arrived.send(request.headers()["traceparent"].clone());
                let _ = gate.acquire().await;
                http::Response::new(throughline_tests::text("done"))
            }
        })
        .await
    };
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..3 {
        let inbound = sidecar.inbound();
        waiting.spawn(async move {
            let request = get(&format!("/in/{n}")).header("x-request-id", format!("id-{n}"));
            let mut client = Client::http1(inbound).await;
            assert_eq!(
                client.ask(request.body(empty()).unwrap()).await.text(),
                "done"
            );
        });
    }
    let mut contexts = Vec::new();
    for _ in 0..3 {
        contexts.push(arrives.recv().await.unwrap());
    }

    let mut client = Client::http1(sidecar.outbound()).await;
    let target = |path: &str| Request::get(format!("http://{}{path}", upstream.address()));
    // Nothing tells which of the three it was.
    client.ask(target("/open").body(empty()).unwrap()).await;
    let named = target("/named").header("x-request-id", "id-1");
    client.ask(named.body(empty()).unwrap()).await;
    let told = target("/told").header("traceparent", &contexts[0]);
    client.ask(told.body(empty()).unwrap()).await;
    gate.add_permits(3);
    waiting.join_all().await;

    let servers = collector
        .wanted(3, |span| span.kind() == Kind::Server)
        .await;
    let of = |path: &str| servers.iter().find(|span| span.path() == path).unwrap();

    let open = collector.span(Kind::Client, "/open").await;
    assert_eq!(open.text("throughline.parent.evidence"), "open");
    assert_eq!(open.number("throughline.parent.candidates"), Some(3));
    assert_eq!(open.parent(), "", "a wrong parent is worse than none");
    // What became known by the end, that two of them have made calls of their own, may rule some out.
    let linked = open.links();
    let candidates: Vec<_> = servers.iter().map(|s| (s.trace_id(), s.id())).collect();
    assert!(!linked.is_empty());
    assert!(
        linked.iter().all(|link| candidates.contains(link)),
        "{linked:?}"
    );
    assert!(
        servers
            .iter()
            .all(|server| server.trace_id() != open.trace_id())
    );

    let named = collector.span(Kind::Client, "/named").await;
    assert_eq!(named.text("throughline.parent.evidence"), "request_id");
    assert_eq!(named.parent(), of("/in/1").id());
    assert_eq!(named.trace_id(), of("/in/1").trace_id());

    let told = collector.span(Kind::Client, "/told").await;
    assert_eq!(told.text("throughline.parent.evidence"), "propagated");
    let context = contexts[0].to_str().unwrap();
    assert_eq!(
        context,
        format!("00-{}-{}-03", told.trace_id(), told.parent())
    );
    assert!(told.links().is_empty() && named.links().is_empty());

    let metrics = sidecar.metrics().await;
    for evidence in ["open", "request_id", "propagated"] {
        let sample = format!("throughline_correlation_total{{evidence=\"{evidence}\"}}");
        assert!(
            (metrics.value(&sample) - 1.0).abs() < 0.5,
            "{evidence}: {metrics:?}"
        );
    }
}

//! Two real apps, unmodified, call each other through two sidecars: the main job, end to end.

use serde_json::Value;
use throughline_tests::{Collector, Kind, Protocol, Setup, Sidecar, Span, apps, curl, free_port};

/// The shop: orders (Flask under gunicorn) asks stock (Express) for an item, and stock asks orders for
/// its price. Each has a sidecar, and each calls the other's through its own.
struct Shop {
    collector: Collector,
    orders: Sidecar,
    stock: Sidecar,
}

impl Shop {
    async fn open() -> Self {
        let collector = Collector::start().await;
        // Each has to know the other's address before either is there.
        let [orders_door, stock_door] = [free_port(), free_port()];
        let installing = tokio::task::spawn_blocking(|| (apps::flask(), apps::express()));
        let (flask, (express, modules)) = installing.await.expect("the apps can be installed");
        let setup = |command: &[String], name: &str, door: u16, protocol| {
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            Setup::starting(&command)
                .flag("name", name)
                .flag("inbound", &format!("127.0.0.1:{door}"))
                // Everything here is on one host, and its calls are to be traced all the same.
                .variable("THROUGHLINE_NO_PROXY", "")
                .variable(
                    "OTEL_RESOURCE_ATTRIBUTES",
                    "deployment.environment.name=test,team=a%20b",
                )
                .variable(
                    "OTEL_EXPORTER_OTLP_HEADERS",
                    "x-api-key=key%20of%20the%20shop",
                )
                .exporting(&collector, protocol)
        };
        let orders = setup(&flask, "orders", orders_door, Protocol::Grpc)
            .variable("STOCK_URL", &format!("http://127.0.0.1:{stock_door}"));
        let stock = setup(&express, "stock", stock_door, Protocol::Http)
            .variable("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .variable("NODE_PATH", &modules)
            .variable("PRICES_URL", &format!("http://127.0.0.1:{orders_door}"));
        let (orders, stock) = tokio::join!(orders.start(), stock.start());
        Self {
            collector,
            orders,
            stock,
        }
    }

    /// The five spans of one order: each the parent of the next.
    async fn chain(&self, item: &str) -> [Span; 5] {
        let is_ours = |span: &Span| span.path().ends_with(&format!("/{item}"));
        let mut spans = self.collector.wanted(5, is_ours).await;
        let mut next = |service: &str, kind: Kind, path: String| {
            let found = spans.iter().position(|span| {
                span.resource("service.name") == service
                    && span.kind() == kind
                    && span.path() == path
            });
            let found = found.unwrap_or_else(|| panic!("no {kind:?} of {service} for {path}"));
            spans.remove(found)
        };
        [
            next("orders", Kind::Server, format!("/orders/{item}")),
            next("orders", Kind::Client, format!("/stock/{item}")),
            next("stock", Kind::Server, format!("/stock/{item}")),
            next("stock", Kind::Client, format!("/prices/{item}")),
            next("orders", Kind::Server, format!("/prices/{item}")),
        ]
    }
}

/// The values of a header in what an app's `/echo-headers` answered: `[[name, value], …]`.
fn values(echo: &str, name: &str) -> Vec<String> {
    let pairs: Vec<(String, String)> = serde_json::from_str(echo).expect("pairs of name and value");
    let ours = pairs
        .into_iter()
        .filter(|(n, _)| n.eq_ignore_ascii_case(name));
    ours.map(|(_, value)| value).collect()
}

#[tokio::test]
async fn two_apps_that_know_nothing_of_tracing_are_on_one_trace() {
    let shop = Shop::open().await;

    // Without any context, the trace begins here.
    let answer = curl(&[&shop.orders.url("/orders/tea")]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let order: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        order["stock"]["price"], 300,
        "all three were asked: {order}"
    );
    let chain = shop.chain("tea").await;
    assert_eq!(chain[0].parent(), "");
    check_chain(&chain);

    // With one, it goes on.
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("traceparent: 00-{trace_id}-b7ad6b7169203331-01");
    let state = "tracestate: vendor=value";
    let url = shop.orders.url("/orders/coffee");
    let answer = curl(&["-H", &traceparent, "-H", state, &url]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let chain = shop.chain("coffee").await;
    assert_eq!(chain[0].parent(), "b7ad6b7169203331");
    assert_eq!(chain[0].trace_id(), trace_id);
    check_chain(&chain);
    for span in &chain {
        assert_eq!(span.trace_state(), "vendor=value", "{}", span.summary());
    }

    // In the spelling of X-Ray too, as a load balancer says it: a trace without a span.
    let root = "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678";
    let answer = curl(&["-H", root, &shop.orders.url("/orders/milk")]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let chain = shop.chain("milk").await;
    assert_eq!(chain[0].trace_id(), "67891233abcdef012345678912345678");
    check_chain(&chain);

    for (protocol, is_gzip) in [(Protocol::Grpc, false), (Protocol::Http, true)] {
        let deliveries = shop.collector.deliveries();
        let mut ours = deliveries
            .iter()
            .filter(|d| d.protocol == protocol)
            .peekable();
        assert!(ours.peek().is_some(), "{deliveries:?}");
        for delivery in ours {
            assert_eq!(delivery.is_gzip, is_gzip, "{delivery:?}");
            assert_eq!(delivery.api_key.as_deref(), Some("key of the shop"));
        }
    }
    for sidecar in [&shop.orders, &shop.stock] {
        let metrics = sidecar.metrics().await;
        let sole = metrics.value("throughline_correlation_total{evidence=\"sole_candidate\"}");
        assert!((sole - 3.0).abs() < 0.5, "{metrics:?}");
        assert!(
            metrics.balances("otlp") && metrics.balances("memory"),
            "{metrics:?}"
        );
    }
}

/// What is true of the five spans of an order, however it began.
fn check_chain(chain: &[Span; 5]) {
    for pair in chain.windows(2) {
        let [parent, child] = pair else {
            unreachable!("windows of two");
        };
        let both = format!("{}\n{}", parent.summary(), child.summary());
        assert_eq!(child.trace_id(), parent.trace_id(), "{both}");
        assert_eq!(child.parent(), parent.id(), "{both}");
        // The last byte may reach the caller before the callee's socket says that it was taken.
        let phases = child.phases();
        let drain = phases.iter().find(|(name, _)| *name == "drain");
        let until_drain = child.duration() - drain.map_or(0, |(_, nanos)| *nanos);
        assert!(until_drain <= parent.duration(), "{both}");
    }
    for span in chain {
        assert_eq!(span.status(), Some(200), "{}", span.summary());
        assert_eq!(span.name(), "GET", "never the path");
        assert_eq!(span.resource("deployment.environment.name"), "test");
        assert_eq!(span.resource("team"), "a b");
        assert_eq!(span.resource("telemetry.sdk.name"), "throughline");
        assert!(!span.resource("host.name").is_empty());
        assert!(span.has_phase("wait"), "{}", span.summary());
        let evidence = span.text("throughline.parent.evidence");
        match span.kind() {
            Kind::Client => {
                assert_eq!(evidence, "sole_candidate", "{}", span.summary());
                assert_eq!(span.number("throughline.parent.candidates"), Some(1));
            }
            _ => assert_eq!(
                evidence,
                "",
                "it is simply the caller's: {}",
                span.summary()
            ),
        }
    }
    let instances = [&chain[0], &chain[2]].map(|span| span.resource("service.instance.id"));
    assert_ne!(instances[0], instances[1]);
    assert!(chain[0].text("user_agent.original").starts_with("curl/"));
    assert!(
        chain[2]
            .text("user_agent.original")
            .starts_with("python-requests/")
    );
    assert!(chain[4].text("user_agent.original").starts_with("axios/"));
}

#[tokio::test]
async fn each_app_sees_one_context_that_says_the_same_in_both_formats() {
    let shop = Shop::open().await;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("traceparent: 00-{trace_id}-b7ad6b7169203331-01");
    let stale = "x-amzn-trace-id: Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=0";
    for sidecar in [&shop.orders, &shop.stock] {
        for given in [
            &[][..],
            &["-H", &*traceparent],
            &["-H", &*traceparent, "-H", stale],
        ] {
            let url = sidecar.url("/echo-headers");
            let mut arguments = given.to_vec();
            arguments.push(&url);
            let answer = curl(&arguments).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let traceparents = values(&answer.body, "traceparent");
            let xrays = values(&answer.body, "x-amzn-trace-id");
            assert_eq!((traceparents.len(), xrays.len()), (1, 1), "{}", answer.body);
            let parts: Vec<&str> = traceparents[0].split('-').collect();
            let [_, trace, span, _] = parts[..] else {
                panic!("one traceparent and no more: {traceparents:?}");
            };
            let agrees = format!(
                "Root=1-{}-{};Parent={span};Sampled=1",
                &trace[..8],
                &trace[8..]
            );
            assert_eq!(xrays[0], agrees);
            if !given.is_empty() {
                assert_eq!(trace, trace_id);
            }
            // The span that the app was told of is the one that is reported.
            let ours = |s: &Span| s.id() == span && s.trace_id() == trace;
            shop.collector.wanted(1, ours).await;
        }
    }
}

#[tokio::test]
async fn an_app_keeps_its_own_ways() {
    let shop = Shop::open().await;
    let url = shop.orders.url("/echo");
    let body = "x".repeat(100_000);
    let answer = curl(&["--data-binary", &body, &url]).await;
    assert_eq!((answer.status, answer.body.len()), (201, body.len()));
    assert!(
        answer.log.to_lowercase().contains("x-length: 100000"),
        "{}",
        answer.log
    );
    assert!(
        answer.log.to_lowercase().contains("server: gunicorn"),
        "{}",
        answer.log
    );
    let missing = curl(&[&shop.stock.url("/nothing")]).await;
    assert_eq!(missing.status, 404);
    assert!(
        missing.body.contains("Cannot GET /nothing"),
        "{}",
        missing.body
    );

    // gunicorn ends with 0 when it is told to, Express when it has closed; and so do the sidecars.
    let Shop {
        mut orders,
        mut stock,
        ..
    } = shop;
    for sidecar in [&mut orders, &mut stock] {
        sidecar.terminate();
        assert_eq!(sidecar.wait().await, 0, "{}", sidecar.log());
    }
}

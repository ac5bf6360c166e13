//! Who is believed about a trace, in which format, and what of it goes on.

use http::Request;
use throughline_tests::{
    Client, Collector, Kind, Protocol, Setup, Sidecar, Span, Upstream, curl, empty, text,
};

use super::{echo_headers, echoed};

const B3: &str = "b3: 4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1";
const TRACEPARENT: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const XRAY: &str =
    "x-amzn-trace-id: Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1";

/// An app that tells its headers, behind a sidecar with these settings.
struct Behind {
    _app: Upstream,
    collector: Collector,
    sidecar: Sidecar,
}

impl Behind {
    async fn a_sidecar_with(flags: &[(&str, &str)]) -> Self {
        let app = echo_headers().await;
        let collector = Collector::start().await;
        let mut setup = Setup::beside(app.address()).exporting(&collector, Protocol::Http);
        for (name, value) in flags {
            setup = setup.flag(name, value);
        }
        Self {
            sidecar: setup.start().await,
            _app: app,
            collector,
        }
    }

    /// What the app saw of a request with these headers, and the span of it.
    async fn ask(&self, path: &str, headers: &[&str]) -> (String, Span) {
        let url = self.sidecar.url(path);
        let mut arguments: Vec<_> = headers.iter().flat_map(|header| ["-H", header]).collect();
        arguments.push(&url);
        let answer = curl(&arguments).await;
        assert_eq!(answer.status, 200);
        let spans = self.collector.wanted(1, |span| span.path() == path).await;
        let [span] = <[Span; 1]>::try_from(spans).expect("one request has one span");
        (answer.body, span)
    }
}

fn link(trace_id: &str, span_id: &str) -> (String, String) {
    (trace_id.to_owned(), span_id.to_owned())
}

#[tokio::test]
async fn each_direction_reads_writes_and_strips_what_it_is_told() {
    let settings = [
        ("inbound-read", "b3,tracecontext"),
        ("inbound-write", "xray,b3multi"),
        ("inbound-strip", "datadog,jaeger"),
    ];
    let behind = Behind::a_sidecar_with(&settings).await;
    let given = [
        TRACEPARENT,
        B3,
        "x-datadog-trace-id: 7",
        "uberctx-user: 7",
        "uber-trace-id: 1:2:0:1",
    ];
    let (seen, span) = behind.ask("/lists", &given).await;
    assert_eq!(span.parent(), "00f067aa0ba902b7", "b3 is trusted most");
    assert_eq!(span.text("throughline.context.source"), "b3");
    let xray = format!(
        "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent={};Sampled=1",
        span.id()
    );
    assert_eq!(echoed(&seen, "x-amzn-trace-id"), [&*xray]);
    assert_eq!(echoed(&seen, "x-b3-spanid"), [&*span.id()]);
    let as_it_came = |header: &'static str| header.split_once(": ").expect("a name").1;
    assert_eq!(echoed(&seen, "b3"), [as_it_came(B3)], "not written");
    assert_eq!(echoed(&seen, "traceparent"), [as_it_came(TRACEPARENT)]);
    for gone in ["x-datadog-trace-id", "uberctx-user", "uber-trace-id"] {
        assert!(echoed(&seen, gone).is_empty(), "{gone} in {seen}");
    }
}

#[tokio::test]
async fn who_loses_an_argument_about_the_trace_is_noted_and_linked() {
    let behind = Behind::a_sidecar_with(&[]).await;
    let (_, span) = behind.ask("/conflict", &[XRAY, TRACEPARENT]).await;
    assert_eq!(span.trace_id(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(
        span.text("throughline.context.conflict"),
        "xray:1-67891233-abcdef012345678912345678"
    );
    let loser = link("67891233abcdef012345678912345678", "53995c3f42cd8ad8");
    assert_eq!(span.links(), [loser]);
}

#[tokio::test]
async fn a_stranger_is_linked_and_neither_its_trace_nor_its_decision_counts() {
    let behind = Behind::a_sidecar_with(&[("trust", "none")]).await;
    let given = [UNSAMPLED, "tracestate: a=1", "x-request-id: chosen"];
    let (seen, span) = behind.ask("/stranger", &given).await;
    assert_ne!(span.trace_id(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((span.parent(), span.trace_state()), (String::new(), ""));
    let stranger = link("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    assert_eq!(span.links(), [stranger]);
    assert!(echoed(&seen, "traceparent")[0].contains(&span.trace_id()));
    let id = echoed(&seen, "x-request-id");
    assert_eq!((id.len(), id[0].len()), (1, 36), "one of our own: {id:?}");

    let behind = Behind::a_sidecar_with(&[("trust", "127.0.0.0/8,::1")]).await;
    let (seen, span) = behind
        .ask("/friend", &[TRACEPARENT, "x-request-id: chosen"])
        .await;
    assert_eq!(span.parent(), "b7ad6b7169203331");
    assert_eq!(echoed(&seen, "x-request-id"), ["chosen"]);
}

#[tokio::test]
async fn a_request_gets_an_id_unless_it_has_one_or_nobody_wants_it() {
    let behind = Behind::a_sidecar_with(&[]).await;
    let (seen, _) = behind.ask("/without", &[]).await;
    assert_eq!(echoed(&seen, "x-request-id")[0].len(), 36);
    let (seen, _) = behind.ask("/with", &["X-Request-Id: As It-Came"]).await;
    assert_eq!(echoed(&seen, "x-request-id"), ["As It-Came"]);

    let behind = Behind::a_sidecar_with(&[("make-request-id", "off")]).await;
    let (seen, _) = behind.ask("/off", &[]).await;
    assert!(echoed(&seen, "x-request-id").is_empty(), "{seen}");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_passed_on_and_is_counted_by_format_and_reason() {
    let settings = [("propagators", "tracecontext,b3,datadog")];
    let writes_w3c = [settings[0], ("inbound-write", "tracecontext")];
    let behind = Behind::a_sidecar_with(&writes_w3c).await;
    let given = [
        "b3: 4bf92f3577b34da6-x-1",
        "x-datadog-trace-id: -7",
        "x-datadog-origin: rum",
        "baggage: \u{e4}=1",
    ];
    let (seen, span) = behind.ask("/broken", &given).await;
    for gone in ["b3", "x-datadog-trace-id", "x-datadog-origin"] {
        assert!(echoed(&seen, gone).is_empty(), "{gone} in {seen}");
    }
    assert_eq!(echoed(&seen, "baggage").len(), 1, "that is the app's");
    assert_eq!(span.parent(), "", "a trace begins here");
    assert_eq!(
        span.text("throughline.context.rejected"),
        "b3:parent_id,datadog:trace_id"
    );
    let rejected = |format: &str, reason: &str| {
        let labels = format!("format=\"{format}\",reason=\"{reason}\"");
        format!("throughline_context_rejected_total{{{labels}}}")
    };
    let metrics = behind
        .sidecar
        .metrics_until("both are counted", |metrics| {
            metrics.value(&rejected("datadog", "trace_id")) > 0.5
        })
        .await;
    assert!((metrics.value(&rejected("b3", "parent_id")) - 1.0).abs() < 0.5);
}

#[tokio::test]
async fn members_of_the_baggage_are_noted_where_somebody_asks_for_them() {
    let behind = Behind::a_sidecar_with(&[("baggage-attributes", "tenant,user")]).await;
    let given = "baggage: tenant=blue%20sky;ttl=1, secret=x";
    let (seen, span) = behind.ask("/baggage", &[given]).await;
    assert_eq!(span.text("baggage.tenant"), "blue sky");
    assert_eq!(span.text("baggage.secret"), "");
    let as_it_came = "tenant=blue%20sky;ttl=1, secret=x";
    assert_eq!(echoed(&seen, "baggage"), [as_it_came], "byte for byte");
}

#[tokio::test]
async fn a_failure_is_logged_with_its_trace_in_both_spellings() {
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], throughline_tests::free_port()));
    let sidecar = Setup::beside(nobody).flag("log", "debug").start().await;
    let proxy = format!("http://{}", sidecar.outbound());
    let url = format!("http://{nobody}/");
    for arguments in [
        &["-H", TRACEPARENT, &sidecar.url("/")][..],
        &["-H", TRACEPARENT, "-x", &proxy, &url],
    ] {
        assert_eq!(curl(arguments).await.status, 502);
    }
    for what in ["the app did not answer", "an attempt failed"] {
        throughline_tests::until(what, async || {
            let log = sidecar.log();
            let line = log.lines().find(|line| line.contains(what))?;
            let both = line.contains("0af7651916cd43dd8448eb211c80319c")
                && line.contains("1-0af76519-16cd43dd8448eb211c80319c");
            assert!(both, "{line}");
            Some(())
        })
        .await;
    }
}

/// An app that copies `b3` to its call and nothing else, and whose library begins a trace of its own
/// in a `traceparent`.
#[tokio::test]
async fn an_app_that_forwards_some_formats_and_not_others_stays_on_one_trace() {
    let callee = echo_headers().await;
    let url = format!("http://{}/callee", callee.address());
    let (told, hears) = tokio::sync::watch::channel(None);
    let app = Upstream::http1(move |request| {
        let (mut hears, url) = (hears.clone(), url.clone());
        async move {
            let known = hears.wait_for(Option::is_some).await.map(|known| *known);
            let outbound: std::net::SocketAddr = known.unwrap().unwrap();
            let call = Request::get(url)
                .header("host", "callee")
                .header("b3", &request.headers()["b3"])
                .header("traceparent", TRACEPARENT.split_once(": ").unwrap().1);
            let mut client = Client::http1(outbound).await;
            let answer = client.ask(call.body(empty()).unwrap()).await;
            http::Response::new(text(answer.text()))
        }
    })
    .await;
    let collector = Collector::start().await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Http)
        .flag("propagators", "tracecontext,baggage,b3")
        .start()
        .await;
    told.send_replace(Some(sidecar.outbound()));

    let answer = curl(&["-H", B3, &sidecar.url("/some")]).await;
    let spans = collector.wanted(2, |_| true).await;
    let of = |kind| spans.iter().find(|span| span.kind() == kind).unwrap();
    let (server, client) = (of(Kind::Server), of(Kind::Client));
    assert_eq!(server.parent(), "00f067aa0ba902b7");
    assert_eq!(client.trace_id(), server.trace_id());
    assert_eq!(client.parent(), server.id());
    assert_eq!(client.text("throughline.context.source"), "b3");
    assert_eq!(
        client.text("throughline.context.conflict"),
        "tracecontext:0af7651916cd43dd8448eb211c80319c"
    );
    let seen = echoed(&answer.body, "traceparent");
    assert_eq!(seen.len(), 1);
    let ours = format!("00-{}-{}-0", client.trace_id(), client.id());
    assert!(seen[0].starts_with(&ours), "all outputs agree: {seen:?}");
}

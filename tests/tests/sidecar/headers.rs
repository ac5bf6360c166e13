//! What a message loses at a hop, and what it keeps.

use http::Request;
use throughline_tests::{Client, Metrics, Setup, Upstream, curl, empty, raw};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use super::{echo_headers, echoed, get};

#[tokio::test]
async fn fields_of_the_connection_end_at_the_hop() {
    let app = echo_headers().await;
    let sidecar = Setup::beside(app.address()).start().await;
    let mut client = Client::http1(sidecar.inbound()).await;
    let request = get("/a//b?c=%2F&c")
        .header("connection", "x-mine, keep-alive")
        .header("x-mine", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("upgrade", "h2c")
        .header("te", "gzip")
        .header("x-kept", "first")
        .header("x-kept", "second")
        .header("cookie", "a=1; b=2");
    let answer = client.ask(request.body(empty()).unwrap()).await.text();
    assert!(answer.starts_with("GET /a//b?c=%2F&c\n"), "{answer}");
    for name in [
        "connection",
        "x-mine",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "te",
    ] {
        assert!(echoed(&answer, name).is_empty(), "{name}: {answer}");
    }
    assert_eq!(echoed(&answer, "host"), ["shop"], "it is the caller's");
    assert_eq!(echoed(&answer, "x-kept"), ["first", "second"]);
    assert_eq!(echoed(&answer, "cookie"), ["a=1; b=2"]);
}

#[tokio::test]
async fn fields_of_the_connection_end_at_the_hop_on_the_way_back_too() {
    let app = Upstream::raw(|mut stream, _| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let answer = "HTTP/1.1 200 OK\r\nconnection: x-mine, close\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\n\
            set-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\nok";
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let sidecar = Setup::beside(app.address()).start().await;
    let mut client = Client::http1(sidecar.inbound()).await;
    let answer = client.get("/").await;
    assert_eq!(answer.text(), "ok");
    for name in ["connection", "x-mine", "keep-alive"] {
        assert!(
            !answer.headers.contains_key(name),
            "{name}: {:?}",
            answer.headers
        );
    }
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    // The app closed its side; that is no reason to close the caller's.
    assert_eq!(client.get("/").await.text(), "ok");
}

#[tokio::test]
async fn the_app_gets_one_context_that_says_the_same_in_every_format() {
    let app = echo_headers().await;
    let sidecar = Setup::beside(app.address()).start().await;
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("traceparent: 00-{trace_id}-b7ad6b7169203331-01");
    let xray = format!(
        "X-Amzn-Trace-Id: Root=1-{}-{}",
        &trace_id[..8],
        &trace_id[8..]
    );
    let other = "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1";
    for given in [
        &[][..],
        &[&*traceparent],
        &[&*xray],
        &[&*traceparent, other],
    ] {
        let url = sidecar.url("/");
        let mut arguments: Vec<&str> = given.iter().flat_map(|header| ["-H", header]).collect();
        arguments.push(&url);
        let answer = curl(&arguments).await;
        let traceparents = echoed(&answer.body, "traceparent");
        let xrays = echoed(&answer.body, "x-amzn-trace-id");
        assert_eq!((traceparents.len(), xrays.len()), (1, 1), "{}", answer.body);
        let parts: Vec<_> = traceparents[0].split('-').collect();
        let (trace, span) = (parts[1], parts[2]);
        let said = format!(
            "Root=1-{}-{};Parent={span};Sampled=1",
            &trace[..8],
            &trace[8..]
        );
        assert_eq!(xrays[0], said, "given {given:?}");
        assert!(parts[3].ends_with(['1', '3']), "sampled: {parts:?}");
        if !given.is_empty() {
            assert_eq!(trace, trace_id, "given {given:?}");
            assert_ne!(span, "b7ad6b7169203331", "the app's parent is our span");
        }
    }
}

#[tokio::test]
async fn a_malformed_context_never_fails_a_request_and_is_counted() {
    let app = echo_headers().await;
    let sidecar = Setup::beside(app.address()).start().await;
    for (n, traceparent) in [
        "",
        "00-0-0-0",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "é",
    ]
    .iter()
    .enumerate()
    {
        let answer = curl(&[
            "-H",
            &format!("traceparent: {traceparent};"),
            &sidecar.url("/"),
        ])
        .await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            echoed(&answer.body, "traceparent").len(),
            1,
            "{}",
            answer.body
        );
        let counts = |metrics: &Metrics| {
            let count = metrics.sum("throughline_context_rejected_total", "tracecontext");
            (count - (n + 1) as f64).abs() < 0.5
        };
        sidecar
            .metrics_until("one more invalid context", counts)
            .await;
    }
}

#[tokio::test]
async fn without_tracing_headers_are_left_alone_byte_for_byte() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let app = Upstream::raw(move |mut stream, _| {
        let seen = seen.clone();
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let _ = seen.send(String::from_utf8_lossy(&head).into_owned());
            let answer = "HTTP/1.1 204 No Content\r\nx-trace: yes\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .variable("OTEL_SDK_DISABLED", "true")
        .start()
        .await;
    let fields = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
        tracestate: a=1 ,b=2\r\n\
        x-amzn-trace-id: Self=1;Root=1-67891233-abcdef012345678912345678\r\n\
        x-odd:  two  spaces\r\n\
        traceparent: twice\r\n\
        baggage: k=v;p\r\n";
    for fields in [fields, "accept: */*\r\n"] {
        let request = format!("GET /x HTTP/1.1\r\nhost: shop\r\n{fields}\r\n");
        let closing = request.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
        let answer = raw(sidecar.inbound(), closing).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        let got = sees.recv().await.unwrap();
        let mut expected: Vec<&str> = request.lines().collect();
        // White space around a value is no part of it (RFC 9110 section 5.5).
        expected.iter_mut().for_each(|line| {
            if *line == "x-odd:  two  spaces" {
                *line = "x-odd: two  spaces";
            }
        });
        let mut got: Vec<&str> = got.lines().collect();
        assert_eq!(got[0], expected[0]);
        // Fields of one name keep their order; fields of different names have none between them.
        let name = |line: &&str| line.split(':').next().unwrap_or_default().to_owned();
        got.sort_by_key(name);
        expected.sort_by_key(name);
        assert_eq!(got, expected);
    }
    let metrics = sidecar.ask_admin("/metrics").await;
    assert!(
        !metrics.contains("throughline_spans_created_total 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn headers_are_limited_and_the_refusal_says_so() {
    let app = echo_headers().await;
    let sidecar = Setup::beside(app.address()).start().await;
    let mut client = Client::http1(sidecar.inbound()).await;
    let fits = get("/").header("x-large", "y".repeat(48 * 1024));
    let answer = client.ask(fits.body(empty()).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(echoed(&answer.text(), "x-large")[0].len(), 48 * 1024);

    let too_large = format!(
        "GET / HTTP/1.1\r\nhost: shop\r\nx-large: {}\r\n\r\n",
        "y".repeat(80 * 1024)
    );
    let answer = raw(sidecar.inbound(), too_large).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    // Whoever comes next is not concerned.
    assert_eq!(client.get("/").await.status, 200);

    let mut client = Client::http2(sidecar.inbound()).await;
    let too_large = Request::get("http://shop/").header("x-large", "y".repeat(80 * 1024));
    let refused = client.try_ask(too_large.body(empty()).unwrap()).await;
    if let Ok(answer) = refused {
        assert_eq!(answer.status, 431, "{}", answer.text());
    }
    assert_eq!(client.get("/").await.status, 200, "the connection goes on");
}

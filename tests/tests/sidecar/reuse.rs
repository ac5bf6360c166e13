//! Connections that are kept: when they are used again, when not, and what the span says about it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::Request;
use throughline_tests::{Client, Collector, Kind, Protocol, Setup, Upstream, empty, text};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use super::{echo_headers, post};

/// Reads the head of one request, and its body of `body` bytes; `None` when there is no more.
async fn read_request(stream: &mut TcpStream, body: usize) -> Option<String> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.ok()?);
    }
    let mut rest = vec![
        0;
        if request.starts_with(b"POST") {
            body
        } else {
            0
        }
    ];
    stream.read_exact(&mut rest).await.ok()?;
    request.extend(rest);
    Some(String::from_utf8_lossy(&request).into_owned())
}

async fn answer(stream: &mut TcpStream) {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let _ = stream.write_all(answer).await;
}

/// An app that answers the first request on its first connection, and closes that one just when it
/// has read the second. It counts what it was asked after that first answer.
async fn leaving_app() -> (Upstream, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let app = Upstream::raw(move |mut stream, ordinal| {
        let count = count.clone();
        async move {
            if ordinal == 1 {
                read_request(&mut stream, 4).await;
                answer(&mut stream).await;
                if read_request(&mut stream, 4).await.is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                return;
            }
            while read_request(&mut stream, 4).await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                answer(&mut stream).await;
            }
        }
    })
    .await;
    (app, asked)
}

#[tokio::test]
async fn a_get_on_a_connection_that_is_just_closed_is_sent_once_more() {
    let collector = Collector::start().await;
    let (app, asked) = leaving_app().await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut client = Client::http1(sidecar.inbound()).await;
    assert_eq!(client.get("/first").await.text(), "ok");
    let answer = client.get("/second").await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "ok"));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "two attempts");
    assert_eq!(app.connections(), 2);

    let span = collector.span(Kind::Server, "/second").await;
    assert_eq!(span.text("error.type"), "", "it went well in the end");
    assert!(
        span.has_phase("retry"),
        "what the first attempt took: {:?}",
        span.phases()
    );
    assert!(span.has_phase("connect"), "{:?}", span.phases());
    assert_eq!(span.truth("throughline.connection.reused"), Some(false));
}

#[tokio::test]
async fn each_attempt_of_a_call_is_a_span_and_they_are_siblings() {
    let collector = Collector::start().await;
    let (upstream, asked) = leaving_app().await;
    let sidecar = Setup::outbound_alone()
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut client = Client::http1(sidecar.outbound()).await;
    let target = |path: &str| Request::get(format!("http://{}{path}", upstream.address()));
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for path in ["/first", "/second"] {
        let request = target(path).header("traceparent", traceparent);
        assert_eq!(
            client.ask(request.body(empty()).unwrap()).await.text(),
            "ok"
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let mut attempts = collector.wanted(2, |span| span.path() == "/second").await;
    attempts.sort_by_key(|span| span.number("http.request.resend_count"));
    let [first, second] = &attempts[..] else {
        panic!("two attempts");
    };
    assert_eq!(first.number("http.request.resend_count"), None);
    assert_eq!(second.number("http.request.resend_count"), Some(1));
    assert_eq!(first.text("error.type"), "connection_closed");
    assert_eq!(first.text("throughline.ended_by"), "upstream");
    assert_eq!(second.text("error.type"), "");
    assert_ne!(first.id(), second.id());
    for span in [first, second] {
        assert_eq!(span.parent(), "b7ad6b7169203331");
        assert_eq!(span.trace_id(), "0af7651916cd43dd8448eb211c80319c");
    }
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let collector = Collector::start().await;
    let (app, asked) = leaving_app().await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut client = Client::http1(sidecar.inbound()).await;
    assert_eq!(client.get("/first").await.text(), "ok");
    let answer = client.ask(post("/pay", "4444")).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(
        answer.text().contains("connection_closed"),
        "{}",
        answer.text()
    );
    // A later request shows that nothing else is on its way.
    assert_eq!(client.get("/later").await.text(), "ok");
    assert_eq!(
        asked.load(Ordering::SeqCst),
        2,
        "the POST and the later one, each once"
    );
    let span = collector.span(Kind::Server, "/pay").await;
    assert!(!span.has_phase("retry"), "{:?}", span.phases());
    assert_eq!(span.text("throughline.phase.interrupted"), "wait");
}

#[tokio::test]
async fn a_connection_that_was_closed_before_is_replaced_also_for_a_post() {
    let (closed, mut is_closed) = mpsc::unbounded_channel();
    let app = Upstream::raw(move |mut stream, ordinal| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream, 4).await;
            answer(&mut stream).await;
            if ordinal == 1 {
                // The sidecar closes its side when it has seen that we have closed ours.
                let _ = stream.shutdown().await;
                let _ = stream.read_u8().await;
                let _ = closed.send(());
            }
        }
    })
    .await;
    let sidecar = Setup::beside(app.address()).start().await;
    let mut client = Client::http1(sidecar.inbound()).await;
    assert_eq!(client.get("/first").await.text(), "ok");
    is_closed.recv().await.unwrap();
    let answer = client.ask(post("/pay", "4444")).await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "ok"));
    assert_eq!(app.connections(), 2);
}

#[tokio::test]
async fn a_reused_connection_says_so_and_has_no_connect_phase() {
    let collector = Collector::start().await;
    let http1 = echo_headers().await;
    let http2 = Upstream::http2(|_| async { http::Response::new(text("ok")) }).await;
    for (app, name) in [(&http1, "http1"), (&http2, "h2c")] {
        let sidecar = Setup::beside(app.address())
            .flag("app-protocol", name)
            .exporting(&collector, Protocol::Grpc)
            .start()
            .await;
        let mut client = Client::http1(sidecar.inbound()).await;
        let mut last_age = 0;
        for n in 1..=4 {
            let path = format!("/{name}/{n}");
            assert_eq!(client.get(&path).await.status, 200);
            let span = collector.span(Kind::Server, &path).await;
            assert_eq!(span.number("throughline.connection.ordinal"), Some(n));
            assert_eq!(span.truth("throughline.connection.reused"), Some(n > 1));
            assert_eq!(span.has_phase("connect"), n == 1, "{:?}", span.phases());
            assert!(
                !span.has_phase("dns"),
                "an address needs no name: {:?}",
                span.phases()
            );
            assert!(
                span.has_phase("wait") && span.has_phase("drain"),
                "{:?}",
                span.phases()
            );
            let age = span.number("throughline.connection.age").unwrap();
            assert!(age > last_age || n == 1, "{age} after {last_age}");
            last_age = age;
        }
        assert_eq!(app.connections(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_request_that_an_app_dies_over_on_a_new_connection_is_not_sent_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let app = Upstream::raw(move |mut stream, _| {
        let count = count.clone();
        async move {
            if read_request(&mut stream, 0).await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    // Nothing was heard of this app before: what it speaks is still open.
    let sidecar = Setup::beside(app.address()).start().await;
    let mut client = Client::http1(sidecar.inbound()).await;
    let answer = client.get("/deadly").await;
    assert_eq!(answer.status, 502);
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "no connection was closed under it"
    );
}

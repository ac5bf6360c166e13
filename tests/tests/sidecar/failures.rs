//! An upstream that is down, deaf, silent or gone, and what the caller and the span are told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use socket2::{Domain, Socket, Type};
use throughline_tests::{
    Client, Collector, Kind, Protocol, Setup, Span, Upstream, curl, empty, free_port, streamed,
    until,
};
use tokio::{io::AsyncReadExt, net::TcpStream, sync::Semaphore};

use super::get;

/// What a span of a failed exchange says about it.
fn check(span: &Span, phase: &str, ended_by: &str, error: &str) {
    let said = [
        span.text("throughline.phase.interrupted"),
        span.text("throughline.ended_by"),
        span.text("error.type"),
    ];
    assert_eq!(said, [phase, ended_by, error], "{}", span.summary());
    assert!(
        span.has_phase(phase),
        "its time is kept: {}",
        span.summary()
    );
}

#[tokio::test]
async fn an_app_that_is_down_is_502_in_phase_connect() {
    let collector = Collector::start().await;
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let sidecar = Setup::beside(nobody)
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let answer = curl(&[&sidecar.url("/down")]).await;
    assert_eq!(answer.status, 502);
    assert!(answer.body.contains("phase connect"), "{}", answer.body);
    let span = collector.span(Kind::Server, "/down").await;
    check(&span, "connect", "upstream", "connect_error");
    assert_eq!(span.status(), Some(502));
}

#[tokio::test]
async fn a_name_without_an_address_is_502_in_phase_dns() {
    let collector = Collector::start().await;
    let sidecar = Setup::outbound_alone()
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    let proxy = format!("http://{}", sidecar.outbound());
    let answer = curl(&["-x", &proxy, "http://no-such-host.invalid/dns"]).await;
    assert_eq!(answer.status, 502, "{}", answer.body);
    assert!(answer.body.contains("phase dns"), "{}", answer.body);
    assert!(
        answer.body.contains("no-such-host.invalid"),
        "{}",
        answer.body
    );
    let span = collector.span(Kind::Client, "/dns").await;
    check(&span, "dns", "upstream", "dns_error");
    assert_eq!(span.status(), None, "there was no answer");
}

/// A listener whose backlog is full, so that no further connection is accepted or refused, and the
/// connections that fill it.
async fn black_hole() -> (SocketAddr, Socket, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut filling = Vec::new();
    loop {
        let connect = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(200), connect).await {
            Ok(stream) => filling.push(stream.unwrap()),
            Err(_) => return (address, socket, filling),
        }
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_accept_is_504_in_phase_connect() {
    let collector = Collector::start().await;
    let (address, _socket, _filling) = black_hole().await;
    let sidecar = Setup::outbound_alone()
        .flag("connect-timeout", "300ms")
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let proxy = format!("http://{}", sidecar.outbound());
    let answer = curl(&["-x", &proxy, &format!("http://{address}/deaf")]).await;
    assert_eq!(answer.status, 504, "{}", answer.body);
    assert!(answer.body.contains("phase connect"), "{}", answer.body);
    let span = collector.span(Kind::Client, "/deaf").await;
    check(&span, "connect", "proxy", "connect_timeout");
    let connect = span
        .phases()
        .into_iter()
        .find(|(name, _)| *name == "connect");
    assert!(connect.unwrap().1 >= 300_000_000, "{}", span.summary());
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_504_in_phase_wait() {
    let collector = Collector::start().await;
    let app = Upstream::raw(|mut stream, _| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .variable("THROUGHLINE_RESPONSE_TIMEOUT", "300ms")
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let answer = curl(&[&sidecar.url("/silent")]).await;
    assert_eq!(answer.status, 504, "{}", answer.body);
    assert!(answer.body.contains("phase wait"), "{}", answer.body);
    let span = collector.span(Kind::Server, "/silent").await;
    check(&span, "wait", "proxy", "response_timeout");
}

#[tokio::test]
async fn an_upstream_that_is_full_is_503_in_phase_queue() {
    let collector = Collector::start().await;
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let app = Upstream::http1(move |_| {
        let held = held.clone();
        async move {
            let _ = held.acquire().await;
            Response::new(empty())
        }
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .flag("max-connections", "1")
        .flag("queue-timeout", "300ms")
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let inbound = sidecar.inbound();
    let first =
        tokio::spawn(async move { Client::http1(inbound).await.get("/first").await.status });
    until("the first request at the app", async || {
        (app.connections() == 1).then_some(())
    })
    .await;
    let answer = curl(&[&sidecar.url("/second")]).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.body.contains("phase queue"), "{}", answer.body);
    gate.add_permits(1);
    assert_eq!(first.await.unwrap(), 200);
    let span = collector.span(Kind::Server, "/second").await;
    check(&span, "queue", "proxy", "queue_timeout");
}

#[tokio::test]
async fn an_answer_that_is_none_is_502() {
    let collector = Collector::start().await;
    let app = Upstream::raw(|mut stream, _| async move {
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH\r\n\r\n").await;
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let answer = curl(&[&sidecar.url("/odd")]).await;
    assert_eq!(answer.status, 502, "{}", answer.body);
    let span = collector.span(Kind::Server, "/odd").await;
    assert_eq!(
        span.text("error.type"),
        "bad_response",
        "{}",
        span.summary()
    );
    assert_eq!(span.text("throughline.ended_by"), "upstream");
}

#[tokio::test]
async fn an_upstream_that_breaks_off_its_answer_is_seen_by_caller_and_span() {
    let collector = Collector::start().await;
    let app = Upstream::raw(|mut stream, _| async move {
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await;
        let part = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this";
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, part).await;
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let answer = curl(&[&sidecar.url("/broken")]).await;
    assert_ne!(
        answer.code, 0,
        "curl sees that something is missing: {}",
        answer.body
    );
    let span = collector.span(Kind::Server, "/broken").await;
    assert_eq!(span.text("throughline.phase.interrupted"), "transfer");
    assert_eq!(span.text("throughline.ended_by"), "upstream");
    assert_eq!(span.status(), Some(200));
}

#[tokio::test]
async fn a_caller_that_leaves_in_the_middle_ended_it() {
    let collector = Collector::start().await;
    let app = Upstream::http1(|_| async move {
        let (mut sender, body) = streamed(1);
        tokio::spawn(async move {
            // Until nobody takes any more.
            while sender.send_data(vec![b'x'; 16 * 1024].into()).await.is_ok() {}
        });
        Response::new(body)
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    for (is_http2, path) in [(false, "/left1"), (true, "/left2")] {
        let mut client = if is_http2 {
            Client::http2(sidecar.inbound()).await
        } else {
            Client::http1(sidecar.inbound()).await
        };
        let request = if is_http2 {
            Request::get(format!("http://shop{path}"))
        } else {
            get(path)
        };
        let mut response = client.send(request.body(empty()).unwrap()).await.unwrap();
        let frame = http_body_util::BodyExt::frame(response.body_mut()).await;
        assert!(frame.unwrap().unwrap().is_data());
        drop((response, client));
        let span = collector.span(Kind::Server, path).await;
        check(&span, "transfer", "client", "cancelled");
        assert_eq!(span.status(), Some(200));
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_before_the_answer_ended_it() {
    // In HTTP/2 it says so. In HTTP/1 it may also have said all that it had to say and still wait:
    // then it is the answer that finds out.
    let collector = Collector::start().await;
    let app = Upstream::raw(|mut stream, _| async move {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .flag("app-protocol", "http1")
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let inbound = sidecar.inbound();
    let asking = tokio::spawn(async move { Client::http2(inbound).await.get("/gave-up").await });
    until("the request at the app", async || {
        (app.connections() == 1).then_some(())
    })
    .await;
    asking.abort();
    let span = collector.span(Kind::Server, "/gave-up").await;
    let said = [span.text("throughline.ended_by"), span.text("error.type")];
    assert_eq!(said, ["client", "cancelled"], "{}", span.summary());
    assert_eq!(span.status(), None);
}

//! How long a client may take.

use throughline_tests::{Client, Collector, Kind, Protocol, Setup};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{echo_headers, get};

/// What comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = timeout(throughline_tests::PATIENCE, stream.read_to_end(&mut all)).await;
    // A reset is an end too.
    let _ = read.expect("the sidecar closes the connection");
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_headers_is_cut() {
    let app = echo_headers().await;
    let sidecar = Setup::beside(app.address())
        .variable("THROUGHLINE_HEADER_TIMEOUT", "200ms")
        .start()
        .await;
    for said in ["", "G", "PRI * HT", "GET / HTTP/1.1\r\nhost: shop\r\n"] {
        let mut stream = TcpStream::connect(sidecar.inbound()).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
            "{said:?}: {answer}"
        );
    }
    // It is the headers that have a limit, and each request has it anew.
    let mut stream = TcpStream::connect(sidecar.inbound()).await.unwrap();
    let request = "GET / HTTP/1.1\r\nhost: shop\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream.write_all(b"GET /again HT").await.unwrap();
    rest(&mut stream).await;
    assert_eq!(app.connections(), 1, "only one request was whole");
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let app = throughline_tests::Upstream::http1(|request| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(std::time::Duration::from_millis(900)).await;
        }
        http::Response::new(throughline_tests::text("ok"))
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .variable("THROUGHLINE_IDLE_TIMEOUT", "300ms")
        .variable("THROUGHLINE_HEADER_TIMEOUT", "300ms")
        .start()
        .await;
    for is_http2 in [false, true] {
        let mut client = if is_http2 {
            Client::http2(sidecar.inbound()).await
        } else {
            Client::http1(sidecar.inbound()).await
        };
        // Three times as long as a connection may be idle.
        assert_eq!(client.get("/slow").await.text(), "ok");
        assert_eq!(client.get("/quick").await.text(), "ok");
        client.ended().await.expect("it is closed in good order");
        let mut again = Client::http1(sidecar.inbound()).await;
        let answer = again
            .ask(get("/").body(throughline_tests::empty()).unwrap())
            .await;
        assert_eq!(answer.status, 200);
    }
}

#[tokio::test]
async fn a_caller_that_has_said_all_gets_its_answer() {
    let app = throughline_tests::Upstream::http1(|_| async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        http::Response::new(throughline_tests::text("late"))
    })
    .await;
    let sidecar = Setup::beside(app.address()).start().await;
    let mut stream = TcpStream::connect(sidecar.inbound()).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("late"), "{answer}");
}

#[tokio::test]
async fn a_caller_that_is_gone_is_not_waited_for_without_end() {
    let app = throughline_tests::Upstream::http1(|_| std::future::pending()).await;
    let collector = Collector::start().await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Grpc)
        .variable("THROUGHLINE_IDLE_TIMEOUT", "300ms")
        .variable("THROUGHLINE_HEADER_TIMEOUT", "300ms")
        .start()
        .await;
    let mut stream = TcpStream::connect(sidecar.inbound()).await.unwrap();
    stream
        .write_all(b"GET /never HTTP/1.1\r\nhost: shop\r\n\r\n")
        .await
        .unwrap();
    drop(stream);
    let span = collector.span(Kind::Server, "/never").await;
    assert_eq!(span.text("throughline.ended_by"), "client");
    assert_eq!(span.text("throughline.phase.interrupted"), "wait");
}

//! Upstreams that reset, hang in the middle of a head or a body, or have no address; while calls to another
//! go on.

use http::{Request, StatusCode};
use throughline_tests::{Behaviour, Client, Collector, Kind, Protocol, Setup, Upstream, empty};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    account::{exported, settled},
    load::{self, Load},
};

/// What an upstream does with a request that it has read.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Closes so that the other side is told of a reset.
    Reset,
    /// Says this much, and then nothing.
    Hang(&'static [u8]),
    /// Says this much, and then resets.
    Break(&'static [u8]),
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Le";
const BODY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun";
const CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n";

async fn faulty(fault: Fault) -> Upstream {
    Upstream::raw(move |mut stream, _| async move {
        let mut request = [0; 4096];
        if stream.read(&mut request).await.is_err() {
            return;
        }
        match fault {
            Fault::Reset => reset(&stream),
            Fault::Break(said) => {
                // Whether it is still listened to is what the test is about.
                let _ = stream.write_all(said).await;
                reset(&stream);
            }
            Fault::Hang(said) => {
                let _ = stream.write_all(said).await;
                let _ = stream.read(&mut request).await;
            }
        }
    })
    .await
}

/// Has the end of `stream` be a reset.
fn reset(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    socket
        .set_linger(Some(std::time::Duration::ZERO))
        .expect("a socket can be told how to end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_faulty_upstream_harms_nobody_elses_calls() {
    let good = load::app().await;
    let route = format!("127.0.0.1:0=http://{}", good.address());
    let collector = Collector::start().await;
    collector.behave(Behaviour::Take);
    let sidecar = Setup::outbound_alone()
        .flag("routes", &route)
        .flag("response-timeout", "500ms")
        // One that has left is waited for as long, because it may only have said all that it had to say.
        .flag("idle-timeout", "1s")
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    let load = Load::of(sidecar.routes()[0], 4);
    load.more(200).await;
    let mut calls = 0;
    for (fault, status, error) in [
        (Fault::Reset, 502, "connection_closed"),
        (Fault::Break(HEAD), 502, "connection_closed"),
        (Fault::Hang(b""), 504, "response_timeout"),
        (Fault::Hang(HEAD), 504, "response_timeout"),
    ] {
        let upstream = faulty(fault).await;
        let path = format!("/fault/{calls}");
        let answer = call(&sidecar, &upstream, &path).await.expect("an answer");
        assert_eq!(answer, status, "{fault:?}");
        let span = collector.span(Kind::Client, &path).await;
        assert_eq!(span.text("error.type"), error, "{fault:?}");
        calls += 1;
        load.more(50).await;
    }
    for fault in [Fault::Break(BODY), Fault::Break(CHUNK)] {
        let upstream = faulty(fault).await;
        let path = format!("/fault/{calls}");
        let answer = call(&sidecar, &upstream, &path).await;
        assert!(
            answer.is_err(),
            "{fault:?}: it never looks whole: {answer:?}"
        );
        let span = collector.span(Kind::Client, &path).await;
        assert_eq!(span.text("throughline.ended_by"), "upstream", "{fault:?}");
        calls += 1;
        load.more(50).await;
    }
    // Of one that hangs in its body the caller decides how long it waits.
    for fault in [Fault::Hang(BODY), Fault::Hang(CHUNK)] {
        let upstream = faulty(fault).await;
        let path = format!("/fault/{calls}");
        let mut client = Client::http1(sidecar.outbound()).await;
        let response = client.send(request(&upstream, &path)).await;
        assert_eq!(response.expect("its head").status(), StatusCode::OK);
        load.more(50).await;
        drop(client);
        let span = collector.span(Kind::Client, &path).await;
        assert_eq!(span.text("throughline.ended_by"), "client", "{fault:?}");
        calls += 1;
    }
    let asked = load.stop().await;
    exported(&sidecar, asked + calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_has_no_address_harms_nobody_elses_calls() {
    let good = load::app().await;
    let route = format!("127.0.0.1:0=http://{}", good.address());
    let sidecar = Setup::outbound_alone().flag("routes", &route).start().await;
    let load = Load::of(sidecar.routes()[0], 4);
    load.more(100).await;
    let mut client = Client::http1(sidecar.outbound()).await;
    const LOST: usize = 4;
    for _ in 0..LOST {
        let mut request = Request::new(empty());
        *request.uri_mut() = "http://nobody.invalid/".parse().expect("an address");
        // A resolver that is not there is waited for.
        let answer = client.ask(request).await;
        assert!(answer.text().contains("in phase dns"), "{answer:?}");
    }
    load.more(200).await;
    let asked = load.stop().await;
    settled(&sidecar, asked + LOST).await;
}

fn request(upstream: &Upstream, path: &str) -> Request<throughline_tests::Body> {
    let mut request = Request::new(empty());
    let address = format!("http://{}{path}", upstream.address());
    *request.uri_mut() = address.parse().expect("an address");
    request
}

/// The status of a whole answer.
async fn call(
    sidecar: &throughline_tests::Sidecar,
    upstream: &Upstream,
    path: &str,
) -> Result<u16, hyper::Error> {
    let mut client = Client::http1(sidecar.outbound()).await;
    let answer = client.try_ask(request(upstream, path)).await?;
    Ok(answer.status.as_u16())
}

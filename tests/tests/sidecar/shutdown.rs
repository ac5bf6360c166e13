//! SIGTERM with requests in flight.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::Response;
use throughline_tests::{
    Answer, Client, Collector, Kind, Protocol, Setup, Sidecar, Upstream, empty, text, until,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};

const REQUESTS: usize = 20;

/// An app that answers when it is let, and counts what has come.
struct SlowApp {
    app: Upstream,
    arrived: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

impl SlowApp {
    async fn start() -> Self {
        let arrived = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let (count, held) = (arrived.clone(), gate.clone());
        let app = Upstream::http1(move |request| {
            let (count, held) = (count.clone(), held.clone());
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = held.acquire().await;
                Response::new(text(format!("answer to {}", request.uri().path())))
            }
        })
        .await;
        Self { app, arrived, gate }
    }

    async fn has(&self, requests: usize) {
        until("all requests at the app", async || {
            (self.arrived.load(Ordering::SeqCst) == requests).then_some(())
        })
        .await;
    }

    fn let_go(&self) {
        self.gate.add_permits(REQUESTS);
    }
}

/// Waits until nobody accepts there any more.
async fn refused(sidecar: &Sidecar) {
    until("the end of the listener", async || {
        TcpStream::connect(sidecar.inbound())
            .await
            .is_err()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn sigterm_lets_every_request_finish_and_every_span_out() {
    let collector = Collector::start().await;
    let slow = SlowApp::start().await;
    let mut sidecar = Setup::beside(slow.app.address())
        .exporting(&collector, Protocol::Grpc)
        // Nothing leaves before the end, unless the end sees to it.
        .variable("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        .start()
        .await;
    let mut asked = JoinSet::new();
    for n in 0..REQUESTS {
        let inbound = sidecar.inbound();
        asked.spawn(async move {
            let mut client = Client::http1(inbound).await;
            let answer = client.get(&format!("/{n}")).await;
            client
                .ended()
                .await
                .expect("the connection ends in good order");
            (n, answer)
        });
    }
    // One that asks for nothing is no reason to stay.
    let idle = TcpStream::connect(sidecar.inbound()).await.unwrap();
    slow.has(REQUESTS).await;
    sidecar.terminate();
    refused(&sidecar).await;
    assert!(sidecar.ask_admin("/readyz").await.contains("draining"));
    assert_eq!(sidecar.ask_admin("/livez").await, "ok\n");
    assert_eq!(
        asked.try_join_next().map(|_| ()),
        None,
        "they are still open"
    );
    slow.let_go();

    let answers: Vec<(usize, Answer)> = asked.join_all().await;
    assert_eq!(answers.len(), REQUESTS);
    for (n, answer) in answers {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text(), format!("answer to /{n}"));
        assert_eq!(answer.header("connection"), "close");
    }
    assert_eq!(sidecar.wait().await, 0, "{}", sidecar.log());
    drop(idle);
    let spans = collector
        .wanted(REQUESTS, |span| span.kind() == Kind::Server)
        .await;
    assert!(spans.iter().all(|span| span.text("error.type").is_empty()));
    let account =
        format!("otlp    created {REQUESTS} = exported {REQUESTS} + dropped 0 + pending 0");
    assert!(sidecar.log().contains(&account), "{}", sidecar.log());
}

#[tokio::test]
async fn sigterm_tells_http2_to_go_away_and_answers_what_is_open() {
    let collector = Collector::start().await;
    let slow = SlowApp::start().await;
    let mut sidecar = Setup::beside(slow.app.address())
        .flag("app-protocol", "http1")
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    let stream = TcpStream::connect(sidecar.inbound()).await.unwrap();
    let (transport, read) = Overheard::new(stream);
    let mut client = Client::http2_over(transport).await;
    let mut asked = JoinSet::new();
    for n in 0..REQUESTS {
        let mut sender = client.another_stream().unwrap();
        asked.spawn(async move {
            let request = http::Request::get(format!("http://shop/{n}"));
            let request = request.body(empty()).unwrap();
            Answer::read(sender.send_request(request).await.unwrap())
                .await
                .unwrap()
        });
    }
    slow.has(REQUESTS).await;
    sidecar.terminate();
    until("GOAWAY", async || {
        go_away(&read.lock().unwrap()).map(|code| assert_eq!(code, 0, "NO_ERROR"))
    })
    .await;
    slow.let_go();
    for answer in asked.join_all().await {
        assert_eq!(answer.status, 200);
        assert!(answer.text().starts_with("answer to /"));
    }
    client
        .ended()
        .await
        .expect("the connection ends in good order");
    assert_eq!(sidecar.wait().await, 0, "{}", sidecar.log());
    collector
        .wanted(REQUESTS, |span| span.kind() == Kind::Server)
        .await;
}

/// One request in each version that is not answered while the sidecar is there.
async fn stuck(sidecar: &Sidecar, slow: &SlowApp) -> JoinSet<bool> {
    let mut asked = JoinSet::new();
    let inbound = sidecar.inbound();
    asked.spawn(async move {
        let request = super::get("/stuck1").body(empty()).unwrap();
        Client::http1(inbound).await.try_ask(request).await.is_err()
    });
    asked.spawn(async move {
        let request = http::Request::get("http://shop/stuck2")
            .body(empty())
            .unwrap();
        Client::http2(inbound).await.try_ask(request).await.is_err()
    });
    slow.has(2).await;
    asked
}

/// That they were cut, and that their spans say so and are not lost.
async fn were_cut(asked: JoinSet<bool>, collector: &Collector, sidecar: &mut Sidecar) {
    assert_eq!(sidecar.wait().await, 0, "{}", sidecar.log());
    for broke in asked.join_all().await {
        assert!(broke, "there was no answer to be had");
    }
    for path in ["/stuck1", "/stuck2"] {
        let span = collector.span(Kind::Server, path).await;
        assert_eq!(span.text("throughline.phase.interrupted"), "wait");
    }
}

#[tokio::test]
async fn what_is_not_done_within_the_grace_is_cut_and_its_span_is_not_lost() {
    // More than once, for there is a race to be lost: between the spans and the end.
    for _ in 0..5 {
        let collector = Collector::start().await;
        let slow = SlowApp::start().await;
        let mut sidecar = Setup::beside(slow.app.address())
            .flag("app-protocol", "http1")
            .flag("shutdown-grace", "200ms")
            .exporting(&collector, Protocol::Grpc)
            .start()
            .await;
        let asked = stuck(&sidecar, &slow).await;
        sidecar.terminate();
        were_cut(asked, &collector, &mut sidecar).await;
    }
}

#[tokio::test]
async fn a_second_signal_cuts_at_once_what_the_first_lets_finish() {
    let collector = Collector::start().await;
    let slow = SlowApp::start().await;
    let mut sidecar = Setup::beside(slow.app.address())
        .flag("app-protocol", "http1")
        .flag("shutdown-grace", "1h")
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let asked = stuck(&sidecar, &slow).await;
    sidecar.terminate();
    refused(&sidecar).await;
    sidecar.terminate();
    were_cut(asked, &collector, &mut sidecar).await;
}

#[tokio::test]
async fn a_sidecar_with_nothing_to_do_ends_at_once() {
    let slow = SlowApp::start().await;
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut sidecar = Setup::beside(slow.app.address())
            .flag("shutdown-grace", "1h")
            .start()
            .await;
        sidecar.signal(signal);
        assert_eq!(sidecar.wait().await, 0, "{}", sidecar.log());
    }
}

/// The error code of the first GOAWAY among the frames of an HTTP/2 server.
fn go_away(mut frames: &[u8]) -> Option<u32> {
    const GOAWAY: u8 = 7;
    while let Some((head, rest)) = frames.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = rest.get(..length)?;
        if head[3] == GOAWAY {
            return payload[4..8].try_into().ok().map(u32::from_be_bytes);
        }
        frames = &rest[length..];
    }
    None
}

/// A transport that keeps a copy of what is read from it.
struct Overheard {
    stream: TcpStream,
    read: Arc<Mutex<Vec<u8>>>,
}

impl Overheard {
    fn new(stream: TcpStream) -> (Self, Arc<Mutex<Vec<u8>>>) {
        let read = Arc::<Mutex<Vec<u8>>>::default();
        let copy = read.clone();
        (Self { stream, read }, copy)
    }
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let mut read = self.read.lock().expect("nobody panics while holding it");
        read.extend_from_slice(&buffer.filled()[before..]);
        result
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

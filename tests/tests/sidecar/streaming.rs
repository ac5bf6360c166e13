//! Bodies that are larger than any buffer, and sides that stop reading.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use throughline_tests::{Body, Client, Setup, Sidecar, Upstream, empty, streamed, text, until};
use tokio::sync::Semaphore;

const MIB: u64 = 1024 * 1024;

/// The size of the bodies: much more than sockets and windows on the way may hold together.
const WHOLE: u64 = 192 * MIB;

/// The most that may be on the way: socket buffers grow to 6 MiB each, and there are four of them.
const ON_THE_WAY: u64 = 48 * MIB;

/// The most by which the sidecar may grow for one body: it holds a part, and never the whole.
///
/// In HTTP/2 both windows grow to 16 MiB where a machine is busy, and that is 32 MiB without anything around them.
const GROWTH_KIB: u64 = 40 * 1024;

/// A body of [`WHOLE`] bytes, and how many of them were taken from it.
fn large() -> (Body, Arc<AtomicU64>) {
    let (mut sender, body) = streamed(1);
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    tokio::spawn(async move {
        let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
        while count.load(Ordering::Relaxed) < WHOLE && sender.send_data(chunk.clone()).await.is_ok()
        {
            count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
    });
    (body, taken)
}

/// Waits until no more is taken, because the other end takes nothing.
async fn stalled(taken: &AtomicU64) -> u64 {
    let (mut last, mut same) = (0, 0);
    until("a stop of what is taken", async || {
        let now = taken.load(Ordering::Relaxed);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        (same > 60).then_some(now)
    })
    .await
}

fn check_growth(sidecar: &Sidecar, before: u64) {
    let growth = sidecar.resident_kib().saturating_sub(before);
    assert!(growth < GROWTH_KIB, "{growth} KiB more than {before} KiB");
}

fn request(is_http2: bool, body: Body) -> Request<Body> {
    if is_http2 {
        Request::post("http://shop/").body(body).unwrap()
    } else {
        Request::post("/")
            .header("host", "shop")
            .body(body)
            .unwrap()
    }
}

async fn client(sidecar: &Sidecar, is_http2: bool) -> Client {
    if is_http2 {
        Client::http2(sidecar.inbound()).await
    } else {
        Client::http1(sidecar.inbound()).await
    }
}

/// A caller that does not read makes the app wait, and not the sidecar grow.
async fn slow_reader(is_http2: bool) {
    let counts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let started = counts.clone();
    let answer = move |_| {
        let (body, taken) = large();
        started.lock().unwrap().push(taken);
        async { Response::new(body) }
    };
    let app = if is_http2 {
        Upstream::http2(answer).await
    } else {
        Upstream::http1(answer).await
    };
    let sidecar = Setup::beside(app.address()).start().await;
    let before = sidecar.resident_kib();
    let mut client = client(&sidecar, is_http2).await;
    let response = client.send(request(is_http2, empty())).await.unwrap();
    let taken = counts.lock().unwrap()[0].clone();
    let stopped_at = stalled(&taken).await;
    assert!(
        stopped_at < ON_THE_WAY,
        "{stopped_at} bytes were taken by nobody"
    );
    check_growth(&sidecar, before);

    let mut body = response.into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame
            .unwrap()
            .into_data()
            .map_or(0, |data| data.len() as u64);
    }
    assert_eq!(read, WHOLE);
    check_growth(&sidecar, before);
}

/// An app that does not read makes the caller wait, and not the sidecar grow.
async fn slow_app(is_http2: bool) {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let answer = move |request: Request<hyper::body::Incoming>| {
        let held = held.clone();
        async move {
            let _ = held.acquire().await;
            let mut body = request.into_body();
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.into_data().map_or(0, |data| data.len() as u64);
            }
            Response::new(text(read.to_string()))
        }
    };
    let app = if is_http2 {
        Upstream::http2(answer).await
    } else {
        Upstream::http1(answer).await
    };
    let sidecar = Setup::beside(app.address()).start().await;
    let before = sidecar.resident_kib();
    let mut client = client(&sidecar, is_http2).await;
    let (body, taken) = large();
    let asked = tokio::spawn(async move { client.ask(request(is_http2, body)).await });
    let stopped_at = stalled(&taken).await;
    assert!(
        stopped_at < ON_THE_WAY,
        "{stopped_at} bytes were taken by nobody"
    );
    check_growth(&sidecar, before);
    gate.add_permits(1);
    let answer = asked.await.unwrap();
    assert_eq!(answer.text(), WHOLE.to_string());
    check_growth(&sidecar, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_reads_slowly_makes_the_app_wait_in_http1() {
    slow_reader(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_reads_slowly_makes_the_app_wait_in_http2() {
    slow_reader(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_reads_slowly_makes_the_caller_wait_in_http1() {
    slow_app(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_reads_slowly_makes_the_caller_wait_in_http2() {
    slow_app(true).await;
}

#[tokio::test]
async fn an_answer_flows_while_the_request_still_does() {
    // An echo, frame by frame: each is asked for only when the one before has come back.
    let app = Upstream::http1(|request| async move {
        let (mut sender, body) = streamed(1);
        tokio::spawn(async move {
            let mut incoming = request.into_body();
            while let Some(Ok(frame)) = incoming.frame().await {
                if sender.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Response::new(body)
    })
    .await;
    let sidecar = Setup::beside(app.address()).start().await;
    for is_http2 in [false, true] {
        let mut client = client(&sidecar, is_http2).await;
        let (mut sender, body) = streamed(1);
        sender.send_data(Bytes::from_static(b"0")).await.unwrap();
        let response = client.send(request(is_http2, body)).await.unwrap();
        let mut echo = response.into_body();
        for n in 0..5 {
            let frame = echo.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), n.to_string());
            sender
                .send_data(Bytes::from((n + 1).to_string()))
                .await
                .unwrap();
        }
        drop(sender);
        let last = echo.frame().await.unwrap().unwrap();
        assert_eq!(last.into_data().unwrap(), "5");
        // HTTP/2 may say the end with a frame of its own, without anything in it.
        assert!(echo.collect().await.unwrap().to_bytes().is_empty());
    }
}

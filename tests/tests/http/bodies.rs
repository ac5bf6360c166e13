//! Large bodies, and bodies that come bit by bit: they pass as they come, and nothing holds them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use throughline_tests::until;

use super::scene::{Scene, WAYS, Way};

const MB: usize = 1_000_000;

/// The size of a large body.
const LARGE: usize = 48 * MB;

/// The most by which the sidecar may grow for one: it holds a part, and never the whole. What it
/// holds for the first is kept by its allocator, so that this is not asked of the first.
const GROWTH_KIB: u64 = 32 * 1024;

/// A head for [`LARGE`] bytes.
fn framed(start: &str, is_chunked: bool) -> String {
    if is_chunked {
        format!("{start}Transfer-Encoding: chunked\r\n\r\n")
    } else {
        format!("{start}Content-Length: {LARGE}\r\n\r\n")
    }
}

/// The bytes of a large body in pieces, each of which differs from the next.
fn pieces(is_chunked: bool) -> impl Iterator<Item = Vec<u8>> {
    (0..LARGE / 100_000).map(move |n| {
        let piece = vec![b'a' + u8::try_from(n % 26).unwrap(); 100_000];
        if is_chunked {
            [
                &*format!("{:x}\r\n", piece.len()).into_bytes(),
                &*piece,
                b"\r\n",
            ]
            .concat()
        } else {
            piece
        }
    })
}

fn expected() -> Vec<u8> {
    pieces(false).flatten().collect()
}

fn check_growth(scene: &Scene, before: u64, most: u64, what: &str) {
    let growth = scene.sidecar.resident_kib().saturating_sub(before);
    assert!(growth < most, "{what}: {growth} KiB more than {before} KiB");
}

const POST: &str = "POST / HTTP/1.1\r\nHost: shop\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_goes_up_whole_and_memory_stays_flat() {
    let scene = Scene::start().await;
    let expected = expected();
    let mut first = None;
    for way in WAYS {
        for is_chunked in [false, true] {
            let (mut client, mut upstream) = scene.ask(way, framed(POST, is_chunked)).await;
            let sending = tokio::spawn(async move {
                for piece in pieces(is_chunked) {
                    client.send(piece).await;
                }
                if is_chunked {
                    client.send("0\r\n\r\n").await;
                }
                client
            });
            let got = upstream.request().await;
            assert!(got.body == expected, "{way:?}, chunks: {is_chunked}");
            upstream
                .send(format!("{ANSWER}Content-Length: 2\r\n\r\nok"))
                .await;
            let mut client = sending.await.unwrap();
            assert_eq!(client.response().await.text(), "ok");
            let before = *first.get_or_insert_with(|| scene.sidecar.resident_kib());
            check_growth(
                &scene,
                before,
                GROWTH_KIB,
                &format!("{way:?}, chunks: {is_chunked}"),
            );
            upstream.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_comes_down_whole_and_memory_stays_flat() {
    let scene = Scene::start().await;
    let expected = expected();
    let mut first = None;
    for way in WAYS {
        for is_chunked in [false, true] {
            let (mut client, mut upstream) =
                scene.ask(way, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
            upstream.request().await;
            let sending = tokio::spawn(async move {
                upstream.send(framed(ANSWER, is_chunked)).await;
                for piece in pieces(is_chunked) {
                    upstream.send(piece).await;
                }
                if is_chunked {
                    upstream.send("0\r\n\r\n").await;
                }
                upstream
            });
            let got = client.response().await;
            assert!(got.body == expected, "{way:?}, chunks: {is_chunked}");
            let before = *first.get_or_insert_with(|| scene.sidecar.resident_kib());
            check_growth(
                &scene,
                before,
                GROWTH_KIB,
                &format!("{way:?}, chunks: {is_chunked}"),
            );
            sending.await.unwrap().close().await;
        }
    }
}

/// Sends pieces without end, and counts what was taken, until the other side takes no more.
fn pour(mut wire: super::wire::Wire) -> Arc<AtomicU64> {
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    tokio::spawn(async move {
        let piece = vec![b'x'; 64 * 1024];
        loop {
            wire.send(&piece).await;
            count.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    });
    taken
}

/// Waits until no more is taken: that is back-pressure. Without it this would never be.
async fn stalls(scene: &Scene, way: Way, taken: &AtomicU64) {
    let before = scene.sidecar.resident_kib();
    let (mut last, mut same) = (0, 0);
    until("a stop of what is taken", async || {
        let now = taken.load(Ordering::Relaxed);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        (same > 40).then_some(())
    })
    .await;
    // Two pairs of sockets, whose buffers grow to 6 MiB and 4 MiB on their way.
    assert!(
        last < 48 << 20,
        "{way:?}: {last} bytes were taken by nobody"
    );
    check_growth(scene, before, 3 * GROWTH_KIB / 2, &format!("{way:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_read_makes_the_client_wait() {
    let scene = Scene::start().await;
    for way in WAYS {
        let head = format!("{POST}Content-Length: 1000000000000\r\n\r\n");
        let (client, _upstream) = scene.ask(way, head).await;
        stalls(&scene, way, &pour(client)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_makes_the_upstream_wait() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (_client, mut upstream) = scene.ask(way, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
        upstream.request().await;
        upstream
            .send(format!("{ANSWER}Content-Length: 1000000000000\r\n\r\n"))
            .await;
        stalls(&scene, way, &pour(upstream)).await;
    }
}

#[tokio::test]
async fn each_event_of_a_stream_comes_before_the_next_is_made() {
    let scene = Scene::start().await;
    for way in WAYS {
        for is_chunked in [true, false] {
            let request = "GET /events HTTP/1.1\r\nHost: shop\r\nAccept: text/event-stream\r\n\r\n";
            let (mut client, mut upstream) = scene.ask(way, request).await;
            upstream.request().await;
            let coding = if is_chunked {
                "Transfer-Encoding: chunked\r\n"
            } else {
                ""
            };
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
            upstream.send(format!("{head}{coding}\r\n")).await;
            // The head by itself, before there is any event.
            let head = client.head().await;
            assert_eq!(head.all("content-type"), ["text/event-stream"], "{way:?}");
            for n in 0..5 {
                let event = format!("data: {n}\n\n");
                let framed = format!("{:x}\r\n{event}\r\n", event.len());
                upstream
                    .send(if is_chunked { &framed } else { &event })
                    .await;
                assert_eq!(client.chunk().await.unwrap(), event.as_bytes(), "{way:?}");
            }
            drop(upstream);
        }
    }
}

#[tokio::test]
async fn each_part_of_an_upload_comes_before_the_next_is_sent() {
    let scene = Scene::start().await;
    for way in WAYS {
        for is_chunked in [true, false] {
            let (mut client, mut upstream) = scene.ask(way, framed(POST, is_chunked)).await;
            // The head by itself, before there is any body.
            upstream.head().await;
            for n in 0..5 {
                let part = format!("part {n}");
                if is_chunked {
                    client.send(format!("{:x}\r\n{part}\r\n", part.len())).await;
                    assert_eq!(upstream.chunk().await.unwrap(), part.as_bytes(), "{way:?}");
                } else {
                    client.send(&part).await;
                    assert_eq!(
                        upstream.exactly(6).await.unwrap(),
                        part.as_bytes(),
                        "{way:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_slow_and_honest_is_not_cut() {
    // Six times as long as headers or an idle connection may take: here time is what is tested.
    let scene = Scene::with(|setup| {
        setup
            .flag("header-timeout", "150ms")
            .flag("idle-timeout", "150ms")
            .flag("upstream-idle-timeout", "150ms")
    })
    .await;
    let one = async |way| {
        let request = format!("{POST}Content-Length: 10\r\n\r\n");
        let (mut client, mut upstream) = scene.ask(way, request).await;
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(90));
        upstream.head().await;
        for _ in 0..10 {
            pace.tick().await;
            client.send("u").await;
            assert_eq!(upstream.exactly(1).await.unwrap(), b"u", "{way:?}");
        }
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            .await;
        client.head().await;
        for _ in 0..10 {
            pace.tick().await;
            upstream.send("d").await;
            assert_eq!(client.exactly(1).await.unwrap(), b"d", "{way:?}");
        }
    };
    tokio::join!(one(Way::Inbound), one(Way::Route), one(Way::Proxy));
}

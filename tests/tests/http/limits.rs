//! What a client may take: time over its head and its body, and room for its fields.

use throughline_tests::{Collector, Kind, Protocol, raw};
use tokio::time::{Duration, interval};

use super::{
    frames::{DATA, HEADERS, Outcome, Peer, RST_STREAM, request},
    scene::{Scene, WAYS, Way, entry},
    wire::Wire,
};

/// A sidecar that is impatient with heads.
async fn impatient() -> Scene {
    Scene::with(|setup| {
        setup
            .flag("header-timeout", "200ms")
            .flag("idle-timeout", "60s")
    })
    .await
}

/// Sends `bytes` again and again until the other side closes, and returns what it said.
async fn trickle(mut client: Wire, bytes: &[u8]) -> String {
    let mut pace = interval(Duration::from_millis(20));
    let deadline = tokio::time::Instant::now() + throughline_tests::PATIENCE;
    loop {
        tokio::select! {
            said = client.rest_text() => return said,
            _ = pace.tick() => {}
        }
        assert!(tokio::time::Instant::now() < deadline, "it is never cut");
        client.send(bytes).await;
    }
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut() {
    let scene = impatient().await;
    for way in WAYS {
        for (opening, drop) in [
            ("", "G"),
            ("GET /", "x"),
            ("GET / HTTP/1.1\r\nHost: shop\r\n", "X: y\r\n"),
            ("GET / HTTP/1.1\r\nHost: shop\r\nX: ", "y"),
            ("", "\r\n"),
        ] {
            let mut client = scene.client(way).await;
            client.send(opening).await;
            let said = trickle(client, drop.as_bytes()).await;
            let is_refusal = said.is_empty() || said.starts_with("HTTP/1.1 4");
            assert!(is_refusal, "{way:?}, {opening:?}: {said}");
            assert!(!scene.is_called(way).await, "{way:?}, {opening:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_is_cut_over_its_head_is_told_408() {
    let scene = impatient().await;
    for way in WAYS {
        let mut client = scene.client(way).await;
        client.send("GET / HTTP/1.1\r\nHost: shop\r\n").await;
        let said = client.rest_text().await;
        assert!(said.starts_with("HTTP/1.1 408"), "{way:?}: {said:?}");
    }
}

#[tokio::test]
async fn a_second_head_on_a_connection_has_its_own_time() {
    let scene = impatient().await;
    for way in WAYS {
        let (mut client, mut upstream) =
            scene.ask(way, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
        upstream.request().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        assert_eq!(client.response().await.text(), "ok");
        client.send("GET /slow HTTP/1.1\r\n").await;
        let said = trickle(client, b"X: y\r\n").await;
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 4"),
            "{way:?}: {said}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let scene = impatient().await;
    for way in WAYS {
        let mut client = scene.client(way).await;
        assert_eq!(client.rest().await, b"", "{way:?}");
    }
}

#[tokio::test]
async fn an_http2_preface_that_trickles_in_is_cut() {
    let scene = impatient().await;
    for way in WAYS {
        let mut client = scene.client(way).await;
        client.send("PRI * HTTP/2.0\r\n").await;
        let said = client.rest().await;
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 4"),
            "{way:?}: {said:?}"
        );
    }
}

#[tokio::test]
async fn an_http2_head_that_does_not_end_is_cut() {
    let scene = Scene::with(|setup| {
        setup
            .flag("header-timeout", "200ms")
            .flag("idle-timeout", "200ms")
    })
    .await;
    for way in WAYS {
        let mut client = Peer::connect(entry(&scene.sidecar, way), &[]).await;
        // Without END_HEADERS: more is to come, and does not.
        client.send(HEADERS, 1, 1, &request("GET", "/")).await;
        while client.next().await.is_some() {}
        assert!(!scene.is_called(way).await, "{way:?}");
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_cut() {
    // Every other limit is as short as can be, and none of them ends it.
    let scene = Scene::with(|setup| {
        setup
            .flag("body-timeout", "300ms")
            .flag("header-timeout", "200ms")
            .flag("idle-timeout", "200ms")
            .flag("upstream-idle-timeout", "200ms")
            .flag("response-timeout", "60s")
    })
    .await;
    for way in WAYS {
        let request = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\nabc";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.head().await;
        let said = client.rest_text().await;
        assert!(said.starts_with("HTTP/1.1 408"), "{way:?}: {said}");
        assert!(
            said.contains("body_timeout in phase send"),
            "{way:?}: {said}"
        );
        assert_eq!(
            upstream.rest().await,
            b"abc",
            "{way:?}: and so is the upstream's"
        );
    }
}

/// Bodies are waited for no longer than this.
async fn strict() -> Scene {
    Scene::with(|setup| {
        setup
            .flag("body-timeout", "300ms")
            .flag("header-timeout", "100ms")
    })
    .await
}

#[tokio::test]
async fn a_body_that_stops_coming_is_told_by_its_span() {
    let collector = Collector::start().await;
    let scene = Scene::with(|setup| {
        setup
            .flag("body-timeout", "200ms")
            .flag("header-timeout", "100ms")
            .exporting(&collector, Protocol::Http)
    })
    .await;
    for (way, kind) in [(Way::Inbound, Kind::Server), (Way::Route, Kind::Client)] {
        let path = format!("/{way:?}");
        let request = format!("POST {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\nabc");
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.head().await;
        assert_eq!(client.head().await.status(), 408, "{way:?}");
        let span = collector.span(kind, &path).await;
        let said = [
            "throughline.phase.interrupted",
            "throughline.ended_by",
            "error.type",
        ];
        let said = said.map(|name| span.text(name));
        assert_eq!(
            said,
            ["send", "client", "body_timeout"],
            "{}",
            span.summary()
        );
    }
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_not_cut() {
    let scene = strict().await;
    for way in WAYS {
        let request = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 16\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.head().await;
        for _ in 0..16 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            client.send("x").await;
            assert_eq!(upstream.exactly(1).await.unwrap(), b"x", "{way:?}");
        }
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(client.response().await.head.status(), 204, "{way:?}");
    }
}

#[tokio::test]
async fn a_body_that_the_upstream_does_not_take_is_not_cut() {
    let scene = strict().await;
    for way in WAYS {
        let size = 16 << 20;
        let request = format!("POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: {size}\r\n\r\n");
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.head().await;
        let sending = client.send(vec![b'x'; size]);
        let reading = async {
            // As long as it would take to be cut, and longer.
            tokio::time::sleep(Duration::from_millis(900)).await;
            assert_eq!(upstream.exactly(size).await.unwrap().len(), size, "{way:?}");
            upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        };
        tokio::join!(sending, reading);
        assert_eq!(client.response().await.head.status(), 204, "{way:?}");
    }
}

#[tokio::test]
async fn a_body_that_stops_after_its_answer_has_begun_ends_that_too() {
    let scene = strict().await;
    for way in WAYS {
        let request = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\nabc";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            .await;
        assert_eq!(client.head().await.status(), 200, "{way:?}");
        let rest = client.rest_text().await;
        assert_eq!(
            rest, "2\r\nok\r\n",
            "{way:?}: it is cut, and does not look whole"
        );
        upstream.rest().await;
    }
}

#[tokio::test]
async fn a_body_that_stops_in_http2_ends_its_stream_alone() {
    let scene = Scene::with(|setup| {
        setup
            .flag("body-timeout", "300ms")
            .flag("header-timeout", "100ms")
            .flag("app-protocol", "h2c")
    })
    .await;
    for way in [Way::Inbound, Way::Route] {
        let mut client = Peer::connect(entry(&scene.sidecar, way), &[]).await;
        client.post(1, "/").await;
        client.send(DATA, 0, 1, b"abc").await;
        let mut app = Peer::serve(scene.accept(way).await, &[]).await;
        app.wait(HEADERS, 1).await;
        let head = client.wait(HEADERS, 1).await;
        assert!(!head.is_ok(), "{way:?}: {head:?}");
        app.wait(RST_STREAM, 1).await;
        client.get(3, "/").await;
        app.wait(HEADERS, 3).await;
        app.answer(3).await;
        assert_eq!(client.outcome(3).await, Outcome::Answered, "{way:?}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let scene = Scene::start().await;
    for way in WAYS {
        for (name, fields) in [
            ("one field", format!("X: {}\r\n", "y".repeat(80 * 1024))),
            (
                "many fields",
                "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(4000),
            ),
        ] {
            let request = format!("GET / HTTP/1.1\r\nHost: shop\r\n{fields}\r\n");
            let address = entry(&scene.sidecar, way);
            let said = raw(address, scene.spell(way, request)).await;
            assert!(said.starts_with("HTTP/1.1 431"), "{way:?}, {name}: {said}");
            assert!(!scene.is_called(way).await, "{way:?}, {name}");
        }
    }
}

#[tokio::test]
async fn a_target_that_is_too_long_is_refused() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = format!(
            "GET /{} HTTP/1.1\r\nHost: shop\r\n\r\n",
            "x".repeat(80 * 1024)
        );
        let address = entry(&scene.sidecar, way);
        let said = raw(address, scene.spell(way, request)).await;
        let is_refusal = said.starts_with("HTTP/1.1 414") || said.starts_with("HTTP/1.1 431");
        assert!(is_refusal, "{way:?}: {said}");
        assert!(!scene.is_called(way).await, "{way:?}");
    }
}

/// Pours `drop` into a chunked body until it is refused, in at most a few MB.
async fn poured(scene: &Scene, way: Way, opening: &str, drop: &str) -> String {
    let request = "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut client, mut upstream) = scene.ask(way, format!("{request}{opening}")).await;
    upstream.head().await;
    for _ in 0..40 {
        client.send(drop.repeat(100_000 / drop.len())).await;
    }
    client.finish().await;
    let said = client.rest_text().await;
    let rest = upstream.rest().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{way:?}: it is not whole");
    said
}

#[tokio::test]
async fn chunk_extensions_and_trailers_without_end_are_refused() {
    let scene = Scene::start().await;
    let before = scene.sidecar.resident_kib();
    for way in WAYS {
        for (opening, drop) in [
            ("1", ";a=b"),
            ("0\r\n", "X: yyyyyyyyyyyyyyyy\r\n"),
            ("0\r\nX: ", "y"),
        ] {
            let said = poured(&scene, way, opening, drop).await;
            // A reset is a refusal too: there is more that was not read.
            let is_refusal = said.is_empty() || said.starts_with("HTTP/1.1 4");
            assert!(is_refusal, "{way:?}, {opening:?}: {said}");
        }
    }
    let growth = scene.sidecar.resident_kib().saturating_sub(before);
    assert!(growth < 24 * 1024, "{growth} KiB");
}

/// Has each upstream begin a head of 4 MB, as often.
async fn endless_heads(scene: &Scene, times: usize) {
    for way in WAYS.repeat(times) {
        let (mut client, mut upstream) =
            scene.ask(way, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
        upstream.request().await;
        upstream.send("HTTP/1.1 200 OK\r\nX: ").await;
        for _ in 0..40 {
            upstream.send(vec![b'y'; 100_000]).await;
        }
        assert_eq!(client.response().await.head.status(), 502, "{way:?}");
    }
}

#[tokio::test]
async fn an_answer_whose_head_has_no_end_is_broken() {
    let scene = Scene::start().await;
    // Each thread of the sidecar keeps room for what it once needed.
    endless_heads(&scene, 3).await;
    let before = scene.sidecar.resident_kib();
    endless_heads(&scene, 3).await;
    let growth = scene.sidecar.resident_kib().saturating_sub(before);
    assert!(growth < 24 * 1024, "{growth} KiB");
}

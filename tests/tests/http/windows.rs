//! What HTTP/2 lets a peer take: windows, and streams at a time.

use http::{Request, Response};
use throughline_tests::{Client, Setup, Upstream, empty, streamed, until};

use super::{
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, Peer, WINDOW_UPDATE},
    http2::{TWO, app, client, data, scene},
    scene::{Scene, Way},
};

#[tokio::test]
async fn no_more_is_sent_to_a_client_than_its_window_holds() {
    let scene = scene().await;
    for way in TWO {
        // SETTINGS_INITIAL_WINDOW_SIZE.
        let mut client = client(&scene, way, &[(4, 1000)]).await;
        client.get(1, "/").await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        app.send(HEADERS, END_HEADERS, 1, &[0x88]).await;
        app.send(DATA, END_STREAM, 1, &[b'x'; 5000]).await;
        assert_eq!(data(&mut client, 1, 1000).await.len(), 1000, "{way:?}");
        assert!(
            client.sync().await,
            "{way:?}: and no more comes before the answer to this"
        );
        client
            .send(WINDOW_UPDATE, 0, 1, &500_u32.to_be_bytes())
            .await;
        assert_eq!(data(&mut client, 1, 500).await.len(), 500, "{way:?}");
        client
            .send(WINDOW_UPDATE, 0, 1, &9999_u32.to_be_bytes())
            .await;
        assert_eq!(data(&mut client, 1, 3500).await.len(), 3500, "{way:?}");
    }
}

#[tokio::test]
async fn a_stream_that_nobody_reads_holds_up_no_other() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[(4, 1000)]).await;
        client.get(1, "/held").await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        app.send(HEADERS, END_HEADERS, 1, &[0x88]).await;
        app.send(DATA, 0, 1, &[b'x'; 5000]).await;
        data(&mut client, 1, 1000).await;
        for stream in [3, 5, 7] {
            client.get(stream, "/").await;
            app.wait(HEADERS, stream).await;
            app.answer(stream).await;
            assert_eq!(client.outcome(stream).await, Outcome::Answered, "{way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_hold_from_end_to_end() {
    // A caller that does not read; what the app may write into nowhere is bounded.
    let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
    let app = Upstream::http2(move |_| {
        let (mut sender, body) = streamed(1);
        let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let _ = told.send(taken.clone());
        tokio::spawn(async move {
            let piece = bytes::Bytes::from(vec![b'x'; 16 * 1024]);
            while sender.send_data(piece.clone()).await.is_ok() {
                taken.fetch_add(piece.len(), std::sync::atomic::Ordering::Relaxed);
            }
        });
        async { Response::new(body) }
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .flag("app-protocol", "h2c")
        .start()
        .await;
    let mut client = Client::http2(sidecar.inbound()).await;
    let before = sidecar.resident_kib();
    let _response = client
        .send(Request::get("http://shop/").body(empty()).unwrap())
        .await;
    let taken = tell.recv().await.unwrap();
    let (mut last, mut same) = (0, 0);
    until("a stop of what is taken", async || {
        let now = taken.load(std::sync::atomic::Ordering::Relaxed);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        (same > 40).then_some(())
    })
    .await;
    assert!(last < 48 << 20, "{last}");
    let growth = sidecar.resident_kib().saturating_sub(before);
    assert!(growth < 24 * 1024, "{growth} KiB");
}

/// An upstream that takes one request at a time, and has one.
async fn taken(scene: &Scene, way: Way) -> (Peer, Peer) {
    let mut client = client(scene, way, &[]).await;
    client.get(1, "/first").await;
    // SETTINGS_MAX_CONCURRENT_STREAMS.
    let mut app = app(scene, way, &[(3, 1)]).await;
    app.wait(HEADERS, 1).await;
    assert!(app.sync().await, "it knows the limit");
    (client, app)
}

#[tokio::test]
async fn an_upstream_is_not_asked_more_at_a_time_than_it_allows() {
    let scene = scene().await;
    for way in TWO {
        let (mut client, mut first) = taken(&scene, way).await;
        client.get(3, "/second").await;
        assert!(client.sync().await);
        first.answer(1).await;
        assert_eq!(client.outcome(1).await, Outcome::Answered, "{way:?}");
        // There, once there is room, or elsewhere.
        tokio::select! {
            () = async {
                first.wait(HEADERS, 3).await;
                first.answer(3).await;
            } => {}
            () = async {
                let mut second = app(&scene, way, &[(3, 1)]).await;
                second.wait(HEADERS, 1).await;
                second.answer(1).await;
                second.sync().await;
            } => {}
        }
        assert_eq!(client.outcome(3).await, Outcome::Answered, "{way:?}");
    }
}

#[tokio::test]
async fn a_request_beyond_what_an_upstream_takes_goes_elsewhere_or_is_refused_in_time() {
    let scene = Scene::with(|setup| {
        setup
            .flag("app-protocol", "h2c")
            .flag("connect-timeout", "200ms")
    })
    .await;
    for way in TWO {
        let (mut client, _first) = taken(&scene, way).await;
        client.get(3, "/second").await;
        let patience = std::time::Duration::from_secs(3);
        let came = tokio::time::timeout(patience, async {
            tokio::select! {
                _ = scene.accept(way) => {}
                outcome = client.outcome(3) => assert_eq!(outcome, Outcome::Refused),
            }
        });
        assert!(came.await.is_ok(), "{way:?}: it waits on");
    }
}

#[tokio::test]
async fn a_request_that_finds_no_room_in_time_is_told_so_and_the_next_one_gets_what_is_freed() {
    let scene = Scene::with(|setup| {
        setup
            .flag("app-protocol", "h2c")
            .flag("connect-timeout", "200ms")
            .flag("max-connections", "1")
    })
    .await;
    let way = Way::Inbound;
    let (mut client, mut app) = taken(&scene, way).await;
    let mut second = Client::http2(scene.sidecar.inbound()).await;
    let answer = second.get("/second").await;
    assert_eq!(answer.status, 503);
    let text = answer.text();
    assert!(
        text.contains("queue_timeout in phase queue: no room for 200ms on 1 "),
        "{text}"
    );
    app.answer(1).await;
    assert_eq!(client.outcome(1).await, Outcome::Answered);
    client.get(3, "/third").await;
    app.wait(HEADERS, 3).await;
    app.answer(3).await;
    assert_eq!(client.outcome(3).await, Outcome::Answered);
    assert!(!scene.is_called(way).await, "there was one connection");
}

#[tokio::test]
async fn as_many_connections_are_opened_as_the_requests_at_a_time_need() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[]).await;
        let mut apps = Vec::new();
        for n in 0..4 {
            client.get(1 + 2 * n, "/").await;
            if n % 2 == 0 {
                apps.push(app(&scene, way, &[(3, 2)]).await);
            }
            let app = apps.last_mut().unwrap();
            app.wait(HEADERS, 1 + n % 2 * 2).await;
            assert!(app.sync().await, "{way:?}: it knows the limit");
        }
        for n in 0..4 {
            let app = &mut apps[n as usize / 2];
            app.answer(1 + n % 2 * 2).await;
            let outcome = client.outcome(1 + 2 * n).await;
            assert_eq!(outcome, Outcome::Answered, "{way:?}, {n}");
        }
        // Then there is room on the first.
        client.get(9, "/").await;
        apps[0].wait(HEADERS, 5).await;
        apps[0].answer(5).await;
        assert_eq!(client.outcome(9).await, Outcome::Answered, "{way:?}");
    }
}

#[tokio::test]
async fn a_connection_that_nobody_uses_any_more_is_closed() {
    let scene = Scene::with(|setup| {
        setup
            .flag("app-protocol", "h2c")
            .flag("upstream-idle-timeout", "100ms")
    })
    .await;
    let mut client = client(&scene, Way::Inbound, &[]).await;
    client.get(1, "/").await;
    let mut app = app(&scene, Way::Inbound, &[]).await;
    app.wait(HEADERS, 1).await;
    app.answer(1).await;
    assert_eq!(client.outcome(1).await, Outcome::Answered);
    while app.next().await.is_some() {}
}

//! HTTP/2 peers that cost more than they give: what they may take is bounded, and others are served.

use std::sync::atomic::Ordering;

use throughline_tests::Client;

use super::{
    frames::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PING, Peer,
        RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, integer, request,
    },
    stand::Stand,
};

/// The error of the GOAWAY that ends the connection; `None` if it ends without.
async fn goaway(peer: &mut Peer) -> Option<u8> {
    let mut error = None;
    while let Some(frame) = peer.next().await {
        if frame.kind == GOAWAY {
            error = Some(frame.payload[7]);
        }
    }
    error
}

const ENHANCE_YOUR_CALM: u8 = 11;

/// Requests that are reset at once, from this stream on.
fn resets(first: u32, count: u32, path: &str) -> Vec<u8> {
    let head = request("GET", path);
    let streams = (0..count).map(|n| first + 2 * n);
    streams
        .flat_map(|stream| {
            let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
            [opened, frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        })
        .collect()
}

#[tokio::test]
async fn a_burst_of_resets_ends_the_connection() {
    let stand = Stand::start().await;
    let mut peer = stand.peer().await;
    peer.wire.send(resets(1, 5000, "/never")).await;
    assert_eq!(goaway(&mut peer).await, Some(ENHANCE_YOUR_CALM));
    let asked = stand.asked.load(Ordering::SeqCst);
    assert!(asked < 1000, "{asked} of them reached the app");
    stand.stands().await;
}

#[tokio::test]
async fn resets_at_a_measured_pace_end_the_connection() {
    let stand = Stand::start().await;
    let mut peer = stand.peer().await;
    for batch in 0..200 {
        peer.wire.send(resets(1 + batch * 20, 10, "/never")).await;
        if !peer.sync().await {
            stand.stands().await;
            return;
        }
    }
    let asked = stand.asked.load(Ordering::SeqCst);
    panic!("2000 requests were reset, {asked} reached the app, and the connection goes on");
}

#[tokio::test]
async fn streams_that_the_client_makes_fail_end_the_connection() {
    // Each is reset by us, for what the client does to it, and not by the client.
    let stand = Stand::start().await;
    let mut peer = stand.peer().await;
    let head = request("GET", "/never");
    for batch in 0..100_u32 {
        let streams = (0..20).map(|n| 1 + 2 * (batch * 20 + n));
        let frames: Vec<u8> = streams
            .flat_map(|stream| {
                let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
                // A window may not grow by nothing.
                [opened, frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
            })
            .collect();
        peer.wire.send(frames).await;
        if !peer.sync().await {
            stand.stands().await;
            return;
        }
    }
    panic!("2000 streams were made to fail, and the connection goes on");
}

#[tokio::test]
async fn fields_without_end_end_the_connection() {
    for piece in [vec![b'x'; 16_000], Vec::new(), vec![b'x']] {
        let stand = Stand::start().await;
        let mut peer = stand.peer().await;
        let mut head = request("GET", "/");
        // A literal that goes on for a gigabyte.
        head.extend([0, 1, b'x']);
        integer(&mut head, 0, 7, 1 << 30);
        peer.send(HEADERS, END_STREAM, 1, &head).await;
        let many = frame(CONTINUATION, 0, 1, &piece).repeat(200_000 / (piece.len() + 9));
        for _ in 0..20 {
            peer.wire.send(&many).await;
        }
        assert!(!peer.sync().await, "pieces of {}: it goes on", piece.len());
        assert_eq!(
            stand.asked.load(Ordering::SeqCst),
            1,
            "pieces of {}",
            piece.len()
        );
        stand.stands().await;
    }
}

#[tokio::test]
async fn a_small_head_that_stands_for_a_large_one_is_refused() {
    let stand = Stand::start().await;
    let mut peer = stand.peer().await;
    let mut head = request("GET", "/");
    // Into the table, and then from it ten thousand times: 40 MB in 14 kB.
    head.extend([0x40, 1, b'x']);
    integer(&mut head, 0, 7, 4000);
    head.extend([b'y'; 4000]);
    head.extend([0x80 | 62; 10_000]);
    peer.send(HEADERS, END_HEADERS | END_STREAM, 1, &head).await;
    assert_eq!(peer.outcome(1).await, Outcome::Refused);
    assert_eq!(stand.asked.load(Ordering::SeqCst), 1);
    stand.stands().await;
}

#[tokio::test]
async fn a_table_that_is_larger_than_was_allowed_ends_the_connection() {
    let stand = Stand::start().await;
    let mut peer = stand.peer().await;
    let mut head = Vec::new();
    integer(&mut head, 0x20, 5, 1 << 30);
    head.extend(request("GET", "/"));
    peer.send(HEADERS, END_HEADERS | END_STREAM, 1, &head).await;
    assert!(goaway(&mut peer).await.is_some(), "COMPRESSION_ERROR");
    stand.stands().await;
}

/// Pours a hundred thousand of these; whatever becomes of the connection, the rest stands.
async fn pour(stand: &Stand, mut peer: Peer, frame: Vec<u8>) {
    let pouring = tokio::spawn(async move {
        let many = frame.repeat(1000);
        for _ in 0..100 {
            peer.wire.send(&many).await;
        }
        peer
    });
    stand.stands().await;
    // Either it took them all, or it has stopped reading: then this one never gets to its end.
    let _peer = tokio::time::timeout(std::time::Duration::from_secs(2), pouring).await;
    stand.stands().await;
}

#[tokio::test]
async fn settings_without_end_harm_nobody_else() {
    let stand = Stand::start().await;
    let peer = stand.peer().await;
    pour(&stand, peer, frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])).await;
}

#[tokio::test]
async fn pings_without_end_harm_nobody_else() {
    let stand = Stand::start().await;
    let peer = stand.peer().await;
    pour(&stand, peer, frame(PING, 0, 0, b"12345678")).await;
}

#[tokio::test]
async fn empty_data_without_end_harms_nobody_else() {
    let stand = Stand::start().await;
    let mut peer = stand.peer().await;
    peer.post(1, "/never").await;
    pour(&stand, peer, frame(DATA, 0, 1, &[])).await;
}

#[tokio::test]
async fn frames_of_an_unknown_kind_harm_nobody_else() {
    let stand = Stand::start().await;
    let mut peer = stand.peer().await;
    peer.wire
        .send(frame(0xbb, 0xff, 0, b"12345678").repeat(1000))
        .await;
    assert!(peer.sync().await, "they are passed over");
    pour(&stand, peer, frame(0xbb, 0, 0, &[0; 100])).await;
}

#[tokio::test]
async fn settings_without_end_end_the_connection() {
    let stand = Stand::start().await;
    let mut peer = stand.peer().await;
    for _ in 0..100 {
        peer.wire
            .send(frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]).repeat(200))
            .await;
        if !peer.sync().await {
            return;
        }
    }
    panic!("20000 SETTINGS were answered");
}

#[tokio::test]
async fn more_streams_than_were_allowed_are_refused() {
    let stand = Stand::with(|setup| setup.flag("max-streams", "100")).await;
    let mut peer = stand.peer().await;
    for n in 0..144 {
        peer.get(1 + 2 * n, "/never").await;
    }
    let mut refused = 0;
    while refused < 44 {
        let frame = peer.next().await.expect("the connection goes on");
        if frame.kind == RST_STREAM {
            // REFUSED_STREAM: nothing was done, ask again.
            assert_eq!(frame.payload, [0, 0, 0, 7]);
            refused += 1;
        }
    }
    assert!(peer.sync().await);
    // What a hundred requests take is no flood.
    stand.stands_within(32 * 1024).await;
}

#[tokio::test]
async fn a_window_that_overflows_ends_what_it_belongs_to() {
    let stand = Stand::start().await;
    let mut peer = stand.peer().await;
    peer.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])
        .await;
    peer.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])
        .await;
    assert_eq!(goaway(&mut peer).await, Some(3), "FLOW_CONTROL_ERROR");
    stand.stands().await;
}

#[tokio::test]
async fn a_peer_that_sends_more_than_its_window_is_cut() {
    let stand = Stand::start().await;
    let mut peer = stand.peer().await;
    peer.post(1, "/never").await;
    for _ in 0..4000 {
        peer.send(DATA, 0, 1, &[0; 16_000]).await;
    }
    let mut is_cut = false;
    while let Some(frame) = peer.next().await {
        is_cut |= matches!(frame.kind, GOAWAY | RST_STREAM);
    }
    assert!(is_cut, "FLOW_CONTROL_ERROR");
    stand.stands().await;
}

#[tokio::test]
async fn a_flood_is_counted() {
    let stand = Stand::start().await;
    let head = request("GET", "/never");
    let endless = [
        frame(HEADERS, 0, 1, &head),
        frame(CONTINUATION, 0, 1, &block(&[(b"x", b"y")])).repeat(5000),
    ];
    for (kind, flood) in [
        ("reset", resets(1, 5000, "/never")),
        ("continuation", endless.concat()),
        ("settings", frame(SETTINGS, 0, 0, &[]).repeat(5000)),
    ] {
        let mut peer = stand.peer().await;
        peer.wire.send(flood).await;
        goaway(&mut peer).await;
        let label = format!("kind=\"{kind}\"");
        let seen = |metrics: &throughline_tests::Metrics| {
            metrics.sum("throughline_http2_floods_total", &label) == 1.0
        };
        let waited = stand.sidecar.metrics_until("a count of the flood", seen);
        waited.await;
    }
}

#[tokio::test]
async fn an_upstream_that_floods_harms_nobody_else() {
    let scene = super::scene::Scene::with(|setup| setup.flag("app-protocol", "h2c")).await;
    let before = scene.sidecar.resident_kib();
    let mut client = Client::http2(scene.sidecar.inbound()).await;
    let asking = client.get("/x");
    let upstream = async {
        let wire = scene.accept(super::scene::Way::Inbound).await;
        let mut app = Peer::serve(wire, &[]).await;
        app.wait(HEADERS, 1).await;
        app.send(SETTINGS, ACK, 0, &[]).await;
        let flood = [
            frame(SETTINGS, 0, 0, &[]),
            frame(PING, 0, 0, b"12345678"),
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        ];
        app.wire.send(flood.concat().repeat(5000)).await;
        app.answer(1).await;
        app
    };
    let (answer, _app) = tokio::join!(asking, upstream);
    assert!(
        [200, 502].contains(&answer.status.as_u16()),
        "{}",
        answer.text()
    );
    let growth = scene.sidecar.resident_kib().saturating_sub(before);
    assert!(growth < 16 * 1024, "{growth} KiB");
}

#[tokio::test]
async fn an_upstream_whose_fields_have_no_end_is_broken() {
    let scene = super::scene::Scene::with(|setup| setup.flag("app-protocol", "h2c")).await;
    let before = scene.sidecar.resident_kib();
    let mut client = Client::http2(scene.sidecar.inbound()).await;
    let asking = client.get("/x");
    let upstream = async {
        let wire = scene.accept(super::scene::Way::Inbound).await;
        let mut app = Peer::serve(wire, &[]).await;
        app.wait(HEADERS, 1).await;
        let mut head = vec![0x88];
        head.extend(block(&[(b"x", &[b'y'; 10_000])]));
        app.send(HEADERS, 0, 1, &head).await;
        let piece = frame(CONTINUATION, 0, 1, &block(&[(b"x", &[b'y'; 10_000])]));
        for _ in 0..2000 {
            app.wire.send(&piece).await;
        }
        app
    };
    let (answer, _app) = tokio::join!(asking, upstream);
    assert_eq!(answer.status, 502, "{}", answer.text());
    let growth = scene.sidecar.resident_kib().saturating_sub(before);
    assert!(growth < 16 * 1024, "{growth} KiB");
}

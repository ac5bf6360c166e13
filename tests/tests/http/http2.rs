//! HTTP/2 with prior knowledge, on both sides, frame by frame.

use http::{Request, Response};
use throughline_tests::{Client, Setup, Upstream, curl, empty, text};

use super::{
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Peer, block},
    scene::{Scene, Way, entry},
};

/// The ways that HTTP/2 is tried on; a whole address is no matter of its frames.
pub(crate) const TWO: [Way; 2] = [Way::Inbound, Way::Route];

/// What all of these speak.
pub(crate) async fn scene() -> Scene {
    Scene::with(|setup| setup.flag("app-protocol", "h2c")).await
}

pub(crate) async fn client(scene: &Scene, way: Way, settings: &[(u16, u32)]) -> Peer {
    Peer::connect(entry(&scene.sidecar, way), settings).await
}

pub(crate) async fn app(scene: &Scene, way: Way, settings: &[(u16, u32)]) -> Peer {
    Peer::serve(scene.accept(way).await, settings).await
}

/// How much data of a stream comes until `stop`.
pub(crate) async fn data(peer: &mut Peer, stream: u32, count: usize) -> Vec<u8> {
    let mut data = Vec::new();
    while data.len() < count {
        data.extend(peer.wait(DATA, stream).await.payload);
    }
    data
}

#[tokio::test]
async fn a_request_and_its_answer_pass_as_frames() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[]).await;
        client.post(1, "/a//b?c=%2F").await;
        client.send(DATA, 0, 1, b"hello ").await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        assert_eq!(data(&mut app, 1, 6).await, b"hello ");
        client.send(DATA, END_STREAM, 1, b"there").await;
        assert_eq!(data(&mut app, 1, 5).await, b"there");
        app.send(HEADERS, END_HEADERS, 1, &[0x88]).await;
        assert!(client.wait(HEADERS, 1).await.is_ok());
        app.send(DATA, END_STREAM, 1, b"general").await;
        assert_eq!(data(&mut client, 1, 7).await, b"general");
    }
}

#[tokio::test]
async fn trailers_pass_both_ways_and_need_not_be_announced() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[]).await;
        client.post(1, "/").await;
        client.send(DATA, 0, 1, b"hello").await;
        let trailer = block(&[(b"x-sum", b"6")]);
        client
            .send(HEADERS, END_HEADERS | END_STREAM, 1, &trailer)
            .await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        data(&mut app, 1, 5).await;
        let got = app.wait(HEADERS, 1).await;
        assert!(got.ends() && !got.payload.is_empty(), "{way:?}: {got:?}");
        app.send(HEADERS, END_HEADERS, 1, &[0x88]).await;
        app.send(DATA, 0, 1, b"there").await;
        app.send(HEADERS, END_HEADERS | END_STREAM, 1, &trailer)
            .await;
        assert!(client.wait(HEADERS, 1).await.is_ok());
        data(&mut client, 1, 5).await;
        let got = client.wait(HEADERS, 1).await;
        assert!(got.ends() && !got.payload.is_empty(), "{way:?}: {got:?}");
    }
}

#[tokio::test]
#[ignore = "h2 neither shows interim answers nor sends them"]
async fn early_hints_pass_in_http2() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[]).await;
        client.get(1, "/").await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        let hints = block(&[(b":status", b"103"), (b"link", b"</a>")]);
        app.send(HEADERS, END_HEADERS, 1, &hints).await;
        app.answer(1).await;
        let first = client.wait(HEADERS, 1).await;
        assert!(!first.ends() && !first.is_ok(), "{way:?}: {first:?}");
        assert!(client.wait(HEADERS, 1).await.is_ok(), "{way:?}");
    }
}

#[tokio::test]
async fn an_answer_after_early_hints_passes_in_http2() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[]).await;
        client.get(1, "/").await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        let hints = block(&[(b":status", b"103"), (b"link", b"</a>")]);
        app.send(HEADERS, END_HEADERS, 1, &hints).await;
        app.answer(1).await;
        let mut got = client.wait(HEADERS, 1).await;
        while !got.ends() {
            got = client.wait(HEADERS, 1).await;
        }
        assert!(got.is_ok(), "{way:?}");
    }
}

#[tokio::test]
async fn the_outbound_proxy_is_asked_in_http2_too() {
    let upstream = Upstream::http2(|_| async { Response::new(text("ok")) }).await;
    let sidecar = Setup::outbound_alone().start().await;
    let mut client = Client::http2(sidecar.outbound()).await;
    let request = Request::get(format!("http://{}/x", upstream.address()));
    let answer = client.ask(request.body(empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "ok"));
}

#[tokio::test]
async fn curl_speaks_http2_to_an_app_that_does() {
    let app = Upstream::http2(|_| async { Response::new(text("ok")) }).await;
    let sidecar = Setup::beside(app.address()).start().await;
    let url = sidecar.url("/x");
    let answer = curl(&["--http2-prior-knowledge", &url]).await;
    assert_eq!(
        (answer.status, &*answer.body),
        (200, "ok"),
        "{}",
        answer.log
    );
    assert!(answer.log.starts_with("HTTP/2 200"), "{}", answer.log);
}

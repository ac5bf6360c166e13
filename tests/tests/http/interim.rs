//! Answers before the answer: 100, 102 and 103, which are the upstream's to give.

use throughline_tests::{Upstream, curl};

use super::scene::{Scene, WAYS, Way};

/// A request that waits to be told to go on, without its body.
const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn an_expectation_reaches_the_upstream_and_its_100_the_client() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, EXPECTING).await;
        let head = upstream.head().await;
        assert_eq!(head.all("expect"), ["100-continue"], "{way:?}");
        upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let told = client.head().await;
        assert_eq!(told.status(), 100, "{way:?}");
        client.send("hello").await;
        assert_eq!(upstream.exactly(5).await.unwrap(), b"hello", "{way:?}");
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        let told = client.response().await;
        assert_eq!((told.head.status(), &*told.text()), (200, "ok"), "{way:?}");
    }
}

#[tokio::test]
async fn an_expectation_that_is_refused_is_refused_without_a_100() {
    let scene = Scene::start().await;
    for way in WAYS {
        for status in [
            "417 Expectation Failed",
            "401 Unauthorized",
            "413 Content Too Large",
        ] {
            let (mut client, mut upstream) = scene.ask(way, EXPECTING).await;
            upstream.head().await;
            upstream
                .send(format!(
                    "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
                ))
                .await;
            let told = client.head().await;
            assert_eq!(told.line, format!("HTTP/1.1 {status}"), "{way:?}");
            assert_eq!(client.exactly(2).await.unwrap(), b"no", "{way:?}");
            upstream.close().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_expects_a_100_and_does_not_wait_is_answered() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, format!("{EXPECTING}hello")).await;
        assert_eq!(upstream.request().await.text(), "hello", "{way:?}");
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        let mut told = client.head().await;
        while told.status() < 200 {
            told = client.head().await;
        }
        assert_eq!(told.status(), 200, "{way:?}");
        assert_eq!(client.exactly(2).await.unwrap(), b"ok", "{way:?}");
    }
}

#[tokio::test]
async fn a_client_that_expects_a_100_gets_one_only() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, EXPECTING).await;
        upstream.head().await;
        upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 100, "{way:?}");
        client.send("hello").await;
        assert_eq!(upstream.exactly(5).await.unwrap(), b"hello", "{way:?}");
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 204, "{way:?}");
    }
}

#[tokio::test]
async fn curl_uploads_with_an_expectation() {
    let app = Upstream::http1(|request| async move {
        use http_body_util::BodyExt;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        http::Response::new(throughline_tests::text(body.len().to_string()))
    })
    .await;
    let sidecar = throughline_tests::Setup::beside(app.address())
        .start()
        .await;
    let body = "y".repeat(2 * 1024 * 1024);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("body");
    std::fs::write(&file, &body).unwrap();
    let data = format!("@{}", file.display());
    let url = sidecar.url("/");
    let answer = curl(&["-H", "Expect: 100-continue", "--data-binary", &data, &url]).await;
    assert_eq!((answer.status, answer.body), (200, body.len().to_string()));
}

/// The interim answers that `client` gets before the final one, by status and `Link`.
async fn interim(scene: &Scene, way: Way, before: &str) -> Vec<(u16, Vec<String>)> {
    let request = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
    let (mut client, mut upstream) = scene.ask(way, request).await;
    upstream.request().await;
    upstream.send(before).await;
    upstream
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        .await;
    let mut got = Vec::new();
    loop {
        let head = client.head().await;
        if head.status() >= 200 {
            assert_eq!(head.status(), 200, "{way:?}");
            assert_eq!(client.exactly(2).await.unwrap(), b"ok", "{way:?}");
            upstream.close().await;
            return got;
        }
        got.push((head.status(), head.all("link")));
    }
}

#[tokio::test]
async fn an_answer_after_interim_ones_is_passed() {
    let scene = Scene::start().await;
    for way in WAYS {
        for before in [
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
        ] {
            interim(&scene, way, before).await;
        }
    }
}

#[tokio::test]
async fn early_hints_are_passed() {
    let scene = Scene::start().await;
    for way in WAYS {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nLink: </b>\r\n\r\n";
        let got = interim(&scene, way, hints).await;
        let links = vec!["</a>; rel=preload".to_owned(), "</b>".to_owned()];
        assert_eq!(got, [(103, links)], "{way:?}");
        let two = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </c>\r\n\r\n";
        let got = interim(&scene, way, two).await;
        assert_eq!(
            got,
            [(102, vec![]), (103, vec!["</c>".to_owned()])],
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn early_hints_come_before_the_answer_is_there() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.request().await;
        upstream
            .send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .await;
        assert_eq!(client.head().await.status(), 103, "{way:?}");
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 204, "{way:?}");
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_interim_answer() {
    // RFC 9110 section 15.2.
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "GET / HTTP/1.0\r\nHost: shop\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.request().await;
        upstream
            .send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
            .await;
        assert_eq!(client.head().await.status(), 204, "{way:?}");
    }
}

#[tokio::test]
async fn interim_answers_keep_their_place_among_pipelined_ones() {
    let scene = Scene::start().await;
    for way in WAYS {
        let one = scene.spell(way, "GET /1 HTTP/1.1\r\nHost: shop\r\n\r\n");
        let two = scene.spell(way, "GET /2 HTTP/1.1\r\nHost: shop\r\n\r\n");
        let mut client = scene.client(way).await;
        client.send([one, two].concat()).await;
        let mut upstream = scene.accept(way).await;
        for n in ["1", "2"] {
            upstream.request().await;
            // In pieces, and then with the answer in one.
            upstream.send("HTTP/1.").await;
            upstream
                .send(format!("1 103 Early Hints\r\nLink: </{n}>\r\n\r\n"))
                .await;
            upstream
                .send(format!(
                    "HTTP/1.1 103 Early Hints\r\nLink: </{n}b>\r\n\r\n\
                     HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}"
                ))
                .await;
            for hint in [n.to_owned(), format!("{n}b")] {
                let head = client.head().await;
                assert_eq!(head.status(), 103, "{way:?}");
                assert_eq!(head.all("link"), [format!("</{hint}>")], "{way:?}");
            }
            assert_eq!(client.response().await.text(), n, "{way:?}");
        }
        upstream.close().await;
    }
}

#[tokio::test]
async fn a_client_that_was_refused_may_ask_again_on_a_new_connection() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, EXPECTING).await;
        upstream.head().await;
        // It would keep the connection, but its body is not going to come.
        upstream
            .send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
            .await;
        assert_eq!(client.response().await.head.status(), 401, "{way:?}");
        assert_eq!(client.rest().await, b"", "{way:?}: it is closed");
        assert_eq!(upstream.rest().await, b"", "{way:?}: and so is this");
        let (mut client, mut upstream) = scene.ask(way, EXPECTING).await;
        upstream.head().await;
        upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 100, "{way:?}");
        client.send("hello").await;
        assert_eq!(upstream.exactly(5).await.unwrap(), b"hello", "{way:?}");
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 204, "{way:?}");
        upstream.close().await;
    }
}

//! What an upstream sends beyond its answer is nobody's.

use super::scene::{Scene, WAYS};

const GET: &str = "GET /x HTTP/1.1\r\nHost: shop\r\n\r\n";

#[tokio::test]
async fn what_follows_an_answer_is_not_the_answer_to_the_next_request() {
    let evil = "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil";
    let scene = Scene::start().await;
    for way in WAYS {
        for (method, head) in [
            ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            (
                "GET",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            ),
            ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
            (
                "GET",
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 70\r\n\r\n",
            ),
            ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n"),
        ] {
            let request = format!("{method} /x HTTP/1.1\r\nHost: shop\r\n\r\n");
            let (mut client, mut upstream) = scene.ask(way, request).await;
            upstream.head().await;
            upstream.send(format!("{head}{evil}")).await;
            match method {
                "HEAD" => client.response_to_head().await,
                _ => client.response().await,
            };
            client.send(scene.spell(way, GET)).await;
            let mut another = scene.accept(way).await;
            another.request().await;
            let good = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngood";
            another.send(good).await;
            let got = client.response().await;
            assert_eq!(got.text(), "good", "{way:?}, {head:?}: {got:?}");
            another.close().await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_nobodys() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, GET).await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        assert_eq!(client.response().await.text(), "ok");
        // While it is idle; the sidecar hangs up when it has seen it.
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            .await;
        assert_eq!(upstream.rest().await, b"", "{way:?}");
        client.send(scene.spell(way, GET)).await;
        let mut upstream = scene.accept(way).await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
            .await;
        assert_eq!(client.response().await.text(), "good", "{way:?}");
    }
}

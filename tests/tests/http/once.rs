//! A request that may have had an effect is never sent twice.

use super::scene::{Scene, WAYS, Way};

/// One request that the upstream takes and dies over; then another, to show that nothing else came.
async fn dies_over(way: Way, request: &str, is_reused: bool) {
    let scene = Scene::start().await;
    let warm = "GET /warm HTTP/1.1\r\nHost: shop\r\n\r\n";
    let mut client = scene.client(way).await;
    let mut upstream = None;
    if is_reused {
        client.send(scene.spell(way, warm)).await;
        let mut first = scene.accept(way).await;
        first.request().await;
        first.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(client.response().await.head.status(), 204);
        upstream = Some(first);
    }
    client.send(scene.spell(way, request)).await;
    let mut upstream = match upstream {
        Some(upstream) => upstream,
        None => scene.accept(way).await,
    };
    upstream.request().await;
    drop(upstream);
    let status = client.response().await.head.status();
    assert_eq!(status, 502, "{way:?}: {request:?}, reused: {is_reused}");
    client.send(scene.spell(way, warm)).await;
    let mut upstream = scene.accept(way).await;
    let next = upstream.request().await.head.line;
    assert_eq!(
        next, "GET /warm HTTP/1.1",
        "{way:?}: {request:?}, reused: {is_reused}"
    );
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    for way in WAYS {
        for is_reused in [false, true] {
            let post = "POST /pay HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\n4444";
            dies_over(way, post, is_reused).await;
            let empty = "POST /pay HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n";
            dies_over(way, empty, is_reused).await;
        }
    }
}

#[tokio::test]
async fn a_method_that_nobody_knows_is_never_sent_twice() {
    for way in WAYS {
        dies_over(way, "CHARGE /pay HTTP/1.1\r\nHost: shop\r\n\r\n", true).await;
        dies_over(way, "PATCH /pay HTTP/1.1\r\nHost: shop\r\n\r\n", true).await;
    }
}

#[tokio::test]
async fn a_request_with_a_body_is_never_sent_twice() {
    for way in WAYS {
        let put = "PUT /pay HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\n4444";
        dies_over(way, put, true).await;
    }
}

#[tokio::test]
async fn a_get_on_a_new_connection_is_not_sent_twice() {
    for way in WAYS {
        dies_over(way, "GET /deadly HTTP/1.1\r\nHost: shop\r\n\r\n", false).await;
    }
}

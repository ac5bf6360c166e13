//! Methods: those that everybody knows, those that nobody does, and HEAD.

use super::scene::{Scene, WAYS, Way};

#[tokio::test]
async fn a_method_is_passed_whatever_it_is() {
    let scene = Scene::start().await;
    for way in WAYS {
        for method in [
            "PATCH",
            "DELETE",
            "TRACE",
            "PROPFIND",
            "MKCOL",
            "M-SEARCH",
            "PURGE",
            "QUERY",
            "get",
            "Get",
            "X",
            "AVERYLONGMETHODTHATNOBODYHASEVERSEENBEFORE",
            "!#$%&'*+-.^_`|~09azAZ",
        ] {
            let request = format!("{method} /x HTTP/1.1\r\nHost: shop\r\n\r\n");
            let (mut client, mut upstream) = scene.ask(way, request).await;
            let got = upstream.request().await.head.line;
            assert_eq!(got, format!("{method} /x HTTP/1.1"), "{way:?}");
            upstream
                .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                .await;
            assert_eq!(client.response().await.text(), "ok", "{way:?}: {method}");
            upstream.close().await;
        }
    }
}

/// Asks twice on one connection; the first answer has no body, and nothing of it is left over.
async fn bodiless(
    way: Way,
    scene: &Scene,
    method: &str,
    answer: &str,
    status: u16,
    length: &[&str],
) {
    let request = format!("{method} /first HTTP/1.1\r\nHost: shop\r\n\r\n");
    let (mut client, mut upstream) = scene.ask(way, request).await;
    upstream.request().await;
    upstream.send(answer).await;
    let got = match method {
        "HEAD" => client.response_to_head().await,
        _ => client.response().await,
    };
    assert_eq!(got.head.status(), status, "{way:?}: {answer:?}");
    assert_eq!(
        got.head.all("content-length"),
        length,
        "{way:?}: {answer:?}"
    );
    assert_eq!(got.head.all("etag"), ["\"1\""], "{way:?}: {answer:?}");

    let second = "GET /second HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    client.send(scene.spell(way, second)).await;
    let line = upstream.request().await.head.line;
    assert_eq!(line, "GET /second HTTP/1.1", "{way:?}: {answer:?}");
    upstream
        .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        .await;
    assert_eq!(client.response().await.text(), "ok", "{way:?}: {answer:?}");
    assert_eq!(client.rest().await, b"", "{way:?}: {answer:?}");
    upstream.close().await;
}

#[tokio::test]
async fn a_head_is_answered_with_the_length_and_without_the_body() {
    let scene = Scene::start().await;
    for way in WAYS {
        for (answer, length) in [
            (
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 12345\r\n\r\n",
                &["12345"][..],
            ),
            (
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n",
                &["0"],
            ),
            (
                "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nTransfer-Encoding: chunked\r\n\r\n",
                &[],
            ),
            ("HTTP/1.1 200 OK\r\nETag: \"1\"\r\n\r\n", &[]),
        ] {
            bodiless(way, &scene, "HEAD", answer, 200, length).await;
        }
    }
}

#[tokio::test]
async fn an_answer_204_has_no_body_and_no_length() {
    let scene = Scene::start().await;
    for way in WAYS {
        let answer = "HTTP/1.1 204 No Content\r\nETag: \"1\"\r\n\r\n";
        for method in ["GET", "POST", "DELETE", "HEAD"] {
            bodiless(way, &scene, method, answer, 204, &[]).await;
        }
    }
}

#[tokio::test]
async fn an_answer_304_has_no_body() {
    let scene = Scene::start().await;
    for way in WAYS {
        let answer = "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n";
        for method in ["GET", "HEAD"] {
            bodiless(way, &scene, method, answer, 304, &[]).await;
        }
    }
}

#[tokio::test]
async fn an_answer_304_keeps_its_length() {
    let scene = Scene::start().await;
    for way in WAYS {
        let answer = "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 12345\r\n\r\n";
        for method in ["GET", "HEAD"] {
            bodiless(way, &scene, method, answer, 304, &["12345"]).await;
        }
    }
}

#[tokio::test]
async fn a_status_and_its_reason_are_passed_whatever_they_are() {
    let scene = Scene::start().await;
    for way in WAYS {
        for line in [
            "200 OK",
            "226 IM Used",
            "299 x",
            "418 I'm a teapot",
            "451 x",
            "599 x",
            "799 x",
            "404 ",
        ] {
            let request = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
            let (mut client, mut upstream) = scene.ask(way, request).await;
            upstream.request().await;
            upstream
                .send(format!(
                    "HTTP/1.1 {line}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
                ))
                .await;
            let got = client.response().await;
            assert_eq!(got.head.line[9..12], line[..3], "{way:?}");
            assert_eq!(got.text(), "ok", "{way:?}: {line}");
            upstream.close().await;
        }
    }
}

#[tokio::test]
async fn an_answer_204_that_says_a_length_loses_it() {
    // RFC 9110 section 8.6: a server sends none, and whoever reads one may wait for that body.
    let scene = Scene::start().await;
    for way in WAYS {
        let answer = "HTTP/1.1 204 No Content\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n";
        bodiless(way, &scene, "GET", answer, 204, &[]).await;
    }
}

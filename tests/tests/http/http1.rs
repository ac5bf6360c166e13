//! One HTTP/1.1 connection: requests in a row, sides that have said all, and answers that come early.

use super::{
    scene::{Scene, WAYS},
    wire::Framing,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";

#[tokio::test]
async fn requests_in_a_row_are_answered_in_their_order() {
    let scene = Scene::start().await;
    for way in WAYS {
        let requests = [
            "GET /0 HTTP/1.1\r\nHost: shop\r\n\r\n",
            "POST /1 HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc",
            "POST /2 HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n",
            "HEAD /3 HTTP/1.1\r\nHost: shop\r\n\r\n",
            "GET /4 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n",
        ];
        let all: Vec<u8> = requests.iter().flat_map(|r| scene.spell(way, r)).collect();
        let mut client = scene.client(way).await;
        client.send(all).await;
        let mut upstream = scene.accept(way).await;
        for (n, body) in ["", "abc", "def", "", ""].iter().enumerate() {
            let got = upstream.request().await;
            assert!(
                got.head.line.contains(&format!(" /{n} ")),
                "{way:?}: {}",
                got.head.line
            );
            assert_eq!(got.text(), *body, "{way:?}");
            let body = if n == 3 { "" } else { "ok" };
            upstream
                .send(format!(
                    "HTTP/1.1 200 OK\r\nX-N: {n}\r\nContent-Length: 2\r\n\r\n{body}"
                ))
                .await;
        }
        for n in 0..5 {
            let got = match n {
                3 => client.response_to_head().await,
                _ => client.response().await,
            };
            assert_eq!(got.head.all("x-n"), [n.to_string()], "{way:?}");
        }
        assert_eq!(
            client.rest().await,
            b"",
            "{way:?}: it is closed as the client asked"
        );
    }
}

#[tokio::test]
async fn a_client_that_has_said_all_gets_its_whole_answer() {
    let scene = Scene::start().await;
    for way in WAYS {
        let post = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc";
        for request in [GET, post] {
            let mut client = scene.client(way).await;
            client.send(scene.spell(way, request)).await;
            client.finish().await;
            let mut upstream = scene.accept(way).await;
            upstream.request().await;
            upstream
                .send("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            assert_eq!(client.head().await.status(), 200, "{way:?}");
            for part in ["2\r\nab\r\n", "3\r\ncde\r\n"] {
                upstream.send(part).await;
                let chunk = client.chunk().await.unwrap();
                assert_eq!(chunk.len() + 48, usize::from(part.as_bytes()[0]), "{way:?}");
            }
            upstream.send("0\r\n\r\n").await;
            assert!(client.chunk().await.unwrap().is_empty(), "{way:?}");
            upstream.close().await;
        }
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_is_never_whole_at_the_upstream() {
    let scene = Scene::start().await;
    for way in WAYS {
        for request in [
            "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\nabc",
            "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
            "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        ] {
            for is_reset in [false, true] {
                let (client, mut upstream) = scene.ask(way, request).await;
                upstream.through(b"\r\n\r\n").await;
                if is_reset {
                    client.reset();
                } else {
                    client.close().await;
                }
                let rest = String::from_utf8_lossy(&upstream.rest().await).into_owned();
                assert!(
                    !rest.contains("0\r\n\r\n"),
                    "{way:?}, {request:?}: {rest:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_has_an_end_of_its_own() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, GET).await;
        upstream.request().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall ")
            .await;
        assert_eq!(client.head().await.status(), 200, "{way:?}");
        assert_eq!(client.chunk().await.unwrap(), b"all ", "{way:?}");
        upstream.send("of it").await;
        upstream.close().await;
        assert_eq!(client.chunk().await.unwrap(), b"of it", "{way:?}");
        assert_eq!(client.chunk().await.unwrap(), b"", "{way:?}: it is whole");
        assert_eq!(client.exactly(2).await.unwrap(), b"\r\n");
        // And the client's connection goes on.
        client.send(scene.spell(way, GET)).await;
        let mut upstream = scene.accept(way).await;
        upstream.request().await;
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(client.response().await.head.status(), 204, "{way:?}");
    }
}

#[tokio::test]
async fn a_length_stays_a_length_and_chunks_stay_chunks() {
    let scene = Scene::start().await;
    for way in WAYS {
        for (fields, body, framing) in [
            ("Content-Length: 3", "abc", Framing::Length),
            ("Content-Length: 0", "", Framing::Length),
            (
                "Transfer-Encoding: chunked",
                "3\r\nabc\r\n0\r\n\r\n",
                Framing::Chunked,
            ),
        ] {
            let request = format!("POST / HTTP/1.1\r\nHost: shop\r\n{fields}\r\n\r\n{body}");
            let (mut client, mut upstream) = scene.ask(way, request).await;
            assert_eq!(
                upstream.request().await.framing,
                framing,
                "{way:?}, {fields}"
            );
            upstream
                .send(format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\n{fields}\r\n\r\n{body}"
                ))
                .await;
            assert_eq!(
                client.response().await.framing,
                framing,
                "{way:?}, {fields}"
            );
            upstream.close().await;
        }
    }
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_whole() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000\r\n\r\nabc";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
            .await;
        upstream.finish().await;
        let got = client.response().await;
        assert_eq!((got.head.status(), &*got.text()), (413, "no"), "{way:?}");
    }
}

#[tokio::test]
async fn the_rest_of_a_request_still_comes_after_an_early_answer() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 10\r\n\r\nabc";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
            .await;
        assert_eq!(client.response().await.text(), "early", "{way:?}");
        client.send("defghij").await;
        assert_eq!(
            upstream.exactly(10).await.unwrap(),
            b"abcdefghij",
            "{way:?}"
        );
        // The next request is another, wherever it goes.
        client.send(scene.spell(way, GET)).await;
        let mut another = match upstream.try_request().await.unwrap() {
            Some(_) => upstream,
            None => {
                let mut another = scene.accept(way).await;
                another.request().await;
                another
            }
        };
        another.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(client.response().await.head.status(), 204, "{way:?}");
    }
}

#[tokio::test]
async fn a_client_that_still_sends_reads_the_answer_that_refuses_it() {
    // Closed under what it sends, its system would throw the answer away.
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4000000\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
            .await;
        upstream.reset();
        for _ in 0..40 {
            client.send(vec![b'x'; 100_000]).await;
        }
        let got = client.response().await;
        assert_eq!((got.head.status(), &*got.text()), (413, "no"), "{way:?}");
    }
}

#[tokio::test]
async fn a_connection_is_closed_where_the_client_asks_for_it_and_not_where_the_upstream_does() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, GET).await;
        upstream.request().await;
        upstream
            .send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
            .await;
        let got = client.response().await;
        assert!(got.head.all("connection").is_empty(), "{way:?}: {got:?}");
        upstream.close().await;
        let closing = "GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
        client.send(scene.spell(way, closing)).await;
        let mut upstream = scene.accept(way).await;
        let got = upstream.request().await;
        assert!(
            got.head.all("connection").is_empty(),
            "{way:?}: the upstream's goes on"
        );
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
        let got = client.response().await;
        assert_eq!(got.head.all("connection"), ["close"], "{way:?}");
        assert_eq!(client.rest().await, b"", "{way:?}");
    }
}

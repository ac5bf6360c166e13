//! Chunks with extensions, and what comes after the last of them.

use throughline_tests::curl;

use super::{
    scene::{Scene, WAYS},
    wire::{Framing, values},
};

/// A body whose chunks have extensions of every form, and the same without its framing.
const EXTENDED: &str =
    "4;a\r\nWiki\r\n5;b=c;d=\"e;\\\" f\"\r\npedia\r\n0A;x\r\n in chunks\r\n000;last=1\r\n";

#[tokio::test]
async fn chunks_with_extensions_are_understood_both_ways() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, format!("{request}{EXTENDED}\r\n")).await;
        let got = upstream.request().await;
        assert_eq!(got.text(), "Wikipedia in chunks", "{way:?}");
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        upstream.send(format!("{answer}{EXTENDED}\r\n")).await;
        let got = client.response().await;
        assert_eq!(got.text(), "Wikipedia in chunks", "{way:?}");
        assert_eq!(got.framing, Framing::Chunked, "{way:?}");
    }
}

#[tokio::test]
async fn chunks_may_come_byte_by_byte() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        for byte in format!("{EXTENDED}\r\n").as_bytes() {
            client.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(
            upstream.request().await.text(),
            "Wikipedia in chunks",
            "{way:?}"
        );
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{EXTENDED}\r\n");
        for byte in answer.as_bytes() {
            upstream.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(
            client.response().await.text(),
            "Wikipedia in chunks",
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn trailers_that_are_announced_are_kept_both_ways() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "POST / HTTP/1.1\r\nHost: shop\r\nTE: trailers\r\nConnection: TE\r\n\
            Trailer: X-Sum, X-More\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\n0\r\nX-Sum: 6\r\nX-More: a\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        let got = upstream.request().await;
        assert_eq!(got.text(), "abc", "{way:?}");
        assert_eq!(values(&got.trailers, "x-sum"), ["6"], "{way:?}");
        assert_eq!(values(&got.trailers, "x-more"), ["a"], "{way:?}");
        assert_eq!(got.head.all("te"), ["trailers"], "{way:?}");
        upstream
            .send(
                "HTTP/1.1 200 OK\r\nTrailer: X-Sum, X-More\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\nX-Sum: 7\r\nX-More: b\r\n\r\n",
            )
            .await;
        let got = client.response().await;
        assert_eq!(got.text(), "abc", "{way:?}");
        assert_eq!(values(&got.trailers, "x-sum"), ["7"], "{way:?}");
        assert_eq!(values(&got.trailers, "x-more"), ["b"], "{way:?}");
    }
}

#[tokio::test]
#[ignore = "hyper writes the trailers that `Trailer` names, and no others"]
async fn a_trailer_of_a_request_that_is_not_announced_is_kept() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n";
        let (_client, mut upstream) = scene.ask(way, request).await;
        let got = upstream.request().await;
        assert_eq!(values(&got.trailers, "x-sum"), ["6"], "{way:?}");
    }
}

#[tokio::test]
#[ignore = "hyper writes the trailers that `Trailer` names, and no others"]
async fn a_trailer_of_an_answer_that_is_not_announced_is_kept() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "GET / HTTP/1.1\r\nHost: shop\r\nTE: trailers\r\nConnection: TE\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.request().await;
        upstream
            .send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
            )
            .await;
        let got = client.response().await;
        assert_eq!(values(&got.trailers, "x-sum"), ["7"], "{way:?}");
    }
}

#[tokio::test]
#[ignore = "hyper writes none to a client that did not send `TE: trailers`"]
async fn a_trailer_reaches_a_client_that_did_not_ask_for_any() {
    // It reads them anyway, or passes over them; what stands in between need not decide that.
    let scene = Scene::start().await;
    for way in WAYS {
        let request = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
        let (mut client, mut upstream) = scene.ask(way, request).await;
        upstream.request().await;
        upstream
            .send(
                "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n",
            )
            .await;
        let got = client.response().await;
        assert_eq!(values(&got.trailers, "x-sum"), ["7"], "{way:?}");
    }
}

#[tokio::test]
async fn a_trailer_that_would_frame_the_message_goes_no_further() {
    let scene = Scene::start().await;
    for way in WAYS {
        let trailers = "Trailer: Content-Length, Host, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
            3\r\nabc\r\n0\r\nContent-Length: 7\r\nHost: evil\r\nX-Sum: 7\r\n\r\n";
        let request = format!("POST / HTTP/1.1\r\nHost: shop\r\nTE: trailers\r\n{trailers}");
        let mut client = scene.client(way).await;
        client.send(scene.spell(way, request)).await;
        let mut upstream = scene.accept(way).await;
        // What is not whole is refused.
        if let Ok(Some(got)) = upstream.try_request().await {
            for name in ["content-length", "transfer-encoding", "host"] {
                assert!(values(&got.trailers, name).is_empty(), "{way:?}: {got:?}");
            }
        }
    }
}

#[tokio::test]
async fn curl_reads_chunks_and_trailers() {
    let scene = Scene::start().await;
    let answer = async {
        let mut upstream = scene.accept(super::scene::Way::Inbound).await;
        upstream.request().await;
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        upstream.send(format!("{answer}{EXTENDED}\r\n")).await;
        upstream
    };
    let url = scene.sidecar.url("/");
    let arguments = [&*url];
    let (got, _upstream) = tokio::join!(curl(&arguments), answer);
    assert_eq!(
        (got.code, &*got.body),
        (0, "Wikipedia in chunks"),
        "{}",
        got.log
    );
}

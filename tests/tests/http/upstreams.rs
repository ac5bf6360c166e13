//! What an upstream does wrong is a broken answer to the client, and never a clean one.

use throughline_tests::{Client, Collector, Kind, Protocol};

use super::{
    scene::{Scene, WAYS, Way},
    wire::Wire,
};

const GET: &str = "GET /x HTTP/1.1\r\nHost: shop\r\n\r\n";

/// Answers with these bytes, and closes or resets.
async fn answer(mut upstream: Wire, bytes: &str, is_reset: bool) {
    upstream.head().await;
    upstream.send(bytes).await;
    if is_reset {
        upstream.reset();
    } else {
        upstream.finish().await;
        upstream.rest().await;
    }
}

/// Whether the client can tell that this is not what it asked for: the answer is a 502, or it has no
/// end.
async fn is_broken(client: &mut Wire) -> Result<(), String> {
    let mut got = client.try_response().await;
    // What came before the answer is passed, and is none.
    while matches!(&got, Ok(response) if response.head.status() < 200) {
        got = client.try_response().await;
    }
    match got {
        Ok(response) if response.head.status() == 502 => Ok(()),
        Ok(response) => Err(format!("{} {:?}", response.head.line, response.text())),
        Err(why) if why.starts_with("the end") => Ok(()),
        Err(why) => Err(format!("passed on: {why}")),
    }
}

async fn broken(answers: &[&str]) {
    let scene = Scene::start().await;
    let mut failures = Vec::new();
    for way in WAYS {
        for bytes in answers {
            for is_reset in [false, true] {
                let (mut client, upstream) = scene.ask(way, GET).await;
                let (_, told) =
                    tokio::join!(answer(upstream, bytes, is_reset), is_broken(&mut client));
                if let Err(why) = told {
                    failures.push(format!("{way:?}, reset: {is_reset}, {bytes:?}: {why}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[tokio::test]
async fn an_answer_whose_framing_is_said_twice_is_broken() {
    broken(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nokk",
    ])
    .await;
}

#[tokio::test]
async fn an_answer_whose_length_is_no_number_is_broken() {
    broken(&[
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
    ])
    .await;
}

#[tokio::test]
async fn an_answer_with_bad_chunks_is_broken() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bodies = [
        "x\r\nab\r\n0\r\n\r\n",
        "-1\r\nab\r\n0\r\n\r\n",
        "2\r\nabcd\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nab\r\n0\r\n\r\n",
        "\r\nab\r\n0\r\n\r\n",
        "2\nab\r\n0\r\n\r\n",
        "2;a\nab\r\n0\r\n\r\n",
        "2\r\nab0\r\n\r\n",
    ];
    let answers: Vec<String> = bodies.iter().map(|body| format!("{HEAD}{body}")).collect();
    broken(&answers.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn an_answer_that_ends_in_its_middle_is_broken() {
    broken(&[
        "",
        "H",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX: y\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn an_answer_to_the_end_of_its_connection_that_is_reset_is_broken() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, GET).await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\n\r\nsome of it").await;
        client.through(b"some of it").await;
        upstream.reset();
        let rest = client.rest_text().await;
        assert!(!rest.contains("0\r\n\r\n"), "{way:?}: {rest:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_broken() {
    broken(&[
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1200 OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn an_answer_with_a_field_that_is_none_is_broken_or_has_one_reading() {
    let scene = Scene::start().await;
    let mut failures = Vec::new();
    for way in WAYS {
        for field in [
            "X : y",
            "X",
            ": y",
            "X: a\0b",
            "X: a\rb",
            "X: a\r\n b",
            " X: y",
            "X(): y",
            "X: y\nY: z",
            "X: \u{1}",
            "X: \u{7f}",
        ] {
            let (mut client, upstream) = scene.ask(way, GET).await;
            let bytes = format!("HTTP/1.1 200 OK\r\n{field}\r\nContent-Length: 2\r\n\r\nok");
            let told = async {
                let told = client.try_response().await;
                drop(client);
                told
            };
            // Read strictly: what comes out has one reading, or nothing of it does.
            let (_, told) = tokio::join!(answer(upstream, &bytes, false), told);
            match told {
                Ok(m) if m.head.status() == 502 => {}
                Ok(m) if m.head.status() == 200 && m.text() == "ok" => {}
                other => failures.push(format!("{way:?}, {field:?}: {other:?}")),
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[tokio::test]
async fn a_length_beside_chunks_in_an_answer_leaves_one_reading() {
    let scene = Scene::start().await;
    for way in WAYS {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 100\r\n",
        ] {
            let (mut client, upstream) = scene.ask(way, GET).await;
            let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n2\r\nok\r\n0\r\n\r\n");
            let told = async {
                let told = client.try_response().await;
                drop(client);
                told
            };
            let (_, told) = tokio::join!(answer(upstream, &bytes, false), told);
            match told {
                Ok(told) => assert!(
                    told.head.status() == 502 || told.text() == "ok",
                    "{way:?}, {fields:?}: {told:?}"
                ),
                Err(why) => assert!(why.starts_with("the end"), "{way:?}, {fields:?}: {why}"),
            }
        }
    }
}

#[tokio::test]
async fn a_length_that_is_shorter_than_the_chunks_beside_it_cuts_nothing_off() {
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, upstream) = scene.ask(way, GET).await;
        let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
            2\r\nok\r\n0\r\n\r\n";
        let told = async {
            let told = client.try_response().await;
            drop(client);
            told
        };
        let (_, told) = tokio::join!(answer(upstream, bytes, false), told);
        if let Ok(told) = told {
            let is_one = told.head.status() == 502 || told.text() == "ok";
            assert!(is_one, "{way:?}: {} {:?}", told.head.line, told.text());
        }
    }
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_broken() {
    broken(&[
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ])
    .await;
}

#[tokio::test]
async fn a_broken_answer_is_a_reset_stream_to_an_http2_client() {
    let scene = Scene::with(|setup| setup.flag("app-protocol", "http1")).await;
    for bytes in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nx\r\n",
    ] {
        let mut client = Client::http2(scene.sidecar.inbound()).await;
        let request = http::Request::get("http://shop/x").body(throughline_tests::empty());
        let serving = async {
            let upstream = scene.accept(Way::Inbound).await;
            answer(upstream, bytes, false).await;
        };
        let (told, ()) = tokio::join!(client.try_ask(request.unwrap()), serving);
        assert!(told.is_err(), "{bytes:?}: {told:?}");
    }
}

#[tokio::test]
async fn the_span_of_a_broken_answer_says_who_broke_it() {
    let collector = Collector::start().await;
    let scene = Scene::with(|setup| setup.exporting(&collector, Protocol::Grpc)).await;
    for (way, kind) in [(Way::Inbound, Kind::Server), (Way::Proxy, Kind::Client)] {
        let path = format!("/broken/{way:?}");
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n");
        let (mut client, upstream) = scene.ask(way, request).await;
        let bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nonly";
        let (_, told) = tokio::join!(answer(upstream, bytes, false), is_broken(&mut client));
        assert_eq!(told, Ok(()), "{way:?}");
        drop(client);
        let span = collector.span(kind, &path).await;
        assert_eq!(
            span.text("throughline.ended_by"),
            "upstream",
            "{}",
            span.summary()
        );
        assert_eq!(
            span.text("throughline.phase.interrupted"),
            "transfer",
            "{}",
            span.summary()
        );
    }
}

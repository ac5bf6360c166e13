//! How HTTP/2 ends: streams that are reset, connections that say so before they go, and those that
//! do not.

use super::{
    frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, RST_STREAM, block, frame},
    http2::{TWO, app, client, data, scene},
    scene::Way,
};

#[tokio::test]
async fn after_a_goaway_of_the_upstream_streams_finish_and_new_ones_go_elsewhere() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[]).await;
        client.get(1, "/").await;
        let mut first = app(&scene, way, &[]).await;
        first.wait(HEADERS, 1).await;
        first.send(HEADERS, END_HEADERS, 1, &[0x88]).await;
        assert!(client.wait(HEADERS, 1).await.is_ok(), "{way:?}");
        first.send(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]).await;
        // It has seen the GOAWAY by the time it answers.
        assert!(first.sync().await);
        client.get(3, "/").await;
        let mut second = app(&scene, way, &[]).await;
        second.wait(HEADERS, 1).await;
        second.answer(1).await;
        assert_eq!(client.outcome(3).await, Outcome::Answered, "{way:?}");
        first.send(DATA, END_STREAM, 1, b"still").await;
        assert_eq!(data(&mut client, 1, 5).await, b"still", "{way:?}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_with_a_goaway_is_passed() {
    let scene = scene().await;
    for way in TWO.repeat(30) {
        let mut client = client(&scene, way, &[]).await;
        client.get(1, "/").await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        let answer = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88]);
        let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
        app.wire.send([answer, goaway].concat()).await;
        assert_eq!(client.outcome(1).await, Outcome::Answered, "{way:?}");
        app.wire.close().await;
    }
}

#[tokio::test]
async fn a_get_that_the_upstream_refused_to_begin_is_sent_once_more() {
    // RFC 9113 section 8.7: REFUSED_STREAM, or a GOAWAY before it, says that nothing was done.
    let scene = scene().await;
    for is_goaway in [false, true] {
        let way = Way::Inbound;
        let mut client = client(&scene, way, &[]).await;
        client.get(1, "/").await;
        let mut first = app(&scene, way, &[]).await;
        first.wait(HEADERS, 1).await;
        let answering = async {
            if is_goaway {
                first.send(GOAWAY, 0, 0, &[0; 8]).await;
                first.wire.finish().await;
                let mut second = app(&scene, way, &[]).await;
                second.wait(HEADERS, 1).await;
                second.answer(1).await;
                second.wire.close().await;
            } else {
                first.send(RST_STREAM, 0, 1, &[0, 0, 0, 7]).await;
                first.wait(HEADERS, 3).await;
                first.answer(3).await;
                first.wire.close().await;
            }
        };
        // Whoever gives up answers before the other attempt comes to the app, which then waits for it.
        let asking = async {
            let outcome = client.outcome(1).await;
            assert_eq!(outcome, Outcome::Answered, "{is_goaway}");
        };
        tokio::join!(asking, answering);
    }
}

#[tokio::test]
async fn a_stream_that_the_client_resets_is_reset_upstream() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[]).await;
        client.get(1, "/").await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        client.send(RST_STREAM, 0, 1, &[0, 0, 0, 8]).await;
        app.wait(RST_STREAM, 1).await;
        // In the middle of a body, both ways.
        client.post(3, "/").await;
        client.send(DATA, 0, 3, b"some").await;
        app.wait(HEADERS, 3).await;
        app.send(HEADERS, END_HEADERS, 3, &[0x88]).await;
        client.wait(HEADERS, 3).await;
        client.send(RST_STREAM, 0, 3, &[0, 0, 0, 8]).await;
        app.wait(RST_STREAM, 3).await;
    }
}

#[tokio::test]
async fn a_stream_that_the_upstream_resets_is_no_clean_end() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[]).await;
        client.get(1, "/").await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        app.send(RST_STREAM, 0, 1, &[0, 0, 0, 2]).await;
        assert_eq!(client.outcome(1).await, Outcome::Refused, "{way:?}: 502");
        client.get(3, "/").await;
        app.wait(HEADERS, 3).await;
        app.send(HEADERS, END_HEADERS, 3, &[0x88]).await;
        app.send(DATA, 0, 3, b"some").await;
        data(&mut client, 3, 4).await;
        app.send(RST_STREAM, 0, 3, &[0, 0, 0, 2]).await;
        client.wait(RST_STREAM, 3).await;
    }
}

#[tokio::test]
async fn an_upstream_connection_that_drops_is_no_clean_end() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[]).await;
        client.get(1, "/").await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        app.send(HEADERS, END_HEADERS, 1, &[0x88]).await;
        app.send(DATA, 0, 1, b"some").await;
        data(&mut client, 1, 4).await;
        drop(app);
        client.wait(RST_STREAM, 1).await;
        assert!(
            client.sync().await,
            "{way:?}: the client's own connection goes on"
        );
    }
}

#[tokio::test]
async fn an_answer_whose_length_is_not_its_bodys_is_no_clean_one() {
    let scene = scene().await;
    for way in TWO {
        for body in [&b"more than that"[..], b"no"] {
            let mut client = client(&scene, way, &[]).await;
            client.get(1, "/").await;
            let mut app = app(&scene, way, &[]).await;
            app.wait(HEADERS, 1).await;
            let mut head = vec![0x88];
            head.extend(block(&[(b"content-length", b"5")]));
            app.send(HEADERS, END_HEADERS, 1, &head).await;
            app.send(DATA, END_STREAM, 1, body).await;
            assert_eq!(
                client.outcome(1).await,
                Outcome::Refused,
                "{way:?}: {body:?}"
            );
            app.wire.close().await;
        }
    }
}

#[tokio::test]
async fn a_client_that_says_goaway_gets_the_answers_that_it_waits_for() {
    let scene = scene().await;
    for way in TWO {
        let mut client = client(&scene, way, &[]).await;
        client.get(1, "/").await;
        let mut app = app(&scene, way, &[]).await;
        app.wait(HEADERS, 1).await;
        client.send(GOAWAY, 0, 0, &[0; 8]).await;
        assert!(client.sync().await);
        app.answer(1).await;
        assert_eq!(client.outcome(1).await, Outcome::Answered, "{way:?}");
    }
}

#[tokio::test]
async fn a_drain_says_goaway_and_finishes_what_is_open() {
    let mut scene = scene().await;
    let mut client = client(&scene, Way::Inbound, &[]).await;
    client.get(1, "/").await;
    let mut app = app(&scene, Way::Inbound, &[]).await;
    app.wait(HEADERS, 1).await;
    scene.sidecar.terminate();
    let goaway = client.wait(GOAWAY, 0).await;
    assert_eq!(goaway.payload[4..8], [0; 4], "NO_ERROR");
    app.answer(1).await;
    assert_eq!(client.outcome(1).await, Outcome::Answered);
    assert_eq!(scene.sidecar.wait().await, 0);
}

#[tokio::test]
async fn a_post_is_never_sent_twice_in_http2_either() {
    let scene = scene().await;
    for way in TWO {
        for is_goaway in [false, true] {
            let mut client = client(&scene, way, &[]).await;
            client.post(1, "/pay").await;
            client.send(DATA, END_STREAM, 1, b"4444").await;
            let mut first = app(&scene, way, &[]).await;
            first.wait(HEADERS, 1).await;
            data(&mut first, 1, 4).await;
            if is_goaway {
                // It may have been begun.
                first.send(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]).await;
            }
            drop(first);
            assert_eq!(client.outcome(1).await, Outcome::Refused, "{way:?}");
            client.get(3, "/next").await;
            let mut second = app(&scene, way, &[]).await;
            let next = second.wait(HEADERS, 1).await;
            assert!(next.ends(), "{way:?}: a GET, and not the POST again");
            second.answer(1).await;
            assert_eq!(client.outcome(3).await, Outcome::Answered, "{way:?}");
            second.wire.close().await;
        }
    }
}

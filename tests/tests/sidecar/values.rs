//! Values that come back: what they tell, and that whatever is looked at for them stays as it is.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use throughline_tests::{
    Client, Collector, Kind, Protocol, Setup, Sidecar, Upstream, raw, streamed, text,
};
use tokio::sync::Barrier;

/// How many requests are open at once where the app is to be told by nothing but a value.
const AT_ONCE: usize = 6;

/// An app that asks for the account of a user, `/users/{id}` → `/accounts/{id}`, by the sidecar's way out.
/// Users whose name begins with `many` all have to be there before the first account is asked for.
async fn accounts(way_out: Arc<OnceLock<SocketAddr>>) -> Upstream {
    let all_here = Arc::new(Barrier::new(AT_ONCE));
    Upstream::http1(move |request: Request<hyper::body::Incoming>| {
        let (way_out, all_here) = (way_out.clone(), all_here.clone());
        async move {
            let id = request
                .uri()
                .path()
                .trim_start_matches("/users/")
                .to_owned();
            if id.starts_with("many") {
                all_here.wait().await;
            }
            let mut client = Client::http1(*way_out.get().unwrap()).await;
            let account = client.get(&format!("/accounts/{id}")).await;
            Response::new(text(account.text()))
        }
    })
    .await
}

#[tokio::test]
async fn an_id_that_comes_back_tells_the_cause_among_many() {
    let collector = Collector::start().await;
    let all_asked = Arc::new(Barrier::new(AT_ONCE));
    // None of many is answered before all have asked: each is decided while all are open.
    let bank = Upstream::http1(move |request: Request<hyper::body::Incoming>| {
        let all_asked = all_asked.clone();
        async move {
            if request.uri().path().starts_with("/accounts/many") {
                all_asked.wait().await;
            }
            Response::new(text("7"))
        }
    })
    .await;
    let way_out = Arc::new(OnceLock::new());
    let app = accounts(way_out.clone()).await;
    let sidecar = Setup::beside(app.address())
        .flag("process-evidence", "off")
        .flag("route", &format!("127.0.0.1:0={}", bank.address()))
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    way_out.set(sidecar.routes()[0]).unwrap();

    // One by one, it is learnt that the app copies the id.
    let mut client = Client::http1(sidecar.inbound()).await;
    for n in 0..200 {
        client.get(&format!("/users/one-{n}")).await;
    }
    let many = (0..AT_ONCE).map(|n| {
        let address = sidecar.inbound();
        tokio::spawn(async move {
            let mut client = Client::http1(address).await;
            client.get(&format!("/users/many-{n}")).await
        })
    });
    for request in many.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap().text(), "7");
    }
    for n in 0..AT_ONCE {
        let request = collector
            .span(Kind::Server, &format!("/users/many-{n}"))
            .await;
        let call = collector
            .span(Kind::Client, &format!("/accounts/many-{n}"))
            .await;
        assert_eq!(call.parent(), request.id(), "{}", call.summary());
        let evidence = call.text("throughline.parent.evidence");
        assert_eq!(evidence, "value", "{}", call.summary());
    }
}

/// A server that answers with how a body came and what was in it, in that protocol.
async fn echo_body(is_http2: bool) -> Upstream {
    let answer = async |request: Request<hyper::body::Incoming>| {
        let length = request.headers().get("content-length").cloned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Response::new(text(format!("{length:?} {body}")))
    };
    if is_http2 {
        Upstream::http2(answer).await
    } else {
        Upstream::http1(answer).await
    }
}

/// A sidecar that looks at all there is to look at, on both sides of the same server.
async fn looking_at(server: &Upstream) -> Sidecar {
    let app = server.address();
    Setup::beside(app)
        .flag("value-evidence", "path,query,headers,body")
        .flag("value-body-bytes", "64B")
        .flag("route", &format!("127.0.0.1:0={app}"))
        .flag("log", "trace")
        .start()
        .await
}

const SMALL: &str = r#"{"order": "order-4711", "note": "secret"}"#;

#[tokio::test]
async fn a_body_that_is_looked_at_arrives_as_it_was_sent() {
    let large = format!(r#"{{"order": "{}"}}"#, "order-4711".repeat(1000));
    let json = "content-type: application/json";
    let server = echo_body(false).await;
    let sidecar = looking_at(&server).await;
    for address in [sidecar.inbound(), sidecar.routes()[0]] {
        for (body, kind) in [
            (SMALL, json),
            (&*large, json),
            (SMALL, "content-type: text/plain"),
            ("{\"cut\": \"of", json),
            ("", json),
        ] {
            let length = body.len();
            let answer = raw(
                address,
                format!(
                    "POST / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{kind}\r\n\
                     authorization: Bearer secret\r\ncontent-length: {length}\r\n\r\n{body}"
                ),
            )
            .await;
            let expected = format!("Some(\"{length}\") {body}");
            assert!(answer.ends_with(&expected), "{kind} {answer}");
        }
        let chunked = format!(
            "POST / HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{json}\r\n\
             transfer-encoding: chunked\r\n\r\n{:x}\r\n{SMALL}\r\n0\r\n\r\n",
            SMALL.len()
        );
        let answer = raw(address, chunked).await;
        assert!(answer.contains(&format!("None {SMALL}")), "{answer}");
    }
    let log = sidecar.log();
    assert!(!log.contains("secret") && !log.contains("4711"), "{log}");
}

#[tokio::test]
async fn so_it_does_over_http2() {
    let server = echo_body(true).await;
    let sidecar = looking_at(&server).await;
    for address in [sidecar.inbound(), sidecar.routes()[0]] {
        let mut client = Client::http2(address).await;
        let request = Request::post("http://shop/")
            .header("content-type", "application/json")
            .header("content-length", SMALL.len())
            .body(text(SMALL))
            .unwrap();
        let expected = format!("Some(\"{}\") {SMALL}", SMALL.len());
        assert_eq!(client.ask(request).await.text(), expected);
    }
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_or_is_held_back_is_not_waited_for() {
    let server = echo_body(false).await;
    let sidecar = looking_at(&server).await;
    for address in [sidecar.inbound(), sidecar.routes()[0]] {
        for header in [("x-nothing", "x"), ("expect", "100-continue")] {
            let (mut sender, body) = streamed(1);
            let request = Request::post("/")
                .header("host", "shop")
                .header("content-type", "application/json")
                .header("content-length", "10")
                .header(header.0, header.1)
                .body(body)
                .unwrap();
            let mut client = Client::http1(address).await;
            let pieces = async {
                for piece in [r#"{"a""#, r#": "xy"#, r#"}"#] {
                    sender.send_data(piece.into()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let (answer, ()) = tokio::join!(client.ask(request), pieces);
            assert_eq!(answer.text(), r#"Some("10") {"a": "xy}"#, "{header:?}");
        }
    }
}

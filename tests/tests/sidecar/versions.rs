//! HTTP/1.1 and HTTP/2 on one port, before apps that speak either.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use throughline_tests::{
    Behaviour, Body, Client, Collector, Kind, Protocol, Setup, Upstream, curl, empty, raw,
    streamed, text,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Says in which version it was asked, and gives back the body with its length and trailers.
async fn app(request: Request<Incoming>) -> Response<Body> {
    let version = match request.version() {
        Version::HTTP_2 => "2",
        Version::HTTP_11 => "1.1",
        _ => "another",
    };
    let path = request.uri().path().to_owned();
    let wants_trailers = request
        .headers()
        .get("te")
        .is_some_and(|te| te == "trailers");
    let body = request.into_body().collect().await.expect("the whole body");
    let received = body.trailers().cloned();
    let body = body.to_bytes();
    let (mut sender, reply) = streamed(4);
    tokio::spawn(async move {
        let _ = sender.send_data(body).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        if let Some(value) = received.and_then(|all| all.get("x-sent").cloned()) {
            trailers.insert("x-received", value);
        }
        let _ = sender.send_trailers(trailers).await;
    });
    let plain = path == "/plain";
    let mut response = Response::new(if plain { text("plain") } else { reply });
    let headers = response.headers_mut();
    headers.insert("x-version", HeaderValue::from_static(version));
    headers.insert(
        "x-te",
        HeaderValue::from_static(if wants_trailers { "yes" } else { "no" }),
    );
    if !plain {
        headers.insert(
            "trailer",
            HeaderValue::from_static("x-sum, x-received, grpc-status"),
        );
    }
    response
}

#[tokio::test]
async fn both_versions_are_answered_on_one_port() {
    let app = Upstream::http1(app).await;
    let sidecar = Setup::beside(app.address()).start().await;
    let mut first = Client::http1(sidecar.inbound()).await;
    let mut second = Client::http2(sidecar.inbound()).await;
    for _ in 0..3 {
        for client in [&mut first, &mut second] {
            let answer = client.get("/plain").await;
            assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "plain"));
        }
    }
    for version in ["--http1.1", "--http1.0", "--http2-prior-knowledge"] {
        let answer = curl(&[version, &sidecar.url("/plain")]).await;
        assert_eq!((answer.status, &*answer.body), (200, "plain"), "{version}");
    }
}

#[tokio::test]
async fn each_app_is_asked_in_what_it_speaks() {
    let http1 = Upstream::http1(app).await;
    let http2 = Upstream::http2(app).await;
    for (app, spoken) in [(&http1, "1.1"), (&http2, "2")] {
        // Whichever version the first request comes in, and every order after that.
        for begins_with_http2 in [false, true] {
            let sidecar = Setup::beside(app.address()).start().await;
            let mut first = Client::http1(sidecar.inbound()).await;
            let mut second = Client::http2(sidecar.inbound()).await;
            for turn in 0..4 {
                let is_http2 = begins_with_http2 == (turn % 2 == 0);
                let client = if is_http2 { &mut second } else { &mut first };
                let answer = client.get("/plain").await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert_eq!(
                    answer.header("x-version"),
                    spoken,
                    "turn {turn}, {is_http2}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_upstream_that_opens_with_settings_is_understood_whoever_is_quicker() {
    // Its SETTINGS may come before the request is written or after; each has its own way to fail.
    let sidecar = Setup::outbound_alone().start().await;
    let mut client = Client::http1(sidecar.outbound()).await;
    for _ in 0..40 {
        let upstream = Upstream::http2(app).await;
        let request = Request::get(format!("http://{}/plain", upstream.address()));
        let answer = client.ask(request.body(empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "plain"));
    }
}

#[tokio::test]
async fn what_the_app_speaks_can_be_set() {
    let http1 = Upstream::http1(app).await;
    let http2 = Upstream::http2(app).await;
    for (app, name, spoken) in [(&http1, "http1", "1.1"), (&http2, "h2c", "2")] {
        let sidecar = Setup::beside(app.address())
            .variable("THROUGHLINE_APP_PROTOCOL", name)
            .start()
            .await;
        for mut client in [
            Client::http1(sidecar.inbound()).await,
            Client::http2(sidecar.inbound()).await,
        ] {
            let answer = client.get("/plain").await;
            assert_eq!(answer.header("x-version"), spoken, "{name}");
        }
        assert_eq!(app.connections(), 1, "{name}: one is enough");
    }
}

#[tokio::test]
async fn a_post_over_http1_to_an_app_that_speaks_http2_alone_is_answered_once_it_is_known() {
    let app = Upstream::http2(app).await;
    let sidecar = Setup::beside(app.address()).start().await;
    let mut client = Client::http1(sidecar.inbound()).await;
    assert_eq!(client.get("/plain").await.status, 200);
    let answer = client.ask(super::post("/", "seven")).await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "seven"));
    assert_eq!(answer.header("x-version"), "2");
}

#[tokio::test]
async fn a_short_first_request_is_answered_at_once() {
    let app = Upstream::http1(app).await;
    let sidecar = Setup::beside(app.address()).start().await;
    let answer = raw(sidecar.inbound(), "GET /plain HTTP/1.0\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\nplain"), "{answer}");
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let app = Upstream::http1(app).await;
    let sidecar = Setup::beside(app.address()).start().await;
    // The first two begin like the preface of HTTP/2.
    for request in [
        "PUT /plain HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n",
        "PROPFIND /plain HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n",
        "GET /plain HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(sidecar.inbound()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in request.as_bytes() {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{request:?}: {answer}");
        assert!(answer.ends_with("plain"), "{request:?}: {answer}");
    }
}

#[tokio::test]
async fn an_http2_preface_may_come_byte_by_byte() {
    let app = Upstream::http1(app).await;
    let sidecar = Setup::beside(app.address()).start().await;
    let mut stream = TcpStream::connect(sidecar.inbound()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for byte in opening {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(
        frame[3], 4,
        "the first frame of an HTTP/2 server is SETTINGS"
    );
}

/// A POST in either version, with a trailer after its body.
fn with_trailer(is_http2: bool) -> Request<Body> {
    let (mut sender, body) = streamed(4);
    tokio::spawn(async move {
        let _ = sender.send_data(Bytes::from_static(b"some ")).await;
        let _ = sender.send_data(Bytes::from_static(b"body")).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sent", HeaderValue::from_static("17"));
        let _ = sender.send_trailers(trailers).await;
    });
    let request = Request::post(if is_http2 { "http://shop/" } else { "/" })
        .header("te", "trailers")
        .header("trailer", "x-sent");
    let request = if is_http2 {
        request
    } else {
        request.header("host", "shop").header("connection", "te")
    };
    request.body(body).unwrap()
}

#[tokio::test]
async fn trailers_are_kept_both_ways_in_every_pair_of_versions() {
    let http1 = Upstream::http1(app).await;
    let http2 = Upstream::http2(app).await;
    for (app, app_protocol) in [(&http1, "http1"), (&http2, "h2c")] {
        let sidecar = Setup::beside(app.address())
            .flag("app-protocol", app_protocol)
            .start()
            .await;
        for is_http2 in [false, true] {
            let mut client = if is_http2 {
                Client::http2(sidecar.inbound()).await
            } else {
                Client::http1(sidecar.inbound()).await
            };
            let answer = client.ask(with_trailer(is_http2)).await;
            let pair = format!("HTTP/2: {is_http2}, app: {app_protocol}");
            assert_eq!(answer.text(), "some body", "{pair}");
            assert_eq!(answer.header("x-te"), "yes", "{pair}");
            let trailers = answer.trailers.expect(&pair);
            assert_eq!(trailers["x-sum"], "42", "{pair}");
            assert_eq!(trailers["x-received"], "17", "{pair}");
        }
    }
}

#[tokio::test]
async fn a_grpc_call_ends_with_its_status_and_the_span_has_it() {
    let collector = Collector::start().await;
    collector.behave(Behaviour::Take);
    let app = Upstream::http2(|request| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let (mut sender, body) = streamed(4);
        tokio::spawn(async move {
            let _ = sender.send_data(Bytes::from_static(b"\0\0\0\0\0")).await;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("14"));
            trailers.insert("grpc-message", HeaderValue::from_static("closed"));
            let _ = sender.send_trailers(trailers).await;
        });
        let mut response = Response::new(body);
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", grpc);
        response
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut client = Client::http2(sidecar.inbound()).await;
    let call = Request::post("http://shop/shop.Stock/Count")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(text(&b"\0\0\0\0\0"[..]))
        .unwrap();
    let answer = client.ask(call).await;
    assert_eq!(answer.status, 200);
    let trailers = answer.trailers.expect("a gRPC call ends with trailers");
    assert_eq!(trailers["grpc-status"], "14");
    assert_eq!(trailers["grpc-message"], "closed");

    let span = collector.span(Kind::Server, "/shop.Stock/Count").await;
    assert_eq!(span.number("rpc.grpc.status_code"), Some(14));
    assert_eq!(span.text("network.protocol.version"), "2");
    assert_eq!(span.text("error.type"), "grpc_14");
}

#[tokio::test]
async fn many_streams_of_one_connection_are_answered_side_by_side() {
    // Each of them is answered only when all of them have come.
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(20));
    let app = Upstream::http2(move |request| {
        let barrier = barrier.clone();
        async move {
            barrier.wait().await;
            Response::new(text(request.uri().path().to_owned()))
        }
    })
    .await;
    let sidecar = Setup::beside(app.address()).start().await;
    let client = Client::http2(sidecar.inbound()).await;
    let mut asked = tokio::task::JoinSet::new();
    for stream in 0..20 {
        let mut sender = client.another_stream().unwrap();
        asked.spawn(async move {
            let path = format!("/{stream}");
            let request = Request::get(format!("http://shop{path}"))
                .body(empty())
                .unwrap();
            let response = sender.send_request(request).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, path);
        });
    }
    asked.join_all().await;
    assert_eq!(
        app.connections(),
        1,
        "the streams share a connection to the app too"
    );
}

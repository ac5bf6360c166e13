//! gRPC: unary calls and streams, and what a span says of them.

use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use throughline_tests::{
    Body, Client, Collector, Kind, Protocol, Setup, Upstream, empty, streamed, text,
};

use super::{
    http2::TWO,
    scene::{Way, entry},
};

/// A gRPC service: `/Unary` ends with trailers, `/Refused` is nothing but trailers, and `/Chat`
/// answers each message as it comes.
async fn grpc(request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let mut status = HeaderMap::new();
    let code = if path.ends_with("Unary") { "5" } else { "0" };
    status.insert("grpc-status", HeaderValue::from_static(code));
    status.insert("grpc-message", HeaderValue::from_static("said"));
    let (mut sender, body) = streamed(1);
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    if path.ends_with("Refused") {
        *response.body_mut() = empty();
        let denied = HeaderValue::from_static("7");
        response.headers_mut().insert("grpc-status", denied);
        return response;
    }
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                let _ = sender.send_data(data).await;
            }
        }
        let _ = sender.send_trailers(status).await;
    });
    response
}

fn call(path: &str, body: Body) -> Request<Body> {
    Request::post(format!("http://shop{path}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_grpc_status_reaches_the_client_and_the_span() {
    let collector = Collector::start().await;
    let app = Upstream::http2(grpc).await;
    let sidecar = Setup::beside(app.address())
        .flag("routes", &format!("127.0.0.1:0={}", app.address()))
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    for (way, kind) in [(Way::Inbound, Kind::Server), (Way::Route, Kind::Client)] {
        let mut client = Client::http2(entry(&sidecar, way)).await;
        let path = format!("/shop.{way:?}/Unary");
        let answer = client.ask(call(&path, text(&b"\0\0\0\0\0"[..]))).await;
        assert_eq!(answer.trailers.unwrap()["grpc-status"], "5", "{way:?}");
        let span = collector.span(kind, &path).await;
        assert_eq!(
            span.number("rpc.grpc.status_code"),
            Some(5),
            "{}",
            span.summary()
        );

        let path = format!("/shop.{way:?}/Refused");
        let answer = client.ask(call(&path, text(&b"\0\0\0\0\0"[..]))).await;
        assert_eq!(answer.header("grpc-status"), "7", "{way:?}");
        let span = collector.span(kind, &path).await;
        assert_eq!(
            span.number("rpc.grpc.status_code"),
            Some(7),
            "{}",
            span.summary()
        );
    }
}

#[tokio::test]
async fn the_span_of_a_grpc_call_names_its_service_and_method() {
    let collector = Collector::start().await;
    let app = Upstream::http2(grpc).await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut client = Client::http2(sidecar.inbound()).await;
    client
        .ask(call("/shop.Stock/Unary", text(&b"\0\0\0\0\0"[..])))
        .await;
    let span = collector.span(Kind::Server, "/shop.Stock/Unary").await;
    let said = ["rpc.system", "rpc.service", "rpc.method"].map(|name| span.text(name));
    assert_eq!(said, ["grpc", "shop.Stock", "Unary"], "{}", span.summary());
}

#[tokio::test]
async fn each_message_of_a_grpc_stream_passes_before_the_next_is_sent() {
    let app = Upstream::http2(grpc).await;
    let sidecar = Setup::beside(app.address())
        .flag("routes", &format!("127.0.0.1:0={}", app.address()))
        .start()
        .await;
    for way in TWO {
        let mut client = Client::http2(entry(&sidecar, way)).await;
        let (mut sender, body) = streamed(1);
        let response = client.send(call("/shop.Stock/Chat", body)).await.unwrap();
        let mut answers = response.into_body();
        for n in 0..5_u8 {
            let message = bytes::Bytes::from(vec![0, 0, 0, 0, 1, n]);
            sender.send_data(message.clone()).await.unwrap();
            let got = answers.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(got, message, "{way:?}");
        }
        drop(sender);
        let rest = answers.collect().await.unwrap();
        assert_eq!(rest.trailers().unwrap()["grpc-status"], "0", "{way:?}");
    }
}

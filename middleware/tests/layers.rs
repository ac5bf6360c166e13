//! The layers around a real axum app and a real hyper client, over real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::{num::NonZeroU64, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::MatchedPath,
    http::{HeaderMap, Request, StatusCode},
    routing::get,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use throughline::{
    ClientLayer, ServerLayer,
    client::{Cause, Resend},
    context::{TraceContext, TraceFlags},
    current,
    handover::Handover,
    id::{SpanId, TraceId},
    phase::{Party, Phase},
    sink::Collect,
    span::{Evidence, Kind, Parentage, Span},
};
use tower::{Layer, ServiceExt};

const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

fn client() -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

fn get_request(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

fn traced(spans: &Collect) -> ServerLayer<Collect> {
    ServerLayer::new(spans.clone())
        .route(|request| Some(request.extensions.get::<MatchedPath>()?.as_str().into()))
}

async fn spans(from: &Collect, count: usize) -> Vec<Span> {
    let mut all = Vec::new();
    for _ in 0..500 {
        all.extend(from.take());
        if all.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(all.len(), count, "{all:#?}");
    all
}

fn assert_sums(span: &Span) {
    let sum: u64 = span.phases.iter().map(|(_, nanos)| nanos).sum();
    assert_eq!(u128::from(sum), span.duration().as_nanos());
}

#[tokio::test]
async fn a_call_made_while_handling_is_a_child_without_passing_anything_by_hand() {
    let spans_of = Collect::default();
    let stock = serve(
        Router::new()
            .route("/stock/{id}", get(|| async { "3" }))
            .layer(traced(&spans_of)),
    )
    .await;
    let http = ClientLayer::new(spans_of.clone()).layer(client());
    let shop = Router::new()
        .route(
            "/buy",
            get(move || async move {
                tokio::task::yield_now().await;
                let response = http
                    .oneshot(get_request(&format!("{stock}/stock/7")))
                    .await
                    .unwrap();
                response.into_body().collect().await.unwrap().to_bytes()
            }),
        )
        .layer(traced(&spans_of));
    let shop = serve(shop).await;

    let mut request = get_request(&format!("{shop}/buy"));
    request
        .headers_mut()
        .insert("traceparent", W3C.parse().unwrap());
    let body = client()
        .request(request)
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(body.to_bytes(), "3");

    let all = spans(&spans_of, 3).await;
    let find = |kind, name: &str| {
        all.iter()
            .find(|s| s.kind == kind && s.name().as_str() == name)
            .expect(name)
    };
    let buy = find(Kind::Server, "GET /buy");
    let call = find(Kind::Client, "GET");
    let stock = find(Kind::Server, "GET /stock/{id}");
    assert_eq!(buy.parent.unwrap().to_string(), "00f067aa0ba902b7");
    assert_eq!(call.parent, Some(buy.span_id));
    assert_eq!(stock.parent, Some(call.span_id));
    assert!(
        all.iter()
            .all(|s| s.trace_id.to_string() == "4bf92f3577b34da6a3ce929d0e0e4736")
    );
    all.iter().for_each(assert_sums);
}

#[tokio::test]
async fn the_span_lasts_as_long_as_the_body() {
    let spans_of = Collect::default();
    let slow = || async { Body::from_stream(trickle(["a", "b", "c"], Duration::from_millis(20))) };
    let app = serve(Router::new().route("/", get(slow)).layer(traced(&spans_of))).await;
    let response = client().request(get_request(&app)).await.unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "abc"
    );
    let span = spans(&spans_of, 1).await.remove(0);
    assert!(
        span.phases.get(Phase::Transfer).unwrap() >= Duration::from_millis(40),
        "{span:#?}"
    );
    assert!(span.failure.is_none());
    assert_sums(&span);
}

#[tokio::test]
async fn a_body_dropped_midway_is_cancelled_by_the_client() {
    let spans_of = Collect::default();
    let endless = || async { Body::from_stream(trickle(["x"; 10_000], Duration::from_millis(5))) };
    let app = serve(
        Router::new()
            .route("/", get(endless))
            .layer(traced(&spans_of)),
    )
    .await;
    let response = client().request(get_request(&app)).await.unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let span = spans(&spans_of, 1).await.remove(0);
    let failure = span.failure.unwrap();
    assert_eq!(
        (failure.phase, failure.ended_by),
        (Phase::Transfer, Party::Client)
    );
    assert_sums(&span);
}

#[tokio::test]
async fn a_request_dropped_before_its_response_is_cancelled_while_waiting() {
    let spans_of = Collect::default();
    let never = || async { std::future::pending::<&'static str>().await };
    let app = serve(
        Router::new()
            .route("/", get(never))
            .layer(traced(&spans_of)),
    )
    .await;
    let call = client().request(get_request(&app));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), call)
            .await
            .is_err()
    );
    let span = spans(&spans_of, 1).await.remove(0);
    let failure = span.failure.unwrap();
    assert_eq!(
        (failure.phase, failure.ended_by),
        (Phase::Wait, Party::Client)
    );
    assert_eq!(span.status, None);
}

#[tokio::test]
async fn an_unsampled_trace_is_carried_on_and_not_reported() {
    let spans_of = Collect::default();
    let seen = || async {
        let context = current::context().expect("the context is current although unsampled");
        format!("{} {}", context.trace_id, context.flags.is_sampled())
    };
    let app = serve(Router::new().route("/", get(seen)).layer(traced(&spans_of))).await;
    let mut request = get_request(&app);
    request
        .headers_mut()
        .insert("traceparent", W3C.replace("-01", "-00").parse().unwrap());
    let body = client()
        .request(request)
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    assert_eq!(body.to_bytes(), "4bf92f3577b34da6a3ce929d0e0e4736 false");
    assert!(spans_of.take().is_empty());
}

#[tokio::test]
async fn what_is_not_sampled_is_reported_to_whoever_asks_and_says_so() {
    let spans_of = Collect::default();
    let flags = |headers: HeaderMap| async move {
        let line = headers["traceparent"].to_str().unwrap();
        line.rsplit_once('-').unwrap().1.to_owned()
    };
    let all = traced(&spans_of).report_unsampled(true);
    let app = serve(Router::new().route("/", get(flags)).layer(all)).await;
    let mut request = get_request(&app);
    let unsampled = W3C.replace("-01", "-00");
    request
        .headers_mut()
        .insert("traceparent", unsampled.parse().unwrap());
    let http = ClientLayer::new(spans_of.clone())
        .sampler("always_off".parse().unwrap())
        .report_unsampled(true)
        .layer(client());
    let answer = http.oneshot(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap();
    assert!(["00", "02"].contains(&&*String::from_utf8_lossy(&body.to_bytes())));
    for span in spans(&spans_of, 2).await {
        assert!(!span.flags.is_sampled(), "{span:#?}");
        assert_eq!(
            (span.status.unwrap(), span.response_bytes),
            (StatusCode::OK, 2)
        );
        assert_sums(&span);
    }
}

#[tokio::test]
async fn a_call_that_is_not_to_be_recorded_is_passed_on_so_and_not_reported() {
    let spans_of = Collect::default();
    let flags = |headers: HeaderMap| async move {
        let line = headers["traceparent"].to_str().unwrap();
        let (_, flags) = line.rsplit_once('-').unwrap();
        flags.to_owned()
    };
    let app = serve(Router::new().route("/", get(flags))).await;
    let parent = TraceContext::new(
        TraceId::epoch_prefixed(7, 1),
        SpanId::from_random(1),
        TraceFlags::SAMPLED,
    );
    for (parent, expected) in [(None, "02"), (Some(parent), "00")] {
        let mut request = get_request(&app);
        request.extensions_mut().insert(Cause {
            parent,
            sampled: Some(false),
            ..Cause::new(Parentage {
                evidence: Evidence::Open,
                confidence: 0.0,
                candidates: 0,
            })
        });
        let http = ClientLayer::new(spans_of.clone()).layer(client());
        let answer = http.oneshot(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), expected);
    }
    assert!(spans_of.take().is_empty());
}

#[tokio::test]
async fn every_attempt_of_a_call_names_the_call() {
    let spans_of = Collect::default();
    let app = serve(Router::new().route("/", get(async || StatusCode::NO_CONTENT))).await;
    let call = NonZeroU64::new(7);
    let cause = Cause {
        call,
        ..Cause::new(Parentage {
            evidence: Evidence::Open,
            confidence: 0.0,
            candidates: 2,
        })
    };
    for resend in 0..2 {
        let mut request = get_request(&app);
        request.extensions_mut().insert(cause.clone());
        request.extensions_mut().insert(Resend(resend));
        let http = ClientLayer::new(spans_of.clone()).layer(client());
        let answer = http.oneshot(request).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    let spans = spans_of.take();
    let attempts: Vec<_> = spans.iter().map(|s| (s.resend_count, s.call)).collect();
    assert_eq!(attempts, [(0, call), (1, call)]);
}

#[tokio::test]
async fn a_handler_sees_one_traceparent_and_one_xray_header_that_agree() {
    let echo = |headers: HeaderMap| async move {
        let one = |name| {
            let values: Vec<_> = headers.get_all(name).iter().collect();
            assert_eq!(values.len(), 1, "{name}");
            values[0].to_str().unwrap().to_owned()
        };
        let (w3c, xray) = (one("traceparent"), one("x-amzn-trace-id"));
        let root = format!("Root=1-{}-{}", &w3c[3..11], &w3c[11..35]);
        assert_eq!(xray, format!("{root};Parent={};Sampled=1", &w3c[36..52]));
        StatusCode::NO_CONTENT
    };
    let app = Router::new()
        .route("/", get(echo))
        .layer(traced(&Collect::default()));
    let app = serve(app).await;
    let mut request = get_request(&app);
    request
        .headers_mut()
        .append("traceparent", W3C.parse().unwrap());
    request.headers_mut().append(
        "x-amzn-trace-id",
        "Root=1-6721a5f0-112233445566778899aabbcc".parse().unwrap(),
    );
    assert_eq!(
        client().request(request).await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn an_exchange_that_goes_on_after_its_response_is_handed_over() {
    let spans = Collect::default();
    let handover = Handover::default();
    let service = tower::service_fn(async |_: Request<Empty<Bytes>>| {
        let mut response = http::Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.extensions_mut().insert(handover.clone());
        Ok::<_, std::io::Error>(response)
    });
    let service = ServerLayer::new(spans.clone()).layer(service);
    let request = Request::new(Empty::<Bytes>::new());
    drop(service.oneshot(request).await.unwrap());
    assert!(spans.take().is_empty(), "it has not ended");
    let exchange = handover.take().expect("the exchange");
    assert!(handover.take().is_none(), "there is one");
    let span = exchange.finish(throughline::ambient::now());
    assert_eq!(span.status, Some(StatusCode::SWITCHING_PROTOCOLS));
}

/// The items, one after each pause.
fn trickle<const N: usize>(
    items: [&'static str; N],
    pause: Duration,
) -> impl futures_core::Stream<Item = Result<&'static str, std::io::Error>> + Send {
    let (tx, rx) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        for item in items {
            tokio::time::sleep(pause).await;
            if tx.send(Ok(item)).await.is_err() {
                break;
            }
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(rx)
}

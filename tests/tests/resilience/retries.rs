//! What is tried again, what never is, and what is said of it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use throughline_tests::{
    Body, Client, Collector, Kind, Protocol, Sidecar, Upstream, empty, streamed, text, until,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{route, routes};

const ALL: &str = "retry_on=connect+refused+reset+timeout+5xx+429";

/// What an upstream was asked, in order: method, path and body.
type Asked = Arc<Mutex<Vec<(Method, String, String)>>>;

/// An upstream that answers what `status` says to each request, counted from 1.
async fn answering(
    status: impl Fn(usize) -> u16 + Clone + Send + Sync + 'static,
) -> (Upstream, Asked) {
    let asked = Asked::default();
    let all = asked.clone();
    let upstream = Upstream::http1(move |request| {
        let (all, status) = (all.clone(), status.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body
                .collect()
                .await
                .map(|all| all.to_bytes())
                .unwrap_or_default();
            let body = String::from_utf8_lossy(&body).into_owned();
            let count = {
                let mut all = all.lock().unwrap();
                all.push((parts.method, parts.uri.path().to_owned(), body));
                all.len()
            };
            let mut response = Response::new(text(format!("answer {count}")));
            *response.status_mut() = StatusCode::from_u16(status(count)).unwrap();
            response
        }
    })
    .await;
    (upstream, asked)
}

fn request(method: &str, path: &str, body: &'static str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "shop")
        .body(if body.is_empty() { empty() } else { text(body) })
        .unwrap()
}

async fn with(upstream: &Upstream, own: &str) -> Sidecar {
    routes(&[route(upstream.address(), own)]).start().await
}

#[tokio::test]
async fn nothing_is_tried_again_unless_somebody_asks() {
    let (upstream, asked) = answering(|_| 503).await;
    let sidecar = with(&upstream, "").await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    assert_eq!(client.get("/").await.status, 503);
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_get_is_tried_again_and_each_attempt_is_a_span() {
    let (upstream, asked) = answering(|count| if count < 3 { 503 } else { 200 }).await;
    let collector = Collector::start().await;
    let sidecar = routes(&[route(upstream.address(), "retry_on=503;retry_backoff=20ms")])
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    let answer = client.get("/twice").await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "answer 3"));
    assert_eq!(asked.lock().unwrap().len(), 3);
    assert_eq!(
        upstream.connections(),
        1,
        "an answer that is read off keeps its connection"
    );
    let spans = collector
        .wanted(3, |span| span.kind() == Kind::Client)
        .await;
    let mut attempts: Vec<_> = spans
        .iter()
        .map(|span| {
            let resent = span.number("http.request.resend_count").unwrap_or(0);
            (resent, span.status().unwrap(), span.has_phase("retry"))
        })
        .collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [(0, 503, false), (1, 503, true), (2, 200, true)]);
    for span in &spans {
        assert_eq!(span.trace_id(), spans[0].trace_id(), "they are siblings");
        assert_eq!(span.text("throughline.ended_by"), "", "{}", span.summary());
    }
    let metrics = sidecar.metrics().await;
    assert_eq!(metrics.value("throughline_retries_total"), 2.0);
}

#[tokio::test]
async fn a_post_is_sent_once_whatever_is_asked_for() {
    let (upstream, asked) = answering(|_| 503).await;
    let sidecar = with(&upstream, ALL).await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    for method in ["POST", "PATCH", "CHARGE"] {
        let answer = client.ask(request(method, "/pay", "7")).await;
        assert_eq!(answer.status, 503, "{method}");
    }
    assert_eq!(asked.lock().unwrap().len(), 3, "each of them once");
    let denied = "throughline_retries_denied_total{reason=\"unsafe\"}";
    assert_eq!(sidecar.metrics().await.value(denied), 3.0);
}

#[tokio::test]
async fn a_post_that_dies_on_its_way_is_sent_once_even_where_connections_are_tried_again() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let upstream = Upstream::raw(move |mut stream, _| {
        let count = count.clone();
        async move {
            let mut some = [0; 1024];
            if stream.read(&mut some).await.is_ok_and(|read| read > 0) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let sidecar = with(&upstream, ALL).await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    assert_eq!(client.ask(request("POST", "/pay", "7")).await.status, 502);
    assert_eq!(taken.load(Ordering::SeqCst), 1);
    // The same, where it is safe: the first attempt and two more.
    assert_eq!(client.get("/read").await.status, 502);
    assert_eq!(taken.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_post_with_the_mark_that_was_named_is_sent_again_with_its_body() {
    let (upstream, asked) = answering(|count| if count == 1 { 503 } else { 200 }).await;
    let sidecar = with(&upstream, "retry_on=503;retry_marked_by=idempotency-key").await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    let mut marked = request("POST", "/pay", "seven");
    marked
        .headers_mut()
        .insert("idempotency-key", "7".parse().unwrap());
    assert_eq!(client.ask(marked).await.status, 200);
    let expected = (Method::POST, "/pay".to_owned(), "seven".to_owned());
    assert_eq!(*asked.lock().unwrap(), [expected.clone(), expected]);
}

#[tokio::test]
async fn a_body_that_is_too_long_to_be_kept_is_sent_once() {
    let (upstream, asked) = answering(|_| 503).await;
    let sidecar = with(&upstream, "retry_on=503;retry_body_bytes=4").await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    assert_eq!(client.ask(request("PUT", "/", "12345")).await.status, 503);
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(client.ask(request("PUT", "/", "1234")).await.status, 503);
    assert_eq!(asked.lock().unwrap().len(), 1 + 3);
    let denied = "throughline_retries_denied_total{reason=\"body\"}";
    assert_eq!(sidecar.metrics().await.value(denied), 1.0);
}

#[tokio::test]
async fn an_upload_that_is_refused_halfway_begins_anew_elsewhere_and_is_whole_there() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = bodies.clone();
    let upstream = Upstream::http1(move |request| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            if seen.lock().unwrap().is_empty() {
                seen.lock().unwrap().push(first);
                let mut early = Response::new(empty());
                *early.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                return early;
            }
            let mut all = first.to_vec();
            all.extend_from_slice(&body.collect().await.unwrap().to_bytes());
            seen.lock().unwrap().push(all.into());
            Response::new(text("whole"))
        }
    })
    .await;
    let sidecar = with(&upstream, "retry_on=503").await;
    let (mut sender, body) = streamed(1);
    let mut put = request("PUT", "/", "");
    *put.body_mut() = body;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    let answer = tokio::spawn(async move { client.ask(put).await });
    sender.send_data("first ".into()).await.unwrap();
    until("a second attempt", async || {
        (upstream.connections() == 2).then_some(())
    })
    .await;
    sender.send_data("second".into()).await.unwrap();
    drop(sender);
    assert_eq!(answer.await.unwrap().text(), "whole");
    assert_eq!(*bodies.lock().unwrap(), ["first ", "first second"]);
}

#[tokio::test]
async fn retry_after_is_waited_for_or_passed_on() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let upstream = Upstream::http1(move |request| {
        let count = count.clone();
        async move {
            let mut response = Response::new(empty());
            if request.uri().path() == "/long" || count.fetch_add(1, Ordering::SeqCst) == 0 {
                *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                let after = if request.uri().path() == "/long" {
                    "60"
                } else {
                    "1"
                };
                response
                    .headers_mut()
                    .insert("retry-after", after.parse().unwrap());
            }
            response
        }
    })
    .await;
    let collector = Collector::start().await;
    let own = "retry_on=429;retry_backoff_max=5s";
    let sidecar = routes(&[route(upstream.address(), own)])
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    assert_eq!(client.get("/short").await.status, 200);
    let spans = collector
        .wanted(2, |span| span.kind() == Kind::Client)
        .await;
    let again = spans
        .iter()
        .find(|span| span.status() == Some(200))
        .unwrap();
    let phases = again.phases();
    let (_, pause) = phases.iter().find(|(name, _)| *name == "retry").unwrap();
    assert!(*pause >= 1_000_000_000, "{}", again.summary());
    let answer = client.get("/long").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (429, "60")
    );
    let denied = "throughline_retries_denied_total{reason=\"retry_after\"}";
    assert_eq!(sidecar.metrics().await.value(denied), 1.0);
}

#[tokio::test]
async fn retries_stay_within_their_budget() {
    let (upstream, asked) = answering(|_| 500).await;
    let own = "retry_on=5xx;retry_attempts=1;retry_budget=50;retry_budget_min=0";
    let sidecar = with(&upstream, own).await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.status, 500);
    }
    assert_eq!(asked.lock().unwrap().len(), 15);
    let metrics = sidecar.metrics().await;
    let denied = "throughline_retries_denied_total{reason=\"budget\"}";
    assert_eq!(metrics.value(denied), 5.0);
    assert_eq!(metrics.value("throughline_retries_total"), 5.0);
}

#[tokio::test]
async fn an_attempt_that_is_not_answered_in_time_is_tried_again_within_the_time_of_all() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let upstream = Upstream::http1(move |_| {
        let count = count.clone();
        async move {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                std::future::pending::<()>().await;
            }
            Response::new(text("second"))
        }
    })
    .await;
    let own = "retry_on=timeout;response_timeout=300ms;request_timeout=20s";
    let sidecar = with(&upstream, own).await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    assert_eq!(client.get("/").await.text(), "second");
}

#[tokio::test]
async fn a_stream_that_is_refused_is_tried_again_be_it_a_post() {
    let upstream = Upstream::raw(|mut stream, _| async move {
        // A server of few words: SETTINGS; RST_STREAM with REFUSED_STREAM for the first request, and
        // HEADERS with `:status: 200` for the next.
        stream
            .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
            .await
            .unwrap();
        stream.read_exact(&mut [0; 24]).await.unwrap();
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            stream
                .read_exact(&mut vec![0; length as usize])
                .await
                .unwrap();
            let (kind, flags, id) = (head[3], head[4], head[8]);
            let is_over = flags & 1 != 0;
            let frame: &[u8] = match (kind, id) {
                (4, _) if !is_over => &[0, 0, 0, 4, 1, 0, 0, 0, 0],
                (1, 1) => &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 7],
                (0 | 1, id) if is_over && id > 1 => &[0, 0, 1, 1, 5, 0, 0, 0, id, 0x88],
                _ => continue,
            };
            stream.write_all(frame).await.unwrap();
        }
    })
    .await;
    for (on, expected) in [("none", 502), ("refused", 200)] {
        let sidecar = with(&upstream, &format!("retry_on={on}")).await;
        let mut client = Client::http2(sidecar.routes()[0]).await;
        let mut post = request("POST", "http://shop/pay", "7");
        post.headers_mut().remove("host");
        assert_eq!(client.ask(post).await.status, expected, "{on}");
    }
}

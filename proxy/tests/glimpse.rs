//! What looking at the body of a call relies on in hyper.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use throughline_proxy::glimpse::Glimpsed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn hyper_has_the_body_that_came_with_the_head_when_it_asks_for_an_answer() {
    let (mut client, server) = tokio::io::duplex(4096);
    let looked = Arc::new(tokio::sync::Notify::new());
    let tell = looked.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let tell = tell.clone();
        async move {
            let mut body = Glimpsed::new(request.into_body());
            let peeked = body.peek().map(Bytes::copy_from_slice);
            tell.notify_one();
            let all = body.collect().await?.to_bytes();
            let answer = format!("{peeked:?} of {all:?}");
            Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::from(answer)))
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let connection = tokio::spawn(connection);
    let request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nconnection: close\r\n\r\nab";
    client.write_all(request).await.unwrap();
    looked.notified().await;
    client.write_all(b"cd").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    connection.await.unwrap().unwrap();
    assert!(answer.ends_with(r#"Some(b"ab") of b"abcd""#), "{answer}");
}

//! Connections that are driven by whoever uses them, against an app of a few lines.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::processes::{Carried, Carrier};

use super::{Config, Origin, Pool, Protocol, RequestBody, ResponseBody, Upstream};

/// A request's body that comes piece by piece.
#[derive(Debug)]
struct Pieces(mpsc::UnboundedReceiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| Some(Ok(Frame::data(piece?))))
    }
}

struct App {
    listener: TcpListener,
    pool: Pool<Pieces>,
    upstream: Arc<Upstream<Pieces>>,
}

impl App {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Pool::new(Config::default(), crate::tls::Connector::system());
        let port = listener.local_addr().unwrap().port();
        let upstream = pool.upstream(&Origin::http("127.0.0.1", port), Protocol::Http1);
        Self {
            listener,
            pool,
            upstream,
        }
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    async fn send(
        &self,
        method: Method,
        body: RequestBody<Pieces>,
    ) -> Response<ResponseBody<Pieces>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = "/".parse().unwrap();
        request.headers_mut().insert("host", "app".parse().unwrap());
        self.upstream.send(&mut request, None).await.unwrap()
    }

    /// A request, and what is told of the connection that carries it.
    async fn carried(&self) -> (Response<ResponseBody<Pieces>>, Carried) {
        let carried = Carried::default();
        let mut request = Request::get("/").body(RequestBody::empty()).unwrap();
        request.headers_mut().insert("host", "app".parse().unwrap());
        let sent = self
            .upstream
            .send_carried(&mut request, None, Some(&carried), None);
        (sent.await.unwrap(), carried)
    }

    async fn get(&self) -> Response<ResponseBody<Pieces>> {
        self.send(Method::GET, RequestBody::empty()).await
    }
}

/// What is said on `stream` until it has said `end`.
async fn heard(stream: &mut TcpStream, end: &str) -> String {
    let mut said = Vec::new();
    while !said.ends_with(end.as_bytes()) {
        said.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(said).unwrap()
}

async fn answer(stream: &mut TcpStream) {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    stream.write_all(answer).await.unwrap();
}

async fn text(response: Response<ResponseBody<Pieces>>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

/// An app that was asked once, on the connection that it gives back with it.
async fn asked_once() -> (App, TcpStream) {
    let app = App::new().await;
    let serve = async {
        let mut stream = app.accept().await;
        heard(&mut stream, "\r\n\r\n").await;
        answer(&mut stream).await;
        stream
    };
    let (stream, response) = tokio::join!(serve, app.get());
    assert_eq!(text(response).await, "ok");
    (app, stream)
}

async fn soon<T>(event: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(10);
    tokio::time::timeout(patience, event).await.expect("soon")
}

#[tokio::test]
async fn a_connection_that_nobody_polls_takes_the_next_request() {
    let (app, mut stream) = asked_once().await;
    for _ in 0..3 {
        let serve = async {
            heard(&mut stream, "\r\n\r\n").await;
            answer(&mut stream).await;
        };
        let ((), response) = soon(async { tokio::join!(serve, app.get()) }).await;
        assert_eq!(text(response).await, "ok");
    }
}

#[tokio::test]
async fn a_post_is_not_sent_on_a_connection_that_was_closed_while_idle() {
    let (app, stream) = asked_once().await;
    drop(stream);
    // Nobody sweeps here: the pool has only been told.
    soon(app.pool.0.hangups.heard()).await;
    let (say, body) = mpsc::unbounded_channel();
    say.send(Bytes::from_static(b"paid")).unwrap();
    drop(say);
    let serve = async {
        let mut stream = app.accept().await;
        let said = heard(&mut stream, "\r\n0\r\n\r\n").await;
        answer(&mut stream).await;
        said
    };
    let post = app.send(Method::POST, RequestBody::new(Pieces(body)));
    let (said, response) = soon(async { tokio::join!(serve, post) }).await;
    assert!(
        said.starts_with("POST / ") && said.contains("paid"),
        "{said}"
    );
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn what_the_app_closes_while_it_is_idle_is_closed_here_too() {
    let (app, mut stream) = asked_once().await;
    stream.shutdown().await.unwrap();
    let closed = async {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap()
    };
    tokio::select! {
        () = app.pool.tend() => {}
        // Sooner than the next regular look at it.
        more = tokio::time::timeout(Duration::from_secs(4), closed) => {
            assert_eq!(more.expect("at once"), 0);
        }
    }
}

#[tokio::test]
async fn an_upload_goes_on_when_its_response_is_not_read() {
    let app = App::new().await;
    let (say, body) = mpsc::unbounded_channel();
    let serve = async {
        let mut stream = app.accept().await;
        heard(&mut stream, "\r\n\r\n").await;
        answer(&mut stream).await;
        stream
    };
    let post = app.send(Method::POST, RequestBody::new(Pieces(body)));
    let (mut stream, response) = soon(async { tokio::join!(serve, post) }).await;
    for piece in ["one", "two"] {
        say.send(Bytes::from(piece)).unwrap();
        soon(heard(&mut stream, piece)).await;
    }
    // And when it was read to its end.
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn a_response_that_is_dropped_half_way_ends_its_connection() {
    let app = App::new().await;
    let serve = async {
        let mut stream = app.accept().await;
        heard(&mut stream, "\r\n\r\n").await;
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha";
        stream.write_all(half).await.unwrap();
        stream
    };
    let (mut stream, mut response) = soon(async { tokio::join!(serve, app.get()) }).await;
    let frame = soon(response.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "ha");
    drop(response);
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_request_that_is_dropped_ends_its_connection() {
    let app = App::new().await;
    let mut stream = {
        let mut get = std::pin::pin!(app.get());
        let serve = async {
            let mut stream = app.accept().await;
            heard(&mut stream, "\r\n\r\n").await;
            stream
        };
        tokio::select! {
            biased;
            _ = poll_fn(|cx| get.as_mut().poll(cx)) => panic!("nobody answered"),
            stream = serve => stream,
        }
    };
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_response_larger_than_any_buffer_comes_whole() {
    const SIZE: usize = 8 << 20;
    let app = App::new().await;
    let serve = async {
        let mut stream = app.accept().await;
        heard(&mut stream, "\r\n\r\n").await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; SIZE]).await.unwrap();
    };
    let read = async { text(app.get().await).await };
    let ((), body) = soon(async { tokio::join!(serve, read) }).await;
    assert_eq!(body.len(), SIZE);
}

#[tokio::test]
async fn a_request_is_told_what_carries_it() {
    let app = App::new().await;
    let mut sockets = Vec::new();
    let mut stream = None;
    for _ in 0..2 {
        let serve = async {
            let mut stream = match stream.take() {
                Some(stream) => stream,
                None => app.accept().await,
            };
            heard(&mut stream, "\r\n\r\n").await;
            answer(&mut stream).await;
            stream
        };
        let (served, (response, carried)) = tokio::join!(serve, app.carried());
        assert_eq!(text(response).await, "ok");
        let Carrier::Socket(socket) = carried.carrier() else {
            panic!("{carried:?}");
        };
        assert_eq!(socket.app(), served.local_addr().unwrap());
        assert_eq!(socket.ours(), served.peer_addr().unwrap());
        sockets.push(socket.clone());
        stream = Some(served);
    }
    assert!(
        Arc::ptr_eq(&sockets[0], &sockets[1]),
        "what is known of a connection stays with it"
    );
}

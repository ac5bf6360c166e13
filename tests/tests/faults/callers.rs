//! Callers that do not read what they asked for.

use bytes::Bytes;
use http::{Response, StatusCode};
use throughline_tests::{Client, Setup, Upstream, empty, streamed, text};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{account::settled, load::Load};

/// An app with answers of 64 MiB under `/big`, and with short ones.
async fn app() -> Upstream {
    Upstream::http1(|request| async move {
        let path = request.uri().path().to_owned();
        if !path.starts_with("/big") {
            return Response::new(text(path));
        }
        let (mut sender, body) = streamed(1);
        tokio::spawn(async move {
            let block = Bytes::from(vec![b'x'; 64 * 1024]);
            for _ in 0..1024 {
                if sender.send_data(block.clone()).await.is_err() {
                    break;
                }
            }
        });
        Response::new(body)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_do_not_read_hold_up_nobody_and_fill_nothing() {
    const SILENT: usize = 64;
    let app = app().await;
    let sidecar = Setup::beside(app.address()).start().await;
    let load = Load::of(sidecar.inbound(), 4);
    load.more(500).await;
    let before = sidecar.resident_kib();

    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let stream = TcpStream::connect(sidecar.inbound()).await;
        let mut stream = stream.expect("it listens");
        let asked = stream
            .write_all(b"GET /big HTTP/1.1\r\nHost: app\r\n\r\n")
            .await;
        asked.expect("a request can be written");
        silent.push(stream);
    }
    // And over HTTP/2, whose window is closed by not reading.
    let (mut clients, mut unread) = (Vec::new(), Vec::new());
    for _ in 0..SILENT / 8 {
        let mut client = Client::http2(sidecar.inbound()).await;
        for _ in 0..8 {
            let mut request = http::Request::new(empty());
            *request.uri_mut() = "http://app/big".parse().expect("an address");
            let response = client.send(request).await.expect("an answer");
            assert_eq!(response.status(), StatusCode::OK);
            unread.push(response);
        }
        clients.push(client);
    }
    load.more(3000).await;
    let grown = sidecar.resident_kib().saturating_sub(before);
    // 128 answers of 64 MiB are 8 GiB.
    assert!(grown < 96 * 1024, "{grown} KiB more than {before} KiB");

    drop((silent, unread, clients));
    let asked = load.stop().await;
    settled(&sidecar, asked + 2 * SILENT).await;
}

//! Names that lead elsewhere after a while.
//!
//! The sidecar has a hosts file of its own, in a mount namespace, and its resolver is the system's. One
//! server listens at all of 127.0.0.0/8, and answers with the address that it was reached at.

use std::{convert::Infallible, fs, io::Write, net::SocketAddr, path::PathBuf};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use throughline_tests::{Client, Collector, Kind, Protocol, Setup, Sidecar, until};
use tokio::net::TcpListener;

use super::routes;

/// A server at every loopback address, and its port.
async fn everywhere(is_http2: bool) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let here: SocketAddr = stream.local_addr().unwrap();
            let body = Bytes::from(here.ip().to_string());
            let service = service_fn(move |_| {
                let answer = Response::new(Full::new(body.clone()));
                async move { Ok::<_, Infallible>(answer) }
            });
            let stream = TokioIo::new(stream);
            tokio::spawn(async move {
                let _ = if is_http2 {
                    let server = http2::Builder::new(TokioExecutor::new());
                    server.serve_connection(stream, service).await
                } else {
                    http1::Builder::new()
                        .serve_connection(stream, service)
                        .await
                };
            });
        }
    });
    port
}

/// A hosts file, and the namespace that a sidecar is started in to have it.
struct Hosts {
    file: PathBuf,
    _dir: TempDir,
}

impl Hosts {
    fn new(addresses: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("hosts");
        fs::File::create(&file).unwrap();
        let hosts = Self { file, _dir: dir };
        hosts.lead_to(addresses);
        hosts
    }

    /// The name leads there from now on. The file is the same one: it is what was mounted.
    fn lead_to(&self, addresses: &[&str]) {
        let lines: String = addresses
            .iter()
            .map(|at| format!("{at} moving.test\n"))
            .collect();
        let mut file = fs::File::create(&self.file).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
    }

    async fn start(&self, setup: Setup) -> Sidecar {
        let file = self.file.to_str().unwrap();
        let mount = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        setup
            .within(&["unshare", "-rm", "sh", "-c", mount, file])
            .start()
            .await
    }
}

#[tokio::test]
async fn a_name_that_moves_is_followed_by_connections_that_are_in_use() {
    for is_http2 in [false, true] {
        let port = everywhere(is_http2).await;
        let hosts = Hosts::new(&["127.0.0.2"]);
        let collector = Collector::start().await;
        let setup = Setup::outbound_alone()
            .flag("routes", &format!("127.0.0.1:0=moving.test:{port}"))
            .flag("resolve-interval", "50ms")
            .exporting(&collector, Protocol::Grpc);
        let sidecar = hosts.start(setup).await;
        let mut client = if is_http2 {
            Client::http2(sidecar.routes()[0]).await
        } else {
            Client::http1(sidecar.routes()[0]).await
        };
        assert_eq!(client.get("/before").await.text(), "127.0.0.2");
        hosts.lead_to(&["127.0.0.3"]);
        // One request after the other: the connection is never idle for long.
        until("the new address", async || {
            (client.get("/during").await.text() == "127.0.0.3").then_some(())
        })
        .await;
        assert_eq!(
            client.get("/after").await.text(),
            "127.0.0.3",
            "http2: {is_http2}"
        );
        let span = collector.span(Kind::Client, "/after").await;
        assert_eq!(span.text("network.peer.address"), "127.0.0.3");
        assert_eq!(span.text("server.address"), "moving.test");
    }
}

#[tokio::test]
async fn the_forward_proxy_follows_too() {
    let port = everywhere(false).await;
    let hosts = Hosts::new(&["127.0.0.2"]);
    let setup = Setup::outbound_alone().flag("resolve-interval", "50ms");
    let sidecar = hosts.start(setup).await;
    let mut client = Client::http1(sidecar.outbound()).await;
    let url = format!("http://moving.test:{port}/");
    assert_eq!(client.get(&url).await.text(), "127.0.0.2");
    hosts.lead_to(&["127.0.0.3"]);
    until("the new address", async || {
        (client.get(&url).await.text() == "127.0.0.3").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_not_found_any_more_leaves_connections_where_they_are() {
    let port = everywhere(false).await;
    let hosts = Hosts::new(&["127.0.0.2"]);
    let setup = routes(&[format!(
        "127.0.0.1:0=moving.test:{port};balance=round_robin"
    )]);
    let sidecar = hosts.start(setup.flag("resolve-interval", "50ms")).await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    until("the address", async || {
        let page = sidecar.ask_admin("/api/upstreams").await;
        page.contains("127.0.0.2").then_some(())
    })
    .await;
    hosts.lead_to(&[]);
    // The next look-ups find nothing; then an address is added, so that it is known that they were made.
    assert_eq!(client.get("/").await.text(), "127.0.0.2");
    hosts.lead_to(&["127.0.0.2", "127.0.0.4"]);
    until("the second address", async || {
        (client.get("/").await.text() == "127.0.0.4").then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_address_of_a_name_is_an_upstream_while_the_name_has_it() {
    let port = everywhere(false).await;
    let hosts = Hosts::new(&["127.0.0.2", "127.0.0.3"]);
    let setup = routes(&[format!(
        "127.0.0.1:0=moving.test:{port};balance=round_robin"
    )]);
    let sidecar = hosts.start(setup.flag("resolve-interval", "50ms")).await;
    let known = |count: f64| {
        let sidecar = &sidecar;
        async move {
            sidecar
                .metrics_until("the upstreams", |metrics| {
                    let route = "address=\"127.0.0";
                    metrics.sum("throughline_upstream_healthy", route) == count
                })
                .await
        }
    };
    known(2.0).await;
    let mut client = Client::http1(sidecar.routes()[0]).await;
    let mut all = [client.get("/").await.text(), client.get("/").await.text()];
    all.sort_unstable();
    assert_eq!(all, ["127.0.0.2", "127.0.0.3"]);
    hosts.lead_to(&["127.0.0.3"]);
    known(1.0).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "127.0.0.3");
    }
}

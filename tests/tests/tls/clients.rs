//! Clients that speak TLS.

use std::{net::SocketAddr, process::Stdio, sync::Arc};

use throughline_tests::{Authority, Client, Curl, curl};
use tokio::{io::AsyncWriteExt, net::TcpStream, process::Command};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

/// Asks `https://shop.example` for `path` there, believing `ca`.
pub(crate) async fn ask(at: SocketAddr, path: &str, ca: &Authority, more: &[&str]) -> Curl {
    ask_host("shop.example", at, path, ca, more).await
}

/// The same of another host.
pub(crate) async fn ask_host(
    host: &str,
    at: SocketAddr,
    path: &str,
    ca: &Authority,
    more: &[&str],
) -> Curl {
    let url = format!("https://{host}:{}{path}", at.port());
    let resolve = format!("{host}:{}:{}", at.port(), at.ip());
    let file = ca.file();
    let mut arguments = vec!["--noproxy", "*", "--resolve", &resolve, "--cacert", &file];
    arguments.extend(more);
    arguments.push(&url);
    curl(&arguments).await
}

/// The subject of the certificate that OpenSSL's client is shown, and what else it says.
pub(crate) async fn s_client(at: SocketAddr, more: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &at.to_string()])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl is needed for the tests; install it with `apt-get install openssl`");
    let mut input = child.stdin.take().unwrap();
    // `Q` on a line ends it.
    input.write_all(b"Q\n").await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    let texts = [output.stdout, output.stderr];
    texts
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat()
}

/// A connection to `shop.example` there.
pub(crate) async fn connect(
    at: SocketAddr,
    ca: &Authority,
    protocols: &[&str],
) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(at).await.unwrap();
    let name = ServerName::try_from("shop.example").unwrap();
    let connector = TlsConnector::from(Arc::clone(&ca.client(protocols)));
    connector.connect(name, stream).await.unwrap()
}

/// A client in HTTP/1.1 on such a connection.
pub(crate) async fn client(at: SocketAddr, ca: &Authority) -> Client {
    Client::http1_over(connect(at, ca, &["http/1.1"]).await).await
}

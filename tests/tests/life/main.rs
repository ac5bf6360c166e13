//! The life of the process, as whoever operates it has it: what it logs, how it takes another
//! configuration, and how another process takes over from it.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, what they share included"
)]

mod access_log;
mod drain;
mod level;
mod load;
mod reload;
mod upgrade;

use http::{Request, Response};
use throughline_tests::{Body, Client, Sidecar, Upstream, empty, text};

/// An app that answers with what it is called.
async fn named(name: &'static str) -> Upstream {
    Upstream::http1(move |_| async move { Response::new(text(name)) }).await
}

/// A call through the sidecar to `upstream`, as `HTTP_PROXY` makes clients send it.
async fn call(sidecar: &Sidecar, upstream: &Upstream, path: &str) -> String {
    let request = Request::get(format!("http://{}{path}", upstream.address()))
        .header("host", upstream.address().to_string())
        .body(empty());
    let mut client = Client::http1(sidecar.outbound()).await;
    client.ask(request.unwrap()).await.text()
}

/// A request as HTTP/1.1 has it.
fn get(path: &str) -> Request<Body> {
    let request = Request::get(path).header("host", "shop").body(empty());
    request.unwrap()
}

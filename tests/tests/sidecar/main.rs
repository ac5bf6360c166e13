//! The sidecar as its users have it: the real binary between real clients and real servers.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, what they share included"
)]

mod apps;
mod collector;
mod command;
mod context;
mod failures;
mod forward;
mod forwarders;
mod headers;
mod reuse;
mod sdks;
mod shutdown;
mod streaming;
mod timeouts;
mod tunnels;
mod values;
mod versions;

use http::{Request, request::Builder};
use throughline_tests::{Body, Upstream, text};

/// A request as HTTP/1.1 has it: a path, and a `Host`.
fn get(path: &str) -> Builder {
    Request::get(path).header("host", "shop")
}

/// The same with a body.
fn post(path: &str, body: &'static str) -> Request<Body> {
    Request::post(path)
        .header("host", "shop")
        .body(text(body))
        .expect("the request of a test is one")
}

/// An app that answers every request with the headers that it got, one on a line, in HTTP/1.1.
async fn echo_headers() -> Upstream {
    Upstream::http1(|request| async move {
        let mut lines = format!("{} {}\n", request.method(), request.uri());
        for (name, value) in request.headers() {
            lines.push_str(&format!(
                "{name}: {}\n",
                String::from_utf8_lossy(value.as_bytes())
            ));
        }
        http::Response::new(text(lines))
    })
    .await
}

/// The values of a header in what [`echo_headers`] answered.
fn echoed<'t>(answer: &'t str, name: &str) -> Vec<&'t str> {
    let lines = answer
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    lines
        .filter(|(n, _)| *n == name)
        .map(|(_, value)| value)
        .collect()
}

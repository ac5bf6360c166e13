//! The sidecar as its users have it: the real binary between real clients and real servers.

// Two real apps, unmodified, call each other through two sidecars: the main job, end to end.
mod apps;
// What a faulty collector does to requests, to memory and to the account of spans: nothing, nothing,
// and no gap.
mod collector;
// `run … -- COMMAND`: what the app is told, how it is signalled and how it ends.
mod command;
// Whom a call reaches that goes out, and whom it does not.
mod forward;
// An upstream that is down, deaf, silent or gone, and what the caller and the span are told.
mod failures;
// What a message loses at a hop, and what it keeps.
mod headers;
// Connections that are kept: when they are used again, when not, and what the span says about it.
mod reuse;
// SIGTERM with requests in flight.
mod shutdown;
// Bodies that are larger than any buffer, and sides that stop reading.
mod streaming;
// How long a client may take.
mod timeouts;
// HTTP/1.1 and HTTP/2 on one port, before apps that speak either.
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

//! TLS on both sides of the app, with clients that nobody here wrote: curl, and OpenSSL's own.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, what they share included"
)]

mod clients;
mod inbound;
mod mutual;
mod reload;
mod settings;
mod upstreams;

use http::Response;
use throughline_tests::{Body, Upstream, text};

/// An app that says `ok`, and with what scheme it was asked where HTTP/2 tells.
async fn app() -> Upstream {
    Upstream::http1(|_| async { ok() }).await
}

fn ok() -> Response<Body> {
    Response::new(text("ok"))
}

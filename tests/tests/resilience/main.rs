//! Calm under faults: what the sidecar does when an upstream is slow, full, broken or gone, and what
//! its spans and metrics say of it.
//!
//! The real binary stands between real sockets. Each case says in its name what is expected.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, what they share included"
)]

mod limits;
mod names;
mod retries;
mod timeouts;
mod upstreams;

use std::net::SocketAddr;

use throughline_tests::{Setup, Span};

/// The route to `upstream`, with settings of its own.
fn route(upstream: SocketAddr, own: &str) -> String {
    format!("127.0.0.1:0={upstream};{own}")
}

/// A sidecar with routes alone.
fn routes(routes: &[String]) -> Setup {
    Setup::outbound_alone().flag("routes", &routes.join(","))
}

/// Asserts in which phase an exchange died, who ended it, and what it died of.
#[track_caller]
fn check(span: &Span, phase: &str, ended_by: &str, error: &str) {
    let said = [
        span.text("throughline.phase.interrupted"),
        span.text("throughline.ended_by"),
        span.text("error.type"),
    ];
    assert_eq!(said, [phase, ended_by, error], "{}", span.summary());
}

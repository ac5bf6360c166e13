//! placeholder
use std::time::Duration;

/// What a listener allows its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a request's headers may take from their first byte, and a new connection until then.
    pub header_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub idle_timeout: Duration,
    /// The most bytes that a request's headers may have.
    pub max_header_bytes: usize,
    /// The most requests that one h2 connection may have open.
    pub max_streams: u32,
}

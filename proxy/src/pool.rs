//! placeholder
use std::time::Duration;

/// What the pool allows upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long resolving, connecting and the TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long an upstream may take until the first byte of its response; `None` for ever.
    pub response_timeout: Option<Duration>,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// The most connections to one upstream; further requests queue.
    pub max_connections: usize,
}

/// What an upstream is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Whatever the caller speaks, as far as the upstream turns out to understand it.
    #[default]
    Auto,
    /// HTTP/1.1 always.
    Http1,
    /// HTTP/2 in clear, with prior knowledge, always.
    H2c,
}

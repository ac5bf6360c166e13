//! placeholder
use std::net::SocketAddr;

use http::Uri;

/// A fixed way out: what is said to `listen` goes to `upstream`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where the app calls.
    pub listen: SocketAddr,
    /// Where that goes: scheme and authority alone.
    pub upstream: Uri,
}

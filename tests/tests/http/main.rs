//! HTTP to the letter: what passes through the sidecar, what it refuses, and what it never does.
//!
//! The real binary stands between two sockets, and the test holds the far end of both. Each case says
//! in its name what is expected, and looks at the bytes that came out at either end. Where a case is
//! about both sides of an app it is run on all three [ways](scene::Way) through the sidecar.
//!
//! What does not hold yet is here too, ignored, with what happens instead.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, what they share included"
)]

mod bodies;
mod connect;
mod ends;
mod fields;
mod floods;
mod frames;
mod grpc;
mod http1;
mod http2;
mod interim;
mod leftovers;
mod limits;
mod loops;
mod mangled;
mod methods;
mod once;
mod pseudo;
mod recorder;
mod scene;
mod smuggling;
mod stand;
mod targets;
mod trailers;
mod translation;
mod tunnels;
mod upgrades;
mod upstreams;
mod versions;
mod windows;
mod wire;

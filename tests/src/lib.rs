//! The real binary, real clients, real wires.
//!
//! A test starts a [`Sidecar`] as its own process, puts an [`Upstream`] or a real app behind it, calls
//! it with a [`Client`], with bytes of its own or with [`curl`](curl()), and looks at what a
//! [`Collector`] got. Nothing here waits for time to pass: [`until`] something is seen, or the test
//! fails and shows what the sidecar had logged.

pub mod apps;
mod binary;
mod client;
mod cloud;
mod collector;
mod curl;
mod metrics;
mod pki;
mod sidecar;
mod span;
mod upstream;
mod wait;

pub use binary::{path as binary, workspace};
pub use client::{Answer, Client, raw};
pub use cloud::{Call, Cloud};
pub use collector::{Behaviour, Collector, Delivery, Protocol};
pub use curl::{Curl, curl};
pub use metrics::Metrics;
pub use pki::{Authority, Issued};
pub use sidecar::{Setup, Sidecar, free_port};
pub use span::{Kind, Span};
pub use upstream::{Body, Upstream, empty, streamed, text};
pub use wait::{PATIENCE, until};

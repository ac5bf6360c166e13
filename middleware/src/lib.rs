//! Trace context, hop spans and a latency breakdown for [tower] services.
//!
//! A [`ServerLayer`] continues the caller's trace and reports one SERVER span for each request; a
//! [`ClientLayer`] reports one CLIENT span for each call and injects its context. Both end their
//! span with the *body*, not with the headers, and both cut its duration into [`phase`]s that add up
//! to the whole, to the nanosecond.
//!
//! ```
//! use axum::{Router, routing::get};
//! use throughline::{ServerLayer, sink::Collect};
//!
//! let spans = Collect::default();
//! let app: Router = Router::new()
//!     .route("/users/{id}", get(|| async { "Ada" }))
//!     .layer(ServerLayer::new(spans));
//! ```
//!
//! Three ideas carry the crate:
//!
//! - a [`context::TraceContext`] is what travels between services, and a
//!   [`propagation::Propagator`] reads and writes it in every header format that is configured;
//! - a [`phase::Recorder`] notes when an exchange enters each phase, and the differences are the
//!   breakdown: there is no "other";
//! - a [`span::Span`] is one finished piece of work, which also says *how its parent is known*. A
//!   [`sink::Sink`] takes it, and never makes a request wait.
//!
//! The `throughline` sidecar is built of these very layers, so that a service and the proxy beside
//! it cannot disagree about what a hop is.
//!
//! # Dropping
//!
//! Every future and body here may be dropped at any point. The span then ends at that moment, says
//! which phase was running ([`span::Span::interrupted`]) and who ended it.
//!
//! [tower]: https://docs.rs/tower

pub mod attributes;
pub mod breakdown;
pub mod context;
pub mod id;
pub mod phase;
pub mod propagation;
pub mod sample;
pub mod semconv;
pub mod span;
pub mod text;
pub mod tls;
pub mod trust;

pub mod ambient;
pub mod body;
pub mod client;
pub mod current;
pub mod exchange;
pub mod future;
pub mod handover;
#[cfg(feature = "opentelemetry")]
pub mod otel;
pub mod server;
pub mod sink;

pub use client::ClientLayer;
pub use server::ServerLayer;

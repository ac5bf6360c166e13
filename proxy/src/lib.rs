//! The sidecar: it stands on both sides of a service that nobody changes, and reports every hop.
//!
//! ARCHITECTURE.md has the map. Rooms are listed here in the order of their layers: a room may use
//! what stands above it, and the middleware, and nothing else; a test holds them to it.

pub mod attempts;
pub mod balance;
pub mod correlate;
pub mod handshake;
pub mod headers;
pub mod processes;
pub mod settle;
pub mod target;
pub mod timing;
pub mod values;
pub mod window;

pub mod access_log;
pub mod export;
pub mod forwarders;
pub mod log;
pub mod owners;
pub mod signals;

pub mod pipeline;

mod bell;
pub mod echoes;
pub mod glimpse;
pub mod group;
pub mod hold;
pub mod inbound;
mod interim;
pub mod listen;
mod loops;
pub mod outbound;
mod pace;
pub mod pool;
mod reply;
mod request_id;
pub mod retry;
pub mod tls;
mod tunnel;
mod watched;

pub mod admin;

pub mod config;

pub mod app;
pub mod child;

pub mod demo;

pub mod cli;

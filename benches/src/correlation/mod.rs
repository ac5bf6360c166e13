//! How often is a parent right that was inferred from time alone? Recorded traffic is replayed.
//!
//! [`events`] reads what one replica of a service saw, [`replay`] gives it to the filter of the sidecar
//! as it would have come, and [`truth`] says afterwards who made each call. [`score`] counts what was
//! right, and [`files`] is where all of these lie. Only [`files`] reads anything; the rest is pure. [`load`]
//! is traffic that nobody recorded: with it is measured what a decision costs.

pub mod events;
pub mod files;
pub mod load;
pub mod replay;
pub mod score;
pub mod truth;

/// A line of a table cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Malformed {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

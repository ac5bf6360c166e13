//! placeholder
use std::process::ExitCode;

use crate::{child, config};

/// Runs the sidecar, and the app beside it where a command is given, until it is told to stop.
///
/// # Errors
///
/// When something cannot be bound or started.
pub fn run(config: config::Config, child: Option<child::Command>) -> anyhow::Result<ExitCode> {
    drop((config, child));
    anyhow::bail!("not built yet")
}

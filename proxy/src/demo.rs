//! placeholder

/// How the demo is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether it ends after a few seconds of traffic.
    pub once: bool,
}

/// Runs the demo.
///
/// # Errors
///
/// When something cannot be bound or started.
pub fn run(options: Options) -> anyhow::Result<()> {
    let _ = options;
    anyhow::bail!("not built yet")
}

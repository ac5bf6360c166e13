//! The log: on standard error, ours at the level that was asked for, others only when they warn.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Begins to log at this level: `off`, `error`, `warn`, `info`, `debug` or `trace`.
pub(crate) fn start(level: &str) {
    let started = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives(level)))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
    // Where somebody has begun already, as a test may, that log serves as well.
    drop(started);
}

/// pingora says at `info` what is worth a line only to those who work on it.
fn directives(level: &str) -> String {
    let others = match level {
        "off" | "error" => level,
        _ => "warn",
    };
    format!("{others},throughline={level},throughline_proxy={level}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_never_louder_than_a_warning() {
        for (level, expected) in [
            ("info", "warn,throughline=info,throughline_proxy=info"),
            ("error", "error,throughline=error,throughline_proxy=error"),
            ("off", "off,throughline=off,throughline_proxy=off"),
        ] {
            assert_eq!(directives(level), expected);
            assert!(EnvFilter::try_new(directives(level)).is_ok());
        }
    }
}

//! The log: on standard error, ours at the level that was asked for, others only when they warn.
//!
//! The level can be changed while the process runs. What is not logged at a level costs nothing: which
//! lines those are is worked out when the level is set, and not when a line is met.

use std::{
    fmt,
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::{EnvFilter, util::SubscriberInitExt};

/// The levels, from nothing to everything.
pub const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The log of this process; a clone is a handle on the same one.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    level: Mutex<&'static str>,
    /// Puts a level into effect, and says whether that could be done.
    put: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.level()).finish()
    }
}

impl Log {
    /// Begins to log at this level.
    #[must_use]
    pub fn start(level: &str) -> Self {
        let level = known(level).unwrap_or("info");
        let builder = tracing_subscriber::fmt()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_env_filter(EnvFilter::new(directives(level)))
            .with_filter_reloading();
        let handle = builder.reload_handle();
        // Where somebody has begun already, as a test may, that log serves as well.
        let _ = builder.finish().try_init();
        Self(Arc::new(Inner {
            level: Mutex::new(level),
            put: Box::new(move |filter| handle.reload(filter).is_ok()),
        }))
    }

    /// How much is logged.
    #[must_use]
    pub fn level(&self) -> &'static str {
        *self.0.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs at this level from now on, if it is one, and says whether it does.
    pub fn set(&self, level: &str) -> bool {
        let Some(level) = known(level) else {
            return false;
        };
        let mut now = self.0.level.lock().unwrap_or_else(PoisonError::into_inner);
        let is_set = (self.0.put)(EnvFilter::new(directives(level)));
        if is_set {
            *now = level;
        }
        is_set
    }
}

/// The level of that name.
#[must_use]
pub fn known(level: &str) -> Option<&'static str> {
    LEVELS
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(level))
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

    #[test]
    fn a_level_is_known_by_its_name_alone() {
        assert_eq!(known("DEBUG"), Some("debug"));
        assert_eq!(known("loud"), None);
        assert_eq!(known("warn,h2=trace"), None);
    }
}

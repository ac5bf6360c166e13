//! What stops a start: one sentence with the key, the value and the cure.

use std::{fmt, io};

use super::settings::TABLE;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting has a value that it cannot have.
    #[error("{place} is {value}: {why}")]
    Value {
        /// The setting as its source spells it, after the position in a file.
        place: String,
        /// The value in quotes, or that it is hidden.
        value: String,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// A name that no setting has.
    #[error("{place}: no setting is called {name}{}", Suggestion(.nearest))]
    Unknown {
        /// Where it stands.
        place: String,
        /// The name.
        name: String,
        /// The name of a setting that was perhaps meant.
        nearest: Option<String>,
    },
    /// A file that is not what it should be.
    #[error("{place}: {why}")]
    File {
        /// The file's name, with line and column where they are known.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file that cannot be read.
    #[error("the configuration {name} cannot be read: {cause}; give the path of a readable file")]
    Unreadable {
        /// The path as it was given.
        name: String,
        /// Why.
        cause: io::Error,
    },
    /// Settings that are right each for itself, but not together.
    #[error("{0}")]
    Together(String),
}

/// The cure for a misspelt name.
struct Suggestion<'e>(&'e Option<String>);

impl fmt::Display for Suggestion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => f.write_str("; `throughline config --reference` lists them all"),
        }
    }
}

/// The key of the setting whose name looks most like this one, if any does.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase().replace('-', "_");
    TABLE
        .iter()
        .map(|setting| (strsim::jaro_winkler(&lower, setting.key), setting.key))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_names_are_recognised_and_others_are_not() {
        for (name, expected) in [
            ("header_timout", Some("header_timeout")),
            ("header-timeout", Some("header_timeout")),
            ("HEADER_TIMEOUT", Some("header_timeout")),
            ("propagator", Some("propagators")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(name), expected, "{name}");
        }
    }
}

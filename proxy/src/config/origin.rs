//! Where a value comes from, to be shown beside it.

use std::fmt;

/// A setting as it was resolved, with where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The setting's name.
    pub key: &'static str,
    /// Its value in the spelling of a flag, secrets masked; empty where it has none.
    pub value: String,
    /// Where the value comes from.
    pub source: Source,
}

/// A place that values come from, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This flag.
    Flag(String),
    /// This variable of the environment.
    Environment(String),
    /// This line of this file.
    File {
        /// The file's name as it was given.
        name: String,
        /// The line, from 1.
        line: u64,
    },
    /// What was found out, and from what.
    Detected(String),
    /// The setting's default.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File { name, line } => write!(f, "file {name}:{line}"),
            Self::Detected(from) => write!(f, "detected from {from}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Something that was passed over and that somebody should know about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub(crate) String);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! What launches with the app: a few lines for each runtime that copy the trace headers of the request
//! being handled onto the calls made while handling it, or tell which request a thread is serving.
//!
//! Their sources and what they promise are in `proxy/forwarders/`. This room carries them in the binary,
//! puts them where an app can load them, knows the variables that make it do so, and reads the header by
//! which they are known.

mod carried;
mod environment;
mod fit;
mod marker;
mod place;

use std::{fmt, path::PathBuf, time::Duration};

pub use self::{
    carried::{File, files},
    environment::{Told, environment},
    fit::{Program, fitting},
    marker::{HEADER, Mark},
    place::{Placed, is_open_to_others, located, place},
};

/// A forwarder, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Forwarder {
    /// Node.
    Node,
    /// Python, sync and async.
    Python,
    /// Java.
    Java,
    /// PHP, Ruby and whatever else serves a request a thread on libc: it copies nothing, and tells which
    /// request a thread is serving.
    Signal,
}

impl Forwarder {
    /// Every forwarder.
    pub const ALL: [Self; 4] = [Self::Node, Self::Python, Self::Java, Self::Signal];

    /// Its name, in settings and in its header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Python => "python",
            Self::Java => "java",
            Self::Signal => "signal",
        }
    }

    /// The forwarder of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The variable that loads it into an app.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::Node => "NODE_OPTIONS",
            Self::Python => "PYTHONPATH",
            Self::Java => "JAVA_TOOL_OPTIONS",
            Self::Signal => "LD_PRELOAD",
        }
    }
}

impl fmt::Display for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which forwarders an app is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// None.
    #[default]
    None,
    /// Those that fit its command.
    Auto,
    /// These.
    These(Vec<Forwarder>),
}

/// What launches with the app, and what it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Which forwarders a command is started with.
    pub selection: Selection,
    /// Hosts to which nothing is copied, with commas between.
    pub exclude: String,
    /// How long after its response a request's context is still copied, and believed.
    pub grace: Duration,
    /// Where threads tell which request they serve; `None` where that is not wanted, or where a command
    /// is started whose file is our own affair.
    pub signal_file: Option<PathBuf>,
}

/// What a forwarder is told by environment variables, as `proxy/forwarders/README.md` has them.
pub mod variable {
    /// Switches every forwarder off.
    pub const SWITCH: &str = "THROUGHLINE_FORWARD";
    /// Where the sidecar takes calls.
    pub const VIA: &str = "THROUGHLINE_FORWARD_VIA";
    /// Hosts to leave out.
    pub const EXCLUDE: &str = "THROUGHLINE_FORWARD_EXCLUDE";
    /// How long after its response a request's context is still copied.
    pub const GRACE: &str = "THROUGHLINE_FORWARD_GRACE_MS";
    /// Prints what goes wrong inside a forwarder.
    pub const DEBUG: &str = "THROUGHLINE_FORWARD_DEBUG";
    /// The file that tells which request a thread is serving.
    pub const SIGNAL: &str = "THROUGHLINE_SIGNAL";

    /// All of them: they are meant for forwarders, and no settings of the sidecar.
    pub const ALL: [&str; 6] = [SWITCH, VIA, EXCLUDE, GRACE, DEBUG, SIGNAL];
}

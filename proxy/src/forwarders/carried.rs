//! The forwarders in this binary.
//!
//! Those that are text always are. Those that are built, by the scripts beside their sources, are where
//! their toolchain was there when this binary was built; `build.rs` asks for them.

use super::Forwarder;

/// A file of a forwarder.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// What it is called.
    pub name: &'static str,
    /// What is in it.
    pub content: &'static [u8],
    /// Whether it is the one that is loaded; the others are loaded by it.
    pub is_entry: bool,
}

macro_rules! text {
    ($name:literal in $directory:literal, $is_entry:literal) => {
        File {
            name: $name,
            content: include_bytes!(concat!("../../forwarders/", $directory, "/", $name)),
            is_entry: $is_entry,
        }
    };
}

macro_rules! built {
    ($name:literal) => {
        File {
            name: $name,
            content: include_bytes!(concat!(env!("OUT_DIR"), "/", $name)),
            is_entry: true,
        }
    };
}

static NODE: &[File] = &[text!("forward.cjs" in "node", true)];

static PYTHON: &[File] = &[
    text!("sitecustomize.py" in "python", true),
    text!("throughline_forward.py" in "python", false),
];

static JAVA: &[File] = &[built!("forward.jar")];

static SIGNAL: &[File] = &[built!("libthroughline-signal.so")];

/// The files of a forwarder; none where this binary does not carry it.
#[must_use]
pub fn files(forwarder: Forwarder) -> &'static [File] {
    let files = match forwarder {
        Forwarder::Node => NODE,
        Forwarder::Python => PYTHON,
        Forwarder::Java => JAVA,
        Forwarder::Signal => SIGNAL,
    };
    // A file that could not be built is there, and empty.
    let is_whole = files.iter().all(|file| !file.content.is_empty());
    if is_whole { files } else { &[] }
}

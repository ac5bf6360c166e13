//! The forwarders in this binary.
//!
//! Those that are text always are. Those that are built, by the scripts beside their sources, are where
//! their toolchain was there when this binary was built; `build.rs` asks for them.

use super::Forwarder;

/// A file of a forwarder.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// What it is called, below the forwarder's directory.
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

static NODE: &[File] = &[
    text!("forward.cjs" in "node", true),
    text!("context.cjs" in "node", false),
    text!("exchange.cjs" in "node", false),
    text!("grpc.cjs" in "node", false),
    text!("hook.cjs" in "node", false),
    text!("http.cjs" in "node", false),
    text!("http2.cjs" in "node", false),
    text!("inbound.cjs" in "node", false),
    text!("others.cjs" in "node", false),
    text!("outbound.cjs" in "node", false),
    text!("settings.cjs" in "node", false),
    text!("shared.cjs" in "node", false),
    text!("stamp.cjs" in "node", false),
    text!("undici.cjs" in "node", false),
];

static PYTHON: &[File] = &[
    text!("sitecustomize.py" in "python", true),
    text!("throughline_forward/__init__.py" in "python", false),
    text!("throughline_forward/clients.py" in "python", false),
    text!("throughline_forward/handling.py" in "python", false),
    text!("throughline_forward/hooks.py" in "python", false),
    text!("throughline_forward/rules.py" in "python", false),
    text!("throughline_forward/servers.py" in "python", false),
    text!("throughline_forward/threads.py" in "python", false),
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// The files below a directory, but for tests and what is no source.
    fn sources(directory: &Path, under: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{under}{name}");
            match name.rsplit_once('.') {
                _ if name == "tests" || name.starts_with("__pycache__") => {}
                _ if entry.path().is_dir() => sources(&entry.path(), &format!("{path}/"), found),
                Some((_, "cjs" | "py")) => drop(found.insert(path)),
                _ => {}
            }
        }
    }

    #[test]
    fn no_source_of_a_forwarder_is_left_behind() {
        for forwarder in [Forwarder::Node, Forwarder::Python] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("forwarders");
            let mut expected = BTreeSet::new();
            sources(&root.join(forwarder.name()), "", &mut expected);
            let carried = files(forwarder).iter().map(|file| file.name.to_owned());
            assert_eq!(carried.collect::<BTreeSet<_>>(), expected, "{forwarder}");
        }
    }
}

//! Builds the forwarders that are not text, where their toolchain is there, with the scripts beside their
//! sources. What cannot be built is left out of the binary, which then says so.

#![allow(
    missing_docs,
    reason = "a build script has no readers of its documentation"
)]

use std::{env, fs, path::Path, process::Command};

fn main() {
    let out = env::var_os("OUT_DIR").expect("cargo says where to write");
    let out = Path::new(&out);
    // Bytecode runs anywhere.
    build("java", &out.join("forward.jar"), true);
    // A library is for the machine that it is built on, and so is what builds it.
    println!("cargo:rerun-if-env-changed=CC");
    let is_native = env::var("TARGET") == env::var("HOST")
        || env::var("CC").is_ok_and(|compiler| !compiler.is_empty())
        || is_only_another_libc();
    let is_linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let library = out.join("libthroughline-signal.so");
    build("signal", &library, is_native && is_linux);
}

/// The library stands on no libc, so that it is the same for all of one architecture.
fn is_only_another_libc() -> bool {
    let architecture = |variable| {
        let triple = env::var(variable).unwrap_or_default();
        triple.split('-').next().map(str::to_owned)
    };
    architecture("TARGET") == architecture("HOST")
}

/// Runs `forwarders/NAME/build`, which makes `file` in its directory; where it cannot, the file is there and empty.
fn build(name: &str, file: &Path, is_wanted: bool) {
    fs::write(file, "").expect("cargo gave us a place to write to");
    let directory = format!("forwarders/{name}");
    println!("cargo:rerun-if-changed={directory}");
    if !is_wanted {
        return;
    }
    let script = Path::new(&directory).join("build");
    let into = file.parent().unwrap_or(Path::new("."));
    let why = match Command::new(&script).arg(into).output() {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    fs::write(file, "").expect("cargo gave us a place to write to");
    let last = why.lines().last().unwrap_or("it said nothing");
    println!("cargo:warning=the forwarder {name} is left out: {last}");
}

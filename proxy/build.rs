//! Builds the forwarders that are not text, where their toolchain is there, with the scripts beside their
//! sources. What cannot be built is left out of the binary, which then says so.

#![allow(
    clippy::disallowed_methods,
    reason = "cargo tells a build script everything by its environment"
)]

use std::{env, fs, path::Path, process::Command};

fn main() {
    let out = env::var_os("OUT_DIR").expect("cargo says where to write");
    let out = Path::new(&out);
    // Bytecode runs anywhere.
    build("java", out, "forward.jar", true);
    // A library is for the machine that it is built on, and so is what builds it.
    println!("cargo:rerun-if-env-changed=CC");
    let is_native =
        is_of_this_architecture() || env::var("CC").is_ok_and(|compiler| !compiler.is_empty());
    let is_linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    build(
        "signal",
        out,
        "libthroughline-signal.so",
        is_native && is_linux,
    );
}

/// The library stands on no libc, so that it is the same for all of one architecture.
fn is_of_this_architecture() -> bool {
    let architecture = |variable| {
        let triple = env::var(variable).unwrap_or_default();
        triple.split('-').next().map(str::to_owned)
    };
    architecture("TARGET") == architecture("HOST")
}

/// Runs `forwarders/NAME/build`, which makes `file` in `out`; where it cannot, that is there and empty.
fn build(name: &str, out: &Path, file: &str, is_wanted: bool) {
    let directory = Path::new("forwarders").join(name);
    let parts = fs::read_dir(&directory).into_iter().flatten().flatten();
    for part in parts.filter(|part| part.file_name() != "tests") {
        println!("cargo:rerun-if-changed={}", part.path().display());
    }
    let why = if is_wanted {
        match Command::new(directory.join("build")).arg(out).output() {
            Ok(output) if output.status.success() => return,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        }
    } else {
        "CC names no compiler for another processor".to_owned()
    };
    fs::write(out.join(file), "").expect("cargo gave us a place to write to");
    let last = why.lines().last().unwrap_or("it said nothing");
    println!("cargo:warning=the forwarder {name} is left out: {last}");
}

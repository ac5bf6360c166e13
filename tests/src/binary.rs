//! The `throughline` binary that belongs to the tests: built from these sources, in their profile.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::SystemTime,
};

/// The path of the binary. It is built first if it is missing or older than its sources, once in each
/// test process.
///
/// # Panics
///
/// When it cannot be built.
#[must_use]
pub fn path() -> &'static Path {
    // A failure is kept too: it would not be another one the second time.
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        let binary = profile_directory().join("throughline");
        if is_stale(&binary) {
            build()?;
        }
        Ok(binary)
    });
    match path {
        Ok(path) => path,
        Err(why) => panic!("the binary under test cannot be built:\n{why}"),
    }
}

/// `target/debug` or its like: two above this very executable, which lies in its `deps`.
pub(crate) fn profile_directory() -> PathBuf {
    let this = std::env::current_exe().expect("the path of the test's executable");
    let deps = this.parent().expect("the executable lies in a directory");
    deps.parent()
        .expect("the tests lie in a directory of their profile")
        .to_owned()
}

/// The root of the workspace.
///
/// # Panics
///
/// Never: the tests are a member of it.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is a member of the workspace")
}

fn is_stale(binary: &Path) -> bool {
    let Some(built) = modified(binary) else {
        return true;
    };
    let root = workspace();
    ["Cargo.toml", "Cargo.lock", "proxy", "middleware"]
        .iter()
        .any(|part| newest(&root.join(part)).is_some_and(|changed| changed > built))
}

/// When the youngest source below `path` was changed; tests do not go into the binary.
fn newest(path: &Path) -> Option<SystemTime> {
    if !path.is_dir() {
        return modified(path);
    }
    let entries = fs::read_dir(path).ok()?.flatten();
    entries
        .filter(|entry| {
            !["tests", "examples", "target"].contains(&&*entry.file_name().to_string_lossy())
        })
        .filter_map(|entry| newest(&entry.path()))
        .max()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn build() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let directory = profile_directory();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let built = Command::new(cargo)
        .args(["build", "--package", "throughline-proxy"])
        .args(["--bin", "throughline", "--profile", profile])
        .arg("--target-dir")
        .arg(directory.join(".."))
        .current_dir(workspace())
        .output()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if built.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&built.stderr).into_owned())
    }
}

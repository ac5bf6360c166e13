//! The forwarders' own tests, each in its own language's habit, with what they need installed by name.
//!
//! What a forwarder does beside a sidecar is in `tests/tests/correlation` and `tests/tests/sidecar`.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use throughline_tests::apps::{forwarder_modules, forwarder_python, forwarder_tests};

/// Runs a command, one after the other: each of these keeps both processors busy.
fn pass(command: &mut Command) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// What is inherited from the test that runs this must not switch a forwarder on or off.
fn quietly(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    for variable in [
        "NODE_OPTIONS",
        "PYTHONPATH",
        "JAVA_TOOL_OPTIONS",
        "LD_PRELOAD",
    ] {
        command.env_remove(variable);
    }
    command
}

#[test]
fn the_forwarder_for_node() {
    let tests = forwarder_tests("node");
    pass(
        quietly("node")
            .arg("--test")
            .current_dir(tests)
            .env("NODE_PATH", forwarder_modules()),
    );
}

#[test]
fn the_forwarder_for_python() {
    let tests = forwarder_tests("python");
    pass(
        quietly(forwarder_python("python"))
            // Without `test_servers`, every server with every client: that is for when one of them changes.
            .args([
                "-m",
                "unittest",
                "test_rules",
                "test_calls",
                "test_start",
                "test_company",
                "test_wire",
            ])
            .current_dir(tests),
    );
}

#[test]
fn the_forwarder_for_java() {
    pass(quietly(forwarder_tests("java").join("run")).arg("java"));
}

#[test]
fn the_signal() {
    pass(
        // Without its real apps, which are in `tests/tests/correlation` beside a sidecar.
        quietly(forwarder_tests("signal").join("run"))
            .args(["test_rules", "test_loading"])
            .env("SIGNAL_PYTHON", forwarder_python("signal")),
    );
}

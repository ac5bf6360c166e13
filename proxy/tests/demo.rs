//! `throughline demo` as a newcomer starts it: the real command, its output piped.

#![allow(
    clippy::unwrap_used,
    reason = "what a helper of a test unwraps is an assertion too"
)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// The demo, with an environment that says nothing about colours, collectors or terminals.
fn demo(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command
        .arg("demo")
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a run to the end prints. It must be a success and have nothing to complain about.
fn printed(environment: &[(&str, &str)]) -> String {
    let output = demo(&["--once"], environment).output().unwrap();
    let (stdout, stderr) = (output.stdout, String::from_utf8(output.stderr).unwrap());
    let stdout = String::from_utf8(stdout).unwrap();
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert_eq!(stderr, "");
    stdout
}

/// The rows of the ledger: created, exported, dropped, pending.
fn ledger(report: &str) -> Vec<(String, [u64; 4])> {
    let section = report.split("\nThe ledger").nth(1).unwrap();
    let rows = section.lines().filter_map(|line| {
        let (name, numbers) = line.split_once(" memory ")?;
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        Some((name.trim().to_owned(), numbers.try_into().unwrap()))
    });
    rows.collect()
}

/// The number and the share in the line of this evidence.
fn parents(report: &str, evidence: &str) -> (u64, u64) {
    let line = report
        .lines()
        .find_map(|line| line.split_once(evidence).map(|(_, rest)| rest));
    let mut words = line
        .unwrap_or_else(|| panic!("{evidence} in {report}"))
        .split_whitespace();
    let mut number = || {
        let word = words.next().unwrap();
        word.trim_start_matches('<').parse().unwrap()
    };
    (number(), number())
}

#[test]
fn once_is_a_success_in_plain_text_that_adds_up() {
    let report = printed(&[("LANG", "C.UTF-8")]);
    assert!(!report.contains('\u{1b}'), "escape codes in a pipe");
    for line in report.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
    }

    let rows = ledger(&report);
    let (last, services) = rows.split_last().unwrap();
    assert_eq!((last.0.as_str(), services.len()), ("all", 7));
    for (name, [created, exported, dropped, pending]) in &rows {
        assert_eq!(*created, exported + dropped + pending, "{name}");
        assert_eq!(*pending, 0, "{name}");
    }
    for column in 0..4 {
        let sum: u64 = services.iter().map(|(_, numbers)| numbers[column]).sum();
        assert_eq!(sum, last.1[column]);
    }

    let evidence = [
        "= propagated",
        "~ sole_candidate",
        "~ timing",
        "? left open",
    ];
    let counts = evidence.map(|evidence| parents(&report, evidence));
    let [propagated, sole, timing, open] = counts;
    assert_eq!(
        propagated.0,
        sole.0 + timing.0 + open.0,
        "each call has a caller's and a callee's span"
    );
    assert!(sole.0 + timing.0 > open.0, "most parents are found");
    let shares: u64 = counts.iter().map(|(_, share)| share).sum();
    assert!((99..=101).contains(&shares), "{counts:?}");

    for seen in [
        "frontend",
        "└─ shipping",
        "░ queue",
        "503",
        "The slowest hop is cart → payments",
    ] {
        assert!(report.contains(seen), "{seen} in {report}");
    }
    let marks = |mark: &str| {
        report
            .lines()
            .filter(|line| line.trim_start().starts_with(mark))
            .count()
    };
    assert_eq!((marks("✓"), marks("✗")), (5, 0));
}

#[test]
fn ascii_is_enough_and_columns_are_respected() {
    let report = printed(&[("LANG", "C"), ("COLUMNS", "100")]);
    assert!(report.is_ascii(), "{report}");
    let widest = report.lines().map(str::len).max().unwrap();
    assert!((90..=100).contains(&widest), "{widest}");
}

/// A collector that is not there costs spans, and nothing else; each of them is in the ledger.
#[test]
fn a_collector_that_is_away_is_in_the_ledger() {
    let away = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
    ];
    let output = demo(&["--once"], &away).output().unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{report}");
    let all = report
        .lines()
        .filter(|line| line.trim_start().starts_with("all "));
    let otlp = all
        .map(str::to_owned)
        .find(|line| line.contains(" otlp "))
        .unwrap();
    let numbers: Vec<u64> = otlp
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    assert!(numbers[0] > 0);
    assert_eq!(numbers[1..], [0, numbers[0], 0], "{otlp}");
    assert!(report.contains("  dropped because of: "), "{report}");
}

/// A demo that goes on, and what it has printed so far.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    fn start() -> Self {
        let mut child = demo(&[], &[("LANG", "C.UTF-8")]).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Reads on to the line that contains this, and returns it.
    fn until(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "no {what}");
            if line.contains(what) {
                return line;
            }
        }
    }

    fn interrupt(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).unwrap();
    }

    /// Waits for the end; its exit code and what it printed last.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

#[test]
fn it_goes_on_until_it_is_interrupted_and_says_where_to_look() {
    let mut running = Running::start();
    running.until("The traffic goes on");
    let line = running.until("payments");
    let admin = line.split("http://").nth(1).unwrap().trim();
    let (authority, path) = admin.split_once('/').unwrap();

    let mut admin = TcpStream::connect(authority).unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    admin.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    admin.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("trace_id"), "{answer}");

    running.interrupt();
    let (code, rest) = running.end();
    assert_eq!(code, Some(0));
    let rows = ledger(&rest);
    assert_eq!(rows.len(), 8);
    for (name, [created, exported, dropped, pending]) in rows {
        assert_eq!((created, dropped, pending), (exported, 0, 0), "{name}");
    }
}

#[test]
fn an_interrupt_during_the_first_seconds_still_accounts_for_every_span() {
    let mut running = Running::start();
    running.until("tills");
    running.interrupt();
    let (code, rest) = running.end();
    assert_eq!(code, Some(130));
    let rows = ledger(&rest);
    let (_, [created, exported, ..]) = rows.last().unwrap();
    assert_eq!(created, exported);
    assert!(!rest.contains("One trace"), "{rest}");
}

//! Replays recorded traffic of a set of services, and writes what the sidecar would have said.
//!
//! ```text
//! correlate SET OUT            writes <service>.decisions.csv and <service>.settled.csv into OUT
//! correlate --told SHARE SET   says how much better it gets where that share of calls is told
//! correlate --reliability SET  says how often it was right; of several sets, one line for each
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command")]

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use throughline_benches::correlation::{
    files::{JOIN, Scores, services},
    replay::Guess,
    score::Score,
};

const USAGE: &str = "usage: correlate SET OUT, or: correlate --reliability SET..., or: correlate --told \
    PERCENT SET...";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("correlate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [flag, sets @ ..] if flag == "--reliability" && !sets.is_empty() => reliability(sets),
        [flag, percent, sets @ ..] if flag == "--told" && !sets.is_empty() => {
            let percent = percent.to_str().and_then(|text| text.parse().ok());
            told(percent.context(USAGE)?, sets)
        }
        [set, out] if !set.to_string_lossy().starts_with("--") => {
            write(Path::new(set), Path::new(out))
        }
        _ => bail!(USAGE),
    }
}

/// Writes what was said of each service of a set.
fn write(set: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for service in services(set)? {
        let said = service.replay()?.said;
        for (what, guesses) in [("decisions", &said.decisions), ("settled", &said.settled)] {
            let path = out.join(format!("{}.{what}.csv", service.name));
            fs::write(&path, table(guesses))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}

fn table(guesses: &[Guess]) -> String {
    let mut table = "span,parent,conf\n".to_owned();
    for Guess {
        span,
        parent,
        confidence,
    } in guesses
    {
        // Writing into text does not fail.
        _ = writeln!(table, "{span},{parent},{confidence}");
    }
    table
}

/// Says of each set how much is asserted and how much of that is right, and then, of all together, how
/// often a parent of each confidence was right.
fn reliability(sets: &[OsString]) -> Result<()> {
    let mut all = Scores::default();
    for set in sets.iter().map(PathBuf::from) {
        let mut scores = Scores::default();
        for service in services(&set)? {
            let of_service = service.score(&service.replay()?)?;
            if service.name == JOIN {
                println!("{}, {JOIN} apart: {}", name(&set), of_service.online);
            } else {
                scores.add(&of_service);
            }
        }
        println!(
            "{}: {}; settled: {}",
            name(&set),
            scores.online,
            scores.settled
        );
        all.online.pool(&scores.online);
        all.settled.pool(&scores.settled);
    }
    bins("online", &all.online);
    bins("settled", &all.settled);
    Ok(())
}

/// Says of each set how much of what only time can tell is asserted, and how much of that is right,
/// without and with so many percent of all calls told by something else.
fn told(percent: u64, sets: &[OsString]) -> Result<()> {
    for set in sets.iter().map(PathBuf::from) {
        let mut scores = [Scores::default(), Scores::default()];
        for service in services(&set)?.iter().filter(|s| s.name != JOIN) {
            let replayed = service.replay_told(percent)?;
            for (score, replayed) in scores.iter_mut().zip(&replayed) {
                score.add(&service.score(replayed)?);
            }
        }
        let [none, some] = scores.map(|scores| scores.online);
        println!(
            "{}, none told: {none}; {percent} % told: {some}",
            name(&set)
        );
    }
    Ok(())
}

fn name(set: &Path) -> String {
    let name = set.file_name().unwrap_or(set.as_os_str());
    name.to_string_lossy().into_owned()
}

fn bins(what: &str, score: &Score) {
    println!(
        "\n{what:>10}  {:>7}  {:>6}  {:>8}",
        "calls", "stated", "observed"
    );
    for (from, bin) in score.reliability().filter(|(_, bin)| bin.guesses > 0) {
        println!(
            "{:>10}  {:>7}  {:>6.1}  {:>8.1}",
            format!("{from:.2}-"),
            bin.guesses,
            bin.stated(),
            bin.observed()
        );
    }
}

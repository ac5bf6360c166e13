//! Where recordings lie: for each service of a set a table of events, and one of the truth.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;

use super::{
    events::{self, What},
    replay::{self, Said},
    score::Score,
    truth,
};

/// In this service five requests join before one of them calls. Which one does is no matter of time,
/// so that it stands apart in every score.
pub const JOIN: &str = "compose-review-service";

/// One service of a set.
#[derive(Debug)]
pub struct Service {
    /// What it is called.
    pub name: String,
    directory: PathBuf,
}

/// What a replay said of one service.
#[derive(Debug)]
pub struct Replayed {
    /// What it said.
    pub said: Said,
    /// The calls that were seen.
    pub calls: Vec<u64>,
}

/// The scores of one service, or of a set.
#[derive(Debug, Default)]
pub struct Scores {
    /// Of what was said when a call began.
    pub online: Score,
    /// Of what became known later.
    pub settled: Score,
}

impl Scores {
    /// Adds the scores of another service of the same set.
    pub fn add(&mut self, other: &Self) {
        self.online.add(&other.online);
        self.settled.add(&other.settled);
    }
}

/// The services of a set, by name.
///
/// # Errors
///
/// Where the folder cannot be read, or there are none in it.
pub fn services(set: &Path) -> Result<Vec<Service>> {
    let entries = fs::read_dir(set).with_context(|| format!("cannot list {}", set.display()))?;
    let mut services = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", set.display()))?;
        let file = entry.file_name();
        let name = file.to_str().and_then(|f| f.strip_suffix(".events.csv.gz"));
        services.extend(name.map(|name| Service {
            name: name.to_owned(),
            directory: set.to_owned(),
        }));
    }
    anyhow::ensure!(
        !services.is_empty(),
        "no file in {} is called <service>.events.csv.gz",
        set.display()
    );
    services.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(services)
}

impl Service {
    /// Replays what it saw. The truth is not read.
    ///
    /// # Errors
    ///
    /// Where its events cannot be read.
    pub fn replay(&self) -> Result<Replayed> {
        let path = self.path("events");
        let table = table(&path)?;
        let events = events::read(&table).with_context(|| sentence(&path))?;
        let calls = events.iter().filter(|event| event.what == What::Calls);
        Ok(Replayed {
            calls: calls.map(|event| event.span).collect(),
            said: replay::replay(&events),
        })
    }

    /// Holds what was said against the truth.
    ///
    /// # Errors
    ///
    /// Where the truth cannot be read.
    pub fn score(&self, replayed: &Replayed) -> Result<Scores> {
        let path = self.path("truth");
        let makers = truth::read(&table(&path)?).with_context(|| sentence(&path))?;
        let score = |said| Score::new(replayed.calls.iter().copied(), said, &makers);
        Ok(Scores {
            online: score(&replayed.said.decisions),
            settled: score(&replayed.said.settled),
        })
    }

    fn path(&self, what: &str) -> PathBuf {
        self.directory.join(format!("{}.{what}.csv.gz", self.name))
    }
}

fn sentence(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

fn table(path: &Path) -> Result<String> {
    let mut table = String::new();
    File::open(path)
        .and_then(|file| GzDecoder::new(file).read_to_string(&mut table))
        .with_context(|| sentence(path))?;
    Ok(table)
}

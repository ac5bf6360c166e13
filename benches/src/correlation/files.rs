//! Where recordings lie: for each service of a set a table of events, and one of the truth.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;

use super::{
    events::{self, Event, What},
    replay::{self, Said, Told},
    score::Score,
    truth::{self, Maker},
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
        let events = self.events()?;
        Ok(Replayed {
            calls: calls(&events).collect(),
            said: replay::replay(&events, &Told::new()),
        })
    }

    /// Replays it twice, and looks only at calls that nothing but time tells anything of: first as
    /// [`Service::replay`] does, and then with every other call told, those being `percent` of all.
    ///
    /// # Errors
    ///
    /// Where its events or the truth cannot be read.
    pub fn replay_told(&self, percent: u64) -> Result<[Replayed; 2]> {
        let events = self.events()?;
        let is_told = |call: u64| {
            // By a number of the call's own, so that the same calls are told every time.
            let mixed = (call ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            mixed % 100 < percent
        };
        let makers = self.makers()?.into_iter();
        let told = makers.filter(|(call, _)| is_told(*call));
        let told: Told = told.map(|(call, maker)| (call, maker.parent)).collect();
        Ok([Told::new(), told].map(|told| Replayed {
            calls: calls(&events).filter(|call| !is_told(*call)).collect(),
            said: replay::replay(&events, &told),
        }))
    }

    fn events(&self) -> Result<Vec<Event>> {
        let path = self.path("events");
        let table = table(&path)?;
        events::read(&table).with_context(|| sentence(&path))
    }

    fn makers(&self) -> Result<HashMap<u64, Maker>> {
        let path = self.path("truth");
        truth::read(&table(&path)?).with_context(|| sentence(&path))
    }

    /// Holds what was said against the truth.
    ///
    /// # Errors
    ///
    /// Where the truth cannot be read.
    pub fn score(&self, replayed: &Replayed) -> Result<Scores> {
        let makers = self.makers()?;
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

/// The calls among them.
fn calls(events: &[Event]) -> impl Iterator<Item = u64> {
    let calls = events.iter().filter(|event| event.what == What::Calls);
    calls.map(|event| event.span)
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

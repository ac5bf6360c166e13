//! How good are parents that are inferred from time alone, on recorded traffic?
//!
//! The recordings are not part of this repository. They are looked for beside the workspace, or where
//! `THROUGHLINE_CORRELATION_SETS` says; without them nothing is tested, and the test says so.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    thread,
};

use throughline_benches::correlation::files::{JOIN, Scores, services};

/// What is held of each set, in percent: how many calls have their parent asserted, and, where it is
/// held, in how many traces all likeliest parents are right once all is settled.
const SETS: [(&str, f64, Option<f64>); 12] = [
    ("hotel_25", 98.0, None),
    ("hotel_75", 94.0, None),
    ("hotel_150", 92.0, Some(98.0)),
    ("hotel_150_x5", 84.0, Some(98.2)),
    ("media_25", 94.0, None),
    ("media_75", 87.0, Some(89.4)),
    ("media_75_x3", 75.0, None),
    ("media_150", 76.0, None),
    ("node_25", 92.0, None),
    ("node_150", 89.0, Some(97.3)),
    ("node_150_x5", 58.0, Some(84.9)),
    ("nodeio_0", 91.0, None),
];

/// Of what is asserted so many have to be right, in percent.
const PRECISION: f64 = 99.0;

/// In the bins of what is asserted: by how many points what is right may differ from what was stated.
const POINTS: f64 = 2.0;

/// The scores of a set, and of the service in it that joins.
type OfSet = (Scores, Option<Scores>);

#[test]
fn parents_from_time_alone_are_right_on_recorded_traffic() {
    let folder = env::var_os("THROUGHLINE_CORRELATION_SETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/correlation/public"),
        PathBuf::from,
    );
    if !folder.is_dir() {
        println!("skipped: there are no recordings in {}", folder.display());
        return;
    }
    let scores = replay_all(&folder);
    let mut all = Scores::default();
    let mut failed = Vec::new();
    for (set, coverage, end_to_end) in SETS {
        let (of_set, join) = &scores[set];
        println!("{set}: {}; settled: {}", of_set.online, of_set.settled);
        let mut hold = |what: &str, is: f64, least: f64| {
            if is < least {
                failed.push(format!("{set}: {what} is {is:.2}, not {least}"));
            }
        };
        hold("precision", of_set.online.precision(), PRECISION);
        hold("coverage", of_set.online.coverage(), coverage);
        if let Some(least) = end_to_end {
            hold("end to end", of_set.settled.end_to_end(), least);
        }
        if let Some(join) = join {
            hold("the join's precision", join.online.precision(), PRECISION);
        }
        all.online.pool(&of_set.online);
        all.settled.pool(&of_set.settled);
    }
    for (from, bin) in all.online.reliability().filter(|(from, _)| *from >= 0.9) {
        let (stated, observed) = (bin.stated(), bin.observed());
        println!(
            "{from:.2}: {} stated {stated:.1} observed {observed:.1}",
            bin.guesses
        );
        assert!(
            bin.guesses >= 100,
            "{from}: {} are too few to tell",
            bin.guesses
        );
        let more = observed - stated;
        if !(-POINTS..=POINTS).contains(&more) {
            failed.push(format!(
                "from {from}: stated {stated:.1}, observed {observed:.1}"
            ));
        }
    }
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}

/// The scores of all sets, one thread for each.
fn replay_all(folder: &Path) -> BTreeMap<&'static str, OfSet> {
    thread::scope(|scope| {
        let threads = SETS.map(|(set, ..)| (set, scope.spawn(move || replay(&folder.join(set)))));
        threads
            .map(|(set, thread)| (set, thread.join().expect("a set can be replayed")))
            .into()
    })
}

fn replay(set: &Path) -> OfSet {
    let mut of_set = Scores::default();
    let mut join = None;
    for service in services(set).expect("a set of recordings") {
        let replayed = service.replay().expect("the events of a service");
        let scores = service.score(&replayed).expect("the truth about a service");
        if service.name == JOIN {
            join = Some(scores);
        } else {
            of_set.add(&scores);
        }
    }
    (of_set, join)
}

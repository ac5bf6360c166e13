//! What was said, against what was true.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use super::{
    replay::{Guess, THRESHOLD},
    truth::Maker,
};

/// How many guesses there were between two confidences, and how good they were.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// How many.
    pub guesses: u32,
    /// How many of these were right.
    pub right: u32,
    /// The sum of what was stated.
    sum: f64,
}

impl Bin {
    /// The confidence that was stated, on average, in percent.
    #[must_use]
    pub fn stated(&self) -> f64 {
        100.0 * self.sum / f64::from(self.guesses.max(1))
    }

    /// How many of a hundred were right.
    #[must_use]
    pub fn observed(&self) -> f64 {
        percent(self.right, self.guesses)
    }
}

/// Where each bin begins; the last ends at 1.
pub const BINS: [f32; 10] = [0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.92, 0.94, 0.96, 0.98];

/// The score of one service, of a set, or of all: each can be [added](Self::add) to another.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Calls that somebody made.
    pub calls: u32,
    /// Calls whose parent is asserted.
    pub asserted: u32,
    /// Asserted ones that are right.
    pub right: u32,
    /// Calls whose likeliest parent is the right one, whatever its confidence.
    pub forced: u32,
    /// Whether the likeliest parents of all calls of a trace are right.
    traces: HashMap<u64, bool>,
    bins: [Bin; BINS.len()],
}

impl Score {
    /// The score of one service. `calls` are all that were seen; who is not among `makers` is left out.
    #[must_use]
    pub fn new(
        calls: impl IntoIterator<Item = u64>,
        guesses: &[Guess],
        makers: &HashMap<u64, Maker>,
    ) -> Self {
        let guesses: HashMap<u64, &Guess> = guesses.iter().map(|g| (g.span, g)).collect();
        let mut score = Self::default();
        for call in calls.into_iter().collect::<HashSet<u64>>() {
            if let Some(maker) = makers.get(&call) {
                score.see(maker, guesses.get(&call).copied());
            }
        }
        score
    }

    fn see(&mut self, maker: &Maker, guess: Option<&Guess>) {
        let is_right = guess.is_some_and(|guess| guess.parent == maker.parent);
        let right = u32::from(is_right);
        self.calls += 1;
        self.forced += right;
        let trace = self.traces.entry(maker.trace).or_insert(true);
        *trace = *trace && is_right;
        let Some(guess) = guess else {
            return;
        };
        if guess.confidence >= THRESHOLD {
            self.asserted += 1;
            self.right += right;
        }
        let at = BINS.iter().rposition(|from| guess.confidence >= *from);
        let bin = &mut self.bins[at.unwrap_or(0)];
        bin.guesses += 1;
        bin.right += right;
        bin.sum += f64::from(guess.confidence);
    }

    /// Adds the score of another service of the same set.
    pub fn add(&mut self, other: &Self) {
        for (trace, is_right) in &other.traces {
            let all = self.traces.entry(*trace).or_insert(true);
            *all = *all && *is_right;
        }
        self.pool(other);
    }

    /// Adds the score of another set, whose traces are others.
    pub fn pool(&mut self, other: &Self) {
        self.calls += other.calls;
        self.asserted += other.asserted;
        self.right += other.right;
        self.forced += other.forced;
        for (bin, other) in self.bins.iter_mut().zip(&other.bins) {
            bin.guesses += other.guesses;
            bin.right += other.right;
            bin.sum += other.sum;
        }
    }

    /// How many of a hundred asserted parents are right.
    #[must_use]
    pub fn precision(&self) -> f64 {
        percent(self.right, self.asserted)
    }

    /// Of how many of a hundred calls the parent is asserted.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        percent(self.asserted, self.calls)
    }

    /// Of how many of a hundred traces the likeliest parent of each call is right.
    #[must_use]
    pub fn end_to_end(&self) -> f64 {
        let right = self.traces.values().filter(|is_right| **is_right).count();
        let count = |n| u32::try_from(n).unwrap_or(u32::MAX);
        percent(count(right), count(self.traces.len()))
    }

    /// Stated against observed confidence, by where a bin begins.
    pub fn reliability(&self) -> impl Iterator<Item = (f32, Bin)> {
        BINS.into_iter().zip(self.bins)
    }
}

/// One line: what is asserted, what of it is right, and whole traces.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "precision {:.2} coverage {:.1} end to end {:.1}",
            self.precision(),
            self.coverage(),
            self.end_to_end()
        )
    }
}

fn percent(of: u32, all: u32) -> f64 {
    100.0 * f64::from(of) / f64::from(all.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(span: u64, parent: u64, confidence: f32) -> Guess {
        Guess {
            span,
            parent,
            confidence,
        }
    }

    /// Calls 1 to 4, of which 1 and 2 are of trace 10, 3 and 4 of trace 20; call `n` is of request `n`.
    fn makers() -> HashMap<u64, Maker> {
        let maker = |parent| Maker {
            parent,
            trace: if parent <= 2 { 10 } else { 20 },
        };
        (1..=4).map(|n| (n, maker(n))).collect()
    }

    #[test]
    fn only_what_is_asserted_counts_for_precision() {
        let guesses = [guess(1, 1, 0.95), guess(2, 9, 0.95), guess(3, 3, 0.7)];
        let score = Score::new(1..=4, &guesses, &makers());
        assert_eq!((score.calls, score.asserted), (4, 2));
        assert_eq!((score.precision(), score.coverage()), (50.0, 50.0));
        assert_eq!(score.forced, 2);
        assert_eq!(score.end_to_end(), 0.0);
    }

    #[test]
    fn a_trace_is_right_where_it_is_right_in_every_service() {
        let mut score = Score::new([1, 3], &[guess(1, 1, 0.9), guess(3, 3, 0.1)], &makers());
        assert_eq!(score.end_to_end(), 100.0);
        score.add(&Score::new(
            [2, 4],
            &[guess(2, 2, 0.9), guess(4, 1, 0.1)],
            &makers(),
        ));
        assert_eq!(score.end_to_end(), 50.0);
        assert_eq!(score.calls, 4);
    }

    #[test]
    fn a_guess_is_in_the_bin_of_its_confidence() {
        let guesses = [guess(1, 1, 0.9), guess(2, 9, 0.91), guess(3, 3, 1.0)];
        let score = Score::new(1..=4, &guesses, &makers());
        let filled: Vec<_> = score.reliability().filter(|(_, b)| b.guesses > 0).collect();
        let [(low, bin), (high, top)] = filled[..] else {
            panic!("{filled:?}");
        };
        assert_eq!((low, bin.guesses, bin.observed()), (0.9, 2, 50.0));
        assert!((bin.stated() - 90.5).abs() < 1e-3);
        assert_eq!((high, top.observed()), (0.98, 100.0));
    }
}

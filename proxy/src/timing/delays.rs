//! How long a request stays in one state, and what ends that: learnt as hazards.
//!
//! A hazard is the rate of an event among those for which it has not happened yet. It is the right
//! weight for a request that has waited so long already; a density would punish it for that.

use super::bins::{BINS, Ticks, bin, seconds, start};

/// What ends the time in a state: a call of some kind, or the end of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// A call of this kind begins.
    Call(u16),
    /// The request ends.
    End,
}

/// Half of what is not known yet is expected later than this, in nanoseconds.
const PRIOR_SCALE: f64 = 0.2e-3;

/// The weight of what is expected before anything was seen, in requests.
const PRIOR: f64 = 1.0;

/// What ends a state in more ways than this is not told apart any further.
const MAX_EXITS: usize = 16;

/// The mass at which old delays lose half of their weight, so that an app may change.
const MAX_MASS: f64 = 8000.0;

/// What was seen is spread over the neighbours of its bin.
const KERNEL: [f64; 5] = [1.0 / 9.0, 2.0 / 9.0, 3.0 / 9.0, 2.0 / 9.0, 1.0 / 9.0];

/// The delays of one state.
#[derive(Debug)]
pub(super) struct Delays {
    exits: Vec<Exit>,
    /// Visits that something else cut short, by their length.
    censored: Box<[f32; BINS]>,
    /// All visits that ended in an event.
    mass: f64,
    /// The mass when the table was made.
    table_mass: f64,
    legs: Box<[Leg; BINS]>,
    /// The hazard of an event that never was seen in this state.
    unseen: Hazards,
}

/// The rate of one event in each bin, per second.
type Hazards = Box<[f32; BINS]>;

#[derive(Debug)]
struct Exit {
    event: Event,
    mass: f64,
    counts: Box<[f32; BINS]>,
    hazards: Hazards,
}

/// What happens in one bin, whatever the event. The two are read together.
#[derive(Clone, Copy, Debug, Default)]
struct Leg {
    /// What of the hazard has passed when the bin begins.
    passed: f32,
    /// The hazard of all events in it.
    total: f32,
}

impl Delays {
    pub(super) fn new(ticks: &Ticks) -> Self {
        let mut new = Self {
            exits: Vec::new(),
            censored: Box::new([0.0; BINS]),
            mass: 0.0,
            table_mass: 0.0,
            legs: Box::new([Leg::default(); BINS]),
            unseen: Box::new([0.0; BINS]),
        };
        new.rebuild(ticks);
        new
    }

    /// The rate of `event` in each bin.
    pub(super) fn hazards(&self, event: Event) -> &[f32; BINS] {
        let exit = self.exits.iter().find(|exit| exit.event == event);
        exit.map_or(&self.unseen, |exit| &exit.hazards)
    }

    /// How likely nothing happens until `delay`, which is in `bin`.
    #[inline]
    pub(super) fn stayed(&self, bin: usize, delay: u64, ticks: &Ticks) -> f32 {
        (-self.passed(bin, delay, ticks)).exp()
    }

    /// The natural logarithm of that, negated.
    #[inline]
    pub(super) fn passed(&self, bin: usize, delay: u64, ticks: &Ticks) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "a weight")]
        let within = ticks.within(bin, delay) as f32;
        let Leg { passed, total } = self.legs[bin];
        passed + within * total
    }

    /// A visit of this length ended in `event`, or was cut short; with this weight.
    pub(super) fn learn(&mut self, event: Option<Event>, delay: u64, weight: f32, ticks: &Ticks) {
        let bin = bin(delay);
        let known = event.and_then(|event| self.exit(event));
        let Some(index) = known else {
            self.censored[bin] += weight;
            return;
        };
        let exit = &mut self.exits[index];
        exit.counts[bin] += weight;
        exit.mass += f64::from(weight);
        let is_new = exit.hazards[bin] <= 0.0;
        self.mass += f64::from(weight);
        if self.mass > MAX_MASS {
            self.halve();
        }
        if is_new || self.mass >= self.table_mass * 1.05 + 0.5 || self.table_mass > self.mass {
            self.rebuild(ticks);
        }
    }

    /// The place of `event`, which is made if there is room for it.
    fn exit(&mut self, event: Event) -> Option<usize> {
        let known = self.exits.iter().position(|exit| exit.event == event);
        if known.is_none() && self.exits.len() < MAX_EXITS {
            self.exits.push(Exit {
                event,
                mass: 0.0,
                counts: Box::new([0.0; BINS]),
                hazards: Box::new([0.0; BINS]),
            });
            return Some(self.exits.len() - 1);
        }
        known
    }

    fn halve(&mut self) {
        for exit in &mut self.exits {
            exit.mass /= 2.0;
            exit.counts.iter_mut().for_each(|count| *count /= 2.0);
        }
        self.censored.iter_mut().for_each(|count| *count /= 2.0);
        self.mass /= 2.0;
    }

    /// Makes the table of what is known by now.
    #[expect(clippy::cast_possible_truncation, reason = "weights, not counts")]
    pub(super) fn rebuild(&mut self, ticks: &Ticks) {
        let smooth = |counts: &[f32; BINS], at: usize| -> f64 {
            let near = KERNEL.iter().enumerate().map(|(offset, share)| {
                // What would fall beyond an edge stays at the edge.
                let from = (at + offset).saturating_sub(2).min(BINS - 1);
                share * f64::from(counts[from])
            });
            near.sum()
        };
        #[expect(clippy::cast_precision_loss, reason = "a handful of kinds")]
        let all = self.mass + 0.5 * (self.exits.len() as f64 + 1.0);
        let new_share = 0.5 / all;
        let known = |mass: f64| (mass + 0.5) / all;
        // From the end: who is still there when a bin begins.
        let mut at_risk = 0.0;
        let mut totals = [0.0_f64; BINS];
        for at in (0..BINS).rev() {
            let prior_here = expected(start(at));
            let prior_gone = prior_here - expected(start(at + 1));
            let seen: f64 = self.exits.iter().map(|exit| smooth(&exit.counts, at)).sum();
            at_risk += seen + smooth(&self.censored, at);
            let gone = seen + PRIOR * prior_gone;
            let share = gone / (at_risk + PRIOR * prior_here);
            let hazard = -(1.0 - share.min(0.999)).ln() / ticks.width(at);
            totals[at] = hazard;
            for exit in &mut self.exits {
                let mine = smooth(&exit.counts, at) + PRIOR * prior_gone * known(exit.mass);
                exit.hazards[at] = (hazard * mine / gone) as f32;
            }
            self.unseen[at] = (hazard * PRIOR * prior_gone * new_share / gone) as f32;
            self.legs[at].total = hazard as f32;
        }
        let mut passed = 0.0;
        for (at, total) in totals.iter().enumerate() {
            self.legs[at].passed = passed as f32;
            passed += total * ticks.width(at);
        }
        self.table_mass = self.mass;
    }
}

/// The share that is expected to be still there after `delay`, where nothing was seen.
fn expected(delay: u64) -> f64 {
    (PRIOR_SCALE / (seconds(delay) + PRIOR_SCALE)).sqrt()
}

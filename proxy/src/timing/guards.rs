//! When not to trust the filter.
//!
//! It takes requests for independent of each other, and what it learnt for what still holds. Nothing in
//! a single decision shows where that is wrong; what becomes known afterwards does.

/// Routes are learnt about up to this many for each kind of call.
const MAX_ROUTES: usize = 64;

/// The share of decisions that has to be confirmed.
const CONFIRMED: f64 = 0.96;

/// And of those at one load, where fewer are seen.
const CONFIRMED_AT_LOAD: f64 = 0.93;

/// Who makes the calls of one kind: a guard against joins.
///
/// Where several requests join, and the last of them makes one call for all, each of them seems to make
/// it now and then. Whether one does then depends on the others, and delays say nothing about it.
#[derive(Debug, Default)]
pub(super) struct Makers {
    /// How many requests of a route made such a call.
    routes: Vec<(u16, f64)>,
    made: f64,
}

impl Makers {
    /// A request of `route` ended, having made such a call with this probability.
    pub(super) fn learn(&mut self, route: u16, made: f64) {
        self.made += made;
        if let Some((_, count)) = self.routes.iter_mut().find(|(known, _)| *known == route) {
            *count += made;
        } else if self.routes.len() < MAX_ROUTES {
            self.routes.push((route, made));
        }
    }

    /// Whether several routes make such calls, and each of them only now and then.
    ///
    /// `ended` says how many requests of a route have ended.
    pub(super) fn may_join(&self, ended: impl Fn(u16) -> f64) -> bool {
        let now_and_then =
            |&&(route, made): &&(u16, f64)| made > 0.05 * self.made && made < 0.9 * ended(route);
        self.made >= 2.0 && self.routes.iter().filter(now_and_then).count() > 1
    }
}

/// A share of what was seen last, which begins with what is hoped for.
#[derive(Clone, Copy, Debug)]
struct Share {
    seen: f64,
    value: f64,
}

impl Share {
    fn hoped() -> Self {
        Self {
            seen: 0.0,
            value: 1.0,
        }
    }

    fn nothing() -> Self {
        Self {
            seen: 0.0,
            value: 0.0,
        }
    }

    /// The newest counts for 1 of `memory`, and for more as long as less was seen than `patience`.
    fn see(&mut self, value: f64, patience: f64, memory: f64) {
        self.seen += 1.0;
        let rate = f64::max(1.0 / memory, 1.0 / (self.seen + patience));
        self.value += rate * (value - self.value);
    }
}

/// Whether decisions about calls of one kind turn out right.
#[derive(Debug)]
pub(super) struct Audit {
    confirmed: Share,
    /// How sure the last decisions between several requests were.
    clear: Share,
}

impl Audit {
    pub(super) fn new() -> Self {
        Self {
            confirmed: Share::hoped(),
            clear: Share::hoped(),
        }
    }

    /// A decision between several requests is this sure.
    pub(super) fn decide(&mut self, confidence: f32) {
        self.clear.see(f64::from(confidence), 50.0, 50.0);
    }

    /// A decision was confirmed with this probability.
    pub(super) fn check(&mut self, confirmed: f64) {
        self.confirmed.see(confirmed, 50.0, 50.0);
    }

    pub(super) fn is_good(&self) -> bool {
        self.confirmed.value >= CONFIRMED && self.clear.value >= 0.5
    }
}

/// Whether the filter has proved itself at this many open requests.
///
/// What it learnt while few were open need not hold while many are: requests queue, and all delays
/// grow. So it is tried in silence before it is believed, load by load, each twice the one before.
#[derive(Debug)]
pub(super) struct Loads([Share; 12]);

/// Decisions at a load, or at half of it, before it is believed there.
const TRIALS: f64 = 4.0;

/// From this load on, nine open requests or more, each has to prove itself, with so many decisions.
const QUEUES: usize = 4;
const MANY_TRIALS: f64 = 12.0;

impl Loads {
    pub(super) fn new() -> Self {
        Self([Share::hoped(); 12])
    }

    fn load(open: usize) -> usize {
        (open.max(1).next_power_of_two().trailing_zeros() as usize).min(11)
    }

    /// A decision while so many requests were open was confirmed with this probability.
    pub(super) fn check(&mut self, open: usize, confirmed: f64) {
        self.0[Self::load(open)].see(confirmed, 20.0, 50.0);
    }

    /// Whether decisions while so many requests are open may be believed.
    pub(super) fn are_proven(&self, open: usize) -> bool {
        let load = Self::load(open);
        if load == 0 {
            return true;
        }
        let [below, here] = [self.0[load - 1], self.0[load]];
        let is_good = |load: Share| load.value >= CONFIRMED_AT_LOAD;
        let is_tried = |load: Share| load.seen >= TRIALS && is_good(load);
        // Above a handful, half as many prove nothing: a queue begins at once, not by and by.
        let is_tried_here = here.seen >= if load < QUEUES { TRIALS } else { MANY_TRIALS };
        is_good(here) && (is_tried_here || load < QUEUES && is_tried(below))
    }
}

/// Whether decisions of this confidence are worth it: nine of ten are to be right at 0.9.
#[derive(Debug)]
pub(super) struct Bands {
    from: [f64; 3],
    bands: [Share; 3],
    /// How much more was confirmed than was said.
    surplus: [Share; 3],
}

impl Bands {
    /// Bands above this confidence.
    pub(super) fn new(threshold: f64) -> Self {
        let above = |share: f64| 1.0 - (1.0 - threshold) * share;
        Self {
            from: [threshold, above(0.5), above(0.2)],
            bands: [Share::nothing(); 3],
            surplus: [Share::nothing(); 3],
        }
    }

    fn band(&self, confidence: f64) -> usize {
        let found = self.from.iter().rposition(|from| confidence >= *from);
        found.unwrap_or(0)
    }

    /// A decision of this confidence was confirmed with this probability.
    pub(super) fn check(&mut self, confidence: f64, confirmed: f64) {
        let band = self.band(confidence);
        self.bands[band].see(confirmed, 0.0, 16.0);
        self.surplus[band].see(confirmed - confidence, 30.0, 300.0);
    }

    /// The confidence of a decision, in the light of how those like it turned out.
    pub(super) fn calibrated(&self, confidence: f64) -> f64 {
        let surplus = self.surplus[self.band(confidence)].value;
        // Not `clamp`, which panics where a threshold is above all that is ever said.
        (confidence + surplus)
            .min(f64::max(confidence, 0.9999))
            .max(self.from[0])
    }

    /// Whether nothing speaks against decisions of this confidence.
    pub(super) fn are_worth_it(&self, confidence: f64) -> bool {
        let at = self.band(confidence);
        let band = self.bands[at];
        let [.., top] = self.bands;
        let [.., top_from] = self.from;
        if band.seen < 3.0 {
            return at + 1 == self.bands.len() || top.value >= top_from - 0.01;
        }
        band.value >= self.from[at] - 0.01
    }
}

//! What the hypotheses of each request are worth when a call begins, where a request has several.

use std::ops::Range;

use super::outlook::Outlook;

/// What a hypothesis is worth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Worth {
    /// If it did not make the call.
    pub(super) without: f32,
    /// If it did, as a rate.
    pub(super) with: f32,
}

impl Worth {
    /// A hypothesis of this weight when its state began.
    #[inline]
    pub(super) fn new(weight: f32, outlook: Outlook) -> Self {
        let without = weight * outlook.stayed;
        Self {
            without,
            with: without * outlook.hazard,
        }
    }
}

/// What the hypotheses of one request are worth.
#[derive(Clone, Debug, Default)]
pub(super) struct Mixture {
    pub(super) first: Worth,
    /// The most that any other is worth, in either case.
    pub(super) others: Worth,
    /// The sums of all.
    pub(super) all: Worth,
    each: Each,
}

/// The hypotheses of one request.
#[derive(Clone, Debug, Default)]
enum Each {
    /// There is only the first.
    #[default]
    One,
    /// There is one other.
    Two,
    /// They are found there.
    At(Range<usize>),
}

/// The mixtures of all requests that have several hypotheses.
#[derive(Debug, Default)]
pub(super) struct Mixtures {
    all: Vec<Mixture>,
    each: Vec<Worth>,
}

impl Mixture {
    /// A request with one hypothesis.
    pub(super) fn of_one(worth: Worth) -> Self {
        Self {
            first: worth,
            all: worth,
            ..Self::default()
        }
    }
}

impl Mixtures {
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.each.clear();
    }

    /// The mixture at a place.
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&Mixture> {
        self.all.get(place as usize)
    }

    /// The hypotheses of a mixture, in their order.
    pub(super) fn each(&self, mixture: &Mixture) -> impl Iterator<Item = Worth> {
        let few = match mixture.each {
            Each::One => 1,
            Each::Two => 2,
            Each::At(_) => 0,
        };
        let more = match &mixture.each {
            Each::At(range) => self.each.get(range.clone()).unwrap_or_default(),
            Each::One | Each::Two => &[],
        };
        let few = [mixture.first, mixture.others].into_iter().take(few);
        few.chain(more.iter().copied())
    }

    /// Adds that of a request with two hypotheses. Says its place, and the rate of the request.
    #[inline]
    pub(super) fn add_two(&mut self, first: Worth, others: Worth) -> (u32, f32) {
        let all = Worth {
            without: first.without + others.without,
            with: first.with + others.with,
        };
        self.push(Mixture {
            first,
            others,
            all,
            each: Each::Two,
        })
    }

    /// Adds that of one request. Says its place, and the rate at which the request makes such a call.
    #[inline]
    pub(super) fn add(&mut self, first: Worth, others: impl Iterator<Item = Worth>) -> (u32, f32) {
        let from = self.each.len();
        self.each.push(first);
        let more = |a: f32, b: f32| if b > a { b } else { a };
        let (mut most_without, mut most_with) = (0.0, 0.0);
        let (mut all_without, mut all_with) = (first.without, first.with);
        for worth in others {
            most_without = more(most_without, worth.without);
            most_with = more(most_with, worth.with);
            all_without += worth.without;
            all_with += worth.with;
            self.each.push(worth);
        }
        self.push(Mixture {
            first,
            others: Worth {
                without: most_without,
                with: most_with,
            },
            all: Worth {
                without: all_without,
                with: all_with,
            },
            each: Each::At(from..self.each.len()),
        })
    }

    #[inline]
    fn push(&mut self, mixture: Mixture) -> (u32, f32) {
        let place = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let Worth { without, with } = mixture.all;
        self.all.push(mixture);
        (place, with / without.max(f32::MIN_POSITIVE))
    }
}

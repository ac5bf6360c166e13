//! What the hypotheses of each request are worth when a call begins, where a request has several.

use std::ops::Range;

/// What a hypothesis is worth.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Worth {
    /// If it did not make the call.
    pub(super) without: f32,
    /// If it did, as a rate.
    pub(super) with: f32,
}

/// What the hypotheses of one request are worth.
#[derive(Clone, Debug, Default)]
pub(super) struct Mixture {
    pub(super) first: Worth,
    /// The most that any other is worth, in either case.
    pub(super) others: Worth,
    /// The sums of all.
    pub(super) all: Worth,
    /// Where each of them is found; nowhere, if there is only the first.
    each: Range<usize>,
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
    pub(super) fn each<'m>(&'m self, mixture: &'m Mixture) -> &'m [Worth] {
        let each = self.each.get(mixture.each.clone()).unwrap_or_default();
        if each.is_empty() {
            std::slice::from_ref(&mixture.first)
        } else {
            each
        }
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
        let place = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(Mixture {
            first,
            others: Worth {
                without: most_without,
                with: most_with,
            },
            all: Worth {
                without: all_without,
                with: all_with,
            },
            each: from..self.each.len(),
        });
        (place, all_with / all_without.max(f32::MIN_POSITIVE))
    }
}

//! Which hypotheses about a request are kept when a call splits each of them into two.

use super::mixtures::{Mixture, Worth};

/// A hypothesis that is less likely than this is dropped.
const MIN_SHARE: f32 = 3e-4;

/// One half of a hypothesis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    pub(super) value: f32,
    /// The place of the hypothesis.
    pub(super) of: u16,
    /// Whether it made the call.
    pub(super) makes: bool,
}

/// From where on a half is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// By what a rate is multiplied, for what else is known of the request, and against all others.
    weight: f32,
    message: f32,
    least: f32,
}

impl Cut {
    /// `None` where all is out of range, as after hours in a state that never lasted.
    #[inline]
    pub(super) fn new(mixture: &Mixture, weight: f32, message: f32) -> Option<Self> {
        let sum = mixture.all.without + mixture.all.with * weight * message;
        let least = MIN_SHARE * sum;
        (sum > 0.0 && sum <= f32::MAX).then_some(Self {
            weight,
            message,
            least,
        })
    }

    /// What the first hypothesis is worth if it made the call, where nothing of all others is kept, and of
    /// itself both halves are, this one as the second.
    #[inline]
    pub(super) fn only_first(self, mixture: &Mixture) -> Option<f32> {
        let Mixture { first, others, .. } = mixture;
        let with = self.with(*first);
        let others_go = others.without < self.least && self.with(*others) < self.least;
        (others_go && with >= self.least && with <= first.without).then_some(with)
    }

    /// What a hypothesis is worth if it made the call.
    #[inline]
    fn with(self, worth: Worth) -> f32 {
        worth.with * self.weight * self.message
    }

    /// The halves that are kept, at most so many, the worthiest first: in this order they are learnt from.
    pub(super) fn keep(
        self,
        worths: impl Iterator<Item = Worth>,
        most: usize,
        kept: &mut Vec<Half>,
    ) {
        for (of, worth) in (0_u16..).zip(worths) {
            for (value, makes) in [(worth.without, false), (self.with(worth), true)] {
                if value >= self.least {
                    insert(kept, Half { value, of, makes });
                }
            }
        }
        kept.truncate(most);
    }
}

/// The halves that are kept where nothing is told apart.
pub(super) fn keep_any(worths: impl Iterator<Item = Worth>, most: usize, kept: &mut Vec<Half>) {
    let all = (0_u16..).zip(worths).flat_map(|(of, _)| {
        let value = 1.0;
        [false, true].map(|makes| Half { value, of, makes })
    });
    kept.extend(all.take(most));
}

/// Adds one behind those that are worth no less. They are two or three, and seldom out of order.
fn insert(kept: &mut Vec<Half>, half: Half) {
    let mut at = kept.len();
    kept.push(half);
    while at > 0 && kept[at - 1].value < half.value {
        kept.swap(at - 1, at);
        at -= 1;
    }
}

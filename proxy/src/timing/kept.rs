//! Which hypotheses about a request are kept when a call splits each of them into two.

/// A hypothesis that is less likely than this is dropped.
const MIN_SHARE: f32 = 3e-4;

/// What a hypothesis is worth when a call begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worth {
    /// If it did not make the call.
    pub(super) without: f32,
    /// If it did, as a rate.
    pub(super) with: f32,
}

/// One half of a hypothesis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Half {
    pub(super) value: f32,
    /// The place of the hypothesis.
    pub(super) of: u16,
    /// Whether it made the call.
    pub(super) makes: bool,
}

/// The halves that are kept, at most so many, the worthiest first.
///
/// A rate counts for as much as `factor` says. The order matters: in it they are learnt from.
#[inline]
pub(super) fn keep(worths: &[Worth], factor: f32, most: usize, kept: &mut Vec<Half>) {
    kept.clear();
    let both = |worth: &Worth| worth.without + worth.with * factor;
    let sum: f32 = worths.iter().map(both).sum();
    // Out of range, as after hours in a state that never lasted: nothing is told apart.
    let is_even = !(sum > 0.0 && sum.is_finite());
    let least = if is_even { 0.0 } else { MIN_SHARE * sum };
    for (of, worth) in (0_u16..).zip(worths) {
        for (value, makes) in [(worth.without, false), (worth.with * factor, true)] {
            let value = if is_even { 1.0 } else { value };
            if value >= least {
                insert(kept, Half { value, of, makes });
            }
        }
    }
    kept.truncate(most);
}

/// Adds one behind those that are worth no less. They are two or three, and seldom out of order.
#[inline]
fn insert(kept: &mut Vec<Half>, half: Half) {
    let mut at = kept.len();
    kept.push(half);
    while at > 0 && kept[at - 1].value < half.value {
        kept.swap(at - 1, at);
        at -= 1;
    }
}

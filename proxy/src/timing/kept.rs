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
    pub(super) of: usize,
    /// Whether it made the call.
    pub(super) makes: bool,
}

/// The halves that are kept, at most so many, the worthiest first.
///
/// A rate counts for as much as `by` says. The order matters: in it they are learnt from.
pub(super) fn keep(worths: &[Worth], by: [f32; 2], most: usize, kept: &mut Vec<Half>) {
    let [factor, message] = by;
    kept.clear();
    let mut sum = 0.0;
    for (of, worth) in worths.iter().enumerate() {
        let with = worth.with * factor * message;
        sum += worth.without + with;
        for (value, makes) in [(worth.without, false), (with, true)] {
            kept.push(Half { value, of, makes });
        }
    }
    if !(sum > 0.0 && sum.is_finite()) {
        // Out of range, as after hours in a state that never lasted: nothing is told apart.
        kept.iter_mut().for_each(|half| half.value = 1.0);
    } else {
        kept.retain(|half| half.value >= MIN_SHARE * sum);
        kept.sort_by(|a, b| b.value.total_cmp(&a.value));
    }
    kept.truncate(most);
}

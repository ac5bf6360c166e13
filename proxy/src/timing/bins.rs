//! Time since an event, in bins that grow with it: four to an octave.
//!
//! What matters between two requests is the ratio of their delays, from microseconds to minutes, so
//! that bins are logarithmic. The clock's own grain is respected: where it ticks in milliseconds, a
//! bin is as wide as the ticks in it.

/// How many bins there are: 28 octaves from [`UNIT`], which is about 17 minutes.
pub(super) const BINS: usize = 112;

/// Delays that are small against this all fall in the first bins, in nanoseconds.
const UNIT: u64 = 4096;

/// The bin of a delay in nanoseconds.
pub(super) fn bin(delay: u64) -> usize {
    let x = delay.saturating_add(UNIT);
    let octave = 63 - x.leading_zeros();
    let quarter = (x >> (octave - 2)) & 3;
    let index = (octave - UNIT.trailing_zeros()) * 4 + u32::try_from(quarter).unwrap_or(0);
    (index as usize).min(BINS - 1)
}

/// The delay at which a bin begins, in nanoseconds.
pub(super) fn start(bin: usize) -> u64 {
    let octave = UNIT << (bin / 4);
    octave + (octave / 4) * (bin as u64 % 4) - UNIT
}

/// The length of a bin in seconds, on a clock that ticks every `grain` nanoseconds.
pub(super) fn width(bin: usize, grain: u64) -> f64 {
    let (from, to) = (start(bin), start(bin + 1));
    let ticks = to.div_ceil(grain) - from.div_ceil(grain);
    // A bin between two ticks is never fallen into; it must only not be of no length.
    seconds((ticks * grain).max(1))
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a delay needs no 53 bits")]
pub(super) fn seconds(nanos: u64) -> f64 {
    nanos as f64 * 1e-9
}

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
#[inline]
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

/// The bins on a clock that ticks now and then: worked out once, for they need divisions.
#[derive(Debug)]
pub(super) struct Ticks {
    grain: u64,
    first: [u64; BINS],
    widths: [f64; BINS],
}

impl Ticks {
    /// On a clock that ticks every `grain` nanoseconds.
    pub(super) fn every(grain: u64) -> Self {
        let first = |bin| start(bin).div_ceil(grain) * grain;
        // A bin between two ticks is never fallen into; it must only not be of no length.
        let width = |bin| seconds((first(bin + 1) - first(bin)).max(1));
        Self {
            grain,
            first: std::array::from_fn(first),
            widths: std::array::from_fn(width),
        }
    }

    pub(super) fn grain(&self) -> u64 {
        self.grain
    }

    /// The length of a bin in seconds.
    pub(super) fn width(&self, bin: usize) -> f64 {
        self.widths[bin]
    }

    /// How long after the first tick in its bin a delay ends, in seconds.
    #[inline]
    pub(super) fn within(&self, bin: usize, delay: u64) -> f64 {
        seconds(delay.saturating_sub(self.first[bin]))
    }
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a delay needs no 53 bits")]
#[inline]
pub(super) fn seconds(nanos: u64) -> f64 {
    // The signed ones are what a processor turns into a float at once.
    i64::try_from(nanos).unwrap_or(i64::MAX) as f64 * 1e-9
}

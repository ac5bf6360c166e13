//! Does an app copy what stands in this place of a call from the request that caused it?
//!
//! For each kind of call and each place in it: how often the value there was one of its request's.
//! Some of that is coincidence, and what coincidence explains does not count: a match of a value that
//! half of all requests have tells next to nothing. The rows are of a fixed number; the one that was
//! longest not learnt from makes way.

use super::fingerprint::Slot;

/// Rows in groups of [`WAYS`]; one that is new makes way for nothing outside its group.
const GROUPS: usize = 1024;
const WAYS: usize = 4;

/// What is assumed before anything was seen: as if 0.1 of two calls had copied.
const PRIOR: (f32, f32) = (0.1, 2.0);

/// How far below what chance would have brought a count may fall, so that it can rise again.
const LEAST_COPIED: f32 = -16.0;

/// When so many calls have been seen, all counts are halved: apps change.
const MEMORY: f32 = 512.0;

/// What is known of the places of calls.
#[derive(Debug)]
pub(super) struct Copying {
    groups: Box<[[Row; WAYS]]>,
    clock: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// Kind and place, 0 for none.
    key: u64,
    counts: Counts,
    /// When it was last learnt from.
    used: u32,
}

/// How often a place was copied into, among so many calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    /// Below zero where there were fewer matches than chance would have brought.
    copied: f32,
    seen: f32,
}

impl Counts {
    /// How likely it is that the next call copies.
    pub(super) fn rate(self) -> f32 {
        (self.copied() + PRIOR.0) / (self.seen + PRIOR.1)
    }

    /// How often it was seen to, beyond what chance would have brought.
    pub(super) fn copied(self) -> f32 {
        self.copied.clamp(0.0, self.seen)
    }
}

impl Copying {
    pub(super) fn new() -> Self {
        Self {
            groups: vec![[Row::default(); WAYS]; GROUPS].into_boxed_slice(),
            clock: 0,
        }
    }

    /// What is known of a place.
    pub(super) fn of(&self, kind: u64, slot: Slot) -> Counts {
        let key = key(kind, slot);
        let group = &self.groups[group(key)];
        let found = group.iter().find(|row| row.key == key);
        found.map_or_else(Counts::default, |row| row.counts)
    }

    /// A call's value in this place was one that a share of all requests have, and its request had
    /// it or had not. `weight`, in 0..=1, is how sure it is that this was its request.
    pub(super) fn learn(&mut self, kind: u64, slot: Slot, share: f32, matched: bool, weight: f32) {
        if weight.is_nan() {
            return;
        }
        let counts = &mut self.row(kind, slot).counts;
        // Of calls that copy at a rate r, r + (1 - r) * share match. So r is the mean of
        // (match - share) over that of (1 - share): what chance brings does not count, and the
        // commoner a value, the less either outcome tells.
        let weight = weight.clamp(0.0, 1.0);
        let matched = f32::from(u8::from(matched));
        counts.copied = (counts.copied + weight * (matched - share)).max(LEAST_COPIED);
        counts.seen += weight * (1.0 - share);
        if counts.seen >= MEMORY {
            counts.copied /= 2.0;
            counts.seen /= 2.0;
        }
    }

    fn row(&mut self, kind: u64, slot: Slot) -> &mut Row {
        self.clock = self.clock.wrapping_add(1);
        let (key, now) = (key(kind, slot), self.clock);
        let group = &mut self.groups[group(key)];
        let known = group.iter().position(|row| row.key == key);
        let at = known.unwrap_or_else(|| {
            let age = |row: &Row| match row.key {
                0 => u32::MAX,
                _ => now.wrapping_sub(row.used),
            };
            let oldest = (0..WAYS).max_by_key(|at| age(&group[*at])).unwrap_or(0);
            group[oldest] = Row {
                key,
                ..Row::default()
            };
            oldest
        });
        group[at].used = now;
        &mut group[at]
    }
}

/// Kind and place in one number that is not 0, mixed as SplitMix64 does.
fn key(kind: u64, slot: Slot) -> u64 {
    let mixed = kind ^ u64::from(slot.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) | 1
}

fn group(key: u64) -> usize {
    // The lowest bit is always set.
    usize::from(u16::try_from((key >> 1) & 0xffff).unwrap_or(0)) % GROUPS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rate that is learnt of calls of which this share match, by copying or by chance.
    fn learnt(calls: u32, share: f32, matches: impl Fn(u32) -> bool) -> f32 {
        let mut copying = Copying::new();
        for n in 0..calls {
            copying.learn(7, Slot(1), share, matches(n), 1.0);
        }
        copying.of(7, Slot(1)).rate()
    }

    #[test]
    fn a_place_that_copies_is_told_from_one_that_meets_by_chance() {
        assert!(learnt(40, 0.001, |_| true) > 0.9);
        assert!(learnt(40, 0.001, |_| false) < 0.01);
        let half = learnt(200, 0.001, |n| n % 2 == 0);
        assert!((half - 0.5).abs() < 0.05, "{half}");
        let by_chance = learnt(400, 0.125, |n| n % 8 == 0);
        assert!(by_chance < 0.05, "{by_chance}");
        let both = learnt(400, 0.5, |n| n % 4 != 0);
        assert!(
            (both - 0.5).abs() < 0.1,
            "half copied, half of the rest met: {both}"
        );
    }

    #[test]
    fn what_everybody_has_teaches_nothing() {
        let learnt = learnt(40, 0.999, |_| true);
        assert!(learnt < 0.1, "{learnt}");
    }

    #[test]
    fn an_app_may_change_its_ways() {
        let rate = learnt(4000, 0.001, |n| n < 2000);
        assert!(rate < 0.1, "{rate}");
        let rate = learnt(2000, 0.5, |n| n >= 1000);
        assert!(rate > 0.5, "{rate}");
    }

    #[test]
    fn a_weight_that_is_no_number_teaches_nothing() {
        let mut copying = Copying::new();
        copying.learn(7, Slot(1), 0.001, true, f32::NAN);
        assert_eq!(copying.of(7, Slot(1)), Counts::default());
    }

    #[test]
    fn a_flood_of_kinds_keeps_its_room_and_what_is_in_use() {
        let mut copying = Copying::new();
        for kind in 0..100_000 {
            copying.learn(kind, Slot(1), 0.001, false, 1.0);
            copying.learn(u64::MAX, Slot(1), 0.001, true, 1.0);
        }
        assert_eq!(copying.groups.len(), GROUPS);
        assert!(copying.of(u64::MAX, Slot(1)).rate() > 0.99);
        assert_eq!(copying.of(0, Slot(1)), Counts::default());
    }
}

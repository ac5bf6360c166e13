//! How many of the recent requests carry a value?
//!
//! A count-min sketch (Cormode and Muthukrishnan, 2005) with conservative updates: a fixed table, so
//! that ids by the million cost no more than ten. It never counts too few. To forget, all counts are
//! halved whenever as many requests have come as the memory is long.
//!
//! The crates that have such a sketch keep no memory of this kind, and hash what is a hash already.

/// Counters in a row: a power of two. With the longest memory and two dozen new values a request,
/// each counter is shared by about six values, and the smallest of four by hardly any.
const WIDTH: usize = 1 << 14;
const ROWS: usize = 4;

/// After so many requests all counts are halved.
const MEMORY: u32 = 2048;

/// Counts values of requests.
#[derive(Debug)]
pub(super) struct Rarity {
    counters: Box<[u16]>,
    requests: u32,
}

impl Rarity {
    pub(super) fn new() -> Self {
        Self {
            counters: vec![0; ROWS * WIDTH].into_boxed_slice(),
            requests: 0,
        }
    }

    /// A request comes.
    pub(super) fn request(&mut self) {
        self.requests += 1;
        if self.requests >= 2 * MEMORY {
            self.requests /= 2;
            for counter in &mut self.counters {
                *counter /= 2;
            }
        }
    }

    /// It has this value, which is said once for each request.
    pub(super) fn note(&mut self, hash: u64) {
        let count = self.count(hash).saturating_add(1);
        for place in places(hash) {
            let counter = &mut self.counters[place];
            *counter = (*counter).max(count);
        }
    }

    /// The share of requests that have a value, in 0..1. `bits` is how long it is: one of few bits
    /// will be met again, however seldom it has been so far.
    pub(super) fn share(&self, hash: u64, bits: u8) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "at most two memories")]
        let requests = self.requests as f32;
        // One of one before anything is known, and then what was counted, once more.
        let counted = (f32::from(self.count(hash)) + 1.0) / (requests + 1.0);
        let by_length = (-f32::from(bits)).exp2();
        counted.max(by_length).min(MOST_SHARE)
    }

    fn count(&self, hash: u64) -> u16 {
        let counts = places(hash).map(|place| self.counters[place]);
        counts.into_iter().min().unwrap_or(0)
    }
}

/// No value is so common that a request without it would be out of the question.
const MOST_SHARE: f32 = 0.999;

/// Where a value is counted, once in each row. It is hashed already: its bits are as good as any.
fn places(hash: u64) -> [usize; ROWS] {
    let bytes = hash.to_le_bytes();
    let pair = |row: usize| usize::from(u16::from_le_bytes([bytes[2 * row], bytes[2 * row + 1]]));
    [0, 1, 2, 3].map(|row| row * WIDTH + pair(row) % WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Secret;

    fn hash(n: u32) -> u64 {
        Secret::new([1, 2]).hash(&n.to_le_bytes())
    }

    /// After `requests` with one value of their own each and one of so many that take turns.
    fn after(requests: u32, in_turn: u32) -> Rarity {
        let mut rarity = Rarity::new();
        for n in 0..requests {
            rarity.request();
            rarity.note(hash(n));
            rarity.note(hash(u32::MAX - n % in_turn));
        }
        rarity
    }

    #[test]
    fn shares_are_those_of_the_recent_requests() {
        for (in_turn, expected) in [(1, 0.999), (10, 0.1), (100, 0.01)] {
            let share = after(20_000, in_turn).share(hash(u32::MAX), 64);
            assert!((share / expected - 1.0).abs() < 0.2, "{in_turn}: {share}");
        }
    }

    #[test]
    fn ids_by_the_thousand_stay_rare_in_the_same_room() {
        let mut rarity = after(1, 1);
        let room = rarity.counters.len();
        for n in 0..200_000 {
            rarity.request();
            (0..24).for_each(|value| rarity.note(hash(n * 24 + value)));
        }
        assert_eq!(rarity.counters.len(), room);
        let shares = (0..1000).map(|n| rarity.share(hash(u32::MAX - 7 - n), 64));
        let worst = shares.fold(0.0, f32::max);
        assert!(worst < 0.01, "{worst}");
    }

    #[test]
    fn what_no_longer_comes_is_forgotten() {
        let mut rarity = after(4000, 1);
        assert!(rarity.share(hash(u32::MAX), 64) > 0.9);
        for n in 0..20_000 {
            rarity.request();
            rarity.note(hash(1_000_000 + n));
        }
        let share = rarity.share(hash(u32::MAX), 64);
        assert!(share < 0.02, "{share}");
    }

    #[test]
    fn nothing_is_rare_at_first_and_short_values_never_are() {
        assert!(Rarity::new().share(hash(1), 64) >= 0.9);
        let rarity = after(4000, 1);
        assert!(rarity.share(hash(9_999_999), 64) < 0.001);
        assert!(rarity.share(hash(9_999_999), 3) >= 0.125);
    }
}

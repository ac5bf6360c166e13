//! What is kept of a message: the hashes of its values, and where each stood.
//!
//! The hash is keyed with a secret of this process, so that neither a dump nor a guess tells what a
//! value was, and nobody outside can choose values that collide.

use std::{fmt, hash::Hasher};

use arrayvec::ArrayVec;
use siphasher::sip::SipHasher13;

/// The most values of one message that are kept.
pub const MOST: usize = 24;

/// The secret that values are hashed with.
#[derive(Clone, Copy)]
pub struct Secret([u64; 2]);

impl Secret {
    /// A secret of these random bits.
    #[must_use]
    pub fn new(random: [u64; 2]) -> Self {
        Self(random)
    }

    /// The hash of a value.
    pub(super) fn hash(&self, value: &[u8]) -> u64 {
        let mut hasher = self.hasher();
        hasher.write(value);
        hasher.finish()
    }

    /// The place called `name` within another.
    pub(super) fn slot(&self, within: Slot, name: &[u8]) -> Slot {
        let mut hasher = self.hasher();
        hasher.write_u32(within.0);
        hasher.write(name);
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
        let low = hasher.finish() as u32;
        Slot(low | Slot::NAMED)
    }

    fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0[0], self.0[1])
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(****)")
    }
}

/// Where in a message a value stood: a segment of the path, or something that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub(super) u32);

impl Slot {
    /// Set in every slot that has a name, and in none of the others.
    const NAMED: u32 = 1 << 31;
    /// What is in the query.
    pub(super) const QUERY: Self = Self(1 << 16);
    /// What is in the headers.
    pub(super) const HEADERS: Self = Self(2 << 16);
    /// What is in the body.
    pub(super) const BODY: Self = Self(3 << 16);

    /// The segment of the path with this number.
    pub(super) fn segment(number: u16) -> Self {
        Self(u32::from(number))
    }
}

/// One value of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The keyed hash of the value.
    pub hash: u64,
    /// Where it stood.
    pub slot: Slot,
    /// How many bits it takes to write a value of this kind down: see [`super::value`].
    pub(super) bits: u8,
}

/// The values of one message, at most [`MOST`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprints(ArrayVec<Fingerprint, MOST>);

impl Fingerprints {
    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether no more fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.is_full()
    }

    /// Whether this value is among them, wherever it stood.
    #[must_use]
    pub fn holds(&self, hash: u64) -> bool {
        self.0.iter().any(|value| value.hash == hash)
    }

    /// Each value with its place.
    pub fn iter(&self) -> impl Iterator<Item = &Fingerprint> {
        self.0.iter()
    }

    /// Each hash once.
    pub(super) fn hashes(&self) -> impl Iterator<Item = u64> {
        let hashes = self.0.iter().map(|value| value.hash).enumerate();
        hashes.filter_map(|(at, hash)| {
            let earlier = self.0[..at].iter();
            (!earlier.map(|value| value.hash).any(|other| other == hash)).then_some(hash)
        })
    }

    /// Notes a value, if there is room.
    pub(super) fn note(&mut self, value: Fingerprint) {
        if self.0.iter().any(|other| other == &value) {
            return;
        }
        // What is one too many is left out: a message may be as long as it likes.
        _ = self.0.try_push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_value_nor_the_secret_is_shown() {
        let secret = Secret::new([0x1234, 0x5678]);
        assert_eq!(format!("{secret:?}"), "Secret(****)");
        let other = Secret::new([0x1234, 0x5679]);
        assert_ne!(secret.hash(b"ada"), other.hash(b"ada"));
        assert_eq!(secret.hash(b"ada"), secret.hash(b"ada"));
    }

    #[test]
    fn places_are_told_apart() {
        let secret = Secret::new([1, 2]);
        let named = |within, name: &str| secret.slot(within, name.as_bytes());
        let all = [
            Slot::segment(0),
            Slot::segment(1),
            named(Slot::QUERY, "user"),
            named(Slot::HEADERS, "user"),
            named(Slot::BODY, "user"),
            named(named(Slot::BODY, "user"), "id"),
            named(Slot::BODY, "id"),
        ];
        for (at, slot) in all.iter().enumerate() {
            assert!(!all[..at].contains(slot), "{at}");
        }
    }

    #[test]
    fn what_is_one_too_many_is_left_out() {
        let mut all = Fingerprints::default();
        for hash in 0..100 {
            let slot = Slot::segment(0);
            all.note(Fingerprint {
                hash,
                slot,
                bits: 9,
            });
        }
        assert_eq!(all.len(), MOST);
        assert!(all.holds(0) && !all.holds(99));
    }
}

//! Which open requests have this value?
//!
//! Kept from the beginning of a request to its end, so that a call touches only those that share a
//! value with it, and not every open one.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::fingerprint::Fingerprints;

/// A value that more open requests have than this tells none of them from the others.
const MOST_HOLDERS: usize = 32;

/// Names an open request among the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    at: u32,
    /// Of those that had this place, which one.
    turn: u32,
}

/// Who has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holders {
    One(Request),
    Few(Vec<Request>),
    /// So many that only their number is kept.
    Crowd(u32),
}

impl Holders {
    /// Those who are known by name; nobody of a crowd.
    pub(super) fn named(&self) -> &[Request] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Few(few) => few,
            Self::Crowd(_) => &[],
        }
    }

    fn add(&mut self, request: Request) {
        match self {
            Self::One(one) => *self = Self::Few(vec![*one, request]),
            Self::Few(few) if few.len() < MOST_HOLDERS => few.push(request),
            Self::Few(few) => *self = Self::Crowd(u32::try_from(few.len()).unwrap_or(0) + 1),
            Self::Crowd(count) => *count += 1,
        }
    }

    /// Whether anybody is left.
    fn remove(&mut self, request: Request) -> bool {
        match self {
            Self::One(_) => return false,
            Self::Few(few) => {
                few.retain(|other| *other != request);
                match few[..] {
                    [] => return false,
                    [one] => *self = Self::One(one),
                    _ => {}
                }
            }
            Self::Crowd(count) => {
                *count -= 1;
                return *count > 0;
            }
        }
        true
    }
}

/// The open requests, by number and by value.
#[derive(Debug)]
pub(super) struct Index {
    places: Vec<Place>,
    free: Vec<u32>,
    holders: HashMap<u64, Holders, BuildHasherDefault<Hashed>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Place {
    turn: u32,
    fingerprints: Option<Fingerprints>,
}

impl Index {
    /// An index of this many open requests at most.
    pub(super) fn new(most: usize) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            holders: HashMap::default(),
            most: most.min(u32::MAX as usize),
        }
    }

    /// A request begins; `None` if there are too many.
    pub(super) fn begin(&mut self, fingerprints: Fingerprints) -> Option<Request> {
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.places.len() < self.most => {
                self.places.push(Place::default());
                u32::try_from(self.places.len() - 1).ok()?
            }
            None => return None,
        };
        let place = &mut self.places[at as usize];
        let request = Request {
            at,
            turn: place.turn,
        };
        for hash in fingerprints.hashes() {
            add(&mut self.holders, hash, request);
        }
        place.fingerprints = Some(fingerprints);
        Some(request)
    }

    /// More is known of a request that is still open. Calls `new` with each hash that it had not.
    pub(super) fn add(&mut self, request: Request, more: &Fingerprints, mut new: impl FnMut(u64)) {
        let place = self.places.get_mut(request.at as usize);
        let place = place.filter(|place| place.turn == request.turn);
        let Some(fingerprints) = place.and_then(|place| place.fingerprints.as_mut()) else {
            return;
        };
        for value in more.iter() {
            let is_known = fingerprints.holds(value.hash);
            fingerprints.note(*value);
            if !is_known && fingerprints.holds(value.hash) {
                add(&mut self.holders, value.hash, request);
                new(value.hash);
            }
        }
    }

    /// A request ends; its fingerprints are handed back.
    pub(super) fn end(&mut self, request: Request) -> Option<Fingerprints> {
        let place = self.places.get_mut(request.at as usize)?;
        if place.turn != request.turn {
            return None;
        }
        let fingerprints = place.fingerprints.take()?;
        place.turn = place.turn.wrapping_add(1);
        self.free.push(request.at);
        for hash in fingerprints.hashes() {
            let Some(holders) = self.holders.get_mut(&hash) else {
                continue;
            };
            if !holders.remove(request) {
                self.holders.remove(&hash);
            }
        }
        Some(fingerprints)
    }

    /// The fingerprints of an open request.
    pub(super) fn of(&self, request: Request) -> Option<&Fingerprints> {
        let place = self.places.get(request.at as usize)?;
        let is_it = place.turn == request.turn;
        place.fingerprints.as_ref().filter(|_| is_it)
    }

    /// Who has this value.
    pub(super) fn holders(&self, hash: u64) -> Option<&Holders> {
        self.holders.get(&hash)
    }
}

type ByHash = HashMap<u64, Holders, BuildHasherDefault<Hashed>>;

fn add(holders: &mut ByHash, hash: u64, request: Request) {
    holders
        .entry(hash)
        .and_modify(|holders| holders.add(request))
        .or_insert(Holders::One(request));
}

/// The hash of what is a keyed hash already.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::fingerprint::{Fingerprint, Slot};

    fn having(hashes: &[u64]) -> Fingerprints {
        let mut all = Fingerprints::default();
        for hash in hashes {
            let (hash, slot) = (*hash, Slot(0));
            all.note(Fingerprint {
                hash,
                slot,
                bits: 64,
            });
        }
        all
    }

    #[test]
    fn requests_are_found_by_value_while_they_are_open() {
        let mut index = Index::new(8);
        let a = index.begin(having(&[1, 2])).unwrap();
        let b = index.begin(having(&[2, 3])).unwrap();
        let named = |index: &Index, hash| index.holders(hash).map(|h| h.named().to_vec());
        assert_eq!(named(&index, 1), Some(vec![a]));
        assert_eq!(named(&index, 2), Some(vec![a, b]));
        index.add(b, &having(&[3, 4]), |hash| assert_eq!(hash, 4));
        assert_eq!(named(&index, 4), Some(vec![b]));
        assert_eq!(index.end(a), Some(having(&[1, 2])));
        assert_eq!(index.end(a), None, "only once");
        assert_eq!(index.holders(2), Some(&Holders::One(b)));
        let c = index.begin(having(&[1])).unwrap();
        assert_ne!(a, c, "another one in the same place");
        index.add(a, &having(&[9]), |_| panic!("it has ended"));
        assert_eq!(index.of(a), None);
        index.end(b);
        index.end(c);
        assert!(index.holders.is_empty());
    }

    #[test]
    fn a_crowd_is_counted_and_comes_to_an_end() {
        let mut index = Index::new(100);
        let all: Vec<_> = (0..100)
            .map(|n| index.begin(having(&[7, 100 + n])).unwrap())
            .collect();
        assert_eq!(index.holders(7), Some(&Holders::Crowd(100)));
        assert!(index.begin(having(&[7])).is_none(), "there are too many");
        for request in all {
            index.end(request);
        }
        assert!(index.holders.is_empty());
        assert_eq!(index.places.len(), 100);
    }
}

//! Names for things of which there may be too many.

use std::{collections::HashMap, hash::Hash};

/// Small numbers for the first so many keys that are seen; all others share the last one.
#[derive(Debug)]
pub(super) struct Numbers<K> {
    known: HashMap<K, u16>,
    max: u16,
}

impl<K: Copy + Eq + Hash> Numbers<K> {
    pub(super) fn new(max: u16) -> Self {
        Self {
            known: HashMap::new(),
            max,
        }
    }

    /// The number of `key`, below [`len`](Self::len).
    pub(super) fn of(&mut self, key: K) -> u16 {
        if let Some(number) = self.known.get(&key) {
            return *number;
        }
        let next = u16::try_from(self.known.len()).unwrap_or(self.max);
        if next >= self.max {
            return self.max;
        }
        self.known.insert(key, next);
        next
    }

    /// How many numbers there can be.
    pub(super) fn len(&self) -> usize {
        usize::from(self.max) + 1
    }
}

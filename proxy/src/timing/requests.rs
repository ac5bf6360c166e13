//! The requests that something can still become known of, open ones apart.

use super::{joint::Set, request::Request};

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    slot: u32,
    /// Which of the requests that were in this slot.
    generation: u32,
}

impl RequestKey {
    #[inline]
    pub(super) fn slot(self) -> u32 {
        self.slot
    }
}

/// A request with what the caller calls it.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) request: Request,
    pub(super) name: T,
    /// The place among the open ones.
    open: Option<usize>,
    generation: u32,
    /// Whether it is among the ended ones that are held against each other.
    pub(super) joined: bool,
    /// What share of the possible assignments was kept of the calls that it may have made.
    pub(super) kept: f64,
}

impl<T> Entry<T> {
    /// Whether it is open, and may have made this contested call.
    #[inline]
    pub(super) fn may_yet_have_made(&self, call: Set) -> bool {
        self.open.is_some() && self.request.contested().meets(call)
    }
}

/// The requests, by slots that are used again.
#[derive(Debug)]
pub(super) struct Requests<T> {
    slots: Vec<Option<Entry<T>>>,
    free: Vec<u32>,
    open: Vec<u32>,
    generation: u32,
}

impl<T: Copy> Requests<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            open: Vec::new(),
            generation: 0,
        }
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// The open ones, in no order.
    #[inline]
    pub(super) fn open_entries(&self) -> impl Iterator<Item = (RequestKey, &Entry<T>)> {
        self.open.iter().filter_map(|slot| {
            let entry = self.get(*slot)?;
            let generation = entry.generation;
            let slot = *slot;
            Some((RequestKey { slot, generation }, entry))
        })
    }

    pub(super) fn insert(&mut self, request: Request, name: T) -> RequestKey {
        self.generation = self.generation.wrapping_add(1);
        let entry = Entry {
            request,
            name,
            open: Some(self.open.len()),
            generation: self.generation,
            joined: false,
            kept: 1.0,
        };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.slots[slot as usize] = Some(entry);
        self.open.push(slot);
        RequestKey {
            slot,
            generation: self.generation,
        }
    }

    /// The slot of a request that is still known.
    pub(super) fn slot(&self, key: RequestKey) -> Option<u32> {
        let entry = self.get(key.slot)?;
        (entry.generation == key.generation).then_some(key.slot)
    }

    /// The key of what is in a slot.
    pub(super) fn key(&self, slot: u32) -> Option<RequestKey> {
        let generation = self.get(slot)?.generation;
        Some(RequestKey { slot, generation })
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Entry<T>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Entry<T>> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// All that are remembered.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry<T>> {
        self.slots.iter().flatten()
    }

    pub(super) fn is_open(&self, slot: u32) -> bool {
        self.get(slot).is_some_and(|entry| entry.open.is_some())
    }

    /// It is not open any more.
    pub(super) fn close(&mut self, slot: u32) {
        let Some(place) = self.get_mut(slot).and_then(|entry| entry.open.take()) else {
            return;
        };
        self.open.swap_remove(place);
        if let Some(moved) = self.open.get(place).copied()
            && let Some(entry) = self.get_mut(moved)
        {
            entry.open = Some(place);
        }
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Entry<T>> {
        self.close(slot);
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(entry)
    }
}

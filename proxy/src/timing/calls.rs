//! The calls that something can still become known of.

use std::collections::VecDeque;

use super::{joint::Bit, order::Queue, requests::RequestKey};

/// The most calls that are remembered at a time.
const MAX_CALLS: usize = 4096;

/// The longest queue of contested calls, with those that are settled and still in it.
const MAX_QUEUE: usize = 1024;

/// Names a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallKey {
    slot: u32,
    /// Which of the calls that were in this slot.
    generation: u32,
}

impl CallKey {
    /// The key as one number.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.generation)
    }
}

/// A request that may have made a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) request: u32,
    pub(super) odds: f32,
}

/// What was said of a call when it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) request: u32,
    pub(super) confidence: f32,
    pub(super) open: usize,
}

/// Who made a call.
#[derive(Debug)]
pub(super) enum Maker {
    /// This request, for certain. It may end, and another take its slot, before the call is answered.
    Certain(RequestKey),
    /// One of these, or none.
    Contested {
        candidates: Vec<Candidate>,
        bit: Bit,
    },
    /// Nothing more becomes known.
    Settled,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) kind: u16,
    pub(super) began: u64,
    pub(super) is_open: bool,
    pub(super) maker: Maker,
    pub(super) background: f32,
    /// What share of the possible assignments was kept since it began.
    pub(super) kept: f64,
    pub(super) queue: Option<Queue>,
    pub(super) said: Option<Said>,
    generation: u32,
}

impl Call {
    pub(super) fn new(kind: u16, began: u64, maker: Maker, background: f32) -> Self {
        Self {
            kind,
            began,
            is_open: true,
            maker,
            background,
            kept: 1.0,
            queue: None,
            said: None,
            generation: 0,
        }
    }
}

/// The calls, by slots that are used again.
#[derive(Debug)]
pub(super) struct Calls {
    slots: Vec<Option<Call>>,
    free: Vec<u32>,
    /// Contested ones, the oldest first; settled ones are still among them.
    contested: VecDeque<CallKey>,
    generation: u32,
    /// The slot that is looked at next where one has to be given up.
    next_given_up: usize,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            contested: VecDeque::new(),
            generation: 0,
            next_given_up: 0,
        }
    }

    /// The new call's key, or `None` if there are too many.
    pub(super) fn insert(&mut self, mut call: Call) -> Option<CallKey> {
        if self.slots.len() - self.free.len() >= MAX_CALLS {
            self.give_up_one();
        }
        if self.slots.len() - self.free.len() >= MAX_CALLS {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        call.generation = self.generation;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let key = CallKey {
            slot,
            generation: self.generation,
        };
        if matches!(call.maker, Maker::Contested { .. }) {
            self.contested.push_back(key);
            self.shorten_queue();
        }
        self.slots[slot as usize] = Some(call);
        Some(key)
    }

    pub(super) fn slot(&self, key: CallKey) -> Option<u32> {
        let call = self.get(key.slot)?;
        (call.generation == key.generation).then_some(key.slot)
    }

    pub(super) fn key(&self, slot: u32) -> Option<CallKey> {
        let generation = self.get(slot)?.generation;
        Some(CallKey { slot, generation })
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Call> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Call> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// How many are queued to be settled, with those that are.
    #[cfg(test)]
    pub(super) fn queue_len(&self) -> usize {
        self.contested.len()
    }

    /// The contested calls.
    pub(super) fn contested(&self) -> impl Iterator<Item = &Call> {
        let live = |key: &CallKey| self.get(self.slot(*key)?);
        let is_contested = |call: &&Call| matches!(call.maker, Maker::Contested { .. });
        self.contested.iter().filter_map(live).filter(is_contested)
    }

    /// The slots of the contested calls.
    pub(super) fn contested_slots(&self) -> impl Iterator<Item = u32> {
        let live = |key: &CallKey| {
            let slot = self.slot(*key)?;
            matches!(self.get(slot)?.maker, Maker::Contested { .. }).then_some(slot)
        };
        self.contested.iter().filter_map(live)
    }

    /// The contested calls, to be changed.
    pub(super) fn contested_mut(&mut self, mut change: impl FnMut(&mut Call)) {
        for at in 0..self.contested.len() {
            let key = self.contested[at];
            if let Some(slot) = self.slot(key)
                && let Some(call) = self.get_mut(slot)
                && matches!(call.maker, Maker::Contested { .. })
            {
                change(call);
            }
        }
    }

    /// The contested call that began first.
    pub(super) fn oldest_contested(&mut self) -> Option<u32> {
        while let Some(key) = self.contested.front().copied() {
            let slot = self.slot(key).filter(|slot| {
                let call = self.get(*slot);
                call.is_some_and(|call| matches!(call.maker, Maker::Contested { .. }))
            });
            if slot.is_some() {
                return slot;
            }
            self.contested.pop_front();
        }
        None
    }

    /// Of settled calls behind an old one that is not, only so many are kept in the queue.
    fn shorten_queue(&mut self) {
        if self.contested.len() > MAX_QUEUE {
            let mut queue = std::mem::take(&mut self.contested);
            queue.retain(|key| {
                let call = self.slot(*key).and_then(|slot| self.get(slot));
                call.is_some_and(|call| matches!(call.maker, Maker::Contested { .. }))
            });
            self.contested = queue;
        }
    }

    /// Forgets a call whose maker is certain, in turn: it may never be answered.
    fn give_up_one(&mut self) {
        for _ in 0..self.slots.len() {
            let at = self.next_given_up % self.slots.len();
            self.next_given_up = at + 1;
            let maker = self.slots[at].as_ref().map(|call| &call.maker);
            if let Some(Maker::Certain(_)) = maker
                && let Ok(slot) = u32::try_from(at)
            {
                self.slots[at] = None;
                self.free.push(slot);
                return;
            }
        }
    }

    /// Forgets a call of which nothing more becomes known, not even by its answer.
    pub(super) fn remove_if_done(&mut self, slot: u32) {
        let is_done = self.get(slot).is_some_and(|call| match call.maker {
            Maker::Certain(_) => !call.is_open,
            Maker::Contested { .. } => false,
            Maker::Settled => true,
        });
        if is_done {
            self.slots[slot as usize] = None;
            self.free.push(slot);
        }
    }
}

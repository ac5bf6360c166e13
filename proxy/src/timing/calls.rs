//! The calls that something can still become known of.

use super::{
    joint::{Bit, MAX_CONTESTED, Set},
    order::Queue,
    requests::RequestKey,
};

/// The most calls that are remembered at a time.
const MAX_CALLS: usize = 4096;

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

/// A request that may have made a call when it began. Whether it still may, the request knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) request: u32,
    pub(super) odds: f32,
    /// Whether it was as far as the likeliest.
    pub(super) is_equal: bool,
}

/// Those who may have made a call.
#[derive(Debug)]
pub(super) struct Contested {
    pub(super) bit: Bit,
    /// The odds of all when it began.
    pub(super) all: f32,
    pub(super) candidates: Vec<Candidate>,
    /// How many of them still may have made it and are open, and how many have ended.
    open: usize,
    ended: usize,
    /// Whether [`Joint`](super::joint::Joint) knows what is expected of those that are open.
    pub(super) is_expected: bool,
}

impl Contested {
    pub(super) fn new(bit: Bit, all: f32) -> Self {
        Self {
            bit,
            all,
            candidates: Vec::new(),
            open: 0,
            ended: 0,
            is_expected: false,
        }
    }

    /// These are the candidates, all of them open, of whom is known what is expected.
    pub(super) fn begin(&mut self, candidates: Vec<Candidate>) {
        self.is_expected = true;
        self.open = candidates.len();
        self.candidates = candidates;
    }

    /// How many open candidates may still have made it.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// How many candidates may still have made it, with those that ended.
    pub(super) fn left(&self) -> usize {
        self.open + self.ended
    }

    /// So many open candidates did not make the call.
    fn give_up(&mut self, count: usize) {
        self.open = self.open.saturating_sub(count);
        self.is_expected = false;
        if self.left() == 0 {
            self.candidates.clear();
        }
    }

    /// A candidate has ended.
    pub(super) fn ended(&mut self) {
        self.ended += 1;
        self.give_up(1);
    }

    /// What a hypothesis was multiplied by because a request with these odds made the call, in shares of the
    /// odds of all.
    pub(super) fn share(&self, request: u32) -> f64 {
        let is_it = |candidate: &&Candidate| candidate.request == request;
        let found = self.candidates.iter().find(is_it);
        let odds = found.map_or(0.0, |candidate| candidate.odds);
        f64::from(message(odds, self.all)) * f64::from(self.all)
    }
}

/// What a hypothesis is multiplied by if a request with these odds made a call, against all others.
pub(super) fn message(odds: f32, all: f32) -> f32 {
    1.0 / (all - odds).max(1e-12)
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
    Contested(Contested),
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
    /// Contested ones, the oldest first: no more than there are bits.
    contested: Vec<u32>,
    /// The slots of contested calls by their bits.
    by_bit: Box<[u32; MAX_CONTESTED]>,
    generation: u32,
    /// The slot that is looked at next where one has to be given up.
    next_given_up: usize,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            contested: Vec::new(),
            by_bit: Box::new([u32::MAX; MAX_CONTESTED]),
            generation: 0,
            next_given_up: 0,
        }
    }

    /// Whether there is room for another, if need be in place of one whose maker is certain.
    pub(super) fn make_room(&mut self) -> bool {
        let is_full = |calls: &Self| calls.slots.len() - calls.free.len() >= MAX_CALLS;
        if is_full(self) {
            self.give_up_one();
        }
        !is_full(self)
    }

    /// The new call's key, or `None` if there are too many.
    pub(super) fn insert(&mut self, mut call: Call) -> Option<CallKey> {
        if !self.make_room() {
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
        if let Maker::Contested(contested) = &call.maker {
            self.contested.push(slot);
            self.by_bit[contested.bit.number()] = slot;
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

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Call> {
        self.slots.get(slot as usize)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Call> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// How many are contested.
    #[cfg(test)]
    pub(super) fn contested_len(&self) -> usize {
        self.contested.len()
    }

    /// Does `change` to each contested call.
    pub(super) fn contested_mut(&mut self, mut change: impl FnMut(&mut Call)) {
        for slot in &self.contested {
            if let Some(Some(call)) = self.slots.get_mut(*slot as usize) {
                change(call);
            }
        }
    }

    /// The contested call that began first.
    pub(super) fn oldest_contested(&self) -> Option<u32> {
        self.contested.first().copied()
    }

    /// The first contested call none of whose candidates is open.
    pub(super) fn all_ended(&self) -> Option<u32> {
        let has_open = |slot: &u32| match self.get(*slot).map(|call| &call.maker) {
            Some(Maker::Contested(contested)) => contested.open > 0,
            _ => true,
        };
        let mut contested = self.contested.iter().copied();
        contested.find(|slot| !has_open(slot))
    }

    /// Who may have made the contested call for which a bit stands.
    #[inline]
    pub(super) fn at(&mut self, bit: Bit) -> Option<&mut Contested> {
        match &mut self.get_mut(self.by_bit[bit.number()])?.maker {
            Maker::Contested(contested) if contested.bit == bit => Some(contested),
            _ => None,
        }
    }

    /// So many open candidates did not make these calls.
    pub(super) fn give_up(&mut self, (calls, count): (Set, usize)) {
        for call in calls.iter() {
            if let Some(contested) = self.at(call) {
                contested.give_up(count);
            }
        }
    }

    /// A contested call is not any more; this is who may have made it.
    pub(super) fn settle(&mut self, slot: u32) -> Option<Contested> {
        let at = self.contested.iter().position(|known| *known == slot)?;
        self.contested.remove(at);
        let call = self.get_mut(slot)?;
        match std::mem::replace(&mut call.maker, Maker::Settled) {
            Maker::Contested(contested) => Some(contested),
            other => {
                call.maker = other;
                None
            }
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
            Maker::Contested(_) => false,
            Maker::Settled => true,
        });
        if is_done {
            self.slots[slot as usize] = None;
            self.free.push(slot);
        }
    }
}

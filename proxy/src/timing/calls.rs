//! The calls that something can still become known of.

use super::{contests::Contest, joint::Bit, order::Queue, requests::RequestKey};

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

/// Whether a request may still be found to have made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// It is open: what it does next will tell.
    Open,
    /// It has ended, and is held against the others.
    Ended,
    /// It did not make the call.
    Out,
}

/// A request that may have made a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) request: u32,
    pub(super) odds: f32,
    /// The call's place among those that the request may have made.
    pub(super) place: u8,
    pub(super) stands: Stands,
    /// Whether it was as far as the likeliest.
    pub(super) is_equal: bool,
}

/// Those who may have made a call.
#[derive(Debug)]
pub(super) struct Contested {
    /// In a fixed order, by which [`Calls::give_up`] and [`Calls::ended`] find them.
    candidates: Vec<Candidate>,
    /// How many are open.
    open: usize,
    pub(super) bit: Bit,
    /// Whether [`Joint`](super::joint::Joint) knows what is expected of those that are open.
    pub(super) is_expected: bool,
}

impl Contested {
    pub(super) fn new(bit: Bit) -> Self {
        Self {
            candidates: Vec::new(),
            open: 0,
            bit,
            is_expected: false,
        }
    }

    /// These are the candidates, all of them open.
    pub(super) fn begin(&mut self, candidates: Vec<Candidate>) {
        self.open = candidates.len();
        self.candidates = candidates;
    }

    /// Those that are open.
    pub(super) fn open(&self) -> impl Iterator<Item = &Candidate> {
        let is_open = |candidate: &&Candidate| candidate.stands == Stands::Open;
        self.candidates.iter().filter(is_open)
    }

    /// Something became known of an open one.
    fn leaves(&mut self, candidate: u32, stands: Stands) {
        if let Some(candidate) = self.candidates.get_mut(candidate as usize)
            && candidate.stands == Stands::Open
        {
            candidate.stands = stands;
            self.open -= 1;
            self.is_expected = false;
        }
    }
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
        if matches!(call.maker, Maker::Contested(_)) {
            self.contested.push(slot);
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

    /// Who may have made this call, if it is contested.
    pub(super) fn contested_at(&mut self, slot: u32) -> Option<&mut Contested> {
        match &mut self.get_mut(slot)?.maker {
            Maker::Contested(contested) => Some(contested),
            Maker::Certain(_) | Maker::Settled => None,
        }
    }

    /// An open request did not make this call.
    pub(super) fn give_up(&mut self, contest: Contest) {
        if let Some(contested) = self.contested_at(contest.call) {
            contested.leaves(contest.candidate, Stands::Out);
        }
    }

    /// A request that may have made this call has ended.
    pub(super) fn ended(&mut self, contest: Contest) {
        if let Some(contested) = self.contested_at(contest.call) {
            contested.leaves(contest.candidate, Stands::Ended);
        }
    }

    /// A contested call is not any more; these are the requests that may have made it.
    pub(super) fn settle(&mut self, slot: u32) -> Option<(Vec<Candidate>, Bit)> {
        let at = self.contested.iter().position(|known| *known == slot)?;
        self.contested.remove(at);
        let call = self.get_mut(slot)?;
        match std::mem::replace(&mut call.maker, Maker::Settled) {
            Maker::Contested(mut contested) => {
                contested.candidates.retain(|c| c.stands != Stands::Out);
                Some((contested.candidates, contested.bit))
            }
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

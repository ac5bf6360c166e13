//! The filter: requests begin and end, calls begin and are answered, and each call is given its maker.
//!
//! Whether that is believed is in `belief`, and what becomes known later in `settling`.

mod belief;
mod settling;

use super::{
    background::{Background, Clock},
    bins::seconds,
    bounded::Numbers,
    calls::{Call, CallKey, Calls, Candidate, Maker, Said},
    decision::{Decision, Doubt, Owner, Settled},
    delays::Event,
    guards::{Audit, Bands, Loads, Makers},
    joint::{Bit, Joint},
    order::{Equal, Orders, Preference, Queue},
    request::{Buffers, Claim, MAX_HYPOTHESES, Request, Scratch},
    requests::{RequestKey, Requests},
    states::States,
};

/// The most open requests that are told apart by time.
const MAX_OPEN: usize = 1024;

/// The most requests that are remembered, with those that ended and are not settled.
const MAX_REQUESTS: usize = 4 * MAX_OPEN;

/// So many requests can begin without an allocation after as many have ended.
const MAX_SPARE: usize = 64;

/// The most hypotheses of all requests, about.
const MAX_HYPOTHESES_IN_ALL: usize = 2048;

/// The most routes, and kinds of call, that are told apart.
const MAX_ROUTES: u16 = 255;
const MAX_KINDS: u16 = 1023;

/// Who is less likely than this to have made a call is no candidate.
const MIN_CANDIDATE: f32 = 1e-4;

/// The most that a request is weighed up.
const MAX_WEIGHT: f32 = 1e9;

/// Equals are looked for among those that are not less likely than this against the likeliest.
const MIN_EQUAL: f32 = 1e-3;

/// The clock ticks in steps of at most this many nanoseconds; smaller ones are noticed.
const COARSEST: u64 = 1_000_000;

/// What is learnt of one kind of call.
#[derive(Debug)]
struct Kind {
    background: Background,
    makers: Makers,
    audit: Audit,
}

/// How much a filter remembers.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) requests: usize,
    /// Of all requests.
    pub(super) hypotheses: usize,
    /// Of the request with the most.
    pub(super) visits: usize,
    pub(super) calls: usize,
    pub(super) contested: usize,
    /// Assignments and ended requests.
    pub(super) joint: (usize, usize),
    pub(super) states: usize,
    pub(super) kinds: usize,
}

/// Requests and calls in time. `T` is what the caller names a request by.
///
/// `now` is in nanoseconds since some moment, and may stand still.
#[derive(Debug)]
pub struct Filter<T> {
    threshold: f32,
    states: States,
    requests: Requests<T>,
    calls: Calls,
    joint: Joint,
    orders: Orders,
    kinds: Vec<Kind>,
    kind_numbers: Numbers<u64>,
    route_numbers: Numbers<u64>,
    /// How many requests of each route were learnt from.
    learnt: Vec<f64>,
    loads: Loads,
    bands: Bands,
    clock: Clock,
    last: Option<u64>,
    settled: Vec<Settled<T>>,
    odds: Vec<(u32, f32)>,
    equals: Vec<Equal>,
    scratch: Scratch,
    /// Of requests that are forgotten, for those to come.
    spare: Vec<Buffers>,
    remembered: usize,
    /// Open requests that are not known here, for there were too many.
    crowd: usize,
}

impl<T: Copy> Filter<T> {
    /// A filter that knows nothing yet. A decision counts as made from a confidence of `threshold` on.
    #[must_use]
    pub fn new(threshold: f32) -> Self {
        Self {
            threshold,
            states: States::new(COARSEST),
            requests: Requests::new(),
            calls: Calls::new(),
            joint: Joint::new(),
            orders: Orders::default(),
            kinds: Vec::new(),
            kind_numbers: Numbers::new(MAX_KINDS),
            route_numbers: Numbers::new(MAX_ROUTES),
            learnt: vec![0.0; usize::from(MAX_ROUTES) + 1],
            loads: Loads::new(),
            bands: Bands::new(f64::from(threshold)),
            clock: Clock::default(),
            last: None,
            settled: Vec::new(),
            odds: Vec::new(),
            equals: Vec::new(),
            scratch: Scratch::default(),
            spare: Vec::new(),
            remembered: 0,
            crowd: 0,
        }
    }

    /// A request of `route` begins. `None` where too many are open; then [`end_unknown`] is its end.
    ///
    /// [`end_unknown`]: Self::end_unknown
    pub fn begin(&mut self, now: u64, name: T, route: u64) -> Option<RequestKey> {
        self.tick(now);
        if self.requests.open().len() >= MAX_OPEN || self.remembered >= MAX_REQUESTS {
            self.crowd += 1;
            return None;
        }
        let route = self.route_numbers.of(route);
        let buffers = self.spare.pop().unwrap_or_default();
        let request = Request::begin(now, route, &mut self.states, buffers);
        self.remembered += 1;
        Some(self.requests.insert(request, name))
    }

    /// A call of `kind` begins.
    ///
    /// `owner` is what is known for certain, and `weigh` says what else is known: by how much each
    /// request is more, or less, likely to have made the call than its time alone tells.
    pub fn call(
        &mut self,
        now: u64,
        kind: u64,
        owner: Owner,
        weigh: impl Fn(RequestKey) -> f32,
    ) -> Decision<T> {
        self.tick(now);
        let open = self.requests.open().len() + self.crowd;
        let kind = self.kind(kind);
        match owner {
            Owner::Unknown => {}
            Owner::Elsewhere => return Decision::nothing(open),
            Owner::Request(key) => return self.certain(now, kind, key, open),
        }
        if self.crowd > 0 {
            return Decision {
                doubt: Some(Doubt::Crowd),
                ..Decision::nothing(open)
            };
        }
        // What is no number weighs nothing, and nothing weighs so much that a sum overflows.
        let weigh = |key| {
            let weight = weigh(key);
            if weight.is_nan() {
                0.0
            } else {
                weight.clamp(0.0, MAX_WEIGHT)
            }
        };
        self.infer(now, kind, open, weigh)
    }

    /// A call that is known to be a request's.
    fn certain(&mut self, now: u64, kind: u16, key: RequestKey, open: usize) -> Decision<T> {
        let slot = self.requests.slot(key);
        let slot = slot.filter(|slot| self.requests.is_open(*slot));
        let Some(entry) = slot.and_then(|slot| self.requests.get_mut(slot)) else {
            return Decision::nothing(open);
        };
        entry
            .request
            .call(Event::Call(kind), kind, now, &mut self.states);
        let name = entry.name;
        let call = Call::new(kind, now, Maker::Certain(key), 0.0);
        Decision {
            call: self.calls.insert(call),
            likely: [Some((name, 1.0)), None, None, None],
            open,
            is_contested: false,
            doubt: None,
        }
    }

    fn infer(
        &mut self,
        now: u64,
        kind: u16,
        open: usize,
        weigh: impl Fn(RequestKey) -> f32,
    ) -> Decision<T> {
        let event = Event::Call(kind);
        let background = self.kinds[usize::from(kind)].background.rate(self.clock);
        let mut odds = std::mem::take(&mut self.odds);
        odds.clear();
        for &slot in self.requests.open() {
            if let Some(entry) = self.requests.get(slot) {
                let weight = self.requests.key(slot).map_or(1.0, &weigh);
                let rate = entry.request.odds(event, now, &self.states);
                odds.push((slot, weight * rate));
            }
        }
        let preferred = self.prefer_first(&mut odds);
        let total = background + odds.iter().map(|(_, odds)| odds).sum::<f32>();
        odds.retain(|(_, odds)| *odds >= MIN_CANDIDATE * total);
        odds.sort_by(|a, b| b.1.total_cmp(&a.1));
        let share = |odds: f32| odds / total.max(f32::MIN_POSITIVE);
        let mut decision = Decision::nothing(open);
        for (named, (slot, odds)) in decision.likely.iter_mut().zip(&odds) {
            *named = self.name(*slot).map(|name| (name, share(*odds)));
        }
        let said = odds.first().map(|(slot, odds)| Said {
            request: *slot,
            confidence: share(*odds),
            open,
        });
        decision.doubt = self.doubt(kind, said);
        if open > 1 && decision.doubt.is_none() {
            self.calibrate(&mut decision.likely);
        }

        let is_alone = odds.len() == 1 && background < MIN_CANDIDATE * total;
        let preference = preferred.as_ref();
        let factor = preference.map(|preferred| (preferred.first, preferred.factor));
        let mut queue = None;
        let maker = match odds.first() {
            None => {
                let background = &mut self.kinds[usize::from(kind)].background;
                if open == 0 {
                    background.alone();
                } else {
                    background.unexplained(1.0);
                }
                self.odds = odds;
                return decision;
            }
            // There is no room to remember it, nor a bit to be spent on it.
            Some(_) if !self.calls.make_room() => {
                self.odds = odds;
                return decision;
            }
            Some((slot, _)) if is_alone => self
                .requests
                .key(*slot)
                .map_or(Maker::Settled, Maker::Certain),
            Some(_) => {
                queue = preference.map(|preferred| Queue::new(preferred, &self.equals));
                let bit = self.bit(total);
                // Who has no room for one more can only say that it did not make it.
                let has_room = |&&(slot, _): &&(u32, f32)| {
                    let entry = self.requests.get(slot);
                    entry.is_some_and(|entry| entry.request.has_room())
                };
                let candidates = odds.iter().filter(has_room);
                let candidates = candidates.map(|&(request, odds)| Candidate {
                    request,
                    odds,
                    is_open: true,
                });
                Maker::Contested {
                    candidates: candidates.collect(),
                    bit,
                    is_expected: false,
                }
            }
        };
        let mut call = Call::new(kind, now, maker, background);
        call.said = said;
        call.queue = queue;
        let Some(key) = self.calls.insert(call) else {
            self.odds = odds;
            return decision;
        };
        decision.call = Some(key);
        decision.is_contested = !is_alone;
        let Some(number) = self.calls.slot(key) else {
            return decision;
        };
        if is_alone {
            if open == 1 {
                self.loads.check(open, 1.0);
            }
            if let Some(entry) = self.requests.get_mut(odds[0].0) {
                entry.request.call(event, kind, now, &mut self.states);
            }
        } else {
            for &(slot, odds) in &odds {
                let preference = factor.filter(|(first, _)| *first == slot);
                let weight = self.requests.key(slot).map_or(1.0, &weigh);
                let factor = weight * preference.map_or(1.0, |(_, factor)| factor);
                self.contest(slot, number, kind, now, factor, (odds, total));
            }
            self.settle_where_all_ended();
        }
        self.odds = odds;
        decision
    }

    /// Of requests that are equally far, the one that waits longest may be served first.
    ///
    /// The equals are left in `self.equals`.
    fn prefer_first(&mut self, odds: &mut [(u32, f32)]) -> Option<Preference> {
        let state = |slot: u32| self.requests.get(slot)?.request.likeliest();
        let (most, least) = {
            let most = odds.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
            (most.0, most.1 * MIN_EQUAL)
        };
        let (of, _) = state(most)?;
        let equals = odds.iter().enumerate().filter_map(|(place, (slot, odds))| {
            let (theirs, since) = (*odds >= least).then(|| state(*slot))??;
            (theirs == of).then_some(Equal {
                place,
                request: *slot,
                since,
            })
        });
        self.equals.clear();
        self.equals.extend(equals);
        self.orders.prefer(of, &self.equals, odds)
    }

    /// A request may have made a call, or another.
    fn contest(
        &mut self,
        slot: u32,
        call: u32,
        kind: u16,
        now: u64,
        factor: f32,
        (odds, all): (f32, f32),
    ) {
        let open = self.requests.open().len().max(1);
        let claim = Claim {
            call,
            event: Event::Call(kind),
            kind,
            factor,
            message: 1.0 / (all - odds).max(1e-12),
            all,
            max_hypotheses: (MAX_HYPOTHESES_IN_ALL / open).clamp(2, MAX_HYPOTHESES),
            now,
            scratch: &self.scratch,
        };
        let Some(entry) = self.requests.get_mut(slot) else {
            return;
        };
        let calls = &mut self.calls;
        let mut give_up = |call: u32| calls.give_up(call, slot);
        let states = &mut self.states;
        if !entry.request.contest(claim, states, &mut give_up) {
            give_up(call);
        }
    }

    /// A bit for a contested call; if there is none left, the oldest one is settled.
    fn bit(&mut self, all: f32) -> Bit {
        loop {
            if let Some(bit) = self.joint.begin(f64::from(all)) {
                return bit;
            }
            match self.calls.oldest_contested() {
                Some(oldest) => self.settle(oldest),
                // Every bit belongs to a contested call; if that were not so, all could be forgotten.
                None => self.joint = Joint::new(),
            }
        }
    }

    /// A call is answered, or has failed.
    pub fn answered(&mut self, now: u64, key: CallKey) {
        self.tick(now);
        let Some(slot) = self.calls.slot(key) else {
            return;
        };
        let Some(call) = self.calls.get_mut(slot) else {
            return;
        };
        if !std::mem::replace(&mut call.is_open, false) {
            return;
        }
        match &call.maker {
            Maker::Certain(request) => {
                if let Some(slot) = self.requests.slot(*request)
                    && self.requests.is_open(slot)
                    && let Some(entry) = self.requests.get_mut(slot)
                {
                    entry.request.answer(None, now, &mut self.states);
                }
            }
            Maker::Contested { candidates, .. } => {
                for candidate in candidates.iter().filter(|candidate| candidate.is_open) {
                    if let Some(entry) = self.requests.get_mut(candidate.request) {
                        entry.request.answer(Some(slot), now, &mut self.states);
                    }
                }
            }
            Maker::Settled => {}
        }
        self.calls.remove_if_done(slot);
    }

    /// A request ends.
    pub fn end(&mut self, now: u64, key: RequestKey) {
        self.tick(now);
        let Some(slot) = self.requests.slot(key) else {
            return;
        };
        if !self.requests.is_open(slot) {
            return;
        }
        self.requests.close(slot);
        let Some(entry) = self.requests.get_mut(slot) else {
            return;
        };
        entry.request.end(now, &mut self.states);
        if entry.request.is_contested() {
            entry.joined = true;
            for call in entry.request.contested() {
                self.calls.ended(call, slot);
            }
            self.join(slot);
            self.settle_where_all_ended();
        } else {
            self.forget(slot);
        }
    }

    /// A request ends that [`begin`](Self::begin) did not take.
    pub fn end_unknown(&mut self) {
        self.crowd = self.crowd.saturating_sub(1);
    }

    /// How many requests are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.requests.open().len() + self.crowd
    }

    /// How much is remembered.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> Sizes {
        let requests = || self.requests.all().map(|entry| entry.request.sizes());
        Sizes {
            requests: requests().count(),
            hypotheses: requests().map(|(hypotheses, _)| hypotheses).sum(),
            visits: requests().map(|(_, visits)| visits).max().unwrap_or(0),
            calls: self.calls.len(),
            contested: self.calls.contested_len(),
            joint: self.joint.sizes(),
            states: self.states.len(),
            kinds: self.kinds.len(),
        }
    }

    fn name(&self, slot: u32) -> Option<T> {
        self.requests.get(slot).map(|entry| entry.name)
    }

    /// The number of a kind, for which there is a place.
    fn kind(&mut self, kind: u64) -> u16 {
        let number = self.kind_numbers.of(kind);
        while self.kinds.len() <= usize::from(number) && self.kinds.len() < self.kind_numbers.len()
        {
            self.kinds.push(Kind {
                background: Background::default(),
                makers: Makers::default(),
                audit: Audit::new(),
            });
        }
        number
    }

    /// Time has passed.
    fn tick(&mut self, now: u64) {
        let passed = seconds(now.saturating_sub(self.last.unwrap_or(now)));
        if self.requests.open().is_empty() {
            self.clock.idle += passed;
        } else {
            self.clock.busy += passed;
        }
        if self.last.is_some_and(|last| now < last) {
            // The clock was set back. Nobody waits for it to catch up.
            self.calls
                .contested_mut(|call| call.began = call.began.min(now));
        }
        self.last = Some(now);
        let mut grain = self.states.grain();
        while grain > 1 && !now.is_multiple_of(grain) {
            grain /= 10;
        }
        if grain != self.states.grain() {
            self.states.set_grain(grain);
        }
    }
}

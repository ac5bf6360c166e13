//! The filter: requests begin and end, calls begin and are answered, and each call is given its maker.
//!
//! How a call is given its maker is in `inference`, whether that is believed in `belief`, and what becomes
//! known later in `settling`.

mod belief;
mod inference;
mod proving;
mod settling;

use self::inference::Beginning;
use super::{
    background::{Background, Clock},
    bins::seconds,
    bounded::Numbers,
    calls::{Call, CallKey, Calls, Maker},
    claims::Claims,
    decision::{Decision, Doubt, Owner, Settled},
    forks::Forks,
    guards::{Audit, Bands, Loads, Makers},
    joint::Joint,
    order::Orders,
    request::{Buffers, Request, Scratch},
    requests::{RequestKey, Requests},
    states::States,
};

/// The most open requests that are told apart by time.
const MAX_OPEN: usize = 1024;

/// The most requests that are remembered, with those that ended and are not settled.
const MAX_REQUESTS: usize = 4 * MAX_OPEN;

/// So many requests can begin without an allocation after as many have ended.
const MAX_SPARE: usize = 64;

/// The most routes, and kinds of call, that are told apart.
const MAX_ROUTES: u16 = 255;
const MAX_KINDS: u16 = 1023;

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
    forks: Forks,
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
    /// Whether there may be a call that is to be settled before anything else happens.
    may_settle: bool,
    claims: Claims,
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
            forks: Forks::default(),
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
            may_settle: false,
            claims: Claims::default(),
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
        if self.requests.open() >= MAX_OPEN || self.remembered >= MAX_REQUESTS {
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
        let open = self.requests.open() + self.crowd;
        let kind = self.kind(kind);
        match owner {
            Owner::Unknown => {}
            Owner::Elsewhere => {
                self.prove(Beginning { now, kind, open }, None);
                return Decision::nothing(open);
            }
            Owner::Request(key) => return self.certain(Beginning { now, kind, open }, key),
        }
        if self.crowd > 0 {
            return Decision {
                doubt: Some(Doubt::Crowd),
                ..Decision::nothing(open)
            };
        }
        self.infer(Beginning { now, kind, open }, weigh)
    }

    /// A call that is known to be a request's.
    fn certain(&mut self, begins: Beginning, key: RequestKey) -> Decision<T> {
        let Beginning { now, kind, open } = begins;
        let slot = self.requests.slot(key);
        self.prove(begins, slot);
        let slot = slot.filter(|slot| self.requests.is_open(*slot));
        let Some(entry) = slot.and_then(|slot| self.requests.get_mut(slot)) else {
            return Decision::nothing(open);
        };
        entry.request.call(kind, now, &self.forks, &mut self.states);
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
                    entry.request.answer(now, &self.forks, &mut self.states);
                }
            }
            Maker::Contested(contested) => {
                self.forks.answer(contested.bit, now, &mut self.states);
                for candidate in &contested.candidates {
                    if let Some(entry) = self.requests.get_mut(candidate.request)
                        && entry.may_yet_have_made(contested.bit.set())
                    {
                        let (forks, states) = (&self.forks, &mut self.states);
                        entry
                            .request
                            .answer_contested(contested.bit, now, forks, states);
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
        entry.request.end(now, &self.forks, &mut self.states);
        let contested = entry.request.contested();
        if !contested.is_empty() {
            entry.joined = true;
            for call in contested.iter() {
                if let Some(contested) = self.calls.at(call) {
                    contested.ended();
                }
            }
            self.join(slot);
            self.settle_where_all_ended();
        } else {
            self.forget(slot);
        }
    }

    /// A request begins of which nothing is known but that it is there.
    pub fn begin_unknown(&mut self) {
        self.crowd += 1;
    }

    /// A request ends that [`begin`](Self::begin) did not take.
    pub fn end_unknown(&mut self) {
        self.crowd = self.crowd.saturating_sub(1);
    }

    /// How many requests are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.requests.open() + self.crowd
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
        if std::mem::take(&mut self.may_settle) {
            self.settle_where_all_ended();
        }
        let passed = seconds(now.saturating_sub(self.last.unwrap_or(now)));
        if self.requests.open() == 0 {
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

#[expect(clippy::cast_possible_truncation, reason = "a probability")]
fn narrow(probability: f64) -> f32 {
    probability as f32
}

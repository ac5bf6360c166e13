//! Who made a call: the open requests claim it, the likeliest are named, and each takes note of it.

use super::{
    super::{
        calls::{Call, CallKey, Candidate, Contested, Maker, Said},
        claims::{Candidates, Claims},
        decision::Decision,
        delays::Event,
        joint::{Bit, Joint, Set},
        order::Queue,
        outlook::Outlooks,
        request::{Disputed, MAX_HYPOTHESES},
        requests::RequestKey,
    },
    Filter,
};

/// The most hypotheses of all requests, about.
const MAX_HYPOTHESES_IN_ALL: usize = 2048;

/// A call that begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) now: u64,
    pub(super) kind: u16,
    /// How many requests are open.
    pub(super) open: usize,
}

impl<T: Copy> Filter<T> {
    /// Who made a call of which nothing is known for certain.
    pub(super) fn infer(
        &mut self,
        begins: Beginning,
        weigh: impl Fn(RequestKey) -> f32,
    ) -> Decision<T> {
        let Beginning { now, kind, open } = begins;
        let mut claims = std::mem::take(&mut self.claims);
        let outlooks = Outlooks::new(&self.states, Event::Call(kind), now);
        claims.ask(&self.requests, &self.forks, outlooks, weigh);
        let queue = self.orders.prefer(&mut claims);
        let background = self.kinds[usize::from(kind)].background.rate(self.clock);
        let candidates = claims.candidates(background);

        let mut decision = Decision::nothing(open);
        for (named, likely) in decision.likely.iter_mut().zip(candidates.likeliest) {
            *named = likely.and_then(|(request, odds)| {
                let name = self.name(request)?;
                Some((name, candidates.share(odds)))
            });
        }
        let said = candidates.likeliest[0].map(|(request, odds)| Said {
            request,
            confidence: candidates.share(odds),
            open,
        });
        decision.doubt = self.doubt(kind, said);
        if open > 1 && decision.doubt.is_none() {
            self.calibrate(&mut decision.likely);
        }
        decision.call = match said {
            None => {
                self.nobody(begins);
                None
            }
            // There is no room to remember it, nor a bit to be spent on it.
            Some(_) if !self.calls.make_room() => None,
            Some(said) if candidates.is_one_alone() => self.alone(begins, said, background),
            Some(said) => {
                decision.is_contested = true;
                self.contested(begins, &claims, &candidates, (said, queue))
            }
        };
        self.claims = claims;
        decision
    }

    /// No open request makes such calls.
    fn nobody(&mut self, begins: Beginning) {
        let background = &mut self.kinds[usize::from(begins.kind)].background;
        if begins.open == 0 {
            background.alone();
        } else {
            background.unexplained(1.0);
        }
    }

    /// One request alone can have made the call.
    fn alone(&mut self, begins: Beginning, said: Said, background: f32) -> Option<CallKey> {
        let Beginning { now, kind, open } = begins;
        let key = self.requests.key(said.request);
        let maker = key.map_or(Maker::Settled, Maker::Certain);
        let mut call = Call::new(kind, now, maker, background);
        call.said = Some(said);
        let call = self.calls.insert(call)?;
        if open == 1 {
            self.loads.check(open, 1.0);
        }
        if let Some(entry) = self.requests.get_mut(said.request) {
            entry.request.call(kind, now, &self.forks, &mut self.states);
        }
        Some(call)
    }

    /// Each candidate made the call, or another did.
    fn contested(
        &mut self,
        begins: Beginning,
        claims: &Claims,
        candidates: &Candidates,
        (said, queue): (Said, Option<Queue>),
    ) -> Option<CallKey> {
        let bit = self.bit(candidates.total);
        let maker = Maker::Contested(Contested::new(bit, candidates.total));
        let mut call = Call::new(begins.kind, begins.now, maker, candidates.background);
        call.said = Some(said);
        call.queue = queue;
        let key = self.calls.insert(call)?;
        self.forks.begin(bit, begins.kind, begins.now);
        let noted = self.note(begins, bit, claims, candidates);
        if let Some(contested) = self.calls.at(bit) {
            let odds: f32 = noted.iter().map(|candidate| candidate.odds).sum();
            self.joint
                .expect(bit, f64::from(candidates.background + odds));
            contested.begin(noted);
        }
        // Whoever waits for the decision need not wait for what is learnt from the calls before it.
        self.may_settle = true;
        Some(key)
    }

    /// All candidates take note of a call that they may have made.
    fn note(
        &mut self,
        begins: Beginning,
        bit: Bit,
        claims: &Claims,
        candidates: &Candidates,
    ) -> Vec<Candidate> {
        let Beginning { now, kind, open } = begins;
        let disputed = Disputed {
            call: bit,
            kind,
            now,
            all: candidates.total,
            max_hypotheses: (MAX_HYPOTHESES_IN_ALL / open.max(1)).clamp(2, MAX_HYPOTHESES),
        };
        let mut noted = Vec::with_capacity(candidates.count);
        // In a crowd all give up the same.
        let mut given_up = (Set::default(), 0);
        for claim in claims.all().iter().filter(|claim| candidates.has(claim)) {
            let Some(entry) = self.requests.get_mut(claim.request) else {
                continue;
            };
            let (forks, states) = (&mut self.forks, &mut self.states);
            let (mixtures, scratch) = (&claims.mixtures, &mut self.scratch);
            let over = entry
                .request
                .contest(&disputed, claim, mixtures, forks, states, scratch);
            if !over.meets(bit.set()) {
                noted.push(Candidate {
                    request: claim.request,
                    odds: claim.odds,
                    is_equal: claim.is_equal,
                });
            }
            let over = over.without(bit.set());
            if over != given_up.0 {
                self.calls.give_up(given_up);
                given_up = (over, 0);
            }
            given_up.1 += 1;
        }
        self.calls.give_up(given_up);
        noted
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
}

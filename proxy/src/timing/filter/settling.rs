//! What becomes known of calls when requests have ended, and is learnt from.

use super::{
    super::{
        calls::{Candidate, Maker},
        decision::{MAX_NAMED, Settled},
        joint::{Bit, MAX_CONTESTED},
        order::Made,
    },
    Filter, MAX_SPARE, narrow,
};

/// A call is settled after this long, whatever may still become known.
const MAX_UNSETTLED: u64 = 4_000_000_000;

/// The most that became known and was not asked for.
const MAX_SETTLED: usize = 8192;

impl<T: Copy> Filter<T> {
    /// An ended request is held against the others.
    pub(super) fn join(&mut self, slot: u32) {
        let Some(entry) = self.requests.get(slot) else {
            return;
        };
        let mut shares = [1.0; MAX_CONTESTED];
        for call in entry.request.contested().iter() {
            if let Some(contested) = self.calls.at(call) {
                shares[call.number()] = contested.share(slot);
            }
        }
        let choices = entry.request.choices(|call| shares[call.number()]);
        self.expect_others();
        let kept = self.joint.end(slot, &choices);
        self.calls.contested_mut(|call| call.kept *= kept);
    }

    /// What is expected of the requests that have not ended, for each contested call.
    pub(super) fn expect_others(&mut self) {
        let (joint, requests) = (&mut self.joint, &self.requests);
        self.calls.contested_mut(|call| {
            if let Maker::Contested(contested) = &mut call.maker
                && !contested.is_expected
            {
                let own = contested.bit.set();
                let may_yet_have_made = |candidate: &&Candidate| {
                    let entry = requests.get(candidate.request);
                    entry.is_some_and(|entry| entry.may_yet_have_made(own))
                };
                let candidates = contested.candidates.iter();
                let open = candidates.filter(may_yet_have_made).take(contested.open());
                let odds: f32 = open.map(|candidate| candidate.odds).sum();
                joint.expect(contested.bit, f64::from(call.background + odds));
                contested.is_expected = true;
            }
        });
    }

    /// Settles the calls all of whose candidates have ended.
    pub(super) fn settle_where_all_ended(&mut self) {
        while let Some(slot) = self.calls.all_ended() {
            self.settle(slot);
        }
    }

    /// No more becomes known of a call.
    pub(super) fn settle(&mut self, slot: u32) {
        self.expect_others();
        let Some(key) = self.calls.key(slot) else {
            return;
        };
        let Some(contested) = self.calls.settle(slot) else {
            return;
        };
        let bit = contested.bit;
        let own = bit.set();
        let may_have_made = |candidate: &&Candidate| {
            let entry = self.requests.get(candidate.request);
            entry.is_some_and(|entry| entry.request.contested().meets(own))
        };
        let left = contested.candidates.iter().filter(may_have_made);
        let mut candidates: Vec<Candidate> = left.take(contested.left()).copied().collect();
        // The likeliest are learnt from first.
        candidates.sort_by(|a, b| b.odds.total_cmp(&a.odds));
        let Some(call) = self.calls.get_mut(slot) else {
            return;
        };
        let (kept, background) = (call.kept, call.background);
        let (queue, said, kind) = (call.queue.take(), call.said, call.kind);
        let makers = self.makers(&candidates, bit, kept, background);
        let shown = makers.first().map_or(0.0, |(_, shown)| *shown);
        let makers: Vec<Made> = makers.iter().map(|(made, _)| *made).collect();
        let known: f32 = makers.iter().map(|made| made.probability).sum();
        if let Some(queue) = &queue {
            self.orders.learn(queue, &makers);
        }
        let of_kind = &mut self.kinds[usize::from(kind)];
        of_kind
            .background
            .unexplained(kept * f64::from(1.0 - known));
        if let Some(said) = said
            && said.confidence >= self.threshold
        {
            let said_so = |made: &&Made| made.request == said.request;
            let is_first = makers.first().filter(said_so);
            let confirmed = is_first.map_or(0.0, |_| f64::from(shown));
            self.loads.check(said.open, confirmed);
            if said.open > 1 {
                of_kind.audit.check(confirmed);
                self.bands.check(f64::from(said.confidence), confirmed);
            }
        }
        let doubt = self.doubt_settled(kind, said, shown);
        let mut settled = Settled {
            call: key,
            likely: [None; MAX_NAMED],
            doubt,
        };
        for (named, made) in settled.likely.iter_mut().zip(&makers) {
            let name = self.name(made.request);
            *named = name.map(|name| (name, made.probability));
        }
        if self.settled.len() < MAX_SETTLED {
            self.settled.push(settled);
        }
        for candidate in &candidates {
            if let Some(entry) = self.requests.get_mut(candidate.request) {
                entry.request.settle(bit, &self.forks, &mut self.states);
                entry.kept = entry.kept.min(kept);
                if !self.requests.is_open(candidate.request) {
                    self.forget_if_done(candidate.request);
                }
            }
        }
        self.calls.remove_if_done(slot);
    }

    /// Who made a contested call, the likeliest first: the ended by all that is known, and the open, if
    /// it is settled before they end, by the odds that they had.
    pub(super) fn makers(
        &mut self,
        candidates: &[Candidate],
        bit: Bit,
        kept: f64,
        background: f32,
    ) -> Vec<(Made, f32)> {
        let ended = self.joint.settle(bit);
        let left = (1.0 - ended.iter().map(|(_, share)| share).sum::<f64>()).max(0.0);
        let open = |candidate: &Candidate| self.requests.is_open(candidate.request);
        let odds = |of: &dyn Fn(&Candidate) -> bool| -> f64 {
            let odds: f32 = candidates.iter().filter(|c| of(c)).map(|c| c.odds).sum();
            f64::from(background + odds).max(f64::MIN_POSITIVE)
        };
        let (all, of_open) = (odds(&|_| true), odds(&open));
        let mut makers: Vec<(Made, f32)> = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            let odds = f64::from(candidate.odds);
            let together = if open(candidate) {
                left * odds / of_open
            } else {
                let made = ended
                    .iter()
                    .find(|(request, _)| *request == candidate.request);
                made.map_or(0.0, |(_, share)| *share)
            };
            let shown = kept * together;
            let probability = shown + (1.0 - kept) * odds / all;
            let made = Made {
                request: candidate.request,
                probability: narrow(probability),
                is_equal: candidate.is_equal,
            };
            makers.push((made, narrow(shown)));
        }
        makers.sort_by(|(a, _), (b, _)| b.probability.total_cmp(&a.probability));
        makers
    }

    pub(super) fn forget_if_done(&mut self, slot: u32) {
        let is_done = self
            .requests
            .get(slot)
            .is_some_and(|entry| entry.request.contested().is_empty());
        if is_done {
            self.forget(slot);
        }
    }

    /// An ended request is learnt from, and forgotten.
    pub(super) fn forget(&mut self, slot: u32) {
        let Some(mut entry) = self.requests.remove(slot) else {
            return;
        };
        self.remembered = self.remembered.saturating_sub(1);
        let route = entry.request.route;
        if entry.joined {
            let shares = self.joint.forget(slot);
            entry.request.decided(&shares, entry.kept);
        }
        self.learnt[usize::from(route)] += 1.0;
        let kinds = &mut self.kinds;
        entry.request.learn(&mut self.states, |kind, probability| {
            if let Some(kind) = kinds.get_mut(usize::from(kind)) {
                kind.makers.learn(route, probability);
            }
        });
        if self.spare.len() < MAX_SPARE {
            self.spare.extend(entry.request.into_buffers());
        }
    }

    /// What became known since this was asked last. Calls that have waited for long are settled.
    pub fn settled(&mut self, now: u64) -> Vec<Settled<T>> {
        self.tick(now);
        while let Some(slot) = self.calls.oldest_contested() {
            let began = self.calls.get(slot).map_or(now, |call| call.began);
            if now.saturating_sub(began) < MAX_UNSETTLED {
                break;
            }
            self.settle(slot);
        }
        std::mem::take(&mut self.settled)
    }
}

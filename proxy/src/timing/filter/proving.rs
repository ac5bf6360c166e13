//! Where something else than time tells who made a call: would time have told the same?
//!
//! What is learnt from settled calls is the filter's own opinion, and may confirm itself. Here is the truth,
//! as often as an app forwards a context, or its process is known.

use super::{
    super::{delays::Event, outlook::Outlooks},
    Filter,
    inference::Beginning,
};

impl<T: Copy> Filter<T> {
    /// Holds what would be said of a call against its maker; `None` is none of the open requests.
    pub(super) fn prove(&mut self, begins: Beginning, maker: Option<u32>) {
        let Beginning { now, kind, open } = begins;
        if open < 2 || self.crowd > 0 {
            return;
        }
        let mut claims = std::mem::take(&mut self.claims);
        let outlooks = Outlooks::new(&self.states, Event::Call(kind), now);
        claims.ask(&self.requests, &self.forks, outlooks, |_| 1.0);
        // For the odds alone: no queue is learnt from.
        let _ = self.orders.prefer(&mut claims);
        let background = self.kinds[usize::from(kind)].background.rate(self.clock);
        let candidates = claims.candidates(background);
        let said = candidates.likeliest[0].map(|(request, odds)| (request, candidates.share(odds)));
        self.claims = claims;
        let Some((request, confidence)) = said else {
            return;
        };
        if confidence < self.threshold {
            return;
        }
        let right = if maker == Some(request) { 1.0 } else { 0.0 };
        self.loads.check(open, right);
        self.kinds[usize::from(kind)].audit.check(right);
        self.bands.check(f64::from(confidence), right);
    }
}

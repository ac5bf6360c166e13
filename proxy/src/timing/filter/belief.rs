//! Whether the likeliest maker of a call is to be believed, and how sure that is.

use super::{
    super::{
        calls::Said,
        decision::{Doubt, MAX_NAMED},
    },
    Filter, narrow,
};

impl<T: Copy> Filter<T> {
    /// Says how sure decisions like this one turned out to be; the others share what is left.
    pub(super) fn calibrate(&self, likely: &mut [Option<(T, f32)>; MAX_NAMED]) {
        let [Some((_, first)), others @ ..] = likely else {
            return;
        };
        let before = *first;
        *first = narrow(self.bands.calibrated(f64::from(before)));
        let rest = (1.0 - *first) / (1.0 - before).max(f32::EPSILON);
        for (_, probability) in others.iter_mut().flatten() {
            *probability *= rest.min(1.0);
        }
    }

    /// Why the likeliest is not to be believed, if there is a reason.
    pub(super) fn doubt(&mut self, kind: u16, said: Option<Said>) -> Option<Doubt> {
        let Some(said) = said else {
            return Some(Doubt::Nobody);
        };
        let kind = &mut self.kinds[usize::from(kind)];
        if said.open > 1 {
            kind.audit.decide(said.confidence);
        }
        if said.confidence < self.threshold {
            return Some(Doubt::Ambiguous);
        }
        if said.open <= 1 {
            return None;
        }
        let learnt = |route: u16| self.learnt[usize::from(route)];
        if kind.makers.may_join(learnt) {
            return Some(Doubt::Join);
        }
        let is_proven = kind.audit.is_good()
            && self.loads.are_proven(said.open)
            && self.bands.are_worth_it(f64::from(said.confidence));
        (!is_proven).then_some(Doubt::Unproven)
    }

    /// Why what became known of a call is not to be believed, if there is a reason.
    pub(super) fn doubt_settled(
        &self,
        kind: u16,
        said: Option<Said>,
        confidence: f32,
    ) -> Option<Doubt> {
        let learnt = |route: u16| self.learnt[usize::from(route)];
        if confidence < self.threshold {
            Some(Doubt::Ambiguous)
        } else if self.kinds[usize::from(kind)].makers.may_join(learnt) {
            Some(Doubt::Join)
        } else if !self.kinds[usize::from(kind)].audit.is_good()
            || said.is_some_and(|said| !self.loads.are_proven(said.open))
        {
            Some(Doubt::Unproven)
        } else {
            None
        }
    }
}

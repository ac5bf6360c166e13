//! What the open requests claim when a call begins, each by its odds of having made it.

use super::{
    decision::MAX_NAMED,
    forks::Forks,
    mixtures::Mixtures,
    outlook::Outlooks,
    request::Standing,
    requests::{RequestKey, Requests},
};

/// Who is less likely than this to have made a call is no candidate.
const MIN_CANDIDATE: f32 = 1e-4;

/// The most that a request is weighed up.
const MAX_WEIGHT: f32 = 1e9;

/// What one request claims.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) request: u32,
    pub(super) standing: Standing,
    /// By what its rate is multiplied, for what else is known.
    pub(super) weight: f32,
    /// Its rate, weighed.
    pub(super) odds: f32,
    /// Whether it is as far as the likeliest.
    pub(super) is_equal: bool,
}

/// What all of them claim.
#[derive(Debug, Default)]
pub(super) struct Claims {
    all: Vec<Claim>,
    /// Where the highest odds are, and what they were when they were claimed.
    highest: (usize, f32),
    pub(super) mixtures: Mixtures,
}

impl Claims {
    /// Asks all open requests. What was claimed before is forgotten.
    pub(super) fn ask<T: Copy>(
        &mut self,
        requests: &Requests<T>,
        forks: &Forks,
        mut outlooks: Option<Outlooks<'_>>,
        weigh: impl Fn(RequestKey) -> f32,
    ) {
        self.all.clear();
        self.mixtures.clear();
        self.highest = (0, 0.0);
        let Some(outlooks) = &mut outlooks else {
            return;
        };
        for (key, entry) in requests.open_entries() {
            // What is no number weighs nothing, and nothing weighs so much that a sum overflows.
            let weight = f32::max(weigh(key), 0.0).min(MAX_WEIGHT);
            // Each adds its own, for what it says would else go through memory to come together.
            if let Some(standing) = entry.request.standing(outlooks) {
                self.add(key.slot(), weight, standing);
            } else if let Some(standing) =
                entry
                    .request
                    .forked_standing(outlooks, forks, &mut self.mixtures)
            {
                self.add(key.slot(), weight, standing);
            } else if let Some(standing) =
                entry.request.mixed_standing(outlooks, &mut self.mixtures)
            {
                self.add(key.slot(), weight, standing);
            }
        }
    }

    #[inline]
    pub(super) fn add(&mut self, request: u32, weight: f32, standing: Standing) {
        let odds = weight * standing.rate;
        if odds >= self.highest.1 {
            self.highest = (self.all.len(), odds);
        }
        self.all.push(Claim {
            request,
            standing,
            weight,
            odds,
            is_equal: false,
        });
    }

    pub(super) fn all(&self) -> &[Claim] {
        &self.all
    }

    pub(super) fn all_mut(&mut self) -> &mut [Claim] {
        &mut self.all
    }

    /// The one with the highest odds; of several, the last.
    pub(super) fn highest(&self) -> Option<&Claim> {
        self.all.get(self.highest.0)
    }

    /// Makes a claim so much stronger. Says its odds.
    pub(super) fn raise(&mut self, at: usize, factor: f32) -> f64 {
        let Some(claim) = self.all.get_mut(at) else {
            return 0.0;
        };
        claim.odds *= factor;
        claim.weight *= factor;
        f64::from(claim.odds)
    }

    /// The candidates, given how many such calls come by themselves.
    pub(super) fn candidates(&self, background: f32) -> Candidates {
        let total = background + self.all.iter().map(|claim| claim.odds).sum::<f32>();
        let mut candidates = Candidates {
            background,
            total,
            count: 0,
            likeliest: [None; MAX_NAMED],
        };
        for claim in &self.all {
            if candidates.has(claim) {
                candidates.count += 1;
                candidates.name(claim);
            }
        }
        candidates
    }
}

/// Those who may have made a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidates {
    pub(super) background: f32,
    /// The odds of all claims, and the background.
    pub(super) total: f32,
    pub(super) count: usize,
    /// The requests with the highest odds, the likeliest first.
    pub(super) likeliest: [Option<(u32, f32)>; MAX_NAMED],
}

impl Candidates {
    #[inline]
    pub(super) fn has(&self, claim: &Claim) -> bool {
        claim.odds >= MIN_CANDIDATE * self.total
    }

    /// Whether it can only be the likeliest.
    pub(super) fn is_one_alone(&self) -> bool {
        self.count == 1 && self.background < MIN_CANDIDATE * self.total
    }

    /// How likely it is who has these odds.
    pub(super) fn share(&self, odds: f32) -> f32 {
        odds / self.total.max(f32::MIN_POSITIVE)
    }

    /// Of those with the same odds the first is named first.
    fn name(&mut self, claim: &Claim) {
        if let [.., Some((_, last))] = self.likeliest
            && claim.odds <= last
        {
            return;
        }
        let mut next = Some((claim.request, claim.odds));
        for likely in &mut self.likeliest {
            let is_less = |odds: f32| next.is_some_and(|(_, next)| next <= odds);
            if !likely.is_some_and(|(_, odds)| is_less(odds)) {
                std::mem::swap(likely, &mut next);
            }
        }
    }
}

//! What becomes known of a call's parent after the call has begun, written into its span.
//!
//! The parent of a call is asserted or left open when the call begins, because its context has to go
//! out with it. When the requests that may have made it have ended, more is known. By then ids cannot
//! be changed: the callee has them. So nothing here rewrites a parent or a trace; a parent that
//! turned out wrong is marked as disputed, and the better one is linked.
//!
//! Who finds out more is a [`Settlement`], and who holds spans until then is the pipeline; this is
//! the contract between the two.

use std::{fmt::Debug, num::NonZeroU64, time::Instant};

use throughline::span::{Evidence, Link, MAX_LINKS, Relation, Span};

/// A link is made only to a candidate that is at least this likely.
const MIN_LINK: f32 = 0.05;

/// What is known of the parent of a call in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The requests that may have made it, each with its confidence, the likeliest first.
    pub likely: [Option<Link>; MAX_LINKS],
    /// Whether the first of them is as sure as an asserted parent has to be.
    pub believed: bool,
}

/// What an [`Outcome`] says of what was decided when the call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The asserted parent is still the likeliest.
    Confirmed,
    /// A parent was asserted, and another is believed.
    Disputed,
    /// None was asserted, and now one is believed.
    Found,
    /// None is believed: what was left open stays so, and what was asserted is neither confirmed nor
    /// disputed.
    StillOpen,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [
        Self::Confirmed,
        Self::Disputed,
        Self::Found,
        Self::StillOpen,
    ];

    /// The label on metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Disputed => "disputed",
            Self::Found => "found",
            Self::StillOpen => "open",
        }
    }
}

/// Who finds out more of a call, some time after it began.
pub trait Settlement: Send + Sync + Debug {
    /// Hands each call that has been settled since it was last asked to `each`.
    ///
    /// It is asked at most once for each round of the pipeline, and may hold a lock meanwhile: `each`
    /// takes a copy and returns. An outcome may come before the span of its call, and for a call that
    /// has none.
    fn settled(&self, now: Instant, each: &mut dyn FnMut(NonZeroU64, Outcome));
}

/// Writes `outcome` into the span of an attempt of its call, and says what it means.
///
/// `None` if the parent was told and not worked out: then there was nothing to settle.
pub fn apply(span: &mut Span, outcome: &Outcome) -> Option<Verdict> {
    let evidence = span.parentage?.evidence;
    if evidence == Evidence::Open {
        return Some(leave_open_or_find(span, outcome));
    }
    if !evidence.is_inferred() {
        return None;
    }
    let likeliest = outcome.likely[0];
    Some(match likeliest {
        Some(likeliest) if span.parent == Some(likeliest.span_id) => Verdict::Confirmed,
        Some(better) if outcome.believed => {
            span.parent_is_disputed = true;
            link_parent(&mut span.links, better);
            Verdict::Disputed
        }
        _ => Verdict::StillOpen,
    })
}

/// No parent was asserted: what is likely now takes the place of what was likely then.
fn leave_open_or_find(span: &mut Span, outcome: &Outcome) -> Verdict {
    let mut likely = outcome
        .likely
        .iter()
        .flatten()
        .filter(|link| link.confidence >= MIN_LINK)
        .copied()
        .peekable();
    let found = outcome.believed && likely.peek().is_some();
    let mut relation = if found {
        Relation::Parent
    } else {
        Relation::Candidate
    };
    for place in &mut span.links {
        if place.is_none_or(|link| link.relation.is_inferred()) {
            *place = likely.next().map(|link| Link { relation, ..link });
            relation = Relation::Candidate;
        }
    }
    if found {
        Verdict::Found
    } else {
        Verdict::StillOpen
    }
}

/// Links to `better`: in the place of the candidate that it was, or else in a free one, or else in
/// that of the last candidate. Where all places are taken by links of other kinds, they stay.
fn link_parent(links: &mut [Option<Link>; MAX_LINKS], better: Link) {
    let it = |link: &Option<Link>| {
        link.is_some_and(|link| link.relation.is_inferred() && link.span_id == better.span_id)
    };
    let candidate = |link: &Option<Link>| link.is_some_and(|link| link.relation.is_inferred());
    let place = links
        .iter()
        .position(it)
        .or_else(|| links.iter().position(Option::is_none))
        .or_else(|| links.iter().rposition(candidate));
    if let Some(place) = place {
        links[place] = Some(Link {
            relation: Relation::Parent,
            ..better
        });
    }
}

#[cfg(test)]
mod tests;

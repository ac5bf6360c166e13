//! Which inbound exchange caused this outbound call?
//!
//! Evidence is weighed in falling certainty: a context in the call itself, a unique value that comes
//! back, the process that makes the call, and at last time: who is open, what each request of its route
//! calls when, and what this one has called so far. Where that does not suffice **no parent is
//! asserted**; the call begins a trace of its own, linked to the candidates. A wrong parent is worse
//! than none.
//!
//! Time, the exchanges and the call are arguments: nothing here reads a clock or a socket. What is
//! learnt is kept in the [`Correlator`], and bounded.

mod context;
mod kind;
mod report;
#[cfg(test)]
mod tests;

use std::{num::NonZeroU64, time::Instant};

use throughline::{
    client::Cause,
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
    propagation::Extraction,
    span::{Conflict, Evidence, Link, MAX_LINKS, Parentage, Relation},
};

use self::{
    context::{believed, propagated},
    report::{Decided, Report},
};
pub use self::{
    kind::{Kind, label},
    report::{BINS, Row},
};
use crate::{
    processes::{Carried, Verdict},
    timing::{CallKey, Decision, Filter, Owner, RequestKey},
    window::{Inbound, Key, Window},
};

/// The most open exchanges that are remembered, and the most ended ones.
const MAX_OPEN: usize = 4096;
const MAX_RECENT: usize = 256;

/// A link is made only to a candidate that is at least this likely.
const MIN_LINK: f32 = 0.05;

/// An inbound exchange that begins.
#[derive(Clone, Debug)]
pub struct Request {
    /// The context at its SERVER span.
    pub context: TraceContext,
    /// The unique value that it came with, such as its `X-Request-Id`.
    pub request_id: Option<Box<str>>,
    /// What kind of request it is.
    pub kind: Kind,
    /// The connection that carries it to the app, where that is of interest.
    pub carried: Option<std::sync::Arc<Carried>>,
}

/// An outbound call, as far as it tells what caused it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// The context in its headers.
    pub context: &'c Extraction,
    /// A value in its headers that names a request, such as an `X-Request-Id`.
    pub request_id: Option<&'c str>,
    /// What kind of call it is.
    pub kind: Kind,
    /// What the process that makes it tells, and the exchanges that the verdict is about.
    pub process: Option<(&'c Verdict, &'c [Key])>,
}

/// A cause, and what the call is called until it is [answered](Correlator::answered).
#[derive(Debug)]
pub struct Answer {
    /// What caused the call.
    pub cause: Cause,
    /// The call, if its end is of interest.
    pub call: Option<CallKey>,
}

/// What became known of a call after it began.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The likeliest causes, the likeliest first, with their probabilities.
    pub likely: [Option<Link>; MAX_LINKS],
    /// Whether the likeliest is sure enough to be believed.
    pub believed: bool,
}

/// A span that may be the parent of a call.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    key: Key,
    trace_id: TraceId,
    span_id: SpanId,
    flags: TraceFlags,
}

/// Finds causes, and learns from the calls that it sees.
#[derive(Debug)]
pub struct Correlator {
    threshold: f32,
    window: Window,
    timing: Filter<Candidate>,
    report: Report,
    began: Instant,
}

impl Correlator {
    /// A correlator that asserts a parent only when it is at least this sure, in 0..=1.
    #[must_use]
    pub fn new(threshold: f32, now: Instant) -> Self {
        Self {
            threshold,
            window: Window::new(MAX_OPEN, MAX_RECENT),
            timing: Filter::new(threshold),
            report: Report::default(),
            began: now,
        }
    }

    /// An exchange begins. Part of step 5 of the way of a request.
    pub fn open(&mut self, now: Instant, request: Request) -> Key {
        let now = self.nanos(now);
        let key = self.window.next_key();
        let candidate = Candidate {
            key,
            trace_id: request.context.trace_id,
            span_id: request.context.span_id,
            flags: request.context.flags,
        };
        let timing = self.timing.begin(now, candidate, request.kind.as_u64());
        let (key, forgotten) = self.window.open(Inbound {
            context: request.context,
            request_id: request.request_id,
            carried: request.carried,
            timing,
        });
        if let Some(forgotten) = forgotten {
            self.end(now, forgotten.timing);
        }
        key
    }

    /// An exchange ends: the app has said all that it had to say.
    pub fn close(&mut self, now: Instant, key: Key) {
        let now = self.nanos(now);
        if let Some(timing) = self.window.close(key).map(|inbound| inbound.timing) {
            self.end(now, timing);
        }
    }

    fn end(&mut self, now: u64, timing: Option<RequestKey>) {
        match timing {
            Some(key) => self.timing.end(now, key),
            None => self.timing.end_unknown(),
        }
    }

    /// The open exchanges, the oldest first, with what carries them to the app.
    pub fn carried(&self) -> impl Iterator<Item = (Key, std::sync::Arc<Carried>)> {
        let open = self.window.oldest_open();
        open.filter_map(|(key, inbound)| Some((key, inbound.carried.clone()?)))
    }

    /// The cause of `call`. Part of step 7 of the way of a request.
    ///
    /// `label` says what calls of this kind are called; it is asked once.
    pub fn decide(
        &mut self,
        now: Instant,
        call: Call<'_>,
        label: impl FnOnce() -> Box<str>,
    ) -> Answer {
        let now = self.nanos(now);
        let winner = believed(&self.window, call.context);
        let names_parent = winner.is_some_and(|remote| remote.parent.is_some());
        let candidates = count(self.window.open_len());
        let (mut cause, call_key, decided) = match winner {
            Some(remote) => {
                let (cause, key) = propagated(&self.window, remote, call.context, candidates);
                let call_key = self.known(now, call.kind, key);
                (cause, call_key, Decided::exactly(Evidence::Propagated))
            }
            None => self.inferred(now, call, candidates),
        };
        cause.sampled = match winner {
            Some(remote) => remote.sampled.filter(|_| !names_parent),
            None => call.context.decision,
        };
        cause.source = winner.map(|remote| remote.source);
        cause.rejected = call.context.rejected;
        if let Some(loser) = winner.and_then(|winner| call.context.conflict(winner)) {
            cause.conflict = Some(Conflict::of(loser));
            if let Some(free) = cause.links.iter_mut().find(|link| link.is_none()) {
                *free = Link::to(loser, Relation::Conflict);
            }
        }
        self.report.note(call.kind, decided, label);
        Answer {
            cause,
            call: call_key,
        }
    }

    /// The cause of a call that carries no context.
    fn inferred(
        &mut self,
        now: u64,
        call: Call<'_>,
        candidates: u16,
    ) -> (Cause, Option<CallKey>, Decided) {
        let named = call
            .request_id
            .and_then(|id| self.window.by_request_id(id))
            .map(|(key, _)| (key, Evidence::RequestId, 1.0));
        let served = call.process.and_then(|(verdict, open)| match verdict {
            Verdict::Served { index, confidence } if *confidence >= self.threshold => {
                Some((*open.get(*index)?, Evidence::Process, *confidence))
            }
            _ => None,
        });
        if let Some((key, evidence, confidence)) = named.or(served)
            && let Some(context) = self.window.get(key).map(|inbound| inbound.context.clone())
        {
            let cause = asserted(context, evidence, confidence, candidates);
            let call_key = self.known(now, call.kind, Some(key));
            return (cause, call_key, Decided::exactly(evidence));
        }
        let among = self.among(call);
        let decision = self
            .timing
            .call(now, call.kind.as_u64(), Owner::Unknown, |request| {
                among.as_ref().map_or(1.0, |among| among.weight(request))
            });
        self.by_time(decision, candidates)
    }

    /// What processes tell where they leave several exchanges, or rather speak against all.
    fn among(&self, call: Call<'_>) -> Option<Among> {
        let (verdict, open) = call.process?;
        let timing = |index: &usize| self.window.get(*open.get(*index)?)?.timing;
        match verdict {
            Verdict::Among {
                indices,
                confidence,
            } => Some(Among {
                likely: indices.iter().filter_map(timing).collect(),
                others: 1.0 - confidence,
            }),
            Verdict::Served { index, confidence } => Some(Among {
                likely: timing(index).into_iter().collect(),
                others: 1.0 - confidence,
            }),
            Verdict::Elsewhere { confidence } => Some(Among {
                likely: Vec::new(),
                others: 1.0 - confidence,
            }),
            Verdict::Nothing => None,
        }
    }

    fn by_time(
        &mut self,
        decision: Decision<Candidate>,
        candidates: u16,
    ) -> (Cause, Option<CallKey>, Decided) {
        let likeliest = decision.likely[0];
        let evidence = if candidates == 1 {
            Evidence::SoleCandidate
        } else {
            Evidence::Timing
        };
        let believed = likeliest.filter(|_| decision.doubt.is_none());
        let context = believed.and_then(|(candidate, confidence)| {
            let inbound = self.window.get(candidate.key)?;
            Some((inbound.context.clone(), confidence))
        });
        let mut cause = match context {
            Some((context, confidence)) => asserted(context, evidence, confidence, candidates),
            None => {
                let mut open = cause(Evidence::Open, 0.0, candidates);
                open.links = links(&decision.likely);
                open
            }
        };
        if decision.is_contested {
            cause.call = decision.call.and_then(id);
        }
        let decided = Decided {
            evidence: cause.parentage.evidence,
            likeliest: likeliest.map(|(_, probability)| probability),
            doubt: decision.doubt,
        };
        (cause, decision.call, decided)
    }

    /// A call whose cause is known: it teaches what requests of its route do.
    fn known(&mut self, now: u64, kind: Kind, key: Option<Key>) -> Option<CallKey> {
        let timing = key.and_then(|key| self.window.get(key)?.timing);
        let owner = timing.map_or(Owner::Elsewhere, Owner::Request);
        let decision = self.timing.call(now, kind.as_u64(), owner, |_| 1.0);
        decision.call
    }

    /// A call has been answered, or has failed.
    pub fn answered(&mut self, now: Instant, call: CallKey) {
        let now = self.nanos(now);
        self.timing.answered(now, call);
    }

    /// What became known of calls whose cause said that more might, by [`Cause::call`].
    pub fn settled(&mut self, now: Instant) -> impl Iterator<Item = (NonZeroU64, Outcome)> {
        let now = self.nanos(now);
        let settled = self.timing.settled(now);
        settled.into_iter().filter_map(|settled| {
            let outcome = Outcome {
                likely: links(&settled.likely),
                believed: settled.doubt.is_none(),
            };
            Some((id(settled.call)?, outcome))
        })
    }

    /// What was decided about the calls of each kind, those with the most calls first.
    #[must_use]
    pub fn report(&self) -> Vec<Row> {
        self.report.rows()
    }

    /// How many exchanges are open.
    #[must_use]
    pub fn open_len(&self) -> usize {
        self.window.open_len()
    }

    /// How many open exchanges were forgotten because there were too many.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.window.forgotten()
    }

    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Decided {
    fn exactly(evidence: Evidence) -> Self {
        Self {
            evidence,
            likeliest: None,
            doubt: None,
        }
    }
}

/// Exchanges that are likelier than all others, by what is known of processes.
#[derive(Debug)]
struct Among {
    likely: Vec<RequestKey>,
    /// The weight of the others.
    others: f32,
}

impl Among {
    fn weight(&self, request: RequestKey) -> f32 {
        if self.likely.contains(&request) {
            1.0
        } else {
            self.others
        }
    }
}

fn asserted(parent: TraceContext, evidence: Evidence, confidence: f32, candidates: u16) -> Cause {
    Cause {
        parent: Some(parent),
        ..cause(evidence, confidence, candidates)
    }
}

fn cause(evidence: Evidence, confidence: f32, candidates: u16) -> Cause {
    Cause::new(Parentage {
        evidence,
        confidence,
        candidates,
        disputed: false,
    })
}

/// Links to the candidates that are likely enough.
fn links(likely: &[Option<(Candidate, f32)>]) -> [Option<Link>; MAX_LINKS] {
    let mut links = [None; MAX_LINKS];
    let likely = likely.iter().flatten().filter(|(_, p)| *p >= MIN_LINK);
    for (link, (candidate, confidence)) in links.iter_mut().zip(likely) {
        *link = Some(Link {
            relation: Relation::Candidate,
            trace_id: candidate.trace_id,
            span_id: candidate.span_id,
            flags: candidate.flags,
            confidence: *confidence,
        });
    }
    links
}

fn id(call: CallKey) -> Option<NonZeroU64> {
    NonZeroU64::new(call.as_u64())
}

fn count(candidates: usize) -> u16 {
    u16::try_from(candidates).unwrap_or(u16::MAX)
}

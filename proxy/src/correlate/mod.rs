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

use std::{
    collections::HashMap,
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use throughline::{
    client::Cause,
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
    propagation::{Extraction, Remote},
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
    processes::{Carried, Carrier, Verdict},
    settle::{Outcome, Settlement},
    timing::{CallKey, Decision, Filter, Owner, RequestKey},
    values::{self, Weights},
    window::{Inbound, Key, Window},
};

/// The most open exchanges that are remembered.
pub const MAX_OPEN: usize = 4096;

/// The most ended exchanges that are remembered.
const MAX_RECENT: usize = 256;

/// How long after an exchange's end a context that a forwarder copied may still come from it. The
/// forwarder looked when the call was made, and the call has a way to go.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

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
    pub carried: Option<Arc<Carried>>,
    /// What it is called where values are compared, if they are.
    pub values: Option<values::Request>,
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
    /// What copied its context onto it, where a forwarder says that it did.
    pub forwarder: Option<&'static str>,
    /// What the thread that makes it said.
    pub signal: Option<Signal>,
    /// What the process that makes it tells, and the exchanges that the verdict is about.
    pub process: Option<(&'c Verdict, &'c [Key])>,
    /// What its values say of the requests that share some with it.
    pub values: Option<&'c Weights>,
}

/// What a thread that makes a call said of the request that it is serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Our port of the connection that carries the request to the app.
    pub port: u16,
    /// How long ago it said so.
    pub age: Duration,
}

/// A cause, and what the call is called until it is [answered](Correlator::answered).
#[derive(Debug)]
pub struct Answer {
    /// What caused the call.
    pub cause: Cause,
    /// The call, if its end is of interest.
    pub call: Option<CallKey>,
    /// The request that is known to have caused it by something else than time and values: what the
    /// call has in common with it may be learnt.
    pub taught_by: Option<values::Request>,
    /// Whether a forwarder copied a context onto the call that no open exchange has. It was not
    /// believed, and must not go on either.
    pub is_stale: bool,
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
    /// How long after its response an exchange may still have its context copied.
    grace: Duration,
    window: Window,
    timing: Filter<Candidate>,
    /// The requests that values are known of.
    valued: HashMap<values::Request, RequestKey>,
    report: Report,
    began: Instant,
}

impl Correlator {
    /// A correlator that asserts a parent only when it is at least this sure, in 0..=1.
    #[must_use]
    pub fn new(threshold: f32, now: Instant) -> Self {
        Self {
            threshold,
            grace: Duration::ZERO,
            window: Window::new(MAX_OPEN, MAX_RECENT),
            timing: Filter::new(threshold),
            valued: HashMap::new(),
            report: Report::default(),
            began: now,
        }
    }

    /// Believes what forwarders copy for so long after the response.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
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
            values: request.values,
            timing,
            began: now,
            ended: None,
        });
        if let (Some(values), Some(timing)) = (request.values, timing) {
            self.valued.insert(values, timing);
        }
        if let Some(forgotten) = forgotten {
            self.end(now, forgotten.timing, forgotten.values);
        }
        key
    }

    /// An exchange goes on as a tunnel: it is no candidate any more for calls that do not name it.
    ///
    /// It may last for days, in which the app does a thousand other things. While it counted as open,
    /// no request would ever be the only one that could have caused a call, and what the app does of
    /// its own accord would be put down to it. But whoever carries its context means it, and so does a
    /// thread that says which connection it serves.
    pub fn tunnel(&mut self, now: Instant, key: Key) {
        let now = self.nanos(now);
        if let Some(was) = self.window.tunnel(key) {
            self.end(now, was.timing, was.values);
        }
    }

    /// An exchange ends: the app has said all that it had to say.
    pub fn close(&mut self, now: Instant, key: Key) {
        let now = self.nanos(now);
        if self.window.close_tunnel(key, now) {
            return;
        }
        let closed = self.window.close(key, now);
        if let Some((timing, values)) = closed.map(|inbound| (inbound.timing, inbound.values)) {
            self.end(now, timing, values);
        }
    }

    fn end(&mut self, now: u64, timing: Option<RequestKey>, values: Option<values::Request>) {
        if let Some(values) = values {
            self.valued.remove(&values);
        }
        match timing {
            Some(key) => self.timing.end(now, key),
            None => self.timing.end_unknown(),
        }
    }

    /// From now on there are open requests that nobody here knows, as when another process has some of the
    /// app's. Until they end, nothing is concluded from what is open here: a call may be one of theirs.
    pub fn unknown_begin(&mut self) {
        self.timing.begin_unknown();
    }

    /// Those have ended.
    pub fn unknown_end(&mut self) {
        self.timing.end_unknown();
    }

    /// The open exchanges, the oldest first, with what carries them to the app.
    pub fn carried(&self) -> impl Iterator<Item = (Key, Arc<Carried>)> {
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
        let is_stale = call.forwarder.is_some() && !winner.is_some_and(|w| self.is_live(now, w));
        let winner = winner.filter(|_| !is_stale);
        let names_parent = winner.is_some_and(|remote| remote.parent.is_some());
        let candidates = count(self.window.open_len());
        let Found {
            mut cause,
            call: call_key,
            key,
            decided,
        } = match winner {
            Some(remote) => {
                let (cause, key) = propagated(&self.window, remote, call.context, candidates);
                Found {
                    call: self.known(now, call.kind, key),
                    cause,
                    key,
                    decided: Decided::exactly(Evidence::Propagated),
                }
            }
            None => self.inferred(now, call, candidates),
        };
        cause.sampled = match winner {
            Some(remote) => remote.sampled.filter(|_| !names_parent),
            None => call.context.decision.filter(|_| !is_stale),
        };
        cause.forwarder = call.forwarder.filter(|_| !is_stale);
        cause.source = winner.map(|remote| remote.source);
        cause.rejected = call.context.rejected;
        if let Some(loser) = winner.and_then(|winner| call.context.conflict(winner)) {
            cause.conflict = Some(Conflict::of(loser));
            if let Some(free) = cause.links.iter_mut().find(|link| link.is_none()) {
                *free = Link::to(loser, Relation::Conflict);
            }
        }
        self.report.note(call.kind, decided, label);
        let is_independent = !matches!(
            decided.evidence,
            Evidence::Value | Evidence::Timing | Evidence::Open
        );
        let owner = key.filter(|_| is_independent);
        Answer {
            cause,
            call: call_key,
            taught_by: owner.and_then(|key| self.window.get(key)?.values),
            is_stale,
        }
    }

    /// The cause of a call that carries no context.
    fn inferred(&mut self, now: u64, call: Call<'_>, candidates: u16) -> Found {
        let named = call
            .request_id
            .and_then(|id| self.window.by_request_id(id))
            .map(|(key, _)| (key, Evidence::RequestId, 1.0));
        let signalled = match call.signal {
            Some(signal) if named.is_none() => match self.served(now, signal) {
                Some(key) => Some((key, Evidence::Signal, 1.0)),
                // The thread serves a request that did not come through here.
                None => {
                    return Found {
                        call: self.known(now, call.kind, None),
                        cause: cause(Evidence::Open, 0.0, candidates),
                        key: None,
                        decided: Decided::exactly(Evidence::Open),
                    };
                }
            },
            _ => None,
        };
        let served = call.process.and_then(|(verdict, open)| match verdict {
            // Of the only one there is, this is known anyhow.
            Verdict::Served { index, confidence }
                if *confidence >= self.threshold && candidates > 1 =>
            {
                Some((*open.get(*index)?, Evidence::Process, *confidence))
            }
            _ => None,
        });
        if let Some((key, evidence, confidence)) = named.or(signalled).or(served)
            && let Some(context) = self.window.get(key).map(|inbound| inbound.context.clone())
        {
            let cause = asserted(context, evidence, confidence, candidates);
            return Found {
                cause,
                call: self.known(now, call.kind, Some(key)),
                key: Some(key),
                decided: Decided::exactly(evidence),
            };
        }
        let among = self.among(call);
        let shared = self.shared(call);
        let weigh = |request| {
            let by_process = among.as_ref().map_or(1.0, |among| among.weight(request));
            let by_values = shared.as_ref().map_or(1.0, |shared| shared.weight(request));
            by_process * by_values
        };
        let kind = call.kind.as_u64();
        let decision = self.timing.call(now, kind, Owner::Unknown, weigh);
        let proven = call.values.and_then(Weights::evidence);
        self.by_time(decision, candidates, proven)
    }

    /// Whether a context that a forwarder copied is that of an exchange which is open, or was when the
    /// call was made.
    fn is_live(&self, now: u64, remote: &Remote) -> bool {
        let ours = remote.parent.and_then(|parent| self.window.by_span(parent));
        let allowed = (self.grace + ON_ITS_WAY).as_nanos();
        ours.is_some_and(|(_, inbound)| {
            let since = inbound
                .ended
                .map(|ended| u128::from(now.saturating_sub(ended)));
            inbound.context.trace_id.is_same_trace(remote.trace_id)
                && since.is_none_or(|since| since <= allowed)
        })
    }

    /// The open exchange that a thread said it is serving: the one on that connection, if it was there
    /// when that was said.
    fn served(&self, now: u64, signal: Signal) -> Option<Key> {
        let age = u64::try_from(signal.age.as_nanos()).unwrap_or(u64::MAX);
        let said = now.saturating_sub(age);
        let mut all = self
            .window
            .oldest_open()
            .chain(self.window.oldest_tunnels());
        let found = all.find(|(_, inbound)| {
            let carrier = inbound.carried.as_deref().map(Carried::carrier);
            matches!(carrier, Some(Carrier::Socket(by)) if by.ours().port() == signal.port)
                && inbound.began <= said
        });
        found.map(|(key, _)| key)
    }

    /// What values tell of the requests that share some with the call, and of all others.
    fn shared(&self, call: Call<'_>) -> Option<Shared> {
        let weights = call.values?;
        let known = |(request, weight)| Some((*self.valued.get(&request)?, weight));
        Some(Shared {
            requests: weights.sharing().filter_map(known).collect(),
            others: weights.others(),
        })
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

    /// The cause by time and all that was weighed with it. `proven` is the one request with a rare value
    /// that the app is known to copy.
    fn by_time(
        &mut self,
        decision: Decision<Candidate>,
        candidates: u16,
        proven: Option<values::Request>,
    ) -> Found {
        let likeliest = decision.likely[0];
        let found = likeliest.and_then(|(candidate, confidence)| {
            let inbound = self.window.get(candidate.key)?;
            let has_value = proven.is_some() && inbound.values == proven;
            let evidence = if candidates == 1 {
                Evidence::SoleCandidate
            } else if has_value {
                Evidence::Value
            } else {
                Evidence::Timing
            };
            // What speaks against time does not speak against a value.
            let is_believed = decision.doubt.is_none() || has_value && confidence >= self.threshold;
            let context = is_believed.then(|| inbound.context.clone())?;
            Some((candidate.key, context, evidence, confidence))
        });
        let (mut cause, key) = match found {
            Some((key, context, evidence, confidence)) => {
                let cause = asserted(context, evidence, confidence, candidates);
                (cause, Some(key))
            }
            None => {
                let mut open = cause(Evidence::Open, 0.0, candidates);
                open.links = links(&decision.likely);
                (open, None)
            }
        };
        if decision.is_contested {
            cause.call = decision.call.and_then(id);
        }
        let decided = Decided {
            evidence: cause.parentage.evidence,
            likeliest: likeliest.map(|(_, probability)| probability),
            doubt: decision.doubt.filter(|_| key.is_none()),
        };
        Found {
            cause,
            call: decision.call,
            key,
            decided,
        }
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

impl Settlement for Mutex<Correlator> {
    fn settled(&self, now: Instant, each: &mut dyn FnMut(NonZeroU64, Outcome)) {
        let mut correlator = self.lock().unwrap_or_else(PoisonError::into_inner);
        for (call, outcome) in correlator.settled(now) {
            each(call, outcome);
        }
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

/// What was found out about a call.
#[derive(Debug)]
struct Found {
    cause: Cause,
    call: Option<CallKey>,
    /// The exchange that caused it.
    key: Option<Key>,
    decided: Decided,
}

/// What values tell.
#[derive(Debug)]
struct Shared {
    requests: Vec<(RequestKey, f32)>,
    others: f32,
}

impl Shared {
    fn weight(&self, request: RequestKey) -> f32 {
        let found = self.requests.iter().find(|(known, _)| *known == request);
        found.map_or(self.others, |(_, weight)| *weight)
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

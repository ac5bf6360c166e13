//! Everything that was read from the headers of one request, and who of several wins.

use std::sync::Arc;

use http::HeaderValue;

use super::{Format, Rejections, signed::Signature};
use crate::{
    context::{Datadog, TraceContext, TraceFlags},
    id::{SpanId, TraceId},
};

/// What a request says, in one format, about the trace that it belongs to.
///
/// It is less than a [`TraceContext`]: a load balancer names a trace but no span, and leaves open
/// whether it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span, if the caller has one.
    pub parent: Option<SpanId>,
    /// The caller's decision, if the caller made one.
    pub sampled: Option<bool>,
    /// The flags beside that.
    pub flags: TraceFlags,
    /// The format that this was read from.
    pub source: Format,
}

/// Everything that was read from the headers of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extraction {
    /// What each format says, the most trusted first.
    remotes: [Option<Remote>; Format::COUNT],
    /// The `tracestate` that came with a `traceparent`.
    pub state: Option<HeaderValue>,
    /// The baggage, which travels whether or not there is a trace.
    pub baggage: Option<HeaderValue>,
    /// The fields of an `X-Amzn-Trace-Id` that are passed on untouched, and their order.
    pub xray: Option<Arc<str>>,
    /// What Datadog's headers say besides ids.
    pub datadog: Option<Arc<Datadog>>,
    /// Whether to record, where that was said without naming a trace.
    pub decision: Option<bool>,
    /// What was there and could not be read.
    pub rejected: Rejections,
    /// What of the request is signed.
    signature: Signature,
}

impl Extraction {
    /// Nothing yet, of a request whose signature is that.
    pub(super) fn signed_by(signature: Signature) -> Self {
        Self {
            signature,
            ..Self::default()
        }
    }

    pub(super) fn found(&mut self, remote: Remote) {
        if let Some(place) = self.remotes.iter_mut().find(|place| place.is_none()) {
            *place = Some(remote);
        }
    }

    /// What each format says, the most trusted first.
    pub fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.remotes.iter().map_while(Option::as_ref)
    }

    /// The trace to continue; `None` means that we are the root.
    ///
    /// The most trusted format that names both a trace and a span wins; one that names a trace alone,
    /// as load balancers write it, is the fallback. What is signed goes before what is not, also where
    /// it names a trace alone.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        let signed = || {
            let signed = self.remotes();
            signed.filter(|remote| self.signature.covers(remote.source))
        };
        whole_or_first(signed).or_else(|| whole_or_first(|| self.remotes()))
    }

    /// Whether a signature covers [`Extraction::remote`]: whoever receives the request will read that,
    /// whatever else is known.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.remote()
            .is_some_and(|remote| self.signature.covers(remote.source))
    }

    /// What a format says that belongs to another trace than `winner` does, if one says so.
    #[must_use]
    pub fn conflict(&self, winner: &Remote) -> Option<&Remote> {
        self.remotes()
            .find(|remote| !remote.trace_id.is_same_trace(winner.trace_id))
    }

    /// The caller's decision, if the caller made one.
    #[must_use]
    pub fn sampled(&self) -> Option<bool> {
        match self.remote() {
            Some(remote) => remote.sampled,
            None => self.decision,
        }
    }

    /// The context at `span_id`, which continues what was read or else starts the trace `fresh`.
    #[must_use]
    pub fn continued(&self, span_id: SpanId, fresh: impl FnOnce() -> TraceId) -> TraceContext {
        match self.remote() {
            Some(remote) => self.at(remote, span_id),
            None => {
                let context = TraceContext::new(fresh(), span_id, TraceFlags::RANDOM);
                self.carried_by(context)
            }
        }
    }

    /// The context at `span_id` in the trace of `remote`, which is one of those that were read.
    #[must_use]
    pub fn at(&self, remote: &Remote, span_id: SpanId) -> TraceContext {
        let flags = remote.flags.with_sampled(remote.sampled == Some(true));
        let mut context = TraceContext::new(remote.trace_id, span_id, flags);
        // A `tracestate` belongs to the trace of the `traceparent` that it came with.
        let w3c = self.remotes().find(|r| r.source == Format::TraceContext);
        if w3c.is_some_and(|w3c| w3c.trace_id == remote.trace_id) {
            context.state.clone_from(&self.state);
        }
        self.carried_by(context)
    }

    fn carried_by(&self, mut context: TraceContext) -> TraceContext {
        context.baggage.clone_from(&self.baggage);
        context.xray.clone_from(&self.xray);
        context.datadog.clone_from(&self.datadog);
        context
    }

    /// The same request, of whose sender nothing is believed: a trace begins here. Whatever context
    /// it named is handed back, to be linked. Baggage and the fields of load balancers stay, since
    /// they say nothing about the trace.
    #[must_use]
    pub fn distrusted(mut self) -> (Self, Option<Remote>) {
        let stranger = self.remote().copied();
        self.remotes = Default::default();
        self.state = None;
        self.datadog = None;
        self.decision = None;
        (self, stranger)
    }
}

fn whole_or_first<'r, I>(remotes: impl Fn() -> I) -> Option<&'r Remote>
where
    I: Iterator<Item = &'r Remote>,
{
    let whole = remotes().find(|remote| remote.parent.is_some());
    whole.or_else(|| remotes().next())
}

//! The call carries a context: which of several is believed, and what it is a child of.

use throughline::{
    client::Cause,
    context::TraceContext,
    id::SpanId,
    propagation::{Extraction, Remote},
    span::{Evidence, Parentage},
};

use crate::window::{Inbound, Key, Window};

/// Which of the contexts in a call is believed, where several disagree.
///
/// An app that knows some formats and not others passes on what it knows, and leaves in the rest what
/// was there before, or what a library of its own began. So a context of a trace that is open here
/// goes before one that is not; and in such a trace a span of the app's own before ours, because that
/// lies between. Where that does not decide, the order of trust does.
pub(super) fn believed<'r>(window: &Window, read: &'r Extraction) -> Option<&'r Remote> {
    let first = read.remote()?;
    let agrees = |remote: &Remote| {
        remote.parent == first.parent && remote.trace_id.is_same_trace(first.trace_id)
    };
    if read.is_signed() || read.remotes().all(agrees) {
        return Some(first);
    }
    let is_ours = |parent: SpanId| window.by_span(parent).is_some();
    let known = || {
        read.remotes()
            .filter(|remote| window.knows(remote.trace_id))
    };
    let of_the_app = known().find(|remote| remote.parent.is_some_and(|parent| !is_ours(parent)));
    of_the_app.or_else(|| known().next()).or(Some(first))
}

/// The cause of a call that carries a context, and the exchange that it belongs to, where that is known.
pub(super) fn propagated(
    window: &Window,
    remote: &Remote,
    read: &Extraction,
    candidates: u16,
) -> (Cause, Option<Key>) {
    let of_trace = window.by_trace(remote.trace_id);
    let ours = match remote.parent {
        Some(parent) => window.by_span(parent),
        // A trace without a span (a bare `Root`): the exchange of that trace is ours, if it is open.
        None => of_trace.filter(|(key, _)| window.is_open(*key)),
    };
    let is_of_trace = |(_, inbound): &(Key, &Inbound)| inbound.context.trace_id == remote.trace_id;
    let ours = ours.filter(is_of_trace);
    let parent = match (ours, remote.parent) {
        // The app forwards what we gave it, perhaps not all of it: what it left out still holds.
        (Some((_, inbound)), _) => {
            let ours = inbound.context.clone();
            let said = read.at(remote, ours.span_id);
            Some(TraceContext {
                state: said.state.or(ours.state),
                baggage: said.baggage.or(ours.baggage),
                xray: said.xray.or(ours.xray),
                datadog: said.datadog.or(ours.datadog),
                ..ours
            })
        }
        // The app makes spans of its own: its parent is left alone.
        (None, Some(parent)) => {
            let mut theirs = read.at(remote, parent);
            theirs.flags = theirs.flags.with_sampled(remote.sampled.unwrap_or(true));
            Some(theirs)
        }
        (None, None) => None,
    };
    let cause = Cause {
        adopted: parent.is_none().then_some(remote.trace_id),
        parent,
        parent_is_remote: ours.is_none(),
        ..Cause::new(Parentage {
            evidence: Evidence::Propagated,
            confidence: 1.0,
            candidates,
        })
    };
    (cause, ours.or(of_trace).map(|(key, _)| key))
}

//! The chain from the span that the caller's SDK injected to the span that the callee's SDK made.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use throughline_tests::{Kind, Span};

use super::{
    said::{FORMATS, Said, trace_of_root},
    sdk,
    street::{Service, Street, Visit, Way},
};

/// What was recorded so far, by the sidecars and by the SDKs.
pub(super) struct Records {
    sidecars: Vec<Span>,
    sdks: HashMap<&'static str, Vec<SdkSpan>>,
}

/// A span as one of the apps tells of it.
#[derive(Debug, Deserialize)]
struct SdkSpan {
    trace: String,
    id: String,
    parent: Option<String>,
    kind: String,
}

impl Records {
    pub(super) async fn of(street: &Street) -> Self {
        let mut sdks = HashMap::new();
        for service in &street.services {
            let spans = service.ask("/unsampled/spans").await;
            let mut spans: Vec<SdkSpan> = serde_json::from_value(spans).expect("a list of spans");
            for span in &mut spans {
                span.trace = trace_of_root(&span.trace);
            }
            sdks.insert(service.name(), spans);
        }
        Self {
            sidecars: street.collector.spans(),
            sdks,
        }
    }

    /// Whether the visit is one trace in which every span's parent is the one before it; or else the
    /// first link, from the callee back, that does not hold.
    pub(super) fn whole(&self, visit: &Visit<'_>) -> Result<(), String> {
        let (sent, seen) = told(visit, true)?;
        let own = self.own(visit.callee, &seen.trace, |span| {
            span.parent.as_deref() == Some(&seen.span)
        });
        let own = own.ok_or_else(|| format!("the callee's SDK has no span below {seen}"))?;
        if own.kind != "server" {
            return Err(format!("the callee's SDK has {own:?} below {seen}"));
        }

        let mut id = seen.span;
        for (service, kind, evidence) in hops(visit) {
            let found = self
                .sidecars
                .iter()
                .find(|span| span.id() == id && span.trace_id() == sent.trace);
            let Some(span) = found else {
                return Err(format!("no {kind:?} span {id} of {service} in {sent}"));
            };
            span.check();
            let is = (span.resource("service.name"), span.kind());
            let its_evidence = span.text("throughline.parent.evidence");
            if is != (service, kind) || its_evidence != evidence {
                let span = span.summary();
                return Err(format!("{kind:?} of {service} by {evidence:?}, not {span}"));
            }
            id = span.parent();
        }
        if id != sent.span {
            return Err(format!("the caller's sidecar is below {id}, not {sent}"));
        }

        let client = self.own(visit.caller, &sent.trace, |span| span.id == sent.span);
        let client = client.ok_or_else(|| format!("the caller's SDK has no span of {sent}"))?;
        let root = self.own(visit.caller, &sent.trace, |span| {
            Some(&span.id) == client.parent.as_ref()
        });
        match root {
            Some(root) if client.kind == "client" && root.parent.is_none() => Ok(()),
            root => Err(format!("the caller's SDK has {client:?} below {root:?}")),
        }
    }

    /// What was recorded beyond these visits, one span a line.
    pub(super) fn beyond(&self, visits: &[Visit<'_>]) -> String {
        let contexts = visits.iter().filter_map(|visit| visit.sent.contexts().ok());
        let traces: HashSet<_> = contexts
            .flat_map(BTreeMap::into_values)
            .map(|said| said.trace)
            .collect();
        let mut beyond = String::new();
        for span in &self.sidecars {
            if !traces.contains(&span.trace_id()) {
                beyond += &format!("{}\n", span.summary());
            }
        }
        for (service, spans) in &self.sdks {
            for span in spans.iter().filter(|span| !traces.contains(&span.trace)) {
                beyond += &format!("{service} {span:?}\n");
            }
        }
        beyond
    }

    /// A span that the SDK of this service has made in this trace.
    fn own(
        &self,
        service: &Service,
        trace: &str,
        is_wanted: impl Fn(&SdkSpan) -> bool,
    ) -> Option<&SdkSpan> {
        let mut spans = self.sdks[service.name()].iter();
        spans.find(|span| span.trace == trace && is_wanted(span))
    }
}

/// Whether the callee was told the caller's trace, and not to record it.
pub(super) fn unsampled(visit: &Visit<'_>) -> Result<(), String> {
    told(visit, false).map(drop)
}

/// Whether the callee was told of some trace, and not to record it, by a caller that named none.
pub(super) fn unsampled_without_id(visit: &Visit<'_>) -> Result<(), String> {
    let seen = seen(visit)?;
    if visit.sent.contexts().is_ok() || seen.sampled {
        return Err(format!("the callee saw {seen} for {:?}", visit.sent));
    }
    Ok(())
}

/// The spans of sidecars on the way, from the callee back: whose it is, its kind, and how its parent is
/// known.
fn hops(visit: &Visit<'_>) -> Vec<(&'static str, Kind, &'static str)> {
    let mut hops = vec![(visit.callee.name(), Kind::Server, "")];
    if visit.way == Way::ThroughMiddle {
        hops.push((sdk::NONE.name, Kind::Client, "sole_candidate"));
        hops.push((sdk::NONE.name, Kind::Server, ""));
    }
    hops.push((visit.caller.name(), Kind::Client, "propagated"));
    hops
}

/// What left the caller, in its one format, and what came to the callee of the same trace.
fn told(visit: &Visit<'_>, sampled: bool) -> Result<(Said, Said), String> {
    let sent = visit.sent.contexts()?;
    let format = visit.caller.sdk.format;
    let [(only, sent)] = &Vec::from_iter(sent)[..] else {
        return Err(format!("the caller said {:?}", visit.sent));
    };
    if Some(*only) != format || sent.sampled != sampled {
        return Err(format!("the caller said {sent} in {only}"));
    }
    if let Some(forwarded) = &visit.forwarded
        && !forwarded.contexts()?.is_empty()
    {
        return Err(format!("the middle forwarded {forwarded:?}"));
    }

    let seen = seen(visit)?;
    if seen.trace != sent.trace || seen.sampled != sampled {
        return Err(format!("the callee saw {seen} for {sent}"));
    }
    Ok((sent.clone(), seen))
}

/// What came to the callee, in every format the same.
fn seen(visit: &Visit<'_>) -> Result<Said, String> {
    let seen = visit.seen.contexts()?;
    if seen.len() != FORMATS.len() {
        return Err(format!("the callee saw {:?}", seen.keys()));
    }
    let first = &seen[FORMATS[0]];
    if seen.values().any(|said| said != first) {
        return Err(format!("the callee saw {seen:?}"));
    }
    Ok(first.clone())
}

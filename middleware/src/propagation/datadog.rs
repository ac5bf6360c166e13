//! Datadog's `x-datadog-*`: ids in decimal, of which the trace's has its lower half here and its
//! upper half among the tags.
//!
//! ```text
//! x-datadog-trace-id: 11803532876627986230
//! x-datadog-parent-id: 67667974448284343
//! x-datadog-sampling-priority: 1
//! x-datadog-origin: rum
//! x-datadog-tags: _dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6
//! ```
//!
//! The priority is more than a decision: 2 and -1 are a user's, 1 and 0 a sampler's. It goes on as it
//! came for as long as the decision is the same, and so do the origin and the other tags.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::{Format, Reason, Remote, value};
use crate::{
    context::{Datadog, TraceContext, TraceFlags},
    id::{SpanId, TraceId},
};

const TRACE_ID: HeaderName = HeaderName::from_static("x-datadog-trace-id");
const PARENT_ID: HeaderName = HeaderName::from_static("x-datadog-parent-id");
const PRIORITY: HeaderName = HeaderName::from_static("x-datadog-sampling-priority");
const ORIGIN: HeaderName = HeaderName::from_static("x-datadog-origin");
const TAGS: HeaderName = HeaderName::from_static("x-datadog-tags");

pub(super) static HEADERS: [HeaderName; 5] = [TRACE_ID, PARENT_ID, PRIORITY, ORIGIN, TAGS];

/// The tag that holds the upper half of the trace id.
const UPPER_HALF: &str = "_dd.p.tid";

/// The longest tags that Datadog's own libraries pass on.
const MAX_TAGS: usize = 512;

/// A context, and what goes on beside it.
type Found = (Remote, Option<Arc<Datadog>>);

pub(super) fn extract(headers: &HeaderMap) -> Result<Option<Found>, Reason> {
    let Some(trace) = value::text(headers, &TRACE_ID)? else {
        return Ok(None);
    };
    let low = decimal(trace).ok_or(Reason::TraceId)?;
    let parent = match value::text(headers, &PARENT_ID)? {
        // Zero is how a service without a span of its own says so.
        None | Some("0") => None,
        Some(text) => Some(decimal(text).ok_or(Reason::ParentId)?),
    };
    let priority = match value::text(headers, &PRIORITY)? {
        None => None,
        Some(text) => Some(text.parse::<i8>().map_err(|_| Reason::Flags)?),
    };
    let (high, tags) = match value::text(headers, &TAGS)? {
        None => (0, None),
        Some(tags) => split_tags(tags)?,
    };
    let trace_id = TraceId::from_halves(high, low).ok_or(Reason::TraceId)?;
    let sampled = priority.map(|priority| priority > 0);
    let origin = value::single(headers, &ORIGIN)?.cloned();
    let remote = Remote {
        trace_id,
        parent: parent.and_then(|parent| SpanId::from_bytes(parent.to_be_bytes())),
        sampled,
        flags: TraceFlags::default().with_sampled(sampled == Some(true)),
        source: Format::Datadog,
    };
    let is_user_decision = matches!(priority, Some(priority) if !(0..=1).contains(&priority));
    let has_more = origin.is_some() || tags.is_some() || is_user_decision;
    let more = has_more.then(|| {
        Arc::new(Datadog {
            priority: priority.unwrap_or_default(),
            origin,
            tags,
        })
    });
    Ok(Some((remote, more)))
}

/// Digits alone: a sign is none.
fn decimal(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The upper half of the trace id, and the other tags.
fn split_tags(tags: &str) -> Result<(u64, Option<Box<str>>), Reason> {
    let mut high = 0;
    let mut others = String::new();
    for tag in tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        match tag.split_once('=') {
            Some((UPPER_HALF, half)) => {
                let is_half = half.len() == 16 && half.bytes().all(|c| c.is_ascii_hexdigit());
                let half = is_half
                    .then(|| u64::from_str_radix(half, 16).ok())
                    .flatten();
                high = half.ok_or(Reason::TraceId)?;
            }
            _ if others.len() + tag.len() < MAX_TAGS => {
                if !others.is_empty() {
                    others.push(',');
                }
                others.push_str(tag);
            }
            _ => {}
        }
    }
    Ok((high, (!others.is_empty()).then(|| others.into())))
}

pub(super) fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    let (high, low) = context.trace_id.halves();
    let span = u64::from_be_bytes(context.span_id.to_bytes());
    let sampled = context.flags.is_sampled();
    let more = context.datadog.as_deref();
    let priority = match more {
        Some(more) if (more.priority > 0) == sampled => more.priority,
        _ => i8::from(sampled),
    };
    for (name, text) in [
        (TRACE_ID, low.to_string()),
        (PARENT_ID, span.to_string()),
        (PRIORITY, priority.to_string()),
    ] {
        headers.insert(name, value::of(text.as_bytes()).expect("digits"));
    }
    match more.and_then(|more| more.origin.clone()) {
        Some(origin) => headers.insert(ORIGIN, origin),
        None => headers.remove(ORIGIN),
    };
    match value::of(join_tags(high, more).as_bytes()).filter(|tags| !tags.is_empty()) {
        Some(tags) => headers.insert(TAGS, tags),
        None => headers.remove(TAGS),
    };
}

fn join_tags(high: u64, more: Option<&Datadog>) -> String {
    let mut tags = String::new();
    if high != 0 {
        tags = format!("{UPPER_HALF}={high:016x}");
    }
    if let Some(others) = more.and_then(|more| more.tags.as_deref())
        && tags.len() + 1 + others.len() <= MAX_TAGS
    {
        if !tags.is_empty() {
            tags.push(',');
        }
        tags.push_str(others);
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn read(pairs: &[(HeaderName, &str)]) -> Result<Option<Found>, Reason> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        extract(&headers)
    }

    #[test]
    fn a_whole_context_and_what_goes_with_it() {
        let (remote, more) = read(&[
            (TRACE_ID, "11803532876627986230"),
            (PARENT_ID, "67667974448284343"),
            (PRIORITY, "2"),
            (ORIGIN, "rum"),
            (TAGS, "_dd.p.dm=-1,_dd.p.tid=4bf92f3577b34da6"),
        ])
        .unwrap()
        .unwrap();
        assert_eq!(
            remote.trace_id.to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(remote.parent.unwrap().to_string(), "00f067aa0ba902b7");
        assert_eq!(remote.sampled, Some(true));

        let mut context = TraceContext::new(remote.trace_id, SpanId::from_random(7), remote.flags);
        context.datadog = more;
        let mut headers = HeaderMap::new();
        inject(&context, &mut headers);
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "x-datadog-origin: rum",
                "x-datadog-parent-id: 7",
                "x-datadog-sampling-priority: 2",
                "x-datadog-tags: _dd.p.tid=4bf92f3577b34da6,_dd.p.dm=-1",
                "x-datadog-trace-id: 11803532876627986230",
            ]
        );

        context.flags = TraceFlags::default();
        inject(&context, &mut headers);
        assert_eq!(
            headers[PRIORITY], "0",
            "another decision has another priority"
        );
    }

    #[test]
    fn a_service_without_a_span_names_none() {
        for parent in [&[][..], &[(PARENT_ID, "0")]] {
            let mut pairs = vec![(TRACE_ID, "7"), (PRIORITY, "-1")];
            pairs.extend(parent.iter().cloned());
            let (remote, more) = read(&pairs).unwrap().unwrap();
            assert_eq!((remote.parent, remote.sampled), (None, Some(false)));
            assert_eq!(more.unwrap().priority, -1);
        }
    }

    #[test]
    fn malformed_headers() {
        for (why, pairs, reason) in [
            ("zero", &[(TRACE_ID, "0")][..], Reason::TraceId),
            ("a sign", &[(TRACE_ID, "+7")], Reason::TraceId),
            ("hexadecimal", &[(TRACE_ID, "7f")], Reason::TraceId),
            (
                "too large",
                &[(TRACE_ID, "18446744073709551616")],
                Reason::TraceId,
            ),
            ("empty", &[(TRACE_ID, "")], Reason::TraceId),
            (
                "odd parent",
                &[(TRACE_ID, "7"), (PARENT_ID, "x")],
                Reason::ParentId,
            ),
            (
                "odd priority",
                &[(TRACE_ID, "7"), (PRIORITY, "yes")],
                Reason::Flags,
            ),
            (
                "upper half of 15",
                &[(TRACE_ID, "7"), (TAGS, "_dd.p.tid=4bf92f3577b34da")],
                Reason::TraceId,
            ),
            (
                "two lines",
                &[(TRACE_ID, "7"), (TRACE_ID, "8")],
                Reason::Duplicate,
            ),
        ] {
            assert_eq!(read(pairs), Err(reason), "{why}");
        }
    }

    #[test]
    fn tags_are_bounded() {
        let many = (0..500)
            .map(|n| format!("k{n}=v"))
            .collect::<Vec<_>>()
            .join(",");
        let (_, more) = read(&[(TRACE_ID, "7"), (TAGS, &many)]).unwrap().unwrap();
        let tags = join_tags(1, more.as_deref());
        assert!(tags.len() <= MAX_TAGS, "{}", tags.len());
        assert!(HeaderValue::from_str(&tags).is_ok());
    }

    proptest! {
        #[test]
        fn extract_undoes_inject(high: u64, low in 1u64.., span in 1u64.., priority in -1i8..3) {
            let trace_id = TraceId::from_halves(high, low).unwrap();
            let flags = TraceFlags::default().with_sampled(priority > 0);
            let mut context = TraceContext::new(trace_id, SpanId::from_random(span), flags);
            context.datadog = Some(Arc::new(Datadog {
                priority,
                origin: Some(HeaderValue::from_static("lambda")),
                tags: Some("_dd.p.dm=-4".into()),
            }));
            let mut headers = HeaderMap::new();
            inject(&context, &mut headers);
            let (remote, more) = extract(&headers).unwrap().unwrap();
            prop_assert_eq!(remote.trace_id, context.trace_id);
            prop_assert_eq!(remote.parent, Some(context.span_id));
            prop_assert_eq!(remote.sampled, Some(priority > 0));
            prop_assert_eq!(more, context.datadog);
        }

        #[test]
        fn no_text_makes_it_panic(line in "[ -~]{0,60}") {
            let _ = read(&[(TRACE_ID, "7"), (PARENT_ID, &line), (TAGS, &line)]);
            let _ = read(&[(TRACE_ID, &line)]);
        }
    }
}

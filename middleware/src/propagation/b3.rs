//! Zipkin's B3, in one header or in several: <https://github.com/openzipkin/b3-propagation>.
//!
//! ```text
//! b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90
//!     trace id                         span id          sampled  parent span id
//! ```
//!
//! The ids may be missing, which leaves a decision alone: `b3: 0` asks not to record. A trace id has
//! sixteen bytes or eight; `d` is a decision that overrides every sampler. As OpenTelemetry has it,
//! whoever reads one spelling also reads the other, and prefers its own.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Format, Reason, Remote, value};
use crate::{
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
};

const B3: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

pub(super) static SINGLE: [HeaderName; 1] = [B3];
pub(super) static MULTI: [HeaderName; 5] = [TRACE_ID, SPAN_ID, PARENT, SAMPLED, FLAGS];

/// What one of the two spellings says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// A trace and a span.
    Context(Remote),
    /// Whether to record, and nothing else.
    Decision(bool),
}

/// Reads the spelling `first`, or the other where there is nothing in that one. What is wrong is said
/// of the spelling that it is wrong in.
pub(super) fn extract(
    headers: &HeaderMap,
    first: Format,
) -> Result<Option<Said>, (Format, Reason)> {
    let order = match first {
        Format::B3Multi => [Format::B3Multi, Format::B3],
        _ => [Format::B3, Format::B3Multi],
    };
    for format in order {
        let said = match format {
            Format::B3Multi => multi(headers),
            _ => single(headers),
        };
        match said {
            Ok(None) => {}
            Ok(said) => return Ok(said),
            Err(reason) => return Err((format, reason)),
        }
    }
    Ok(None)
}

fn single(headers: &HeaderMap) -> Result<Option<Said>, Reason> {
    let Some(line) = value::text(headers, &B3)? else {
        return Ok(None);
    };
    if !line.contains('-') {
        let flags = decision(line)?.ok_or(Reason::Syntax)?;
        return Ok(Some(Said::Decision(flags.is_sampled())));
    }
    let mut fields = line.split('-');
    let mut next = || fields.next();
    let trace_id = trace_id(next().unwrap_or_default())?;
    let span_id = SpanId::from_hex(next().unwrap_or_default()).ok_or(Reason::ParentId)?;
    let flags = decision(next().unwrap_or_default())?;
    // The parent of the caller's span does not matter to anybody but the caller.
    if next().is_some_and(|parent| SpanId::from_hex(parent).is_none()) || next().is_some() {
        return Err(Reason::Syntax);
    }
    Ok(Some(Said::Context(remote(
        trace_id,
        span_id,
        flags,
        Format::B3,
    ))))
}

fn multi(headers: &HeaderMap) -> Result<Option<Said>, Reason> {
    let sampled = value::text(headers, &SAMPLED)?;
    let is_debug = value::text(headers, &FLAGS)? == Some("1");
    let flags = if is_debug {
        Some(TraceFlags::SAMPLED.and(TraceFlags::DEBUG))
    } else {
        match sampled {
            // Older libraries write the words.
            Some("true") => Some(TraceFlags::SAMPLED),
            Some("false") => Some(TraceFlags::default()),
            Some(text) => decision(text)?,
            None => None,
        }
    };
    let ids = (
        value::text(headers, &TRACE_ID)?,
        value::text(headers, &SPAN_ID)?,
    );
    match ids {
        (Some(trace), Some(span)) => {
            let trace_id = trace_id(trace)?;
            let span_id = SpanId::from_hex(span).ok_or(Reason::ParentId)?;
            let remote = remote(trace_id, span_id, flags, Format::B3Multi);
            Ok(Some(Said::Context(remote)))
        }
        (None, None) => Ok(flags.map(|flags| Said::Decision(flags.is_sampled()))),
        (Some(_), None) => Err(Reason::ParentId),
        (None, Some(_)) => Err(Reason::TraceId),
    }
}

fn remote(trace_id: TraceId, span_id: SpanId, flags: Option<TraceFlags>, source: Format) -> Remote {
    Remote {
        trace_id,
        parent: Some(span_id),
        sampled: flags.map(TraceFlags::is_sampled),
        flags: flags.unwrap_or_default(),
        source,
    }
}

fn trace_id(hex: &str) -> Result<TraceId, Reason> {
    let id = match hex.len() {
        16 | 32 => TraceId::from_short_hex(hex),
        _ => None,
    };
    id.ok_or(Reason::TraceId)
}

/// `None` where the decision is left to the receiver.
fn decision(text: &str) -> Result<Option<TraceFlags>, Reason> {
    match text {
        "" => Ok(None),
        "0" => Ok(Some(TraceFlags::default())),
        "1" => Ok(Some(TraceFlags::SAMPLED)),
        "d" => Ok(Some(TraceFlags::SAMPLED.and(TraceFlags::DEBUG))),
        _ => Err(Reason::Flags),
    }
}

pub(super) fn inject_single(context: &TraceContext, headers: &mut HeaderMap) {
    let mut line = [b'-'; 32 + 1 + 16 + 2];
    let hex = context.trace_id.to_hex();
    let trace = written(&hex, context.trace_id);
    let at = trace.len();
    line[..at].copy_from_slice(trace);
    line[at + 1..at + 17].copy_from_slice(&context.span_id.to_hex());
    line[at + 18] = match context.flags {
        flags if flags.is_debug() => b'd',
        flags if flags.is_sampled() => b'1',
        _ => b'0',
    };
    let value = value::of(&line[..at + 19]).expect("hexadecimal digits and dashes");
    headers.insert(B3, value);
}

pub(super) fn inject_multi(context: &TraceContext, headers: &mut HeaderMap) {
    let hex = context.trace_id.to_hex();
    let digits = |text: &[u8]| value::of(text).expect("hexadecimal digits");
    headers.insert(TRACE_ID, digits(written(&hex, context.trace_id)));
    headers.insert(SPAN_ID, digits(&context.span_id.to_hex()));
    // It named the parent of the span that it came from, not of ours.
    headers.remove(PARENT);
    if context.flags.is_debug() {
        // A debug flag implies the decision, which must not be sent beside it.
        headers.insert(FLAGS, HeaderValue::from_static("1"));
        headers.remove(SAMPLED);
    } else {
        let sampled = if context.flags.is_sampled() { "1" } else { "0" };
        headers.insert(SAMPLED, HeaderValue::from_static(sampled));
        headers.remove(FLAGS);
    }
}

/// An id of eight bytes is written as it came: a library that knows no others reads it whole.
fn written(hex: &[u8; 32], id: TraceId) -> &[u8] {
    if id.halves().0 == 0 { &hex[16..] } else { hex }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    fn read(pairs: &[(HeaderName, &str)], first: Format) -> Result<Option<Said>, (Format, Reason)> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        extract(&headers, first)
    }

    #[test]
    fn one_header() {
        for (rest, sampled, debug) in [
            ("", None, false),
            ("-1", Some(true), false),
            ("-0", Some(false), false),
            ("-d", Some(true), true),
            ("-1-05e3ac9a4f6e3b90", Some(true), false),
        ] {
            let line = format!("{TRACE}-{SPAN}{rest}");
            let said = read(&[(B3, &line)], Format::B3).expect(&line);
            let Some(Said::Context(remote)) = said else {
                panic!("{line} was read as {said:?}");
            };
            assert_eq!(remote.trace_id.to_string(), TRACE);
            assert_eq!(remote.parent, SpanId::from_hex(SPAN));
            assert_eq!(remote.sampled, sampled, "{line}");
            assert_eq!(remote.flags.is_debug(), debug, "{line}");
        }
    }

    #[test]
    fn a_decision_can_come_alone() {
        for (pairs, expected) in [
            (&[(B3, "0")][..], false),
            (&[(B3, "1")], true),
            (&[(B3, "d")], true),
            (&[(SAMPLED, "0")], false),
            (&[(SAMPLED, "true")], true),
            (&[(FLAGS, "1")], true),
        ] {
            for first in [Format::B3, Format::B3Multi] {
                assert_eq!(read(pairs, first), Ok(Some(Said::Decision(expected))));
            }
        }
        assert_eq!(read(&[(FLAGS, "0")], Format::B3Multi), Ok(None));
    }

    #[test]
    fn several_headers_and_ids_of_eight_bytes() {
        let pairs = [(TRACE_ID, &TRACE[16..]), (SPAN_ID, SPAN), (SAMPLED, "1")];
        let Ok(Some(Said::Context(remote))) = read(&pairs, Format::B3Multi) else {
            panic!("it was not read");
        };
        assert_eq!(
            remote.trace_id.to_string(),
            "000000000000000064fe8b2a57d3eff7"
        );
        assert_eq!(remote.source, Format::B3Multi);

        let mut headers = HeaderMap::new();
        let context = TraceContext::new(remote.trace_id, remote.parent.unwrap(), remote.flags);
        inject_multi(&context, &mut headers);
        assert_eq!(headers[TRACE_ID], TRACE[16..], "as it came");
    }

    #[test]
    fn each_spelling_is_preferred_by_its_own_name() {
        let line = format!("{TRACE}-{SPAN}-1");
        let pairs = [
            (B3, &*line),
            (TRACE_ID, "463ac35c9f6413ad48485a3953bb6124"),
            (SPAN_ID, "a2fb4a1d1a96d312"),
        ];
        for first in [Format::B3, Format::B3Multi] {
            let Ok(Some(Said::Context(remote))) = read(&pairs, first) else {
                panic!("it was not read");
            };
            assert_eq!(remote.source, first);
        }
    }

    #[test]
    fn malformed_headers() {
        let whole = format!("{TRACE}-{SPAN}");
        for (why, line, reason) in [
            ("empty", String::new(), Reason::Syntax),
            ("a word", "yes".to_owned(), Reason::Flags),
            ("trace id of 31", whole[1..].to_owned(), Reason::TraceId),
            (
                "trace id all zero",
                format!("{}-{SPAN}", "0".repeat(32)),
                Reason::TraceId,
            ),
            ("no span id", format!("{TRACE}-"), Reason::ParentId),
            (
                "span id of 15",
                whole[..whole.len() - 1].to_owned(),
                Reason::ParentId,
            ),
            ("odd decision", format!("{whole}-2"), Reason::Flags),
            ("odd parent", format!("{whole}-1-x"), Reason::Syntax),
            (
                "a field too many",
                format!("{whole}-1-{SPAN}-1"),
                Reason::Syntax,
            ),
        ] {
            let got = read(&[(B3, &line)], Format::B3Multi);
            assert_eq!(got, Err((Format::B3, reason)), "{why}");
        }
        for (why, pairs, reason) in [
            ("no span id", &[(TRACE_ID, TRACE)][..], Reason::ParentId),
            ("no trace id", &[(SPAN_ID, SPAN)], Reason::TraceId),
            (
                "not hex",
                &[(TRACE_ID, "x"), (SPAN_ID, SPAN)],
                Reason::TraceId,
            ),
            ("odd decision", &[(SAMPLED, "maybe")], Reason::Flags),
            (
                "two lines",
                &[(TRACE_ID, TRACE), (TRACE_ID, SPAN), (SPAN_ID, SPAN)],
                Reason::Duplicate,
            ),
        ] {
            let got = read(pairs, Format::B3);
            assert_eq!(got, Err((Format::B3Multi, reason)), "{why}");
        }
    }

    #[test]
    fn what_is_written_leaves_nothing_stale() {
        let mut headers = HeaderMap::new();
        for name in &MULTI {
            headers.append(name, HeaderValue::from_static("stale"));
            headers.append(name, HeaderValue::from_static("staler"));
        }
        let context = TraceContext::new(
            TraceId::from_hex(TRACE).unwrap(),
            SpanId::from_hex(SPAN).unwrap(),
            TraceFlags::SAMPLED,
        );
        inject_multi(&context, &mut headers);
        let mut lines: Vec<_> = headers.iter().map(|(n, v)| format!("{n}: {v:?}")).collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "x-b3-sampled: \"1\"",
                "x-b3-spanid: \"e457b5a2e4d86bd1\"",
                "x-b3-traceid: \"80f198ee56343ba864fe8b2a57d3eff7\"",
            ]
        );
    }

    proptest! {
        #[test]
        fn extract_undoes_inject(high: u64, low in 1u64.., span in 1u64.., decided in 0usize..3) {
            let flags = [
                TraceFlags::default(),
                TraceFlags::SAMPLED,
                TraceFlags::SAMPLED.and(TraceFlags::DEBUG),
            ][decided];
            let trace_id = TraceId::from_halves(high, low).unwrap();
            let context = TraceContext::new(trace_id, SpanId::from_random(span), flags);
            for format in [Format::B3, Format::B3Multi] {
                let mut headers = HeaderMap::new();
                match format {
                    Format::B3 => inject_single(&context, &mut headers),
                    _ => inject_multi(&context, &mut headers),
                }
                let expected = remote(context.trace_id, context.span_id, Some(flags), format);
                prop_assert_eq!(extract(&headers, format), Ok(Some(Said::Context(expected))));
            }
        }

        #[test]
        fn no_text_makes_it_panic(line in "[ -~]{0,60}") {
            let _ = read(&[(B3, &line), (SAMPLED, &line), (TRACE_ID, &line)], Format::B3);
        }
    }
}

//! AWS `X-Amzn-Trace-Id`: a map of fields in any order.
//!
//! ```text
//! Root=1-6721a5f0-112233445566778899aabbcc;Parent=00f067aa0ba902b7;Sampled=1;Lineage=456f6a97:0
//! ```
//!
//! A load balancer writes `Root` alone, or `Self` in front of it. What is not `Root`, `Parent` or
//! `Sampled` is not ours: it is passed on byte for byte, because Lambda counts loops in `Lineage`
//! and load balancers read `Self`. Keys are case sensitive, as they are to every SDK; hexadecimal
//! digits are read in either case and written in lower case. Zeros for ids and `Sampled=0` are what
//! AWS' SDK for Python writes when it records nothing: a decision, and no trace to continue.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Format, Malformed, Remote};
use crate::{
    context::TraceContext,
    id::{SpanId, TraceId},
};

const HEADER: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// The longest header we write: Step Functions keeps no more, and OpenTelemetry cuts here too.
const MAX_BYTES: usize = 256;

/// What AWS' SDK for Python has for the ids of what it does not sample.
const NO_ROOT: &str = "1-00000000-000000000000000000000000";
const NO_PARENT: &str = "0000000000000000";

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The context; `None` where there is only the decision that nothing is recorded.
    pub(super) remote: Option<Remote>,
    /// The fields that travel with it untouched.
    pub(super) rest: Option<Arc<str>>,
}

pub(super) fn extract(headers: &HeaderMap) -> Result<Option<Found>, Malformed> {
    let Some(line) = headers.get(HEADER) else {
        return Ok(None);
    };
    let line = line.to_str().map_err(|_| Malformed)?;
    let mut root = None;
    let mut parent = None;
    let mut sampled = None;
    let mut rest = String::new();
    let mut is_named = true;
    for field in line
        .split(';')
        .map(str::trim)
        .filter(|field| !field.is_empty())
    {
        match field.split_once('=') {
            Some(("Root", NO_ROOT)) => is_named = false,
            Some(("Parent", NO_PARENT)) => {}
            Some(("Root", value)) => root = Some(parse_root(value).ok_or(Malformed)?),
            Some(("Parent", value)) => parent = Some(SpanId::from_hex(value).ok_or(Malformed)?),
            Some(("Sampled", "1")) => sampled = Some(true),
            Some(("Sampled", "0")) => sampled = Some(false),
            // A question mark asks the receiver to decide, which is what it does anyway.
            Some(("Sampled", _)) => {}
            _ => {
                if !rest.is_empty() {
                    rest.push(';');
                }
                rest.push_str(field);
            }
        }
    }
    let remote = match root {
        Some(trace_id) => Some(Remote {
            trace_id,
            parent,
            sampled,
            random: false,
            state: None,
            source: Format::XRay,
        }),
        None if !is_named && sampled == Some(false) => None,
        None => return Err(Malformed),
    };
    let rest = (!rest.is_empty()).then(|| rest.into());
    Ok(Some(Found { remote, rest }))
}

pub(super) fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    let mut line = [0; MAX_BYTES];
    let mut len = 0;
    let mut push = |text: &[u8]| {
        let fits = len + text.len() <= MAX_BYTES;
        if fits {
            line[len..len + text.len()].copy_from_slice(text);
            len += text.len();
        }
        fits
    };
    let trace_id = context.trace_id.to_hex();
    push(b"Root=1-");
    push(&trace_id[..8]);
    push(b"-");
    push(&trace_id[8..]);
    push(b";Parent=");
    push(&context.span_id.to_hex());
    push(if context.flags.is_sampled() {
        b";Sampled=1"
    } else {
        b";Sampled=0"
    });
    // Whole fields only: half of a `Lineage` would be a wrong count.
    for field in context.xray.iter().flat_map(|rest| rest.split(';')) {
        if field.len() < MAX_BYTES {
            let mut with_separator = [b';'; MAX_BYTES];
            with_separator[1..=field.len()].copy_from_slice(field.as_bytes());
            push(&with_separator[..=field.len()]);
        }
    }
    let value = HeaderValue::from_bytes(&line[..len]).expect("digits, and bytes of a header");
    headers.insert(HEADER, value);
}

/// `1-` 8 digits `-` 24 digits.
fn parse_root(value: &str) -> Option<TraceId> {
    let (epoch, unique) = value.strip_prefix("1-")?.split_once('-')?;
    if epoch.len() != 8 || unique.len() != 24 {
        return None;
    }
    let mut hex = [0; 32];
    hex[..8].copy_from_slice(epoch.as_bytes());
    hex[8..].copy_from_slice(unique.as_bytes());
    TraceId::from_hex(hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::TraceFlags;
    use proptest::prelude::*;

    const ROOT: &str = "Root=1-6721a5f0-112233445566778899aabbcc";

    fn read(line: &str) -> Result<Option<Found>, Malformed> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, line.parse().unwrap());
        extract(&headers)
    }

    #[test]
    fn fields_come_in_any_order() {
        for (line, parent, sampled, rest) in [
            (ROOT.to_owned(), false, None, None),
            (
                format!("Self=1-6721a5f0-aa;{ROOT}"),
                false,
                None,
                Some("Self=1-6721a5f0-aa"),
            ),
            (
                format!("Sampled=1; Parent=00F067AA0BA902B7 ;{ROOT}"),
                true,
                Some(true),
                None,
            ),
            (format!("{ROOT};Sampled=?"), false, None, None),
            (
                format!("{ROOT};Parent=00f067aa0ba902b7;Sampled=0;Lineage=456f6a97:0;A=b=c"),
                true,
                Some(false),
                Some("Lineage=456f6a97:0;A=b=c"),
            ),
        ] {
            let found = read(&line).expect(&line).expect(&line);
            let remote = found.remote.expect(&line);
            assert_eq!(
                remote.trace_id.to_string(),
                "6721a5f0112233445566778899aabbcc"
            );
            assert_eq!(
                remote.parent,
                parent.then(|| SpanId::from_hex("00f067aa0ba902b7").unwrap())
            );
            assert_eq!(remote.sampled, sampled, "{line}");
            assert_eq!(found.rest.as_deref(), rest, "{line}");
        }
    }

    #[test]
    fn malformed_headers() {
        for (why, line) in [
            ("no root", "Parent=00f067aa0ba902b7;Sampled=1"),
            ("lower case key", "root=1-6721a5f0-112233445566778899aabbcc"),
            ("other version", "Root=2-6721a5f0-112233445566778899aabbcc"),
            ("epoch too short", "Root=1-6721a5f-112233445566778899aabbcc"),
            ("not hex", "Root=1-6721a5f0-112233445566778899aabbcg"),
            ("all zero", "Root=1-00000000-000000000000000000000000"),
            (
                "parent too short",
                "Root=1-6721a5f0-112233445566778899aabbcc;Parent=12",
            ),
            ("nothing", ";;"),
        ] {
            assert_eq!(read(line), Err(Malformed), "{why}");
        }
    }

    #[test]
    fn zeros_are_no_ids_but_a_decision() {
        let zeros = format!("Root={NO_ROOT};Parent={NO_PARENT};Sampled=0");
        let found = Found {
            remote: None,
            rest: None,
        };
        assert_eq!(read(&zeros), Ok(Some(found)));
        let others = [
            format!("Root={NO_ROOT};Parent={NO_PARENT};Sampled=1"),
            format!("Root={NO_ROOT}"),
            "Sampled=0".to_owned(),
        ];
        for line in others {
            assert_eq!(read(&line), Err(Malformed), "{line}");
        }
    }

    #[test]
    fn never_longer_than_256_and_never_half_a_field() {
        let mut context = TraceContext::new(
            TraceId::from_hex("6721a5f0112233445566778899aabbcc").unwrap(),
            SpanId::from_hex("00f067aa0ba902b7").unwrap(),
            TraceFlags::SAMPLED,
        );
        context.xray = Some(format!("Big={};Lineage=456f6a97:0", "x".repeat(300)).into());
        let mut headers = HeaderMap::new();
        inject(&context, &mut headers);
        let line = headers[HEADER].to_str().unwrap();
        assert_eq!(
            line,
            format!("{ROOT};Parent=00f067aa0ba902b7;Sampled=1;Lineage=456f6a97:0")
        );
    }

    proptest! {
        #[test]
        fn extract_undoes_inject(trace in 1u128.., span in 1u64.., sampled: bool, loops in 0u32..256) {
            let mut context = TraceContext::new(
                TraceId::from_bytes(trace.to_be_bytes()).unwrap(),
                SpanId::from_random(span),
                TraceFlags::default().with_sampled(sampled),
            );
            context.xray = Some(format!("Lineage=456f6a97:{loops}").into());
            let mut headers = HeaderMap::new();
            inject(&context, &mut headers);
            let found = extract(&headers).unwrap().unwrap();
            let remote = found.remote.unwrap();
            prop_assert_eq!(remote.trace_id, context.trace_id);
            prop_assert_eq!(remote.parent, Some(context.span_id));
            prop_assert_eq!(remote.sampled, Some(sampled));
            prop_assert_eq!(found.rest, context.xray);
        }

        #[test]
        fn no_text_makes_it_panic(line in "[ -~]*") {
            let _ = read(&line);
        }
    }
}

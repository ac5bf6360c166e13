//! Jaeger's `uber-trace-id`, and its baggage in headers of their own:
//! <https://www.jaegertracing.io/docs/1.76/client-libraries/#propagation-format>.
//!
//! ```text
//! uber-trace-id: 4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1
//!                trace id                         span id        parent, no longer used
//!                                                                  flags
//! uberctx-tenant: a%20b
//! ```
//!
//! Zeros in front of an id may be missing, and the colons may be percent-encoded. Baggage is held as
//! W3C's list, so that it goes on in whichever format is written.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Format, Reason, Remote, baggage, value};
use crate::{
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
};

const HEADER: HeaderName = HeaderName::from_static("uber-trace-id");
const BAGGAGE_PREFIX: &str = "uberctx-";

pub(super) static HEADERS: [HeaderName; 1] = [HEADER];

const SAMPLED: u8 = 1;
const DEBUG: u8 = 2;

pub(super) fn extract(headers: &HeaderMap) -> Result<Option<Remote>, Reason> {
    let Some(line) = value::text(headers, &HEADER)? else {
        return Ok(None);
    };
    let decoded;
    let line = if line.contains('%') {
        decoded = line.replace("%3A", ":").replace("%3a", ":");
        &decoded
    } else {
        line
    };
    let mut fields = line.split(':');
    let (Some(trace), Some(span), Some(_parent), Some(flags), None) = (
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
        fields.next(),
    ) else {
        return Err(Reason::Syntax);
    };
    let trace_id = TraceId::from_short_hex(trace).ok_or(Reason::TraceId)?;
    let span_id = SpanId::from_short_hex(span).ok_or(Reason::ParentId)?;
    let flags = parse_flags(flags).ok_or(Reason::Flags)?;
    Ok(Some(Remote {
        trace_id,
        parent: Some(span_id),
        sampled: Some(flags.is_sampled()),
        flags,
        source: Format::Jaeger,
    }))
}

/// A byte in one or two hexadecimal digits; bits that nobody else knows are dropped.
fn parse_flags(text: &str) -> Option<TraceFlags> {
    let is_byte = (1..=2).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit());
    let bits = is_byte
        .then(|| u8::from_str_radix(text, 16).ok())
        .flatten()?;
    let flags = match bits & (SAMPLED | DEBUG) {
        0 => TraceFlags::default(),
        SAMPLED => TraceFlags::SAMPLED,
        _ => TraceFlags::SAMPLED.and(TraceFlags::DEBUG),
    };
    Some(flags)
}

/// The baggage as one W3C list; `None` if there is none.
pub(super) fn extract_baggage(headers: &HeaderMap) -> Result<Option<HeaderValue>, Reason> {
    let mut list = Vec::new();
    let mut members = 0;
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(BAGGAGE_PREFIX) else {
            continue;
        };
        // Whatever would end the member is not encoded as it should be, and would become another.
        let fits = |c: &u8| matches!(c, 0x21..=0x7e) && !matches!(c, b',' | b';' | b'"' | b'\\');
        if key.is_empty() || !value.as_bytes().iter().all(fits) {
            continue;
        }
        members += 1;
        if members > baggage::MAX_MEMBERS
            || list.len() + key.len() + value.len() > baggage::MAX_BYTES
        {
            return Err(Reason::Length);
        }
        if !list.is_empty() {
            list.push(b',');
        }
        list.extend_from_slice(key.as_bytes());
        list.push(b'=');
        list.extend_from_slice(value.as_bytes());
    }
    Ok(value::of(&list).filter(|_| !list.is_empty()))
}

pub(super) fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    // Ids, two colons, the parent that is always zero, and flags of one digit.
    let mut line = *b"00000000000000000000000000000000:0000000000000000:0:0";
    line[..32].copy_from_slice(&context.trace_id.to_hex());
    line[33..49].copy_from_slice(&context.span_id.to_hex());
    line[52] = match context.flags {
        flags if flags.is_debug() => b'0' + SAMPLED + DEBUG,
        flags if flags.is_sampled() => b'0' + SAMPLED,
        _ => b'0',
    };
    let value = value::of(&line).expect("hexadecimal digits and colons");
    headers.insert(HEADER, value);
    if let Some(list) = &context.baggage {
        inject_baggage(list, headers);
    }
}

/// Writes the members of a list, but for those that the request says something newer about.
fn inject_baggage(list: &HeaderValue, headers: &mut HeaderMap) {
    for (key, text) in baggage::members(list) {
        let name = HeaderName::from_bytes(format!("{BAGGAGE_PREFIX}{key}").as_bytes());
        if let (Ok(name), Some(value)) = (name, value::of(text.as_bytes()))
            && !headers.contains_key(&name)
        {
            headers.insert(name, value);
        }
    }
}

pub(super) fn remove_baggage(headers: &mut HeaderMap) {
    let owned: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(BAGGAGE_PREFIX))
        .cloned()
        .collect();
    for name in owned {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Result<Option<Remote>, Reason> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, line.parse().unwrap());
        extract(&headers)
    }

    #[test]
    fn zeros_may_be_missing_and_colons_encoded() {
        for (line, trace, sampled, debug) in [
            (
                "f067aa0ba902b7:7:0:1",
                "000000000000000000f067aa0ba902b7",
                true,
                false,
            ),
            (
                "4BF92F3577B34DA6A3CE929D0E0E4736:7:99:0",
                "4bf92f3577b34da6a3ce929d0e0e4736",
                false,
                false,
            ),
            (
                "4bf92f3577b34da6a3ce929d0e0e4736%3A7%3a0%3A3",
                "4bf92f3577b34da6a3ce929d0e0e4736",
                true,
                true,
            ),
            ("1:7:0:0b", "00000000000000000000000000000001", true, true),
            ("1:7:0:8", "00000000000000000000000000000001", false, false),
        ] {
            let remote = read(line).expect(line).expect(line);
            assert_eq!(remote.trace_id.to_string(), trace, "{line}");
            assert_eq!(remote.parent, SpanId::from_short_hex("7"));
            assert_eq!(remote.sampled, Some(sampled), "{line}");
            assert_eq!(remote.flags.is_debug(), debug, "{line}");
        }
    }

    #[test]
    fn malformed_headers() {
        for (why, line, reason) in [
            ("empty", "", Reason::Syntax),
            ("too few fields", "1:7:0", Reason::Syntax),
            ("too many fields", "1:7:0:1:1", Reason::Syntax),
            ("no trace", "0:7:0:1", Reason::TraceId),
            (
                "trace id of 33",
                "111112222233333444445555566666777:7:0:1",
                Reason::TraceId,
            ),
            ("no span", "1:0:0:1", Reason::ParentId),
            ("span id of 17", "1:11112222333344445:0:1", Reason::ParentId),
            ("no flags", "1:7:0:", Reason::Flags),
            ("a sign", "1:7:0:+1", Reason::Flags),
            ("flags of three", "1:7:0:001", Reason::Flags),
        ] {
            assert_eq!(read(line), Err(reason), "{why}");
        }
    }

    #[test]
    fn baggage_is_w3c_inside_and_headers_outside() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("uberctx-tenant", "a%20b"),
            ("uberctx-user", "7"),
            ("uberctx-odd", "x,injected=1"),
            ("uberctx-", "nameless"),
            ("other", "x"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let list = extract_baggage(&headers).unwrap().unwrap();
        assert_eq!(list, "tenant=a%20b,user=7");

        let mut written = HeaderMap::new();
        written.insert("uberctx-user", HeaderValue::from_static("newer"));
        inject_baggage(&list, &mut written);
        assert_eq!(written["uberctx-tenant"], "a%20b");
        assert_eq!(written["uberctx-user"], "newer");
        remove_baggage(&mut written);
        assert!(written.is_empty());
    }

    proptest! {
        #[test]
        fn extract_undoes_inject(trace in 1u128.., span in 1u64.., decided in 0usize..3) {
            let flags = [
                TraceFlags::default(),
                TraceFlags::SAMPLED,
                TraceFlags::SAMPLED.and(TraceFlags::DEBUG),
            ][decided];
            let trace_id = TraceId::from_bytes(trace.to_be_bytes()).unwrap();
            let mut context = TraceContext::new(trace_id, SpanId::from_random(span), flags);
            context.baggage = Some(HeaderValue::from_static("a=1,b=%2C"));
            let mut headers = HeaderMap::new();
            inject(&context, &mut headers);
            let remote = extract(&headers).unwrap().unwrap();
            prop_assert_eq!(remote.trace_id, context.trace_id);
            prop_assert_eq!(remote.parent, Some(context.span_id));
            prop_assert_eq!(remote.flags, context.flags);
            prop_assert_eq!(extract_baggage(&headers).unwrap(), context.baggage);
        }

        #[test]
        fn no_text_makes_it_panic(line in "[ -~]{0,60}") {
            let _ = read(&line);
        }
    }
}

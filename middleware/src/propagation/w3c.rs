//! W3C `traceparent` and `tracestate`, level 2: <https://www.w3.org/TR/trace-context-2/>.
//!
//! ```text
//! traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//!              version  trace id                    parent id      flags
//! ```
//!
//! A higher version is read as version 00's prefix (section 4.3). An invalid `traceparent` takes the
//! `tracestate` with it; an invalid `tracestate` goes alone.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Format, Reason, Remote, value};
use crate::{
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

pub(super) static HEADERS: [HeaderName; 2] = [TRACEPARENT, TRACESTATE];

/// The most members that a `tracestate` may have (section 3.3.1.1).
const MAX_MEMBERS: usize = 32;

pub(super) fn extract(headers: &HeaderMap) -> Result<Option<Remote>, Reason> {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        // Here the specification does not even allow the same line twice.
        return Err(Reason::Duplicate);
    }
    let (trace_id, span_id, flags) = parse_traceparent(line.as_bytes())?;
    Ok(Some(Remote {
        trace_id,
        parent: Some(span_id),
        sampled: Some(flags.is_sampled()),
        flags,
        source: Format::TraceContext,
    }))
}

/// All `tracestate` lines joined in order to one; `None` if there is nothing in them.
///
/// The one line that most requests have is passed on as it is.
pub(super) fn state(headers: &HeaderMap) -> Result<Option<HeaderValue>, Reason> {
    let mut lines = headers.get_all(TRACESTATE).iter();
    let Some(first) = lines.next() else {
        return Ok(None);
    };
    let mut members = 0;
    check_state(first, &mut members)?;
    let Some(second) = lines.next() else {
        return Ok((members > 0).then(|| first.clone()));
    };
    let mut joined = first.as_bytes().to_vec();
    for line in std::iter::once(second).chain(lines) {
        check_state(line, &mut members)?;
        joined.push(b',');
        joined.extend_from_slice(line.as_bytes());
    }
    Ok(value::of(&joined).filter(|_| members > 0))
}

pub(super) fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    let mut line = *b"00-00000000000000000000000000000000-0000000000000000-00";
    line[3..35].copy_from_slice(&context.trace_id.to_hex());
    line[36..52].copy_from_slice(&context.span_id.to_hex());
    let flags = context.flags.to_byte();
    line[54] = b'0' + flags; // Only two bits have a meaning, so one digit below 4 says it all.
    let value = value::of(&line).expect("hexadecimal digits and dashes");
    headers.insert(TRACEPARENT, value);
    match &context.state {
        Some(state) => headers.insert(TRACESTATE, state.clone()),
        None => headers.remove(TRACESTATE),
    };
}

pub(super) fn remove_state(headers: &mut HeaderMap) {
    headers.remove(TRACESTATE);
}

fn parse_traceparent(line: &[u8]) -> Result<(TraceId, SpanId, TraceFlags), Reason> {
    let line = line.trim_ascii();
    if line.len() < 55 || line[2] != b'-' || line[35] != b'-' || line[52] != b'-' {
        return Err(Reason::Syntax);
    }
    // The specification has lower case only; a receiver must not accept anything else.
    if line[..55].iter().any(u8::is_ascii_uppercase) {
        return Err(Reason::Characters);
    }
    let version = byte(&line[..2]).ok_or(Reason::Version)?;
    let fits = match version {
        0xff => return Err(Reason::Version),
        0 => line.len() == 55,
        _ => line.len() == 55 || line[55] == b'-',
    };
    if !fits {
        return Err(Reason::Syntax);
    }
    let trace_id = TraceId::from_hex(&line[3..35]).ok_or(Reason::TraceId)?;
    let span_id = SpanId::from_hex(&line[36..52]).ok_or(Reason::ParentId)?;
    let flags = byte(&line[53..55]).ok_or(Reason::Flags)?;
    Ok((trace_id, span_id, TraceFlags::from_byte(flags)))
}

fn byte(hex: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(hex).ok()?;
    // `from_str_radix` takes a sign, a header may not have one.
    text.bytes()
        .all(|c| c.is_ascii_hexdigit())
        .then(|| u8::from_str_radix(text, 16).ok())
        .flatten()
}

/// Whether the members of this line keep to the rules; those before it are counted with them.
fn check_state(line: &HeaderValue, members: &mut usize) -> Result<(), Reason> {
    let line = line.to_str().map_err(|_| Reason::State)?;
    for member in line.split(',') {
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        *members += 1;
        if *members > MAX_MEMBERS || !is_member(member) {
            return Err(Reason::State);
        }
    }
    Ok(())
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else {
        return false;
    };
    let value_fits = value.len() <= 256
        && value
            .bytes()
            .all(|c| matches!(c, 0x20..=0x7e) && c != b',' && c != b'=');
    value_fits && !value.is_empty() && is_key(key)
}

/// A key by the grammar of level 2 (section 3.3.1.3.1), in which an at sign is like any other
/// character but not the first.
fn is_key(key: &str) -> bool {
    let fits = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@');
    (1..=256).contains(&key.len())
        && key.bytes().all(fits)
        && matches!(key.as_bytes()[0], b'a'..=b'z' | b'0'..=b'9')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn valid_traceparents() {
        for (line, flags) in [
            (GOOD, 1),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", 3),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", 3),
            (
                " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\t",
                0,
            ),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 1),
            (
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what",
                1,
            ),
        ] {
            let (trace_id, span_id, got) = parse_traceparent(line.as_bytes()).expect(line);
            assert_eq!(trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(span_id.to_string(), "00f067aa0ba902b7");
            assert_eq!(got.to_byte(), flags, "{line}");
        }
    }

    #[test]
    fn malformed_traceparents() {
        let upper = GOOD.to_uppercase();
        for (why, line, reason) in [
            ("empty", String::new(), Reason::Syntax),
            ("version ff", GOOD.replacen("00", "ff", 1), Reason::Version),
            (
                "version is not hex",
                GOOD.replacen("00", "0x", 1),
                Reason::Version,
            ),
            (
                "version has a sign",
                GOOD.replacen("00", "+0", 1),
                Reason::Version,
            ),
            (
                "trace id all zero",
                format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
                Reason::TraceId,
            ),
            (
                "trace id is not hex",
                GOOD.replacen("4b", "4g", 1),
                Reason::TraceId,
            ),
            (
                "parent id all zero",
                format!("{}0000000000000000-01", &GOOD[..36]),
                Reason::ParentId,
            ),
            (
                "flags are not hex",
                format!("{}0g", &GOOD[..53]),
                Reason::Flags,
            ),
            ("upper case", upper, Reason::Characters),
            ("too short", GOOD[..54].to_owned(), Reason::Syntax),
            (
                "version 00 with more behind",
                format!("{GOOD}-what"),
                Reason::Syntax,
            ),
            (
                "higher version, more without a dash",
                format!("cc{}.what", &GOOD[2..]),
                Reason::Syntax,
            ),
            ("dashes elsewhere", GOOD.replace('-', "_"), Reason::Syntax),
        ] {
            assert_eq!(parse_traceparent(line.as_bytes()), Err(reason), "{why}");
        }
    }

    fn read_state(lines: &[&str]) -> Result<Option<String>, Reason> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACESTATE, line.parse().unwrap());
        }
        let state = state(&headers)?;
        Ok(state.map(|s| s.to_str().unwrap().to_owned()))
    }

    #[test]
    fn tracestate_lines_are_joined_in_order() {
        for (lines, joined) in [
            (&["a=1 , b=2"][..], Some("a=1 , b=2")),
            (&["a=1", "", "c@d=3"], Some("a=1,,c@d=3")),
            (&["a@=1,b@@c=2"], Some("a@=1,b@@c=2")),
            (&[], None),
            (&["  "], None),
            (&["", ""], None),
        ] {
            let joined = joined.map(str::to_owned);
            assert_eq!(read_state(lines), Ok(joined), "{lines:?}");
        }
    }

    #[test]
    fn one_bad_member_takes_the_tracestate_with_it() {
        let many = (0..33)
            .map(|i| format!("k{i}=1"))
            .collect::<Vec<_>>()
            .join(",");
        for (why, line) in [
            ("no value", "a=1,b"),
            ("upper case key", "A=1"),
            ("empty key", "=1"),
            ("begins with an at sign", "@a=1"),
            ("begins with a dash", "-a=1"),
            ("second equals sign", "a=1=2"),
            ("33 members", &many),
            ("key of 257", &format!("{}=1", "z".repeat(257))),
            ("value of 257", &format!("a={}", "v".repeat(257))),
        ] {
            assert_eq!(read_state(&["ok=1", line]), Err(Reason::State), "{why}");
        }
    }

    proptest! {
        #[test]
        fn extract_undoes_inject(trace in 1u128.., span in 1u64.., flags in 0u8..4) {
            let context = TraceContext {
                state: Some(HeaderValue::from_static("a=1,b@c=2")),
                ..TraceContext::new(
                    TraceId::from_bytes(trace.to_be_bytes()).unwrap(),
                    SpanId::from_random(span),
                    TraceFlags::from_byte(flags),
                )
            };
            let mut headers = HeaderMap::new();
            inject(&context, &mut headers);
            let remote = extract(&headers).unwrap().unwrap();
            prop_assert_eq!(remote.trace_id, context.trace_id);
            prop_assert_eq!(remote.parent, Some(context.span_id));
            prop_assert_eq!(remote.sampled, Some(context.flags.is_sampled()));
            prop_assert_eq!(remote.flags, context.flags);
            prop_assert_eq!(state(&headers).unwrap(), context.state);
        }

        #[test]
        fn no_bytes_make_it_panic(line: Vec<u8>) {
            let _ = parse_traceparent(&line);
        }
    }
}

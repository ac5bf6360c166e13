//! AWS `X-Amzn-Trace-Id`: a map of fields in any order.
//!
//! ```text
//! Root=1-6721a5f0-112233445566778899aabbcc;Parent=00f067aa0ba902b7;Sampled=1;Lineage=456f6a97:0
//! ```
//!
//! A load balancer writes `Root` alone, or `Self` in front of it. What is not `Root`, `Parent` or
//! `Sampled` is not ours: it is passed on byte for byte and in its place, because Lambda counts loops
//! in `Lineage` and load balancers read `Self`. Keys are case sensitive, as they are to every SDK;
//! hexadecimal digits are read in either case and written in lower case. Zeros for ids and `Sampled=0`
//! are what AWS' SDK for Python writes when it records nothing: a decision, and no trace to continue.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::{Format, Reason, Remote, value};
use crate::{
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
};

const HEADER: HeaderName = HeaderName::from_static("x-amzn-trace-id");

pub(super) static HEADERS: [HeaderName; 1] = [HEADER];

/// The longest header we write: Step Functions keeps no more, and OpenTelemetry cuts here too.
const MAX_BYTES: usize = 256;

/// How long the three known fields are together, with the separators between them.
const KNOWN_BYTES: usize = "Root=1-".len() + 33 + ";Parent=".len() + 16 + ";Sampled=1".len();

/// What AWS' SDK for Python has for the ids of what it does not sample.
const NO_ROOT: &str = "1-00000000-000000000000000000000000";
const NO_PARENT: &str = "0000000000000000";

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The context; `None` where there is only the decision that nothing is recorded.
    pub(super) remote: Option<Remote>,
    /// The order of the fields where it is not the usual one.
    pub(super) order: Option<Arc<str>>,
}

pub(super) fn extract(headers: &HeaderMap) -> Result<Option<Found>, Reason> {
    let Some(line) = value::text(headers, &HEADER)? else {
        return Ok(None);
    };
    let mut root = None;
    let mut parent = None;
    let mut sampled = None;
    let mut is_named = true;
    for field in fields(line) {
        match field.split_once('=') {
            Some(("Root", NO_ROOT)) => is_named = false,
            Some(("Parent", NO_PARENT)) => {}
            Some(("Root", value)) => root = Some(parse_root(value).ok_or(Reason::TraceId)?),
            Some(("Parent", value)) => {
                parent = Some(SpanId::from_hex(value).ok_or(Reason::ParentId)?);
            }
            Some(("Sampled", "1")) => sampled = Some(true),
            Some(("Sampled", "0")) => sampled = Some(false),
            // A question mark asks the receiver to decide, which is what it does anyway.
            _ => {}
        }
    }
    let remote = match root {
        Some(trace_id) => Some(Remote {
            trace_id,
            parent,
            sampled,
            flags: TraceFlags::default().with_sampled(sampled == Some(true)),
            source: Format::XRay,
        }),
        None if !is_named && sampled == Some(false) => None,
        None => return Err(Reason::TraceId),
    };
    let order = order(line);
    Ok(Some(Found { remote, order }))
}

pub(super) fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    const USUAL: &str = "Root;Parent;Sampled";
    let order = context.xray.as_deref().unwrap_or_default();
    let is_whole = order.split(';').any(|field| field == "Root");
    // Fields without a place for ours stand behind them.
    let usual = if is_whole { "" } else { USUAL };
    let mut line = Line::default();
    let fields = usual.split(';').chain(order.split(';'));
    for field in fields.filter(|field| !field.is_empty()) {
        match Field::named(field) {
            Some(known) => line.field(known, context),
            None => line.push(&[field.as_bytes()]),
        }
    }
    if let Some(value) = value::of(&line.bytes[..line.len]) {
        headers.insert(HEADER, value);
    }
}

fn fields(line: &str) -> impl Iterator<Item = &str> {
    line.split(';')
        .map(|field| field.trim_matches([' ', '\t']))
        .filter(|field| !field.is_empty())
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

/// A field whose value is ours to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Root,
    Parent,
    Sampled,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        match name {
            "Root" => Some(Self::Root),
            "Parent" => Some(Self::Parent),
            "Sampled" => Some(Self::Sampled),
            _ => None,
        }
    }
}

/// The fields of `line` in their order, of the known ones the names alone; those that are missing are
/// put behind `Root`. `None` for the usual three in the usual order.
///
/// What would make the header too long is left out, whole fields only: half of a `Lineage` would be a
/// wrong count.
fn order(line: &str) -> Option<Arc<str>> {
    let names = fields(line).map(|field| field.split_once('=').map(|(name, _)| name));
    if names.eq(["Root", "Parent", "Sampled"].map(Some)) {
        // What nearly every request has is known without putting anything together.
        return None;
    }
    let has = |name: &str| {
        fields(line).any(|field| field.split_once('=').is_some_and(|(key, _)| key == name))
    };
    let (has_parent, has_sampled) = (has("Parent"), has("Sampled"));
    let mut order = String::new();
    let mut foreign = 0;
    let mut push = |text: &str| {
        if !order.is_empty() {
            order.push(';');
        }
        order.push_str(text);
    };
    let mut seen = [false; 3];
    for field in fields(line) {
        let key = field.split_once('=').map(|(key, _)| key);
        match key.and_then(Field::named) {
            Some(known) => {
                // A second field of the same name said nothing more.
                if std::mem::replace(&mut seen[known as usize], true) {
                    continue;
                }
                push(key.unwrap_or_default());
                if known == Field::Root {
                    if !has_parent {
                        push("Parent");
                    }
                    if !has_sampled {
                        push("Sampled");
                    }
                }
            }
            // A bare name of ours would be taken for a place to write to.
            None if Field::named(field).is_some() => {}
            None => {
                let more = 1 + field.len();
                if KNOWN_BYTES + foreign + more <= MAX_BYTES {
                    foreign += more;
                    push(field);
                }
            }
        }
    }
    (order != "Root;Parent;Sampled").then(|| order.into())
}

/// A header as it is put together.
struct Line {
    bytes: [u8; MAX_BYTES],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_BYTES],
            len: 0,
        }
    }
}

impl Line {
    fn field(&mut self, field: Field, context: &TraceContext) {
        match field {
            Field::Root => {
                let hex = context.trace_id.to_hex();
                self.push(&[b"Root=1-", &hex[..8], b"-", &hex[8..]]);
            }
            Field::Parent => self.push(&[b"Parent=", &context.span_id.to_hex()]),
            Field::Sampled if context.flags.is_sampled() => self.push(&[b"Sampled=1"]),
            Field::Sampled => self.push(&[b"Sampled=0"]),
        }
    }

    /// Appends a field, if it fits.
    fn push(&mut self, parts: &[&[u8]]) {
        let separator = usize::from(self.len > 0);
        let more: usize = parts.iter().map(|part| part.len()).sum();
        if self.len + separator + more > MAX_BYTES {
            return;
        }
        if separator > 0 {
            self.bytes[self.len] = b';';
            self.len += 1;
        }
        for part in parts {
            self.bytes[self.len..self.len + part.len()].copy_from_slice(part);
            self.len += part.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOT: &str = "Root=1-6721a5f0-112233445566778899aabbcc";

    fn read(line: &str) -> Result<Option<Found>, Reason> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, line.parse().unwrap());
        extract(&headers)
    }

    /// What goes on, at span `b7ad6b7169203331` and sampled.
    fn passed_on(line: &str) -> String {
        let found = read(line).expect(line).expect(line);
        let remote = found.remote.expect(line);
        let mut context = TraceContext::new(
            remote.trace_id,
            SpanId::from_hex("b7ad6b7169203331").unwrap(),
            TraceFlags::SAMPLED,
        );
        context.xray = found.order;
        let mut headers = HeaderMap::new();
        inject(&context, &mut headers);
        headers[HEADER].to_str().unwrap().to_owned()
    }

    #[test]
    fn fields_come_in_any_order() {
        for (line, parent, sampled) in [
            (ROOT.to_owned(), false, None),
            (format!("Self=1-6721a5f0-aa;{ROOT}"), false, None),
            (
                format!("Sampled=1; Parent=00F067AA0BA902B7 ;{ROOT}"),
                true,
                Some(true),
            ),
            (
                "Root=1-6721A5F0-112233445566778899AABBCC".to_owned(),
                false,
                None,
            ),
            (format!("{ROOT};Sampled=?"), false, None),
            (
                format!("{ROOT};Parent=00f067aa0ba902b7;Sampled=0;Lineage=456f6a97:0;A=b=c"),
                true,
                Some(false),
            ),
        ] {
            let found = read(&line).expect(&line).expect(&line);
            let remote = found.remote.expect(&line);
            let trace_id = remote.trace_id.to_string();
            assert_eq!(trace_id, "6721a5f0112233445566778899aabbcc");
            let span_id = SpanId::from_hex("00f067aa0ba902b7").unwrap();
            assert_eq!(remote.parent, parent.then_some(span_id));
            assert_eq!(remote.sampled, sampled, "{line}");
        }
    }

    #[test]
    fn what_goes_on_is_complete_and_in_the_order_in_which_it_came() {
        let ours = "Parent=b7ad6b7169203331;Sampled=1";
        for (line, expected) in [
            (ROOT.to_owned(), format!("{ROOT};{ours}")),
            (
                format!("Self=1-67891233-abc;{ROOT};CalledFrom=app"),
                format!("Self=1-67891233-abc;{ROOT};{ours};CalledFrom=app"),
            ),
            (
                format!("{ROOT};Lineage=456f6a97:0;Parent=00f067aa0ba902b7;Sampled=0"),
                format!("{ROOT};Lineage=456f6a97:0;{ours}"),
            ),
            (
                format!("Sampled=?; {ROOT} ;x= y;Root;Parent"),
                format!("Sampled=1;{ROOT};Parent=b7ad6b7169203331;x= y"),
            ),
            (
                format!("{ROOT};Parent=00f067aa0ba902b7;Sampled=0;{ROOT}"),
                format!("{ROOT};{ours}"),
            ),
        ] {
            assert_eq!(passed_on(&line), expected, "{line}");
        }
    }

    #[test]
    fn malformed_headers() {
        for (why, line, reason) in [
            (
                "no root",
                "Parent=00f067aa0ba902b7;Sampled=1",
                Reason::TraceId,
            ),
            (
                "lower case key",
                "root=1-6721a5f0-112233445566778899aabbcc",
                Reason::TraceId,
            ),
            (
                "other version",
                "Root=2-6721a5f0-112233445566778899aabbcc",
                Reason::TraceId,
            ),
            (
                "epoch too short",
                "Root=1-6721a5f-112233445566778899aabbcc",
                Reason::TraceId,
            ),
            (
                "not hex",
                "Root=1-6721a5f0-112233445566778899aabbcg",
                Reason::TraceId,
            ),
            (
                "all zero",
                "Root=1-00000000-000000000000000000000000",
                Reason::TraceId,
            ),
            (
                "parent too short",
                "Root=1-6721a5f0-112233445566778899aabbcc;Parent=12",
                Reason::ParentId,
            ),
            ("nothing", ";;", Reason::TraceId),
        ] {
            assert_eq!(read(line), Err(reason), "{why}");
        }
        let mut headers = HeaderMap::new();
        let obs_text = b"Root=1-6721a5f0-112233445566778899aabbcc;x=\xff";
        headers.append(HEADER, http::HeaderValue::from_bytes(obs_text).unwrap());
        assert_eq!(extract(&headers), Err(Reason::Characters));
        headers.append(HEADER, ROOT.parse().unwrap());
        assert_eq!(extract(&headers), Err(Reason::Duplicate));
    }

    #[test]
    fn zeros_are_no_ids_but_a_decision() {
        let zeros = format!("Root={NO_ROOT};Parent={NO_PARENT};Sampled=0");
        let (remote, order) = (None, None);
        assert_eq!(read(&zeros), Ok(Some(Found { remote, order })));
        for line in [
            format!("Root={NO_ROOT};Parent={NO_PARENT};Sampled=1"),
            format!("Root={NO_ROOT}"),
            "Sampled=0".to_owned(),
        ] {
            assert_eq!(read(&line), Err(Reason::TraceId), "{line}");
        }
    }

    #[test]
    fn never_longer_than_256_and_never_half_a_field() {
        let long = "x".repeat(300);
        let got = passed_on(&format!("Big={long};{ROOT};Lineage=456f6a97:0"));
        assert_eq!(
            got,
            format!("{ROOT};Parent=b7ad6b7169203331;Sampled=1;Lineage=456f6a97:0")
        );
        let many: String = (0..60).map(|n| format!("k{n}=value;")).collect();
        let got = passed_on(&format!("{many}{ROOT}"));
        assert!(got.len() <= MAX_BYTES && got.contains(ROOT), "{got}");
        assert!(got.ends_with("Sampled=1"), "the known fields are all there");
    }

    proptest! {
        #[test]
        fn extract_undoes_inject(trace in 1u128.., span in 1u64.., sampled: bool, loops in 0u32..256) {
            let mut context = TraceContext::new(
                TraceId::from_bytes(trace.to_be_bytes()).unwrap(),
                SpanId::from_random(span),
                TraceFlags::default().with_sampled(sampled),
            );
            if loops > 0 {
                context.xray = Some(format!("Self=1;Root;Parent;Sampled;Lineage=456f6a97:{loops}").into());
            }
            let mut headers = HeaderMap::new();
            inject(&context, &mut headers);
            let found = extract(&headers).unwrap().unwrap();
            let remote = found.remote.unwrap();
            prop_assert_eq!(remote.trace_id, context.trace_id);
            prop_assert_eq!(remote.parent, Some(context.span_id));
            prop_assert_eq!(remote.sampled, Some(sampled));
            prop_assert_eq!(found.order, context.xray);
        }

        #[test]
        fn whatever_text_is_read_goes_on_within_its_bounds(line in "((Root=1-6721a5f0-112233445566778899aabbcc|Parent=00f067aa0ba902b7|Sampled|Sampled=0|[ -~]{0,30});){0,14}") {
            if let Ok(Some(Found { remote: Some(_), .. })) = read(&line) {
                let once = passed_on(&line);
                prop_assert!(once.len() <= MAX_BYTES);
                prop_assert!(once.contains(ROOT), "{}", once);
                prop_assert_eq!(passed_on(&once), once);
            }
        }
    }
}

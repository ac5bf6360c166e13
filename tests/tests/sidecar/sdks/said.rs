//! What the context headers of a request say, read by the test itself.

use std::{collections::BTreeMap, fmt};

/// A context, as any of the formats says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The trace, in 32 hexadecimal digits.
    pub(super) trace: String,
    /// The span of whoever said it, in 16.
    pub(super) span: String,
    /// Whether it is recorded.
    pub(super) sampled: bool,
}

/// A header format, named by the header that is most its own.
pub(super) type Format = &'static str;

/// W3C.
pub(super) const W3C: Format = "traceparent";
/// B3 in one header.
pub(super) const B3: Format = "b3";
/// B3 in several.
pub(super) const B3_MULTI: Format = "x-b3-traceid";
/// X-Ray.
pub(super) const XRAY: Format = "x-amzn-trace-id";

/// All of them.
pub(super) const FORMATS: [Format; 4] = [W3C, B3, B3_MULTI, XRAY];

/// The headers of a request, in their order.
#[derive(Clone, Debug)]
pub(super) struct Headers(pub(super) Vec<(String, String)>);

impl Headers {
    /// What each format says that is there.
    pub(super) fn contexts(&self) -> Result<BTreeMap<Format, Said>, String> {
        let mut contexts = BTreeMap::new();
        for format in FORMATS {
            let Some(value) = self.only(format)? else {
                continue;
            };
            let said = match format {
                W3C => traceparent(value),
                B3 => b3(value),
                B3_MULTI => self.b3_multi(value)?,
                _ => xray(value),
            };
            let said = said.filter(Said::is_well_formed);
            let said = said.ok_or_else(|| format!("{format} is malformed: {self:?}"))?;
            contexts.insert(format, said);
        }
        for more in ["tracestate", "baggage", "x-b3-parentspanid", "x-b3-flags"] {
            self.only(more)?;
        }
        Ok(contexts)
    }

    /// The one value of this header.
    fn only(&self, name: &str) -> Result<Option<&str>, String> {
        let named = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        let mut found = self.0.iter().filter(named);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(format!("{name} is there twice: {self:?}")),
            (first, _) => Ok(first.map(|(_, value)| &**value)),
        }
    }

    fn b3_multi(&self, trace: &str) -> Result<Option<Said>, String> {
        let span = self.only("x-b3-spanid")?;
        let sampled = self.only("x-b3-sampled")?;
        Ok(span
            .zip(sampled.and_then(bit))
            .map(|(span, sampled)| said(trace, span, sampled)))
    }
}

impl Said {
    fn is_well_formed(&self) -> bool {
        let is_hex = |text: &str| {
            let digits = |c| matches!(c, b'0'..=b'9' | b'a'..=b'f');
            text.bytes().all(digits) && text.bytes().any(|c| c != b'0')
        };
        (self.trace.len(), self.span.len()) == (32, 16) && is_hex(&self.trace) && is_hex(&self.span)
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sampled = if self.sampled { "sampled" } else { "unsampled" };
        write!(f, "{}/{} {sampled}", self.trace, self.span)
    }
}

fn said(trace: &str, span: &str, sampled: bool) -> Said {
    Said {
        trace: trace.to_owned(),
        span: span.to_owned(),
        sampled,
    }
}

fn bit(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn traceparent(value: &str) -> Option<Said> {
    let parts: Vec<_> = value.split('-').collect();
    let ["00", trace, span, flags] = parts[..] else {
        return None;
    };
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(said(trace, span, flags & 1 == 1))
}

fn b3(value: &str) -> Option<Said> {
    let parts: Vec<_> = value.split('-').collect();
    let [trace, span, sampled] = parts[..] else {
        return None;
    };
    Some(said(trace, span, bit(sampled)?))
}

fn xray(value: &str) -> Option<Said> {
    let fields = value.split(';').map(|field| field.split_once('='));
    let fields: BTreeMap<_, _> = fields.collect::<Option<_>>()?;
    let trace = trace_of_root(fields.get("Root")?);
    Some(said(
        &trace,
        fields.get("Parent")?,
        bit(fields.get("Sampled")?)?,
    ))
}

/// `1-` 8 digits `-` 24 digits, as one number; anything else is left as it is.
pub(super) fn trace_of_root(root: &str) -> String {
    match root.strip_prefix("1-").and_then(|id| id.split_once('-')) {
        Some((epoch, unique)) => format!("{epoch}{unique}"),
        None => root.to_owned(),
    }
}

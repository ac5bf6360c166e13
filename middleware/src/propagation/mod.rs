//! Header formats and the order in which they are believed.
//!
//! One codec a file; each reads a header into a [`Remote`] and writes a [`TraceContext`] into one.
//! A [`Propagator`] is the policy on top: which formats are read, which are written, and who wins
//! when two of them disagree. Everything that is written says the same, because it is written from
//! one context.
//!
//! A malformed header is never an error for a request. It reads as absent, and
//! [`Extraction::invalid`] says so, to be counted and noted on the span.

mod baggage;
mod w3c;
mod xray;

use std::{fmt, str::FromStr, sync::Arc};

use http::HeaderMap;

use crate::{
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
};

/// A header format, by the name that `OTEL_PROPAGATORS` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// W3C `traceparent` and `tracestate`.
    TraceContext,
    /// W3C `baggage`.
    Baggage,
    /// AWS `X-Amzn-Trace-Id`.
    XRay,
}

impl Format {
    /// Every format, in the default order of trust.
    pub const ALL: [Self; 3] = [Self::TraceContext, Self::Baggage, Self::XRay];

    /// The name in `OTEL_PROPAGATORS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TraceContext => "tracecontext",
            Self::Baggage => "baggage",
            Self::XRay => "xray",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// A name that stands for no header format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no header format is called {:?}; known are", self.0)?;
        for (i, format) in Format::ALL.into_iter().enumerate() {
            write!(f, "{} {format}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownFormat {}

/// What a request says about the trace that it belongs to.
///
/// It is less than a [`TraceContext`]: a load balancer names a trace but no span, and leaves open
/// whether it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The trace.
    pub trace_id: TraceId,
    /// The caller's span, if the caller has one.
    pub parent: Option<SpanId>,
    /// The caller's decision, if the caller made one.
    pub sampled: Option<bool>,
    /// Whether the caller promises that the id's last seven bytes are random.
    pub random: bool,
    /// The `tracestate`, checked and joined to one line.
    pub state: Option<Arc<str>>,
    /// The format that this was read from.
    pub source: Format,
}

/// Everything that was read from the headers of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extraction {
    /// The trace to continue; `None` means that we are the root.
    pub remote: Option<Remote>,
    /// The baggage, which travels whether or not there is a trace.
    pub baggage: Option<Arc<[u8]>>,
    /// Fields of an `X-Amzn-Trace-Id` that are passed on untouched.
    pub xray: Option<Arc<str>>,
    /// A decision that came without a trace: who does not record needs no ids.
    pub decided: Option<bool>,
    /// Whether a context header was there and could not be read.
    pub invalid: bool,
}

impl Extraction {
    /// The caller's decision whether to record, if the caller made one.
    #[must_use]
    pub fn sampled(&self) -> Option<bool> {
        match &self.remote {
            Some(remote) => remote.sampled,
            None => self.decided,
        }
    }

    /// The context at `span_id`, which continues what was read or else starts the trace `fresh`.
    #[must_use]
    pub fn continued(&self, span_id: SpanId, fresh: impl FnOnce() -> TraceId) -> TraceContext {
        let (trace_id, flags, state) = match &self.remote {
            Some(remote) => {
                let flags = TraceFlags::default().with_sampled(remote.sampled == Some(true));
                let flags = if remote.random {
                    flags.with_random()
                } else {
                    flags
                };
                (remote.trace_id, flags, remote.state.clone())
            }
            None => (fresh(), TraceFlags::RANDOM, None),
        };
        TraceContext {
            trace_id,
            span_id,
            flags,
            state,
            baggage: self.baggage.clone(),
            xray: self.xray.clone(),
        }
    }
}

/// Which formats are read, in which order of trust, and which are written.
///
/// ```
/// use http::HeaderMap;
/// use throughline::propagation::Propagator;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(
///     "x-amzn-trace-id",
///     "Root=1-6721a5f0-112233445566778899aabbcc".parse().unwrap(),
/// );
/// let read = Propagator::default().extract(&headers);
/// let remote = read.remote.unwrap();
/// assert_eq!(remote.trace_id.to_string(), "6721a5f0112233445566778899aabbcc");
/// assert_eq!(remote.parent, None, "a load balancer has no span");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Propagator {
    read: Vec<Format>,
    write: Vec<Format>,
}

impl Default for Propagator {
    /// Reads and writes every format.
    fn default() -> Self {
        Self::new(Format::ALL)
    }
}

impl Propagator {
    /// Reads and writes these formats; the first that holds a whole context wins.
    pub fn new(formats: impl IntoIterator<Item = Format>) -> Self {
        let read: Vec<Format> = formats.into_iter().collect();
        Self {
            write: read.clone(),
            read,
        }
    }

    /// Writes these formats instead of those that are read.
    #[must_use]
    pub fn writing(mut self, formats: impl IntoIterator<Item = Format>) -> Self {
        self.write = formats.into_iter().collect();
        self
    }

    /// The formats that are read, the most trusted first.
    #[must_use]
    pub fn formats(&self) -> &[Format] {
        &self.read
    }

    /// Reads the context of a request.
    ///
    /// The first format that names both a trace and a span wins; a format that names a trace alone,
    /// as load balancers write it, is the fallback.
    #[must_use]
    pub fn extract(&self, headers: &HeaderMap) -> Extraction {
        let mut out = Extraction::default();
        for format in &self.read {
            let read = match format {
                Format::Baggage => {
                    out.baggage = baggage::extract(headers);
                    continue;
                }
                Format::TraceContext => w3c::extract(headers),
                Format::XRay => xray::extract(headers).map(|found| {
                    let found = found?;
                    out.xray = found.rest;
                    if found.remote.is_none() {
                        out.decided = Some(false);
                    }
                    found.remote
                }),
            };
            match read {
                Ok(Some(remote)) => {
                    let better = match &out.remote {
                        None => true,
                        Some(best) => best.parent.is_none() && remote.parent.is_some(),
                    };
                    if better {
                        out.remote = Some(remote);
                    }
                }
                Ok(None) => {}
                Err(Malformed) => out.invalid = true,
            }
        }
        out
    }

    /// Writes `context` in every configured format, in place of what was there.
    ///
    /// Each format ends up with exactly one header line of each name, or none where there is nothing
    /// to say.
    pub fn inject(&self, context: &TraceContext, headers: &mut HeaderMap) {
        for format in &self.write {
            match format {
                Format::TraceContext => w3c::inject(context, headers),
                Format::Baggage => baggage::inject(context, headers),
                Format::XRay => xray::inject(context, headers),
            }
        }
    }
}

/// A context header that was there and that its format does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

#[cfg(test)]
mod tests {
    use super::*;

    const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(pairs: &[(&'static str, &str)]) -> Extraction {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        Propagator::default().extract(&headers)
    }

    #[test]
    fn traceparent_wins_over_a_bare_root() {
        let got = read(&[
            (
                "x-amzn-trace-id",
                "Root=1-6721a5f0-112233445566778899aabbcc",
            ),
            ("traceparent", W3C),
        ]);
        assert_eq!(got.remote.unwrap().source, Format::TraceContext);
        assert!(!got.invalid);
    }

    #[test]
    fn whole_xray_context_wins_over_nothing_and_over_a_broken_traceparent() {
        let whole = "Root=1-6721a5f0-112233445566778899aabbcc;Parent=00f067aa0ba902b7;Sampled=1";
        let got = read(&[("x-amzn-trace-id", whole), ("traceparent", "00-zz")]);
        assert_eq!(got.remote.unwrap().source, Format::XRay);
        assert!(got.invalid, "the broken traceparent is noted");
    }

    #[test]
    fn a_decision_without_a_trace_is_kept_and_gives_way_to_a_trace() {
        let zeros = "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0";
        let got = read(&[("x-amzn-trace-id", zeros)]);
        assert_eq!((got.remote.as_ref(), got.sampled()), (None, Some(false)));
        assert!(!got.invalid, "AWS' own SDK writes it");
        let got = read(&[("x-amzn-trace-id", zeros), ("traceparent", W3C)]);
        assert_eq!(got.sampled(), Some(true));
        assert_eq!(read(&[]).sampled(), None);
    }

    #[test]
    fn all_outputs_agree() {
        let context = TraceContext::new(
            TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").unwrap(),
            SpanId::from_hex("00f067aa0ba902b7").unwrap(),
            TraceFlags::SAMPLED,
        );
        let mut headers = HeaderMap::new();
        headers.append("traceparent", "stale".parse().unwrap());
        headers.append("traceparent", "staler".parse().unwrap());
        Propagator::default().inject(&context, &mut headers);
        assert_eq!(
            headers.get_all("traceparent").iter().collect::<Vec<_>>(),
            [W3C]
        );
        assert_eq!(
            headers["x-amzn-trace-id"],
            "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1"
        );
    }

    #[test]
    fn names_are_those_of_otel_propagators() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert_eq!(
            "b4".parse::<Format>().unwrap_err().to_string(),
            "no header format is called \"b4\"; known are tracecontext, baggage, xray"
        );
    }
}

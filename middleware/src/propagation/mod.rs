//! Header formats and the order in which they are believed.
//!
//! One codec a file; each reads headers into a [`Remote`] and writes a [`TraceContext`] into them. A
//! [`Propagator`] is the policy on top: which formats are read, which are written, which are taken
//! away, and who wins when two of them disagree. Everything that is written says the same, because it
//! is written from one context.
//!
//! A malformed header is never an error for a request. It reads as absent and is not passed on beside
//! what we write; [`Extraction::rejected`] says what was wrong, to be counted and noted on the span.

mod b3;
mod baggage;
mod datadog;
mod extraction;
mod format;
mod jaeger;
mod reject;
pub mod signed;
mod value;
mod w3c;
mod xray;

use http::HeaderMap;

use self::{b3::Said, signed::Signature};
pub use self::{
    baggage::baggage_value,
    extraction::{Extraction, Remote},
    format::{Format, UnknownFormat},
    reject::{Reason, Rejections},
};
use crate::context::TraceContext;

/// Which formats are read, in which order of trust, which are written, and which are taken away.
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
/// let remote = read.remote().unwrap();
/// assert_eq!(remote.trace_id.to_string(), "6721a5f0112233445566778899aabbcc");
/// assert_eq!(remote.parent, None, "a load balancer has no span");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Propagator {
    read: Vec<Format>,
    write: Vec<Format>,
    strip: Vec<Format>,
}

impl Default for Propagator {
    /// Reads and writes [`Format::DEFAULT`].
    fn default() -> Self {
        Self::new(Format::DEFAULT)
    }
}

impl Propagator {
    /// Reads and writes these formats; the first that holds a whole context wins.
    pub fn new(formats: impl IntoIterator<Item = Format>) -> Self {
        let read: Vec<Format> = formats.into_iter().collect();
        Self {
            write: read.clone(),
            read,
            strip: Vec::new(),
        }
    }

    /// Writes these formats instead of those that are read. What is not written is left as it is.
    #[must_use]
    pub fn writing(mut self, formats: impl IntoIterator<Item = Format>) -> Self {
        self.write = formats.into_iter().collect();
        self
    }

    /// Takes these formats away before anything is written.
    #[must_use]
    pub fn stripping(mut self, formats: impl IntoIterator<Item = Format>) -> Self {
        self.strip = formats.into_iter().collect();
        self
    }

    /// The formats that are read, the most trusted first.
    #[must_use]
    pub fn formats(&self) -> &[Format] {
        &self.read
    }

    /// Reads the context of a request that is not signed.
    #[must_use]
    pub fn extract(&self, headers: &HeaderMap) -> Extraction {
        self.extract_signed(headers, Signature::default())
    }

    /// Reads the context of a request whose `signature` is that.
    ///
    /// Formats are believed in the order in which they are configured, but what is signed goes
    /// before what is not: whoever receives the request will read it whatever we say.
    #[must_use]
    pub fn extract_signed(&self, headers: &HeaderMap, signature: Signature) -> Extraction {
        let mut out = Extraction::signed_by(signature);
        if signature.covers_context() {
            let signed = self.read.iter().filter(|format| signature.covers(**format));
            signed.for_each(|format| read(*format, headers, &mut out));
        }
        let others = self
            .read
            .iter()
            .filter(|format| !signature.covers(**format));
        others.for_each(|format| read(*format, headers, &mut out));
        out
    }

    /// Writes `context` into a request that is not signed, in every configured format and in place of
    /// what was there.
    ///
    /// Each format ends up with exactly one header line of each name, or none where there is nothing
    /// to say. Only baggage that the request has already is left as the application wrote it.
    pub fn inject(&self, context: &TraceContext, headers: &mut HeaderMap) {
        self.inject_signed(context, headers, Signature::default());
    }

    /// Writes `context` into a request whose `signature` is that: what it covers is left as it is,
    /// and a service of AWS' own is told in AWS' format alone.
    pub fn inject_signed(
        &self,
        context: &TraceContext,
        headers: &mut HeaderMap,
        signature: Signature,
    ) {
        for format in &self.strip {
            format.remove(headers, signature);
        }
        for format in &self.write {
            if signature.covers(*format) || (signature.is_for_aws() && *format != Format::XRay) {
                continue;
            }
            match format {
                Format::TraceContext => w3c::inject(context, headers),
                Format::Baggage => baggage::inject(context, headers),
                Format::XRay => xray::inject(context, headers),
                Format::B3 => b3::inject_single(context, headers),
                Format::B3Multi => b3::inject_multi(context, headers),
                Format::Jaeger => jaeger::inject(context, headers),
                Format::Datadog => datadog::inject(context, headers),
            }
        }
    }

    /// Takes away what could not be read, so that nobody behind us trips over it. Baggage is the
    /// application's: it is not ours to take.
    pub fn discard(&self, rejected: &Rejections, headers: &mut HeaderMap, signature: Signature) {
        if rejected.is_empty() {
            return;
        }
        for (format, reason) in rejected.iter() {
            match (format, reason) {
                (Format::Baggage, _) => {}
                (_, Reason::State) if signature.covers(format) => {}
                (_, Reason::State) => w3c::remove_state(headers),
                _ => format.remove(headers, signature),
            }
        }
    }

    /// Takes away every trace context that we would have read: that of somebody who is not trusted.
    /// Baggage is the application's, and whether to believe it is too.
    pub fn forget(&self, headers: &mut HeaderMap, signature: Signature) {
        for format in &self.read {
            if *format != Format::Baggage {
                format.remove(headers, signature);
            }
        }
    }
}

/// Reads one format into `out`.
fn read(format: Format, headers: &HeaderMap, out: &mut Extraction) {
    let found = match format {
        Format::TraceContext => w3c::extract(headers).inspect(|remote| {
            if remote.is_some() {
                match w3c::state(headers) {
                    Ok(state) => out.state = state,
                    Err(reason) => out.rejected.note(format, reason),
                }
            }
        }),
        Format::Baggage => match baggage::extract(headers) {
            Ok(baggage) => {
                out.baggage = baggage.or_else(|| out.baggage.take());
                Ok(None)
            }
            Err(reason) => Err(reason),
        },
        Format::XRay => xray::extract(headers).map(|found| {
            let found = found?;
            out.xray = found.order;
            if found.remote.is_none() {
                out.decision.get_or_insert(false);
            }
            found.remote
        }),
        Format::B3 | Format::B3Multi => match b3::extract(headers, format) {
            Ok(Some(Said::Context(remote))) => Ok(Some(remote)),
            Ok(Some(Said::Decision(sampled))) => {
                out.decision.get_or_insert(sampled);
                Ok(None)
            }
            Ok(None) => Ok(None),
            Err((spelling, reason)) => {
                out.rejected.note(spelling, reason);
                Ok(None)
            }
        },
        Format::Jaeger => {
            if out.baggage.is_none() {
                match jaeger::extract_baggage(headers) {
                    Ok(baggage) => out.baggage = baggage,
                    Err(reason) => out.rejected.note(Format::Baggage, reason),
                }
            }
            jaeger::extract(headers)
        }
        Format::Datadog => datadog::extract(headers).map(|found| {
            let (remote, more) = found?;
            out.datadog = more;
            Some(remote)
        }),
    };
    match found {
        Ok(Some(remote)) => out.found(remote),
        Ok(None) => {}
        Err(reason) => out.rejected.note(format, reason),
    }
}

#[cfg(test)]
mod tests;

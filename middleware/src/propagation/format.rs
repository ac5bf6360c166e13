//! The header formats by name, and which headers each of them owns.

use std::{fmt, str::FromStr};

use http::{HeaderMap, HeaderName};

use super::{b3, baggage, datadog, jaeger, signed::Signature, w3c, xray};

/// A header format, by the name that `OTEL_PROPAGATORS` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// W3C `traceparent` and `tracestate`.
    TraceContext,
    /// W3C `baggage`.
    Baggage,
    /// AWS `X-Amzn-Trace-Id`.
    XRay,
    /// Zipkin's B3 in one header, `b3`.
    B3,
    /// Zipkin's B3 in several, `x-b3-traceid` and others.
    B3Multi,
    /// Jaeger's `uber-trace-id`, and `uberctx-` in front of baggage.
    Jaeger,
    /// Datadog's `x-datadog-trace-id` and others.
    Datadog,
}

impl Format {
    /// How many formats there are.
    pub const COUNT: usize = 7;

    /// Every format.
    pub const ALL: [Self; Self::COUNT] = [
        Self::TraceContext,
        Self::Baggage,
        Self::XRay,
        Self::B3,
        Self::B3Multi,
        Self::Jaeger,
        Self::Datadog,
    ];

    /// The formats that are read and written where nothing else is said, the most trusted first.
    pub const DEFAULT: [Self; 3] = [Self::TraceContext, Self::Baggage, Self::XRay];

    /// The name in `OTEL_PROPAGATORS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TraceContext => "tracecontext",
            Self::Baggage => "baggage",
            Self::XRay => "xray",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
            Self::Jaeger => "jaeger",
            Self::Datadog => "datadog",
        }
    }

    /// The headers that it owns by name.
    #[must_use]
    pub fn headers(self) -> &'static [HeaderName] {
        match self {
            Self::TraceContext => &w3c::HEADERS,
            Self::Baggage => &baggage::HEADERS,
            Self::XRay => &xray::HEADERS,
            Self::B3 => &b3::SINGLE,
            Self::B3Multi => &b3::MULTI,
            Self::Jaeger => &jaeger::HEADERS,
            Self::Datadog => &datadog::HEADERS,
        }
    }

    /// Removes what it owns from `headers`, but for what a signature covers.
    pub(super) fn remove(self, headers: &mut HeaderMap, signature: Signature) {
        if signature.covers(self) {
            return;
        }
        for name in self.headers() {
            headers.remove(name);
        }
        if self == Self::Jaeger {
            jaeger::remove_baggage(headers);
        }
    }

    /// Its place in a table of all formats.
    pub(super) fn index(self) -> usize {
        self as usize
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_otel_propagators() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
            assert_eq!(Format::ALL[format.index()], format);
        }
        assert_eq!(
            "b4".parse::<Format>().unwrap_err().to_string(),
            "no header format is called \"b4\"; known are tracecontext, baggage, xray, b3, b3multi, \
             jaeger, datadog"
        );
    }
}

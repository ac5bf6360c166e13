//! The tracing of a service's own: which SDK it has, and how that is set up.

use super::said::{B3, B3_MULTI, Format, W3C, XRAY};

/// A service's own tracing.
#[derive(Debug)]
pub(super) struct Sdk {
    /// The name of the service.
    pub(super) name: &'static str,
    /// What it writes into the calls of its app.
    pub(super) format: Option<Format>,
    /// Which of the two apps it traces.
    pub(super) language: Language,
    /// What sets it up.
    pub(super) variables: &'static [(&'static str, &'static str)],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    JavaScript,
}

/// OpenTelemetry's in four formats, and AWS' own two for X-Ray.
pub(super) static ALL: [Sdk; 6] = [
    Sdk {
        name: "otel-w3c",
        format: Some(W3C),
        variables: &[OPENTELEMETRY, ("OTEL_PROPAGATORS", "tracecontext,baggage")],
        ..IN_PYTHON
    },
    Sdk {
        name: "otel-b3",
        format: Some(B3),
        variables: &[OPENTELEMETRY, ("OTEL_PROPAGATORS", "b3")],
        ..IN_PYTHON
    },
    Sdk {
        name: "otel-b3multi",
        format: Some(B3_MULTI),
        variables: &[OPENTELEMETRY, ("OTEL_PROPAGATORS", "b3multi")],
        ..IN_PYTHON
    },
    Sdk {
        name: "otel-xray",
        format: Some(XRAY),
        variables: &[OPENTELEMETRY, ("OTEL_PROPAGATORS", "xray")],
        ..IN_PYTHON
    },
    Sdk {
        // With ids for what it does not sample, too.
        variables: &[AWS, ("AWS_XRAY_NOOP_ID", "false")],
        ..XRAY_PYTHON
    },
    XRAY_NODE,
];

/// The one that has zeros for ids in what it does not sample, and one to call.
pub(super) static WITH_ZEROS: [Sdk; 2] = [XRAY_PYTHON, XRAY_NODE];

/// The service in the middle has none: it forwards nothing.
pub(super) static NONE: Sdk = IN_PYTHON;

const XRAY_PYTHON: Sdk = Sdk {
    name: "xray-python",
    format: Some(XRAY),
    variables: &[AWS],
    ..IN_PYTHON
};

const XRAY_NODE: Sdk = Sdk {
    name: "xray-node",
    format: Some(XRAY),
    language: Language::JavaScript,
    ..IN_PYTHON
};

const IN_PYTHON: Sdk = Sdk {
    name: "middle",
    format: None,
    language: Language::Python,
    variables: &[],
};

const OPENTELEMETRY: (&str, &str) = ("SDK", "opentelemetry");
const AWS: (&str, &str) = ("SDK", "xray");

//! A span as a collector gets it, with the questions that tests ask.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    trace::v1::{self as proto, span},
};

/// Which side of a hop a span describes.
pub use span::SpanKind as Kind;

/// One received span, with the resource that it came under.
#[derive(Clone, Debug)]
pub struct Span {
    resource: Vec<KeyValue>,
    span: proto::Span,
}

impl Span {
    /// All spans of one export request.
    pub(crate) fn all(request: ExportTraceServiceRequest) -> Vec<Self> {
        let mut all = Vec::new();
        for group in request.resource_spans {
            let resource = group.resource.map(|r| r.attributes).unwrap_or_default();
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                all.push(Self {
                    resource: resource.clone(),
                    span,
                });
            }
        }
        all
    }

    /// The trace, in 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// The span, in 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// The parent, in 16 hexadecimal digits; empty at a root.
    #[must_use]
    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// Which side of the hop it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.span.kind()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// The `tracestate` that it carries.
    #[must_use]
    pub fn trace_state(&self) -> &str {
        &self.span.trace_state
    }

    /// The trace and span of each of its links.
    #[must_use]
    pub fn links(&self) -> Vec<(String, String)> {
        let links = self.span.links.iter();
        links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect()
    }

    /// The spans that are linked as its possible parents, each with how likely it is.
    #[must_use]
    pub fn candidates(&self) -> Vec<(String, f64)> {
        let links = self.span.links.iter();
        let candidates = links.filter(|link| {
            matches!(
                text(&link.attributes, "throughline.link"),
                Some("candidate" | "parent")
            )
        });
        candidates
            .map(|link| {
                let confidence = float(&link.attributes, "throughline.parent.confidence");
                (hex(&link.span_id), confidence.unwrap_or_default())
            })
            .collect()
    }

    /// When it began, in nanoseconds of Unix time.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.span.start_time_unix_nano
    }

    /// Nanoseconds from its start to its end.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.span.end_time_unix_nano - self.span.start_time_unix_nano
    }

    /// The names of its phases, in order, with their nanoseconds.
    #[must_use]
    pub fn phases(&self) -> Vec<(&str, u64)> {
        let prefix = "throughline.phase.";
        let phases = self.span.attributes.iter().filter_map(|pair| {
            let name = pair.key.strip_prefix(prefix)?;
            match pair.value.as_ref()?.value.as_ref()? {
                any_value::Value::IntValue(nanos) => Some((name, u64::try_from(*nanos).ok()?)),
                _ => None,
            }
        });
        phases.collect()
    }

    /// Whether it has a phase of this name.
    #[must_use]
    pub fn has_phase(&self, name: &str) -> bool {
        self.phases().iter().any(|(phase, _)| *phase == name)
    }

    /// The text of an attribute; empty where there is none.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        text(&self.span.attributes, key).unwrap_or_default()
    }

    /// The number of an attribute.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<i64> {
        match value(&self.span.attributes, key)? {
            any_value::Value::IntValue(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth of an attribute.
    #[must_use]
    pub fn truth(&self, key: &str) -> Option<bool> {
        match value(&self.span.attributes, key)? {
            any_value::Value::BoolValue(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The text of an attribute of its resource; empty where there is none.
    #[must_use]
    pub fn resource(&self, key: &str) -> &str {
        text(&self.resource, key).unwrap_or_default()
    }

    /// The path that was asked for, on either side of a hop.
    #[must_use]
    pub fn path(&self) -> &str {
        let url = self.text("url.full");
        match url
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]))
        {
            Some(path) => path,
            None => self.text("url.path"),
        }
    }

    /// The status code of the answer.
    #[must_use]
    pub fn status(&self) -> Option<i64> {
        self.number("http.response.status_code")
    }

    /// One line that says what it is, for the message of a failed test.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{} {:?} {} {} trace {} span {} parent {:?}: {}",
            self.resource("service.name"),
            self.kind(),
            self.name(),
            self.path(),
            self.trace_id(),
            self.id(),
            self.parent(),
            self.attributes(),
        )
    }

    /// Holds the span to what is true of every span of ours.
    ///
    /// # Panics
    ///
    /// When its phases do not add up to its duration, or its ids are none.
    pub fn check(&self) {
        let sum: u64 = self.phases().iter().map(|(_, nanos)| nanos).sum();
        assert_eq!(
            sum,
            self.duration(),
            "the phases add up: {}",
            self.summary()
        );
        assert!(!self.phases().is_empty(), "{}", self.summary());
        let ids = [&self.span.trace_id, &self.span.span_id];
        for (id, length) in ids.into_iter().zip([16, 8]) {
            let is_id = id.len() == length && id.iter().any(|byte| *byte != 0);
            assert!(is_id, "{}", self.summary());
        }
        for key in ["service.name", "service.instance.id", "telemetry.sdk.name"] {
            assert!(!self.resource(key).is_empty(), "{key}: {}", self.summary());
        }
        assert!(
            !self.name().contains('/'),
            "no raw path: {}",
            self.summary()
        );
    }

    fn attributes(&self) -> String {
        let pairs = self.span.attributes.iter().map(|pair| {
            let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
            match value {
                Some(any_value::Value::StringValue(text)) => format!("{}={text:?}", pair.key),
                Some(any_value::Value::IntValue(number)) => format!("{}={number}", pair.key),
                Some(any_value::Value::BoolValue(truth)) => format!("{}={truth}", pair.key),
                Some(any_value::Value::DoubleValue(number)) => format!("{}={number}", pair.key),
                other => format!("{}={other:?}", pair.key),
            }
        });
        pairs.collect::<Vec<_>>().join(" ")
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a any_value::Value> {
    let mut found = attributes.iter().filter(|pair| pair.key == key);
    let pair = found.next()?;
    assert!(found.next().is_none(), "{key} is there twice");
    match &pair.value {
        Some(AnyValue { value }) => value.as_ref(),
        None => None,
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match value(attributes, key)? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn float(attributes: &[KeyValue], key: &str) -> Option<f64> {
    match value(attributes, key)? {
        any_value::Value::DoubleValue(number) => Some(*number),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

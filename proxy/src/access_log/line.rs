//! What a line says, in JSON or as text: a function of a span.
//!
//! `AWS-XRAY-TRACE-ID` is spelled as X-Ray's own SDKs spell it in logs, the trace and the span with an
//! `@` between, so that CloudWatch finds a line from its trace. A query never appears.

use std::{
    fmt::{self, Write as _},
    time::{Duration, SystemTime},
};

use http::Version;
use serde::{Serialize, Serializer};
use throughline::{
    phase::Phases,
    span::{Kind, Span},
};

use super::Format;

/// Appends the line of `span`, a side of an exchange of `service`.
pub(super) fn append(span: &Span, service: &str, format: Format, lines: &mut Vec<u8>) {
    match format {
        Format::Json => {
            let before = lines.len();
            let record = Record::of(span, service);
            // Text and numbers alone can always be written; if not, there is no line.
            if serde_json::to_writer(&mut *lines, &record).is_err() {
                lines.truncate(before);
                lines.extend_from_slice(b"{}");
            }
        }
        Format::Text => {
            let mut text = String::with_capacity(512);
            // Text takes all that is written to it.
            let _ = as_text(&Record::of(span, service), &mut text);
            lines.extend_from_slice(text.as_bytes());
        }
    }
    lines.push(b'\n');
}

/// What is said of one side of an exchange, in this order.
#[derive(Serialize)]
struct Record<'s> {
    /// When it began.
    time: String,
    service: &'s str,
    direction: &'static str,
    method: &'s str,
    host: &'s str,
    path: &'s str,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<&'static str>,
    request_bytes: u64,
    response_bytes: u64,
    duration_ms: f64,
    #[serde(serialize_with = "in_ms")]
    phases_ms: &'s Phases,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resend: Option<u32>,
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    sampled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f32>,
    xray_trace_id: String,
    #[serde(rename = "AWS-XRAY-TRACE-ID")]
    aws_xray_trace_id: String,
}

impl<'s> Record<'s> {
    fn of(span: &'s Span, service: &'s str) -> Self {
        let xray_trace_id = span.trace_id.xray().to_string();
        Self {
            time: rfc3339(span.started),
            service,
            direction: match span.kind {
                Kind::Server => "inbound",
                Kind::Client => "outbound",
            },
            method: span.method.as_str(),
            host: span.host.as_str(),
            path: span.path.as_str(),
            protocol: protocol(span.version),
            status: span.status.map(|status| status.as_u16()),
            grpc_status: span.grpc_status,
            error_type: span.error_type().map(|error| error.as_str().to_owned()),
            ended_by: span.failure.map(|failure| failure.ended_by.name()),
            request_bytes: span.request_bytes,
            response_bytes: span.response_bytes,
            duration_ms: ms(span.duration()),
            phases_ms: &span.phases,
            peer: match span.kind {
                Kind::Server => span.client.map(|client| client.to_string()),
                Kind::Client => span.peer().map(|peer| peer.to_string()),
            },
            resend: (span.resend_count > 0).then_some(span.resend_count),
            trace_id: span.trace_id.to_string(),
            span_id: span.span_id.to_string(),
            parent_span_id: span.parent.map(|parent| parent.to_string()),
            sampled: span.flags.is_sampled(),
            evidence: span.parentage.map(|parentage| parentage.evidence.name()),
            confidence: span.parentage.map(|parentage| parentage.confidence),
            aws_xray_trace_id: format!("{xray_trace_id}@{}", span.span_id),
            xray_trace_id,
        }
    }
}

/// Microseconds are as much as a log needs.
fn ms(duration: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact for 285 years")]
    let micros = duration.as_micros() as f64;
    micros / 1000.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn in_ms<S: Serializer>(phases: &&Phases, serializer: S) -> Result<S::Ok, S::Error> {
    let of = |nanos| ms(Duration::from_nanos(nanos));
    serializer.collect_map(
        phases
            .iter()
            .map(|(phase, nanos)| (phase.name(), of(nanos))),
    )
}

fn as_text(record: &Record<'_>, out: &mut String) -> fmt::Result {
    write!(
        out,
        "time={} service={} direction={} method={} host={} path={} protocol={}",
        record.time,
        Quoted(record.service),
        record.direction,
        Quoted(record.method),
        Quoted(record.host),
        Quoted(record.path),
        record.protocol,
    )?;
    let mut optional = |key: &str, value: Option<&dyn fmt::Display>| match value {
        Some(value) => write!(out, " {key}={value}"),
        None => Ok(()),
    };
    fn some<T: fmt::Display>(value: Option<&T>) -> Option<&dyn fmt::Display> {
        value.map(|value| value as _)
    }
    optional("status", some(record.status.as_ref()))?;
    optional("grpc_status", some(record.grpc_status.as_ref()))?;
    let error = record.error_type.as_deref().map(Quoted);
    optional("error_type", some(error.as_ref()))?;
    optional("ended_by", some(record.ended_by.as_ref()))?;
    write!(
        out,
        " request_bytes={} response_bytes={} duration_ms={:.3} phases_ms=",
        record.request_bytes, record.response_bytes, record.duration_ms
    )?;
    let mut separator = "";
    for (phase, nanos) in record.phases_ms.iter() {
        let took = ms(Duration::from_nanos(nanos));
        write!(out, "{separator}{}:{took:.3}", phase.name())?;
        separator = ",";
    }
    let mut optional = |key: &str, value: Option<&dyn fmt::Display>| match value {
        Some(value) => write!(out, " {key}={value}"),
        None => Ok(()),
    };
    optional("peer", some(record.peer.as_ref()))?;
    optional("resend", some(record.resend.as_ref()))?;
    optional("trace_id", Some(&record.trace_id))?;
    optional("span_id", Some(&record.span_id))?;
    optional("parent_span_id", some(record.parent_span_id.as_ref()))?;
    optional("sampled", Some(&record.sampled))?;
    optional("evidence", some(record.evidence.as_ref()))?;
    optional("confidence", some(record.confidence.as_ref()))?;
    optional("AWS-XRAY-TRACE-ID", Some(&record.aws_xray_trace_id))
}

/// A value of `key=value`: as it is, or in quotes as JSON has them where it could be misread.
struct Quoted<'t>(&'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain =
            |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '"' | '=' | '\\');
        if !self.0.is_empty() && self.0.chars().all(is_plain) {
            return f.write_str(self.0);
        }
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// `2026-11-24T22:43:15.123456Z`.
fn rfc3339(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = since.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let second = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_micros()
    )
}

/// The date of a day since 1970, by counting years from March on, so that a leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::Value;
    use throughline::{
        ambient,
        context::{TraceContext, TraceFlags},
        id::{SpanId, TraceId},
        phase::{Party, Phase, Recorder},
        span::{Evidence, Parentage},
    };

    use super::*;

    fn span(kind: Kind) -> Span {
        let context = TraceContext::new(
            TraceId::from_hex("6789123300000000000000000000002a").unwrap(),
            SpanId::from_random(0xabc),
            TraceFlags::SAMPLED,
        );
        let started = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        let mut span = Span::new(kind, &context, started);
        span.method = "GET".into();
        span.host = "shop".into();
        span.path = "/a b\"\n/é".into();
        span.status = StatusCode::from_u16(503).ok();
        span.request_bytes = 3;
        span.response_bytes = 5;
        let start = ambient::now();
        let recorder = Recorder::new(start, Phase::Proxy);
        recorder.enter(Phase::Wait, start + Duration::from_micros(20));
        recorder.fail(Party::Upstream, "connection_refused");
        span.failure = recorder.failure();
        span.phases = recorder.phases(start + Duration::from_micros(1520));
        span
    }

    fn line(span: &Span, format: Format) -> String {
        let mut lines = Vec::new();
        append(span, "orders", format, &mut lines);
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn a_line_of_json_has_all_that_is_known() {
        let mut span = span(Kind::Client);
        span.parentage = Some(Parentage {
            evidence: Evidence::Timing,
            confidence: 0.5,
            candidates: 2,
        });
        let line = line(&span, Format::Json);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        for (key, expected) in [
            ("time", "\"2023-11-14T22:13:20.123456Z\""),
            ("service", "\"orders\""),
            ("direction", "\"outbound\""),
            ("path", "\"/a b\\\"\\n/é\""),
            ("protocol", "\"HTTP/1.1\""),
            ("status", "503"),
            ("error_type", "\"connection_refused\""),
            ("ended_by", "\"upstream\""),
            ("request_bytes", "3"),
            ("response_bytes", "5"),
            ("duration_ms", "1.52"),
            ("phases_ms", "{\"proxy\":0.02,\"wait\":1.5}"),
            ("trace_id", "\"6789123300000000000000000000002a\""),
            ("span_id", "\"0000000000000abc\""),
            ("sampled", "true"),
            ("evidence", "\"timing\""),
            ("confidence", "0.5"),
            (
                "AWS-XRAY-TRACE-ID",
                "\"1-67891233-00000000000000000000002a@0000000000000abc\"",
            ),
        ] {
            assert_eq!(value[key].to_string(), expected, "{key}");
        }
        assert_eq!(value.get("peer"), None);
        assert_eq!(value.get("resend"), None);
    }

    #[test]
    fn a_line_of_text_can_be_split_at_its_blanks() {
        let mut span = span(Kind::Server);
        span.client = Some([10, 0, 0, 7].into());
        let line = line(&span, Format::Text);
        assert!(
            line.starts_with("time=2023-11-14T22:13:20.123456Z service=orders direction=inbound ")
        );
        assert!(line.contains(" path=\"/a b\\\"\\n/é\" protocol="), "{line}");
        assert!(line.contains(" phases_ms=proxy:0.020,wait:1.500 peer=10.0.0.7 trace_id="));
        assert!(line.ends_with("@0000000000000abc\n"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains("evidence"), "{line}");
    }

    #[test]
    fn a_date_is_that_of_the_calendar() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_781, (2026, 11, 24)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), expected, "{days}");
        }
    }
}

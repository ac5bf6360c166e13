//! What a collector's answer means: taken, refused, or to be tried again.
//!
//! The codes are those that the OTLP specification names, and no others: to send again what was
//! refused for good only adds load.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_STANDARD_NO_PAD};
use http::{HeaderMap, StatusCode, header};

use super::wire::{Field, Reader};
use crate::export::Accepted;

/// The judgement on one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The batch was taken.
    Accepted(Accepted),
    /// It may be taken later: not before `after`, where the collector says so.
    Retry {
        after: Option<Duration>,
        why: String,
    },
    /// It never will be.
    Refused(String),
}

/// The answer to a POST of `http/protobuf`.
pub(super) fn http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    // Whatever is not protobuf is an error page of somebody on the way.
    let is_protobuf = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/x-protobuf"));
    let body = if is_protobuf { body } else { &[] };
    if status.is_success() {
        return Answer::Accepted(partial_success(body));
    }
    let why = describe(format!("HTTP {status}"), &status_message(body));
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Answer::Retry {
            after: retry_after(headers),
            why,
        },
        _ => Answer::Refused(why),
    }
}

/// The answer to a gRPC call. `end` are the trailers, or the headers where there are no others.
pub(super) fn grpc(status: StatusCode, end: &HeaderMap, body: &[u8]) -> Answer {
    let code = end
        .get("grpc-status")
        .and_then(|value| value.to_str().ok())
        .and_then(|code| code.parse::<u16>().ok());
    let Some(code) = code else {
        // Not a gRPC server, or a proxy before it. gRPC says which HTTP statuses mean "unavailable":
        // https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
        let why = format!("HTTP {status} without a gRPC status");
        return match status.as_u16() {
            429 | 502 | 503 | 504 => Answer::Retry {
                after: retry_after(end),
                why,
            },
            _ => Answer::Refused(why),
        };
    };
    if code == 0 {
        return Answer::Accepted(partial_success(body.get(5..).unwrap_or_default()));
    }
    let message = end
        .get("grpc-message")
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default();
    let why = describe(
        format!("gRPC status {code} ({})", grpc_name(code)),
        &message,
    );
    let after = retry_info(end);
    match code {
        CANCELLED | DEADLINE_EXCEEDED | ABORTED | OUT_OF_RANGE | UNAVAILABLE | DATA_LOSS => {
            Answer::Retry { after, why }
        }
        // Only with a delay does it mean "not now" instead of "never".
        RESOURCE_EXHAUSTED if after.is_some() => Answer::Retry { after, why },
        _ => Answer::Refused(why),
    }
}

const CANCELLED: u16 = 1;
const DEADLINE_EXCEEDED: u16 = 4;
const RESOURCE_EXHAUSTED: u16 = 8;
const ABORTED: u16 = 10;
const OUT_OF_RANGE: u16 = 11;
const UNAVAILABLE: u16 = 14;
const DATA_LOSS: u16 = 15;

fn grpc_name(code: u16) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES
        .get(usize::from(code))
        .copied()
        .unwrap_or("not a known code")
}

/// `ExportTraceServiceResponse { partial_success: { rejected_spans, error_message } }`.
fn partial_success(response: &[u8]) -> Accepted {
    let mut accepted = Accepted::default();
    for field in message(response, 1).into_iter().flat_map(Reader) {
        match field {
            // The type is signed; less than nothing is nothing.
            (1, Field::Varint(rejected)) => {
                accepted.rejected = rejected.cast_signed().max(0).cast_unsigned();
            }
            (2, Field::Bytes(text)) => {
                accepted.message = String::from_utf8_lossy(text).into_owned()
            }
            _ => {}
        }
    }
    accepted
}

/// The message of a `google.rpc.Status`.
fn status_message(status: &[u8]) -> String {
    message(status, 2)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .unwrap_or_default()
}

/// `Retry-After` in seconds. Its other form, a date, is of no use to clients without a good clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// The `retry_delay` of a `google.rpc.RetryInfo` among the details of a gRPC status.
fn retry_info(end: &HeaderMap) -> Option<Duration> {
    let encoded = end.get("grpc-status-details-bin")?.as_bytes();
    let status = BASE64_STANDARD_NO_PAD
        .decode(encoded)
        .or_else(|_| BASE64_STANDARD.decode(encoded))
        .ok()?;
    let info = Reader(&status).find_map(|field| match field {
        (3, Field::Bytes(any)) if message(any, 1)?.ends_with(b"/google.rpc.RetryInfo") => {
            Some(message(any, 2).unwrap_or_default())
        }
        _ => None,
    })?;
    let delay = message(info, 1)?;
    let mut after = Duration::ZERO;
    for field in Reader(delay) {
        match field {
            (1, Field::Varint(seconds)) => after += Duration::from_secs(seconds.min(86_400)),
            (2, Field::Varint(nanos)) => after += Duration::from_nanos(nanos.min(999_999_999)),
            _ => {}
        }
    }
    Some(after)
}

/// The bytes of the field `number`.
fn message(bytes: &[u8], number: u32) -> Option<&[u8]> {
    Reader(bytes).find_map(|field| match field {
        (n, Field::Bytes(inner)) if n == number => Some(inner),
        _ => None,
    })
}

fn describe(what: String, message: &str) -> String {
    // A collector's words go to the log: let them be few.
    match message.char_indices().nth(200) {
        _ if message.is_empty() => what,
        Some((cut, _)) => format!("{what}: {}...", &message[..cut]),
        None => format!("{what}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use prost::Message;

    use super::*;

    fn headers<const N: usize>(pairs: [(&'static str, &str); N]) -> HeaderMap {
        pairs
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn kind(answer: &Answer) -> &'static str {
        match answer {
            Answer::Accepted(_) => "accepted",
            Answer::Retry { .. } => "retry",
            Answer::Refused(_) => "refused",
        }
    }

    #[test]
    fn only_the_http_codes_of_the_specification_are_tried_again() {
        for status in 200..600 {
            let expected = match status {
                200..=299 => "accepted",
                429 | 502 | 503 | 504 => "retry",
                _ => "refused",
            };
            let answer = http(
                StatusCode::from_u16(status).unwrap(),
                &HeaderMap::new(),
                b"",
            );
            assert_eq!(kind(&answer), expected, "{status}");
        }
    }

    #[test]
    fn only_the_grpc_codes_of_the_specification_are_tried_again() {
        for code in 0..=17 {
            let expected = match code {
                0 => "accepted",
                1 | 4 | 10 | 11 | 14 | 15 => "retry",
                _ => "refused",
            };
            let end = headers([("grpc-status", &*code.to_string())]);
            assert_eq!(kind(&grpc(StatusCode::OK, &end, b"")), expected, "{code}");
        }
    }

    #[test]
    fn without_a_grpc_status_the_http_status_counts() {
        for (status, expected) in [(200, "refused"), (404, "refused"), (503, "retry")] {
            let answer = grpc(
                StatusCode::from_u16(status).unwrap(),
                &HeaderMap::new(),
                b"",
            );
            assert_eq!(kind(&answer), expected, "{status}");
        }
    }

    #[test]
    fn the_collector_says_when_to_come_back() {
        let answer = http(
            StatusCode::SERVICE_UNAVAILABLE,
            &headers([("retry-after", "7")]),
            b"",
        );
        let Answer::Retry { after, .. } = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn an_exhausted_collector_is_asked_again_only_if_it_says_when() {
        // Status { code: 8, message: "busy", details: [Any { RetryInfo { 1.5 s } }] }
        let mut details = Vec::new();
        let mut w = super::super::wire::Writer(&mut details);
        w.varint(1, 8);
        w.bytes(2, b"busy");
        w.message(3, |w| {
            w.bytes(1, b"type.googleapis.com/google.rpc.RetryInfo");
            w.message(2, |w| {
                w.message(1, |w| {
                    w.varint(1, 1);
                    w.varint(2, 500_000_000);
                });
            });
        });
        for encoded in [
            BASE64_STANDARD.encode(&details),
            BASE64_STANDARD_NO_PAD.encode(&details),
        ] {
            let end = headers([("grpc-status", "8"), ("grpc-status-details-bin", &*encoded)]);
            let answer = grpc(StatusCode::OK, &end, b"");
            let Answer::Retry { after, why } = answer else {
                panic!("{answer:?}")
            };
            assert_eq!(after, Some(Duration::from_millis(1500)));
            assert!(why.contains("RESOURCE_EXHAUSTED"), "{why}");
        }
        let end = headers([("grpc-status", "8")]);
        assert_eq!(kind(&grpc(StatusCode::OK, &end, b"")), "refused");
    }

    #[test]
    fn a_partial_success_says_how_many_were_refused() {
        let body = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 3,
                error_message: "too old".to_owned(),
            }),
        }
        .encode_to_vec();
        let expected = Answer::Accepted(Accepted {
            rejected: 3,
            message: "too old".to_owned(),
        });
        let protobuf = headers([("content-type", "application/x-protobuf")]);
        assert_eq!(http(StatusCode::OK, &protobuf, &body), expected);
        let framed = [&[0, 0, 0, 0, body.len() as u8], &*body].concat();
        let end = headers([("grpc-status", "0")]);
        assert_eq!(grpc(StatusCode::OK, &end, &framed), expected);
    }
}

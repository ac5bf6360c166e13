//! One request and its response while they last: the open side of a span.

use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, Uri, Version, header, request, uri};

use crate::{
    phase::{Party, Recorder},
    span::{Scheme, Span},
};

/// An exchange that has not ended yet.
///
/// Whoever owns it ends it exactly once, with [`Exchange::finish`]; it is moved from the future to
/// the body of the response, and perhaps on to a socket that is still to take the last byte.
#[derive(Debug)]
pub struct Exchange {
    span: Box<Span>,
    recorder: Recorder,
}

impl Exchange {
    /// An exchange that `recorder` takes notes of and that will become `span`.
    #[must_use]
    pub fn new(span: Box<Span>, recorder: Recorder) -> Self {
        Self { span, recorder }
    }

    /// The notes of its phases.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// What is known of the span so far.
    pub fn span_mut(&mut self) -> &mut Span {
        &mut self.span
    }

    /// The response's headers are there.
    pub fn responded(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.span.status = Some(status);
        self.grpc_status(headers);
    }

    /// Reads a gRPC status from trailers, or from headers where there is no body.
    pub fn grpc_status(&mut self, headers: &HeaderMap) {
        let status = headers
            .get("grpc-status")
            .and_then(|value| value.to_str().ok());
        if let Some(status) = status.and_then(|text| text.parse().ok()) {
            self.span.grpc_status = Some(status);
        }
    }

    /// So many more bytes of the response's body were passed on.
    pub fn response_body(&mut self, bytes: usize) {
        self.span.response_bytes += bytes as u64;
    }

    /// Ends the exchange at `end`. Step 9 of the way of a request, first half: notes become a span.
    #[must_use]
    pub fn finish(mut self, end: Instant) -> Box<Span> {
        self.span.phases = self.recorder.phases(end);
        self.span.failure = self.recorder.failure();
        self.span.request_bytes = self.recorder.request_bytes();
        self.span.connection = self.recorder.connection_use();
        self.span
    }

    /// Ends the exchange at `end`, before its time.
    #[must_use]
    pub fn abort(self, ended_by: Party, error_type: &str, end: Instant) -> Box<Span> {
        self.recorder.fail(ended_by, error_type);
        self.finish(end)
    }
}

/// Notes on `span` what a request says about itself.
pub(crate) fn describe(span: &mut Span, request: &request::Parts) {
    span.method.set(request.method.as_str());
    span.version = request.version;
    span.path.set(request.uri.path());
    let agent = request.headers.get(header::USER_AGENT);
    if let Some(agent) = agent.and_then(|value| value.to_str().ok()) {
        span.user_agent.set(agent);
    }
    // Told by its type (gRPC over HTTP/2, "Requests"); in HTTP/1 there is none.
    span.is_grpc = request.version == Version::HTTP_2
        && request
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if request.uri.scheme() == Some(&uri::Scheme::HTTPS) {
        span.scheme = Scheme::Https;
    }
    if let Some((host, port)) = target(&request.uri, &request.headers) {
        span.host.set(host);
        span.port = port;
    }
}

/// The host and port that a request is meant for: of its target, or else of its `Host` header.
fn target<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<(&'r str, Option<u16>)> {
    if let Some(authority) = uri.authority() {
        return Some((authority.host(), authority.port_u16()));
    }
    let host = headers.get(header::HOST)?.to_str().ok()?;
    // An IPv6 address has colons of its own, inside brackets.
    let after_address = host.rfind(']').map_or(0, |bracket| bracket + 1);
    match host[after_address..].rfind(':') {
        Some(colon) => {
            let colon = after_address + colon;
            Some((&host[..colon], host[colon + 1..].parse().ok()))
        }
        None => Some((host, None)),
    }
}

/// The wall time of `moment`, given that it is `wall` at `now`.
pub(crate) fn wall_at(
    moment: Instant,
    now: Instant,
    wall: std::time::SystemTime,
) -> std::time::SystemTime {
    let ago = now.checked_duration_since(moment).unwrap_or(Duration::ZERO);
    wall.checked_sub(ago).unwrap_or(wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_found_in_every_form_of_request() {
        for (uri, host, expected) in [
            ("/x", Some("shop:8080"), Some(("shop", Some(8080)))),
            ("/x", Some("shop"), Some(("shop", None))),
            ("/x", Some("[::1]:80"), Some(("[::1]", Some(80)))),
            ("/x", Some("[::1]"), Some(("[::1]", None))),
            ("http://a.b:81/x", Some("other"), Some(("a.b", Some(81)))),
            ("/x", None, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(host) = host {
                headers.insert(header::HOST, host.parse().unwrap());
            }
            assert_eq!(
                target(&uri.parse().unwrap(), &headers),
                expected,
                "{uri} {host:?}"
            );
        }
    }
}

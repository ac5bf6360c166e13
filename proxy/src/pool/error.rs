//! Why a request got no response, in which phase, and what its caller is told.

use std::{error::Error as _, fmt, io};

use http::{StatusCode, request};
use throughline::phase::{Party, Phase};

use crate::tls::Reason;

/// A request that got no response.
#[derive(Debug)]
pub struct Error {
    cause: Cause,
    /// The phase as it was noted, where it was.
    phase: Option<Phase>,
    detail: String,
    replay: Option<Box<request::Parts>>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Too many requests were open for too long.
    Queue,
    /// Too many requests wait already.
    QueueFull,
    /// The name has no address.
    Dns,
    /// Resolving took too long.
    DnsTimeout,
    /// Nobody listens there, or nobody gets there.
    Connect,
    /// Connecting took too long.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls(Reason),
    /// The TLS handshake took too long.
    TlsTimeout,
    /// The connection was closed or reset before the response.
    Closed,
    /// The upstream said that it did not begin with the request.
    Refused,
    /// What came was no HTTP response.
    BadResponse,
    /// The caller's request body broke off.
    RequestBody,
    /// The caller's request body stopped coming.
    BodyTimeout,
    /// The response took too long.
    ResponseTimeout,
    /// The response paused for too long.
    ResponseIdleTimeout,
    /// All of it took too long.
    RequestTimeout,
    /// The request would come back to us.
    Loop,
    /// The request names no place to go to.
    NoRoute,
    /// The request asks for a tunnel.
    Tunnel,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 21] = [
        Self::Queue,
        Self::QueueFull,
        Self::Dns,
        Self::DnsTimeout,
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls(Reason::Expired),
        Self::Tls(Reason::UnknownCa),
        Self::Tls(Reason::WrongName),
        Self::Tls(Reason::Other),
        Self::TlsTimeout,
        Self::Closed,
        Self::Refused,
        Self::BadResponse,
        Self::RequestBody,
        Self::ResponseTimeout,
        Self::ResponseIdleTimeout,
        Self::RequestTimeout,
        Self::Loop,
        Self::NoRoute,
        Self::Tunnel,
    ];

    /// The value of `error.type`.
    #[must_use]
    pub fn error_type(self) -> &'static str {
        self.facts().1
    }

    /// How long a caller had better wait, where that helps.
    #[must_use]
    pub fn retry_after(self) -> Option<u64> {
        matches!(self, Self::Queue | Self::QueueFull).then_some(1)
    }

    fn facts(self) -> (StatusCode, &'static str, Phase, Party) {
        use Party::{Client, Proxy, Upstream};
        match self {
            Self::Queue => (
                StatusCode::SERVICE_UNAVAILABLE,
                "queue_timeout",
                Phase::Queue,
                Proxy,
            ),
            Self::QueueFull => (
                StatusCode::SERVICE_UNAVAILABLE,
                "queue_full",
                Phase::Queue,
                Proxy,
            ),
            Self::Dns => (StatusCode::BAD_GATEWAY, "dns_error", Phase::Dns, Upstream),
            Self::DnsTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "dns_timeout",
                Phase::Dns,
                Proxy,
            ),
            Self::Connect => (
                StatusCode::BAD_GATEWAY,
                "connect_error",
                Phase::Connect,
                Upstream,
            ),
            Self::ConnectTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "connect_timeout",
                Phase::Connect,
                Proxy,
            ),
            Self::Tls(reason) => (
                StatusCode::BAD_GATEWAY,
                match reason {
                    Reason::Expired => "tls_certificate_expired",
                    Reason::UnknownCa => "tls_unknown_ca",
                    Reason::WrongName => "tls_wrong_name",
                    _ => "tls_error",
                },
                Phase::Tls,
                Upstream,
            ),
            Self::TlsTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "tls_timeout",
                Phase::Tls,
                Proxy,
            ),
            Self::Closed => (
                StatusCode::BAD_GATEWAY,
                "connection_closed",
                Phase::Wait,
                Upstream,
            ),
            Self::Refused => (
                StatusCode::BAD_GATEWAY,
                "stream_refused",
                Phase::Wait,
                Upstream,
            ),
            Self::BadResponse => (
                StatusCode::BAD_GATEWAY,
                "bad_response",
                Phase::Wait,
                Upstream,
            ),
            Self::RequestBody => (StatusCode::BAD_REQUEST, "request_body", Phase::Send, Client),
            Self::BodyTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                Phase::Send,
                Client,
            ),
            Self::ResponseTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "response_timeout",
                Phase::Wait,
                Proxy,
            ),
            Self::ResponseIdleTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "response_idle_timeout",
                Phase::Transfer,
                Proxy,
            ),
            Self::RequestTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "request_timeout",
                Phase::Wait,
                Proxy,
            ),
            Self::Loop => (StatusCode::LOOP_DETECTED, "loop", Phase::Proxy, Proxy),
            Self::NoRoute => (StatusCode::BAD_REQUEST, "no_route", Phase::Proxy, Client),
            Self::Tunnel => (StatusCode::NOT_IMPLEMENTED, "tunnel", Phase::Proxy, Proxy),
        }
    }
}

impl Error {
    pub(crate) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            cause,
            phase: None,
            detail: detail.into(),
            replay: None,
        }
    }

    /// What hyper says about an exchange that broke.
    pub(super) fn exchange(error: &hyper::Error) -> Self {
        let cause = if error.is_parse() {
            Cause::BadResponse
        } else if error.is_user() {
            Cause::RequestBody
        } else {
            Cause::Closed
        };
        let mut cause = cause;
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            // RFC 9113, section 8.7: a stream refused so was not processed at all.
            let stream = error.downcast_ref::<h2::Error>();
            if stream.and_then(h2::Error::reason) == Some(h2::Reason::REFUSED_STREAM) {
                cause = Cause::Refused;
            }
            detail = format!("{detail}: {error}");
            source = error.source();
        }
        Self::new(cause, detail)
    }

    pub(super) fn connect(error: &io::Error) -> Self {
        Self::new(Cause::Connect, error.to_string())
    }

    pub(super) fn in_phase(mut self, phase: Phase) -> Self {
        self.phase = Some(phase);
        self
    }

    pub(super) fn with_replay(mut self, replay: Box<request::Parts>) -> Self {
        self.replay = Some(replay);
        self
    }

    /// The request, if it is safe to send it once more.
    pub fn take_replay(&mut self) -> Option<Box<request::Parts>> {
        self.replay.take()
    }

    /// What went wrong.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The status that the caller gets: 502 for an upstream that fails, 503 for one that is full,
    /// 504 for one that is too slow, 408 for a caller that is.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.cause.facts().0
    }

    /// The value of `error.type`.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        self.cause.facts().1
    }

    /// The phase that the request died in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase.unwrap_or_else(|| self.cause.facts().2)
    }

    /// Who ended it.
    #[must_use]
    pub fn ended_by(&self) -> Party {
        self.cause.facts().3
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in phase {}: {}",
            self.error_type(),
            self.phase(),
            self.detail
        )
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_phase() {
        let error = Error::connect(&io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(
            error.to_string(),
            "connect_error in phase connect: connection refused"
        );
        assert_eq!(error.status(), StatusCode::BAD_GATEWAY);
    }
}

//! One finished piece of work, its parent, and how the parent is known.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    num::NonZeroU64,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Method, StatusCode, Version};

use crate::{
    context::{TraceContext, TraceFlags},
    id::{SpanId, TraceId},
    phase::{ConnectionUse, Failure, Party, Phase, Phases},
    propagation::{Format, Rejections, Remote},
    text::Inline,
    tls::Session,
};

/// Which side of a hop a span describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request that was answered.
    Server,
    /// A request that was made.
    Client,
}

/// What tells us that one request caused another, in falling order of certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The call carries a trace context.
    Propagated,
    /// An id that was given to the request came back in the call.
    RequestId,
    /// The thread that makes the call said which request it is serving.
    Signal,
    /// Another value of the request, which no other has, came back in the call.
    Value,
    /// The call's socket belongs to the process that serves the request.
    Process,
    /// No other request was open that could have caused the call.
    SoleCandidate,
    /// Learned call order and delays.
    Timing,
    /// Nothing sufficed: no parent is asserted, and the candidates are linked.
    Open,
}

impl Evidence {
    /// Every kind of evidence.
    pub const ALL: [Self; 8] = [
        Self::Propagated,
        Self::RequestId,
        Self::Signal,
        Self::Value,
        Self::Process,
        Self::SoleCandidate,
        Self::Timing,
        Self::Open,
    ];

    /// The value of `throughline.parent.evidence`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Propagated => "propagated",
            Self::RequestId => "request_id",
            Self::Signal => "signal",
            Self::Value => "value",
            Self::Process => "process",
            Self::SoleCandidate => "sole_candidate",
            Self::Timing => "timing",
            Self::Open => "open",
        }
    }

    /// Whether the parent was worked out, and not told.
    #[must_use]
    pub fn is_inferred(self) -> bool {
        !matches!(self, Self::Propagated | Self::Open)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the parent of a call is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parentage {
    /// What tells us.
    pub evidence: Evidence,
    /// How sure that is, in 0..=1.
    pub confidence: f32,
    /// How many requests could have caused the call.
    pub candidates: u16,
}

/// Why a span is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It may be the parent.
    Candidate,
    /// It turned out to be the parent after the call had begun, and its context had gone out.
    Parent,
    /// A header in another format named it as the parent, and was not believed.
    Conflict,
    /// A caller who is not trusted named it as the parent.
    Untrusted,
}

impl Relation {
    /// The value of `throughline.link`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Parent => "parent",
            Self::Conflict => "conflict",
            Self::Untrusted => "untrusted",
        }
    }

    /// Whether it was worked out which span is linked, and with some confidence. Such a span is one
    /// of this very process; all others are somebody else's.
    #[must_use]
    pub fn is_inferred(self) -> bool {
        matches!(self, Self::Candidate | Self::Parent)
    }
}

/// A context that was read and did not win.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The format that it was in.
    pub format: Format,
    /// The trace that it named.
    pub trace_id: TraceId,
}

impl Conflict {
    /// What is noted of a context that lost.
    #[must_use]
    pub fn of(loser: &Remote) -> Self {
        Self {
            format: loser.source,
            trace_id: loser.trace_id,
        }
    }
}

/// A member of a request's baggage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, with `baggage.` in front: the attribute.
    pub attribute: Arc<str>,
    /// Its value, decoded and cut where it is too long.
    pub value: Inline<128>,
}

/// A span that may be related, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Why it is linked.
    pub relation: Relation,
    /// Its trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// Whether its trace is recorded.
    pub flags: TraceFlags,
    /// How likely it is the parent, of a candidate and of what turned out to be the parent.
    pub confidence: f32,
}

impl Link {
    /// A link to the span that `remote` names; `None` if it names a trace alone.
    #[must_use]
    pub fn to(remote: &Remote, relation: Relation) -> Option<Self> {
        Some(Self {
            relation,
            trace_id: remote.trace_id,
            span_id: remote.parent?,
            flags: remote.flags,
            confidence: 0.0,
        })
    }
}

/// The most links that a span carries.
pub const MAX_LINKS: usize = 4;

/// The scheme of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// In clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where nothing else is said.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What passed where an exchange went on as bytes, after its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tunnel {
    /// What was agreed on, such as `websocket`; empty where nothing was named.
    pub protocol: Inline<24>,
    /// How many bytes went from the client to the server.
    pub to_server: u64,
    /// How many bytes went from the server to the client.
    pub to_client: u64,
    /// Who was first to say that it was through, or broke off.
    pub ended_by: Option<Party>,
    /// The TLS handshake in it, where there was one.
    pub tls: Option<Tls>,
}

/// What a TLS handshake says in clear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The server that the client asks for.
    pub server_name: Inline<255>,
    /// The protocol that the server chose, where that is not encrypted.
    pub next_protocol: Inline<32>,
    /// `1.2` or `1.3`, where the server came to say it.
    pub version: Option<&'static str>,
}

/// One finished exchange as seen from one side of a hop: a record of fixed size.
///
/// Text that a client chose is kept in place and cut where it is too long; the `tracestate` is
/// shared and bounded by its format. A span never holds a query, a body or a header value besides
/// `Host` and `User-Agent`.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace.
    pub trace_id: TraceId,
    /// The span itself.
    pub span_id: SpanId,
    /// Its parent; `None` at the root.
    pub parent: Option<SpanId>,
    /// Whether the parent lives in another process.
    pub parent_is_remote: bool,
    /// Whether and how the trace is recorded.
    pub flags: TraceFlags,
    /// The `tracestate` that travels with the trace.
    pub state: Option<Arc<str>>,
    /// Which side of the hop this is.
    pub kind: Kind,
    /// How the parent is known, where it was not simply the caller's context.
    pub parentage: Option<Parentage>,
    /// Whether a parent was asserted that turned out to be the wrong one.
    pub parent_is_disputed: bool,
    /// The call that this span is an attempt of, where more may become known of its parent; `None`
    /// where nothing more does.
    pub call: Option<NonZeroU64>,
    /// Spans that may be related.
    pub links: [Option<Link>; MAX_LINKS],
    /// The wall time of the first mark, read once.
    pub started: SystemTime,
    /// The parts of the duration, which sum to it.
    pub phases: Phases,
    /// Whether the first byte could not be seen, so that the span begins when its headers were
    /// complete.
    pub starts_at_headers: bool,
    /// What cut the exchange short, if anything did.
    pub failure: Option<Failure>,
    /// The request method as it was sent.
    pub method: Inline<24>,
    /// The matched route, where one is known.
    pub route: Inline<96>,
    /// `http` or `https`.
    pub scheme: Scheme,
    /// The host that was asked for, without its port.
    pub host: Inline<96>,
    /// The port that was asked for, where it was named.
    pub port: Option<u16>,
    /// The path, without its query.
    pub path: Inline<200>,
    /// The `User-Agent` header.
    pub user_agent: Inline<96>,
    /// Who asked.
    pub client: Option<IpAddr>,
    /// The protocol of the request.
    pub version: Version,
    /// The final status code; `None` where there was no response.
    pub status: Option<StatusCode>,
    /// Whether it is a gRPC call, whose path is a service and a method.
    pub is_grpc: bool,
    /// The status of a gRPC call, from its trailers.
    pub grpc_status: Option<u16>,
    /// How many bytes of the request's body went on, where whoever carried it counts them.
    pub request_bytes: u64,
    /// How many bytes of the response's body were passed on.
    pub response_bytes: u64,
    /// Which resend of the request this is; 0 for the first.
    pub resend_count: u32,
    /// The connection that carried the exchange to the upstream.
    pub connection: Option<ConnectionUse>,
    /// What passed after the response, where it agreed on that.
    pub tunnel: Option<Box<Tunnel>>,
    /// The caller's connection, where it speaks TLS; shared by all its requests.
    pub tls: Option<Arc<Session>>,
    /// Whether this is the first request after that connection's handshake.
    pub tls_is_new: bool,
    /// What copied the context onto the call, where a forwarder that launched with the app did.
    pub forwarder: Option<&'static str>,
    /// The header format that the parent was read from.
    pub context_source: Option<Format>,
    /// The context in another format that named another trace, and lost.
    pub context_conflict: Option<Conflict>,
    /// The context headers that could not be read.
    pub context_rejected: Rejections,
    /// Whether a context header was signed, and so went on as it was.
    pub context_frozen: bool,
    /// Members of the baggage that were asked for by name.
    pub baggage: Option<Box<[Member]>>,
}

impl Span {
    /// A span at `context`, of which only who it is and when it began is known yet.
    #[must_use]
    pub fn new(kind: Kind, context: &TraceContext, started: SystemTime) -> Self {
        Self {
            trace_id: context.trace_id,
            span_id: context.span_id,
            parent: None,
            parent_is_remote: false,
            flags: context.flags,
            // In memory of its own: a span outlives the buffers of its connection.
            state: context
                .state
                .as_ref()
                .and_then(|state| state.to_str().ok())
                .map(Arc::from),
            kind,
            parentage: None,
            parent_is_disputed: false,
            call: None,
            links: [None; MAX_LINKS],
            started,
            phases: Phases::default(),
            starts_at_headers: false,
            failure: None,
            method: Inline::EMPTY,
            route: Inline::EMPTY,
            scheme: Scheme::Http,
            host: Inline::EMPTY,
            port: None,
            path: Inline::EMPTY,
            user_agent: Inline::EMPTY,
            client: None,
            version: Version::HTTP_11,
            status: None,
            is_grpc: false,
            grpc_status: None,
            request_bytes: 0,
            response_bytes: 0,
            resend_count: 0,
            connection: None,
            tunnel: None,
            tls: None,
            tls_is_new: false,
            forwarder: None,
            context_source: None,
            context_conflict: None,
            context_rejected: Rejections::default(),
            context_frozen: false,
            baggage: None,
        }
    }

    /// How long it took: the sum of its phases.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.phases.total()
    }

    /// The wall time of its end.
    #[must_use]
    pub fn ended(&self) -> SystemTime {
        self.started + self.duration()
    }

    /// The phase that was running when the exchange was cut short.
    #[must_use]
    pub fn interrupted(&self) -> Option<Phase> {
        self.failure.map(|failure| failure.phase)
    }

    /// The method, if it is one of those that every server knows. Others would make a name or a
    /// metric of unbounded cardinality, so that conventions call them `_OTHER`.
    #[must_use]
    pub fn known_method(&self) -> Option<&str> {
        let known = [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::HEAD,
            Method::OPTIONS,
            Method::PATCH,
            Method::CONNECT,
            Method::TRACE,
        ];
        let method = self.method.as_str();
        known.iter().any(|m| m.as_str() == method).then_some(method)
    }

    /// The name: `{method}` or `{method} {route}`, never a raw path.
    #[must_use]
    pub fn name(&self) -> Inline<128> {
        let mut name = Inline::new(self.known_method().unwrap_or("HTTP"));
        if !self.route.is_empty() {
            name.push(" ");
            name.push(self.route.as_str());
        }
        name
    }

    /// The value of `error.type`, or `None` if the exchange went well.
    ///
    /// A server is to blame for 5xx alone; for a caller 4xx is an error too. A gRPC call that failed
    /// has a status other than 0 behind an HTTP status of 200.
    #[must_use]
    pub fn error_type(&self) -> Option<Inline<40>> {
        if let Some(failure) = self.failure {
            return Some(failure.error_type);
        }
        let first_error = match self.kind {
            Kind::Server => 500,
            Kind::Client => 400,
        };
        match self.status {
            Some(status) if status.as_u16() >= first_error => Some(status.as_str().into()),
            _ => match self.grpc_status {
                None | Some(0) => None,
                Some(code) => {
                    let mut text = Inline::new("grpc_");
                    text.push(code.to_string().as_str());
                    Some(text)
                }
            },
        }
    }

    /// The links, without the empty places.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().flatten()
    }

    /// The address at the other end of the connection: of the upstream, where there is one.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.connection.and_then(|connection| connection.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(kind: Kind) -> Span {
        let context = TraceContext::new(
            TraceId::epoch_prefixed(1, 2),
            SpanId::from_random(3),
            TraceFlags::SAMPLED,
        );
        Span::new(kind, &context, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn the_name_never_holds_a_raw_path_or_an_odd_method() {
        let mut span = span(Kind::Server);
        span.path = "/users/17".into();
        span.method = "GET".into();
        assert_eq!(span.name().as_str(), "GET");
        span.route = "/users/{id}".into();
        assert_eq!(span.name().as_str(), "GET /users/{id}");
        span.method = "BREW".into();
        assert_eq!(span.name().as_str(), "HTTP /users/{id}");
    }

    #[test]
    fn blame_depends_on_the_side() {
        for (kind, status, error) in [
            (Kind::Server, 404, None),
            (Kind::Server, 500, Some("500")),
            (Kind::Client, 404, Some("404")),
            (Kind::Client, 399, None),
        ] {
            let mut span = span(kind);
            span.status = StatusCode::from_u16(status).ok();
            assert_eq!(
                span.error_type().as_ref().map(Inline::as_str),
                error,
                "{kind:?} {status}"
            );
        }
    }

    #[test]
    fn a_failed_grpc_call_is_an_error_behind_200() {
        let mut span = span(Kind::Client);
        span.status = Some(StatusCode::OK);
        span.grpc_status = Some(14);
        assert_eq!(span.error_type().unwrap().as_str(), "grpc_14");
    }

    #[test]
    fn a_span_is_small_enough_to_queue_by_the_thousand() {
        assert!(size_of::<Span>() <= 1280, "{}", size_of::<Span>());
    }
}

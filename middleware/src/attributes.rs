//! What a span says, as attributes: the one mapping that every exporter uses.
//!
//! A span leaves through the sidecar's own OTLP writer or through the OpenTelemetry SDK of an app,
//! and must look the same on both ways. So the mapping is here, once: it walks through the
//! attributes in a fixed order and hands each to a function that writes it in whatever form. Nothing
//! is allocated, and an attribute whose value is not known does not exist.

use std::fmt::{self, Write as _};

use http::Version;

use crate::{
    phase::Phase,
    propagation::Format,
    semconv as name,
    span::{Kind, Link, Span, Tunnel},
    tls::Handshake,
};

/// The value of one attribute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Str(&'a str),
    /// An integer.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// A real number.
    Float(f64),
}

/// Hands each attribute of `span` to `each`, in a fixed order and no name twice.
///
/// ```
/// use std::time::SystemTime;
/// use throughline::{
///     ambient,
///     attributes::{self, Value},
///     context::{TraceContext, TraceFlags},
///     span::{Kind, Span},
/// };
///
/// let context =
///     TraceContext::new(ambient::trace_id(), ambient::span_id(), TraceFlags::SAMPLED);
/// let mut span = Span::new(Kind::Client, &context, SystemTime::UNIX_EPOCH);
/// span.method = "GET".into();
/// span.host = "stock".into();
/// span.path = "/items/7".into();
///
/// let mut url = None;
/// attributes::of(&span, |name, value| match (name, value) {
///     ("url.full", Value::Str(full)) => url = Some(full.to_owned()),
///     _ => {}
/// });
/// assert_eq!(url.as_deref(), Some("http://stock/items/7"));
/// ```
pub fn of(span: &Span, mut each: impl FnMut(&'static str, Value<'_>)) {
    request(span, &mut each);
    match span.kind {
        Kind::Server => server(span, &mut each),
        Kind::Client => client(span, &mut each),
    }
    outcome(span, &mut each);
    hop(span, &mut each);
}

/// Hands each attribute whose name somebody configured to `each`, after those of [`of`].
pub fn of_baggage(span: &Span, mut each: impl FnMut(&str, &str)) {
    for member in span.baggage.iter().flatten() {
        each(&member.attribute, member.value.as_str());
    }
}

/// Hands each attribute of a span's `link` to `each`.
pub fn of_link(link: &Link, mut each: impl FnMut(&'static str, Value<'_>)) {
    each(name::LINK, Value::Str(link.relation.name()));
    if link.relation.is_inferred() {
        each(name::PARENT_CONFIDENCE, ratio(link.confidence));
    }
}

/// The name of the attribute that holds how long `phase` took.
#[must_use]
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Receive => "throughline.phase.receive",
        Phase::Proxy => "throughline.phase.proxy",
        Phase::Retry => "throughline.phase.retry",
        Phase::Queue => "throughline.phase.queue",
        Phase::Dns => "throughline.phase.dns",
        Phase::Connect => "throughline.phase.connect",
        Phase::Tls => "throughline.phase.tls",
        Phase::Send => "throughline.phase.send",
        Phase::Wait => "throughline.phase.wait",
        Phase::Transfer => "throughline.phase.transfer",
        Phase::Drain => "throughline.phase.drain",
        Phase::Tunnel => "throughline.phase.tunnel",
    }
}

/// What was asked, and of whom.
fn request(span: &Span, each: &mut impl FnMut(&'static str, Value<'_>)) {
    match span.known_method() {
        Some(method) => each(name::HTTP_REQUEST_METHOD, Value::Str(method)),
        None => {
            each(name::HTTP_REQUEST_METHOD, Value::Str("_OTHER"));
            text(
                each,
                name::HTTP_REQUEST_METHOD_ORIGINAL,
                span.method.as_str(),
            );
        }
    }
    if !span.host.is_empty() {
        // The brackets of an IPv6 address belong to the spelling of URLs, not to the address.
        let address = span.host.as_str();
        let bare = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        each(name::SERVER_ADDRESS, Value::Str(bare.unwrap_or(address)));
        // A caller knows which port it dials. A server behind others knows what it was told.
        let port = match span.kind {
            Kind::Server => span.port,
            Kind::Client => Some(span.port.unwrap_or_else(|| span.scheme.default_port())),
        };
        if let Some(port) = port {
            each(name::SERVER_PORT, Value::Int(port.into()));
        }
    }
    if let Some(version) = protocol_version(span.version) {
        each(name::NETWORK_PROTOCOL_VERSION, Value::Str(version));
    }
    if span.is_grpc {
        each(name::RPC_SYSTEM, Value::Str("grpc"));
        let path = span.path.as_str();
        let called = path
            .strip_prefix('/')
            .and_then(|path| path.rsplit_once('/'));
        if let Some((service, method)) = called {
            text(each, name::RPC_SERVICE, service);
            text(each, name::RPC_METHOD, method);
        }
    }
}

/// What only the side that answers knows.
fn server(span: &Span, each: &mut impl FnMut(&'static str, Value<'_>)) {
    text(each, name::HTTP_ROUTE, span.route.as_str());
    each(name::URL_SCHEME, Value::Str(span.scheme.as_str()));
    text(each, name::URL_PATH, span.path.as_str());
    if let Some(client) = span.client {
        let client = Joined::<MAX_IP>::new(format_args!("{client}"));
        each(name::CLIENT_ADDRESS, Value::Str(client.as_str()));
        // Whoever asks is the other end: forwarding headers are not believed.
        each(name::NETWORK_PEER_ADDRESS, Value::Str(client.as_str()));
    }
    text(each, name::USER_AGENT_ORIGINAL, span.user_agent.as_str());
    let Some(session) = &span.tls else { return };
    handshake(session.handshake, each);
    if span.tls_is_new {
        let took = u64::try_from(session.took.as_nanos()).unwrap_or(u64::MAX);
        each(name::TLS_HANDSHAKE, int(took));
    }
    if let Some(client) = &session.client {
        text(each, name::TLS_CLIENT_SUBJECT, &client.subject);
        text(each, name::TLS_CLIENT_ISSUER, &client.issuer);
        text(
            each,
            name::TLS_CLIENT_NAME,
            client.name().unwrap_or_default(),
        );
    }
}

fn handshake(handshake: Handshake, each: &mut impl FnMut(&'static str, Value<'_>)) {
    each(name::TLS_PROTOCOL_NAME, Value::Str("tls"));
    let version = handshake.version.name();
    each(name::TLS_PROTOCOL_VERSION, Value::Str(version));
    each(name::TLS_RESUMED, Value::Bool(handshake.resumed));
}

/// What only the side that asks knows.
fn client(span: &Span, each: &mut impl FnMut(&'static str, Value<'_>)) {
    if !span.host.is_empty() {
        let url = url_full(span);
        each(name::URL_FULL, Value::Str(url.as_str()));
    }
    if let Some(peer) = span.peer() {
        let address = Joined::<MAX_IP>::new(format_args!("{}", peer.ip()));
        each(name::NETWORK_PEER_ADDRESS, Value::Str(address.as_str()));
        each(name::NETWORK_PEER_PORT, Value::Int(peer.port().into()));
    }
    if let Some(shaken) = span.connection.and_then(|connection| connection.tls) {
        handshake(shaken, each);
    }
    if span.resend_count > 0 {
        let count = Value::Int(span.resend_count.into());
        each(name::HTTP_REQUEST_RESEND_COUNT, count);
    }
}

/// How it ended.
fn outcome(span: &Span, each: &mut impl FnMut(&'static str, Value<'_>)) {
    if let Some(status) = span.status {
        let status = Value::Int(status.as_u16().into());
        each(name::HTTP_RESPONSE_STATUS_CODE, status);
    }
    if let Some(code) = span.grpc_status {
        each(name::RPC_GRPC_STATUS_CODE, Value::Int(code.into()));
    }
    if let Some(error) = span.error_type() {
        each(name::ERROR_TYPE, Value::Str(error.as_str()));
    }
}

/// What the conventions have no word for: where the time went, and how the parent is known.
fn hop(span: &Span, each: &mut impl FnMut(&'static str, Value<'_>)) {
    for (phase, nanos) in span.phases.iter() {
        each(phase_name(phase), int(nanos));
    }
    if let Some(failure) = span.failure {
        let (phase, party) = (failure.phase.name(), failure.ended_by.name());
        each(name::PHASE_INTERRUPTED, Value::Str(phase));
        each(name::ENDED_BY, Value::Str(party));
    }
    if let Some(tunnel) = &span.tunnel {
        self::tunnel(span, tunnel, each);
    }
    if span.starts_at_headers {
        each(name::START_PRECISION, Value::Str("headers"));
    }
    if let Some(connection) = span.connection {
        let age = u64::try_from(connection.age.as_nanos()).unwrap_or(u64::MAX);
        each(name::CONNECTION_REUSED, Value::Bool(connection.reused));
        each(name::CONNECTION_AGE, int(age));
        each(name::CONNECTION_ORDINAL, int(connection.ordinal));
    }
    if let Some(parentage) = span.parentage {
        let evidence = parentage.evidence.name();
        each(name::PARENT_EVIDENCE, Value::Str(evidence));
        each(name::PARENT_CONFIDENCE, ratio(parentage.confidence));
        let candidates = Value::Int(parentage.candidates.into());
        each(name::PARENT_CANDIDATES, candidates);
    }
    if let Some(forwarder) = span.forwarder {
        each(name::PARENT_FORWARDER, Value::Str(forwarder));
    }
    if span.parent_is_disputed {
        each(name::PARENT_DISPUTED, Value::Bool(true));
    }
    if let Some(source) = span.context_source {
        each(name::CONTEXT_SOURCE, Value::Str(source.name()));
    }
    if let Some(conflict) = span.context_conflict {
        let format = conflict.format;
        let said = match format {
            Format::XRay => {
                Joined::<MAX_CONFLICT>::new(format_args!("{format}:{}", conflict.trace_id.xray()))
            }
            _ => Joined::new(format_args!("{format}:{}", conflict.trace_id)),
        };
        each(name::CONTEXT_CONFLICT, Value::Str(said.as_str()));
    }
    if !span.context_rejected.is_empty() {
        let mut said = Joined::<MAX_REJECTED>::new(format_args!(""));
        for (format, reason) in span.context_rejected.iter() {
            let comma = if said.len == 0 { "" } else { "," };
            let _ = write!(said, "{comma}{format}:{}", reason.name());
        }
        each(name::CONTEXT_REJECTED, Value::Str(said.as_str()));
    }
    if span.context_frozen {
        each(name::CONTEXT_FROZEN, Value::Bool(true));
    }
}

/// What passed where HTTP had ended.
fn tunnel(span: &Span, tunnel: &Tunnel, each: &mut impl FnMut(&'static str, Value<'_>)) {
    if let (None, Some(party)) = (span.failure, tunnel.ended_by) {
        each(name::ENDED_BY, Value::Str(party.name()));
    }
    text(each, name::TUNNEL_PROTOCOL, tunnel.protocol.as_str());
    each(name::TUNNEL_TO_SERVER, int(tunnel.to_server));
    each(name::TUNNEL_TO_CLIENT, int(tunnel.to_client));
    let Some(tls) = &tunnel.tls else {
        return;
    };
    text(each, name::TLS_CLIENT_SERVER_NAME, tls.server_name.as_str());
    text(each, name::TLS_NEXT_PROTOCOL, tls.next_protocol.as_str());
    // Of TLS within TLS, the outer one has been told.
    let is_within = span.tls.is_some() || span.connection.is_some_and(|used| used.tls.is_some());
    if let (Some(version), false) = (tls.version, is_within) {
        each(name::TLS_PROTOCOL_VERSION, Value::Str(version));
    }
}

fn text(each: &mut impl FnMut(&'static str, Value<'_>), name: &'static str, text: &str) {
    if !text.is_empty() {
        each(name, Value::Str(text));
    }
}

fn int(value: u64) -> Value<'static> {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A share in 0..=1 as it was meant: 0.9 in single precision is 0.89999998 in double.
fn ratio(share: f32) -> Value<'static> {
    Value::Float((f64::from(share) * 1e6).round() / 1e6)
}

fn protocol_version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_09 => Some("0.9"),
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        Version::HTTP_3 => Some("3"),
        _ => None,
    }
}

/// The longest text of an IP address: an IPv6 address that ends in a dotted IPv4 one.
const MAX_IP: usize = 45;

/// The longest word for a conflict: a format, a colon and a trace in X-Ray's spelling.
const MAX_CONFLICT: usize = 12 + 1 + 35;

/// The longest list of rejected formats: seven names and reasons.
const MAX_REJECTED: usize = 7 * (12 + 1 + 10 + 1);

/// The longest address of a call: `https://`, a host, a port and a path as long as a span keeps.
const MAX_URL: usize = 8 + 96 + 6 + 200;

fn url_full(span: &Span) -> Joined<MAX_URL> {
    let (scheme, host) = (span.scheme.as_str(), span.host.as_str());
    // The target of CONNECT has no path, and that of `OPTIONS *` is none.
    let path = Some(span.path.as_str()).filter(|path| path.starts_with('/'));
    let path = path.unwrap_or_default();
    match span.port {
        Some(port) => Joined::new(format_args!("{scheme}://{host}:{port}{path}")),
        None => Joined::new(format_args!("{scheme}://{host}{path}")),
    }
}

/// Text put together in place, for as long as it takes to hand it on.
struct Joined<const N: usize> {
    len: usize,
    bytes: [u8; N],
}

impl<const N: usize> Joined<N> {
    fn new(text: fmt::Arguments<'_>) -> Self {
        let mut joined = Self {
            len: 0,
            bytes: [0; N],
        };
        // The sizes above are the sums of their longest parts; what would not fit is left out.
        let _ = joined.write_fmt(text);
        joined
    }

    fn as_str(&self) -> &str {
        // Only whole strings are ever written, so the fallback is never taken.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Write for Joined<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests;

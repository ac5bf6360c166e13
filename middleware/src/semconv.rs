//! The attribute names used on spans and metrics.
//!
//! The first group is from the stable HTTP semantic conventions of OpenTelemetry 1.44. They have no
//! word for the parts of a duration or for how a parent is known, so those are ours, under
//! `throughline.`.

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $value;)*
    };
}

names! {
    /// The request method, or `_OTHER` for one that is not well known.
    HTTP_REQUEST_METHOD = "http.request.method";
    /// The method as it was sent, where `http.request.method` is `_OTHER`.
    HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original";
    /// The status code of the final response.
    HTTP_RESPONSE_STATUS_CODE = "http.response.status_code";
    /// The matched route, of low cardinality.
    HTTP_ROUTE = "http.route";
    /// Which resend of the request this is, from 1.
    HTTP_REQUEST_RESEND_COUNT = "http.request.resend_count";
    /// Why the exchange failed: a status code or a short name.
    ERROR_TYPE = "error.type";
    /// `grpc`, where that is what was called.
    RPC_SYSTEM = "rpc.system";
    /// The whole name of the service that was called.
    RPC_SERVICE = "rpc.service";
    /// The method of it.
    RPC_METHOD = "rpc.method";
    /// The status of a gRPC call, 0 to 16.
    RPC_GRPC_STATUS_CODE = "rpc.grpc.status_code";
    /// `http` or `https`.
    URL_SCHEME = "url.scheme";
    /// The path, without the query.
    URL_PATH = "url.path";
    /// The whole address of a call, without the query, which may hold secrets.
    URL_FULL = "url.full";
    /// The host that was asked for.
    SERVER_ADDRESS = "server.address";
    /// The port that was asked for.
    SERVER_PORT = "server.port";
    /// The host that asked.
    CLIENT_ADDRESS = "client.address";
    /// The address at the other end of the connection.
    NETWORK_PEER_ADDRESS = "network.peer.address";
    /// The port at the other end of the connection.
    NETWORK_PEER_PORT = "network.peer.port";
    /// `1.0`, `1.1` or `2`.
    NETWORK_PROTOCOL_VERSION = "network.protocol.version";
    /// The name of the server that a TLS client asked for.
    TLS_CLIENT_SERVER_NAME = "tls.client.server_name";
    /// What TLS carries, where the handshake says so in clear.
    TLS_NEXT_PROTOCOL = "tls.next_protocol";
    /// `tls`, where it is spoken.
    TLS_PROTOCOL_NAME = "tls.protocol.name";
    /// `1.2` or `1.3`.
    TLS_PROTOCOL_VERSION = "tls.protocol.version";
    /// Whether the handshake took up an earlier session.
    TLS_RESUMED = "tls.resumed";
    /// The distinguished name in the verified certificate of the client.
    TLS_CLIENT_SUBJECT = "tls.client.subject";
    /// The distinguished name of whoever signed that.
    TLS_CLIENT_ISSUER = "tls.client.issuer";
    /// The `User-Agent` header.
    USER_AGENT_ORIGINAL = "user_agent.original";

    /// Prefix of the phase attributes: `throughline.phase.wait` and so on, integer nanoseconds.
    PHASE_PREFIX = "throughline.phase.";
    /// The phase that was running when the exchange was cut short.
    PHASE_INTERRUPTED = "throughline.phase.interrupted";
    /// Who cut it short, or ended the tunnel: `client`, `upstream` or `proxy`.
    ENDED_BY = "throughline.ended_by";
    /// What a tunnel carries, as it was agreed on: `websocket`, say.
    TUNNEL_PROTOCOL = "throughline.tunnel.protocol";
    /// How many bytes a tunnel carried from the client to the server.
    TUNNEL_TO_SERVER = "throughline.tunnel.to_server";
    /// How many bytes a tunnel carried from the server to the client.
    TUNNEL_TO_CLIENT = "throughline.tunnel.to_client";
    /// `headers` where the first byte of the request could not be seen.
    START_PRECISION = "throughline.start.precision";
    /// Whether the connection had carried another exchange before.
    CONNECTION_REUSED = "throughline.connection.reused";
    /// How long the connection had been open, in nanoseconds.
    CONNECTION_AGE = "throughline.connection.age";
    /// Which exchange on its connection this was, from 1.
    CONNECTION_ORDINAL = "throughline.connection.ordinal";
    /// How long the TLS handshake before the first request of a connection took, in nanoseconds: no
    /// part of the request's own duration.
    TLS_HANDSHAKE = "throughline.tls.handshake";
    /// The alternative name that a client's verified certificate was issued for: its URI, or else its
    /// first DNS name.
    TLS_CLIENT_NAME = "throughline.tls.client.name";
    /// How the parent is known, such as `propagated` or `sole_candidate`.
    PARENT_EVIDENCE = "throughline.parent.evidence";
    /// How sure the parent is, in 0..1; on a link, how likely that span is the parent.
    PARENT_CONFIDENCE = "throughline.parent.confidence";
    /// How many requests could have caused the call.
    PARENT_CANDIDATES = "throughline.parent.candidates";
    /// Whether a parent was asserted that turned out to be the wrong one.
    PARENT_DISPUTED = "throughline.parent.disputed";
    /// What copied the context onto the call: a forwarder and its version.
    PARENT_FORWARDER = "throughline.parent.forwarder";
    /// The header format that the context was read from.
    CONTEXT_SOURCE = "throughline.context.source";
    /// A context in another format that named another trace, as `format:trace`, in the spelling of
    /// that format.
    CONTEXT_CONFLICT = "throughline.context.conflict";
    /// The context headers that could not be read, each as `format:reason`, with commas between them.
    CONTEXT_REJECTED = "throughline.context.rejected";
    /// Whether a signature covers a context header, which then went on as it was.
    CONTEXT_FROZEN = "throughline.context.frozen";
    /// Why a span is linked: `candidate`, `parent`, `conflict` or `untrusted`.
    LINK = "throughline.link";
}

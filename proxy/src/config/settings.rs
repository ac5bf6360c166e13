//! The table of all settings: the one place where a setting is named, explained and given its type.
//!
//! A setting has one name in three spellings: `header_timeout` in the file, `--header-timeout` as a
//! flag and `THROUGHLINE_HEADER_TIMEOUT` in the environment. Its doc comment here is its help text,
//! its comment in the generated example and its line in the reference, so that none of them can be
//! missing or out of date. A new setting is a new entry here and a use of it in `resolve`.

use std::net::SocketAddr;

use http::HeaderName;
use throughline::{propagation::Format, tls::NamePattern, trust::Trust};

use super::{
    layer::Layers,
    value::{
        AccessFormat, AccessTarget, App, Attributes, Bad, Bytes, Confidence, Count, Endpoint,
        Exporter, FilePath, Forwarders, Headers, HostNames, Hosts, KeyPairs, Level, List,
        NamedSampler, OrAuto, OrOff, OrPropagators, Pause, Routes, Shape, Switch, Text, Timeout,
        Value, Workers, Written,
    },
};
use crate::{
    attempts::On,
    balance::Policy,
    export::otlp::{Compression, Protocol as OtlpProtocol},
    group::Check,
    pool,
    tls::ClientAuth,
    values::Source as ValueSource,
};

/// What is known of a setting besides its type.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its name, as the file spells it.
    pub(crate) key: &'static str,
    /// The heading that it stands under.
    pub(crate) group: &'static str,
    /// What stands for its value in a help text.
    pub(crate) placeholder: &'static str,
    /// Its default, in the spelling of a flag; empty where it has none.
    pub(crate) default: &'static str,
    /// A value for the example, in the spelling of the file.
    pub(crate) example: &'static str,
    /// The variables of OpenTelemetry that say the same, the stronger first.
    pub(crate) otel: &'static [&'static str],
    /// Whether empty text in the environment is a value, and not the same as nothing.
    pub(crate) empty_counts: bool,
    /// What the file may hold.
    pub(crate) shape: Shape,
    /// Refuses a value that is none.
    pub(crate) check: fn(&Written) -> Result<(), Bad>,
    doc: &'static str,
}

impl Setting {
    /// Its name as a flag, without the dashes in front.
    pub(crate) fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// Its name in the environment.
    pub(crate) fn variable(&self) -> String {
        format!("THROUGHLINE_{}", self.key.to_uppercase())
    }

    /// What it does, in one line of whole sentences.
    pub(crate) fn doc(&self) -> String {
        let lines: Vec<_> = self.doc.lines().map(str::trim).collect();
        lines.join(" ").trim().to_owned()
    }

    /// Whether it can have several values, and its flag be repeated.
    pub(crate) fn is_list(&self) -> bool {
        self.shape != Shape::One
    }

    /// Whether its value is kept out of everything that is printed.
    pub(crate) fn is_secret(&self) -> bool {
        self.key == "otlp_headers"
    }
}

/// The setting of that name.
pub(crate) fn find(key: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.key == key)
}

macro_rules! settings {
    ($($group:literal { $(
        $(#[doc = $doc:literal])+
        $key:ident: $type:ty {
            $placeholder:literal, default $default:literal, example $example:literal
            $(, otel [$($otel:literal),+])? $(; $empty:ident)?
        }
    )+ })+) => {
        /// Every setting, in the order in which it is shown.
        pub(crate) static TABLE: &[Setting] = &[$($(Setting {
            key: stringify!($key),
            group: $group,
            placeholder: $placeholder,
            default: $default,
            example: $example,
            otel: &[$($($otel),+)?],
            empty_counts: $(stringify!($empty).len() > 0 ||)? false,
            shape: <$type as Value>::SHAPE,
            check: |written| <$type as Value>::parse(written).map(drop),
            doc: concat!($($doc, "\n"),+),
        },)+)+];

        /// The value of every setting.
        #[derive(Debug)]
        pub(crate) struct Settings {
            $($($(#[doc = $doc])+ pub(crate) $key: $type,)+)+
        }

        impl Settings {
            /// Picks each value from the strongest source that has it.
            pub(crate) fn pick(layers: &mut Layers) -> Self {
                Self {
                    $($($key: layers.pick(stringify!($key), $default),)+)+
                }
            }
        }
    };
}

settings! {
    "The service" {
        /// The name of the service. Without it the name is taken from the command that is started
        /// or from the app's host name; the last resort is `unknown_service:throughline`.
        name: Text { "NAME", default "", example "orders",
            otel ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"] }

        /// Where the app listens: a port of this host, or a host and a port; with `https://` in front
        /// where it speaks TLS, so that its certificate is checked (`upstream_ca`, `upstream_names`).
        app: App { "ADDRESS", default "", example "127.0.0.1:3000" }

        /// What the app is spoken to in: `http1`, `h2c`, or `auto` for what the caller speaks, as far
        /// as the app turns out to understand it. Over TLS the handshake tells, and `h2c` is `h2`.
        app_protocol: pool::Protocol { "PROTOCOL", default "auto", example "auto" }

        /// What is said about the service on every span, as `key=value` pairs: text is
        /// percent-decoded, a mapping in the file is not. `service.name` here is the name of the
        /// service where no other is given.
        resource_attributes: Attributes { "PAIRS", default "",
            example "{ deployment.environment.name: staging }", otel ["OTEL_RESOURCE_ATTRIBUTES"] }
    }
    "Listeners" {
        /// Where callers reach the app, or `off` for an app that only makes calls.
        inbound: OrOff<SocketAddr> { "ADDRESS", default "0.0.0.0:15006", example "0.0.0.0:15006" }

        /// Where the app's own calls go out: an HTTP proxy (`HTTP_PROXY`), or `off`. Whoever reaches
        /// it can call anything that this host can, so that it belongs on a loopback address.
        outbound: OrOff<SocketAddr> { "ADDRESS", default "127.0.0.1:15001", example "127.0.0.1:15001" }

        /// Where health, metrics and recent traces are served, or `off`.
        admin: OrOff<SocketAddr> { "ADDRESS", default "127.0.0.1:15000", example "127.0.0.1:15000" }

        /// Fixed ways out, for an app that knows no proxy: what is said to LISTEN goes to UPSTREAM.
        /// The flag can also be written `--route` and can be repeated; in the file it is a list of
        /// `listen` and `upstream`, and of settings that a route has of its own: timeouts, limits and
        /// so on, under the names that they have here. As text they follow after semicolons, as in
        /// `127.0.0.1:9001=stock:80;request_timeout=2s`.
        routes: Routes { "LISTEN=UPSTREAM", default "",
            example "[{ listen: 127.0.0.1:9001, upstream: stock:80, request_timeout: 2s }]" }

        /// Whether connections that the kernel redirects here (`deploy/transparent`) are taken to where
        /// they were going: those to `inbound` to the app's port of that number, those to `outbound` to
        /// their host. What is not HTTP passes as it is.
        transparent: Switch { "on|off", default "off", example "off" }

        /// What a command that is started with `run -- COMMAND` calls directly, and not through the
        /// outbound proxy. It is added to the `NO_PROXY` that is there; the empty text empties it,
        /// so that calls to this very host are traced too.
        no_proxy: Hosts { "HOSTS",
            default "169.254.169.254,169.254.170.2,localhost,127.0.0.1,::1",
            example "[169.254.169.254, 169.254.170.2, localhost, 127.0.0.1, \"::1\"]"; empty_counts }
    }
    "TLS" {
        /// The certificates that callers are met with, in PEM: CERTIFICATE is the service's and those that
        /// lead to its authority, KEY its private key, and one file may be both. Of several the client's
        /// SNI chooses, by the names in them; the first is for whoever names none of these. In the file it
        /// is a list of `certificate` and `key`. Without any, callers are spoken to in clear.
        inbound_tls: KeyPairs { "CERTIFICATE=KEY", default "",
            example "[{ certificate: /tls/tls.crt, key: /tls/tls.key }]" }

        /// Whether `inbound` also takes requests in clear where it has certificates.
        inbound_plaintext: Switch { "on|off", default "off", example "off" }

        /// Files of the authorities, in PEM, that callers' certificates are trusted by. With them callers
        /// are asked for a certificate, and it is said on spans who they are; `none` asks nobody.
        client_ca: List<Text> { "FILES", default "none", example "[/tls/clients-ca.crt]" }

        /// Whether callers must have a certificate, where `client_ca` is given: `required`, or `optional`
        /// for those that have none.
        client_auth: ClientAuth { "required|optional", default "required", example "required" }

        /// The subject alternative names of which a caller's certificate must have one, DNS names and
        /// URIs; `none` for any. `*` stands for one label, the first of a DNS name or the last of a
        /// URI.
        client_names: List<NamePattern> { "NAMES", default "none",
            example "[\"*.shop.svc\", \"spiffe://prod/ns/shop/*\"]" }

        /// The authorities that `https` upstreams, and the app, are trusted by: `system` for the roots of
        /// this host, and files in PEM.
        upstream_ca: List<Text> { "FILES", default "system", example "[system, /tls/ca.crt]" }

        /// A certificate with its chain, in PEM, that is shown to upstreams that ask who we are.
        upstream_certificate: FilePath { "FILE", default "", example "/tls/tls.crt" }

        /// The private key to `upstream_certificate`, where it is not in the same file.
        upstream_key: FilePath { "FILE", default "", example "/tls/tls.key" }

        /// Upstreams whose certificate is issued for another name than their host's, as `HOST=NAME` or
        /// `HOST:PORT=NAME`: a DNS name, which they are then also asked for (SNI), or a URI.
        upstream_names: HostNames { "HOST=NAME", default "",
            example "{ \"127.0.0.1:8443\": orders.shop, stock: \"spiffe://prod/ns/shop/stock\" }" }
    }
    "Limits" {
        /// How long a request's headers may take from their first byte, and a new connection until
        /// then.
        header_timeout: Timeout { "TIME", default "10s", example "10s" }

        /// How long nothing may come of a request's body while it is waited for, or `off` for ever. A
        /// slow body is not cut, nor one that the upstream does not take.
        body_timeout: OrOff<Timeout> { "TIME", default "60s", example "60s" }

        /// How long a caller's connection may be idle between requests.
        idle_timeout: Timeout { "TIME", default "60s", example "60s" }

        /// How long a tunnel (a WebSocket, a CONNECT) may carry nothing either way before it is ended, or
        /// `off` for ever. It is never shorter than that, and at most a quarter longer.
        tunnel_idle_timeout: OrOff<Timeout> { "TIME", default "off", example "1h" }

        /// How long resolving, connecting and the TLS handshake may take together.
        connect_timeout: Timeout { "TIME", default "5s", example "5s" }

        /// How long an upstream may take until the first byte of its response, or `off` for ever.
        response_timeout: OrOff<Timeout> { "TIME", default "off", example "off" }

        /// How long an answer may pause between two pieces of its body, or `off` for ever. Then it
        /// breaks off.
        response_idle_timeout: OrOff<Timeout> { "TIME", default "off", example "off" }

        /// How long a request may take, from its first byte to the end of its answer and with all
        /// attempts, or `off` for ever. Where the answer has not begun by then it is a 504; else it
        /// breaks off.
        request_timeout: OrOff<Timeout> { "TIME", default "off", example "off" }

        /// How long an unused connection to an upstream is kept. It should be shorter than the
        /// upstream's own idle timeout, so that no request meets a connection that is being closed.
        upstream_idle_timeout: Timeout { "TIME", default "30s", example "30s" }

        /// The most connections to one upstream; requests that find no room on them wait, for at most
        /// `connect_timeout`.
        max_connections: Count<1, 65535> { "COUNT", default "512", example "512" }

        /// The most requests that one upstream is sent at a time, in whatever protocol, or `off`.
        /// Further ones wait.
        max_requests: OrOff<Count<1, 1_000_000>> { "COUNT", default "off", example "200" }

        /// The most requests that the app is given at a time, or `off`. Further ones wait.
        app_max_requests: OrOff<Count<1, 1_000_000>> { "COUNT", default "off", example "64" }

        /// The most requests that wait for one upstream, or for the app. One more is a 503 at once,
        /// with `Retry-After`.
        max_pending: Count<0, 1_000_000> { "COUNT", default "1024", example "1024" }

        /// How long a request may wait so, until it is a 503.
        queue_timeout: Timeout { "TIME", default "5s", example "5s" }

        /// The most bytes that the headers of a request may have.
        max_header_bytes: Bytes<8192, 16_777_216> { "SIZE", default "64KiB", example "64KiB" }

        /// The most requests that one HTTP/2 connection may have open.
        max_streams: Count<1, 65535> { "COUNT", default "256", example "256" }
    }
    "Retries" {
        /// After what a call that goes out is tried again: `connect` (no connection was made),
        /// `refused` (the upstream said that it did not begin with it), `reset` (the connection ended
        /// without an answer), `timeout` (`response_timeout`), `5xx`, and any status from 400 to 599;
        /// `none` for nothing. What may have had an effect is never repeated: after all but the first
        /// two a method has to be idempotent, or the request marked.
        retry_on: List<On> { "CAUSES", default "none", example "[connect, refused, reset, 503]" }

        /// The most attempts after the first.
        retry_attempts: Count<1, 10> { "COUNT", default "2", example "2" }

        /// The longest pause before the first of them. It doubles with each, and a random part of it
        /// is waited.
        retry_backoff: Pause { "TIME", default "25ms", example "25ms" }

        /// The longest pause before any. An upstream's `Retry-After` is waited for up to this; if it
        /// asks for more, its answer is passed on.
        retry_backoff_max: Timeout { "TIME", default "1s", example "1s" }

        /// How many of all requests may be tried again, in percent.
        retry_budget: Count<0, 100> { "PERCENT", default "20", example "20" }

        /// How many may be in a second whatever that comes to.
        retry_budget_min: Count<0, 100> { "COUNT", default "3", example "3" }

        /// Headers that mark a request as safe to repeat whatever its method; `none` for none. Their
        /// presence is taken at its word.
        retry_marked_by: List<HeaderName> { "HEADERS", default "none", example "[idempotency-key]" }

        /// The longest request body that is kept to be sent again. It is kept as it passes: nothing
        /// waits for it.
        retry_body_bytes: Bytes<1, 16_777_216> { "SIZE", default "64KiB", example "64KiB" }
    }
    "Several upstreams" {
        /// How a route chooses among several upstreams, and among the addresses of a name:
        /// `round_robin`, `least_requests` (of two at random the one with fewer open requests),
        /// `hash:client`, `hash:path` or `hash:header:NAME` (the same one for the same value); `auto`
        /// is `least_requests` where several upstreams are given or they are checked, and else the
        /// first address that takes a connection. In the file `upstream` is a list then, as text they
        /// are joined by `+`.
        balance: OrAuto<Policy> { "POLICY", default "auto", example "least_requests" }

        /// What the upstreams of a route are checked by: `connect`, a path that is asked for and has
        /// to be answered with 2xx, or `off`. Two failed checks in a row take one out, two good ones
        /// bring it back.
        check: OrOff<Check> { "CHECK", default "off", example "/healthz" }

        /// How often they are checked.
        check_interval: Timeout { "TIME", default "10s", example "10s" }

        /// After how many failures in a row one of several upstreams is left alone for a while, or
        /// `off`: no connection, no answer, 502, 503 or 504. Never more than half of them are at a
        /// time.
        eject_after: OrOff<Count<1, 1000>> { "COUNT", default "5", example "5" }

        /// For how long, the first time; it doubles with each, up to 5 minutes.
        eject_time: Timeout { "TIME", default "10s", example "10s" }

        /// How often the names of upstreams are looked up again. New connections are made to wherever
        /// a name leads in any case; those that are there are let go when three answers in a row do
        /// not have their address.
        resolve_interval: Timeout { "TIME", default "10s", example "10s" }
    }
    "The process" {
        /// How long a shutdown may take, requests and spans together. The default fits the 30 seconds
        /// of ECS and Kubernetes.
        shutdown_grace: Pause { "TIME", default "25s", example "25s" }

        /// A Unix socket by which another process takes over: one that is started with the same setting,
        /// as the same user, gets the listeners of the one that runs, which then drains and ends. No
        /// connection is refused or lost. Not with a command, which would end with the first.
        upgrade_socket: FilePath { "FILE", default "", example "/run/throughline/upgrade" }

        /// How many threads carry requests; `auto` is one for each processor, but at most four.
        workers: Workers { "COUNT", default "auto", example "2" }

        /// How much is logged: off, error, warn, info, debug or trace.
        log: Level { "LEVEL", default "info", example "info" }

        /// Where a line is written of each exchange, sampled or not: `off`, `stdout`, or a file, which is
        /// opened again on SIGHUP. No request waits for it. It needs `tracing`, with `sampler:
        /// always_off` where nothing is to be recorded.
        access_log: AccessTarget { "off|stdout|FILE", default "off", example "stdout" }

        /// How those lines are written: `json`, or `text` as `key=value`.
        access_log_format: AccessFormat { "json|text", default "json", example "json" }
    }
    "Tracing" {
        /// Whether requests are traced; `off` leaves a plain proxy that passes every header on.
        tracing: Switch { "on|off", default "on", example "on", otel ["OTEL_SDK_DISABLED"] }

        /// The header formats that are read, the most trusted first, and written; `none` for none.
        propagators: List<Format> { "NAMES", default "tracecontext,baggage,xray",
            example "[tracecontext, baggage, xray]", otel ["OTEL_PROPAGATORS"] }

        /// The formats that are read from callers, where that is not what `propagators` says.
        inbound_read: OrPropagators { "NAMES", default "propagators",
            example "[tracecontext, xray, b3]" }

        /// The formats that are written for the app. What is not written is left as it came, unless
        /// it is stripped.
        inbound_write: OrPropagators { "NAMES", default "propagators",
            example "[tracecontext, xray]" }

        /// The formats that are taken away before the app sees them.
        inbound_strip: List<Format> { "NAMES", default "none", example "[datadog]" }

        /// The formats that are read from the app's calls, where that is not what `propagators` says.
        outbound_read: OrPropagators { "NAMES", default "propagators",
            example "[tracecontext, b3]" }

        /// The formats that are written into the app's calls. AWS' own services are told in `xray`
        /// alone, and what a signature covers is never touched.
        outbound_write: OrPropagators { "NAMES", default "propagators",
            example "[tracecontext, xray]" }

        /// The formats that are taken away from the app's calls.
        outbound_strip: List<Format> { "NAMES", default "none", example "[jaeger]" }

        /// Whose trace context is continued: `all`, `none`, or the networks that callers are in and
        /// the names that their certificates were verified for (`client_ca`), as in `client_names`. Of
        /// others it is linked, and a trace begins here with a decision of our own.
        trust: Trust { "NETWORKS", default "all", example "[10.0.0.0/8, \"fd00::/8\"]" }

        /// Members of the `baggage` that are noted on the span of a request, as `baggage.NAME`; `none`
        /// for none.
        baggage_attributes: List<Text> { "NAMES", default "none", example "[tenant]" }

        /// Whether a request without an `x-request-id` gets one. The one of a trusted caller is kept,
        /// another is replaced, and none is ever altered.
        make_request_id: Switch { "on|off", default "on", example "on" }

        /// How sure it must be that a request caused a call before it is said to be the call's parent.
        /// Below, the call begins a trace of its own, with links to the candidates. 0.99 is strict, 0.8
        /// is wide.
        correlation_threshold: Confidence { "NUMBER", default "0.9", example "0.9" }

        /// Whether a call is matched with the request that the same process serves, where the app's
        /// processes can be seen: in a task with `pidMode: task` on ECS, in a pod with
        /// `shareProcessNamespace: true` on Kubernetes, as the app's user or with `SYS_PTRACE`.
        process_evidence: Switch { "on|off", default "on", example "on" }

        /// Which traces are recorded: `always_on`, `always_off` or `traceidratio=RATIO`, each also
        /// with `parentbased_` in front, which keeps the caller's decision.
        sampler: NamedSampler { "SAMPLER", default "parentbased_always_on",
            example "parentbased_traceidratio=0.1",
            otel ["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"] }

        /// Headers whose value is unique to a request and comes back in the calls that it causes;
        /// `none` for none.
        request_id_headers: List<HeaderName> { "HEADERS", default "x-request-id",
            example "[x-request-id]" }

        /// Where values are looked for that come back in the calls that a request causes: `path`,
        /// `query`, `headers`, and `body` for small JSON bodies; `none` for nowhere. Only keyed hashes
        /// of them are kept, in memory.
        value_evidence: List<ValueSource> { "PARTS", default "path,query,headers",
            example "[path, query, headers, body]" }

        /// The headers among them, the most telling first; a cookie counts by itself.
        value_headers: List<HeaderName> { "HEADERS",
            default "x-request-id,x-correlation-id,idempotency-key,authorization,x-api-key,x-session-id,x-user-id,x-tenant-id,cookie",
            example "[idempotency-key, authorization, x-user-id, cookie]" }

        /// The longest JSON body that is looked at where `value_evidence` names `body`. Of a call only
        /// what comes with its head is: nothing waits for a body.
        value_body_bytes: Bytes<1, 65536> { "SIZE", default "4KiB", example "4KiB" }

        /// How many finished spans are kept in memory for the admin port; 0 for none.
        memory_spans: Count<0, 1_000_000> { "COUNT", default "2000", example "10000" }
    }
    "Forwarders" {
        /// What a command that is started with `run -- COMMAND` gets along, so that it forwards trace
        /// headers though its code does not: `auto` for what fits the command, names out of `node`,
        /// `python`, `java` and `signal`, or `none`. They are loaded by variables such as
        /// `NODE_OPTIONS`, beside what is set there already.
        forwarders: Forwarders { "NAMES", default "none", example "auto" }

        /// Hosts to which forwarders copy nothing: `name` is that host, `.name` is it and all below it.
        forwarder_exclude: Hosts { "HOSTS", default "", example "[.vendor.example]" }

        /// For how long after its response a request's headers are still forwarded, for work that an app
        /// goes on with after it has answered.
        forwarder_grace: Pause { "TIME", default "0s", example "0s" }

        /// A file on a volume that is shared with the app, in which its threads tell which request they
        /// are serving, where they run with the forwarder `signal` and were not started from here.
        signal_file: FilePath { "FILE", default "", example "/throughline/signal" }
    }
    "Export" {
        /// Where spans go: `otlp`, `none`, or `auto`, which is `otlp` where an endpoint is given and
        /// else `none`: a sidecar that nobody gave a collector should not log for ever that it
        /// cannot reach one.
        exporter: Exporter { "EXPORTER", default "auto", example "otlp",
            otel ["OTEL_TRACES_EXPORTER"] }

        /// The URL of the collector. Without a path, spans go to its `/v1/traces`; a path, be it only
        /// `/`, is used as it is. Where `otlp` is asked for without an endpoint, it is
        /// `http://localhost:4318`, and `http://localhost:4317` for gRPC.
        otlp_endpoint: Endpoint { "URL", default "", example "http://localhost:4318",
            otel ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"] }

        /// `http/protobuf` or `grpc`.
        otlp_protocol: OtlpProtocol { "PROTOCOL", default "http/protobuf", example "http/protobuf",
            otel ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] }

        /// Headers of every export request, as `name=value` pairs: text is percent-decoded, a mapping
        /// in the file is not. Their values are never shown.
        otlp_headers: Headers { "PAIRS", default "", example "{ api-key: secret }",
            otel ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"] }

        /// `gzip` or `none`.
        otlp_compression: Compression { "COMPRESSION", default "none", example "gzip",
            otel ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"] }

        /// How long one export request may take.
        otlp_timeout: Timeout { "TIME", default "10s", example "10s",
            otel ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"] }

        /// A file of PEM certificates that the collector's is trusted by, in place of the system's.
        otlp_certificate: FilePath { "FILE", default "", example "/etc/ssl/certs/collector.pem",
            otel ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"] }

        /// How many spans may wait for export; what is more is dropped and counted.
        span_queue_size: Count<1, 1_000_000> { "COUNT", default "2048", example "2048",
            otel ["OTEL_BSP_MAX_QUEUE_SIZE"] }

        /// The most spans in one export request.
        span_batch_size: Count<1, 1_000_000> { "COUNT", default "512", example "512",
            otel ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] }

        /// How long a span waits at most until its batch is sent.
        span_batch_delay: Timeout { "TIME", default "5s", example "5s",
            otel ["OTEL_BSP_SCHEDULE_DELAY"] }

        /// How long the export of a batch may take, with its retries.
        span_export_timeout: Timeout { "TIME", default "30s", example "30s",
            otel ["OTEL_BSP_EXPORT_TIMEOUT"] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_a_value_or_refused_in_one_line(text in any::<String>()) {
            for setting in TABLE {
                if let Err(bad) = (setting.check)(&Written::One(text.clone())) {
                    prop_assert!(!bad.why.contains('\n'), "{}: {}", setting.key, bad.why);
                }
            }
        }
    }

    #[test]
    fn every_setting_is_explained_in_whole_sentences() {
        for setting in TABLE {
            let doc = setting.doc();
            assert!(
                doc.ends_with('.') && doc.len() > 15,
                "{}: {doc:?}",
                setting.key
            );
            assert!(!setting.example.is_empty(), "{}", setting.key);
        }
    }

    #[test]
    fn every_default_is_a_value() {
        for setting in TABLE {
            let written = Written::One(setting.default.to_owned());
            assert_eq!((setting.check)(&written), Ok(()), "{}", setting.key);
        }
    }

    #[test]
    fn one_rule_spells_every_name() {
        let setting = find("header_timeout").unwrap();
        assert_eq!(setting.flag(), "header-timeout");
        assert_eq!(setting.variable(), "THROUGHLINE_HEADER_TIMEOUT");
        let mut keys: Vec<_> = TABLE.iter().map(|setting| setting.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), TABLE.len(), "no name is used twice");
    }
}

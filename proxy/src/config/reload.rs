//! What of a configuration that was read again can take effect while the process runs.
//!
//! Whatever is made once, or was told to somebody else, needs another process: ports, threads, the
//! name that every span has, what a started app was given. Such a setting keeps the value that it has,
//! and is named. A setting that nothing here names needs a restart, which is the safe side.

use super::{Config, Error, Origin, Resolved, Sources, file};

/// The settings that take effect at once: for new requests, and those about connections for new
/// connections.
const LIVE: &[&str] = &[
    "access_log",
    "access_log_format",
    "app_max_requests",
    "baggage_attributes",
    "balance",
    "body_timeout",
    "check",
    "check_interval",
    "client_auth",
    "client_ca",
    "client_names",
    "connect_timeout",
    "eject_after",
    "eject_time",
    "header_timeout",
    "idle_timeout",
    "inbound_plaintext",
    "inbound_read",
    "inbound_strip",
    "inbound_tls",
    "inbound_write",
    "log",
    "make_request_id",
    "max_connections",
    "max_header_bytes",
    "max_pending",
    "max_requests",
    "max_streams",
    "outbound_read",
    "outbound_strip",
    "outbound_write",
    "propagators",
    "queue_timeout",
    "request_id_headers",
    "request_timeout",
    "resolve_interval",
    "response_idle_timeout",
    "response_timeout",
    "retry_attempts",
    "retry_backoff",
    "retry_backoff_max",
    "retry_body_bytes",
    "retry_budget",
    "retry_budget_min",
    "retry_marked_by",
    "retry_on",
    "sampler",
    "shutdown_grace",
    "trust",
    "tunnel_idle_timeout",
    "upstream_ca",
    "upstream_certificate",
    "upstream_idle_timeout",
    "upstream_key",
    "upstream_names",
];

/// Those of the exporter, which is replaced by one that speaks the same protocol.
const OF_EXPORTER: &[&str] = &[
    "otlp_certificate",
    "otlp_compression",
    "otlp_endpoint",
    "otlp_headers",
    "otlp_timeout",
];

/// A configuration that is to take effect.
#[derive(Debug)]
pub(crate) struct Reloaded {
    /// What is in effect from now on.
    pub(crate) resolved: Resolved,
    /// The settings that have changed by it.
    pub(crate) changed: Vec<&'static str>,
    /// The settings that differ in what was read, and stay as they are until the process is another.
    pub(crate) needs_restart: Vec<&'static str>,
}

/// What becomes of `running` when `read` was read.
pub(crate) fn reload(running: &Resolved, read: Resolved) -> Reloaded {
    let mut resolved = running.clone();
    let is_live = Live::of(&running.config, &read.config);
    let mut changed = Vec::new();
    let mut needs_restart = Vec::new();
    for (now, new) in resolved.origins.iter_mut().zip(&read.origins) {
        debug_assert_eq!(now.key, new.key, "both are in the order of the table");
        let is_same = now.value == new.value && is_hidden_same(now, &running.config, &read.config);
        if is_live.includes(now.key) {
            if !is_same {
                changed.push(now.key);
            }
            now.clone_from(new);
        } else if !is_same {
            needs_restart.push(now.key);
        }
    }
    is_live.take(&mut resolved.config, read.config);
    resolved.warnings = read.warnings;
    Reloaded {
        resolved,
        changed,
        needs_restart,
    }
}

/// What is live depends, for some, on what it was and shall be.
#[derive(Clone, Copy)]
struct Live {
    routes: bool,
    exporter: bool,
}

impl Live {
    fn of(now: &Config, new: &Config) -> Self {
        let otlp = |config: &Config| config.tracing.as_ref()?.otlp.as_ref().map(|o| o.protocol);
        let listen = |config: &Config| -> Vec<_> {
            let routes = config.routes.iter();
            routes.map(|route| route.listen).collect()
        };
        Self {
            routes: listen(now) == listen(new),
            exporter: otlp(now).is_some() && otlp(now) == otlp(new),
        }
    }

    fn includes(self, key: &str) -> bool {
        LIVE.contains(&key)
            || self.routes && key == "routes"
            || self.exporter && OF_EXPORTER.contains(&key)
    }

    /// Takes from `new` what is live.
    fn take(self, config: &mut Config, new: Config) {
        // One by one: what is not named above must not slip through.
        config.listen.header_timeout = new.listen.header_timeout;
        config.listen.body_timeout = new.listen.body_timeout;
        config.listen.idle_timeout = new.listen.idle_timeout;
        config.listen.max_header_bytes = new.listen.max_header_bytes;
        config.listen.max_streams = new.listen.max_streams;
        config.listen.tunnel_idle_timeout = new.listen.tunnel_idle_timeout;
        config.pool.connect_timeout = new.pool.connect_timeout;
        config.pool.response_timeout = new.pool.response_timeout;
        config.pool.idle_timeout = new.pool.idle_timeout;
        config.pool.max_connections = new.pool.max_connections;
        config.pool.response_idle_timeout = new.pool.response_idle_timeout;
        config.pool.max_requests = new.pool.max_requests;
        config.pool.max_pending = new.pool.max_pending;
        config.pool.queue_timeout = new.pool.queue_timeout;
        config.pool.resolve_interval = new.pool.resolve_interval;
        config.terms = new.terms;
        config.app_max_requests = new.app_max_requests;
        config.tls = new.tls;
        config.log = new.log;
        config.access_log = new.access_log;
        config.shutdown_grace = new.shutdown_grace;
        if self.routes {
            config.routes = new.routes;
        }
        if let (Some(tracing), Some(new)) = (&mut config.tracing, new.tracing) {
            tracing.inbound = new.inbound;
            tracing.outbound = new.outbound;
            tracing.trust = new.trust;
            tracing.baggage_attributes = new.baggage_attributes;
            tracing.make_request_id = new.make_request_id;
            tracing.sampler = new.sampler;
            tracing.request_id_headers = new.request_id_headers;
            if self.exporter {
                tracing.otlp = new.otlp;
            }
        }
    }
}

/// Whether what a setting does not show is the same, too.
fn is_hidden_same(origin: &Origin, now: &Config, new: &Config) -> bool {
    let headers = |config: &Config| {
        let tracing = config.tracing.as_ref();
        let otlp = tracing.and_then(|tracing| tracing.otlp.as_ref());
        otlp.map(|otlp| otlp.headers.clone()).unwrap_or_default()
    };
    origin.key != "otlp_headers" || headers(now) == headers(new)
}

impl Sources {
    /// The same sources with the file as it is now.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn reread(&self) -> Result<Self, Error> {
        let mut sources = self.clone();
        if let Some(path) = &self.path {
            sources.file = Some(file::load(path)?);
        }
        Ok(sources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{resolve, settings::TABLE};

    fn resolved(file: &str) -> Resolved {
        let sources = Sources {
            file: Some(("t.yaml".to_owned(), file.to_owned())),
            ..Sources::default()
        };
        resolve(&sources).expect(file)
    }

    /// The keys that change, and those that need a restart.
    fn check(before: &str, after: &str) -> (Vec<&'static str>, Vec<&'static str>) {
        let got = reload(&resolved(before), resolved(after));
        (got.changed, got.needs_restart)
    }

    #[test]
    fn every_setting_named_here_is_one() {
        for key in LIVE.iter().chain(OF_EXPORTER) {
            assert!(TABLE.iter().any(|setting| setting.key == *key), "{key}");
        }
    }

    #[test]
    fn what_is_live_takes_effect_and_what_is_not_is_named_and_stays() {
        let before = resolved("name: a\nsampler: always_on\nworkers: 1\n");
        let got = reload(
            &before,
            resolved("name: b\nsampler: always_off\nworkers: 2\nheader_timeout: 3s\n"),
        );
        assert_eq!(got.changed, ["header_timeout", "sampler"]);
        assert_eq!(got.needs_restart, ["name", "workers"]);
        let config = &got.resolved.config;
        assert_eq!((&*config.name, config.workers), ("a", 1));
        assert_eq!(config.listen.header_timeout.as_secs(), 3);
        let origin = |key| {
            let mut origins = got.resolved.origins.iter();
            let origin = origins.find(|origin| origin.key == key).unwrap();
            (&*origin.value, origin.source.to_string())
        };
        assert_eq!(origin("name"), ("a", "file t.yaml:1".to_owned()));
        assert_eq!(
            origin("sampler"),
            ("always_off", "file t.yaml:2".to_owned())
        );
        // Taken back, it needs none any more.
        let back = reload(
            &got.resolved,
            resolved("name: a\nsampler: always_off\nworkers: 1\n"),
        );
        assert_eq!(back.changed, ["header_timeout"]);
        assert_eq!(back.needs_restart, [""; 0]);
    }

    #[test]
    fn routes_may_lead_elsewhere_but_not_begin_elsewhere() {
        let route = |listen: u16, to: &str| {
            format!("routes: [{{ listen: \"127.0.0.1:{listen}\", upstream: {to} }}]\n")
        };
        assert_eq!(
            check(&route(1, "a:80"), &route(1, "b:80")),
            (vec!["routes"], vec![])
        );
        assert_eq!(
            check(&route(1, "a:80"), &route(2, "a:80")),
            (vec![], vec!["routes"])
        );
        assert_eq!(check(&route(1, "a:80"), ""), (vec![], vec!["routes"]));
    }

    #[test]
    fn an_exporter_is_replaced_by_one_of_its_kind() {
        let to = |rest: &str| format!("otlp_endpoint: http://a:4318\n{rest}");
        assert_eq!(
            check(
                &to("otlp_headers: { k: secret }\n"),
                &to("otlp_headers: { k: other }\n")
            ),
            (vec!["otlp_headers"], vec![])
        );
        assert_eq!(
            check(&to(""), "otlp_endpoint: http://b:4318\n"),
            (vec!["otlp_endpoint"], vec![])
        );
        let (changed, needs_restart) = check("", &to(""));
        assert_eq!(changed, [""; 0]);
        assert_eq!(needs_restart, ["exporter", "otlp_endpoint"]);
        let (_, needs_restart) = check(&to(""), &to("otlp_protocol: grpc\n"));
        assert!(
            needs_restart.contains(&"otlp_protocol"),
            "{needs_restart:?}"
        );
    }
}

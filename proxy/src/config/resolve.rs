//! From the sources to the configuration: the one place where settings get their meaning.

use std::path::PathBuf;

use super::{
    Config, Error, Resolved, Sources, Tracing, env, file,
    layer::{Entry, Layer, Layers},
    name,
    origin::{Source, Warning},
    otel,
    settings::{Settings, find},
    together,
    value::{Count, Exporter, List, OrPropagators, RouteSettings},
};
use crate::{
    access_log,
    attempts::{self, Backoff, Share},
    balance::{Ejection, Policy},
    export::otlp,
    forwarders, group, listen,
    outbound::{self, Terms},
    pipeline, pool, tls as tls_room, values,
};
use throughline::propagation::{Format, Propagator};

/// More threads than this are not worth their memory beside an app, unless somebody asks for them.
const MOST_WORKERS: usize = 4;

/// The configuration that these sources make.
///
/// # Errors
///
/// When a flag, a `THROUGHLINE_*` variable or a key of the file is unknown or has a value that it
/// cannot have, or when settings contradict each other. The text is one sentence with the cure.
pub fn resolve(sources: &Sources) -> Result<Resolved, Error> {
    let (otel, mut warnings) = otel::parse(&sources.environment);
    let layers = vec![
        flags(sources),
        env::parse(&sources.environment)?,
        otel,
        match &sources.file {
            Some((name, text)) => file::parse(name, text)?,
            None => Layer::new(),
        },
    ];
    let mut layers = Layers::new(layers)?;
    let settings = Settings::pick(&mut layers);
    let config = compose(settings, sources, &mut layers, &mut warnings)?;
    together::check(&config)?;
    Ok(Resolved {
        config,
        origins: layers.origins,
        warnings,
    })
}

fn flags(sources: &Sources) -> Layer {
    let known = sources.flags.iter().filter_map(|(key, text)| {
        let setting = find(key)?;
        let entry = Entry::new(text.clone(), Source::Flag(setting.flag()));
        Some((setting.key, entry))
    });
    known.collect()
}

fn compose(
    settings: Settings,
    sources: &Sources,
    layers: &mut Layers,
    warnings: &mut Vec<Warning>,
) -> Result<Config, Error> {
    let name = service_name(&settings, sources, layers);
    let inbound = match (&settings.app.0, settings.inbound.0) {
        (None, Some(_)) if !layers.is_given("inbound") => {
            let origin = layers.origin("inbound");
            "off".clone_into(&mut origin.value);
            origin.source = Source::Detected("the absence of an app".to_owned());
            None
        }
        (None, Some(_)) => {
            return Err(Error::Together(
                "inbound is given, but not the app that it leads to; give --app PORT, the port that \
                 the app listens on, or --inbound off"
                    .to_owned(),
            ));
        }
        (Some(_), inbound) => inbound,
        (None, None) => None,
    };
    let workers = match settings.workers.0 {
        Some(count) => usize::try_from(count).unwrap_or(MOST_WORKERS),
        None => {
            let count = sources.detected.parallelism.clamp(1, MOST_WORKERS);
            let origin = layers.origin("workers");
            origin.value = count.to_string();
            origin.source = Source::Detected("the number of processors".to_owned());
            count
        }
    };
    Ok(Config {
        name,
        inbound,
        outbound: settings.outbound.0,
        admin: settings.admin.0,
        app_protocol: settings.app_protocol,
        listen: listen::Config {
            header_timeout: settings.header_timeout.0,
            body_timeout: settings.body_timeout.0.map(|timeout| timeout.0),
            idle_timeout: settings.idle_timeout.0,
            tunnel_idle_timeout: settings.tunnel_idle_timeout.0.map(|timeout| timeout.0),
            max_header_bytes: settings.max_header_bytes.size(),
            max_streams: settings.max_streams.0,
            transparent: settings.transparent.0,
        },
        pool: pool(&settings, None),
        terms: terms(&settings, None),
        app_max_requests: settings.app_max_requests.0.map(Count::size),
        tls: tls(&settings, inbound.is_some(), layers)?,
        no_proxy: settings.no_proxy.0.clone(),
        shutdown_grace: settings.shutdown_grace.0,
        upgrade_socket: settings.upgrade_socket.0.clone(),
        workers,
        log: settings.log.0.to_owned(),
        access_log: access_log(&settings, warnings),
        forwarders: forwarders::Config {
            selection: settings.forwarders.0.clone(),
            exclude: settings.forwarder_exclude.0.clone(),
            grace: settings.forwarder_grace.0,
            signal_file: settings.signal_file.0.clone(),
        },
        tracing: tracing(&settings, layers, warnings)?,
        routes: settings
            .routes
            .0
            .iter()
            .map(|route| outbound::Route {
                listen: route.listen,
                upstreams: route.upstreams.clone(),
                pool: pool(&settings, Some(route)),
                terms: terms(&settings, Some(route)),
                group: group(&settings, route),
            })
            .collect(),
        app: settings.app.0,
    })
}

/// The value of a setting for a route, or for all where there is none.
macro_rules! of {
    ($settings:ident, $route:ident, $key:ident) => {
        match $route {
            Some(route) => route.or(stringify!($key), &$settings.$key),
            None => $settings.$key.clone(),
        }
    };
}

/// What holds for each upstream.
fn pool(settings: &Settings, route: Option<&RouteSettings>) -> pool::Config {
    let response_timeout = of!(settings, route, response_timeout);
    let response_idle_timeout = of!(settings, route, response_idle_timeout);
    pool::Config {
        connect_timeout: of!(settings, route, connect_timeout).0,
        response_timeout: response_timeout.0.map(|timeout| timeout.0),
        response_idle_timeout: response_idle_timeout.0.map(|timeout| timeout.0),
        idle_timeout: settings.upstream_idle_timeout.0,
        max_connections: of!(settings, route, max_connections).size(),
        max_requests: of!(settings, route, max_requests).0.map(Count::size),
        max_pending: of!(settings, route, max_pending).size(),
        queue_timeout: of!(settings, route, queue_timeout).0,
        address: None,
        resolve_interval: of!(settings, route, resolve_interval).0,
        own_ports: Vec::new(),
    }
}

/// How a route chooses among its upstreams, where there is a choice.
fn group(settings: &Settings, route: &RouteSettings) -> Option<group::Config> {
    let is_one = route.upstreams.len() == 1;
    let route = Some(route);
    let balance = of!(settings, route, balance).0;
    let check = of!(settings, route, check).0;
    if is_one && balance.is_none() && check.is_none() {
        return None;
    }
    Some(group::Config {
        policy: balance.unwrap_or(Policy::LeastRequests),
        ejection: Ejection {
            after: of!(settings, route, eject_after).0.map(|count| count.0),
            time: of!(settings, route, eject_time).0,
        },
        check,
        check_interval: of!(settings, route, check_interval).0,
        resolve_interval: of!(settings, route, resolve_interval).0,
    })
}

/// What holds for each request on its way out, whomever it goes to.
fn terms(settings: &Settings, route: Option<&RouteSettings>) -> Terms {
    let request_timeout = of!(settings, route, request_timeout);
    Terms {
        request_timeout: request_timeout.0.map(|timeout| timeout.0),
        retries: attempts::Policy {
            on: of!(settings, route, retry_on).0,
            attempts: of!(settings, route, retry_attempts).0,
            marked_by: of!(settings, route, retry_marked_by).0,
            body_bytes: of!(settings, route, retry_body_bytes).size(),
            backoff: Backoff {
                base: of!(settings, route, retry_backoff).0,
                max: of!(settings, route, retry_backoff_max).0,
            },
            budget: Share {
                percent: of!(settings, route, retry_budget).0,
                per_second: of!(settings, route, retry_budget_min).0,
            },
        },
    }
}

/// Certificates and authorities, each of which has something that it is for.
fn tls(settings: &Settings, has_inbound: bool, layers: &Layers) -> Result<tls_room::Config, Error> {
    let refused = |text: &str| Err(Error::Together(text.to_owned()));
    let certificates = settings.inbound_tls.0.clone();
    let client_ca = settings.client_ca.texts();
    if certificates.is_empty() {
        for (key, is_set) in [
            ("client_ca", !client_ca.is_empty()),
            ("inbound_plaintext", settings.inbound_plaintext.0),
        ] {
            if is_set {
                return refused(&format!(
                    "{key} is given, but callers are spoken to in clear; give --inbound-tls \
                     CERTIFICATE=KEY, or leave {key} away"
                ));
            }
        }
    } else if !has_inbound {
        return refused(
            "inbound_tls is given, but there is no inbound listener to speak it; give --app PORT and \
             --inbound ADDRESS, or leave inbound_tls away",
        );
    }
    if client_ca.is_empty() {
        for (key, is_set) in [
            ("client_auth", layers.is_given("client_auth")),
            ("client_names", !settings.client_names.0.is_empty()),
        ] {
            if is_set {
                return refused(&format!(
                    "{key} is given, but clients are not asked for certificates; give --client-ca \
                     FILE, or leave {key} away"
                ));
            }
        }
    }
    let (certificate, key) = (&settings.upstream_certificate.0, &settings.upstream_key.0);
    if let (None, Some(_)) = (certificate, key) {
        return refused(
            "upstream_key is given, but not the certificate that it belongs to; give \
             --upstream-certificate FILE",
        );
    }
    let upstream_ca = settings.upstream_ca.texts();
    let (system, files): (Vec<_>, Vec<_>) =
        upstream_ca.into_iter().partition(|name| name == "system");
    Ok(tls_room::Config {
        inbound: (!certificates.is_empty()).then(|| tls_room::Inbound {
            certificates,
            plaintext: settings.inbound_plaintext.0,
            client_ca: client_ca.into_iter().map(PathBuf::from).collect(),
            client_auth: settings.client_auth,
            client_names: settings.client_names.0.clone(),
        }),
        upstream: tls_room::Upstream {
            system_roots: !system.is_empty(),
            ca: files.into_iter().map(PathBuf::from).collect(),
            certificate: certificate.clone().map(|certificate| tls_room::Pair {
                key: key.clone().unwrap_or_else(|| certificate.clone()),
                certificate,
            }),
            names: settings.upstream_names.0.clone(),
        },
    })
}

/// The name, by falling certainty: as given, as an attribute, as the command or the app is called.
fn service_name(settings: &Settings, sources: &Sources, layers: &mut Layers) -> String {
    if !settings.name.0.is_empty() {
        return settings.name.0.clone();
    }
    let attributes = layers.origin("resource_attributes").source.clone();
    let attribute = settings.resource_attributes.value("service.name");
    let (name, source) = match attribute.filter(|name| !name.is_empty()) {
        Some(name) => (name.to_owned(), attributes),
        None => name::detect(&sources.detected.command, settings.app.0.as_ref()),
    };
    let origin = layers.origin("name");
    origin.value.clone_from(&name);
    origin.source = source;
    name
}

/// Lines are made of spans, so that without any there are none; to switch tracing off altogether must
/// not keep a sidecar from starting.
fn access_log(settings: &Settings, warnings: &mut Vec<Warning>) -> access_log::Config {
    let mut target = settings.access_log.0.clone();
    if target != access_log::Target::Off && !settings.tracing.0 {
        warnings.push(Warning(
            "access_log is passed over, because tracing is off; `sampler: always_off` records nothing \
             and leaves the access log on"
                .to_owned(),
        ));
        target = access_log::Target::Off;
    }
    access_log::Config {
        target,
        format: settings.access_log_format.0,
    }
}

fn tracing(
    settings: &Settings,
    layers: &mut Layers,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Tracing>, Error> {
    let max_queue_size = settings.span_queue_size.size();
    let max_export_batch_size = batch_size(settings, layers, warnings)?;
    if !settings.tracing.0 {
        return Ok(None);
    }
    let endpoint = &settings.otlp_endpoint;
    let exports = match settings.exporter {
        Exporter::Otlp => true,
        Exporter::None => false,
        Exporter::Auto => endpoint.0.is_some(),
    };
    let origin = layers.origin("exporter");
    if settings.exporter == Exporter::Auto {
        origin.value = if exports { "otlp" } else { "none" }.to_owned();
        let from = if exports {
            "otlp_endpoint"
        } else {
            "the absence of an otlp_endpoint"
        };
        origin.source = Source::Detected(from.to_owned());
    }
    let protocol = settings.otlp_protocol;
    if exports {
        layers.origin("otlp_endpoint").value = endpoint.url(protocol);
    }
    let mut resource = settings.resource_attributes.0.clone();
    // The name has been decided, and there is only one.
    resource.retain(|(key, _)| key != "service.name");
    Ok(Some(Tracing {
        inbound: propagator(
            settings,
            &settings.inbound_read,
            &settings.inbound_write,
            &settings.inbound_strip,
        ),
        outbound: propagator(
            settings,
            &settings.outbound_read,
            &settings.outbound_write,
            &settings.outbound_strip,
        ),
        trust: settings.trust.clone(),
        baggage_attributes: settings.baggage_attributes.texts(),
        make_request_id: settings.make_request_id.0,
        correlation_threshold: settings.correlation_threshold.0,
        process_evidence: settings.process_evidence.0,
        sampler: settings.sampler.sampler,
        request_id_headers: settings.request_id_headers.0.clone(),
        values: values::Config {
            from: settings.value_evidence.0.clone(),
            headers: settings.value_headers.0.clone(),
            max_body: settings.value_body_bytes.size(),
        },
        resource,
        otlp: exports.then(|| otlp::Config {
            endpoint: endpoint.url(protocol),
            protocol,
            headers: settings.otlp_headers.0.clone(),
            compression: settings.otlp_compression,
            timeout: settings.otlp_timeout.0,
            certificate: settings.otlp_certificate.0.clone(),
        }),
        pipeline: pipeline::Config {
            max_queue_size,
            max_export_batch_size,
            schedule_delay: settings.span_batch_delay.0,
            export_timeout: settings.span_export_timeout.0,
            memory_spans: settings.memory_spans.size(),
        },
    }))
}

/// The formats of one direction.
fn propagator(
    settings: &Settings,
    read: &OrPropagators,
    write: &OrPropagators,
    strip: &List<Format>,
) -> Propagator {
    let or_all = |list: &OrPropagators| {
        let own = list.0.as_ref();
        own.unwrap_or(&settings.propagators.0).clone()
    };
    Propagator::new(or_all(read))
        .writing(or_all(write))
        .stripping(strip.0.iter().copied())
}

/// A batch is at most a whole queue. Where a default or `OTEL_*` says otherwise, it is made so.
fn batch_size(
    settings: &Settings,
    layers: &mut Layers,
    warnings: &mut Vec<Warning>,
) -> Result<usize, Error> {
    let (batch, queue) = (settings.span_batch_size, settings.span_queue_size);
    if batch.0 <= queue.0 {
        return Ok(batch.size());
    }
    let origin = layers.origin("span_batch_size");
    match &origin.source {
        Source::Environment(variable) if variable.starts_with("OTEL_") => {
            warnings.push(Warning(format!(
                "{variable}: {} is more than the queue holds; {} is used instead",
                batch.0, queue.0
            )));
        }
        Source::Default | Source::Detected(_) => {}
        source => {
            return Err(Error::Together(format!(
                "span_batch_size is {} ({source}), but span_queue_size is only {}; make the batch \
                 smaller or the queue larger",
                batch.0, queue.0
            )));
        }
    }
    origin.value = queue.0.to_string();
    origin.source = Source::Detected("span_queue_size".to_owned());
    Ok(queue.size())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{config::Origin, tls::ClientAuth};

    fn sources(flags: &[(&str, &str)], environment: &[(&str, &str)], file: &str) -> Sources {
        let map = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs.map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        Sources {
            flags: map(flags),
            environment: map(environment),
            file: Some(("t.yaml".to_owned(), file.to_owned())),
            ..Sources::default()
        }
    }

    fn origin(resolved: &Resolved, key: &str) -> String {
        let found = resolved.origins.iter().find(|origin| origin.key == key);
        let Origin { value, source, .. } = found.expect(key);
        format!("{value} ({source})")
    }

    fn error(sources: &Sources) -> String {
        resolve(sources).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_what_the_documentation_says() {
        let config = resolve(&Sources::default()).unwrap().config;
        assert_eq!(config.name, "unknown_service:throughline");
        assert_eq!((config.app, config.inbound), (None, None));
        assert_eq!(config.outbound, Some("127.0.0.1:15001".parse().unwrap()));
        assert_eq!(config.admin, Some("127.0.0.1:15000".parse().unwrap()));
        assert_eq!(config.listen.header_timeout, Duration::from_secs(10));
        assert_eq!(config.listen.max_header_bytes, 64 << 10);
        assert_eq!(config.pool.response_timeout, None);
        assert_eq!(config.shutdown_grace, Duration::from_secs(25));
        assert_eq!(config.workers, 1);
        let tracing = config.tracing.unwrap();
        assert_eq!(tracing.inbound, Propagator::default());
        assert_eq!(tracing.outbound, Propagator::default());
        assert_eq!(tracing.values, values::Config::default());
        assert_eq!(tracing.otlp, None, "nobody asked for a collector");
        assert!(tracing.process_evidence);
        assert_eq!(tracing.pipeline.max_queue_size, 2048);

        let with_app = resolve(&sources(&[("app", "3000")], &[], ""))
            .unwrap()
            .config;
        assert_eq!(with_app.inbound, Some("0.0.0.0:15006".parse().unwrap()));
        assert_eq!(with_app.app.unwrap().to_string(), "127.0.0.1:3000");
    }

    #[test]
    fn the_stronger_source_wins_and_every_value_knows_its_own() {
        let flags = [("name", "flag")];
        let own = [("THROUGHLINE_NAME", "own")];
        let otel = [("OTEL_SERVICE_NAME", "otel")];
        let both = [own[0], otel[0]];
        for (flags, environment, file, expected) in [
            (&flags[..], &both[..], "name: file", "flag (flag --name)"),
            (
                &[],
                &both,
                "name: file",
                "own (environment THROUGHLINE_NAME)",
            ),
            (
                &[],
                &otel,
                "name: file",
                "otel (environment OTEL_SERVICE_NAME)",
            ),
            (&[], &[], "\nname: file", "file (file t.yaml:2)"),
            (
                &[],
                &[],
                "app: orders:3000",
                "orders (detected from the app's host name)",
            ),
            (&[], &[], "", "unknown_service:throughline (default)"),
            (
                &[],
                &[],
                "resource_attributes: {service.name: attribute}",
                "attribute (file t.yaml:1)",
            ),
        ] {
            let resolved = resolve(&sources(flags, environment, file)).unwrap();
            assert_eq!(origin(&resolved, "name"), expected);
        }
    }

    #[test]
    fn certificates_and_authorities_find_their_sides() {
        let file = "{app: 'https://shop:8443', inbound_tls: [{certificate: a.crt, key: a.key}], \
                    client_ca: [c.crt], client_names: ['*.shop.svc'], client_auth: optional, \
                    upstream_ca: [system, u.crt], upstream_certificate: both.pem, \
                    upstream_names: {shop: shop.svc}}";
        let config = resolve(&sources(&[], &[], file)).unwrap().config;
        assert!(config.app.unwrap().is_tls);
        let inbound = config.tls.inbound.unwrap();
        assert_eq!(inbound.certificates[0].key, PathBuf::from("a.key"));
        assert_eq!(inbound.client_ca, [PathBuf::from("c.crt")]);
        assert_eq!(inbound.client_auth, ClientAuth::Optional);
        assert!(!inbound.plaintext);
        let upstream = config.tls.upstream;
        assert!(upstream.system_roots);
        assert_eq!(upstream.ca, [PathBuf::from("u.crt")]);
        assert_eq!(upstream.certificate.unwrap().key, PathBuf::from("both.pem"));
        assert_eq!(upstream.names[0].0, "shop");

        let tls = resolve(&Sources::default()).unwrap().config.tls;
        assert_eq!(tls, tls_room::Config::default());
        let only = resolve(&sources(&[("upstream_ca", "u.crt")], &[], ""));
        assert!(!only.unwrap().config.tls.upstream.system_roots);
    }

    #[test]
    fn what_tls_is_told_has_something_that_it_is_for() {
        for (file, part) in [
            (
                "{app: 1, client_ca: [c.crt]}",
                "client_ca is given, but callers are spoken to in clear",
            ),
            (
                "{app: 1, inbound_plaintext: on}",
                "inbound_plaintext is given, but callers are spoken to in clear",
            ),
            (
                "{inbound: off, inbound_tls: [{certificate: a}]}",
                "inbound_tls is given, but there is no inbound listener",
            ),
            (
                "{app: 1, inbound_tls: [{certificate: a}], client_auth: optional}",
                "client_auth is given, but clients are not asked",
            ),
            (
                "upstream_key: a",
                "upstream_key is given, but not the certificate",
            ),
        ] {
            let error = error(&sources(&[], &[], file));
            assert!(error.contains(part), "{file}: {error}");
        }
    }

    #[test]
    fn every_setting_has_an_origin() {
        let resolved = resolve(&Sources::default()).unwrap();
        let keys: Vec<_> = resolved.origins.iter().map(|origin| origin.key).collect();
        let table: Vec<_> = super::super::settings::TABLE
            .iter()
            .map(|s| s.key)
            .collect();
        assert_eq!(keys, table);
    }

    #[test]
    fn mistakes_name_the_setting_as_its_source_spells_it() {
        for (sources, expected) in [
            (
                sources(&[("header_timeout", "10")], &[], ""),
                "--header-timeout is \"10\": a time needs a unit, as in 10ms, 10s or 10m",
            ),
            (
                sources(&[], &[("THROUGHLINE_WORKERS", "0")], ""),
                "THROUGHLINE_WORKERS is \"0\": a whole number from 1 to 256 is expected, or auto",
            ),
            (
                sources(&[], &[], "app: 3000\nmax_header_bytes: 1KiB\n"),
                "t.yaml:2:19: max_header_bytes is \"1KiB\": it must be from 8KiB to 16MiB",
            ),
            (
                sources(
                    &[("propagators", "xray")],
                    &[],
                    "propagators:\n- xray\n- b4\n",
                ),
                "t.yaml:3:3: propagators is \"xray,b4\": no header format is called \"b4\"; known \
                 are tracecontext, baggage, xray, b3, b3multi, jaeger, datadog",
            ),
            (
                sources(&[], &[("THROUGHLINE_VALUE_EVIDENCE", "path,boddy")], ""),
                "THROUGHLINE_VALUE_EVIDENCE is \"path,boddy\": no part of a request is called \
                 \"boddy\"; known are path, query, headers, body",
            ),
            (
                sources(&[("otlp_headers", "secret")], &[], ""),
                "--otlp-headers is hidden: pairs are written key=value and separated by commas",
            ),
        ] {
            assert_eq!(error(&sources), expected);
        }
    }

    #[test]
    fn otlp_is_exported_where_somebody_asked_for_it() {
        for (environment, expected) in [
            (&[][..], None),
            (
                &[("OTEL_TRACES_EXPORTER", "otlp")],
                Some("http://localhost:4318/v1/traces"),
            ),
            (
                &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1")],
                Some("http://c:1/v1/traces"),
            ),
            (
                &[("THROUGHLINE_OTLP_ENDPOINT", "http://c:1")],
                Some("http://c:1/v1/traces"),
            ),
            (
                &[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1/x"),
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ],
                Some("http://c:1"),
            ),
            (
                &[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"),
                    ("OTEL_TRACES_EXPORTER", "none"),
                ],
                None,
            ),
            (
                &[
                    ("OTEL_TRACES_EXPORTER", "otlp"),
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
                ],
                Some("http://localhost:4317"),
            ),
        ] {
            let resolved = resolve(&sources(&[], environment, "")).unwrap();
            let otlp = resolved.config.tracing.unwrap().otlp;
            assert_eq!(
                otlp.map(|o| o.endpoint).as_deref(),
                expected,
                "{environment:?}"
            );
        }
    }

    #[test]
    fn a_disabled_sdk_leaves_a_plain_proxy() {
        let resolved = resolve(&sources(&[], &[("OTEL_SDK_DISABLED", "true")], "")).unwrap();
        assert_eq!(resolved.config.tracing, None);
        assert_eq!(
            origin(&resolved, "tracing"),
            "off (environment OTEL_SDK_DISABLED)"
        );
    }

    #[test]
    fn a_threshold_is_a_confidence() {
        let with = |threshold| resolve(&sources(&[("correlation_threshold", threshold)], &[], ""));
        let config = with("0.99").unwrap().config;
        let threshold = config.tracing.unwrap().correlation_threshold;
        assert!((threshold - 0.99).abs() < f32::EPSILON);
        for wrong in ["0.4", "1.1", "NaN", "sure"] {
            let error = with(wrong).unwrap_err().to_string();
            assert!(error.contains("a number from 0.5 to 1"), "{error}");
        }
    }

    #[test]
    fn process_evidence_is_switched_off_by_every_source() {
        for (flags, environment, file) in [
            (&[("process_evidence", "off")][..], &[][..], ""),
            (&[], &[("THROUGHLINE_PROCESS_EVIDENCE", "false")], ""),
            (&[], &[], "process_evidence: off"),
        ] {
            let config = resolve(&sources(flags, environment, file)).unwrap().config;
            assert!(!config.tracing.unwrap().process_evidence);
        }
    }

    #[test]
    fn a_batch_is_never_more_than_the_queue() {
        let otel = [
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200"),
        ];
        for (environment, warnings) in [(&otel[..], 1), (&otel[..1], 0)] {
            let resolved = resolve(&sources(&[], environment, "")).unwrap();
            assert_eq!(
                resolved
                    .config
                    .tracing
                    .unwrap()
                    .pipeline
                    .max_export_batch_size,
                100
            );
            assert_eq!(resolved.warnings.len(), warnings);
        }
        let error = error(&sources(&[("span_batch_size", "200")], &otel[..1], ""));
        assert!(error.contains("make the batch smaller"), "{error}");
    }

    #[test]
    fn resource_attributes_leave_the_name_to_the_name() {
        let environment = [("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,team=a")];
        let config = resolve(&sources(&[], &environment, "")).unwrap().config;
        assert_eq!(config.name, "x");
        let resource = config.tracing.unwrap().resource;
        assert_eq!(resource, [("team".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn an_inbound_listener_needs_an_app() {
        let error = error(&sources(&[("inbound", "0.0.0.0:80")], &[], ""));
        assert!(error.contains("--app PORT"), "{error}");
    }
}

//! Configuration → built, bound, running, draining: the life of one sidecar.
//!
//! [`Bound::bind`] takes every port before anything else happens, and hands back the real addresses,
//! so that port 0 works and a port that is taken is one clear sentence. [`Bound::run`] then blocks
//! until it is told to stop, drains, and returns the account of all spans.

mod drain;
mod endpoints;
mod launch;
mod operators;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use pingora_core::server::{RunArgs, Server, configuration::ServerConf};
use throughline::{ClientLayer, ServerLayer, ambient, sink::Discard};
use tokio::sync::watch;

pub use self::drain::Stop;
use self::{drain::Drain, endpoints::Endpoints, launch::Launch, operators::Operators};
use crate::{
    admin::{Admin, Readiness},
    child,
    config::{Config, Tracing},
    correlate::{self, Correlator},
    echoes::Echoes,
    export::Resource,
    inbound::{self, Inbound},
    listen::{Connections, Listener, Stack},
    outbound::{self, Outbound},
    owners::Owners,
    pipeline::{self, Ledger, Pipeline, Worker},
    pool::{self, Origin, Pool},
    request_id::RequestIds,
    settle::Settlement,
    signals::Signals,
    tls::Tls,
    values::Secret,
};

/// Runs the sidecar until a signal ends it, with the app beside it where `command` has words.
///
/// The app's environment is `inherited` and what [`child::environment`] adds to it. The exit code is
/// the app's, if it was started; else success.
///
/// # Errors
///
/// When a port cannot be bound, the app cannot be started, or the exporter's configuration is wrong.
pub fn run(
    config: Config,
    command: Vec<OsString>,
    inherited: &BTreeMap<String, String>,
) -> anyhow::Result<ExitCode> {
    let mut bound = Bound::bind(config)?;
    let addresses = bound.addresses();
    tracing::info!(%addresses, "listening");
    let mut words = command.into_iter();
    // For as long as the app may run.
    let mut launch = Launch::default();
    let command = words.next().map(|program| {
        let config = &bound.config;
        let port = config.app.as_ref().map(|app| app.port);
        let mut env = child::environment(port, addresses.outbound, &config.no_proxy, inherited);
        launch = Launch::with(&config.forwarders, &program, &addresses, inherited);
        env.append(&mut launch.variables);
        child::Command {
            program,
            args: words.collect(),
            env,
        }
    });
    if let Some(file) = &launch.own_signal_file {
        match hear(file, &bound.config) {
            Ok(signals) => bound.signals = Some(signals),
            // The app does not find it either, and says nothing.
            Err(error) => tracing::warn!("{error:#}; threads are not heard"),
        }
    }
    let stopped = bound.run(Stop::Signals(command))?;
    tracing::info!("{}", stopped.ledger);
    Ok(ExitCode::from(stopped.app_code.unwrap_or(0)))
}

/// What is left when a sidecar has ended.
#[derive(Debug)]
pub struct Stopped {
    /// The account of its spans.
    pub ledger: Ledger,
    /// The exit code of the app that was started with it.
    pub app_code: Option<u8>,
}

/// The addresses that a sidecar really listens on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// For callers of the app.
    pub inbound: Option<SocketAddr>,
    /// For the app's calls.
    pub outbound: Option<SocketAddr>,
    /// For operators.
    pub admin: Option<SocketAddr>,
    /// For the app's calls to fixed upstreams, in the order of the configuration.
    pub routes: Vec<SocketAddr>,
}

impl std::fmt::Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = [
            ("inbound", self.inbound),
            ("outbound", self.outbound),
            ("admin", self.admin),
        ];
        let mut separator = "";
        for (name, address) in named {
            if let Some(address) = address {
                write!(f, "{separator}{name} {address}")?;
                separator = ", ";
            }
        }
        for address in &self.routes {
            write!(f, "{separator}route {address}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// A sidecar whose ports are taken and that has not begun to answer.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    inbound: Option<TcpListener>,
    outbound: Option<TcpListener>,
    admin: Option<TcpListener>,
    routes: Vec<TcpListener>,
    pipeline: Pipeline,
    worker: Worker,
    correlator: Arc<Mutex<Correlator>>,
    /// What the app's threads say of themselves.
    signals: Option<Signals>,
    /// Certificates, keys and authorities.
    tls: Tls,
}

impl Bound {
    /// Reads the certificates, takes the ports and starts the pipeline.
    ///
    /// # Errors
    ///
    /// When a certificate is not what it should be, a port cannot be bound, or the exporter's
    /// configuration is wrong.
    pub fn bind(config: Config) -> anyhow::Result<Self> {
        let tls = Tls::load(config.tls.clone())?;
        let signal_file = config.forwarders.signal_file.as_deref();
        let signals = signal_file.map(|file| hear(file, &config)).transpose()?;
        // A sidecar that does not trace has a pipeline too: an empty account is an account.
        let threshold = config
            .tracing
            .as_ref()
            .map_or(1.0, |t| t.correlation_threshold);
        let correlator =
            Correlator::new(threshold, ambient::now()).with_grace(config.forwarders.grace);
        let correlator = Arc::new(Mutex::new(correlator));
        let (pipeline, worker) = match &config.tracing {
            None => {
                let nothing = pipeline::Config {
                    memory_spans: 0,
                    ..pipeline::Config::default()
                };
                Pipeline::start(
                    nothing,
                    &Resource::new(&config.name, Vec::new()),
                    None,
                    None,
                )
            }
            Some(tracing) => {
                let resource = Resource::new(&config.name, tracing.resource.clone());
                let settlement: Arc<dyn Settlement> = correlator.clone();
                let otlp = tracing.otlp.clone();
                Pipeline::start(tracing.pipeline, &resource, otlp, Some(settlement))
            }
        }
        .context("spans cannot be exported")?;
        Ok(Self {
            inbound: config.inbound.map(|at| bind("inbound", at)).transpose()?,
            outbound: config.outbound.map(|at| bind("outbound", at)).transpose()?,
            admin: config.admin.map(|at| bind("admin", at)).transpose()?,
            routes: config
                .routes
                .iter()
                .map(|route| bind("routes", route.listen))
                .collect::<Result<_, _>>()?,
            config,
            pipeline,
            worker,
            correlator,
            signals,
            tls,
        })
    }

    /// The real addresses.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        let address = |listener: &TcpListener| listener.local_addr().ok();
        Addresses {
            inbound: self.inbound.as_ref().and_then(address),
            outbound: self.outbound.as_ref().and_then(address),
            admin: self.admin.as_ref().and_then(address),
            routes: self.routes.iter().filter_map(address).collect(),
        }
    }

    /// The handle on its certificates, to read them again.
    #[must_use]
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// The handle on its spans.
    #[must_use]
    pub fn pipeline(&self) -> Pipeline {
        self.pipeline.clone()
    }

    /// Answers until `stop`, and then lets everything finish that can within the grace period.
    ///
    /// It blocks; the work is done by threads of its own.
    ///
    /// # Errors
    ///
    /// When the app cannot be started.
    pub fn run(self, stop: Stop) -> anyhow::Result<Stopped> {
        let addresses = self.addresses();
        let Self {
            config,
            inbound,
            outbound,
            admin,
            routes,
            pipeline,
            worker,
            correlator,
            signals,
            tls,
        } = self;

        let mut own_ports: Vec<u16> = addresses.outbound.iter().map(SocketAddr::port).collect();
        own_ports.extend(addresses.routes.iter().map(SocketAddr::port));
        let limits = pool::Config {
            own_ports,
            ..config.pool
        };
        let pool = Pool::new(limits, tls.connector());
        let owners = owners(&config);
        let stacks = Stacks::new(&config, &pipeline, owners.as_ref(), &correlator, signals);

        let readiness = Readiness::default();
        let (inbound_drain, inbound_watch) = watch::channel(false);
        let (outbound_drain, outbound_watch) = watch::channel(false);
        let (admin_drain, admin_watch) = watch::channel(false);

        let mut traffic = Endpoints::new("traffic", config.workers);
        let mut callers = Vec::new();
        let mut calls = Vec::new();
        if let (Some(listener), Some(app)) = (inbound, &config.app) {
            let origin = match app.is_tls {
                true => Origin::https(&app.host, app.port),
                false => Origin::http(&app.host, app.port),
            };
            let app = pool.upstream(&origin, config.app_protocol);
            let mut stack = Inbound::new(app, stacks.inbound());
            if config.listen.transparent {
                stack = stack.redirected(pool.clone(), config.app_protocol);
            }
            let listen = Listener::new(
                stack,
                config.listen,
                inbound_watch.clone(),
                Some(pipeline.clone()),
            )
            .with_tls(tls.server());
            callers.push(traffic.add(listener, listen, inbound_watch)?);
        }
        if let Some(listener) = outbound {
            let stack = Outbound::forward(pool.clone(), stacks.outbound());
            let listen = Listener::new(stack, config.listen, outbound_watch.clone(), None);
            calls.push(traffic.add(listener, listen, outbound_watch.clone())?);
        }
        for (listener, route) in routes.into_iter().zip(&config.routes) {
            let stack = Outbound::to(pool.clone(), route.upstream.clone(), stacks.outbound());
            let listen = Listener::new(stack, config.listen, outbound_watch.clone(), None);
            calls.push(traffic.add(listener, listen, outbound_watch.clone())?);
        }
        traffic.beside(async move { pool.tend().await });
        let tls_counters = tls.counters();
        traffic.beside(tls.watch());

        let mut operators = Endpoints::new("admin", 1);
        if let Some(listener) = admin {
            let admin = Admin::new(&config.name, pipeline, readiness.clone(), ambient::wall())
                .with_owners(owners)
                .with_correlator(config.tracing.is_some().then_some(correlator))
                .with_tls(tls_counters);
            let listen = Listener::new(Operators(admin), config.listen, admin_watch.clone(), None);
            operators.add(listener, listen, admin_watch)?;
        }

        let mut server = Server::new_with_opt_and_conf(None, server_conf(config.workers));
        server.bootstrap();
        server.add_service(traffic);
        server.add_service(operators);

        let drain = Drain {
            stop: Mutex::new(Some(stop)),
            readiness,
            grace: config.shutdown_grace,
            callers: (inbound_drain, callers),
            calls: (outbound_drain, calls),
            admin: admin_drain,
            outcome: Arc::default(),
        };
        let outcome = drain.outcome.clone();
        server.run(RunArgs {
            shutdown_signal: Box::new(drain),
        });

        let outcome = outcome.take();
        let left = outcome.deadline.map_or(Duration::ZERO, |deadline| {
            deadline.saturating_duration_since(ambient::now())
        });
        // Spans get a moment even where requests used up the whole grace period.
        let ledger = worker.shutdown(left.max(Duration::from_secs(1)));
        match outcome.error {
            Some(error) => Err(error),
            None => Ok(Stopped {
                ledger,
                app_code: outcome.app_code,
            }),
        }
    }
}

/// The tracing halves of the stacks, which share one window.
struct Stacks {
    inbound: Option<inbound::Tracing>,
    outbound: Option<outbound::Tracing>,
}

impl Stacks {
    fn new(
        config: &Config,
        pipeline: &Pipeline,
        owners: Option<&Owners>,
        correlator: &Arc<Mutex<Correlator>>,
        signals: Option<Signals>,
    ) -> Self {
        let Some(tracing) = &config.tracing else {
            return Self {
                inbound: None,
                outbound: None,
            };
        };
        let Tracing {
            sampler,
            request_id_headers,
            ..
        } = tracing;
        let request_id_headers: Arc<[_]> = request_id_headers.clone().into();
        let secret = Secret::new([ambient::random(), ambient::random()]);
        let values = Echoes::new(&tracing.values, secret, correlate::MAX_OPEN);
        let layer = ServerLayer::new(Discard)
            .propagator(tracing.inbound.clone())
            .trust(tracing.trust.clone())
            .baggage_attributes(&tracing.baggage_attributes)
            .sampler(*sampler);
        let inbound = inbound::Tracing {
            layer,
            request_ids: tracing
                .make_request_id
                .then(|| RequestIds::new(tracing.trust.clone())),
            pipeline: pipeline.clone(),
            request_id_headers: request_id_headers.clone(),
            correlator: correlator.clone(),
            notes_carriers: owners.is_some() || signals.is_some(),
            values: values.clone(),
        };
        let layer = ClientLayer::new(pipeline.clone())
            .propagator(tracing.outbound.clone())
            .sampler(*sampler);
        let outbound = outbound::Tracing {
            layer,
            propagator: Arc::new(tracing.outbound.clone()),
            request_id_headers,
            correlator: correlator.clone(),
            values,
            pipeline: pipeline.clone(),
            owners: owners.cloned(),
            caller: None,
            signals,
        };
        Self {
            inbound: Some(inbound),
            outbound: Some(outbound),
        }
    }

    fn inbound(&self) -> Option<inbound::Tracing> {
        self.inbound.clone()
    }

    fn outbound(&self) -> Option<outbound::Tracing> {
        self.outbound.clone()
    }
}

/// What tells the app's processes apart, where calls are to be held against requests.
fn owners(config: &Config) -> Option<Owners> {
    let app = config.app.as_ref()?;
    let is_wanted = config.tracing.as_ref()?.process_evidence;
    let has_both =
        config.inbound.is_some() && (config.outbound.is_some() || !config.routes.is_empty());
    (is_wanted && has_both).then(|| Owners::start(app.port))
}

/// Hears what the app's threads tell in that file.
fn hear(file: &Path, config: &Config) -> anyhow::Result<Signals> {
    let app = config.app.as_ref().map(|app| app.port);
    Signals::create(file, app).with_context(|| {
        let file = file.display();
        format!("signal_file {file} cannot be made; choose a directory that can be written to")
    })
}

fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| {
        format!("{key} cannot listen on {address}; choose another address or free that one")
    })
}

fn server_conf(workers: usize) -> ServerConf {
    ServerConf {
        threads: workers,
        // The drain is ours (see `drain`): pingora would sleep for the whole grace period, and then
        // cancel what is still running.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    }
}

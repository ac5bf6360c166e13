//! Configuration → built, bound, running, draining: the life of one sidecar.
//!
//! [`Bound::bind`] takes every port before anything else happens, and hands back the real addresses,
//! so that port 0 works and a port that is taken is one clear sentence. [`Bound::run`] then blocks
//! until it is told to stop, drains, and returns the account of all spans.

mod drain;
mod endpoints;
mod handover;
mod launch;
mod operators;
mod reload;
mod stacks;

use std::{
    ffi::OsString,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use pingora_core::server::{RunArgs, Server, configuration::ServerConf};
use throughline::ambient;
use tokio::sync::watch;

use self::{
    drain::Drain,
    endpoints::Endpoints,
    handover::{Named, Taken},
    launch::Launch,
    operators::Operators,
    reload::Reload,
    stacks::{Listeners, Stacks},
};
pub use self::{drain::Stop, reload::Watched};
use crate::{
    access_log,
    admin::{Admin, Configured, Readiness},
    child,
    config::{Config, Resolved, Sources},
    correlate::Correlator,
    export::Resource,
    listen::{Connections, Listener, Stack},
    log::Log,
    pipeline::{self, Ledger, Pipeline, Worker},
    settle::Settlement,
    signals::Signals,
    tls::Tls,
};

/// Runs the sidecar until a signal ends it, with the app beside it where `command` has words.
///
/// The configuration is `resolved`, which `sources` make; they are read again while it runs. The app's
/// environment is that of the sources and what [`child::environment`] adds to it. The exit code is the
/// app's, if it was started; else success.
///
/// # Errors
///
/// When a port cannot be bound, the app cannot be started, or the exporter's configuration is wrong.
pub fn run(
    sources: Sources,
    resolved: Resolved,
    command: Vec<OsString>,
    log: Log,
) -> anyhow::Result<ExitCode> {
    let inherited = &sources.environment.clone();
    let bound = Bound::bind(resolved.config.clone())?;
    let mut bound = bound.watching(Watched {
        sources,
        resolved,
        log,
    });
    if bound.taken.is_successor() {
        tracing::info!("taking over from another process");
    }
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
    /// What was had from a process before, which this one takes over from.
    taken: Taken,
    /// What can be read again while it runs.
    watched: Option<Watched>,
}

impl Bound {
    /// Reads the certificates, takes the ports and starts the pipeline.
    ///
    /// # Errors
    ///
    /// When a certificate is not what it should be, a port cannot be bound, or the exporter's
    /// configuration is wrong.
    pub fn bind(config: Config) -> anyhow::Result<Self> {
        let upgrade_socket = config.upgrade_socket.as_deref();
        let taken = upgrade_socket.map(Taken::at).transpose()?;
        let mut taken = taken.unwrap_or_default();
        let tls = Tls::load(config.tls.clone())?;
        let signal_file = config.forwarders.signal_file.as_deref();
        let signals = signal_file.map(|file| hear(file, &config)).transpose()?;
        // A sidecar that does not trace has a pipeline too: an empty account is an account.
        let threshold = config
            .tracing
            .as_ref()
            .map_or(1.0, |t| t.correlation_threshold);
        let mut correlator =
            Correlator::new(threshold, ambient::now()).with_grace(config.forwarders.grace);
        if taken.is_successor() {
            // Those of the process before, until it is gone.
            correlator.unknown_begin();
        }
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
        pipeline
            .access_log()
            .configure(&config.access_log)
            .with_context(|| cannot_log(&config.access_log))?;
        Ok(Self {
            inbound: config
                .inbound
                .map(|at| bind("inbound", at, &mut taken))
                .transpose()?,
            outbound: config
                .outbound
                .map(|at| bind("outbound", at, &mut taken))
                .transpose()?,
            admin: config
                .admin
                .map(|at| bind("admin", at, &mut taken))
                .transpose()?,
            routes: config
                .routes
                .iter()
                .map(|route| bind("routes", route.listen, &mut taken))
                .collect::<Result<_, _>>()?,
            taken,
            config,
            pipeline,
            worker,
            correlator,
            signals,
            tls,
            watched: None,
        })
    }

    /// Reads its configuration again on SIGHUP, and when its file is another.
    #[must_use]
    pub fn watching(mut self, watched: Watched) -> Self {
        self.watched = Some(watched);
        self
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

    /// What the next process gets, if there is to be one.
    fn handed_over(&self) -> anyhow::Result<Vec<Named>> {
        if self.config.upgrade_socket.is_none() {
            return Ok(Vec::new());
        }
        let Config {
            inbound,
            outbound,
            admin,
            routes,
            ..
        } = &self.config;
        let single = [
            ("inbound", *inbound, &self.inbound),
            ("outbound", *outbound, &self.outbound),
            ("admin", *admin, &self.admin),
        ];
        let single = single
            .into_iter()
            .filter_map(|(key, asked, listener)| Some((key, asked?, listener.as_ref()?)));
        let routes = routes.iter().zip(&self.routes);
        single
            .chain(routes.map(|(route, listener)| ("routes", route.listen, listener)))
            .map(|(key, asked, listener)| {
                Ok(Named {
                    key: key.to_owned(),
                    asked,
                    listener: listener.try_clone()?,
                })
            })
            .collect()
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
        let handed = self.handed_over()?;
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
            taken,
            watched,
        } = self;

        let mut own_ports: Vec<u16> = addresses.outbound.iter().map(SocketAddr::port).collect();
        own_ports.extend(addresses.routes.iter().map(SocketAddr::port));
        let mut stacks = Stacks::new(
            &config,
            pipeline.clone(),
            correlator.clone(),
            signals,
            own_ports,
            tls.connector(),
        );

        let readiness = Readiness::default();
        let (inbound_drain, inbound_watch) = watch::channel(false);
        let (outbound_drain, outbound_watch) = watch::channel(false);
        let (admin_drain, admin_watch) = watch::channel(false);

        let mut traffic = Endpoints::new("traffic", config.workers);
        let mut callers = Vec::new();
        let mut calls = Vec::new();
        let mut live = Listeners::default();
        if let (Some(listener), Some(stack)) = (inbound, stacks.inbound(&config)) {
            let spans = Some(pipeline.clone());
            let listen = Listener::new(stack, config.listen, inbound_watch.clone(), spans)
                .with_tls(tls.server());
            live.inbound = Some(listen.live());
            callers.push(traffic.add(listener, listen, inbound_watch)?);
        }
        if let Some(listener) = outbound {
            let stack = stacks.outbound(&config);
            let spans = Some(pipeline.clone());
            let listen = Listener::new(stack, config.listen, outbound_watch.clone(), spans);
            live.outbound = Some(listen.live());
            calls.push(traffic.add(listener, listen, outbound_watch.clone())?);
        }
        for (listener, stack) in routes.into_iter().zip(stacks.routes(&config)) {
            let spans = Some(pipeline.clone());
            let listen = Listener::new(stack, config.listen, outbound_watch.clone(), spans);
            live.routes.push(listen.live());
            calls.push(traffic.add(listener, listen, outbound_watch.clone())?);
        }
        stacks.serve(live);
        traffic.beside(stacks.pool().tend());
        traffic.beside(stacks.look_after());
        let tls_counters = tls.counters();
        traffic.beside(tls.clone().watch());

        let configured = Configured::default();
        let mut operators = Endpoints::new("admin", 1);
        if let Some(listener) = admin {
            let admin = Admin::new(
                &config.name,
                pipeline.clone(),
                readiness.clone(),
                ambient::wall(),
            )
            .with_owners(stacks.owners.clone())
            .with_traffic(stacks.traffic())
            .with_correlator(config.tracing.is_some().then(|| stacks.correlator.clone()))
            .with_configured(configured.clone())
            .with_log(watched.as_ref().map(|watched| watched.log.clone()))
            .with_tls(tls_counters);
            let listen = Listener::new(Operators(admin), config.listen, admin_watch.clone(), None);
            operators.add(listener, listen, admin_watch)?;
        }

        let (grace, grace_watch) = watch::channel(config.shutdown_grace);
        let reload = watched.map(|watched| Reload::new(watched, stacks, tls, configured, grace));
        let mut server = Server::new_with_opt_and_conf(None, server_conf(config.workers));
        server.bootstrap();
        server.add_service(traffic);
        server.add_service(operators);

        let drain = Drain {
            stop: Mutex::new(Some(stop)),
            reload: Mutex::new(reload),
            taken: Mutex::new(Some((taken, handed))),
            correlator,
            readiness,
            grace: grace_watch,
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
        pipeline.access_log().close(Duration::from_secs(1));
        match outcome.error {
            Some(error) => Err(error),
            None => Ok(Stopped {
                ledger,
                app_code: outcome.app_code,
            }),
        }
    }
}

/// Hears what the app's threads tell in that file.
fn hear(file: &Path, config: &Config) -> anyhow::Result<Signals> {
    let app = config.app.as_ref().map(|app| app.port);
    Signals::create(file, app).with_context(|| {
        let file = file.display();
        format!("signal_file {file} cannot be made; choose a directory that can be written to")
    })
}

fn cannot_log(config: &access_log::Config) -> String {
    let where_to = match &config.target {
        access_log::Target::File(path) => path.display().to_string(),
        _ => "stdout".to_owned(),
    };
    format!(
        "access_log {where_to} cannot be opened; choose a file that can be written to, stdout or off"
    )
}

fn bind(key: &str, address: SocketAddr, taken: &mut Taken) -> anyhow::Result<TcpListener> {
    if let Some(listener) = taken.listener(key, address) {
        return Ok(listener);
    }
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

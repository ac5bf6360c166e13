//! The stacks of all listeners, made of a configuration; and made again, of another, while they run.
//!
//! What stays is what has been learnt and what is open: the pipeline, the correlator with its window, the
//! values, the owners and the signals. What is made anew is what only says how: layers, routes, limits.

use std::sync::{Arc, Mutex};

use throughline::{ClientLayer, ServerLayer, ambient, sink::Discard};

use crate::{
    access_log::Target,
    admin::{Groups, Traffic},
    config::{Config, Tracing},
    correlate::{self, Correlator},
    echoes::Echoes,
    group::Group,
    inbound::{self, Inbound},
    listen::Live,
    outbound::{self, Outbound, Route},
    owners::Owners,
    pipeline::Pipeline,
    pool::{self, Origin, Pool},
    request_id::RequestIds,
    retry,
    signals::Signals,
    tls::Connector,
    values::Secret,
};

/// What stacks are made with, besides a configuration.
#[derive(Debug)]
pub(super) struct Stacks {
    pub(super) pipeline: Pipeline,
    pub(super) correlator: Arc<Mutex<Correlator>>,
    pub(super) owners: Option<Owners>,
    signals: Option<Signals>,
    values: Option<Arc<Echoes>>,
    /// Ports that lead back to us.
    own_ports: Vec<u16>,
    /// How the pool was made that is in use.
    pool_config: pool::Config,
    pool: Pool,
    retries: Arc<retry::Counts>,
    /// The upstreams of routes that have several, and whom that is to be told.
    groups: Vec<(Route, Arc<Group>)>,
    shown: Groups,
    /// Those of them that nobody looks after yet.
    untended: Vec<Arc<Group>>,
    /// Whether nobody follows the pool's names yet.
    is_unfollowed: bool,
    live: Listeners,
}

/// What the listeners do, to be replaced.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    pub(super) inbound: Option<Live<Inbound>>,
    pub(super) outbound: Option<Live<Outbound>>,
    pub(super) routes: Vec<Live<Outbound>>,
}

impl Stacks {
    pub(super) fn new(
        config: &Config,
        pipeline: Pipeline,
        correlator: Arc<Mutex<Correlator>>,
        signals: Option<Signals>,
        own_ports: Vec<u16>,
        connector: Connector,
    ) -> Self {
        let values = config.tracing.as_ref().and_then(|tracing| {
            let secret = Secret::new([ambient::random(), ambient::random()]);
            Echoes::new(&tracing.values, secret, correlate::MAX_OPEN)
        });
        Self {
            pipeline,
            correlator,
            owners: owners(config),
            signals,
            values,
            pool: Pool::new(limits(config, &own_ports), connector),
            own_ports,
            pool_config: config.pool.clone(),
            retries: Arc::default(),
            groups: Vec::new(),
            shown: Groups::default(),
            untended: Vec::new(),
            is_unfollowed: true,
            live: Listeners::default(),
        }
    }

    /// The pool in use.
    pub(super) fn pool(&self) -> Pool {
        self.pool.clone()
    }

    /// The stack in front of the app, where there is one.
    pub(super) fn inbound(&self, config: &Config) -> Option<Inbound> {
        let app = config.app.as_ref()?;
        let origin = match app.is_tls {
            true => Origin::https(&app.host, app.port),
            false => Origin::http(&app.host, app.port),
        };
        let limits = pool::Config {
            max_requests: config.app_max_requests,
            ..config.pool.clone()
        };
        let pool = &self.pool;
        let upstream = pool.dedicated("the app", origin, config.app_protocol, &limits);
        let stack = Inbound::new(upstream, config.terms.request_timeout, self.server(config));
        Some(match config.listen.transparent {
            true => stack.redirected(self.pool(), config.app_protocol),
            false => stack,
        })
    }

    /// The stack of the forward proxy.
    pub(super) fn outbound(&self, config: &Config) -> Outbound {
        let tracing = self.client(config);
        Outbound::forward(self.pool(), &config.terms, &self.retries, tracing)
    }

    /// The stacks of the fixed routes, in their order.
    pub(super) fn routes(&mut self, config: &Config) -> Vec<Outbound> {
        let tracing = self.client(config);
        let before = std::mem::take(&mut self.groups);
        let mut stacks = Vec::new();
        for route in &config.routes {
            let same = before.iter().find(|(other, _)| other == route);
            // What is known of upstreams is kept where nothing about them has changed.
            let group = match same {
                Some((_, group)) => Some(group.clone()),
                None => route.group(&self.pool),
            };
            if let Some(group) = &group {
                if same.is_none() {
                    self.untended.push(group.clone());
                }
                self.groups.push((route.clone(), group.clone()));
            }
            let (pool, tracing) = (self.pool(), tracing.clone());
            stacks.push(Outbound::to(pool, route, group, &self.retries, tracing));
        }
        let groups = self.groups.iter().map(|(_, group)| group.clone());
        self.shown.set(groups.collect());
        stacks
    }

    /// What the admin port shows of the ways out.
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            retries: self.retries.clone(),
            requests: self.pool.counts(),
            groups: self.shown.clone(),
        }
    }

    /// Looks after names and upstreams, in tasks: what is new of them since this was last called.
    pub(super) fn look_after(&mut self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let groups = std::mem::take(&mut self.untended);
        let pool = std::mem::take(&mut self.is_unfollowed).then(|| self.pool());
        async move {
            for group in groups {
                tokio::spawn(group.tend());
            }
            if let Some(pool) = pool {
                tokio::spawn(pool.follow());
            }
        }
    }

    /// These are the listeners whose stacks they are.
    pub(super) fn serve(&mut self, live: Listeners) {
        self.live = live;
    }

    /// Makes all stacks as `config` says, for new requests. Those that are under way end as they began.
    pub(super) fn renew(&mut self, config: &Config) {
        if self.pool_config != config.pool {
            // Connections that are in use go with the requests that use them.
            self.pool = self.pool.anew(limits(config, &self.own_ports));
            self.pool_config = config.pool.clone();
            tokio::spawn(self.pool().tend());
            self.is_unfollowed = true;
            // Their connections are the old pool's.
            self.groups.clear();
        }
        if let (Some(live), Some(stack)) = (&self.live.inbound, self.inbound(config)) {
            live.replace(stack, config.listen);
        }
        if let Some(live) = &self.live.outbound {
            live.replace(self.outbound(config), config.listen);
        }
        let routes = self.routes(config);
        for (live, stack) in self.live.routes.iter().zip(routes) {
            live.replace(stack, config.listen);
        }
        tokio::spawn(self.look_after());
    }

    /// How requests to the app are traced.
    fn server(&self, config: &Config) -> Option<inbound::Tracing> {
        let tracing = config.tracing.as_ref()?;
        let layer = ServerLayer::new(Discard)
            .propagator(tracing.inbound.clone())
            .trust(tracing.trust.clone())
            .baggage_attributes(&tracing.baggage_attributes)
            .sampler(tracing.sampler)
            .report_unsampled(config.access_log.target != Target::Off);
        Some(inbound::Tracing {
            layer,
            request_ids: tracing
                .make_request_id
                .then(|| RequestIds::new(tracing.trust.clone())),
            pipeline: self.pipeline.clone(),
            request_id_headers: tracing.request_id_headers.clone().into(),
            correlator: self.correlator.clone(),
            notes_carriers: self.owners.is_some() || self.signals.is_some(),
            values: self.values.clone(),
        })
    }

    /// How calls of the app are traced.
    fn client(&self, config: &Config) -> Option<outbound::Tracing> {
        let tracing = config.tracing.as_ref()?;
        let layer = ClientLayer::new(self.pipeline.clone())
            .propagator(tracing.outbound.clone())
            .sampler(tracing.sampler)
            .report_unsampled(config.access_log.target != Target::Off);
        Some(outbound::Tracing {
            layer,
            propagator: Arc::new(tracing.outbound.clone()),
            request_id_headers: tracing.request_id_headers.clone().into(),
            correlator: self.correlator.clone(),
            values: self.values.clone(),
            pipeline: self.pipeline.clone(),
            owners: self.owners.clone(),
            caller: None,
            signals: self.signals.clone(),
        })
    }
}

/// What the pool allows, with what only a process that has bound its ports knows.
fn limits(config: &Config, own_ports: &[u16]) -> pool::Config {
    pool::Config {
        own_ports: own_ports.to_vec(),
        ..config.pool.clone()
    }
}

/// What tells the app's processes apart, where calls are to be held against requests.
fn owners(config: &Config) -> Option<Owners> {
    let app = config.app.as_ref()?;
    let Tracing {
        process_evidence, ..
    } = config.tracing.as_ref()?;
    let has_both =
        config.inbound.is_some() && (config.outbound.is_some() || !config.routes.is_empty());
    (*process_evidence && has_both).then(|| Owners::start(app.port))
}

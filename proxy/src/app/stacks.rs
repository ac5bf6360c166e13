//! The stacks of all listeners, made of a configuration; and made again, of another, while they run.
//!
//! What stays is what has been learnt and what is open: the pipeline, the correlator with its window, the
//! values, the owners and the signals. What is made anew is what only says how: layers, routes, limits.

use std::sync::{Arc, Mutex};

use throughline::{ClientLayer, ServerLayer, ambient, sink::Discard};

use crate::{
    access_log::Target,
    config::{Config, Tracing},
    correlate::{self, Correlator},
    echoes::Echoes,
    inbound::{self, Inbound},
    listen::Live,
    outbound::{self, Outbound},
    owners::Owners,
    pipeline::Pipeline,
    pool::{self, Origin, Pool},
    request_id::RequestIds,
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
        let upstream = self.pool.upstream(&origin, config.app_protocol);
        let stack = Inbound::new(upstream, self.server(config));
        Some(match config.listen.transparent {
            true => stack.redirected(self.pool(), config.app_protocol),
            false => stack,
        })
    }

    /// The stack of the forward proxy.
    pub(super) fn outbound(&self, config: &Config) -> Outbound {
        Outbound::forward(self.pool(), self.client(config))
    }

    /// The stacks of the fixed routes, in their order.
    pub(super) fn routes(&self, config: &Config) -> Vec<Outbound> {
        let tracing = self.client(config);
        let routes = config.routes.iter();
        routes
            .map(|route| Outbound::to(self.pool(), route.upstream.clone(), tracing.clone()))
            .collect()
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
        }
        if let (Some(live), Some(stack)) = (&self.live.inbound, self.inbound(config)) {
            live.replace(stack, config.listen);
        }
        if let Some(live) = &self.live.outbound {
            live.replace(self.outbound(config), config.listen);
        }
        for (live, stack) in self.live.routes.iter().zip(self.routes(config)) {
            live.replace(stack, config.listen);
        }
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

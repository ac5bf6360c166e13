//! The street: every service of the shop, and a sidecar beside each.
//!
//! A sidecar here is what `throughline run` is, with the same flags, and is reached over sockets
//! alone. The only thing that the demo has of it besides is a handle on its spans.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Context;
use throughline::ambient;
use tokio::sync::oneshot;

use super::{
    hops::Seen,
    shop::{self, Neighbours, Service},
};
use crate::{
    app::{Bound, Stop, Stopped},
    config::{self, Config, Sources},
    pipeline::{Ledger, Pipeline},
};

/// How long spans may take until all of them are where they can be read.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);

/// The whole street, open for business.
#[derive(Debug)]
pub(super) struct Street {
    houses: Vec<House>,
}

/// A service and its sidecar.
#[derive(Debug)]
struct House {
    service: Service,
    inbound: SocketAddr,
    admin: Option<SocketAddr>,
    pipeline: Pipeline,
    neighbours: Arc<Neighbours>,
    stop: oneshot::Sender<()>,
    sidecar: thread::JoinHandle<anyhow::Result<Stopped>>,
}

impl Street {
    /// Opens the street: takes the ports, and starts every sidecar and every service.
    ///
    /// # Errors
    ///
    /// When a port cannot be had, or what the environment says of the export is wrong.
    pub(super) fn open(environment: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut doors = Vec::new();
        for service in Service::ALL {
            let name = service.name();
            let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .with_context(|| format!("{name} finds no free port on the loopback address"))?;
            let config = configure(service, door.local_addr()?, environment)?;
            let bound = Bound::bind(config)
                .with_context(|| format!("the sidecar of {name} cannot be started"))?;
            doors.push((service, door, bound));
        }
        let mut inbound = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); Service::ALL.len()];
        for (service, _, bound) in &doors {
            inbound[*service as usize] = listens(bound.addresses().inbound, "inbound")?;
        }
        let houses = doors.into_iter().map(|(service, door, bound)| {
            let addresses = bound.addresses();
            let proxy = listens(addresses.outbound, "outbound")?;
            let neighbours = Arc::new(Neighbours::through(proxy, inbound));
            shop::serve(service, door, neighbours.clone())?;
            let pipeline = bound.pipeline();
            let (stop, stopped) = oneshot::channel();
            let sidecar = thread::Builder::new()
                .name(format!("{}-sidecar", service.name()))
                .spawn(move || bound.run(Stop::Told(stopped)))?;
            Ok(House {
                service,
                inbound: inbound[service as usize],
                admin: addresses.admin,
                pipeline,
                neighbours,
                stop,
                sidecar,
            })
        });
        Ok(Self {
            houses: houses.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Where callers from outside reach a service: at its sidecar.
    pub(super) fn entrance(&self, service: Service) -> SocketAddr {
        self.houses[service as usize].inbound
    }

    /// The admin port of each service.
    pub(super) fn admins(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let houses = self.houses.iter();
        houses.filter_map(|house| Some((house.service.name(), house.admin?)))
    }

    /// How many calls the services made, by their own count.
    pub(super) fn calls_made(&self) -> u64 {
        self.houses
            .iter()
            .map(|house| house.neighbours.made())
            .sum()
    }

    /// The spans that the sidecars have in memory.
    pub(super) fn spans(&self) -> Vec<Seen> {
        let houses = self.houses.iter();
        let spans = houses.flat_map(|house| {
            let spans = house.pipeline.memory().spans();
            spans.into_iter().map(|span| Seen {
                service: house.service.name(),
                span,
            })
        });
        spans.collect()
    }

    /// The account of each service's spans, as it stands.
    pub(super) fn ledgers(&self) -> Vec<(&'static str, Ledger)> {
        let houses = self.houses.iter();
        houses
            .map(|house| (house.service.name(), house.pipeline.ledger()))
            .collect()
    }

    /// Waits until the spans of everything that has ended are in memory.
    pub(super) async fn settle(&self) {
        let deadline = ambient::now() + SETTLED_WITHIN;
        let mut before = None;
        while ambient::now() < deadline {
            let ledgers = self.ledgers();
            let arrived = ledgers.iter().all(|(_, ledger)| {
                let memory = ledger.account("memory");
                memory.is_some_and(|memory| memory.pending == 0) && ledger.balances()
            });
            if arrived && before.as_ref() == Some(&ledgers) {
                return;
            }
            before = Some(ledgers);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Closes the street: each sidecar finishes what is in flight and sends what it has.
    ///
    /// # Errors
    ///
    /// When a sidecar ended with an error of its own.
    pub(super) async fn close(self) -> anyhow::Result<Closed> {
        let spans = self.houses.iter().map(|house| house.pipeline.clone());
        let pipelines: Vec<_> = spans.collect();
        let mut closed = Closed {
            calls_made: self.calls_made(),
            spans: Vec::new(),
            ledgers: Vec::new(),
        };
        let mut sidecars = Vec::new();
        for house in self.houses {
            // A sidecar that ended by itself says why when it is waited for.
            let _ = house.stop.send(());
            sidecars.push((house.service.name(), house.sidecar));
        }
        for ((service, sidecar), pipeline) in sidecars.into_iter().zip(pipelines) {
            let ended = tokio::task::spawn_blocking(move || sidecar.join()).await?;
            let stopped = match ended {
                Ok(stopped) => {
                    stopped.with_context(|| format!("the sidecar of {service} failed"))?
                }
                Err(_) => anyhow::bail!("the sidecar of {service} panicked"),
            };
            let ledger = stopped.ledger;
            closed.ledgers.push((service, ledger));
            let spans = pipeline.memory().spans().into_iter();
            closed
                .spans
                .extend(spans.map(|span| Seen { service, span }));
        }
        Ok(closed)
    }
}

/// What is left of a street that was closed.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) spans: Vec<Seen>,
    pub(super) ledgers: Vec<(&'static str, Ledger)>,
    pub(super) calls_made: u64,
}

fn listens(address: Option<SocketAddr>, listener: &str) -> anyhow::Result<SocketAddr> {
    address.with_context(|| format!("a sidecar of the demo has an {listener} address"))
}

/// The configuration of one sidecar: what its flags would be, and the rest from the environment.
///
/// Of the environment only what says where spans go counts, so that the demo can be pointed at a
/// collector; a sampler or a limit that is meant for a real service would only make it harder to see
/// what is shown here.
fn configure(
    service: Service,
    app: SocketAddr,
    environment: &BTreeMap<String, String>,
) -> anyhow::Result<Config> {
    let anywhere = "127.0.0.1:0";
    let mut flags = BTreeMap::from([
        ("name", service.name().to_owned()),
        ("app", app.to_string()),
        ("app_protocol", "http1".to_owned()),
        ("inbound", anywhere.to_owned()),
        ("outbound", anywhere.to_owned()),
        ("admin", anywhere.to_owned()),
        ("workers", "1".to_owned()),
        ("shutdown_grace", "3s".to_owned()),
        ("tracing", "on".to_owned()),
        // All services of the street are threads of this process.
        ("process_evidence", "off".to_owned()),
        // The number of an order is in every path, and is what the report checks parents by.
        ("value_evidence", "none".to_owned()),
        ("propagators", "tracecontext,baggage,xray".to_owned()),
        ("sampler", "parentbased_always_on".to_owned()),
        ("memory_spans", "10000".to_owned()),
        ("span_queue_size", "10000".to_owned()),
    ]);
    if service == Service::Payments {
        // The terminal takes one card at a time; what comes meanwhile has to queue.
        flags.insert("max_connections", "1".to_owned());
    }
    let exports = |name: &str| {
        name.starts_with("OTEL_")
            || name.starts_with("THROUGHLINE_OTLP_")
            || name == "THROUGHLINE_EXPORTER"
    };
    let mut environment = environment.clone();
    environment.retain(|name, _| exports(name));
    let resolved = config::resolve(&Sources {
        flags: flags
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
        environment,
        ..Sources::default()
    })?;
    if service == Service::Frontend {
        // Each sidecar has the same to say of the same environment.
        for warning in resolved.warnings {
            tracing::warn!("{warning}");
        }
    }
    Ok(resolved.config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(service: Service, pairs: &[(&str, &str)]) -> Config {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment = pairs.iter().map(pair).collect();
        configure(service, "127.0.0.1:3000".parse().unwrap(), &environment).unwrap()
    }

    #[test]
    fn spans_go_where_the_environment_says() {
        let config = configured(
            Service::Cart,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
                ("OTEL_RESOURCE_ATTRIBUTES", "team=shop,service.name=other"),
            ],
        );
        let tracing = config.tracing.unwrap();
        assert_eq!(config.name, "cart");
        assert_eq!(tracing.resource, [("team".to_owned(), "shop".to_owned())]);
        let endpoint = tracing.otlp.unwrap().endpoint;
        assert!(endpoint.starts_with("http://collector:4318/"), "{endpoint}");
    }

    #[test]
    fn nothing_else_in_the_environment_changes_what_is_shown() {
        let quiet = configured(Service::Cart, &[]);
        let loud = configured(
            Service::Cart,
            &[
                ("OTEL_SDK_DISABLED", "true"),
                ("OTEL_TRACES_SAMPLER", "always_off"),
                ("OTEL_PROPAGATORS", "none"),
                ("OTEL_BSP_MAX_QUEUE_SIZE", "1"),
                ("OTEL_SERVICE_NAME", "other"),
                ("THROUGHLINE_MAX_CONNECTIONS", "1"),
                ("THROUGHLINE_NO_SUCH_SETTING", "1"),
            ],
        );
        let batch = |config: &Config| {
            let mut config = config.clone();
            let tracing = config.tracing.as_mut().unwrap();
            tracing.pipeline.max_export_batch_size = 0;
            config
        };
        assert_eq!(batch(&quiet), batch(&loud));
    }

    #[test]
    fn one_service_can_be_asked_only_one_thing_at_a_time() {
        let limit = |service| configured(service, &[]).pool.max_connections;
        assert_eq!(limit(Service::Payments), 1);
        assert!(limit(Service::Cart) > 1);
    }
}

//! Settings as they are written, in flags, the environment and a file, become one [`Config`].
//!
//! The strongest source wins: flag, `THROUGHLINE_*`, `OTEL_*`, file, what was detected, default. Each
//! value keeps its [`Origin`], so that `throughline config` can say why it is what it is. A mistake
//! in a flag, in `THROUGHLINE_*` or in the file stops the start with one sentence; a mistake in
//! `OTEL_*` is a [`Warning`], as the OpenTelemetry specification has it.
//!
//! [`resolve`] is pure: what it needs to know is handed in as [`Sources`]. The environment is read
//! by [`env::read`] and the file by [`file::load`], and nothing else here touches the world.

pub mod env;
mod error;
pub mod file;
mod layer;
mod name;
mod origin;
mod otel;
pub(crate) mod reference;
mod reload;
mod resolve;
pub(crate) mod settings;
mod together;
mod value;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use http::HeaderName;
use throughline::{propagation::Propagator, sample::Sampler, trust::Trust};

pub(crate) use self::reload::{Reloaded, reload};
pub use self::{
    error::Error,
    origin::{Origin, Source, Warning},
    resolve::resolve,
};
use crate::{access_log, export, forwarders, listen, outbound::Route, pipeline, pool, tls, values};

/// Everything that the sidecar is told, checked and complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The name of the service, never empty.
    pub name: String,
    /// Where the app listens; `None` for an app that only makes calls.
    pub app: Option<AppAddress>,
    /// Where callers reach the app; `None` wherever `app` is.
    pub inbound: Option<SocketAddr>,
    /// Where the app's calls go out.
    pub outbound: Option<SocketAddr>,
    /// Where health, metrics and traces are served.
    pub admin: Option<SocketAddr>,
    /// Fixed ways out.
    pub routes: Vec<Route>,
    /// What the app is spoken to in.
    pub app_protocol: pool::Protocol,
    /// What callers are allowed.
    pub listen: listen::Config,
    /// What upstreams are allowed.
    pub pool: pool::Config,
    /// Certificates, keys and authorities.
    pub tls: tls::Config,
    /// What a started command calls directly, separated by commas; empty empties its `NO_PROXY`.
    pub no_proxy: String,
    /// How long a shutdown may take.
    pub shutdown_grace: Duration,
    /// Where the process that takes over from this one asks for its listeners.
    pub upgrade_socket: Option<PathBuf>,
    /// How many threads carry requests, at least one.
    pub workers: usize,
    /// How much is logged: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub log: String,
    /// Where a line is written of each exchange.
    pub access_log: access_log::Config,
    /// What launches with the app, and what it is told.
    pub forwarders: forwarders::Config,
    /// How requests are traced; `None` leaves a plain proxy.
    pub tracing: Option<Tracing>,
}

/// How requests are traced and where their spans go.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    /// The header formats between callers and the app.
    pub inbound: Propagator,
    /// The header formats between the app and whom it calls.
    pub outbound: Propagator,
    /// Whose context is continued.
    pub trust: Trust,
    /// Members of the baggage that are noted on spans.
    pub baggage_attributes: Vec<String>,
    /// Whether a request without an id gets one.
    pub make_request_id: bool,
    /// How sure a parent must be to be asserted.
    pub correlation_threshold: f32,
    /// Whether the app's processes are asked which of them made a call.
    pub process_evidence: bool,
    /// The head decision.
    pub sampler: Sampler,
    /// Headers whose value comes back in the calls that a request causes.
    pub request_id_headers: Vec<HeaderName>,
    /// Which values may come back in the calls that a request causes.
    pub values: values::Config,
    /// What is said about the service on every span, besides its name.
    pub resource: Vec<(String, String)>,
    /// Where spans go; `None` keeps them in memory alone.
    pub otlp: Option<export::otlp::Config>,
    /// How they are queued on their way.
    pub pipeline: pipeline::Config,
}

/// Where the app listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppAddress {
    /// A host name or an IP address, an IPv6 one without brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
    /// Whether it is spoken to over TLS.
    pub is_tls: bool,
}

impl fmt::Display for AppAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_tls {
            f.write_str("https://")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Everything that a configuration is made from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The flags that were given, by the key of their setting.
    pub flags: BTreeMap<String, String>,
    /// The whole environment.
    pub environment: BTreeMap<String, String>,
    /// The file: its name, for messages, and its text.
    pub file: Option<(String, String)>,
    /// Where that file is, if it can be read again.
    pub path: Option<PathBuf>,
    /// What was found out about this start.
    pub detected: Detected,
}

/// What is found out and not said.
#[derive(Clone, Debug, Default)]
pub struct Detected {
    /// The command that is started, with its arguments; empty where none is.
    pub command: Vec<String>,
    /// How many processors there are; 0 counts as 1.
    pub parallelism: usize,
}

/// A configuration with what there is to say about it.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The configuration.
    pub config: Config,
    /// Every setting in the order of the table, with its value and where that comes from.
    pub origins: Vec<Origin>,
    /// What was passed over.
    pub warnings: Vec<Warning>,
}

impl Config {
    /// Whether there is something to stand beside.
    ///
    /// It is not part of [`resolve`], because a file may well leave the app to a flag.
    ///
    /// # Errors
    ///
    /// When there is neither an app nor a command nor a word that the app only makes calls; and when
    /// a command is to be told of an outbound port that is not known before it is bound.
    pub fn runnable(&self, origins: &[Origin], command: bool) -> Result<(), Error> {
        together::runnable(self, origins, command)
    }
}

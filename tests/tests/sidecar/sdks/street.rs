//! Six services with a tracing SDK and one without any, each beside a sidecar, and calls between them.

use std::net::SocketAddr;

use serde_json::Value;
use throughline_tests::{Client, Collector, Protocol, Setup, Sidecar, apps};
use tokio::task::{LocalSet, spawn_local};

use super::{
    said::Headers,
    sdk::{self, Language, Sdk},
};

/// How every sidecar of the street is configured.
const PROPAGATORS: &str = "tracecontext,baggage,b3,b3multi,xray";

/// All services, and the collector of their sidecars.
pub(super) struct Street {
    pub(super) collector: Collector,
    pub(super) services: Vec<Service>,
    middle: Service,
}

/// An app and its sidecar.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) sdk: &'static Sdk,
    app: SocketAddr,
    sidecar: Sidecar,
}

/// How a call gets from the caller to the callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From sidecar to sidecar.
    Direct,
    /// With a service between, which forwards nothing.
    ThroughMiddle,
}

/// One call that was made.
pub(super) struct Visit<'s> {
    pub(super) caller: &'s Service,
    pub(super) callee: &'s Service,
    pub(super) way: Way,
    /// What left the caller.
    pub(super) sent: Headers,
    /// What left the service in the middle.
    pub(super) forwarded: Option<Headers>,
    /// What arrived at the callee.
    pub(super) seen: Headers,
}

impl Street {
    /// Starts a service with each of these SDKs.
    pub(super) async fn open(sdks: &'static [Sdk]) -> Self {
        let collector = Collector::start().await;
        let installing =
            tokio::task::spawn_blocking(|| (apps::sdks_in_python(), apps::sdk_in_javascript()));
        let (python, (javascript, modules)) = installing.await.expect("the SDKs can be installed");
        let start = |sdk: &'static Sdk| {
            let command = match sdk.language {
                Language::Python => &python,
                Language::JavaScript => &javascript,
            };
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            let mut setup = Setup::starting(&command)
                .flag("name", sdk.name)
                .variable("THROUGHLINE_PROPAGATORS", PROPAGATORS)
                // Everything here is on one host, and its calls are to be traced all the same.
                .variable("THROUGHLINE_NO_PROXY", "")
                .variable("NODE_PATH", &modules)
                .exporting(&collector, Protocol::Grpc);
            for (name, value) in sdk.variables {
                setup = setup.variable(name, value);
            }
            spawn_local(async move {
                Service {
                    sdk,
                    app: setup.app(),
                    sidecar: setup.start().await,
                }
            })
        };
        // All at once: each takes a while.
        let starting = async {
            let starting: Vec<_> = sdks.iter().chain([&sdk::NONE]).map(start).collect();
            let mut services = Vec::new();
            for service in starting {
                services.push(service.await.expect("a service starts"));
            }
            services
        };
        let mut services = LocalSet::new().run_until(starting).await;
        let middle = services.pop().expect("the one without an SDK is the last");
        Self {
            collector,
            services,
            middle,
        }
    }

    /// Each as the caller of each.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&Service, &Service)> {
        let callees = |caller| self.services.iter().map(move |callee| (caller, callee));
        self.services.iter().flat_map(callees)
    }

    /// Lets `caller` call `callee`, in a trace that the caller's SDK begins.
    pub(super) async fn visit<'s>(
        &self,
        caller: &'s Service,
        callee: &'s Service,
        way: Way,
        sampled: bool,
    ) -> Visit<'s> {
        let mut url = callee.sidecar.url("/item");
        if way == Way::ThroughMiddle {
            url = self.middle.sidecar.url(&format!("/call?url={url}"));
        }
        let path = if sampled { "/call" } else { "/unsampled/call" };
        let answer = caller.ask(&format!("{path}?url={url}")).await;
        let sent = headers(&answer["sent"]);
        let (forwarded, seen) = match way {
            Way::Direct => (None, &answer["answer"]["seen"]),
            Way::ThroughMiddle => (
                Some(headers(&answer["answer"]["sent"])),
                &answer["answer"]["answer"]["seen"],
            ),
        };
        Visit {
            caller,
            callee,
            way,
            sent,
            forwarded,
            seen: headers(seen),
        }
    }
}

impl Service {
    pub(super) fn name(&self) -> &'static str {
        self.sdk.name
    }

    /// Asks the app itself, without its sidecar.
    pub(super) async fn ask(&self, path: &str) -> Value {
        let answer = Client::http1(self.app).await.get(path).await;
        let text = answer.text();
        assert_eq!(answer.status, 200, "{} {path}: {text}", self.name());
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{} {path}: {text}", self.name()))
    }
}

impl Way {
    pub(super) const ALL: [Self; 2] = [Self::Direct, Self::ThroughMiddle];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::ThroughMiddle => "through middle",
        }
    }
}

fn headers(pairs: &Value) -> Headers {
    let pairs = serde_json::from_value(pairs.clone());
    Headers(pairs.expect("pairs of name and value"))
}

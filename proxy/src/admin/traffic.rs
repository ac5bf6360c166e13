//! How requests fare on their way to upstreams.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;
use throughline::ambient;

use super::{api, metrics::Page};
use crate::{
    attempts::Reason,
    group::{Endpoint, Group, Health},
    pool::{self, Cause},
    retry,
};

/// What is known of the ways out; the default knows of none.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// How often calls were tried again.
    pub retries: Arc<retry::Counts>,
    /// How requests to all upstreams fared, and to the app.
    pub requests: Arc<pool::Counts>,
    /// The upstreams of routes that have several.
    pub groups: Groups,
}

/// The upstreams of routes, shared with whoever may change the routes.
#[derive(Clone, Debug, Default)]
pub struct Groups(Arc<Mutex<Vec<Arc<Group>>>>);

impl Groups {
    /// These are the ones.
    pub fn set(&self, groups: Vec<Arc<Group>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = groups;
    }

    fn all(&self) -> Vec<Arc<Group>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Traffic {
    pub(super) fn render(&self, page: &mut Page) {
        page.family(
            "throughline_requests_failed_total",
            "counter",
            "Attempts to get an answer from an upstream or the app that came to none, or to half of one.",
        );
        for cause in Cause::ALL {
            let failed = self.requests.failed(cause);
            page.sample(&[("error", cause.error_type())], failed);
        }

        page.family(
            "throughline_requests_queued",
            "gauge",
            "Requests that wait for their turn at an upstream or the app.",
        );
        page.sample(&[], self.requests.waiting());

        page.family(
            "throughline_retries_total",
            "counter",
            "Calls that were sent again, as the operator asked.",
        );
        page.sample(&[], self.retries.sent());

        page.family(
            "throughline_retries_denied_total",
            "counter",
            "Calls that were not sent again although that was asked for, by reason.",
        );
        for reason in Reason::ALL {
            page.sample(&[("reason", reason.name())], self.retries.not(reason));
        }
        let groups = self.groups.all();
        if !groups.is_empty() {
            render_upstreams(&groups, page);
        }
    }

    /// The upstreams of routes that have several, as JSON.
    pub(super) fn upstreams(&self) -> Response<Bytes> {
        let now = ambient::now();
        let upstream = |one: &Arc<Endpoint>| {
            let [requests, failures, ejections] = one.counts();
            UpstreamView {
                upstream: one.upstream().origin().to_string(),
                address: one.address(),
                health: one.health(now).name(),
                open: one.open(),
                requests,
                failures,
                ejections,
            }
        };
        let groups = self.groups.all();
        let routes = groups.iter().map(|group| RouteView {
            route: group.name().to_owned(),
            balance: group.policy().to_string(),
            upstreams: group.endpoints().iter().map(upstream).collect(),
        });
        api::json(StatusCode::OK, &routes.collect::<Vec<_>>())
    }
}

fn render_upstreams(groups: &[Arc<Group>], page: &mut Page) {
    type Value = fn(&Endpoint, Instant) -> u64;
    let now = ambient::now();
    let families: [(&'static str, &str, &str, Value); 5] = [
        (
            "throughline_upstream_healthy",
            "gauge",
            "Whether requests are sent to an upstream: its checks pass, and it is not left alone.",
            |one, now| u64::from(one.health(now) == Health::Well),
        ),
        (
            "throughline_upstream_requests_open",
            "gauge",
            "Requests that are open at an upstream.",
            |one, _| one.open() as u64,
        ),
        (
            "throughline_upstream_requests_total",
            "counter",
            "Attempts that were sent to an upstream.",
            |one, _| one.counts()[0],
        ),
        (
            "throughline_upstream_failures_total",
            "counter",
            "Of them, those that count against it.",
            |one, _| one.counts()[1],
        ),
        (
            "throughline_upstream_ejections_total",
            "counter",
            "How often an upstream was left alone for a while because of them.",
            |one, _| one.counts()[2],
        ),
    ];
    for (family, kind, help, value) in families {
        page.family(family, kind, help);
        for group in groups {
            for one in &*group.endpoints() {
                let upstream = one.upstream().origin().to_string();
                let address = one.address().map_or_else(String::new, |at| at.to_string());
                let labels = [
                    ("route", group.name()),
                    ("upstream", &*upstream),
                    ("address", &*address),
                ];
                page.sample(&labels, value(one, now));
            }
        }
    }
}

#[derive(Serialize)]
struct RouteView {
    route: String,
    balance: String,
    upstreams: Vec<UpstreamView>,
}

#[derive(Serialize)]
struct UpstreamView {
    upstream: String,
    address: Option<SocketAddr>,
    health: &'static str,
    open: usize,
    requests: u64,
    failures: u64,
    ejections: u64,
}

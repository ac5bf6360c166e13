//! What the operator asks the sidecar: is it ready, what has it done, which traces has it seen.
//!
//! [`Admin::answer`] is a function from a request's head to a response. Nothing here waits, and
//! nothing listens: whoever owns the port calls it.

mod api;
mod configured;
mod correlation;
mod health;
mod level;
mod metrics;
mod tls_view;

use std::{
    sync::{Arc, Mutex},
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request};

use self::metrics::Figures;
use crate::{
    correlate::Correlator,
    log::Log,
    owners::{Owners, Status},
    pipeline::Pipeline,
    tls,
};

pub use configured::{Configured, Outcome, Setting};
pub use health::{Readiness, State};

/// The answers of the admin port; a clone is a handle on the same ones.
#[derive(Clone, Debug)]
pub struct Admin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: String,
    pipeline: Pipeline,
    readiness: Readiness,
    started: SystemTime,
    owners: Option<Owners>,
    correlator: Option<Arc<Mutex<Correlator>>>,
    tls: Arc<tls::Counters>,
    log: Option<Log>,
    configured: Configured,
}

impl Inner {
    fn process_evidence(&self) -> Status {
        self.owners.as_ref().map_or(Status::Off, Owners::status)
    }
}

const INDEX: &str = "\
throughline, beside a service that nobody changes

/livez             200 while the process runs
/readyz            200 while it takes requests, else 503 and why
/metrics           Prometheus text: the account of spans, and how parents were found
/log-level         how much is logged; PUT /log-level?level=debug sets it, from this host alone
/api/config        every setting with where it comes from, and the last reload, as JSON
/api/correlation   how the causes of calls were found, for each kind of call, as JSON
/api/traces        the last traces as JSON; ?limit=20
/api/traces/{id}   one trace as JSON, by its id in hex or as X-Ray spells it
";

impl Admin {
    /// Answers for the sidecar of `service`, whose process began at `started`.
    #[must_use]
    pub fn new(
        service: &str,
        pipeline: Pipeline,
        readiness: Readiness,
        started: SystemTime,
    ) -> Self {
        Self(Arc::new(Inner {
            service: service.to_owned(),
            pipeline,
            readiness,
            started,
            owners: None,
            correlator: None,
            tls: Arc::default(),
            log: None,
            configured: Configured::default(),
        }))
    }

    /// Also says whether processes can be used as evidence. Before the first clone.
    #[must_use]
    pub fn with_owners(mut self, owners: Option<Owners>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.owners = owners;
        }
        self
    }

    /// Also says how the causes of calls were found. Before the first clone.
    #[must_use]
    pub fn with_correlator(mut self, correlator: Option<Arc<Mutex<Correlator>>>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.correlator = correlator;
        }
        self
    }

    /// Also says what came of TLS handshakes. Before the first clone.
    #[must_use]
    pub fn with_tls(mut self, counters: Arc<tls::Counters>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.tls = counters;
        }
        self
    }

    /// Also shows the configuration, and what became of reloading it. Before the first clone.
    #[must_use]
    pub fn with_configured(mut self, configured: Configured) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.configured = configured;
        }
        self
    }

    /// Also shows and sets how much is logged. Before the first clone.
    #[must_use]
    pub fn with_log(mut self, log: Option<Log>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.log = log;
        }
        self
    }

    /// The answer to `request`, whose body does not matter.
    ///
    /// Step 11 of the way of a request.
    #[must_use]
    pub fn answer(&self, request: &request::Parts) -> Response<Bytes> {
        let admin = &*self.0;
        let path = request.uri.path();
        let query = request.uri.query().unwrap_or_default();
        if let ("/log-level", Some(log)) = (path, &admin.log) {
            return level::answer(log, request);
        }
        let known = match path {
            "/" => Some(text(StatusCode::OK, INDEX)),
            "/livez" => Some(text(StatusCode::OK, "ok\n")),
            "/readyz" => Some(health::answer(admin.readiness.state())),
            "/metrics" => Some(metrics::answer(&Figures {
                service: &admin.service,
                started: admin.started,
                ledger: &admin.pipeline.ledger(),
                counters: admin.pipeline.counters(),
                process_evidence: admin.process_evidence(),
                access_log: admin.pipeline.access_log(),
                configured: &admin.configured,
                tls: &admin.tls,
            })),
            "/api/config" => Some(admin.configured.answer()),
            "/api/correlation" => Some(correlation::answer(
                admin.correlator.as_deref(),
                admin.pipeline.counters(),
            )),
            "/api/traces" => Some(api::list(admin.pipeline.memory(), query)),
            _ => path
                .strip_prefix("/api/traces/")
                .map(|id| api::trace(admin.pipeline.memory(), id)),
        };
        match known {
            None => text(
                StatusCode::NOT_FOUND,
                "there is no such page; / lists those that there are\n",
            ),
            Some(_) if !matches!(request.method, Method::GET | Method::HEAD) => {
                let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
                let allow = HeaderValue::from_static("GET, HEAD");
                refusal.headers_mut().insert(header::ALLOW, allow);
                refusal
            }
            // The server that sends it knows that an answer to HEAD has no body.
            Some(answer) => answer,
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    respond(status, "text/plain; charset=utf-8", body.into())
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;
    use throughline::{ambient, context::TraceContext, span::Kind, span::Span};

    use super::*;
    use crate::{
        export::Resource,
        pipeline::{Config, Worker},
    };

    fn admin() -> (Admin, Readiness, Pipeline, Worker) {
        let resource = Resource::new("orders", Vec::new());
        let (pipeline, worker) = Pipeline::start(Config::default(), &resource, None, None).unwrap();
        let readiness = Readiness::default();
        let admin = Admin::new(
            "orders",
            pipeline.clone(),
            readiness.clone(),
            SystemTime::UNIX_EPOCH,
        )
        .with_log(Some(Log::start("off")));
        (admin, readiness, pipeline, worker)
    }

    fn ask(admin: &Admin, method: Method, uri: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let response = admin.answer(&request.into_parts().0);
        let status = response.status();
        let body = String::from_utf8(response.into_body().to_vec()).unwrap();
        (status, body)
    }

    #[test]
    fn ready_follows_the_state_and_alive_does_not() {
        let (admin, readiness, ..) = admin();
        for (state, status, body) in [
            (State::Starting, 503, "starting\n"),
            (State::Ready, 200, "ready\n"),
            (State::Draining, 503, "draining\n"),
        ] {
            readiness.set(state);
            let (got, text) = ask(&admin, Method::GET, "/readyz");
            assert_eq!((got.as_u16(), &*text), (status, body));
            assert_eq!(ask(&admin, Method::GET, "/livez").0, StatusCode::OK);
        }
    }

    #[test]
    fn every_page_of_the_index_is_there() {
        let (admin, ..) = admin();
        let (status, index) = ask(&admin, Method::HEAD, "/");
        assert_eq!(status, StatusCode::OK);
        let pages: Vec<_> = index
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .filter(|page| page.starts_with('/') && !page.contains('{'))
            .collect();
        assert_eq!(pages.len(), 7);
        for page in pages {
            let (status, _) = ask(&admin, Method::GET, page);
            assert_ne!(status, StatusCode::NOT_FOUND, "{page}");
        }
    }

    #[test]
    fn other_pages_and_methods_are_refused() {
        let (admin, ..) = admin();
        assert_eq!(ask(&admin, Method::GET, "/nope").0, StatusCode::NOT_FOUND);
        assert_eq!(ask(&admin, Method::POST, "/nope").0, StatusCode::NOT_FOUND);
        let request = Request::post("/metrics").body(()).unwrap();
        let refusal = admin.answer(&request.into_parts().0);
        assert_eq!(refusal.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refusal.headers()["allow"], "GET, HEAD");
    }

    #[test]
    fn a_span_that_is_offered_is_seen_in_the_metrics_and_traces() {
        let (admin, _, pipeline, worker) = admin();
        let context = TraceContext::new(
            ambient::trace_id(),
            ambient::span_id(),
            throughline::context::TraceFlags::SAMPLED,
        );
        let span = Span::new(Kind::Server, &context, SystemTime::UNIX_EPOCH);
        pipeline.offer(Box::new(span));
        assert!(worker.shutdown(Duration::from_secs(5)).balances());

        let (_, metrics) = ask(&admin, Method::GET, "/metrics");
        assert!(
            metrics.contains("throughline_spans_exported_total{exporter=\"memory\"} 1\n"),
            "{metrics}"
        );
        let (_, list) = ask(&admin, Method::GET, "/api/traces?limit=5");
        assert!(list.contains(&context.trace_id.to_string()), "{list}");
        let one = format!("/api/traces/{}", context.trace_id);
        assert_eq!(ask(&admin, Method::GET, &one).0, StatusCode::OK);
    }
}

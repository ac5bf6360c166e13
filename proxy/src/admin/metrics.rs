//! The account of spans and the other counts, as Prometheus reads them.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::{
    borrow::Cow,
    fmt::{self, Display, Write},
    time::SystemTime,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use throughline::{
    propagation::{Format, Reason},
    span::Evidence,
};

use super::{Configured, Outcome, Traffic, respond};
use crate::{
    access_log::{AccessLog, Reason as LogReason},
    export::Reason as DropReason,
    forwarders::Forwarder,
    owners::Status,
    pipeline::{Counters, Flood, Forwarded, Ledger},
    settle::Verdict,
    tls::{self, Reload, Side},
};

/// Whose numbers a page shows.
#[derive(Debug)]
pub(super) struct Figures<'a> {
    pub(super) service: &'a str,
    pub(super) started: SystemTime,
    pub(super) ledger: &'a Ledger,
    pub(super) counters: &'a Counters,
    pub(super) process_evidence: Status,
    pub(super) access_log: &'a AccessLog,
    pub(super) configured: &'a Configured,
    pub(super) tls: &'a tls::Counters,
    pub(super) traffic: &'a Traffic,
}

pub(super) fn answer(figures: &Figures<'_>) -> Response<Bytes> {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    respond(StatusCode::OK, content_type, render(figures).into())
}

fn render(figures: &Figures<'_>) -> String {
    let &Figures {
        service,
        started,
        ledger,
        counters,
        process_evidence,
        access_log,
        configured,
        tls,
        traffic,
    } = figures;
    let mut page = Page {
        text: String::with_capacity(4096),
        family: "",
    };
    page.family(
        "throughline_spans_created_total",
        "counter",
        "Spans that were made, each for one side of one exchange.",
    );
    page.sample(&[], ledger.created);

    page.family(
        "throughline_spans_exported_total",
        "counter",
        "Spans that an exporter's destination took.",
    );
    for account in &ledger.accounts {
        page.sample(&[("exporter", account.exporter)], account.exported);
    }

    page.family(
        "throughline_spans_dropped_total",
        "counter",
        "Spans that an exporter's destination will never get, by reason.",
    );
    for account in &ledger.accounts {
        // Those that are zero too: a rate needs the value before the first drop.
        for reason in DropReason::ALL {
            let labels = [("exporter", account.exporter), ("reason", reason.name())];
            page.sample(&labels, account.dropped(reason));
        }
    }

    page.family(
        "throughline_spans_pending",
        "gauge",
        "Spans that wait for an exporter or are on their way.",
    );
    for account in &ledger.accounts {
        page.sample(&[("exporter", account.exporter)], account.pending);
    }

    page.family(
        "throughline_correlation_total",
        "counter",
        "Outbound calls, by how their parent is known; open means that none is asserted.",
    );
    for evidence in Evidence::ALL {
        let count = counters.correlations(evidence);
        page.sample(&[("evidence", evidence.name())], count);
    }

    page.family(
        "throughline_correlation_settled_total",
        "counter",
        "Outbound calls of which more became known, by what it says of the parent decided before.",
    );
    for verdict in Verdict::ALL {
        let count = counters.verdicts(verdict);
        page.sample(&[("outcome", verdict.name())], count);
    }
    // A share of nothing is no number, so these two are absent at first.
    if let Some(precision) = counters.precision() {
        page.family(
            "throughline_correlation_precision",
            "gauge",
            "Of the inferred parents that could be judged later, the share that was confirmed.",
        );
        page.sample(&[], precision);
    }
    if let Some(coverage) = counters.coverage() {
        page.family(
            "throughline_correlation_coverage",
            "gauge",
            "Of all outbound calls, the share whose parent was asserted when they began.",
        );
        page.sample(&[], coverage);
    }

    page.family(
        "throughline_forwarded_calls_total",
        "counter",
        "Outbound calls onto which a forwarder copied a context, by what became of that.",
    );
    for by in Forwarder::ALL.into_iter().map(Some).chain([None]) {
        for outcome in Forwarded::ALL {
            let name = by.map_or("other", Forwarder::name);
            let labels = [("forwarder", name), ("outcome", outcome.name())];
            page.sample(&labels, counters.forwards(by, outcome));
        }
    }

    page.family(
        "throughline_http2_floods_total",
        "counter",
        "HTTP/2 connections that were ended for what their peer sent too much of.",
    );
    for kind in Flood::ALL {
        page.sample(&[("kind", kind.name())], counters.floods(kind));
    }

    page.family(
        "throughline_process_evidence_available",
        "gauge",
        "Whether the app's processes can be told apart to match calls with requests, and why not.",
    );
    page.sample(
        &[("reason", process_evidence.name())],
        u8::from(process_evidence.is_available()),
    );

    page.family(
        "throughline_context_rejected_total",
        "counter",
        "Context headers that could not be read, by header format and by what is wrong with them.",
    );
    for format in Format::ALL {
        for reason in Reason::ALL {
            let labels = [("format", format.name()), ("reason", reason.name())];
            let count = counters.rejections(format, reason);
            // Sixty series that are all zero would help nobody; the family is there all the same.
            if count > 0 {
                page.sample(&labels, count);
            }
        }
    }

    traffic.render(&mut page);
    handshakes(&mut page, tls);

    page.family(
        "throughline_access_log_written_total",
        "counter",
        "Lines of the access log that were written.",
    );
    page.sample(&[], access_log.written());
    page.family(
        "throughline_access_log_dropped_total",
        "counter",
        "Lines of the access log that were not written, by reason.",
    );
    for reason in LogReason::ALL {
        page.sample(&[("reason", reason.name())], access_log.dropped(reason));
    }

    page.family(
        "throughline_config_reloads_total",
        "counter",
        "Configurations that were read again, by what became of them.",
    );
    for outcome in Outcome::ALL {
        page.sample(&[("outcome", outcome.name())], configured.count(outcome));
    }

    page.family(
        "throughline_build_info",
        "gauge",
        "Always 1; the labels say which version this is and whom it stands beside.",
    );
    let version = env!("CARGO_PKG_VERSION");
    page.sample(&[("version", version), ("service", service)], 1);

    page.family(
        "process_start_time_seconds",
        "gauge",
        "When the process began, in seconds since 1970.",
    );
    let since = started.duration_since(SystemTime::UNIX_EPOCH);
    page.sample(&[], since.unwrap_or_default().as_secs_f64());
    page.text
}

fn handshakes(page: &mut Page, tls: &tls::Counters) {
    page.family(
        "throughline_tls_handshakes_total",
        "counter",
        "TLS handshakes that ended well, with callers and with upstreams.",
    );
    for side in Side::ALL {
        page.sample(&[("side", side.name())], tls.handshakes(side));
    }
    page.family(
        "throughline_tls_handshake_failures_total",
        "counter",
        "TLS handshakes that failed, by reason.",
    );
    for side in Side::ALL {
        for reason in tls::Reason::ALL {
            let labels = [("side", side.name()), ("reason", reason.name())];
            page.sample(&labels, tls.failures(side, reason));
        }
    }
    page.family(
        "throughline_tls_reloads_total",
        "counter",
        "How often certificates were read again; refused means that the old ones stay.",
    );
    for outcome in Reload::ALL {
        page.sample(&[("outcome", outcome.name())], tls.reloads(outcome));
    }
    let ends = tls.ends();
    if !ends.is_empty() {
        page.family(
            "throughline_tls_certificate_not_after_seconds",
            "gauge",
            "When each of our own certificates ends, in seconds since 1970.",
        );
        for end in ends {
            page.sample(&[("certificate", &end.certificate)], end.seconds);
        }
    }
}

/// The text so far, and the metric family that samples are added to.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    family: &'static str,
}

impl Page {
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.family);
        let mut before = '{';
        for (name, value) in labels {
            self.put(format_args!("{before}{name}=\"{}\"", escape(value)));
            before = ',';
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.put(format_args!(" {value}\n"));
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        self.text
            .write_fmt(text)
            .expect("writing into memory does not fail");
    }
}

/// A label's value with what would end it escaped.
fn escape(value: &str) -> Cow<'_, str> {
    if value.contains(['\\', '"', '\n']) {
        let value = value.replace('\\', "\\\\");
        value.replace('"', "\\\"").replace('\n', "\\n").into()
    } else {
        value.into()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use super::*;
    use throughline::propagation::Rejections;

    use crate::{
        export::Resource,
        pipeline::{Config, Pipeline},
    };

    fn page(service: &str) -> String {
        let resource = Resource::new("orders", Vec::new());
        let (pipeline, worker) = Pipeline::start(Config::default(), &resource, None, None).unwrap();
        pipeline.counters().correlated(Evidence::SoleCandidate);
        pipeline.counters().settled(Verdict::Confirmed);
        let mut rejected = Rejections::default();
        rejected.note(Format::TraceContext, Reason::TraceId);
        pipeline.counters().contexts_rejected(&rejected);
        let ledger = worker.shutdown(Duration::ZERO);
        let started = SystemTime::UNIX_EPOCH + Duration::from_millis(1500);
        render(&Figures {
            service,
            started,
            ledger: &ledger,
            counters: pipeline.counters(),
            process_evidence: Status::OtherNamespace,
            access_log: pipeline.access_log(),
            configured: &Configured::default(),
            tls: &tls::Counters::default(),
            traffic: &Traffic::default(),
        })
    }

    #[test]
    fn every_count_is_shown() {
        let page = page("orders");
        for line in [
            "throughline_spans_created_total 0",
            "throughline_spans_exported_total{exporter=\"memory\"} 0",
            "throughline_spans_dropped_total{exporter=\"memory\",reason=\"queue_full\"} 0",
            "throughline_spans_pending{exporter=\"memory\"} 0",
            "throughline_correlation_total{evidence=\"sole_candidate\"} 1",
            "throughline_correlation_total{evidence=\"open\"} 0",
            "throughline_correlation_settled_total{outcome=\"confirmed\"} 1",
            "throughline_correlation_settled_total{outcome=\"disputed\"} 0",
            "throughline_correlation_precision 1",
            "throughline_correlation_coverage 1",
            "throughline_process_evidence_available{reason=\"pid_namespace\"} 0",
            "throughline_context_rejected_total{format=\"tracecontext\",reason=\"trace_id\"} 1",
            "throughline_retries_total 0",
            "throughline_retries_denied_total{reason=\"budget\"} 0",
            "throughline_tls_handshakes_total{side=\"inbound\"} 0",
            "throughline_tls_handshake_failures_total{side=\"upstream\",reason=\"expired\"} 0",
            "throughline_tls_reloads_total{outcome=\"refused\"} 0",
            "process_start_time_seconds 1.5",
        ] {
            assert!(page.lines().any(|l| l == line), "no {line:?} in\n{page}");
        }
    }

    #[test]
    fn every_sample_follows_the_help_and_type_of_its_family() {
        let page = page("orders");
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut family = "";
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split(' ').next().unwrap();
                assert_eq!(seen.insert(family, 0), None, "each family once");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert_eq!(rest.split(' ').next(), Some(family));
            } else {
                assert_eq!(line.split(['{', ' ']).next(), Some(family));
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                *seen.get_mut(family).unwrap() += 1;
            }
        }
        assert!(seen.values().all(|samples| *samples > 0), "{seen:?}");
        assert!(page.ends_with('\n'));
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let page = page("a\"b\\c\nd");
        assert!(page.contains(r#"service="a\"b\\c\nd"} 1"#), "{page}");
    }
}

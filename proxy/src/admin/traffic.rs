//! How requests fare on their way to upstreams.

use std::sync::Arc;

use super::metrics::Page;
use crate::{
    attempts::Reason,
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
    }
}

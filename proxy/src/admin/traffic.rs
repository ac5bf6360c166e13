//! How requests fare on their way to upstreams.

use std::sync::Arc;

use super::metrics::Page;
use crate::{attempts::Reason, retry};

/// What is known of the ways out; the default knows of none.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// How often calls were tried again.
    pub retries: Arc<retry::Counts>,
}

impl Traffic {
    pub(super) fn render(&self, page: &mut Page) {
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

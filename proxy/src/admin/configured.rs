//! The configuration as it is in effect, and what became of it when it was last read again.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Serialize;

use super::api::{json, unix_nanos};

/// What becomes of a configuration that is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in effect, but for what needs a restart.
    Applied,
    /// It cannot be used; the one before stays.
    Refused,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 2] = [Self::Applied, Self::Refused];

    /// The value of the metric's label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }
}

/// A setting as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// Its value, secrets masked.
    pub value: String,
    /// Where that comes from.
    pub source: String,
}

/// What is shared between who reloads and who is asked.
#[derive(Clone, Debug, Default)]
pub struct Configured(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: [AtomicU64; Outcome::ALL.len()],
    page: Mutex<Page>,
}

#[derive(Debug, Default, Serialize)]
struct Page {
    #[serde(skip_serializing_if = "Option::is_none")]
    reload: Option<Reload>,
    /// What was changed in the sources, and has an effect after a restart.
    needs_restart: Vec<&'static str>,
    settings: Vec<Setting>,
}

/// The last time that it was read again.
#[derive(Debug, Serialize)]
struct Reload {
    at_unix_nano: u64,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Configured {
    /// These settings are in effect from the start.
    pub fn started(&self, settings: Vec<Setting>) {
        self.page().settings = settings;
    }

    /// These settings are in effect; some that were changed are not.
    pub fn applied(
        &self,
        at: SystemTime,
        settings: Vec<Setting>,
        needs_restart: Vec<&'static str>,
    ) {
        let mut page = self.page();
        page.settings = settings;
        page.needs_restart = needs_restart;
        self.note(&mut page, at, Outcome::Applied, None);
    }

    /// What was read cannot be used.
    pub fn refused(&self, at: SystemTime, error: String) {
        self.note(&mut self.page(), at, Outcome::Refused, Some(error));
    }

    /// How often that was the outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.0.counts[outcome as usize].load(Ordering::Relaxed)
    }

    fn note(&self, page: &mut Page, at: SystemTime, outcome: Outcome, error: Option<String>) {
        self.0.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
        page.reload = Some(Reload {
            at_unix_nano: unix_nanos(at),
            outcome: outcome.name(),
            error,
        });
    }

    /// `GET /api/config`
    pub(super) fn answer(&self) -> Response<Bytes> {
        json(StatusCode::OK, &*self.page())
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.0.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_refusal_is_shown_beside_what_stays() {
        let configured = Configured::default();
        configured.started(vec![Setting {
            key: "app",
            value: "3000".to_owned(),
            source: "default".to_owned(),
        }]);
        let page = || serde_json::from_slice::<Value>(configured.answer().body()).unwrap();
        assert_eq!(page().get("reload"), None);
        configured.refused(SystemTime::UNIX_EPOCH, "no".to_owned());
        let shown = page();
        assert_eq!(shown["reload"]["error"], "no");
        assert_eq!(shown["settings"][0]["value"], "3000");
        configured.applied(SystemTime::UNIX_EPOCH, Vec::new(), vec!["workers"]);
        let shown = page();
        assert_eq!(shown["reload"].get("error"), None);
        assert_eq!(shown["needs_restart"][0], "workers");
        assert_eq!(
            Outcome::ALL.map(|outcome| configured.count(outcome)),
            [1, 1]
        );
    }
}

//! How long a response's body may go on, and how long it may pause.
//!
//! Only time that the upstream takes counts as a pause: while the caller does not take what is there,
//! nobody asks for more, and the clock stands still.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use throughline::{
    ambient,
    phase::{Party, Recorder},
};
use tokio::time::{Sleep, sleep_until};

use super::{Cause, Counts, gate::Pass};

/// The times of one body.
#[derive(Debug)]
pub(super) struct Limits {
    deadline: Option<Pin<Box<Sleep>>>,
    idle: Option<Idle>,
    /// Its place among the requests of its upstream, where those are counted.
    _pass: Option<Pass>,
    recorder: Option<Recorder>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Idle {
    limit: Duration,
    /// Whether the next piece is waited for.
    is_waiting: bool,
    sleep: Pin<Box<Sleep>>,
}

impl Limits {
    /// Those of a body that ends by `deadline` and pauses for `idle` at most; `None` if it may take
    /// all the time it wants.
    pub(super) fn new(
        deadline: Option<Instant>,
        idle: Option<Duration>,
        recorder: Option<&Recorder>,
        counts: &Arc<Counts>,
    ) -> Option<Box<Self>> {
        if deadline.is_none() && idle.is_none() {
            return None;
        }
        let mut limits = Self::none(counts);
        limits.deadline = deadline.map(|deadline| Box::pin(sleep_until(deadline.into())));
        limits.idle = idle.map(|limit| Idle {
            limit,
            is_waiting: false,
            sleep: Box::pin(sleep_until((ambient::now() + limit).into())),
        });
        limits.recorder = recorder.cloned();
        Some(limits)
    }

    /// No limits, for a body that is to hold something.
    pub(super) fn none(counts: &Arc<Counts>) -> Box<Self> {
        Box::new(Self {
            deadline: None,
            idle: None,
            _pass: None,
            recorder: None,
            counts: counts.clone(),
        })
    }

    /// When it has to be over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadline = self.deadline.as_ref()?;
        Some(deadline.deadline().into())
    }

    /// Keeps this until the body has ended.
    pub(super) fn hold(&mut self, pass: Pass) {
        self._pass = Some(pass);
    }

    /// What the body has taken too long over, given whether its next piece is there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, is_ready: bool) -> Option<Cause> {
        if is_ready {
            if let Some(idle) = &mut self.idle {
                idle.is_waiting = false;
            }
            return None;
        }
        let deadline = self.deadline.as_mut();
        if deadline.is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready()) {
            return Some(self.expire(Cause::RequestTimeout));
        }
        let idle = self.idle.as_mut()?;
        if !idle.is_waiting {
            idle.is_waiting = true;
            let until = ambient::now() + idle.limit;
            idle.sleep.as_mut().reset(until.into());
        }
        let expired = idle.sleep.as_mut().poll(cx) == Poll::Ready(());
        expired.then(|| self.expire(Cause::ResponseIdleTimeout))
    }

    fn expire(&self, cause: Cause) -> Cause {
        if let Some(recorder) = &self.recorder {
            recorder.fail(Party::Proxy, cause.error_type());
        }
        self.counts.fail(cause);
        cause
    }
}

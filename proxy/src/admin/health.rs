//! Whether the sidecar takes requests.
//!
//! Alive and ready differ on purpose: one that drains must get no new requests, and must not be
//! killed for that.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;
use http::{Response, StatusCode};

use super::text;

/// How far the process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does not take requests yet.
    Starting,
    /// It takes requests.
    Ready,
    /// It finishes what it has, and takes no more.
    Draining,
}

impl State {
    const ALL: [Self; 3] = [Self::Starting, Self::Ready, Self::Draining];

    fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// The state of the process, shared between who changes it and who is asked; it begins as
/// [`State::Starting`].
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

impl Readiness {
    /// The process has come to `state`.
    pub fn set(&self, state: State) {
        self.0.store(state as u8, Ordering::Release);
    }

    /// Where the process is.
    #[must_use]
    pub fn state(&self) -> State {
        State::ALL[usize::from(self.0.load(Ordering::Acquire))]
    }
}

pub(super) fn answer(state: State) -> Response<Bytes> {
    let status = match state {
        State::Ready => StatusCode::OK,
        State::Starting | State::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    text(status, format!("{}\n", state.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_set_is_seen_through_every_handle() {
        let readiness = Readiness::default();
        assert_eq!(readiness.state(), State::Starting);
        for state in State::ALL {
            readiness.clone().set(state);
            assert_eq!(readiness.state(), state);
        }
    }
}

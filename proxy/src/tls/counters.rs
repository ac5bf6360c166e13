//! How often handshakes failed and certificates were read again, and until when these hold.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::Reason;

/// Which side of the app a handshake was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// With a caller.
    Inbound,
    /// With the app or whom it calls.
    Upstream,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Upstream];

    /// How it is written in a metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Upstream => "upstream",
        }
    }
}

/// What became of files that were read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// What they hold is used.
    Taken,
    /// Something was wrong with them, and what there was stays.
    Refused,
}

impl Reload {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Taken, Self::Refused];

    /// How it is written in a metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
        }
    }
}

/// When a certificate of ours ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its file.
    pub certificate: String,
    /// Its last second, since 1970.
    pub seconds: i64,
}

/// Counters of TLS, which the admin port shows.
#[derive(Debug, Default)]
pub struct Counters {
    done: [AtomicU64; 2],
    failed: [[AtomicU64; Reason::ALL.len()]; 2],
    reloads: [AtomicU64; 2],
    ends: Mutex<Vec<End>>,
}

impl Counters {
    /// How many handshakes ended well.
    #[must_use]
    pub fn handshakes(&self, side: Side) -> u64 {
        self.done[side as usize].load(Ordering::Relaxed)
    }

    /// How many did not, for this reason.
    #[must_use]
    pub fn failures(&self, side: Side, reason: Reason) -> u64 {
        self.failed[side as usize][reason as usize].load(Ordering::Relaxed)
    }

    /// How often files were read again with this outcome.
    #[must_use]
    pub fn reloads(&self, outcome: Reload) -> u64 {
        self.reloads[outcome as usize].load(Ordering::Relaxed)
    }

    /// When each of our certificates ends.
    #[must_use]
    pub fn ends(&self) -> Vec<End> {
        self.in_use().clone()
    }

    pub(super) fn hold_until(&self, ends: Vec<End>) {
        *self.in_use() = ends;
    }

    fn in_use(&self) -> MutexGuard<'_, Vec<End>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn done(&self, side: Side) {
        self.done[side as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, side: Side, reason: Reason) {
        self.failed[side as usize][reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reloaded(&self, outcome: Reload) {
        self.reloads[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

//! An open connection to an upstream, and what is known of its past.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use throughline::{
    ambient,
    phase::{ConnectionUse, Phase, Recorder},
};

use super::wire::Wire;

/// An open connection, of either protocol.
#[derive(Debug)]
pub(super) struct Connection<S> {
    pub(super) sender: S,
    pub(super) wire: Arc<Wire>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) opened: Instant,
    pub(super) used: u64,
    pub(super) idle_since: Instant,
}

impl<S> Connection<S> {
    pub(super) fn new(sender: S, wire: Arc<Wire>, peer: Option<SocketAddr>) -> Self {
        let now = ambient::now();
        Self {
            sender,
            wire,
            peer,
            opened: now,
            used: 0,
            idle_since: now,
        }
    }

    /// Counts one more exchange and notes it on its recorder: the connection is ready to send.
    pub(super) fn take(&mut self, recorder: Option<&Recorder>, now: Instant) {
        self.used += 1;
        if let Some(recorder) = recorder {
            recorder.enter(Phase::Send, now);
            recorder.connection(ConnectionUse {
                reused: self.used > 1,
                age: now.saturating_duration_since(self.opened),
                ordinal: self.used,
                peer: self.peer,
            });
        }
    }
}

//! An open connection to an upstream, and what is known of its past.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use throughline::{
    ambient,
    phase::{ConnectionUse, Phase, Recorder},
    tls::Handshake,
};

use super::{dial::Dialled, gate::Pass, wire::Wire};
use crate::processes::{Carried, Socket};

/// An open connection, of either protocol.
#[derive(Debug)]
pub(super) struct Connection<S> {
    pub(super) sender: S,
    pub(super) wire: Arc<Wire>,
    pub(super) peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    tls: Option<Handshake>,
    /// The same connection as processes are held against, once somebody wants to know.
    socket: Option<Arc<Socket>>,
    pub(super) opened: Instant,
    pub(super) used: u64,
    pub(super) idle_since: Instant,
    /// Its place among the connections that carry a request, while it does.
    pub(super) pass: Option<Pass>,
    /// Which news of where its name leads to it was held against.
    pub(super) epoch: u64,
}

/// The two ends of a connection, and how they came to speak TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    tls: Option<Handshake>,
}

impl Addresses {
    pub(super) fn of(dialled: &Dialled) -> Self {
        Self {
            peer: dialled.peer,
            local: dialled.local,
            tls: dialled.tls,
        }
    }

    /// Whether both are of this host.
    pub(super) fn are_here(self) -> bool {
        let ip = |address: Option<SocketAddr>| address.map(|address| address.ip());
        self.peer.is_some() && ip(self.peer) == ip(self.local)
    }
}

impl<S> Connection<S> {
    pub(super) fn new(sender: S, wire: Arc<Wire>, addresses: Addresses) -> Self {
        let now = ambient::now();
        Self {
            sender,
            wire,
            peer: addresses.peer,
            local: addresses.local,
            tls: addresses.tls,
            socket: None,
            opened: now,
            used: 0,
            idle_since: now,
            pass: None,
            epoch: 0,
        }
    }

    /// Tells a request that this is what carries it.
    pub(super) fn carries(&mut self, carried: Option<&Carried>) {
        let Some(carried) = carried else {
            return;
        };
        if let (None, Some(peer), Some(local)) = (&self.socket, self.peer, self.local) {
            self.socket = Some(Arc::new(Socket::new(peer, local, self.opened)));
        }
        if let Some(socket) = &self.socket {
            carried.by(socket);
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
                tls: self.tls,
            });
        }
    }
}

//! A connection between us and the app as both directions see it: whose is the app's end?

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use super::Process;

/// Whose the app's end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody has found out yet.
    NotKnown,
    /// This process's alone.
    Process(Process),
    /// Several processes have it, so that any of them may use it.
    Shared,
}

/// One connection between us and the app, and what is known of the app's end.
#[derive(Debug)]
pub struct Socket {
    app: SocketAddr,
    ours: SocketAddr,
    opened: Instant,
    /// Zero is "not known". The kernel has no such inode either.
    inode: AtomicU64,
    /// An [`Owner`], see [`Socket::owner`].
    owner: AtomicU64,
    asked: AtomicBool,
}

const NOT_KNOWN: u64 = 0;
const SHARED: u64 = u64::MAX;

impl Socket {
    /// The connection from `app`, the app's end, to `ours`, whichever of the two opened it.
    #[must_use]
    pub fn new(app: SocketAddr, ours: SocketAddr, opened: Instant) -> Self {
        Self {
            app: canonical(app),
            ours: canonical(ours),
            opened,
            inode: AtomicU64::new(0),
            owner: AtomicU64::new(NOT_KNOWN),
            asked: AtomicBool::new(false),
        }
    }

    /// The app's end.
    #[must_use]
    pub fn app(&self) -> SocketAddr {
        self.app
    }

    /// Our end.
    #[must_use]
    pub fn ours(&self) -> SocketAddr {
        self.ours
    }

    /// When it was opened.
    #[must_use]
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// The inode of the app's end, once it has one and that is known. It keeps it for life.
    #[must_use]
    pub fn inode(&self) -> Option<u64> {
        let inode = self.inode.load(Ordering::Relaxed);
        (inode != 0).then_some(inode)
    }

    /// Notes the inode of the app's end.
    pub fn has_inode(&self, inode: u64) {
        self.inode.store(inode, Ordering::Relaxed);
    }

    /// Whose the app's end is.
    #[must_use]
    pub fn owner(&self) -> Owner {
        match self.owner.load(Ordering::Relaxed) {
            NOT_KNOWN => Owner::NotKnown,
            SHARED => Owner::Shared,
            number => {
                let number = u32::try_from(number - 1).unwrap_or(u32::MAX);
                Owner::Process(Process::new(number))
            }
        }
    }

    /// Notes whose the app's end is, and will be.
    pub fn belongs_to(&self, owner: Owner) {
        let owner = match owner {
            Owner::NotKnown => NOT_KNOWN,
            Owner::Shared => SHARED,
            Owner::Process(process) => u64::from(process.number()) + 1,
        };
        self.owner.store(owner, Ordering::Relaxed);
    }

    /// Whether it is the first to ask for a search, and need not wait for that of another.
    #[must_use]
    pub fn ask(&self) -> bool {
        !self.asked.swap(true, Ordering::Relaxed)
    }

    /// Whether a search was asked for and was not [answered](Socket::answered).
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The search is over; whoever still does not know may ask for another.
    pub fn answered(&self) {
        self.asked.store(false, Ordering::Relaxed);
    }
}

/// An address as the kernel files it: an IPv4 one stays that, also where a socket of both kinds
/// shows it as `::ffff:192.0.2.1`.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(ip.into(), address.port()),
            None => address,
        },
    }
}

/// Which connection carries a request to the app: a handle that is made with the request, and filled
/// when one was picked for it.
#[derive(Debug, Default)]
pub struct Carried {
    by: OnceLock<Arc<Socket>>,
    has_moved: AtomicBool,
}

/// What carries a request.
#[derive(Clone, Copy, Debug)]
pub enum Carrier<'c> {
    /// It was not sent yet, so that the app knows nothing of it.
    None,
    /// This connection.
    Socket(&'c Arc<Socket>),
    /// Several did in turn, and each may have reached the app.
    Several,
}

impl Carried {
    /// The request is about to be written to this connection.
    pub fn by(&self, socket: &Arc<Socket>) {
        let first = self.by.get_or_init(|| socket.clone());
        if !Arc::ptr_eq(first, socket) {
            self.has_moved.store(true, Ordering::Relaxed);
        }
    }

    /// What carries it.
    #[must_use]
    pub fn carrier(&self) -> Carrier<'_> {
        match self.by.get() {
            None => Carrier::None,
            Some(_) if self.has_moved.load(Ordering::Relaxed) => Carrier::Several,
            Some(socket) => Carrier::Socket(socket),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::disallowed_methods,
        reason = "a test needs some moment to count from"
    )]

    use super::*;

    #[test]
    fn a_socket_keeps_what_is_found_out() {
        let address = |text: &str| text.parse().unwrap();
        let socket = Socket::new(
            address("[::ffff:127.0.0.1]:3000"),
            address("[::1]:4000"),
            Instant::now(),
        );
        assert_eq!(socket.app(), address("127.0.0.1:3000"));
        assert_eq!(socket.ours(), address("[::1]:4000"));
        for owner in [
            Owner::NotKnown,
            Owner::Shared,
            Owner::Process(Process::new(0)),
            Owner::Process(Process::new(u32::MAX)),
        ] {
            socket.belongs_to(owner);
            assert_eq!(socket.owner(), owner);
        }
        let (socket, other) = (
            Arc::new(socket),
            Arc::new(Socket::new(
                address("[::1]:1"),
                address("[::1]:2"),
                Instant::now(),
            )),
        );
        let carried = Carried::default();
        assert!(matches!(carried.carrier(), Carrier::None));
        carried.by(&socket);
        carried.by(&socket);
        assert!(matches!(carried.carrier(), Carrier::Socket(by) if Arc::ptr_eq(by, &socket)));
        carried.by(&other);
        carried.by(&socket);
        assert!(matches!(carried.carrier(), Carrier::Several));
    }
}

//! The kernel's own index of sockets: four numbers in, the inode of that end out.
//!
//! It is netlink's `sock_diag`, see `sock_diag(7)`. One socket is found by its hash, as it is for each
//! packet, so that the size of the host does not matter; `/proc/net/tcp` would be read from its
//! beginning. It needs no privilege and sees the sockets of our network namespace, whoever's they are.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::{
    io::{self, Errno},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};

use crate::processes::Socket;

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`, and with it `NLM_F_DUMP`, of `linux/netlink.h`.
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const TCP: u8 = 6;

/// States as `net/tcp_states.h` numbers them.
const ESTABLISHED: u8 = 1;
const SYN_RECV: u8 = 3;
const CLOSE_WAIT: u8 = 8;
const LISTEN: u8 = 10;
const NEW_SYN_RECV: u8 = 12;

/// `struct nlmsghdr`, and that with `struct inet_diag_req_v2`.
const HEADER: usize = 16;
const QUESTION: usize = HEADER + 56;
/// `struct inet_diag_msg`.
const ANSWER: usize = HEADER + 72;

/// The most answers that belong to earlier questions and are passed over.
const MOST_STALE: usize = 8;

/// The most parts of the list of listeners that are read: each holds a hundred sockets or more.
const MOST_PARTS: usize = 64;

/// What the kernel knows of the app's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::owners) enum End {
    /// It is an open file of some process.
    Inode(u64),
    /// The same, and there are bytes that it has not read yet.
    Unread(u64),
    /// The connection waits for the app to accept it.
    NotAccepted,
    /// There is none such: it was closed, or is not on this host.
    Gone,
}

/// A socket that the kernel is asked through.
#[derive(Debug)]
pub(super) struct Diag {
    socket: OwnedFd,
    sequence: u32,
}

impl Diag {
    pub(super) fn open() -> io::Result<Self> {
        // The kernel answers before `send` returns, so that nothing is ever waited for.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let kind = SocketType::RAW;
        let protocol = Some(netlink::SOCK_DIAG);
        Ok(Self {
            socket: socket_with(AddressFamily::NETLINK, kind, flags, protocol)?,
            sequence: 0,
        })
    }

    /// Looks up the app's end of a connection: two system calls.
    pub(super) fn end(&mut self, of: &Socket) -> io::Result<End> {
        let (app, ours) = (of.app(), of.ours());
        self.ask(app, ours, REQUEST, u32::MAX)?;
        let mut buffer = [0; 512];
        for _ in 0..MOST_STALE {
            let length = recv(&self.socket, &mut buffer, RecvFlags::empty())?.0;
            let message = Message::first(&buffer[..length]).ok_or(Errno::BADMSG)?;
            if message.sequence != self.sequence {
                continue;
            }
            return match message.body {
                Body::Error(Errno::NOENT) => Ok(End::Gone),
                Body::Error(error) => Err(error),
                Body::Socket(found) => Ok(found.end(app, ours)),
                Body::Other => Err(Errno::BADMSG),
            };
        }
        Err(Errno::BADMSG)
    }

    /// The inodes of all sockets that listen on `port`. It walks the listeners and no connections, and
    /// is not for the way of a request all the same.
    pub(super) fn listeners(&mut self, port: u16) -> io::Result<Vec<u64>> {
        let mut inodes = Vec::new();
        for any in [
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ] {
            self.ask(
                SocketAddr::new(any, port),
                SocketAddr::new(any, 0),
                REQUEST | DUMP,
                1 << LISTEN,
            )?;
            self.collect(port, &mut inodes)?;
        }
        inodes.sort_unstable();
        inodes.dedup();
        Ok(inodes)
    }

    fn collect(&self, port: u16, inodes: &mut Vec<u64>) -> io::Result<()> {
        let mut buffer = vec![0; 32 * 1024];
        for _ in 0..MOST_PARTS {
            let length = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                // A kernel without IPv6 has nothing to say of it.
                Err(Errno::AGAIN) => return Ok(()),
                received => received?.0,
            };
            let mut left = &buffer[..length];
            while let Some(message) = Message::first(left) {
                if message.sequence == self.sequence {
                    match message.body {
                        Body::Socket(found) if found.state == LISTEN && found.app_port == port => {
                            inodes.push(u64::from(found.inode));
                        }
                        Body::Error(Errno::NOENT) => return Ok(()),
                        Body::Error(error) => return Err(error),
                        Body::Socket(_) => {}
                        Body::Other if message.kind == DONE => return Ok(()),
                        Body::Other => {}
                    }
                }
                left = left
                    .get(message.length.next_multiple_of(4)..)
                    .unwrap_or_default();
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        app: SocketAddr,
        ours: SocketAddr,
        flags: u16,
        states: u32,
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let question =
            question(app, ours, flags, states, self.sequence).ok_or(Errno::AFNOSUPPORT)?;
        send(&self.socket, &question, SendFlags::empty())?;
        Ok(())
    }
}

/// The bytes of a question; `None` where one end is IPv4 and the other is not.
fn question(
    app: SocketAddr,
    ours: SocketAddr,
    flags: u16,
    states: u32,
    sequence: u32,
) -> Option<[u8; QUESTION]> {
    let mut bytes = [0; QUESTION];
    let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    put(0, &u32::try_from(QUESTION).ok()?.to_ne_bytes());
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &flags.to_ne_bytes());
    put(8, &sequence.to_ne_bytes());
    let family = match (app.ip(), ours.ip()) {
        (IpAddr::V4(app), IpAddr::V4(ours)) => {
            put(28, &app.octets());
            put(44, &ours.octets());
            IPV4
        }
        (IpAddr::V6(app), IpAddr::V6(ours)) => {
            put(28, &app.octets());
            put(44, &ours.octets());
            IPV6
        }
        _ => return None,
    };
    put(16, &[family, TCP]);
    put(20, &states.to_ne_bytes());
    put(24, &app.port().to_be_bytes());
    put(26, &ours.port().to_be_bytes());
    // `INET_DIAG_NOCOOKIE`: whichever socket it is.
    put(64, &[0xff; 8]);
    Some(bytes)
}

/// One message of the kernel.
#[derive(Debug)]
struct Message {
    length: usize,
    kind: u16,
    sequence: u32,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Socket(Found),
    Error(Errno),
    Other,
}

/// What of `struct inet_diag_msg` matters here.
#[derive(Debug)]
struct Found {
    state: u8,
    app_port: u16,
    our_port: u16,
    /// How many bytes have come that nobody has read.
    unread: u32,
    inode: u32,
}

impl Message {
    /// The first message of several.
    fn first(bytes: &[u8]) -> Option<Self> {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let kind = u16::from_ne_bytes(at(bytes, 4)?);
        let sequence = u32_at(bytes, 8)?;
        if length < HEADER || length > bytes.len() {
            return None;
        }
        let bytes = &bytes[..length];
        let body = match kind {
            ERROR => Body::Error(Errno::from_raw_os_error(
                u32_at(bytes, HEADER)?.cast_signed().wrapping_neg(),
            )),
            BY_FAMILY if length >= ANSWER => Body::Socket(Found {
                state: bytes[HEADER + 1],
                app_port: u16::from_be_bytes(at(bytes, HEADER + 4)?),
                our_port: u16::from_be_bytes(at(bytes, HEADER + 6)?),
                unread: u32_at(bytes, HEADER + 56)?,
                inode: u32_at(bytes, HEADER + 68)?,
            }),
            _ => Body::Other,
        };
        Some(Self {
            length,
            kind,
            sequence,
            body,
        })
    }
}

impl Found {
    /// What it says of the connection from `app` to `ours`.
    fn end(&self, app: SocketAddr, ours: SocketAddr) -> End {
        // Where there is no such connection, the kernel answers with who listens on its port.
        if self.state == LISTEN || (self.app_port, self.our_port) != (app.port(), ours.port()) {
            return End::Gone;
        }
        match (self.inode, self.state) {
            (0, ESTABLISHED | SYN_RECV | NEW_SYN_RECV | CLOSE_WAIT) => End::NotAccepted,
            // Closed by the app, while the kernel still sees to the rest.
            (0, _) => End::Gone,
            (inode, _) if self.unread > 0 => End::Unread(u64::from(inode)),
            (inode, _) => End::Inode(u64::from(inode)),
        }
    }
}

fn at<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..from + N)?.try_into().ok()
}

fn u32_at(bytes: &[u8], from: usize) -> Option<u32> {
    at(bytes, from).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsFd,
    };

    use rustix::fs::fstat;
    use throughline::ambient;

    use super::*;

    fn inode(of: impl AsFd) -> u64 {
        fstat(of).unwrap().st_ino
    }

    fn socket(of: &TcpStream) -> Socket {
        let (end, other) = (of.local_addr().unwrap(), of.peer_addr().unwrap());
        Socket::new(end, other, ambient::now())
    }

    /// Both ends, the one that waits to be accepted, and the one that is gone.
    fn check(listen: &str, connect: &str) {
        let listener = TcpListener::bind(listen).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut diag = Diag::open().unwrap();
        assert_eq!(
            diag.listeners(port).unwrap(),
            [inode(&listener)],
            "{listen}"
        );

        let caller = TcpStream::connect((connect, port)).unwrap();
        let near = socket(&caller);
        let far = Socket::new(near.ours(), near.app(), near.opened());
        assert_eq!(diag.end(&near).unwrap(), End::Inode(inode(&caller)));
        assert_eq!(diag.end(&far).unwrap(), End::NotAccepted, "{listen}");
        let accepted = listener.accept().unwrap().0;
        assert_eq!(diag.end(&far).unwrap(), End::Inode(inode(&accepted)));
        drop(accepted);
        assert_eq!(diag.end(&far).unwrap(), End::Gone);
        drop(caller);
        assert_eq!(diag.end(&near).unwrap(), End::Gone);
    }

    #[test]
    fn every_end_of_a_connection_is_found() {
        check("127.0.0.1:0", "127.0.0.1");
        check("[::1]:0", "::1");
        check("[::]:0", "127.0.0.1");
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let nobody = Socket::new(here, "127.0.0.1:1".parse().unwrap(), ambient::now());
        assert_eq!(Diag::open().unwrap().end(&nobody).unwrap(), End::Gone);
    }

    #[test]
    fn what_is_no_message_is_none() {
        assert!(Message::first(&[]).is_none());
        assert!(Message::first(&[0xff; 15]).is_none());
        assert!(Message::first(&[0xff; 200]).is_none());
        let mut short = [0; 20];
        short[0] = 20;
        short[4] = 20;
        assert!(matches!(Message::first(&short).unwrap().body, Body::Other));
    }
}

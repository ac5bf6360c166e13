//! The descriptors of one process, read as links below `/proc/<pid>/fd`.
//!
//! The directory is held open: it stays that process's, and reads as empty when that is gone, also where
//! another process has got its number since.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Dir, Mode, OFlags, open, openat, readlinkat_raw},
    io::{self, Errno},
    path::DecInt,
};

/// The most descriptors of one process that are looked through: more is a server of many
/// connections at once.
const MOST: usize = 4096;

/// The descriptors of one process.
#[derive(Debug)]
pub(super) struct Descriptors(OwnedFd);

impl Descriptors {
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let path = format!("/proc/{pid}/fd");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// The inode of the socket that has this number; `None` if it is none. One system call.
    pub(super) fn socket(&self, number: u32) -> Option<u64> {
        self.read(number).ok().flatten()
    }

    fn read(&self, number: u32) -> io::Result<Option<u64>> {
        let mut buffer = [0; 40];
        let length = readlinkat_raw(&self.0, DecInt::new(number), &mut buffer[..])?;
        Ok(inode(&buffer[..length]))
    }

    /// All sockets, each with its number; at most this many descriptors are looked at, and `None` if
    /// there are more.
    ///
    /// # Errors
    ///
    /// Where they may not be seen, or the process is gone.
    pub(super) fn sockets(&self, most: usize) -> io::Result<Option<Vec<(u32, u64)>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(&self.0, c".", flags, Mode::empty())?;
        let mut sockets = Vec::new();
        let mut seen = 0;
        for entry in Dir::new(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_str().ok();
            let Some(number) = name.and_then(|name| name.parse().ok()) else {
                continue;
            };
            seen += 1;
            if seen > most.min(MOST) {
                return Ok(None);
            }
            match self.read(number) {
                Ok(Some(inode)) => sockets.push((number, inode)),
                // It was closed in the meantime.
                Ok(None) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(sockets))
    }
}

/// The number in `socket:[number]`.
fn inode(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        os::fd::{AsFd, AsRawFd},
    };

    use super::*;

    #[test]
    fn a_descriptor_of_our_own_is_found_by_its_number_and_by_looking() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = u32::try_from(listener.as_raw_fd()).unwrap();
        let expected = rustix::fs::fstat(listener.as_fd()).unwrap().st_ino;
        let own = Descriptors::of(std::process::id()).unwrap();
        assert_eq!(own.socket(number), Some(expected));
        assert_eq!(own.socket(u32::MAX), None);
        let all = own.sockets(usize::MAX).unwrap().unwrap();
        assert!(all.contains(&(number, expected)));
        assert_eq!(own.sockets(1).unwrap(), None);
    }

    #[test]
    fn only_a_socket_has_an_inode_here() {
        for (link, expected) in [
            ("socket:[17]", Some(17)),
            ("pipe:[17]", None),
            ("socket:[x]", None),
            ("/socket:[17]", None),
            ("", None),
        ] {
            assert_eq!(inode(link.as_bytes()), expected, "{link}");
        }
    }
}

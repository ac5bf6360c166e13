//! Words and descriptors over a Unix socket, which the kernel carries from one process to another.
//!
//! A message is lines of text, the last of them empty. What is sent is small, and what is received is
//! bounded, so that nobody can make the other side hold more than this.

use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most descriptors in a message; the kernel takes 253.
pub(super) const MAX_FDS: usize = 250;

/// The most text in a message.
const MAX_TEXT: usize = 64 * 1024;

const END: &str = "\n\n";

/// Sends `lines` with `fds`.
pub(super) fn send(
    stream: &UnixStream,
    lines: &[String],
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let text = format!("{}{END}", lines.join("\n"));
    if fds.len() > MAX_FDS || text.len() > MAX_TEXT {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let mut left = text.as_bytes();
    while !left.is_empty() {
        let sent = sendmsg(
            stream.as_fd(),
            &[IoSlice::new(left)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        left = &left[sent..];
        // They go with the first byte, and once.
        control.clear();
    }
    Ok(())
}

/// A message: its lines and descriptors.
pub(super) fn receive(stream: &UnixStream) -> io::Result<(Vec<String>, Vec<OwnedFd>)> {
    let mut text = Vec::new();
    let mut fds = Vec::new();
    while !text.ends_with(END.as_bytes()) {
        if text.len() > MAX_TEXT || fds.len() > MAX_FDS {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            stream.as_fd(),
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        if received.bytes == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        text.extend_from_slice(&bytes[..received.bytes]);
    }
    text.truncate(text.len() - END.len());
    let text = String::from_utf8(text).map_err(|_| ErrorKind::InvalidData)?;
    Ok((text.lines().map(str::to_owned).collect(), fds))
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener, thread};

    use super::*;

    #[test]
    fn descriptors_arrive_in_their_order_with_the_words_about_them() {
        let (here, there) = UnixStream::pair().unwrap();
        let listeners: Vec<_> = (0..MAX_FDS)
            .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        let lines: Vec<_> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().to_string())
            .collect();
        let fds: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        let (got, received) = thread::scope(|scope| {
            let receiving = scope.spawn(|| receive(&there).unwrap());
            send(&here, &lines, &fds).unwrap();
            receiving.join().unwrap()
        });
        assert_eq!(got, lines);
        let received = received.into_iter().map(TcpListener::from);
        let addresses: Vec<_> = received
            .map(|listener| listener.local_addr().unwrap().to_string())
            .collect();
        assert_eq!(addresses, lines);
        assert!(send(&here, &[], &vec![here.as_fd(); MAX_FDS + 1]).is_err());
    }

    #[test]
    fn what_breaks_off_or_never_ends_is_no_message() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(b"half a message\n").unwrap();
        drop(here);
        let error = receive(&there).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);

        let (here, there) = UnixStream::pair().unwrap();
        let writing = thread::spawn(move || {
            let mut here = here;
            while here.write_all(&[b'x'; 1024]).is_ok() {}
        });
        let error = receive(&there).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        drop(there);
        writing.join().unwrap();
    }
}

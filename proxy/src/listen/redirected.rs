//! Connections that the kernel took here on their way to somebody else (`iptables -j REDIRECT`).
//!
//! Where one was going is asked of the kernel (`SO_ORIGINAL_DST`, which pingora reads). What it speaks is
//! nobody's promise: the app's calls to its database are redirected too. So HTTP is what has been seen to
//! be HTTP: the preface of HTTP/2, or a whole request line with a version and a target that begins with
//! `/` or is `*`. Anything else is for where it was going, byte for byte. That goes for a request in
//! absolute form and for `CONNECT` as well: the app has a proxy of its own there, and that is whom it asks.
//!
//! A call that is not HTTP is served as if the app had asked for a tunnel ([`as_connect`]): so it has a cause, a
//! span with the TLS handshake in it, and an end like any other. The app never sees the answer to what it did not
//! ask ([`super::accepted`]).

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use pingora_core::protocols::SocketDigest;

use throughline::ambient;
use tokio::io::AsyncRead;

use super::preface::{self, Opening, Speech};

/// How long a client is listened to that says nothing: after that it waits for the other side to begin, as those
/// of many databases and of mail do, and may not be kept waiting.
const SILENCE: Duration = Duration::from_millis(100);

/// A longer request line is nobody's that we know of.
const MAX_LINE: usize = 64 * 1024;

/// The longest method that is taken for one; the longest that is registered has 17 letters.
const MAX_METHOD: usize = 24;

/// Where a connection was going; `None` if here.
pub(super) fn destination(socket: &SocketDigest) -> Option<SocketAddr> {
    let original = *socket.original_dst()?.as_inet()?;
    let local = socket.local_addr().and_then(|local| local.as_inet());
    (local != Some(&original)).then_some(original)
}

/// Reads until it is clear what is spoken, or that the client waits for the other side.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Opening>> {
    let is_heard = AtomicBool::new(false);
    let mut reading = pin!(preface::read(stream, |bytes| {
        is_heard.store(true, Ordering::Relaxed);
        decide(bytes)
    }));
    match tokio::time::timeout(SILENCE, reading.as_mut()).await {
        Ok(opening) => opening,
        Err(_) if is_heard.load(Ordering::Relaxed) => reading.await,
        Err(_) => Ok(Some(Opening {
            speech: Speech::Other,
            bytes: Bytes::new(),
            first_byte: ambient::now(),
        })),
    }
}

/// What a connection would have begun with, had its client asked us for a tunnel to where it was going; and then
/// what it did begin with.
pub(super) fn as_connect(to: SocketAddr, bytes: &[u8]) -> Bytes {
    let mut all = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").into_bytes();
    all.extend_from_slice(bytes);
    all.into()
}

/// What a redirected connection speaks; `None` while that cannot be told.
pub(super) fn decide(bytes: &[u8]) -> Option<Speech> {
    match preface::decide(bytes) {
        Some(Speech::Http1) => {}
        other => return other,
    }
    let is_of_method = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    let method = bytes.iter().take_while(|byte| is_of_method(byte)).count();
    if method > MAX_METHOD {
        return Some(Speech::Other);
    }
    let rest = bytes.get(method..).filter(|rest| !rest.is_empty())?;
    match rest {
        [b' '] => return None,
        [b' ', b'/' | b'*', ..] if method > 0 => {}
        _ => return Some(Speech::Other),
    }
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        return (rest.len() > MAX_LINE).then_some(Speech::Other);
    };
    let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
    let has_version = line
        .rsplit(|byte| *byte == b' ')
        .next()
        .is_some_and(|last| last.starts_with(b"HTTP/1."));
    Some(match has_version {
        true => Speech::Http1,
        false => Speech::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_what_is_seen_to_be_http() {
        for (said, speech) in [
            ("GET / HTTP/1.1\r\n", Some(Speech::Http1)),
            ("GET /a?b=HTTP HTTP/1.0\r\nHost: x", Some(Speech::Http1)),
            ("OPTIONS * HTTP/1.1\n", Some(Speech::Http1)),
            ("M-SEARCH * HTTP/1.1\r\n", Some(Speech::Http1)),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Speech::Http2)),
            ("GET http://shop/ HTTP/1.1\r\n", Some(Speech::Other)),
            ("CONNECT shop:443 HTTP/1.1\r\n", Some(Speech::Other)),
            ("GET key\r\n", Some(Speech::Other)),
            ("GET /key\r\n", Some(Speech::Other)),
            ("PING\r\n", Some(Speech::Other)),
            ("get / HTTP/1.1\r\n", Some(Speech::Other)),
            (" / HTTP/1.1\r\n", Some(Speech::Other)),
            ("*1\r\n$4\r\nPING\r\n", Some(Speech::Other)),
            ("\u{16}\u{3}\u{1}", Some(Speech::Other)),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", Some(Speech::Other)),
            ("GET", None),
            ("GET ", None),
            ("GET /a HTTP/1.1\r", None),
            ("PRI * HTTP/2.0\r\n", None),
        ] {
            assert_eq!(decide(said.as_bytes()), speech, "{said:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_waited_for() {
        let said = format!("GET /{}", "a".repeat(MAX_LINE + 1));
        assert_eq!(decide(said.as_bytes()), Some(Speech::Other));
    }

    /// However its bytes come, the same is said of them in the end, and nothing else before.
    #[test]
    fn what_was_told_stays_told() {
        for said in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "*1\r\n$4\r\nPING\r\n"] {
            let whole = decide(said.as_bytes());
            for end in 1..said.len() {
                let part = decide(&said.as_bytes()[..end]);
                assert!(part.is_none() || part == whole, "{:?}", &said[..end]);
            }
        }
    }
}

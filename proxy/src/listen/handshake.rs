//! How a connection to a listener with certificates begins: with a TLS handshake, or without one.
//!
//! The first byte tells. Whoever asks in clear where only TLS is spoken is told so in clear, because
//! a connection that is just closed is a riddle.

use std::time::Duration;

use pingora_core::protocols::Stream;
use throughline::tls::Session;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::server::TlsStream;

use crate::tls::{Acceptor, MaybeTls, Reason};

/// What HTTP is spoken on.
pub(super) type Transport = MaybeTls<Stream, TlsStream<Stream>>;

/// What a client that asks in clear is told.
const CLEAR: &str = "HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 81\r\n\
    connection: close\r\n\r\n\
    400 Bad Request\nthroughline: this port speaks TLS alone; ask it again with https\n";

/// How much of a request that was refused is read, and for how long: to close before that would take
/// the answer away from whoever is still writing.
const MAX_REST: u64 = 64 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// Counts a connection that is given up, by whoever bounds its time.
struct Unfinished<'t>(&'t Acceptor, bool);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.failed(Reason::Timeout);
        }
    }
}

/// What to speak HTTP on; `None` if the client is not one to speak with.
pub(super) async fn greet(
    mut stream: Stream,
    terms: Acceptor,
) -> Option<(Transport, Option<Session>)> {
    let socket = stream.get_socket_digest();
    let peer = socket.and_then(|socket| socket.peer_addr().cloned());
    let mut first = [0];
    // A client that says nothing has not begun a handshake.
    if !stream.try_peek(&mut first).await.unwrap_or(false) {
        return None;
    }
    if !terms.is_tls(first[0]) {
        return Some((MaybeTls::Clear(stream), None));
    }
    if Acceptor::is_request(first[0]) {
        terms.failed(Reason::NotTls);
        refuse(stream).await;
        return None;
    }
    let mut unfinished = Unfinished(&terms, true);
    let accepted = terms.accept(stream).await;
    unfinished.1 = false;
    match accepted {
        Ok((stream, session)) => Some((MaybeTls::Tls(Box::new(stream)), Some(session))),
        Err(failure) => {
            tracing::debug!(%failure, ?peer, "a caller's TLS handshake failed");
            None
        }
    }
}

async fn refuse(mut stream: Stream) {
    let telling = async {
        stream.write_all(CLEAR.as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = stream.take(MAX_REST);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LINGER, telling).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_in_clear_says_its_own_length() {
        let (head, body) = CLEAR.split_once("\r\n\r\n").unwrap();
        let length = format!("content-length: {}", body.len());
        assert!(head.lines().any(|line| line == length), "{length}");
    }
}

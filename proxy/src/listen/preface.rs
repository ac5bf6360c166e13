//! HTTP/2 or HTTP/1? The first bytes of a connection tell.
//!
//! A client that speaks HTTP/2 with prior knowledge begins with 24 fixed bytes (RFC 9113 section
//! 3.4). Nothing waits for 24 bytes here: the first one that differs decides for HTTP/1, and of any
//! HTTP/1 request the third does at the latest. So a short request is not held up, and a slow one
//! only by itself.

use std::{io, time::Instant};

use bytes::{Bytes, BytesMut};
use throughline::ambient;
use tokio::io::{AsyncRead, AsyncReadExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// HTTP/1, or something that it is the right answer to.
    Http1,
    /// HTTP/2.
    Http2,
    /// Something else, which only a redirected connection may: see [`super::redirected`].
    Other,
}

/// How a connection begins.
#[derive(Debug)]
pub(super) struct Opening {
    /// What it speaks.
    pub(super) speech: Speech,
    /// What was read to find out, to be read again.
    pub(super) bytes: Bytes,
    /// When the first of these came.
    pub(super) first_byte: Instant,
}

/// Reads until `decide` tells of the bytes what is spoken; `None` if the client leaves before.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    decide: impl Fn(&[u8]) -> Option<Speech>,
) -> io::Result<Option<Opening>> {
    let mut bytes = BytesMut::with_capacity(1024);
    let mut first_byte = None;
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        let first_byte = *first_byte.get_or_insert_with(ambient::now);
        if let Some(speech) = decide(&bytes) {
            return Ok(Some(Opening {
                speech,
                bytes: bytes.freeze(),
                first_byte,
            }));
        }
    }
}

/// HTTP/2 or HTTP/1, of whoever can only mean one of the two; `None` while it may be both.
pub(super) fn decide(bytes: &[u8]) -> Option<Speech> {
    let compared = bytes.len().min(PREFACE.len());
    if bytes[..compared] != PREFACE[..compared] {
        return Some(Speech::Http1);
    }
    (compared == PREFACE.len()).then_some(Speech::Http2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn opening(said: &[u8]) -> Option<(Speech, Vec<u8>)> {
        let (mut client, mut server) = tokio::io::duplex(256);
        client.write_all(said).await.unwrap();
        // The client stays: whatever is decided is decided from these bytes alone.
        let read = read(&mut server, decide);
        let read = tokio::time::timeout(std::time::Duration::from_millis(50), read);
        let opening = read.await.ok()?.unwrap().unwrap();
        Some((opening.speech, opening.bytes.to_vec()))
    }

    #[tokio::test]
    async fn short_requests_are_not_waited_for() {
        for request in [
            "G",
            "GET / HTTP/1.0\r\n\r\n",
            "PUT",
            "POST",
            "PRO",
            "\r\n",
            "PRI *\r\n\r\n",
        ] {
            let got = opening(request.as_bytes()).await;
            assert_eq!(got, Some((Speech::Http1, request.into())), "{request:?}");
        }
    }

    #[tokio::test]
    async fn the_preface_is_http2_and_kept_for_hyper() {
        let mut said = PREFACE.to_vec();
        said.extend([0, 0, 0, 4]);
        assert_eq!(opening(&said).await, Some((Speech::Http2, said)));
        assert_eq!(
            opening(&PREFACE[..20]).await,
            None,
            "it may still become either"
        );
    }

    #[tokio::test]
    async fn a_client_that_leaves_says_nothing() {
        let (client, mut server) = tokio::io::duplex(16);
        drop(client);
        assert!(read(&mut server, decide).await.unwrap().is_none());
    }
}

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

/// How a connection begins.
#[derive(Debug)]
pub(super) struct Opening {
    /// Whether it speaks HTTP/2.
    pub(super) is_http2: bool,
    /// What was read to find out, to be read again.
    pub(super) bytes: Bytes,
    /// When the first of these came.
    pub(super) first_byte: Instant,
}

/// Reads until it is clear what is spoken; `None` if the client leaves before.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Opening>> {
    let mut bytes = BytesMut::with_capacity(1024);
    let mut first_byte = None;
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
        let first_byte = *first_byte.get_or_insert_with(ambient::now);
        let compared = bytes.len().min(PREFACE.len());
        let matches = bytes[..compared] == PREFACE[..compared];
        if !matches || compared == PREFACE.len() {
            return Ok(Some(Opening {
                is_http2: matches,
                bytes: bytes.freeze(),
                first_byte,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn opening(said: &[u8]) -> Option<(bool, Vec<u8>)> {
        let (mut client, mut server) = tokio::io::duplex(256);
        client.write_all(said).await.unwrap();
        // The client stays: whatever is decided is decided from these bytes alone.
        let read = tokio::time::timeout(std::time::Duration::from_millis(50), read(&mut server));
        let opening = read.await.ok()?.unwrap().unwrap();
        Some((opening.is_http2, opening.bytes.to_vec()))
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
            assert_eq!(got, Some((false, request.into())), "{request:?}");
        }
    }

    #[tokio::test]
    async fn the_preface_is_http2_and_kept_for_hyper() {
        let mut said = PREFACE.to_vec();
        said.extend([0, 0, 0, 4]);
        assert_eq!(opening(&said).await, Some((true, said)));
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
        assert!(read(&mut server).await.unwrap().is_none());
    }
}

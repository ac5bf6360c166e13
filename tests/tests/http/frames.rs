//! HTTP/2 as frames, for peers that no library would be.

use std::net::SocketAddr;

use super::wire::Wire;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn is(&self, kind: u8, stream: u32) -> bool {
        (self.kind, self.stream) == (kind, stream)
    }

    pub(crate) fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// Whether this is the head of an answer 200: HPACK has a number for it.
    pub(crate) fn is_ok(&self) -> bool {
        // After a change of the table's size, if there is one.
        let first = self.payload.iter().find(|byte| **byte & 0xe0 != 0x20);
        self.kind == HEADERS && first == Some(&0x88)
    }
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK has them without its table and without Huffman's code.
pub(crate) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, 0, 7, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// A number of HPACK (RFC 7541 section 5.1).
pub(crate) fn integer(block: &mut Vec<u8>, first: u8, bits: u32, number: usize) {
    let most = (1_usize << bits) - 1;
    if number < most {
        block.push(first | u8::try_from(number).unwrap());
        return;
    }
    block.push(first | u8::try_from(most).unwrap());
    let mut rest = number - most;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The head of a request.
pub(crate) fn request(method: &str, path: &str) -> Vec<u8> {
    block(&[
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"shop"),
        (b":path", path.as_bytes()),
    ])
}

/// One end of a connection.
pub(crate) struct Peer {
    pub(crate) wire: Wire,
}

impl Peer {
    /// A client with prior knowledge, and these settings.
    pub(crate) async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut wire = Wire::connect(address).await;
        wire.send(PREFACE).await;
        let mut peer = Self { wire };
        peer.settings(settings).await;
        peer
    }

    /// A server on what was accepted.
    pub(crate) async fn serve(mut wire: Wire, settings: &[(u16, u32)]) -> Self {
        assert_eq!(wire.exactly(PREFACE.len()).await.unwrap(), PREFACE);
        let mut peer = Self { wire };
        peer.settings(settings).await;
        peer
    }

    async fn settings(&mut self, settings: &[(u16, u32)]) {
        let pairs = settings.iter();
        let payload: Vec<u8> = pairs
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        self.send(SETTINGS, 0, 0, &payload).await;
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.wire.send(frame(kind, flags, stream, payload)).await;
    }

    /// A request without a body.
    pub(crate) async fn get(&mut self, stream: u32, path: &str) {
        let head = request("GET", path);
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &head)
            .await;
    }

    /// The head of a request that has one.
    pub(crate) async fn post(&mut self, stream: u32, path: &str) {
        let head = request("POST", path);
        self.send(HEADERS, END_HEADERS, stream, &head).await;
    }

    /// An answer 200 without a body.
    pub(crate) async fn answer(&mut self, stream: u32) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0x88])
            .await;
    }

    /// The next frame that is not about settings, pings or windows; `None` at the end. Settings and
    /// pings are answered.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            let head = self.wire.exactly(9).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let frame = Frame {
                kind: head[3],
                flags: head[4],
                stream: stream & 0x7fff_ffff,
                payload: self.wire.exactly(length).await.ok()?,
            };
            match frame.kind {
                SETTINGS | PING if frame.flags & ACK == 0 => {
                    let payload = if frame.kind == PING {
                        &frame.payload[..]
                    } else {
                        &[]
                    };
                    self.send(frame.kind, ACK, 0, payload).await;
                }
                SETTINGS | WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    /// The next such frame of this kind and stream.
    pub(crate) async fn wait(&mut self, kind: u8, stream: u32) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection goes on");
            if frame.is(kind, stream) {
                return frame;
            }
        }
    }

    /// Asks whether the other end has come this far.
    pub(crate) async fn sync(&mut self) -> bool {
        self.send(PING, 0, 0, b"are you?").await;
        while let Some(frame) = self.next().await {
            if frame.kind == PING && frame.payload == b"are you?" {
                return true;
            }
        }
        false
    }

    /// How a stream ends for its client: with an answer 200, or in any other way.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Outcome {
        let mut is_ok = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY && frame.payload[4..8] != [0; 4] {
                return Outcome::Refused;
            }
            if frame.is(RST_STREAM, stream) {
                // RFC 9113 section 8.1: a whole answer, and no need of more of the request.
                return Outcome::Refused;
            }
            if frame.is(HEADERS, stream) && is_ok.is_none() {
                is_ok = Some(frame.is_ok());
            }
            if frame.stream == stream && frame.ends() {
                return match is_ok {
                    Some(true) => Outcome::Answered,
                    _ => Outcome::Refused,
                };
            }
        }
        Outcome::Refused
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With a whole answer 200.
    Answered,
    /// With another status, a reset, or the end of the connection.
    Refused,
}

//! A TLS handshake that passes, as far as it can be seen from outside.
//!
//! Of somebody else's TLS the records can be told apart, and the two hellos are in clear. So it is
//! known how long the handshake takes, which server is asked for, and often what is spoken; nothing is
//! decrypted and nothing is altered. The handshake begins with the `ClientHello`. It is over with the
//! client's first record of application data after the server has spoken, which in TLS 1.3 is its
//! `Finished`, or once both sides have sent a message under new keys, which in TLS 1.2 is theirs.
//!
//! Time comes in as an argument. What does not begin like TLS is not looked at any more.

mod hello;
mod record;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use throughline::span::Tls;

use self::record::{Content, Piece, Records};

/// The longest hello that is looked into. With keys that withstand quantum computers they have some 2
/// KiB.
const MAX_HELLO: usize = 16 * 1024;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const TLS13: u16 = 0x0304;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// How far a handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of it has been seen.
    Before,
    /// It began then.
    Running(Instant),
    /// It took so long.
    Done(Duration),
    /// It is none, or cannot be followed.
    Never,
}

/// A handshake, or what may be one.
#[derive(Debug)]
pub struct Handshake {
    state: State,
    client: Side,
    server: Side,
    version: Option<u16>,
    seen: Tls,
}

/// What one side has sent.
#[derive(Debug, Default)]
struct Side {
    records: Records,
    /// Its hello, as far as it has come.
    hello: Vec<u8>,
    has_begun: bool,
    /// It needs not be looked for any more.
    has_hello: bool,
    has_new_keys: bool,
    has_finished: bool,
}

impl Default for Handshake {
    fn default() -> Self {
        Self::new()
    }
}

impl Handshake {
    /// One of which nothing has been seen.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Before,
            client: Side::default(),
            server: Side::default(),
            version: None,
            seen: Tls::default(),
        }
    }

    /// Whether more bytes would tell more.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        matches!(self.state, State::Before | State::Running(_))
    }

    /// These bytes pass, in this direction.
    pub fn pass(&mut self, direction: Direction, mut bytes: &[u8], at: Instant) {
        while self.is_watched() {
            let side = match direction {
                Direction::ToServer => &mut self.client,
                Direction::ToClient => &mut self.server,
            };
            match side.records.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(Piece::Record(content))) => self.begins(direction, content, at),
                Ok(Some(Piece::Payload(Content::Handshake, payload))) => {
                    self.says(direction, payload);
                }
                Ok(Some(Piece::Payload(..))) => {}
                Err(record::NotTls) => self.end(State::Never),
            }
        }
    }

    /// How long it took, or has taken by `now`, and whether it came to its end; `None` where there was
    /// none.
    #[must_use]
    pub fn took(&self, now: Instant) -> Option<(Duration, bool)> {
        match self.state {
            State::Running(began) => Some((now.saturating_duration_since(began), false)),
            State::Done(took) => Some((took, true)),
            State::Before | State::Never => None,
        }
    }

    /// What it said in clear.
    #[must_use]
    pub fn seen(&self) -> &Tls {
        &self.seen
    }

    /// A record begins.
    fn begins(&mut self, direction: Direction, content: Content, at: Instant) {
        use Direction::{ToClient, ToServer};
        match (self.state, direction, content) {
            (State::Before, ToServer, Content::Handshake) => self.state = State::Running(at),
            // Whoever lets the server speak first, or says something else, does no handshake.
            (State::Before, ..) => return self.end(State::Never),
            _ => {}
        }
        let server_has_begun = self.server.has_begun;
        let side = match direction {
            ToServer => &mut self.client,
            ToClient => &mut self.server,
        };
        side.has_begun = true;
        match content {
            Content::ChangeCipherSpec => side.has_new_keys = true,
            Content::Handshake if side.has_new_keys => side.has_finished = true,
            Content::ApplicationData if direction == ToServer && server_has_begun => {
                return self.done(at);
            }
            _ => {}
        }
        // In TLS 1.3 that record is sent for show, and a second hello may follow it.
        let may_be_done = self.version != Some(TLS13);
        if may_be_done && self.client.has_finished && self.server.has_finished {
            self.done(at);
        }
    }

    /// Some of a message in clear.
    fn says(&mut self, direction: Direction, payload: &[u8]) {
        let side = match direction {
            Direction::ToServer => &mut self.client,
            Direction::ToClient => &mut self.server,
        };
        if side.has_hello {
            return;
        }
        side.hello.extend_from_slice(payload);
        let &[kind, high, middle, low, ref body @ ..] = &*side.hello else {
            return;
        };
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        if body.len() < length && length <= MAX_HELLO {
            return;
        }
        side.has_hello = true;
        let hello = std::mem::take(&mut side.hello);
        let body = hello.get(4..4 + length).unwrap_or_default();
        match (direction, kind) {
            (Direction::ToServer, CLIENT_HELLO) => {
                if let Some(name) = hello::server_name(body) {
                    self.seen.server_name.set(name);
                }
            }
            (Direction::ToClient, SERVER_HELLO) => {
                if let Some(choice) = hello::choice(body) {
                    self.version = Some(choice.version);
                    self.seen.version = version_name(choice.version);
                    self.seen
                        .next_protocol
                        .set(choice.protocol.unwrap_or_default());
                }
            }
            (Direction::ToServer, _) => self.end(State::Never),
            (Direction::ToClient, _) => {}
        }
    }

    fn done(&mut self, at: Instant) {
        if let State::Running(began) = self.state {
            self.end(State::Done(at.saturating_duration_since(began)));
        }
    }

    fn end(&mut self, state: State) {
        self.state = state;
        // A tunnel may last for days.
        self.client.hello = Vec::new();
        self.server.hello = Vec::new();
    }
}

fn version_name(version: u16) -> Option<&'static str> {
    Some(match version {
        0x0301 => "1.0",
        0x0302 => "1.1",
        0x0303 => "1.2",
        TLS13 => "1.3",
        _ => return None,
    })
}

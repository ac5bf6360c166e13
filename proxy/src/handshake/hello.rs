//! The two messages of a TLS handshake that are in clear: what the client asks for, and what the server
//! chose of it.
//!
//! RFC 8446 section 4.1, which TLS 1.2 agrees with as far as is read here. What is cut or contradicts
//! itself says nothing.

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// What is left to be read of a message.
#[derive(Clone, Copy, Debug)]
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A vector with its length in one byte before it.
    fn short(&mut self) -> Option<&'b [u8]> {
        let length = self.byte()?;
        self.take(length.into())
    }

    /// A vector with its length in two bytes before it.
    fn long(&mut self) -> Option<&'b [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }

    /// The extension of this number, of those that are left.
    fn extension(mut self, number: u16) -> Option<Self> {
        let mut extensions = Reader(self.long()?);
        loop {
            let found = extensions.number()?;
            let data = extensions.long()?;
            if found == number {
                return Some(Reader(data));
            }
        }
    }
}

/// The name of the server in the body of a `ClientHello`.
pub(super) fn server_name(body: &[u8]) -> Option<&str> {
    let mut hello = Reader(body);
    // The version, and the random.
    hello.take(2 + 32)?;
    let (_session, _suites, _compression) = (hello.short()?, hello.long()?, hello.short()?);
    let mut names = Reader(hello.extension(SERVER_NAME)?.long()?);
    loop {
        let (kind, name) = (names.byte()?, names.long()?);
        // Of a host; no other kind was ever defined.
        if kind == 0 {
            let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
            return std::str::from_utf8(name).ok().filter(|_| is_name);
        }
    }
}

/// What a server chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice<'b> {
    pub(super) version: u16,
    /// What TLS carries; in TLS 1.3 that is encrypted.
    pub(super) protocol: Option<&'b str>,
}

/// What is chosen in the body of a `ServerHello`.
pub(super) fn choice(body: &[u8]) -> Option<Choice<'_>> {
    let mut hello = Reader(body);
    let legacy = hello.number()?;
    hello.take(32)?;
    // The session, the suite and the compression.
    hello.short()?;
    hello.take(2 + 1)?;
    let chosen = hello.extension(SUPPORTED_VERSIONS);
    let protocol = || {
        let name = Reader(hello.extension(ALPN)?.long()?).short()?;
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        std::str::from_utf8(name).ok().filter(|_| is_name)
    };
    Some(Choice {
        version: chosen.and_then(|mut data| data.number()).unwrap_or(legacy),
        protocol: protocol(),
    })
}

//! What an upstream speaks: told, or found out.
//!
//! A caller that speaks HTTP/2 with prior knowledge most likely knows what the app speaks, so that
//! by default each request goes on in the protocol that it came in. Where that is wrong, the first
//! bytes of the answer say so: an HTTP/2 server begins with a SETTINGS frame, whose first byte is
//! zero, and an HTTP/1 server with the letter H. Then every later request is translated. Neither the
//! length of a request nor its speed plays any part in it.

use std::{
    str::FromStr,
    sync::atomic::{AtomicU8, Ordering},
};

use crate::tls::Offer;

/// What an upstream is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Whatever the caller speaks, as far as the upstream turns out to understand it.
    #[default]
    Auto,
    /// HTTP/1.1 always.
    Http1,
    /// HTTP/2 always: in clear with prior knowledge.
    H2c,
}

impl Protocol {
    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Http1 => "http1",
            Self::H2c => "h2c",
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "http1" => Ok(Self::Http1),
            "h2c" => Ok(Self::H2c),
            _ => Err(format!(
                "no protocol is called {text:?}; use auto, http1 or h2c"
            )),
        }
    }
}

/// What to speak for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
    /// HTTP/2, if it turns out to be understood.
    TryHttp2,
    /// What the TLS handshake says.
    Negotiate,
}

/// What is known of an upstream's protocol.
#[derive(Debug)]
pub(super) struct Speech {
    told: Protocol,
    http1: AtomicU8,
    http2: AtomicU8,
}

const UNKNOWN: u8 = 0;
const YES: u8 = 1;
const NO: u8 = 2;

impl Speech {
    pub(super) fn new(told: Protocol) -> Self {
        Self {
            told,
            http1: AtomicU8::new(UNKNOWN),
            http2: AtomicU8::new(UNKNOWN),
        }
    }

    /// The same knowledge, for a connection pool that begins anew.
    pub(super) fn learned(&self) -> Self {
        let copy = |known: &AtomicU8| AtomicU8::new(known.load(Ordering::Relaxed));
        Self {
            told: self.told,
            http1: copy(&self.http1),
            http2: copy(&self.http2),
        }
    }

    /// What to speak for a request that came in HTTP/2, or did not.
    pub(super) fn choose(&self, wants_http2: bool, is_tls: bool) -> Spoken {
        match self.told {
            Protocol::Http1 => Spoken::Http1,
            Protocol::H2c => Spoken::Http2,
            Protocol::Auto if is_tls => Spoken::Negotiate,
            Protocol::Auto if wants_http2 => match self.http2.load(Ordering::Relaxed) {
                YES => Spoken::Http2,
                NO => Spoken::Http1,
                _ => Spoken::TryHttp2,
            },
            Protocol::Auto => match self.http1.load(Ordering::Relaxed) {
                NO => Spoken::Http2,
                _ => Spoken::Http1,
            },
        }
    }

    /// What it is offered in a TLS handshake.
    pub(super) fn offer(&self) -> Offer {
        match self.told {
            Protocol::Auto => Offer::Either,
            Protocol::Http1 => Offer::Http1,
            Protocol::H2c => Offer::Http2,
        }
    }

    /// Whether it may turn out not to understand HTTP/1.
    pub(super) fn may_refuse_http1(&self) -> bool {
        self.told == Protocol::Auto && self.http1.load(Ordering::Relaxed) == UNKNOWN
    }

    /// It answered in HTTP/1.
    pub(super) fn heard_http1(&self) {
        // On the way of every request: nearly always nothing new, and then nothing is written.
        if self.http1.load(Ordering::Relaxed) == UNKNOWN {
            self.http1.store(YES, Ordering::Relaxed);
        }
    }

    /// It answered in HTTP/2.
    pub(super) fn heard_http2(&self) {
        self.http2.store(YES, Ordering::Relaxed);
    }

    /// It did not understand HTTP/2.
    pub(super) fn refused_http2(&self) {
        self.http2.store(NO, Ordering::Relaxed);
    }

    /// It answered HTTP/1 with a SETTINGS frame: HTTP/2 is all that it speaks.
    pub(super) fn refused_http1(&self) {
        self.http1.store(NO, Ordering::Relaxed);
        self.http2.store(YES, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_upstream_is_asked_in_the_callers_protocol() {
        let speech = Speech::new(Protocol::Auto);
        assert_eq!(speech.choose(false, false), Spoken::Http1);
        assert_eq!(speech.choose(true, false), Spoken::TryHttp2);
        assert_eq!(speech.choose(true, true), Spoken::Negotiate);
    }

    #[test]
    fn what_was_heard_is_remembered() {
        let speech = Speech::new(Protocol::Auto);
        assert!(speech.may_refuse_http1());
        speech.heard_http1();
        assert!(!speech.may_refuse_http1());
        assert_eq!(
            speech.choose(true, false),
            Spoken::TryHttp2,
            "it may know both"
        );
        speech.heard_http2();
        assert_eq!(speech.choose(true, false), Spoken::Http2);
        assert_eq!(speech.choose(false, false), Spoken::Http1);

        let speech = Speech::new(Protocol::Auto);
        speech.refused_http2();
        assert_eq!(speech.choose(true, false), Spoken::Http1);

        let speech = Speech::new(Protocol::Auto);
        speech.refused_http1();
        assert_eq!(speech.choose(false, false), Spoken::Http2);
    }

    #[test]
    fn what_was_told_is_not_doubted() {
        let speech = Speech::new(Protocol::Http1);
        speech.refused_http1();
        assert_eq!(speech.choose(true, false), Spoken::Http1);
        assert_eq!(
            Speech::new(Protocol::H2c).choose(false, false),
            Spoken::Http2
        );
    }

    #[test]
    fn names_are_parsed() {
        for protocol in [Protocol::Auto, Protocol::Http1, Protocol::H2c] {
            assert_eq!(protocol.name().parse(), Ok(protocol));
        }
        assert!(
            "h3".parse::<Protocol>()
                .unwrap_err()
                .contains("auto, http1 or h2c")
        );
    }
}

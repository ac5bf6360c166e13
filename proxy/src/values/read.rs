//! From a message to its fingerprints.
//!
//! A pure function of the head: any bytes may come, nothing is allocated, and no more than
//! [`MOST`](super::MOST) values are kept, with room for each kind of place, so that a long query does
//! not push out a header.

use http::{HeaderMap, HeaderName, Uri, header};

use super::{
    Config, Secret, Source,
    fingerprint::{Fingerprint, Fingerprints, Slot},
    json,
    value::{Buffer, decoded, meaning},
};

/// The most values of a path, of a query and of the headers, and of cookies among these.
const MOST_SEGMENTS: usize = 8;
const MOST_PARAMETERS: usize = 6;
const MOST_HEADERS: usize = 8;
const MOST_COOKIES: usize = 5;

/// How much of a path or a query is looked through, in pieces. Beyond are no names that an app has.
const MAX_PIECES: usize = 64;

/// Takes the fingerprints of messages.
#[derive(Debug)]
pub struct Reader {
    secret: Secret,
    config: Config,
    /// The headers that are looked at, with their places.
    headers: Vec<(HeaderName, Slot)>,
}

impl Reader {
    /// A reader of what `config` says; `None` where that is nothing.
    #[must_use]
    pub fn new(config: &Config, secret: Secret) -> Option<Self> {
        if config.from.is_empty() {
            return None;
        }
        let headers = config.headers.iter().map(|name| {
            let slot = secret.slot(Slot::HEADERS, name.as_str().as_bytes());
            (name.clone(), slot)
        });
        Some(Self {
            secret,
            headers: headers.collect(),
            config: config.clone(),
        })
    }

    /// The fingerprints of a request's head.
    #[must_use]
    pub fn head(&self, uri: &Uri, headers: &HeaderMap) -> Fingerprints {
        let mut found = Fingerprints::default();
        if self.reads(Source::Path) {
            self.path(uri.path().as_bytes(), &mut found);
        }
        if self.reads(Source::Query) {
            self.query(uri.query().unwrap_or("").as_bytes(), &mut found);
        }
        if self.reads(Source::Headers) {
            self.headers(headers, &mut found);
        }
        found
    }

    /// How long the body of a request is, where it is one that is looked at: JSON of a known and
    /// small length, not compressed, that its sender does not hold back.
    #[must_use]
    pub fn body_length(&self, headers: &HeaderMap) -> Option<usize> {
        if !self.reads(Source::Body) || !is_json(headers) {
            return None;
        }
        if headers.contains_key(header::CONTENT_ENCODING) || headers.contains_key(header::EXPECT) {
            return None;
        }
        let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
        let length = length.parse().ok()?;
        (1..=self.config.max_body)
            .contains(&length)
            .then_some(length)
    }

    /// Adds the values of a JSON body, or of its beginning, to those of its head.
    pub fn body(&self, bytes: &[u8], extent: Extent, found: &mut Fingerprints) {
        let (bytes, extent) = match bytes.get(..self.config.max_body) {
            Some(beginning) if beginning.len() < bytes.len() => (beginning, Extent::Beginning),
            _ => (bytes, extent),
        };
        let name = |within, key: &str| self.secret.slot(within, key.as_bytes());
        json::scalars(bytes, extent, Slot::BODY, &name, &mut |slot, value| {
            self.note(value, slot, found);
            !found.is_full()
        });
    }

    fn reads(&self, source: Source) -> bool {
        self.config.from.contains(&source)
    }

    fn path(&self, path: &[u8], found: &mut Fingerprints) {
        let most = found.len() + MOST_SEGMENTS;
        let mut buffer = Buffer::new();
        let segments = path.split(|byte| *byte == b'/').take(MAX_PIECES);
        for (number, segment) in (0..).zip(segments) {
            if found.len() >= most {
                return;
            }
            let segment = decoded(segment, false, &mut buffer);
            self.note(segment, Slot::segment(number), found);
        }
    }

    fn query(&self, query: &[u8], found: &mut Fingerprints) {
        let most = found.len() + MOST_PARAMETERS;
        let mut buffer = Buffer::new();
        for pair in query.split(|byte| *byte == b'&').take(MAX_PIECES) {
            if found.len() >= most {
                return;
            }
            let (name, value) = split(pair, b'=');
            let slot = self.secret.slot(Slot::QUERY, name);
            self.note(decoded(value, true, &mut buffer), slot, found);
        }
    }

    fn headers(&self, headers: &HeaderMap, found: &mut Fingerprints) {
        let most = found.len() + MOST_HEADERS;
        for (name, slot) in &self.headers {
            for value in headers.get_all(name) {
                if found.len() >= most {
                    return;
                }
                if name == header::COOKIE {
                    let most = most.min(found.len() + MOST_COOKIES);
                    self.cookies(value.as_bytes(), *slot, most, found);
                } else {
                    self.note(value.as_bytes(), *slot, found);
                }
            }
        }
    }

    fn cookies(&self, cookies: &[u8], within: Slot, most: usize, found: &mut Fingerprints) {
        let mut buffer = Buffer::new();
        for cookie in cookies.split(|byte| *byte == b';').take(MAX_PIECES) {
            if found.len() >= most {
                return;
            }
            let (name, value) = split(cookie.trim_ascii(), b'=');
            let slot = self.secret.slot(within, name);
            self.note(decoded(value, false, &mut buffer), slot, found);
        }
    }

    fn note(&self, raw: &[u8], slot: Slot, found: &mut Fingerprints) {
        if let Some((value, bits)) = meaning(raw) {
            let hash = self.secret.hash(value);
            found.note(Fingerprint { hash, slot, bits });
        }
    }
}

/// How much of a body some bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// Its beginning; what is cut off in the middle counts as not there.
    Beginning,
}

impl Extent {
    /// The extent of these bytes in a body of that length.
    #[must_use]
    pub fn of(bytes: &[u8], length: usize) -> Self {
        if bytes.len() >= length {
            Self::Whole
        } else {
            Self::Beginning
        }
    }
}

/// What stands before and behind the first `separator`; all of it before, where there is none.
fn split(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == separator) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE);
    let Some(said) = said.and_then(|said| said.to_str().ok()) else {
        return false;
    };
    let kind = said.split(';').next().unwrap_or(said).trim();
    let suffix = kind.len().checked_sub(5).and_then(|at| kind.get(at..));
    kind.eq_ignore_ascii_case("application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

#[cfg(test)]
#[path = "read/tests.rs"]
mod tests;

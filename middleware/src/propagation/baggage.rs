//! W3C `baggage`: the application's own values, carried and never changed.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::context::TraceContext;

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// What is carried at most; the specification asks of nobody to pass on more.
const MAX_BYTES: usize = 8192;

pub(super) fn extract(headers: &HeaderMap) -> Option<Arc<[u8]>> {
    let mut lines = headers.get_all(BAGGAGE).iter();
    let first = lines.next()?.as_bytes();
    let mut joined = Vec::new();
    for line in lines {
        if joined.is_empty() {
            joined.extend_from_slice(first);
        }
        joined.push(b',');
        joined.extend_from_slice(line.as_bytes());
    }
    let joined = if joined.is_empty() { first } else { &joined };
    (!joined.is_empty() && joined.len() <= MAX_BYTES).then(|| joined.into())
}

/// Writes the carried baggage, unless the request has its own: what the application says about
/// itself is newer than what we remember.
pub(super) fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    if headers.contains_key(BAGGAGE) {
        return;
    }
    if let Some(value) = context
        .baggage
        .as_deref()
        .and_then(|b| HeaderValue::from_bytes(b).ok())
    {
        headers.insert(BAGGAGE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_bytes_kept() {
        let mut headers = HeaderMap::new();
        headers.append(BAGGAGE, HeaderValue::from_static("a=1;p, b=%20"));
        headers.append(BAGGAGE, HeaderValue::from_static("c=3"));
        assert_eq!(extract(&headers).as_deref(), Some(&b"a=1;p, b=%20,c=3"[..]));
    }

    #[test]
    fn nothing_and_too_much_are_not_carried() {
        let mut headers = HeaderMap::new();
        assert_eq!(extract(&headers), None);
        headers.append(
            BAGGAGE,
            HeaderValue::from_bytes(&vec![b'a'; MAX_BYTES + 1]).unwrap(),
        );
        assert_eq!(extract(&headers), None);
    }
}

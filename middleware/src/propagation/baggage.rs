//! W3C `baggage`: the application's own values, carried and never changed.
//!
//! <https://www.w3.org/TR/baggage/>

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Reason, value};
use crate::context::TraceContext;

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

pub(super) static HEADERS: [HeaderName; 1] = [BAGGAGE];

/// What is carried at most; the specification asks of nobody to pass on more.
pub(super) const MAX_BYTES: usize = 8192;

/// The most members that are looked at; the specification has a limit of 180 in its first edition.
pub(super) const MAX_MEMBERS: usize = 180;

/// All lines joined in order to one; the one line that most requests have is passed on as it is.
pub(super) fn extract(headers: &HeaderMap) -> Result<Option<HeaderValue>, Reason> {
    let mut lines = headers.get_all(BAGGAGE).iter();
    let Some(first) = lines.next() else {
        return Ok(None);
    };
    let joined = match lines.next() {
        None => first.clone(),
        Some(second) => {
            let mut joined = first.as_bytes().to_vec();
            for line in std::iter::once(second).chain(lines) {
                joined.push(b',');
                joined.extend_from_slice(line.as_bytes());
            }
            value::of(&joined).ok_or(Reason::Characters)?
        }
    };
    if joined.len() > MAX_BYTES {
        return Err(Reason::Length);
    }
    Ok((!joined.is_empty()).then_some(joined))
}

/// Writes the carried baggage, unless the request has its own: what the application says about
/// itself is newer than what we remember.
pub(super) fn inject(context: &TraceContext, headers: &mut HeaderMap) {
    if let Some(baggage) = &context.baggage
        && !headers.contains_key(BAGGAGE)
    {
        headers.insert(BAGGAGE, baggage.clone());
    }
}

/// The members of a list: name and value, without white space, still encoded. What is no member is
/// passed over.
pub(super) fn members(baggage: &HeaderValue) -> impl Iterator<Item = (&str, &str)> {
    let list = baggage.to_str().unwrap_or_default();
    let members = list.split(',').filter_map(|member| {
        let (name, rest) = member.split_once('=')?;
        let value = rest.split_once(';').map_or(rest, |(value, _)| value);
        let name = name.trim_matches([' ', '\t']);
        (!name.is_empty()).then(|| (name, value.trim_matches([' ', '\t'])))
    });
    members.take(MAX_MEMBERS)
}

/// The value of this name in a `baggage` list, with percent-encoding undone where that gives text.
///
/// ```
/// use http::HeaderValue;
/// use throughline::propagation::baggage_value;
///
/// let baggage = HeaderValue::from_static("tenant=a%20b;ttl=1, user=7");
/// assert_eq!(baggage_value(&baggage, "tenant").unwrap(), "a b");
/// assert_eq!(baggage_value(&baggage, "ttl"), None, "that is a property of a member");
/// ```
#[must_use]
pub fn baggage_value<'b>(baggage: &'b HeaderValue, name: &str) -> Option<Cow<'b, str>> {
    let (_, value) = members(baggage).find(|(key, _)| *key == name)?;
    Some(decoded(value))
}

fn decoded(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes
            .get(at..at + 3)
            .filter(|three| three[0] == b'%')
            .and_then(|three| std::str::from_utf8(&three[1..]).ok())
            .filter(|hex| hex.bytes().all(|c| c.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).map_or(Cow::Borrowed(value), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_joined_and_bytes_kept() {
        let mut headers = HeaderMap::new();
        headers.append(BAGGAGE, HeaderValue::from_static("a=1;p, b=%20"));
        assert_eq!(extract(&headers).unwrap().unwrap(), "a=1;p, b=%20");
        headers.append(BAGGAGE, HeaderValue::from_static("c=3"));
        assert_eq!(extract(&headers).unwrap().unwrap(), "a=1;p, b=%20,c=3");
    }

    #[test]
    fn nothing_and_too_much_are_not_carried() {
        let mut headers = HeaderMap::new();
        assert_eq!(extract(&headers), Ok(None));
        let much = HeaderValue::from_bytes(&vec![b'a'; MAX_BYTES + 1]).unwrap();
        headers.append(BAGGAGE, much);
        assert_eq!(extract(&headers), Err(Reason::Length));
    }

    #[test]
    fn values_are_read_by_name_and_odd_members_passed_over() {
        for (list, name, value) in [
            ("a=1,b=2", "b", Some("2")),
            (" a = 1 ; p=2 ", "a", Some("1")),
            ("a=1;p=2", "p", None),
            ("a,=2,b=", "b", Some("")),
            ("a=%C3%A4%2", "a", Some("ä%2")),
            ("a=%FF", "a", Some("%FF")),
            ("a=1", "A", None),
        ] {
            let list = HeaderValue::from_static(list);
            assert_eq!(baggage_value(&list, name).as_deref(), value, "{list:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            if let Ok(list) = HeaderValue::from_bytes(&bytes) {
                members(&list).for_each(|(_, value)| drop(decoded(value)));
            }
        }
    }
}

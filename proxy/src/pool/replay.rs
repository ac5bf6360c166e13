//! A request once more, from the bytes that it was written as.
//!
//! A copy of a request's head costs several allocations, and nearly none is ever needed. Its bytes
//! are written anyway: a connection keeps those of the request that it carries, and only where they
//! are needed they are read.

use http::{HeaderName, HeaderValue, Request, request};

/// The head that hyper wrote as `bytes`; `None` if they are not all of it.
pub(super) fn head_of(bytes: &[u8]) -> Option<request::Parts> {
    let text = bytes.strip_suffix(b"\r\n\r\n")?;
    let (line, mut fields) = split(text, b"\r\n").unwrap_or((text, b""));
    let (method, rest) = split(line, b" ")?;
    let (target, version) = split(rest, b" ")?;
    if version != b"HTTP/1.1" {
        return None;
    }
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = method.try_into().ok()?;
    head.uri = target.try_into().ok()?;
    while !fields.is_empty() {
        let (field, rest) = split(fields, b"\r\n").unwrap_or((fields, b""));
        let (name, value) = split(field, b": ")?;
        let name = HeaderName::from_bytes(name).ok()?;
        head.headers
            .append(name, HeaderValue::from_bytes(value).ok()?);
        fields = rest;
    }
    Some(head)
}

fn split<'b>(bytes: &'b [u8], at: &[u8]) -> Option<(&'b [u8], &'b [u8])> {
    let found = bytes.windows(at.len()).position(|window| window == at)?;
    Some((&bytes[..found], &bytes[found + at.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_as_it_was() {
        let head = head_of(
            b"DELETE /a%20b?c=d:%20e HTTP/1.1\r\nhost: shop:81\r\nx-two: 1\r\nx-two: \xff: 2\r\n\
              x-none: \r\n\r\n",
        )
        .unwrap();
        assert_eq!(head.method, "DELETE");
        assert_eq!(head.uri, "/a%20b?c=d:%20e");
        let fields: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let expected: [(&str, &[u8]); 4] = [
            ("host", b"shop:81"),
            ("x-two", b"1"),
            ("x-two", b"\xff: 2"),
            ("x-none", b""),
        ];
        assert_eq!(fields, expected);
        assert!(
            head_of(b"GET / HTTP/1.1\r\n\r\n")
                .unwrap()
                .headers
                .is_empty()
        );
    }

    #[test]
    fn what_was_not_written_whole_is_no_request() {
        let whole = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        for end in 0..whole.len() {
            assert!(head_of(&whole[..end]).is_none(), "{end}");
        }
    }
}

//! Header values, made and looked at without an allocation.

use std::cell::RefCell;

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Reason;

/// How much is set aside for values at a time.
const BLOCK: usize = 2048;

/// A header value of these bytes; `None` if they are not those of a header.
///
/// Values are cut from a block of this thread. Once the requests are gone that they were written
/// into, the block is used again, so that in the long run nothing is allocated.
pub(super) fn of(bytes: &[u8]) -> Option<HeaderValue> {
    thread_local! {
        static BLOCKS: RefCell<BytesMut> = RefCell::new(BytesMut::new());
    }
    if bytes.len() > BLOCK {
        return HeaderValue::from_bytes(bytes).ok();
    }
    BLOCKS.with_borrow_mut(|block| {
        if block.capacity() < bytes.len() {
            block.reserve(BLOCK);
        }
        block.extend_from_slice(bytes);
        HeaderValue::from_maybe_shared(block.split().freeze()).ok()
    })
}

/// The one line of this name, if it is there. The same line twice is one.
pub(super) fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Reason> {
    let mut lines = headers.get_all(name).iter();
    let Some(first) = lines.next() else {
        return Ok(None);
    };
    if lines.all(|line| line == first) {
        Ok(Some(first))
    } else {
        Err(Reason::Duplicate)
    }
}

/// The one line of this name as text, without white space around it.
pub(super) fn text<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h str>, Reason> {
    match single(headers, name)? {
        Some(line) => {
            let text = line.to_str().map_err(|_| Reason::Characters)?;
            Ok(Some(text.trim_matches([' ', '\t'])))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_was_asked_for_and_no_other_bytes() {
        assert_eq!(of(b"abc").unwrap(), "abc");
        assert_eq!(of(b"").unwrap(), "");
        assert_eq!(of(b"a\r\nb: c"), None);
        let long = "x".repeat(3 * BLOCK);
        assert_eq!(of(long.as_bytes()).unwrap(), long);
        let many: Vec<_> = (0..1000).map(|n| of(format!("{n}").as_bytes())).collect();
        for (n, value) in many.into_iter().enumerate() {
            assert_eq!(value.unwrap(), n.to_string());
        }
    }

    #[test]
    fn a_block_is_used_again_when_its_values_are_gone() {
        drop(of(b"first"));
        let before = of(b"x").unwrap().as_bytes().as_ptr().addr();
        for _ in 0..10_000 {
            let value = of(&[b'y'; 55]).unwrap();
            let here = value.as_bytes().as_ptr().addr();
            assert!(here.abs_diff(before) < 2 * BLOCK, "another block");
        }
    }

    #[test]
    fn a_line_that_comes_twice_counts_once_if_it_is_the_same() {
        let name = HeaderName::from_static("b3");
        let mut headers = HeaderMap::new();
        assert_eq!(single(&headers, &name), Ok(None));
        headers.append(&name, HeaderValue::from_static(" 0\t"));
        headers.append(&name, HeaderValue::from_static(" 0\t"));
        assert_eq!(text(&headers, &name), Ok(Some("0")));
        headers.append(&name, HeaderValue::from_static("1"));
        assert_eq!(single(&headers, &name), Err(Reason::Duplicate));
    }
}

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
/// into, the block is used again, so that in the long run nothing is allocated. There are two blocks,
/// used in turns: when one is spent, the request at hand still holds values of it, which must not
/// keep both from being used again.
pub(super) fn of(bytes: &[u8]) -> Option<HeaderValue> {
    thread_local! {
        static BLOCKS: RefCell<[BytesMut; 2]> = RefCell::default();
    }
    if bytes.len() > BLOCK {
        return HeaderValue::from_bytes(bytes).ok();
    }
    BLOCKS.with_borrow_mut(|blocks| {
        if blocks[0].capacity() < bytes.len() {
            blocks.swap(0, 1);
            blocks[0].reserve(BLOCK);
        }
        let block = &mut blocks[0];
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
    fn two_blocks_are_enough_when_their_values_are_gone() {
        let mut blocks: Vec<usize> = Vec::new();
        for _ in 0..10_000 {
            let value = of(&[b'y'; 55]).unwrap();
            let here = value.as_bytes().as_ptr().addr();
            if !blocks.iter().any(|block| here.abs_diff(*block) < BLOCK) {
                blocks.push(here);
            }
        }
        assert!(blocks.len() <= 2, "{} blocks", blocks.len());
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

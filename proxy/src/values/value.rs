//! When are two values the same, and how much does it say?
//!
//! The same value is spelled in several ways: percent-encoded in a path, escaped in JSON, behind
//! `Bearer` in a header. Here each becomes the bytes that are compared. And of a value alone it can be
//! told how often it would meet itself by chance: one digit is one of ten.

use arrayvec::ArrayVec;
use percent_encoding::percent_decode;

/// The longest value that is looked at; a longer one is left out, because a part of it is not the
/// same as all of it.
pub(super) const MAX_LEN: usize = 4096;

/// Words that stand for no value at all.
const NOTHING: [&str; 6] = ["true", "false", "null", "none", "undefined", "nil"];

/// Schemes of `Authorization` whose token is a value by itself, in whatever header it stands.
const SCHEMES: [&str; 3] = ["bearer ", "basic ", "token "];

/// Room for a value that has to be decoded.
pub(super) type Buffer = ArrayVec<u8, MAX_LEN>;

/// A piece of a path or a query, percent-decoded.
pub(super) fn decoded<'b>(raw: &'b [u8], plus_is_space: bool, buffer: &'b mut Buffer) -> &'b [u8] {
    let is_coded = |byte: &u8| *byte == b'%' || (plus_is_space && *byte == b'+');
    if raw.len() > MAX_LEN || !raw.iter().any(is_coded) {
        return raw;
    }
    buffer.clear();
    let is_gap = |byte: &u8| plus_is_space && *byte == b'+';
    for (number, part) in raw.split(is_gap).enumerate() {
        let gap = (number > 0).then_some(b' ');
        let room = buffer.remaining_capacity();
        // Decoding makes nothing longer, so that there is room for all of it.
        buffer.extend(gap.into_iter().chain(percent_decode(part)).take(room));
    }
    buffer
}

/// The bytes to compare and how many bits a value like this has, if it means anything.
pub(super) fn meaning(raw: &[u8]) -> Option<(&[u8], u8)> {
    let value = without_scheme(raw.trim_ascii());
    let is_value = |word: &&str| word.as_bytes().eq_ignore_ascii_case(value);
    if value.len() > MAX_LEN || NOTHING.iter().any(is_value) || is_version(value) {
        return None;
    }
    let is_digits = value.iter().all(u8::is_ascii_digit);
    if value.is_empty() || (value.len() == 1 && !is_digits) {
        return None;
    }
    // A digit has 3.3 bits. An id that mixes digits and letters has at least 4 for each; in words
    // there are about 2 (Shannon, 1951).
    let tenths = if is_digits {
        33
    } else if value.iter().any(u8::is_ascii_digit) {
        40
    } else {
        20
    };
    let bits = (value.len() * tenths / 10).min(64);
    Some((value, u8::try_from(bits).unwrap_or(64)))
}

/// A token by itself: whether an app passes on `Bearer x` or `x`, it is one value and counts once.
fn without_scheme(value: &[u8]) -> &[u8] {
    let scheme = SCHEMES.iter().find(|scheme| {
        let start = value.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    });
    scheme.map_or(value, |scheme| value[scheme.len()..].trim_ascii())
}

/// `v1`, as APIs have it in their paths.
fn is_version(value: &[u8]) -> bool {
    match value {
        [b'v' | b'V', digits @ ..] => digits.len() <= 2 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_however_it_is_spelled() {
        for (raw, plus_is_space, expected) in [
            ("a b", false, "a b"),
            ("a%20b", false, "a b"),
            ("a+b", false, "a+b"),
            ("a+b", true, "a b"),
            ("a%2Bb+c", true, "a+b c"),
            ("100%", false, "100%"),
            ("%zz%4", true, "%zz%4"),
        ] {
            let mut buffer = Buffer::new();
            let value = decoded(raw.as_bytes(), plus_is_space, &mut buffer);
            assert_eq!(value, expected.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn a_token_is_a_value_without_its_scheme() {
        for raw in [
            "abc.def",
            "Bearer abc.def",
            " bearer  abc.def ",
            "Token abc.def",
        ] {
            assert_eq!(meaning(raw.as_bytes()).unwrap().0, b"abc.def", "{raw}");
        }
        assert_eq!(meaning(b"Bearer"), Some((&b"Bearer"[..], 12)));
        assert_eq!(meaning(b"Bearer  "), Some((&b"Bearer"[..], 12)));
    }

    #[test]
    fn what_means_nothing_is_left_out_and_what_is_short_has_few_bits() {
        for (raw, expected) in [
            ("", None),
            (" ", None),
            ("a", None),
            ("v1", None),
            ("V12", None),
            ("TRUE", None),
            ("null", None),
            ("7", Some(3)),
            ("42", Some(6)),
            ("1042", Some(13)),
            ("ada", Some(6)),
            ("vienna", Some(12)),
            ("u-17", Some(16)),
            ("6f1c2f0e-61f2-4b8c-9d0a-3f1f3c1d2a5b", Some(64)),
        ] {
            assert_eq!(meaning(raw.as_bytes()).map(|v| v.1), expected, "{raw}");
        }
        assert_eq!(meaning(&[b'x'; MAX_LEN + 1]), None);
        assert!(meaning(&[b'x'; MAX_LEN]).is_some());
    }
}

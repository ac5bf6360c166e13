//! Requests and calls of one kind: of one method, to one host, on one path but for its ids.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Longer parts of a path are ids or texts.
const MAX_WORD: usize = 40;

/// A label of a kind is cut after this many bytes.
const MAX_LABEL: usize = 120;

/// Calls that an app makes for the same reason, or requests that it answers in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(u64);

impl Kind {
    /// The kind of what has this method, host and path.
    #[must_use]
    pub fn of(method: &str, host: &str, path: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (method, host).hash(&mut hasher);
        for segment in path.split('/') {
            word(segment).unwrap_or("{}").hash(&mut hasher);
        }
        Self(hasher.finish())
    }

    /// The kind as a number.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// A part of a path that is no id: most ids have a digit in them.
fn word(segment: &str) -> Option<&str> {
    let is_id = segment.len() > MAX_WORD || segment.bytes().any(|c| c.is_ascii_digit());
    (!is_id).then_some(segment)
}

/// What a kind is called: `GET stock:8080/items/{}`.
#[must_use]
pub fn label(method: &str, host: &str, path: &str) -> Box<str> {
    let mut label = format!("{method} {host}");
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            label.push('/');
        }
        label.push_str(word(segment).unwrap_or("{}"));
        if label.len() > MAX_LABEL {
            let mut end = MAX_LABEL;
            while !label.is_char_boundary(end) {
                end -= 1;
            }
            label.truncate(end);
            label.push('…');
            break;
        }
    }
    label.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_ignore_ids() {
        let of = |path| Kind::of("GET", "a", path);
        assert_eq!(of("/x/1/y"), of("/x/22b/y"));
        assert_ne!(of("/x/1/y"), of("/x/1/z"));
        assert_ne!(of("/x"), Kind::of("PUT", "a", "/x"));
        assert_ne!(of("/x"), Kind::of("GET", "b", "/x"));
    }

    #[test]
    fn a_label_shows_no_ids_and_is_short() {
        assert_eq!(
            &*label("GET", "stock:80", "/items/17/price"),
            "GET stock:80/items/{}/price"
        );
        let long = label("GET", "stock", &"/ä".repeat(500));
        assert!(long.len() < MAX_LABEL + 8, "{long}");
    }
}

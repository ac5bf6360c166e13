//! Short text kept in place, so that a span costs no allocation for its names.
//!
//! What does not fit is cut at a character boundary. Lengths are chosen where the text is used; the
//! point is that a finished span has a known size, whatever a client sends.

use std::fmt;

/// Text of at most `N` bytes (and never more than 255).
#[derive(Clone, Copy)]
pub struct Inline<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> Inline<N> {
    /// No text.
    pub const EMPTY: Self = Self {
        len: 0,
        bytes: [0; N],
    };

    /// As much of `text` as fits.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut out = Self::EMPTY;
        out.push(text);
        out
    }

    /// As much of `text` as fits, in place of what there was: only these bytes are written, and not
    /// all that there is room for.
    pub fn set(&mut self, text: &str) {
        self.len = 0;
        self.push(text);
    }

    /// Appends as much of `text` as fits.
    pub fn push(&mut self, text: &str) {
        let start = usize::from(self.len);
        let room = N.min(255) - start;
        let mut take = text.len().min(room);
        while !text.is_char_boundary(take) {
            take -= 1;
        }
        self.bytes[start..start + take].copy_from_slice(&text.as_bytes()[..take]);
        self.len += u8::try_from(take).expect("room is below 256");
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only whole characters are ever pushed, so the fallback is never taken.
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Inline<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> From<&str> for Inline<N> {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<const N: usize> PartialEq for Inline<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<const N: usize> Eq for Inline<N> {}

impl<const N: usize> fmt::Debug for Inline<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> fmt::Display for Inline<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        assert_eq!(Inline::<4>::new("abcdef").as_str(), "abcd");
        assert_eq!(Inline::<4>::new("abcö").as_str(), "abc");
        assert_eq!(Inline::<255>::new(&"x".repeat(400)).as_str().len(), 255);
    }

    #[test]
    fn pushes_until_full() {
        let mut text = Inline::<6>::new("http");
        text.push("://");
        text.push("more");
        assert_eq!(text.as_str(), "http:/");
        text.set("ftp");
        assert_eq!(text, Inline::new("ftp"));
    }
}

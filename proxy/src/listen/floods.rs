//! Floods of HTTP/2 frames: which kind h2 ended a connection for, and one kind that it does not.
//!
//! h2 bounds what a peer can cost by resets, by CONTINUATION, by empty frames and by large headers, and
//! ends a connection that goes beyond. SETTINGS it answers for as long as they come. So they are counted
//! on the way to it: a peer has a handful of them to say, and not more than one for each request.

use std::{error::Error, io::IoSlice};

use crate::pipeline::Flood;

/// How many SETTINGS a connection may have beyond one for each request.
const SETTINGS_MOST: u32 = 1000;

/// What comes before the first frame, of HTTP/2 with prior knowledge.
const PREFACE: usize = 24;

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;

/// The frames of a connection as they come, in whatever pieces.
#[derive(Debug)]
pub(super) struct Frames {
    /// What is left of the preface, or of the payload of a frame.
    skip: usize,
    /// As much as is there of the next frame's head.
    head: [u8; 9],
    filled: usize,
    requests: u32,
    settings: u32,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            skip: PREFACE,
            head: [0; 9],
            filled: 0,
            requests: 0,
            settings: 0,
        }
    }
}

impl Frames {
    /// Reads on, and says whether there were too many of some kind.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Option<Flood> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = bytes.len().min(self.head.len() - self.filled);
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == self.head.len() {
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                match kind {
                    HEADERS => self.requests = self.requests.saturating_add(1),
                    SETTINGS if flags & ACK == 0 => self.settings = self.settings.saturating_add(1),
                    _ => {}
                }
            }
        }
        let most = SETTINGS_MOST.saturating_add(self.requests);
        (self.settings > most).then_some(Flood::Settings)
    }
}

/// Whether h2 ended a connection because of a flood; of what kind it says to the peer alone.
pub(super) fn is_one(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_ours = error.is_library() && error.is_go_away();
            return is_ours && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
        }
        source = error.source();
    }
    false
}

/// The kind of flood that h2 ends a connection for, if what is written ends in that.
pub(super) fn said(bytes: &[IoSlice<'_>]) -> Option<Flood> {
    const KINDS: [(&[u8], Flood); 4] = [
        (b"too_many_resets", Flood::Reset),
        (b"too_many_internal_resets", Flood::StreamError),
        (b"too_many_continuations", Flood::Continuation),
        (b"too_many_data_frames", Flood::Data),
    ];
    // All of them end in this, and hardly anything else does.
    let last = bytes.last().filter(|last| last.last() == Some(&b's'))?;
    let known = KINDS.into_iter().find(|(name, _)| last.ends_with(name))?;
    Some(known.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 0];
        frame.extend(std::iter::repeat_n(SETTINGS, length.into()));
        frame
    }

    #[test]
    fn settings_are_counted_in_whatever_pieces_they_come() {
        let most = SETTINGS_MOST as usize;
        let mut flood = vec![b'P'; PREFACE];
        flood.extend(frame(0, 0, 200));
        flood.extend(frame(SETTINGS, ACK, 0).repeat(2 * most));
        flood.extend(frame(SETTINGS, 0, 6).repeat(most));
        for size in [1, 7, 4096] {
            let mut frames = Frames::default();
            let mut pieces = flood.chunks(size);
            assert!(pieces.all(|piece| frames.read(piece).is_none()), "{size}");
            assert_eq!(frames.read(&frame(HEADERS, 0, 5)), None);
            assert_eq!(frames.read(&frame(SETTINGS, 0, 0)), None, "one a request");
            assert_eq!(frames.read(&frame(SETTINGS, 0, 0)), Some(Flood::Settings));
        }
    }

    #[test]
    fn a_flood_is_named_by_what_h2_says() {
        let said = |text: &'static [u8]| said(&[IoSlice::new(b"x"), IoSlice::new(text)]);
        assert_eq!(said(b"\0\0\0\x0btoo_many_resets"), Some(Flood::Reset));
        assert_eq!(said(b"too_many_internal_resets"), Some(Flood::StreamError));
        assert_eq!(said(b"too_many_resets?"), None);
        assert_eq!(said(b"resets"), None);
    }
}

//! Whether an HTTP/2 server takes tunnels, which its first frame says.
//!
//! RFC 9113 section 3.4: that frame is SETTINGS. RFC 8441 section 3: a client may send an extended
//! CONNECT where `SETTINGS_ENABLE_CONNECT_PROTOCOL` is 1 in it. hyper knows, and does not tell whoever
//! sends; so it is read as it passes.

/// What a frame has before its payload.
const HEAD: usize = 9;

/// The longest payload that is looked at: a server has a handful of settings, of six bytes each.
const MAX_PAYLOAD: usize = 6 * 64;

const SETTINGS: u8 = 4;
const ENABLE_CONNECT_PROTOCOL: [u8; 6] = [0, 8, 0, 0, 0, 1];

/// The first frame, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Settings(Vec<u8>);

impl Settings {
    /// Adds what came; the answer, once it is there.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<bool> {
        let room = (HEAD + MAX_PAYLOAD).saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let (head, payload) = self.0.split_at_checked(HEAD)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if head[3] != SETTINGS || length > MAX_PAYLOAD {
            return Some(false);
        }
        let payload = payload.get(..length)?;
        Some(
            payload
                .chunks(6)
                .any(|pair| pair == ENABLE_CONNECT_PROTOCOL),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_tells() {
        let frame = |pairs: &[[u8; 6]]| {
            let length = u8::try_from(pairs.len() * 6).unwrap();
            [&[0, 0, length, 4, 0, 0, 0, 0, 0][..], &pairs.concat()].concat()
        };
        let other = [0, 3, 0, 0, 0, 100];
        for (pairs, expected) in [
            (&[][..], false),
            (&[other], false),
            (&[other, ENABLE_CONNECT_PROTOCOL], true),
            (&[[0, 8, 0, 0, 0, 0]], false),
        ] {
            let frame = frame(pairs);
            assert_eq!(Settings::default().read(&frame), Some(expected));
            let mut settings = Settings::default();
            let mut said = None;
            for byte in &frame {
                assert_eq!(said, None);
                said = settings.read(&[*byte]);
            }
            assert_eq!(said, Some(expected), "byte by byte");
        }
        assert_eq!(Settings::default().read(b"HTTP/1.1 400 Bad"), Some(false));
    }
}

//! Records of TLS, told apart in bytes that come in any pieces.
//!
//! RFC 8446 section 5.1: a type, a version that says nothing any more, a length, and as many bytes.

/// The longest payload: of TLS 1.2, which allows what it calls ciphertext the most.
const MAX_PAYLOAD: usize = (1 << 14) + 2048;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    ChangeCipherSpec,
    Alert,
    Handshake,
    ApplicationData,
    Heartbeat,
}

impl Content {
    fn of(number: u8) -> Option<Self> {
        Some(match number {
            20 => Self::ChangeCipherSpec,
            21 => Self::Alert,
            22 => Self::Handshake,
            23 => Self::ApplicationData,
            24 => Self::Heartbeat,
            _ => return None,
        })
    }
}

/// What comes next in a stream of records.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'b> {
    /// A record begins.
    Record(Content),
    /// Some of its payload.
    Payload(Content, &'b [u8]),
}

/// No record begins like this.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotTls;

/// One direction of a stream.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: [u8; 5],
    had: usize,
    /// The record that is being read, and what is still to come of its payload.
    running: Option<(Content, usize)>,
}

impl Records {
    /// Takes what is next from the front of `bytes`; `None` where they are used up.
    pub(super) fn next<'b>(&mut self, bytes: &mut &'b [u8]) -> Result<Option<Piece<'b>>, NotTls> {
        if let Some((content, left)) = &mut self.running {
            if *left > 0 {
                if bytes.is_empty() {
                    return Ok(None);
                }
                let (payload, rest) = bytes.split_at(bytes.len().min(*left));
                *left -= payload.len();
                *bytes = rest;
                return Ok(Some(Piece::Payload(*content, payload)));
            }
            self.running = None;
        }
        let (more, rest) = bytes.split_at(bytes.len().min(self.header.len() - self.had));
        self.header[self.had..][..more.len()].copy_from_slice(more);
        self.had += more.len();
        *bytes = rest;
        // What is wrong is known as soon as it is there: others may wait for an answer after two bytes.
        let content = Content::of(self.header[0]).filter(|_| self.had < 2 || self.header[1] == 3);
        if self.had == 0 {
            return Ok(None);
        }
        let content = content.ok_or(NotTls)?;
        if self.had < self.header.len() {
            return Ok(None);
        }
        let length = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
        if length > MAX_PAYLOAD {
            return Err(NotTls);
        }
        self.had = 0;
        self.running = Some((content, length));
        Ok(Some(Piece::Record(content)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(records: &mut Records, mut bytes: &[u8]) -> Result<Vec<String>, NotTls> {
        let mut all = Vec::new();
        while let Some(piece) = records.next(&mut bytes)? {
            all.push(match piece {
                Piece::Record(content) => format!("{content:?}"),
                Piece::Payload(_, payload) => format!("{payload:?}"),
            });
        }
        Ok(all)
    }

    #[test]
    fn records_are_told_apart_however_they_come() {
        let stream = [22, 3, 1, 0, 3, 7, 8, 9, 20, 3, 3, 0, 0, 23, 3, 3, 0, 1, 5];
        let expected = [
            "Handshake",
            "[7, 8, 9]",
            "ChangeCipherSpec",
            "ApplicationData",
            "[5]",
        ];
        assert_eq!(pieces(&mut Records::default(), &stream).unwrap(), expected);
        let mut records = Records::default();
        let singly = stream
            .iter()
            .flat_map(|byte| pieces(&mut records, &[*byte]).unwrap());
        let expected = [
            "Handshake",
            "[7]",
            "[8]",
            "[9]",
            "ChangeCipherSpec",
            "ApplicationData",
            "[5]",
        ];
        assert_eq!(singly.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_record_is_known_at_its_first_bytes() {
        for bytes in [
            &b"G"[..],
            b"\x16\x02",
            b"SSH-2.0",
            b"\x16\x03\x01\xff\xff",
            b"\x19",
        ] {
            assert_eq!(
                pieces(&mut Records::default(), bytes),
                Err(NotTls),
                "{bytes:?}"
            );
        }
        assert_eq!(pieces(&mut Records::default(), b""), Ok(vec![]));
    }
}

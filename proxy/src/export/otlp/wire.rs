//! Protobuf on the wire: as much of it as OTLP needs, written and read without structs between.
//!
//! A message is a run of fields, each a tag (field number and wire type) and a value. That of a
//! nested message is its length and its bytes; the length is known only afterwards, so that one byte
//! is kept free for it and the rest moves up in the rare case that it needs more.
//! <https://protobuf.dev/programming-guides/encoding/>

/// Writes fields to the end of a buffer.
#[derive(Debug)]
pub(super) struct Writer<'b>(pub(super) &'b mut Vec<u8>);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LEN: u32 = 2;
const FIXED32: u32 = 5;

impl Writer<'_> {
    /// An integer of any kind but `sint`; negative ones are given as two's complement.
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        put_varint(self.0, value);
    }

    /// A `fixed64`.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A `fixed32`.
    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `bytes` or a `string`.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.tag(field, LEN);
        put_varint(self.0, value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A nested message, which `write` writes the fields of.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Writer<'_>)) {
        self.tag(field, LEN);
        let length_at = self.0.len();
        self.0.push(0);
        write(&mut Writer(self.0));
        let length = self.0.len() - length_at - 1;
        if length < 0x80 {
            self.0[length_at] = length as u8;
        } else {
            let mut prefix = Vec::with_capacity(10);
            put_varint(&mut prefix, length as u64);
            self.0.splice(length_at..=length_at, prefix);
        }
    }

    /// The tag and length of a nested message whose `length` bytes are written next.
    pub(super) fn header(&mut self, field: u32, length: usize) {
        self.tag(field, LEN);
        put_varint(self.0, length as u64);
    }

    fn tag(&mut self, field: u32, wire_type: u32) {
        put_varint(self.0, u64::from((field << 3) | wire_type));
    }
}

/// A few fields without text, put together before they are written at once.
#[derive(Debug, Default)]
pub(super) struct Head {
    bytes: [u8; 32],
    len: usize,
}

impl Head {
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        self.put(u64::from((field << 3) | VARINT));
        self.put(value);
    }

    pub(super) fn double(&mut self, field: u32, value: f64) {
        self.put(u64::from((field << 3) | FIXED64));
        self.extend(&value.to_le_bytes());
    }

    /// The tag and length of text or of a message, `length` bytes of which come next.
    pub(super) fn header(&mut self, field: u32, length: usize) {
        self.put(u64::from((field << 3) | LEN));
        self.put(length as u64);
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn put(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes[self.len] = value as u8 | 0x80;
            self.len += 1;
            value >>= 7;
        }
        self.bytes[self.len] = value as u8;
        self.len += 1;
    }
}

/// The tag of text or of a message in one of the first fifteen fields, which is one byte.
pub(super) fn short_tag(field: u32) -> u8 {
    debug_assert!(field < 0x10, "{field}");
    (field << 3 | LEN) as u8
}

/// How many bytes [`Writer::header`] writes.
pub(super) fn header_len(field: u32, length: usize) -> usize {
    varint_len(u64::from((field << 3) | LEN)) + varint_len(length as u64)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: u64) -> usize {
    // Seven bits a byte, and zero takes one.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// One field of a message that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'m> {
    /// A varint.
    Varint(u64),
    /// Bytes, a string or a message.
    Bytes(&'m [u8]),
    /// A number of fixed width, which nothing that is read here uses.
    Fixed,
}

/// Reads the fields of a message; ends where they end or stop making sense.
#[derive(Debug)]
pub(super) struct Reader<'m>(pub(super) &'m [u8]);

impl<'m> Iterator for Reader<'m> {
    type Item = (u32, Field<'m>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3).ok()?;
        let value = match (tag & 7) as u32 {
            VARINT => Field::Varint(self.varint()?),
            FIXED64 => self.take(8).map(|_| Field::Fixed)?,
            FIXED32 => self.take(4).map(|_| Field::Fixed)?,
            LEN => {
                let length = usize::try_from(self.varint()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            _ => return None,
        };
        Some((field, value))
    }
}

impl<'m> Reader<'m> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (i, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'m [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number: u64, text: Vec<u8>, depth in 0u32..4) {
            fn nest(w: &mut Writer<'_>, depth: u32, number: u64, text: &[u8]) {
                if depth > 0 {
                    w.message(depth, |w| nest(w, depth - 1, number, text));
                } else {
                    w.varint(5, number);
                    w.fixed64(16, number);
                    w.bytes(6, text);
                }
            }
            let mut out = Vec::new();
            nest(&mut Writer(&mut out), depth, number, &text);
            let mut message = &out[..];
            for level in (1..=depth).rev() {
                let mut fields = Reader(message);
                let Some((field, Field::Bytes(inner))) = fields.next() else { panic!("no message") };
                prop_assert_eq!(field, level);
                prop_assert_eq!(fields.next(), None);
                prop_assert_eq!(message.len(), header_len(field, inner.len()) + inner.len());
                message = inner;
            }
            let fields: Vec<_> = Reader(message).collect();
            let expected = [(5, Field::Varint(number)), (16, Field::Fixed), (6, Field::Bytes(&text))];
            prop_assert_eq!(fields, expected);
        }

        #[test]
        fn reading_nonsense_ends(bytes: Vec<u8>) {
            prop_assert!(Reader(&bytes).count() <= bytes.len());
        }
    }
}

//! Trace and span ids: sixteen and eight bytes, never all zero.
//!
//! An id is made from a given time and given randomness, so that this module reads neither. A trace
//! that we start has an *epoch-prefixed* id: its first four bytes are the second it began in and the
//! other twelve are random. That is a legal W3C id (its last seven bytes are random, as the level 2
//! `random` flag promises), a legal X-Ray id for every collector, and it sorts by time.

use std::fmt;

/// The id of a whole trace.
///
/// ```
/// use throughline::id::TraceId;
///
/// let id = TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
/// assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(id.xray().to_string(), "1-4bf92f35-77b34da6a3ce929d0e0e4736");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// An id that begins with `epoch_seconds` and goes on with the low 96 bits of `random`.
    #[must_use]
    pub fn epoch_prefixed(epoch_seconds: u32, random: u128) -> Self {
        // A random part of zero is as likely as any other, and would be legal behind the epoch; the
        // last bit is set only when everything is zero, which no real clock can bring about.
        let value = (u128::from(epoch_seconds) << 96) | (random & (u128::MAX >> 32));
        Self(value.max(1).to_be_bytes())
    }

    /// An id of these bytes, or `None` when all of them are zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// An id from exactly 32 hexadecimal digits of either case, or `None`.
    #[must_use]
    pub fn from_hex(hex: impl AsRef<[u8]>) -> Option<Self> {
        parse_hex(hex.as_ref()).and_then(Self::from_bytes)
    }

    /// An id from one to 32 hexadecimal digits of either case, with zeros in front for those that are
    /// not there; or `None`.
    ///
    /// Formats that are older than ids of sixteen bytes write eight of them, or leave out zeros.
    #[must_use]
    pub fn from_short_hex(hex: impl AsRef<[u8]>) -> Option<Self> {
        padded::<32>(hex.as_ref()).and_then(Self::from_hex)
    }

    /// An id of these two halves, or `None` when both are zero.
    #[must_use]
    pub fn from_halves(high: u64, low: u64) -> Option<Self> {
        Self::from_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
    }

    /// The first and the last eight bytes. The first are zero in an id of eight bytes.
    #[must_use]
    pub fn halves(self) -> (u64, u64) {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.0;
        (
            u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            u64::from_be_bytes([i, j, k, l, m, n, o, p]),
        )
    }

    /// Whether `other` names the same trace, also where one of them was cut to its last eight bytes.
    #[must_use]
    pub fn is_same_trace(self, other: Self) -> bool {
        let ((high, low), (other_high, other_low)) = (self.halves(), other.halves());
        low == other_low && (high == other_high || high == 0 || other_high == 0)
    }

    /// The sixteen bytes, most significant first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// The 32 lower-case hexadecimal digits, without an allocation.
    #[must_use]
    pub fn to_hex(self) -> [u8; 32] {
        let mut out = [0; 32];
        write_hex(&self.0, &mut out);
        out
    }

    /// The same id as AWS X-Ray spells it: `1-` epoch `-` rest.
    #[must_use]
    pub fn xray(self) -> XRay {
        XRay(self)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ascii(&self.to_hex()))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A [`TraceId`] in the spelling of AWS X-Ray, for display.
#[derive(Clone, Copy, Debug)]
pub struct XRay(TraceId);

impl fmt::Display for XRay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = self.0.to_hex();
        write!(f, "1-{}-{}", ascii(&hex[..8]), ascii(&hex[8..]))
    }
}

/// The id of one span.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// An id of these random bits; zero, which is no id, becomes one.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        Self(random.max(1).to_be_bytes())
    }

    /// An id of these bytes, or `None` when all of them are zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// An id from exactly 16 hexadecimal digits of either case, or `None`.
    #[must_use]
    pub fn from_hex(hex: impl AsRef<[u8]>) -> Option<Self> {
        parse_hex(hex.as_ref()).and_then(Self::from_bytes)
    }

    /// An id from one to 16 hexadecimal digits of either case, with zeros in front for those that are
    /// not there; or `None`.
    #[must_use]
    pub fn from_short_hex(hex: impl AsRef<[u8]>) -> Option<Self> {
        padded::<16>(hex.as_ref()).and_then(Self::from_hex)
    }

    /// The eight bytes, most significant first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// The 16 lower-case hexadecimal digits, without an allocation.
    #[must_use]
    pub fn to_hex(self) -> [u8; 16] {
        let mut out = [0; 16];
        write_hex(&self.0, &mut out);
        out
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ascii(&self.to_hex()))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Exactly `2 * N` hexadecimal digits as `N` bytes.
fn parse_hex<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    if hex.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(out)
}

/// One to `N` digits, with zeros in front.
fn padded<const N: usize>(hex: &[u8]) -> Option<[u8; N]> {
    let zeros = N.checked_sub(hex.len()).filter(|zeros| *zeros < N)?;
    let mut out = [b'0'; N];
    out[zeros..].copy_from_slice(hex);
    Some(out)
}

fn digit(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

fn write_hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn ascii(hex: &[u8]) -> &str {
    std::str::from_utf8(hex).expect("hexadecimal digits are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn trace_ids_survive_hex(bytes: [u8; 16]) {
            let id = TraceId::from_bytes(bytes);
            prop_assert_eq!(id.and_then(|id| TraceId::from_hex(id.to_hex())), id);
        }

        #[test]
        fn span_ids_survive_hex(bytes: [u8; 8]) {
            let id = SpanId::from_bytes(bytes);
            prop_assert_eq!(id.and_then(|id| SpanId::from_hex(id.to_hex())), id);
        }
    }

    #[test]
    fn zero_is_no_id() {
        assert_eq!(TraceId::from_hex("0".repeat(32)), None);
        assert_eq!(SpanId::from_hex("0".repeat(16)), None);
        assert_eq!(SpanId::from_random(0).to_string(), "0000000000000001");
    }

    #[test]
    fn malformed_hex_is_no_id() {
        for bad in [
            "",
            "12",
            "g234567890abcdef",
            "1234567890abcde",
            "1234567890abcdef0",
        ] {
            assert_eq!(SpanId::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn short_ids_have_zeros_in_front() {
        let id = TraceId::from_short_hex("f067AA0BA902B7").unwrap();
        assert_eq!(id.to_string(), "000000000000000000f067aa0ba902b7");
        assert_eq!(id.halves(), (0, 0x00f0_67aa_0ba9_02b7));
        assert_eq!(TraceId::from_halves(0, 0x00f0_67aa_0ba9_02b7), Some(id));
        assert_eq!(SpanId::from_short_hex("7").unwrap().to_bytes()[7], 7);
        for bad in ["", "0", "x", "11112222333344445"] {
            assert_eq!(SpanId::from_short_hex(bad), None, "{bad}");
        }
        assert_eq!(TraceId::from_short_hex("1".repeat(33)), None);
    }

    #[test]
    fn an_id_that_was_cut_in_half_names_the_same_trace() {
        let [whole, half, other] = [
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "a3ce929d0e0e4736",
            "5bf92f3577b34da6a3ce929d0e0e4736",
        ]
        .map(|hex| TraceId::from_short_hex(hex).unwrap());
        assert!(whole.is_same_trace(half) && half.is_same_trace(whole));
        assert!(!whole.is_same_trace(other));
    }

    #[test]
    fn epoch_comes_first() {
        let id = TraceId::epoch_prefixed(0x6721_a5f0, u128::MAX);
        assert_eq!(id.to_string(), "6721a5f0ffffffffffffffffffffffff");
        assert_eq!(id.xray().to_string(), "1-6721a5f0-ffffffffffffffffffffffff");
    }
}

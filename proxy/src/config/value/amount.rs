//! How long, how large, how many: a number with its unit.

use std::time::Duration;

use super::{Bad, Scalar};

/// A time that something may take: more than nothing, and at most a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeout(pub(crate) Duration);

impl Scalar for Timeout {
    fn from_text(text: &str) -> Result<Self, Bad> {
        let duration = duration(text)?;
        if duration.is_zero() {
            return Err(Bad::new("it must be longer than nothing"));
        }
        Ok(Self(duration))
    }

    fn to_text(&self) -> String {
        show_duration(self.0)
    }
}

/// How sure something has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Confidence(pub(crate) f32);

impl Scalar for Confidence {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text.parse() {
            // Below a half another may be likelier.
            Ok(confidence) if (0.5..=1.0).contains(&confidence) => Ok(Self(confidence)),
            _ => Err(Bad::new(
                "a confidence is a number from 0.5 to 1, as in 0.9",
            )),
        }
    }

    fn to_text(&self) -> String {
        self.0.to_string()
    }
}

/// A time that may also be nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause(pub(crate) Duration);

impl Scalar for Pause {
    fn from_text(text: &str) -> Result<Self, Bad> {
        duration(text).map(Self)
    }

    fn to_text(&self) -> String {
        show_duration(self.0)
    }
}

/// Units of time and their milliseconds, the largest first.
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// A day: nothing here is meant to wait longer, and no sum with it can overflow a clock.
const LONGEST: u64 = 24 * 3_600_000;

fn duration(text: &str) -> Result<Duration, Bad> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = match number.parse() {
        Ok(number) => number,
        Err(_) => {
            return Err(Bad::new(
                "a time is a whole number and a unit, as in 250ms, 10s or 1m",
            ));
        }
    };
    let unit = unit.trim();
    let factor = match TIME_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() && number == 0 => 1,
        None if unit.is_empty() => {
            return Err(Bad::new(format!(
                "a time needs a unit, as in {number}ms, {number}s or {number}m"
            )));
        }
        None => return Err(Bad::new("the units of time are ms, s, m and h")),
    };
    match number.checked_mul(factor) {
        Some(millis) if millis <= LONGEST => Ok(Duration::from_millis(millis)),
        _ => Err(Bad::new("it must be at most 24h")),
    }
}

fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (unit, factor) = TIME_UNITS
        .into_iter()
        .find(|(_, factor)| millis.is_multiple_of(*factor))
        .expect("one divides everything");
    format!("{}{unit}", millis / factor)
}

/// A number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count<const LEAST: u32, const MOST: u32>(pub(crate) u32);

impl<const LEAST: u32, const MOST: u32> Scalar for Count<LEAST, MOST> {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text.parse() {
            Ok(number) if (LEAST..=MOST).contains(&number) => Ok(Self(number)),
            _ => Err(Bad::new(format!(
                "a whole number from {LEAST} to {MOST} is expected"
            ))),
        }
    }

    fn to_text(&self) -> String {
        self.0.to_string()
    }
}

impl<const LEAST: u32, const MOST: u32> Count<LEAST, MOST> {
    /// The number as a size.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).expect("32 bits fit on every machine that this is built for")
    }
}

/// How many bytes, from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes<const LEAST: u32, const MOST: u32>(pub(crate) u32);

/// Units of size, the largest first.
const SIZE_UNITS: [(&str, u32); 3] = [("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl<const LEAST: u32, const MOST: u32> Bytes<LEAST, MOST> {
    /// The number as a size.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).expect("32 bits fit on every machine that this is built for")
    }
}

impl<const LEAST: u32, const MOST: u32> Scalar for Bytes<LEAST, MOST> {
    fn from_text(text: &str) -> Result<Self, Bad> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let factor = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor);
        let factor = if unit.is_empty() { Some(1) } else { factor };
        let (Ok(number), Some(factor)) = (number.parse::<u32>(), factor) else {
            return Err(Bad::new(
                "a size is a whole number and B, KiB or MiB, as in 64KiB",
            ));
        };
        match number.checked_mul(factor) {
            Some(bytes) if (LEAST..=MOST).contains(&bytes) => Ok(Self(bytes)),
            _ => Err(Bad::new(format!(
                "it must be from {} to {}",
                show_size(LEAST),
                show_size(MOST)
            ))),
        }
    }

    fn to_text(&self) -> String {
        show_size(self.0)
    }
}

fn show_size(bytes: u32) -> String {
    let (unit, factor) = SIZE_UNITS
        .into_iter()
        .find(|(_, factor)| bytes.is_multiple_of(*factor))
        .expect("one divides everything");
    format!("{}{unit}", bytes / factor)
}

/// How many threads; `None` is as many as the machine suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workers(pub(crate) Option<u32>);

impl Scalar for Workers {
    fn from_text(text: &str) -> Result<Self, Bad> {
        if text == "auto" {
            return Ok(Self(None));
        }
        match Count::<1, 256>::from_text(text) {
            Ok(count) => Ok(Self(Some(count.0))),
            Err(bad) => Err(Bad::new(format!("{}, or auto", bad.why))),
        }
    }

    fn to_text(&self) -> String {
        self.0.map_or_else(|| "auto".to_owned(), |n| n.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{OrOff, tests::check},
        *,
    };

    #[test]
    fn times_have_units() {
        check::<Timeout>(&[
            ("250ms", Ok("250ms")),
            ("10s", Ok("10s")),
            ("1500ms", Ok("1500ms")),
            ("60s", Ok("1m")),
            ("90m", Ok("90m")),
            ("2 h", Ok("2h")),
            ("24h", Ok("24h")),
            ("25h", Err("at most 24h")),
            ("99999999999999999h", Err("at most 24h")),
            ("10", Err("as in 10ms, 10s or 10m")),
            ("0s", Err("longer than nothing")),
            ("-1s", Err("whole number")),
            ("1.5s", Err("units of time")),
            ("1w", Err("ms, s, m and h")),
            ("", Err("as in 250ms")),
        ]);
        check::<Pause>(&[("0", Ok("0s")), ("0s", Ok("0s"))]);
        check::<OrOff<Timeout>>(&[("off", Ok("off")), ("1s", Ok("1s")), ("x", Err("or off"))]);
    }

    #[test]
    fn sizes_have_units() {
        check::<Bytes<1, 65536>>(&[
            ("4096", Ok("4KiB")),
            ("0", Err("from 1B to 64KiB")),
            ("65KiB", Err("from 1B to 64KiB")),
        ]);
        check::<Bytes<8192, 16_777_216>>(&[
            ("64KiB", Ok("64KiB")),
            ("65536", Ok("64KiB")),
            ("1 MiB", Ok("1MiB")),
            ("9000B", Ok("9000B")),
            ("1KiB", Err("from 8KiB to 16MiB")),
            ("4000000KiB", Err("from 8KiB to 16MiB")),
            ("5000000KiB", Err("from 8KiB to 16MiB")),
            ("64kb", Err("as in 64KiB")),
            ("", Err("as in 64KiB")),
        ]);
    }
}

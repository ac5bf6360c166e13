//! Numbers as people read them, with their units after a no-break space.

/// A duration of so many nanoseconds, in the unit that suits it.
pub(super) fn time(nanos: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
    let nanos = nanos as f64;
    match nanos {
        ..1e3 => format!("{nanos}\u{a0}ns"),
        ..999_500.0 => format!("{:.0}\u{a0}µs", nanos / 1e3),
        ..999.95e6 => format!("{:.1}\u{a0}ms", nanos / 1e6),
        _ => format!("{:.2}\u{a0}s", nanos / 1e9),
    }
}

/// So many nanoseconds in milliseconds, with as many decimals as it has.
pub(super) fn plain_millis(nanos: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "round numbers")]
    let millis = nanos as f64 / 1e6;
    format!("{millis}")
}

/// A number with its digits in groups, which is how long ones can be compared.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// `part` of `whole` in whole percent. What is there is never 0 %, and what is missing never 100 %.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let share = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    match share {
        0 if part > 0 => "<1\u{a0}%".to_owned(),
        share => {
            let half_up = part.saturating_mul(200).saturating_add(whole) / whole.max(1) / 2;
            let rounded = if part < whole { half_up.min(99) } else { share };
            format!("{rounded}\u{a0}%")
        }
    }
}

/// So many of a thing, in the singular or with an `s`.
pub(super) fn count(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_the_unit_that_suits_it() {
        for (nanos, expected) in [
            (0, "0\u{a0}ns"),
            (999, "999\u{a0}ns"),
            (41_700, "42\u{a0}µs"),
            (999_600, "1.0\u{a0}ms"),
            (97_940_000, "97.9\u{a0}ms"),
            (999_960_000, "1.00\u{a0}s"),
        ] {
            assert_eq!(time(nanos), expected);
        }
    }

    #[test]
    fn what_is_there_is_not_nothing_and_what_is_missing_is_seen() {
        for (part, whole, expected) in [
            (0, 10, "0\u{a0}%"),
            (1, 1000, "<1\u{a0}%"),
            (999, 1000, "99\u{a0}%"),
            (1000, 1000, "100\u{a0}%"),
            (2, 3, "67\u{a0}%"),
            (0, 0, "0\u{a0}%"),
        ] {
            assert_eq!(percent(part, whole), expected, "{part} of {whole}");
        }
    }

    #[test]
    fn long_numbers_are_grouped_and_things_counted() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(61_203_114), "61 203 114");
        assert_eq!(count(1_u64, "hop"), "1 hop");
        assert_eq!(count(0_u64, "hop"), "0 hops");
    }
}

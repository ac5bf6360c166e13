//! The head decision: is this trace recorded?

use std::{fmt, str::FromStr};

use crate::id::TraceId;

/// Decides for a request whether its trace is recorded.
///
/// The names and meanings are those of `OTEL_TRACES_SAMPLER`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether the caller's decision, where there is one, is kept.
    parent_based: bool,
    /// The traces of ours that are recorded: those whose last seven bytes are below this.
    threshold: u64,
}

/// One above the largest number in the seven bytes of a trace id that are random.
const RANGE: u64 = 1 << 56;

impl Sampler {
    /// Records everything that no caller decided against: `parentbased_always_on`.
    #[must_use]
    pub fn parent_based() -> Self {
        Self {
            parent_based: true,
            threshold: RANGE,
        }
    }

    /// Records this share of the traces that begin here, the same ones in every service.
    #[must_use]
    pub fn ratio(self, ratio: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "clamped to 0..=2^56, and 53 bits are plenty for a ratio"
        )]
        let threshold = (ratio.clamp(0.0, 1.0) * RANGE as f64) as u64;
        Self { threshold, ..self }
    }

    /// Decides for a trace, given what the caller decided. Step 3 of the way of a request.
    #[must_use]
    pub fn decide(&self, caller: Option<bool>, trace_id: TraceId) -> bool {
        match caller {
            Some(decision) if self.parent_based => decision,
            _ => random_part(trace_id) < self.threshold,
        }
    }

    /// The sampler that `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` ask for.
    ///
    /// # Errors
    ///
    /// When the name stands for no sampler, or the argument is not a ratio in `0..=1`.
    pub fn from_otel(name: &str, arg: Option<&str>) -> Result<Self, InvalidSampler> {
        let ratio = || match arg {
            None => Ok(1.0),
            Some(arg) => match arg.trim().parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
                _ => Err(InvalidSampler(format!(
                    "{arg:?} is not a ratio between 0 and 1"
                ))),
            },
        };
        let (parent_based, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, name),
        };
        let ratio = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => ratio()?,
            _ => return Err(InvalidSampler(format!("no sampler is called {name:?}"))),
        };
        Ok(Self {
            parent_based,
            ..Self::parent_based().ratio(ratio)
        })
    }
}

impl Default for Sampler {
    fn default() -> Self {
        Self::parent_based()
    }
}

impl FromStr for Sampler {
    type Err = InvalidSampler;

    /// `name` or `name=argument`, as in `parentbased_traceidratio=0.1`.
    fn from_str(text: &str) -> Result<Self, InvalidSampler> {
        match text.split_once('=') {
            Some((name, arg)) => Self::from_otel(name, Some(arg)),
            None => Self::from_otel(text, None),
        }
    }
}

/// A sampler that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSampler(String);

impl fmt::Display for InvalidSampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; samplers are always_on, always_off, traceidratio, each also with parentbased_ in front",
            self.0
        )
    }
}

impl std::error::Error for InvalidSampler {}

fn random_part(trace_id: TraceId) -> u64 {
    let bytes = trace_id.to_bytes();
    let mut low = [0; 8];
    low[1..].copy_from_slice(&bytes[9..]);
    u64::from_be_bytes(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(sampler: Sampler, caller: Option<bool>) -> usize {
        (0..1000u128)
            .map(|i| TraceId::epoch_prefixed(1, i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060)))
            .filter(|id| sampler.decide(caller, *id))
            .count()
    }

    #[test]
    fn names_of_the_specification() {
        for (text, rootless, under_yes, under_no) in [
            ("always_on", 1000, 1000, 1000),
            ("always_off", 0, 0, 0),
            ("parentbased_always_on", 1000, 1000, 0),
            ("parentbased_always_off", 0, 1000, 0),
            ("traceidratio=1", 1000, 1000, 1000),
            ("parentbased_traceidratio=0", 0, 1000, 0),
        ] {
            let sampler: Sampler = text.parse().expect(text);
            assert_eq!(share(sampler, None), rootless, "{text}");
            assert_eq!(share(sampler, Some(true)), under_yes, "{text}");
            assert_eq!(share(sampler, Some(false)), under_no, "{text}");
        }
    }

    #[test]
    fn a_ratio_is_about_that_share() {
        let got = share("traceidratio=0.25".parse().unwrap(), None);
        assert!((200..300).contains(&got), "{got}");
    }

    #[test]
    fn bad_samplers_say_what_is_known() {
        for text in [
            "sometimes",
            "traceidratio=2",
            "traceidratio=x",
            "parentbased_",
        ] {
            let error = text.parse::<Sampler>().unwrap_err().to_string();
            assert!(error.contains("always_on"), "{error}");
        }
    }
}

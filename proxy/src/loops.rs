//! Requests that come back by way of another sidecar.
//!
//! A call whose connection leads to a port of our own is refused when it is dialled. One that goes
//! through a second sidecar and comes back from there is not so easily seen: nothing of it tells. So
//! calls are marked, in a field that the next sidecar takes off, but only where a loop shows itself: it
//! piles up calls to one upstream, on this very host, that all wait for each other. What the mark says is
//! which sidecars a call has left one after another, without an app between; to find oneself there is to
//! be in a loop.

use http::{HeaderMap, HeaderName, HeaderValue};
use throughline::ambient;

/// The field. It belongs to one hop, and is removed like those of the connection.
pub(crate) static PASSED: HeaderName = HeaderName::from_static("throughline-passed");

/// How many calls to an upstream have to be open before more are marked.
pub(crate) const CROWD: usize = 4;

/// No chain of sidecars is as long.
const MOST: usize = 1024;

/// The name of one sidecar, for as long as it runs.
#[derive(Clone, Debug)]
pub(crate) struct Mark(HeaderValue);

/// Where a call was before.
#[derive(Clone, Debug)]
pub(crate) struct Passed(HeaderValue);

impl Mark {
    /// A name that nobody else has.
    pub(crate) fn new() -> Self {
        let name = format!("{:016x}", ambient::random());
        Self(HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("0")))
    }

    /// Whether the call was here before.
    pub(crate) fn is_in(&self, passed: &Passed) -> bool {
        let said = passed.0.as_bytes();
        let mut names = said.split(|byte| *byte == b',');
        said.len() > MOST || names.any(|name| name.trim_ascii() == self.0.as_bytes())
    }

    /// Writes that the call was here, after where it was before.
    pub(crate) fn add(&self, passed: Option<&Passed>, headers: &mut HeaderMap) {
        let value = match passed {
            None => Some(self.0.clone()),
            Some(Passed(before)) => {
                let both = [before.as_bytes(), b", ", self.0.as_bytes()].concat();
                HeaderValue::from_bytes(&both).ok()
            }
        };
        if let Some(value) = value {
            headers.insert(&PASSED, value);
        }
    }
}

impl Passed {
    /// Takes it off a call.
    pub(crate) fn take(headers: &mut HeaderMap) -> Option<Self> {
        headers.remove(&PASSED).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_finds_its_own_name_is_in_a_loop() {
        let (first, second) = (Mark::new(), Mark::new());
        let mut headers = HeaderMap::new();
        first.add(None, &mut headers);
        let passed = Passed::take(&mut headers).unwrap();
        assert!(headers.is_empty());
        assert!(first.is_in(&passed) && !second.is_in(&passed));
        second.add(Some(&passed), &mut headers);
        let passed = Passed::take(&mut headers).unwrap();
        assert!(first.is_in(&passed) && second.is_in(&passed));
        assert!(!Mark::new().is_in(&passed));
    }

    #[test]
    fn what_has_no_end_is_a_loop_too() {
        let endless = "x".repeat(MOST + 1);
        let passed = Passed(HeaderValue::try_from(endless).unwrap());
        assert!(Mark::new().is_in(&passed));
    }
}

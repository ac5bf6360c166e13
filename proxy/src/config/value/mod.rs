//! Values as people write them: `10s`, `64KiB`, `3000`, `off`.
//!
//! A value comes as text from a flag or a variable, and from the file also as a list or a mapping;
//! [`Written`] is all three. Every type here has one parser for all of them, so that a value means
//! the same wherever it stands, and the parser's refusal says what would have been right.

mod address;
mod amount;
mod forwarder;
mod pairs;
mod tls;
mod word;

use throughline::{
    propagation::Format,
    trust::{NotANetwork, Trust},
};

pub(crate) use self::{
    address::{App, Endpoint, Hosts, Routes},
    amount::{Bytes, Confidence, Count, Pause, Timeout, Workers},
    forwarder::Forwarders,
    pairs::{Attributes, Headers},
    tls::{HostNames, KeyPairs},
    word::{AccessFormat, AccessTarget, Exporter, FilePath, Level, NamedSampler, Switch, Text},
};

/// A value before it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// Text, in which lists are separated by commas and pairs joined by `=`.
    One(String),
    /// A list of the file, each item as it stands there.
    Many(Vec<String>),
    /// A mapping of the file, in its order.
    Pairs(Vec<(String, String)>),
}

impl Written {
    /// The value in one line, as an error message quotes it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Many(items) => items.join(","),
            Self::Pairs(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
                pairs.join(",")
            }
        }
    }
}

/// What the file may hold for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A scalar.
    One,
    /// A list of scalars, or one scalar with commas.
    List,
    /// A mapping, or one scalar with commas and `=`.
    Pairs,
    /// A list of mappings with `listen` and `upstream`.
    Routes,
    /// A list of mappings with `certificate` and `key`.
    KeyPairs,
}

/// Why a value is refused: what is wrong and what would be right, to stand after "is ...:".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    /// The reason, lower case and without a full stop.
    pub(crate) why: String,
    /// Which item of a list it was.
    pub(crate) item: Option<usize>,
}

impl Bad {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            item: None,
        }
    }
}

/// The type of a setting.
pub(crate) trait Value: Sized {
    /// What the file may hold for it.
    const SHAPE: Shape = Shape::One;
    /// Understands what was written.
    fn parse(written: &Written) -> Result<Self, Bad>;
    /// The value in the spelling that [`Value::parse`] reads, but for secrets.
    fn show(&self) -> String;
}

/// A value that is one word of text; lists of it follow.
pub(crate) trait Scalar: Sized {
    fn from_text(text: &str) -> Result<Self, Bad>;
    fn to_text(&self) -> String;
}

impl<T: Scalar> Value for T {
    fn parse(written: &Written) -> Result<Self, Bad> {
        match written {
            Written::One(text) => T::from_text(text.trim()),
            Written::Many(_) | Written::Pairs(_) => Err(Bad::new("one value is expected here")),
        }
    }

    fn show(&self) -> String {
        self.to_text()
    }
}

/// A value, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrOff<T>(pub(crate) Option<T>);

impl<T: Scalar> Scalar for OrOff<T> {
    fn from_text(text: &str) -> Result<Self, Bad> {
        if text.eq_ignore_ascii_case("off") {
            return Ok(Self(None));
        }
        match T::from_text(text) {
            Ok(value) => Ok(Self(Some(value))),
            Err(bad) => Err(Bad::new(format!("{}, or off", bad.why))),
        }
    }

    fn to_text(&self) -> String {
        match &self.0 {
            Some(value) => value.to_text(),
            None => "off".to_owned(),
        }
    }
}

/// A list of scalars; `none` is the empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl List<Text> {
    /// The texts themselves.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.0.iter().map(|text| text.0.clone()).collect()
    }
}

impl<T: Scalar + PartialEq> Value for List<T> {
    const SHAPE: Shape = Shape::List;

    fn parse(written: &Written) -> Result<Self, Bad> {
        let items = items(written)?;
        if items == ["none"] {
            return Ok(Self(Vec::new()));
        }
        if items.is_empty() {
            return Err(Bad::new("at least one is expected here, or none"));
        }
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let value = T::from_text(item).map_err(|bad| Bad {
                item: Some(index),
                ..bad
            })?;
            if !list.contains(&value) {
                list.push(value);
            }
        }
        Ok(Self(list))
    }

    fn show(&self) -> String {
        if self.0.is_empty() {
            return "none".to_owned();
        }
        let items: Vec<_> = self.0.iter().map(Scalar::to_text).collect();
        items.join(",")
    }
}

/// A list of formats, or `propagators` for what that setting says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrPropagators(pub(crate) Option<Vec<Format>>);

impl Value for OrPropagators {
    const SHAPE: Shape = Shape::List;

    fn parse(written: &Written) -> Result<Self, Bad> {
        if items(written)? == ["propagators"] {
            return Ok(Self(None));
        }
        List::parse(written).map(|list| Self(Some(list.0)))
    }

    fn show(&self) -> String {
        match &self.0 {
            Some(formats) => List(formats.clone()).show(),
            None => "propagators".to_owned(),
        }
    }
}

impl Value for Trust {
    const SHAPE: Shape = Shape::List;

    fn parse(written: &Written) -> Result<Self, Bad> {
        let refused = |error: NotANetwork| Bad::new(error.to_string());
        items(written)?.join(",").parse().map_err(refused)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// The items of a list; empty ones between commas do not count.
fn items(written: &Written) -> Result<Vec<&str>, Bad> {
    Ok(match written {
        Written::One(text) => text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect(),
        Written::Many(items) => items.iter().map(|item| item.trim()).collect(),
        Written::Pairs(_) => return Err(Bad::new("a list is expected here, not a mapping")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn parse<T: Value>(text: &str) -> Result<T, String> {
        T::parse(&Written::One(text.to_owned())).map_err(|bad| bad.why)
    }

    /// Asserts what a text is shown as once it is understood, or what its refusal contains.
    pub(super) fn check<T: Value>(cases: &[(&str, Result<&str, &str>)]) {
        for (text, expected) in cases {
            match (parse::<T>(text), expected) {
                (Ok(value), Ok(expected)) => assert_eq!(value.show(), *expected, "{text:?}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{text:?}: {why}"),
                (Ok(value), Err(_)) => panic!("{text:?} was read as {:?}", value.show()),
                (Err(why), Ok(_)) => panic!("{text:?} was refused: {why}"),
            }
        }
    }

    #[test]
    fn formats_and_trust_are_lists_or_a_word() {
        check::<OrPropagators>(&[
            ("propagators", Ok("propagators")),
            ("b3, xray", Ok("b3,xray")),
            ("none", Ok("none")),
            ("propagators,xray", Err("\"propagators\"; known are")),
        ]);
        check::<Trust>(&[
            ("all", Ok("all")),
            ("none", Ok("none")),
            ("10.0.0.0/8, ::1", Ok("10.0.0.0/8,::1/128")),
            ("10.0.0.0/40", Err("is no network")),
        ]);
    }

    #[test]
    fn lists_keep_their_order_and_drop_repetitions() {
        check::<List<Format>>(&[
            ("xray,tracecontext,xray", Ok("xray,tracecontext")),
            ("none", Ok("none")),
            ("", Err("or none")),
            ("xray,b4", Err("\"b4\"; known are tracecontext")),
        ]);
        let bad = List::<Format>::parse(&Written::One("xray,b4".to_owned())).unwrap_err();
        assert_eq!(bad.item, Some(1));
    }
}

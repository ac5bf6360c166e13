//! `key=value` pairs: headers of an export request and attributes of the service.

use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::{Bad, Scalar, Shape, Value, Written, items};

/// Headers of an export request: checked, lower case, their values never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Value for Headers {
    const SHAPE: Shape = Shape::Pairs;

    fn parse(written: &Written) -> Result<Self, Bad> {
        let mut headers = Vec::new();
        for (index, (name, value)) in pairs(written)?.into_iter().enumerate() {
            let bad = |why: String| Bad {
                why,
                item: Some(index),
            };
            let name = HeaderName::from_text(&name).map_err(|b| bad(b.why))?;
            // The value may be a secret, so that the message does not repeat it.
            HeaderValue::from_str(&value).map_err(|_| {
                bad(format!(
                    "the value of {name} has characters that no header may have"
                ))
            })?;
            headers.push((name.as_str().to_owned(), value));
        }
        Ok(Self(headers))
    }

    fn show(&self) -> String {
        let masked = self.0.iter().map(|(name, _)| format!("{name}=****"));
        masked.collect::<Vec<_>>().join(",")
    }
}

/// What is said about the service on every span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes(pub(crate) Vec<(String, String)>);

impl Value for Attributes {
    const SHAPE: Shape = Shape::Pairs;

    fn parse(written: &Written) -> Result<Self, Bad> {
        pairs(written).map(Self)
    }

    fn show(&self) -> String {
        let pairs = self.0.iter().map(|(key, value)| format!("{key}={value}"));
        pairs.collect::<Vec<_>>().join(",")
    }
}

impl Attributes {
    /// The value of the last attribute of that name, which is the one that counts.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// `key=value` pairs: percent-decoded where they are text, as the OpenTelemetry specification says,
/// and as they are where they are a mapping.
pub(super) fn pairs(written: &Written) -> Result<Vec<(String, String)>, Bad> {
    if let Written::Pairs(pairs) = written {
        return Ok(pairs.clone());
    }
    let mut pairs = Vec::new();
    for (index, item) in items(written)?.into_iter().enumerate() {
        let bad = |why: &str| Bad {
            why: why.to_owned(),
            item: Some(index),
        };
        let Some((key, value)) = item.split_once('=') else {
            return Err(bad("pairs are written key=value and separated by commas"));
        };
        let decode = |text: &str| match percent_decode_str(text.trim()).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(bad("a percent-encoded part of it is not UTF-8")),
        };
        let (key, value) = (decode(key)?, decode(value)?);
        if key.is_empty() {
            return Err(bad("a pair has no key before its ="));
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{check, parse},
        *,
    };

    #[test]
    fn pairs_are_percent_decoded_as_text_and_taken_as_they_are_from_a_mapping() {
        check::<Attributes>(&[
            ("a=1, b=x%20y%2C ,,", Ok("a=1,b=x y,")),
            ("a", Err("key=value")),
            ("=1", Err("no key")),
            ("a=%ff", Err("not UTF-8")),
        ]);
        let raw = Written::Pairs(vec![("a".to_owned(), "x%20y".to_owned())]);
        assert_eq!(Attributes::parse(&raw).unwrap().show(), "a=x%20y");
    }

    #[test]
    fn header_values_are_never_shown() {
        check::<Headers>(&[
            ("Api-Key=secret", Ok("api-key=****")),
            ("bad name=x", Err("no name of a header")),
            ("x=a%0ab", Err("characters that no header may have")),
        ]);
        let bad = parse::<Headers>("x=secret%0a").unwrap_err();
        assert!(!bad.contains("secret"), "{bad}");
    }
}

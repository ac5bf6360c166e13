//! The header by which a forwarder says that it was here: `throughline-forwarder: node/0.1.0`.

use http::{HeaderMap, HeaderName};

use super::Forwarder;

/// The header. It is for us alone, and is taken off before a message leaves.
pub const HEADER: HeaderName = HeaderName::from_static("throughline-forwarder");

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which forwarder copied the context; `None` for one that is not known.
    pub by: Option<Forwarder>,
    /// Whether it is of this very version.
    pub is_current: bool,
}

impl Mark {
    /// Takes the header off; `None` where there is none.
    ///
    /// What it says is the app's word, and no more than a name comes of it, out of few.
    pub fn take(headers: &mut HeaderMap) -> Option<Self> {
        let value = headers.remove(HEADER)?;
        let said = value.to_str().unwrap_or_default();
        let (name, version) = said.split_once('/').unwrap_or((said, ""));
        Some(Self {
            by: Forwarder::named(name),
            is_current: version == env!("CARGO_PKG_VERSION"),
        })
    }

    /// How it is written on a span: the name, and the version where that is ours.
    #[must_use]
    pub fn text(self) -> &'static str {
        macro_rules! current {
            ($name:literal) => {
                concat!($name, "/", env!("CARGO_PKG_VERSION"))
            };
        }
        match (self.by, self.is_current) {
            (Some(Forwarder::Node), true) => current!("node"),
            (Some(Forwarder::Python), true) => current!("python"),
            (Some(Forwarder::Java), true) => current!("java"),
            (Some(Forwarder::Signal), true) => current!("signal"),
            (Some(Forwarder::Node), false) => "node/other",
            (Some(Forwarder::Python), false) => "python/other",
            (Some(Forwarder::Java), false) => "java/other",
            (Some(Forwarder::Signal), false) => "signal/other",
            (None, _) => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn take(value: &'static [u8]) -> &'static str {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(value).unwrap());
        let mark = Mark::take(&mut headers).unwrap();
        assert!(headers.is_empty(), "it is for us alone");
        mark.text()
    }

    #[test]
    fn a_forwarder_is_known_by_its_name_and_version() {
        assert_eq!(Mark::take(&mut HeaderMap::new()), None);
        let ours = concat!("node/", env!("CARGO_PKG_VERSION"));
        assert_eq!(take(ours.as_bytes()), ours);
        assert_eq!(take(b"node/0.0.0"), "node/other");
        assert_eq!(take(b"python"), "python/other");
        assert_eq!(take(b"perl/0.1.0"), "other");
        assert_eq!(take(b"\xff"), "other");
        for forwarder in Forwarder::ALL {
            let mark = Mark {
                by: Some(forwarder),
                is_current: true,
            };
            let version = env!("CARGO_PKG_VERSION");
            assert_eq!(mark.text(), format!("{forwarder}/{version}"));
        }
    }
}

//! What a TLS handshake told: the version, whether an old session was taken up, and who the client is.
//!
//! Nothing here speaks TLS. Whoever does makes a [`Session`] of what it saw, and spans say it in the
//! words of the conventions (`tls.protocol.version`, `tls.client.subject`). Of a client only what its
//! certificate says in public is here, and only of a certificate that was verified.

use std::{fmt, str::FromStr, time::Duration};

/// The version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl Version {
    /// The value of `tls.protocol.version`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// How two ends came to speak TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The version that they agreed on.
    pub version: Version,
    /// Whether they took up an earlier session, so that no certificate was sent.
    pub resumed: bool,
}

/// One connection of a caller, as far as TLS knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The handshake.
    pub handshake: Handshake,
    /// How long it took. It lies before the connection's first request and is no part of any.
    pub took: Duration,
    /// Who the client is, where it had to say and could prove it.
    pub client: Option<Client>,
}

impl Session {
    /// The names that the client's certificate was verified for.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        self.client.as_ref().map_or(&[], |client| &client.names)
    }
}

/// What the verified certificate of a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The distinguished name; empty where the names below are all there is.
    pub subject: Box<str>,
    /// The distinguished name of whoever signed it.
    pub issuer: Box<str>,
    /// Its subject alternative names.
    pub names: Box<[Name]>,
}

impl Client {
    /// The name to call it by: a URI before a DNS name, as SPIFFE has it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let uri = self.names.iter().find(|name| matches!(name, Name::Uri(_)));
        uri.or_else(|| self.names.first()).map(Name::as_str)
    }
}

/// A subject alternative name (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The name of a host.
    Dns(Box<str>),
    /// A URI, such as a SPIFFE id.
    Uri(Box<str>),
}

impl Name {
    /// The text of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Dns(name) | Self::Uri(name) => name,
        }
    }
}

/// Subject alternative names that are meant: one of them, or all that differ in one label.
///
/// A `*` stands for one whole label, the first of a DNS name or the last of a URI.
///
/// ```
/// use throughline::tls::{Name, NamePattern};
///
/// let pattern: NamePattern = "spiffe://prod/ns/shop/*".parse().unwrap();
/// assert!(pattern.matches(&Name::Uri("spiffe://prod/ns/shop/orders".into())));
/// assert!(!pattern.matches(&Name::Uri("spiffe://prod/ns/shop/orders/admin".into())));
/// assert!(!pattern.matches(&Name::Dns("spiffe://prod/ns/shop/orders".into())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    /// In lower case for a DNS name; without its `*`.
    text: Box<str>,
    is_uri: bool,
    is_wild: bool,
}

impl NamePattern {
    /// Whether it means a URI.
    #[must_use]
    pub fn is_uri(&self) -> bool {
        self.is_uri
    }

    /// Whether this name is meant.
    #[must_use]
    pub fn matches(&self, name: &Name) -> bool {
        match name {
            Name::Uri(uri) if self.is_uri => match uri.strip_prefix(&*self.text) {
                Some(rest) if self.is_wild => !rest.is_empty() && !rest.contains('/'),
                Some(rest) => rest.is_empty(),
                None => false,
            },
            Name::Dns(host) if !self.is_uri => {
                if !self.is_wild {
                    return host.eq_ignore_ascii_case(&self.text);
                }
                host.split_once('.').is_some_and(|(first, rest)| {
                    !first.is_empty() && first != "*" && rest.eq_ignore_ascii_case(&self.text)
                })
            }
            _ => false,
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_wild, self.is_uri) {
            (false, _) => f.write_str(&self.text),
            (true, true) => write!(f, "{}*", self.text),
            (true, false) => write!(f, "*.{}", self.text),
        }
    }
}

impl FromStr for NamePattern {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let refused = || NotAName(text.to_owned());
        let is_uri = text.contains("://");
        let (bare, is_wild) = if is_uri {
            let bare = text.strip_suffix('*').filter(|bare| bare.ends_with('/'));
            (bare.unwrap_or(text), bare.is_some())
        } else {
            let bare = text.strip_prefix("*.");
            (bare.unwrap_or(text), bare.is_some())
        };
        let is_name = if is_uri {
            let path = bare.split_once("://").map_or("", |(_, rest)| rest);
            // A trust domain cannot be left open.
            let named = !path.is_empty() && !path.starts_with('/');
            named && bare.bytes().all(|b| b.is_ascii_graphic() && b != b'*')
        } else {
            !bare.is_empty()
                && bare.split('.').all(|label| {
                    !label.is_empty()
                        && label
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                })
        };
        if !is_name {
            return Err(refused());
        }
        let text = if is_uri {
            bare.to_owned()
        } else {
            bare.to_ascii_lowercase()
        };
        Ok(Self {
            text: text.into(),
            is_uri,
            is_wild,
        })
    }
}

/// Text that stands for no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAName(String);

impl fmt::Display for NotAName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no name of a certificate, as orders.shop, *.shop and spiffe://prod/ns/shop/* are",
            self.0
        )
    }
}

impl std::error::Error for NotAName {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dns(name: &str) -> Name {
        Name::Dns(name.into())
    }

    fn uri(name: &str) -> Name {
        Name::Uri(name.into())
    }

    #[test]
    fn a_star_stands_for_one_label() {
        for (pattern, name, expected) in [
            ("orders.shop", dns("orders.shop"), true),
            ("orders.shop", dns("ORDERS.shop"), true),
            ("orders.shop", dns("x.orders.shop"), false),
            ("*.shop", dns("orders.shop"), true),
            ("*.Shop", dns("orders.sHOP"), true),
            ("*.shop", dns("a.orders.shop"), false),
            ("*.shop", dns("shop"), false),
            ("*.shop", dns(".shop"), false),
            ("*.shop", dns("*.shop"), false),
            ("*.shop", uri("orders.shop"), false),
            ("spiffe://prod/orders", uri("spiffe://prod/orders"), true),
            ("spiffe://prod/orders", uri("spiffe://prod/Orders"), false),
            ("spiffe://prod/orders", uri("spiffe://prod/orders2"), false),
            ("spiffe://prod/*", uri("spiffe://prod/orders"), true),
            ("spiffe://prod/*", uri("spiffe://prod/"), false),
            ("spiffe://prod/*", uri("spiffe://prod/a/b"), false),
            ("spiffe://prod/*", uri("spiffe://prod2/a"), false),
            ("spiffe://prod/*", dns("spiffe://prod/a"), false),
        ] {
            let pattern: NamePattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&name), expected, "{pattern} {name:?}");
        }
    }

    #[test]
    fn a_star_anywhere_else_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a.*",
            "a*.shop",
            "*.*.shop",
            "a..b",
            "10.0.0.0/8",
            "spiffe://",
            "spiffe://*",
            "spiffe:///a",
            "spiffe://prod/a*",
            "spiffe://*/a",
            "spiffe://prod/*/a",
            "a b",
        ] {
            assert!(text.parse::<NamePattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_is_called_by_its_uri() {
        let client = Client {
            subject: "CN=orders".into(),
            issuer: "CN=ca".into(),
            names: [dns("orders.shop"), uri("spiffe://prod/orders")].into(),
        };
        assert_eq!(client.name(), Some("spiffe://prod/orders"));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_what_can_be_read(text in "[-*a-zA-Z0-9./:]{0,24}") {
            if let Ok(pattern) = text.parse::<NamePattern>() {
                prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
            }
        }

        #[test]
        fn a_pattern_without_a_star_matches_itself_alone(text in "[a-z]{1,5}(\\.[a-z]{1,5}){0,2}", other in "[a-z.]{1,12}") {
            let pattern: NamePattern = text.parse().unwrap();
            prop_assert!(pattern.matches(&dns(&text)));
            prop_assert_eq!(pattern.matches(&dns(&other)), other == text);
        }
    }
}

//! The protocol that a message would rather speak, or goes over to.
//!
//! RFC 9110 section 7.8: `Upgrade` counts where `Connection` names it, in HTTP/1.1 alone. It belongs to
//! the connection, so that a proxy which does not understand it takes it away; one that passes it on
//! has to say both fields anew.

use http::{
    HeaderMap, HeaderValue,
    header::{CONNECTION, UPGRADE},
};

/// Protocols, as `Upgrade` names them. Other versions of HTTP are never among them: behind such an
/// upgrade would be requests that nobody here sees (RFC 9113 section 3.1 dropped it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade(HeaderValue);

impl Upgrade {
    /// What these fields ask for, or agree on; `None` where they do neither.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let is_named = members(headers, &CONNECTION).any(|m| m.eq_ignore_ascii_case("upgrade"));
        if !is_named {
            return None;
        }
        let kept: Vec<&str> = members(headers, &UPGRADE)
            .filter(|protocol| !is_http(protocol))
            .collect();
        if kept.is_empty() {
            return None;
        }
        HeaderValue::from_str(&kept.join(", ")).ok().map(Self)
    }

    /// The one protocol of this name, as an extended CONNECT has it; `None` where that is another
    /// version of HTTP, or no name of a protocol.
    #[must_use]
    pub fn to(protocol: &str) -> Option<Self> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&b);
        if protocol.is_empty() || is_http(protocol) || !protocol.bytes().all(is_token) {
            return None;
        }
        HeaderValue::from_str(protocol).ok().map(Self)
    }

    /// Says it in a message.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.0.clone());
    }

    /// Whether all of this was asked for.
    #[must_use]
    pub fn was_asked_for(&self, asked: &Self) -> bool {
        self.protocols().all(|agreed| {
            let mut asked = asked.protocols();
            asked.any(|asked| asked.eq_ignore_ascii_case(agreed))
        })
    }

    /// The one protocol that this is about; `None` if it names several.
    #[must_use]
    pub fn sole(&self) -> Option<&str> {
        let mut protocols = self.protocols();
        protocols.next().filter(|_| protocols.next().is_none())
    }

    /// The protocols as they are named.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It was made of text.
        self.0.to_str().unwrap_or_default()
    }

    fn protocols(&self) -> impl Iterator<Item = &str> {
        self.as_str().split(',').map(str::trim)
    }
}

/// The members of a field that is a list.
fn members<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

fn is_http(protocol: &str) -> bool {
    let name = protocol.split('/').next().unwrap_or_default();
    name.eq_ignore_ascii_case("h2c")
        || name.eq_ignore_ascii_case("h2")
        || name.eq_ignore_ascii_case("http")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&'static str, &'static str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Upgrade::of(&headers).map(|upgrade| upgrade.as_str().to_owned())
    }

    #[test]
    fn an_upgrade_is_one_where_the_connection_says_so() {
        for (connection, upgrade, expected) in [
            ("Upgrade", "websocket", Some("websocket")),
            ("keep-alive, UPGRADE", "WebSocket", Some("WebSocket")),
            ("upgrade", "tcp, websocket", Some("tcp, websocket")),
            ("upgrade", "websocket, h2c", Some("websocket")),
            ("upgrade", "h2c", None),
            ("upgrade", "HTTP/2.0", None),
            ("upgrade", " , ", None),
            ("keep-alive", "websocket", None),
        ] {
            let got = asked(&[("connection", connection), ("upgrade", upgrade)]);
            assert_eq!(got.as_deref(), expected, "{connection} / {upgrade}");
        }
        assert_eq!(asked(&[("upgrade", "websocket")]), None);
        assert_eq!(asked(&[("connection", "upgrade")]), None);
        let lines = [
            ("connection", "close"),
            ("connection", "upgrade"),
            ("upgrade", "a"),
            ("upgrade", "b/2"),
        ];
        assert_eq!(asked(&lines).unwrap(), "a, b/2");
    }

    #[test]
    fn what_is_agreed_on_has_to_have_been_asked_for() {
        let upgrade = |text: &'static str| Upgrade(HeaderValue::from_static(text));
        let asked = upgrade("tcp, WebSocket");
        assert!(upgrade("websocket").was_asked_for(&asked));
        assert!(upgrade("websocket, tcp").was_asked_for(&asked));
        assert!(!upgrade("h2c").was_asked_for(&asked));
        assert!(!upgrade("websocket, tls/1.0").was_asked_for(&asked));
        assert_eq!(asked.sole(), None);
        assert_eq!(upgrade("websocket").sole(), Some("websocket"));
    }

    #[test]
    fn a_protocol_is_a_word() {
        assert!(Upgrade::to("websocket").is_some());
        for bad in ["", "a b", "a,b", "h2c", "a\r\nb", "\u{e9}"] {
            assert_eq!(Upgrade::to(bad), None, "{bad:?}");
        }
    }
}

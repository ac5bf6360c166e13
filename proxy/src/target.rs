//! Where a CONNECT asks to be connected to.
//!
//! RFC 9110 section 9.3.6: the target is a host and a port, and nothing else. It is parsed strictly,
//! because it decides which host is called, and whoever checks it on the way must read the same in it.

use std::{fmt, net::Ipv6Addr};

/// The most that a name in the DNS may have.
const MAX_NAME: usize = 253;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name, an IPv4 address, or an IPv6 address without its brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

/// Why something is no such target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTarget {
    /// The host is missing, or is none.
    Host,
    /// The port is missing, or is none.
    Port,
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => {
                "CONNECT takes a host and a port, such as shop:443 or [::1]:443; this host is none"
            }
            Self::Port => "CONNECT takes a host and a port, such as shop:443; this port is none",
        })
    }
}

impl Target {
    /// Reads `host:port`.
    ///
    /// # Errors
    ///
    /// Where it is anything else: a scheme, a user, a path, an address without brackets, a port that
    /// is missing or 0.
    pub fn parse(text: &str) -> Result<Self, BadTarget> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or(BadTarget::Host)?;
                // Zones mean something on one host alone, and are not for the wire (RFC 6874).
                host.parse::<Ipv6Addr>().map_err(|_| BadTarget::Host)?;
                (host, rest.strip_prefix(':').ok_or(BadTarget::Port)?)
            }
            None => {
                let (host, port) = text.split_once(':').ok_or(BadTarget::Port)?;
                if !is_name(host) {
                    return Err(BadTarget::Host);
                }
                (host, port)
            }
        };
        // `parse` would take a sign.
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| is_number && *port != 0);
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port: port.ok_or(BadTarget::Port)?,
        })
    }
}

/// A name as hosts have them; underscores are found in the wild.
fn is_name(host: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (1..=MAX_NAME).contains(&host.len())
        && host.bytes().all(is_letter)
        && !host.starts_with('.')
        && !host.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_target_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("shop:443", "shop", 443),
            ("SHOP.example:1", "shop.example", 1),
            ("shop.example.:443", "shop.example.", 443),
            ("10.0.0.1:65535", "10.0.0.1", 65535),
            ("[::1]:443", "::1", 443),
            ("[2001:DB8::A]:00443", "2001:db8::a", 443),
            ("a_b-c:80", "a_b-c", 80),
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        use BadTarget::{Host, Port};
        for (text, why) in [
            ("", Port),
            ("shop", Port),
            ("shop:", Port),
            ("shop:0", Port),
            ("shop:65536", Port),
            ("shop:+1", Port),
            ("shop:80 ", Port),
            ("shop:80/x", Port),
            ("shop:80?x", Port),
            ("shop:x", Port),
            (":443", Host),
            (".:443", Host),
            ("a..b:443", Host),
            ("me@shop:443", Host),
            ("me:word@shop:443", Port),
            ("http://shop:443", Port),
            ("/x", Port),
            ("*", Port),
            ("::1:443", Host),
            ("[::1]", Port),
            ("[::1]443", Port),
            ("[::1:443", Host),
            ("[fe80::1%eth0]:443", Host),
            ("[shop]:443", Host),
            ("sh%6fp:443", Host),
            ("sh op:443", Host),
            ("sh\u{f6}p:443", Host),
        ] {
            assert_eq!(Target::parse(text), Err(why), "{text:?}");
        }
        let long = format!("{}:443", "a".repeat(MAX_NAME + 1));
        assert_eq!(Target::parse(&long), Err(Host));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "\\PC{0,40}|[a-z.\\[\\]:0-9@/]{0,20}") {
            if let Ok(target) = Target::parse(&text) {
                let again = if target.host.contains(':') {
                    format!("[{}]:{}", target.host, target.port)
                } else {
                    format!("{}:{}", target.host, target.port)
                };
                prop_assert_eq!(Target::parse(&again), Ok(target));
            }
        }
    }
}

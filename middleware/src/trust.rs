//! Whose word about a trace is believed.
//!
//! Between services of one house everybody's is. At its edge anybody can write any header, and a
//! stranger who can set the sampled flag decides what is recorded and paid for.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::tls::{Name, NamePattern};

/// The callers whose context is continued.
///
/// ```
/// use throughline::trust::Trust;
///
/// let trust: Trust = "10.0.0.0/8, ::1".parse().unwrap();
/// assert!(trust.includes(Some("10.1.2.3".parse().unwrap())));
/// assert!(!trust.includes(Some("192.0.2.1".parse().unwrap())));
/// assert!(!trust.includes(None), "who cannot be seen is none of them");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Every caller.
    #[default]
    All,
    /// No caller: this is an edge.
    None,
    /// The callers in these networks, and those whose certificate was verified for one of these names.
    Callers(Vec<Network>, Vec<NamePattern>),
}

impl Trust {
    /// Whether the caller at this address is believed.
    #[must_use]
    pub fn includes(&self, peer: Option<IpAddr>) -> bool {
        self.includes_named(peer, &[])
    }

    /// Whether the caller at this address, whose certificate was verified for these names, is believed.
    #[must_use]
    pub fn includes_named(&self, peer: Option<IpAddr>, names: &[Name]) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Callers(networks, patterns) => {
                peer.is_some_and(|peer| networks.iter().any(|network| network.contains(peer)))
                    || names
                        .iter()
                        .any(|name| patterns.iter().any(|pattern| pattern.matches(name)))
            }
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::None => f.write_str("none"),
            Self::Callers(networks, names) => {
                let mut comma = "";
                for network in networks {
                    write!(f, "{comma}{network}")?;
                    comma = ",";
                }
                for name in names {
                    write!(f, "{comma}{name}")?;
                    comma = ",";
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Trust {
    type Err = NotANetwork;

    /// `all`, `none`, or networks and names of certificates with commas between them.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        match text.trim() {
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            list => {
                let (mut networks, mut names) = (Vec::new(), Vec::new());
                for item in list.split(',').map(str::trim) {
                    // What has no letter is an address, and `all` is no name of a service.
                    let may_be_name = item.contains("://")
                        || (item.contains('.') && item.contains(|c: char| c.is_alphabetic()));
                    match item.parse() {
                        Ok(name) if may_be_name => names.push(name),
                        _ => networks.push(item.parse()?),
                    }
                }
                Ok(Self::Callers(networks, names))
            }
        }
    }
}

/// Addresses that begin with the same bits, as in `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address is one of these. An IPv4 address in the clothes of an IPv6 one is itself.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(address)) => {
                let different = u32::from(ours) ^ u32::from(address);
                different.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(address)) => {
                let different = u128::from(ours) ^ u128::from(address);
                different.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let text = text.trim();
        let refused = || NotANetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(digits) if digits.bytes().all(|c| c.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(refused)?,
            Some(_) => return Err(refused()),
        };
        Ok(Self { address, bits })
    }
}

/// Text that stands for no network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotANetwork(String);

impl fmt::Display for NotANetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no network, as 10.0.0.0/8 and 2001:db8::/32 are, and no name of a certificate, as \
             *.shop.svc and spiffe://prod/* are; all and none stand alone",
            self.0
        )
    }
}

impl std::error::Error for NotANetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_the_addresses_that_begin_like_them() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::1", "::1", "127.0.0.1"),
            ("0.0.0.0/0", "192.0.2.8", "::1"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network}");
            assert!(!network.contains(outside.parse().unwrap()), "{network}");
        }
    }

    #[test]
    fn a_verified_name_is_a_reason_to_believe() {
        let trust: Trust = "10.0.0.0/8, spiffe://prod/*".parse().unwrap();
        let stranger = Some("192.0.2.1".parse().unwrap());
        let named = [Name::Uri("spiffe://prod/orders".into())];
        assert!(trust.includes_named(stranger, &named));
        assert!(!trust.includes_named(stranger, &[Name::Uri("spiffe://test/orders".into())]));
        assert!(!trust.includes(stranger));
        assert!(!Trust::None.includes_named(stranger, &named));
    }

    #[test]
    fn what_is_shown_is_what_can_be_read() {
        for text in [
            "all",
            "none",
            "10.0.0.0/8,::1/128",
            "::1/128,*.shop.svc,spiffe://prod/*",
        ] {
            assert_eq!(text.parse::<Trust>().unwrap().to_string(), text);
        }
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/+8", "all,::1", "x"] {
            assert!(bad.parse::<Trust>().is_err(), "{bad}");
        }
    }
}

//! Whom of several upstreams to ask.
//!
//! A choice is made among those that are well and that this request was not sent to before. Where
//! there is none it is made among all that are well; and where nobody is, among all: when everybody
//! looks dead, it is likelier that we are mistaken than that nothing could be lost by asking.
//!
//! Nothing here reads a clock or is random: what that takes comes with the question.

mod check;
mod outlier;
#[cfg(test)]
mod tests;

use std::{fmt, hash::Hasher, str::FromStr};

use http::HeaderName;
use siphasher::sip::SipHasher13;

pub use self::{
    check::Checks,
    outlier::{Ejection, Record},
};

/// How to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// One after the other.
    RoundRobin,
    /// Of two at random, the one with fewer open requests.
    LeastRequests,
    /// Always the same for the same key, as far as it is well; by rendezvous hashing, so that of those
    /// keys that were another's none moves when one goes.
    Hash(Key),
}

/// What of a request makes it go to the same upstream again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The address that it comes from.
    Client,
    /// Its path.
    Path,
    /// This header.
    Header(HeaderName),
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.split_once(':') {
            None if text == "round_robin" => Self::RoundRobin,
            None if text == "least_requests" => Self::LeastRequests,
            Some(("hash", "client")) => Self::Hash(Key::Client),
            Some(("hash", "path")) => Self::Hash(Key::Path),
            Some(("hash", name)) => match name.strip_prefix("header:").map(str::parse) {
                Some(Ok(name)) => Self::Hash(Key::Header(name)),
                _ => return Err(unknown(text)),
            },
            _ => return Err(unknown(text)),
        })
    }
}

fn unknown(text: &str) -> String {
    format!(
        "no way to choose is called {text:?}; known are round_robin, least_requests, hash:client, \
         hash:path and hash:header:NAME"
    )
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => f.write_str("round_robin"),
            Self::LeastRequests => f.write_str("least_requests"),
            Self::Hash(Key::Client) => f.write_str("hash:client"),
            Self::Hash(Key::Path) => f.write_str("hash:path"),
            Self::Hash(Key::Header(name)) => write!(f, "hash:header:{name}"),
        }
    }
}

/// One of those that are chosen among.
pub trait Member {
    /// What tells it from the others, the same in every process.
    fn id(&self) -> u64;
    /// How many requests it has.
    fn load(&self) -> usize;
    /// Whether it is thought to answer.
    fn is_well(&self) -> bool;
}

/// What a choice takes besides the members.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draw<'d> {
    /// How many were made before.
    pub turn: u64,
    /// 64 random bits.
    pub random: u64,
    /// The [`hash`] of the request's key.
    pub key: u64,
    /// Whom this request was sent to before.
    pub tried: &'d [u64],
}

/// Which of the members; `None` if there are none.
pub fn choose<M: Member>(policy: &Policy, members: &[M], draw: &Draw<'_>) -> Option<usize> {
    let is_fresh = |member: &M| !draw.tried.contains(&member.id());
    let levels: [&dyn Fn(&M) -> bool; 4] = [
        &|member| member.is_well() && is_fresh(member),
        &|member| member.is_well(),
        &is_fresh,
        &|_| true,
    ];
    levels
        .into_iter()
        .find_map(|level| choose_among(policy, members, draw, level))
}

fn choose_among<M: Member>(
    policy: &Policy,
    members: &[M],
    draw: &Draw<'_>,
    is_meant: &dyn Fn(&M) -> bool,
) -> Option<usize> {
    let meant = || {
        let all = members.iter().enumerate();
        all.filter(|(_, member)| is_meant(member))
    };
    let count = meant().count() as u64;
    if count == 0 {
        return None;
    }
    // A member may fall ill between one look and the next; then the last that is left is taken.
    let nth = |n: u64| {
        let nth = usize::try_from(n).unwrap_or(usize::MAX);
        meant().nth(nth).or_else(|| meant().last())
    };
    let chosen = match policy {
        Policy::RoundRobin => nth(draw.turn % count),
        Policy::LeastRequests => {
            let (one, other) = two_of(count, draw.random);
            match (nth(one), nth(other)) {
                (Some(one), Some(other)) if other.1.load() < one.1.load() => Some(other),
                (one, other) => one.or(other),
            }
        }
        Policy::Hash(_) => meant().max_by_key(|(_, member)| weight(draw.key, member.id())),
    };
    chosen.map(|(index, _)| index)
}

/// Two different numbers below `count`, where there are two.
fn two_of(count: u64, random: u64) -> (u64, u64) {
    let one = (random >> 32) % count;
    if count == 1 {
        return (one, one);
    }
    let other = (random & 0xffff_ffff) % (count - 1);
    (one, if other >= one { other + 1 } else { other })
}

/// How much a member wants a key.
fn weight(key: u64, member: u64) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write_u64(key);
    hasher.write_u64(member);
    hasher.finish()
}

/// The hash of a key or a name, the same in every process.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    hasher.finish()
}

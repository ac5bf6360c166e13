//! What must hold whatever comes to the parsers of the proxy, shared by the fuzz targets.
//!
//! In `proxy/`:
//!
//! ```text
//! mkdir -p fuzz/corpus/connect && cargo +nightly fuzz run connect fuzz/corpus/connect fuzz/seeds/connect
//! ```

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Uri, header::HOST, uri::Authority};
use throughline_proxy::{
    handshake::{Direction, Handshake},
    headers::host_of_target,
    pool::Origin,
    target::Target,
};

/// A stream both ways: a byte whose highest bit is the direction and whose others are a length, and as
/// many bytes, as often as there are some. However they are cut, the same is seen.
pub fn handshake(input: &[u8]) {
    let now = Instant::now();
    let later = now + Duration::from_secs(1);
    let mut whole = Handshake::new();
    let mut singly = Handshake::new();
    let mut rest = input;
    while let Some((&head, after)) = rest.split_first() {
        let direction = match head & 0x80 {
            0 => Direction::ToServer,
            _ => Direction::ToClient,
        };
        let (bytes, after) = after.split_at(after.len().min(usize::from(head & 0x7f)));
        rest = after;
        let was_watched = whole.is_watched();
        whole.pass(direction, bytes, now);
        assert!(was_watched || !whole.is_watched(), "it is never taken up again");
        for byte in bytes {
            singly.pass(direction, &[*byte], now);
        }
        assert_eq!(whole.is_watched(), singly.is_watched());
        assert_eq!(whole.took(later), singly.took(later));
        assert_eq!(whole.seen(), singly.seen());
    }
    let name = whole.seen().server_name;
    assert!(name.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
}

/// The target of a CONNECT: what is taken is one host and one port, to others as well.
pub fn connect(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(target) = Target::parse(text) else {
        return;
    };
    assert_ne!(target.port, 0);
    let again = match target.host.contains(':') {
        true => format!("[{}]:{}", target.host, target.port),
        false => format!("{}:{}", target.host, target.port),
    };
    assert_eq!(Target::parse(&again), Ok(target.clone()));
    // `http` reads the same in it, as far as it takes it.
    if let Ok(authority) = text.parse::<Authority>() {
        let host = authority.host().trim_matches(['[', ']']);
        assert!(host.eq_ignore_ascii_case(&target.host), "{text:?}");
        assert_eq!(authority.port_u16(), Some(target.port), "{text:?}");
    }
    let origin = Origin::http(&target.host, target.port);
    assert_eq!((origin.host(), origin.port()), (&*target.host, target.port));
}

/// An absolute target, and behind a line break a `Host`: one of them is left, and it says where the
/// request goes.
pub fn absolute(input: &[u8]) {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let (target, said) = (lines.next().unwrap_or_default(), lines.next());
    let Ok(target) = Uri::try_from(target) else {
        return;
    };
    let Some(origin) = Origin::of(&target) else {
        return;
    };
    assert!(!origin.host().is_empty());
    let spelt: Uri = origin.to_string().parse().expect("an origin is an address");
    assert_eq!(Origin::of(&spelt).as_ref(), Some(&origin), "{target}");
    let authority = target.authority().expect("an origin has an authority");
    let after_host = authority.as_str().rsplit_once(']').map_or(authority.as_str(), |(_, rest)| rest);
    let after_user = after_host.rsplit_once('@').map_or(after_host, |(_, rest)| rest);
    if let Some((_, port)) = after_user.rsplit_once(':') {
        let number: Option<u16> = port.parse().ok();
        assert!(port.is_empty() || number == Some(origin.port()), "{target}");
    }

    let mut headers = HeaderMap::new();
    for line in said.into_iter().flat_map(|said| said.split(|byte| *byte == b'\n')) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(HOST, value);
        }
    }
    host_of_target(&target, &mut headers);
    let mut hosts = headers.get_all(HOST).iter();
    let (host, none) = (hosts.next().expect("a Host"), hosts.next());
    assert!(none.is_none(), "{headers:?}");
    let host = host.to_str().expect("the target's, or one that says the same");
    assert!(!host.contains('@'), "{host}");
    let scheme = target.scheme_str().expect("it is absolute");
    let same: Uri = format!("{scheme}://{host}/").parse().expect("a Host is an authority");
    assert_eq!(Origin::of(&same), Some(origin), "{target} {host}");
}

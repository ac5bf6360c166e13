//! What a message loses at a hop, and what it gains when it changes its protocol.
//!
//! RFC 9110 section 7.6.1: `Connection`, the fields that it names and a few that never name
//! themselves belong to one connection and are not forwarded. All else is, byte for byte and in
//! order; `Host` stays what the caller wrote.

mod upgrade;

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body;

pub use self::upgrade::Upgrade;

/// The fields of one connection.
static HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TRANSFER_ENCODING,
    TE,
    UPGRADE,
    HeaderName::from_static("proxy-connection"),
    // As `crate::loops` has it: of one sidecar to the next.
    HeaderName::from_static("throughline-passed"),
];

/// The place of `Upgrade` in the list.
const UPGRADE_INDEX: usize = 4;

/// Which of them this is.
fn hop_by_hop(name: &HeaderName) -> Option<usize> {
    // Asked for every field of every message: told apart by their lengths, nearly all are no more
    // than one comparison.
    Some(match name.as_str() {
        "connection" => 0,
        "keep-alive" => 1,
        "transfer-encoding" => 2,
        "te" => 3,
        "upgrade" => UPGRADE_INDEX,
        "proxy-connection" => 5,
        "throughline-passed" => 6,
        _ => return None,
    })
}

/// Removes the fields of a message that belong to the connection that it came over, and hands back the
/// upgrade that they ask for or agree on.
///
/// `Trailer` stays: it announces what follows the body, and that is kept.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) -> Option<Upgrade> {
    // On the way of every message, which has one or two of these at most: a look at the names that
    // are there is cheaper than a search for each that might be.
    let mut found = [false; HOP_BY_HOP.len()];
    for name in headers.keys() {
        if let Some(index) = hop_by_hop(name) {
            found[index] = true;
        }
    }
    let upgrade = found[UPGRADE_INDEX].then(|| Upgrade::of(headers)).flatten();
    for (name, _) in HOP_BY_HOP.iter().zip(found).filter(|(_, found)| *found) {
        if name == TE {
            keep_only_trailers_of_te(headers);
            continue;
        }
        if name == CONNECTION {
            remove_what_connection_names(headers);
        }
        if name == TRANSFER_ENCODING {
            // Beside chunks a length counts for nothing (RFC 9112 section 6.3), and whoever read it behind
            // us would take as much of the body for the whole.
            headers.remove(CONTENT_LENGTH);
        }
        headers.remove(name);
    }
    upgrade
}

fn remove_what_connection_names(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        // The one is removed anyway. The other is named whenever it is sent, and has its own rule.
        .filter(|name| !name.eq_ignore_ascii_case("keep-alive") && !name.eq_ignore_ascii_case("te"))
        .filter_map(|name| name.parse().ok())
        // A caller must not be able to take away what the next hop relies on.
        .filter(|name| name != HOST && name != CONTENT_LENGTH)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Removes what was said to us as a proxy, besides what belongs to the connection.
pub fn strip_proxy(headers: &mut HeaderMap) {
    headers.remove(PROXY_AUTHENTICATE);
    headers.remove(PROXY_AUTHORIZATION);
}

/// What forwarders copy, as `proxy/forwarders/README.md` has it.
static FORWARDED: [HeaderName; 15] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-amzn-trace-id"),
    HeaderName::from_static("b3"),
    HeaderName::from_static("x-b3-traceid"),
    HeaderName::from_static("x-b3-spanid"),
    HeaderName::from_static("x-b3-parentspanid"),
    HeaderName::from_static("x-b3-sampled"),
    HeaderName::from_static("x-b3-flags"),
    HeaderName::from_static("uber-trace-id"),
    HeaderName::from_static("x-datadog-trace-id"),
    HeaderName::from_static("x-datadog-parent-id"),
    HeaderName::from_static("x-datadog-sampling-priority"),
    HeaderName::from_static("x-datadog-origin"),
    HeaderName::from_static("x-datadog-tags"),
];

/// Removes what a forwarder copied onto a call, where it is not to be believed.
pub fn strip_forwarded(headers: &mut HeaderMap) {
    for name in &FORWARDED {
        headers.remove(name);
    }
}

/// Makes `Host` say what an absolute target says, which overrides it (RFC 9112 section 3.2.2).
///
/// Where it says the same in other letters it stays, because it may be signed: boto3 asks for
/// `http://minio:80/…`, and signs `Host: minio`.
pub fn host_of_target(target: &Uri, headers: &mut HeaderMap) {
    let Some(authority) = target.authority() else {
        return;
    };
    let mut said = headers.get_all(HOST).iter();
    if let (Some(host), None) = (said.next(), said.next())
        && is_spelling_of(host, authority, target.scheme())
    {
        return;
    }
    if let Ok(host) = HeaderValue::from_str(without_userinfo(authority)) {
        headers.insert(HOST, host);
    }
}

/// Why a request does not say, in one way, which host it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHost {
    /// There is no `Host`, and HTTP/1.1 has to have one.
    None,
    /// There are two or more, of which every server takes another.
    Several,
    /// It is not a host with or without a port.
    Malformed,
}

impl BadHost {
    /// What the caller is told.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::None => "the request has no Host",
            Self::Several => "the request has more than one Host",
            Self::Malformed => "the request's Host is not a host with or without a port",
        }
    }
}

/// Sees to it that a request has one `Host` (RFC 9112 section 3.2): an absolute target overrides what is
/// said, and a request in HTTP/1.0, which need not have one, gets `own`.
///
/// # Errors
///
/// When that cannot be said of it.
pub fn one_host(
    version: Version,
    target: &Uri,
    headers: &mut HeaderMap,
    own: impl FnOnce() -> Authority,
) -> Result<(), BadHost> {
    if matches!(version, Version::HTTP_2 | Version::HTTP_3) {
        return one_authority(target, headers);
    }
    host_of_target(target, headers);
    let mut said = headers.get_all(HOST).iter();
    match (said.next(), said.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(BadHost::Malformed),
        (Some(_), Some(_)) => Err(BadHost::Several),
        (None, _) if version == Version::HTTP_11 => Err(BadHost::None),
        (None, _) => {
            if let Ok(own) = HeaderValue::from_str(own().as_str()) {
                headers.insert(HOST, own);
            }
            Ok(())
        }
    }
}

/// The same in HTTP/2, where the authority names the host, and `Host` beside it gives way (RFC 9113 section
/// 8.3.1).
fn one_authority(target: &Uri, headers: &mut HeaderMap) -> Result<(), BadHost> {
    let is_named = match target.authority() {
        Some(authority) => {
            is_host(authority.as_str().as_bytes()) && target.scheme_str() != Some("")
        }
        None => true,
    };
    if !is_named {
        return Err(BadHost::Malformed);
    }
    let mut said = headers.get_all(HOST).iter();
    match (said.next(), said.next(), target.authority()) {
        (None, ..) => Ok(()),
        (Some(_), _, Some(_)) => {
            host_of_target(target, headers);
            Ok(())
        }
        (Some(host), None, None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None, None) => Err(BadHost::Malformed),
        (Some(_), Some(_), None) => Err(BadHost::Several),
    }
}

/// Whether this is `uri-host [ ":" port ]` (RFC 3986 section 3.2.2); it may be empty.
fn is_host(host: &[u8]) -> bool {
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(byte);
    let literal = |byte: &u8| name(byte) || *byte == b':';
    let (host, port) = match host.strip_prefix(b"[") {
        Some(rest) => match rest.iter().position(|byte| *byte == b']') {
            Some(end) if rest[..end].iter().all(literal) => (&b""[..], &rest[end + 1..]),
            _ => return false,
        },
        None => {
            let end = host.iter().position(|byte| *byte == b':');
            host.split_at(end.unwrap_or(host.len()))
        }
    };
    let port = match port {
        [] => port,
        [b':', port @ ..] => port,
        _ => return false,
    };
    host.iter().all(name) && port.iter().all(u8::is_ascii_digit)
}

/// Whether `host` names the host and the port of `authority`, which is reached by `scheme`.
fn is_spelling_of(host: &HeaderValue, authority: &Authority, scheme: Option<&Scheme>) -> bool {
    if host == authority.as_str() {
        return !host.as_bytes().contains(&b'@');
    }
    if !is_host(host.as_bytes()) {
        return false;
    }
    let Ok(host) = Authority::try_from(host.as_bytes()) else {
        return false;
    };
    // `http` says of a port that is too large that there is none.
    let after_host = host.as_str().rsplit(']').next().unwrap_or_default();
    let names_port = after_host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty());
    if names_port && host.port_u16().is_none() {
        return false;
    }
    let default = match scheme {
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        _ => 80,
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    without_userinfo(&host) == host.as_str()
        && host.host().eq_ignore_ascii_case(authority.host())
        && port(&host) == port(authority)
}

/// Whoever accepts trailers from us is to get them; other transfer codings end here.
fn keep_only_trailers_of_te(headers: &mut HeaderMap) {
    let trailers = headers
        .get_all(TE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"));
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(TE);
    }
}

/// Makes a request fit to be sent in HTTP/1.1 to an origin: path alone, and a `Host`.
pub fn into_http1<B>(request: &mut Request<B>) {
    *request.version_mut() = Version::HTTP_11;
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(without_userinfo(authority));
        if let (Ok(host), false) = (host, request.headers().contains_key(HOST)) {
            request.headers_mut().insert(HOST, host);
        }
        *request.uri_mut() = origin_form(request.uri());
    }
    let headers = request.headers_mut();
    // HTTP/2 may send crumbs; HTTP/1.1 has one line of them (RFC 9113 section 8.2.3).
    let mut crumbs = headers.get_all(COOKIE).iter();
    if let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) {
        let joined = [first, second]
            .into_iter()
            .chain(crumbs)
            .map(HeaderValue::as_bytes)
            .collect::<Vec<_>>()
            .join(&b"; "[..]);
        if let Ok(joined) = HeaderValue::from_bytes(&joined) {
            headers.insert(COOKIE, joined);
        }
    }
    if headers.contains_key(TE) {
        // Said to the next hop, and so it has to be named.
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Says that a body of unknown length comes in chunks. hyper does so by itself, but for methods whose
/// requests seldom have a body: of those it would send none.
pub fn in_chunks<B: Body>(request: &mut Request<B>) {
    let is_unknown =
        !request.body().is_end_stream() && request.body().size_hint().exact().is_none();
    if is_unknown && !request.headers().contains_key(CONTENT_LENGTH) {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
}

/// Makes a request fit to be sent in HTTP/2: the whole address, and no `Host` beside it.
pub fn into_http2<B>(request: &mut Request<B>, scheme: &Scheme, origin: &Authority) {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers().get(HOST);
    let authority = host
        .and_then(|host| Authority::try_from(host.as_bytes()).ok())
        .or_else(|| request.uri().authority().cloned())
        .unwrap_or_else(|| origin.clone());
    request.headers_mut().remove(HOST);
    // It names fields of the hop, where the request was made ready for HTTP/1.1 before.
    request.headers_mut().remove(CONNECTION);
    let path = request.uri().path_and_query().cloned();
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(authority);
    parts.path_and_query = Some(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

fn origin_form(uri: &Uri) -> Uri {
    match uri.path_and_query() {
        Some(path) => Uri::from(path.clone()),
        None => Uri::from_static("/"),
    }
}

fn without_userinfo(authority: &Authority) -> &str {
    let all = authority.as_str();
    all.rsplit_once('@').map_or(all, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_with_or_without_a_port() {
        for host in [
            "",
            "shop",
            "shop:80",
            "shop:",
            "10.0.0.1:1",
            "[::1]",
            "[::1]:80",
            "a_b",
            "%41",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a b",
            "shop/x",
            "me@shop",
            "shop:x",
            "shop, evil",
            "a?b",
            "a#b",
            "[::1",
            "[::1]x",
            "::1",
            "[a/b]",
            "\u{e9}",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    fn names(map: &HeaderMap) -> Vec<&str> {
        map.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn fields_of_the_connection_end_here() {
        let mut map = headers(&[
            ("connection", "close, X-Mine"),
            ("connection", "x-other, te"),
            ("x-mine", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("trailer", "x-sum"),
            ("x-kept", "3"),
        ]);
        strip_hop_by_hop(&mut map);
        assert_eq!(names(&map), ["trailer", "x-kept"]);
    }

    #[test]
    fn every_field_of_the_connection_is_told_by_its_name() {
        for (index, name) in HOP_BY_HOP.iter().enumerate() {
            assert_eq!(hop_by_hop(name), Some(index), "{name}");
        }
        assert_eq!(hop_by_hop(&HOST), None);
    }

    #[test]
    fn the_target_overrides_a_host_that_names_another_and_no_other_spelling_of_its_own() {
        let host = |target: &str, said: &[&str]| {
            let request = said.iter().fold(Request::get(target), |request, host| {
                request.header("host", *host)
            });
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            host_of_target(&parts.uri, &mut parts.headers);
            let lines = parts.headers.get_all(HOST).iter();
            lines
                .map(|line| line.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
                .join(", ")
        };
        for (target, said, sent) in [
            ("http://shop/", "shop", "shop"),
            ("http://shop:80/", "shop", "shop"),
            ("http://shop/", "shop:80", "shop:80"),
            ("https://shop:443/", "shop", "shop"),
            ("http://Shop/", "shop", "shop"),
            ("http://me:word@shop/", "shop", "shop"),
            ("http://[::1]:80/", "[::1]", "[::1]"),
            ("http://shop:81/", "shop", "shop:81"),
            ("http://shop/", "shop:443", "shop"),
            ("https://shop:80/", "shop", "shop:80"),
            ("http://shop/", "shop:", "shop:"),
            ("http://shop/", "shop:99999", "shop"),
            ("http://shop/", "shop:(1", "shop"),
            ("http://shop/", "other", "shop"),
            ("http://shop/", "me@shop", "shop"),
            ("http://me@shop/", "me@shop", "shop"),
            ("http://shop/", "", "shop"),
            ("/", "shop", "shop"),
        ] {
            assert_eq!(host(target, &[said]), sent, "{said:?} for {target}");
        }
        assert_eq!(host("http://shop/", &[]), "shop");
        assert_eq!(host("http://shop/", &["shop", "other"]), "shop");
    }

    #[test]
    fn in_http2_the_authority_names_the_host() {
        let asked = |target: &str, said: &[&str]| {
            let request = said.iter().fold(Request::get(target), |request, host| {
                request.header("host", *host)
            });
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let own = || Authority::from_static("own");
            one_host(Version::HTTP_2, &parts.uri, &mut parts.headers, own)?;
            let host = parts.headers.get(HOST);
            Ok(host.map(|host| host.to_str().unwrap().to_owned()))
        };
        assert_eq!(asked("http://shop/", &[]), Ok(None), "nothing is added");
        for (said, left) in [("evil", "shop"), ("shop:80", "shop:80"), ("SHOP", "SHOP")] {
            assert_eq!(asked("http://shop/", &[said]), Ok(Some(left.to_owned())));
        }
        assert_eq!(
            asked("http://shop/", &["shop", "evil"]),
            Ok(Some("shop".to_owned()))
        );
        assert_eq!(asked("http://me@shop/", &[]), Err(BadHost::Malformed));
        assert_eq!(asked("/", &["shop"]), Ok(Some("shop".to_owned())));
        assert_eq!(asked("/", &["sh op"]), Err(BadHost::Malformed));
        assert_eq!(asked("/", &["a", "b"]), Err(BadHost::Several));
    }

    #[test]
    fn connection_cannot_take_away_the_host_or_the_length() {
        let mut map = headers(&[
            ("connection", "host, content-length"),
            ("host", "a"),
            ("content-length", "1"),
        ]);
        strip_hop_by_hop(&mut map);
        assert_eq!(names(&map).len(), 2);
    }

    #[test]
    fn te_keeps_trailers_alone() {
        for (te, kept) in [("trailers, deflate", true), ("gzip", false)] {
            let mut map = headers(&[]);
            map.append(TE, te.parse().unwrap());
            map.append(CONNECTION, "te".parse().unwrap());
            strip_hop_by_hop(&mut map);
            assert_eq!(map.get(TE).is_some(), kept, "{te}");
        }
    }

    #[test]
    fn an_h2_request_becomes_an_http1_request() {
        let mut request = Request::get("http://me@shop:81/a//b?x=%2F")
            .version(Version::HTTP_2)
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("te", "trailers")
            .body(())
            .unwrap();
        into_http1(&mut request);
        let (parts, ()) = request.into_parts();
        assert_eq!(parts.uri, "/a//b?x=%2F");
        assert_eq!(parts.headers["host"], "shop:81");
        assert_eq!(parts.headers["cookie"], "a=1; b=2");
        assert_eq!(parts.headers["connection"], "te");
        assert_eq!(parts.version, Version::HTTP_11);
    }

    #[test]
    fn an_http1_request_becomes_an_h2_request_under_the_name_it_asked_for() {
        let mut request = Request::get("/a?b")
            .header("host", "shop:81")
            .header("te", "trailers")
            .header("connection", "te")
            .body(())
            .unwrap();
        into_http2(
            &mut request,
            &Scheme::HTTP,
            &Authority::from_static("127.0.0.1:3000"),
        );
        let (parts, ()) = request.into_parts();
        assert_eq!(parts.uri, "http://shop:81/a?b");
        assert_eq!(names(&parts.headers), ["te"]);
    }
}

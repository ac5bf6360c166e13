//! Values as people write them: `10s`, `64KiB`, `3000`, `off`.
//!
//! A value comes as text from a flag or a variable, and from the file also as a list or a mapping;
//! [`Written`] is all three. Every type here has one parser for all of them, so that a value means
//! the same wherever it stands, and the parser's refusal says what would have been right.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use throughline::{propagation::Format, sample::Sampler};

use super::AppAddress;
use crate::{
    export::otlp::{Compression, Protocol as OtlpProtocol},
    outbound::Route,
    pool,
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

/// Text that is passed on as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl Scalar for Text {
    fn from_text(text: &str) -> Result<Self, Bad> {
        if text.chars().any(char::is_control) {
            return Err(Bad::new("control characters are not allowed"));
        }
        Ok(Self(text.to_owned()))
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

/// Host names and networks that are called directly; the empty list is a list of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hosts(pub(crate) String);

impl Value for Hosts {
    const SHAPE: Shape = Shape::List;

    fn parse(written: &Written) -> Result<Self, Bad> {
        let items = items(written)?;
        let text = items.join(",");
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Bad::new("hosts are separated by commas alone"));
        }
        Ok(Self(text))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A path of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePath(pub(crate) Option<PathBuf>);

impl Scalar for FilePath {
    fn from_text(text: &str) -> Result<Self, Bad> {
        Ok(Self((!text.is_empty()).then(|| PathBuf::from(text))))
    }

    fn to_text(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(String::new, |path| path.display().to_string())
    }
}

/// A time that something may take: more than nothing, and at most a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeout(pub(crate) Duration);

impl Scalar for Timeout {
    fn from_text(text: &str) -> Result<Self, Bad> {
        let duration = duration(text)?;
        if duration.is_zero() {
            return Err(Bad::new("it must be longer than nothing"));
        }
        Ok(Self(duration))
    }

    fn to_text(&self) -> String {
        show_duration(self.0)
    }
}

/// A time that may also be nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause(pub(crate) Duration);

impl Scalar for Pause {
    fn from_text(text: &str) -> Result<Self, Bad> {
        duration(text).map(Self)
    }

    fn to_text(&self) -> String {
        show_duration(self.0)
    }
}

/// Units of time and their milliseconds, the largest first.
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// A day: nothing here is meant to wait longer, and no sum with it can overflow a clock.
const LONGEST: u64 = 24 * 3_600_000;

fn duration(text: &str) -> Result<Duration, Bad> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = match number.parse() {
        Ok(number) => number,
        Err(_) => {
            return Err(Bad::new(
                "a time is a whole number and a unit, as in 250ms, 10s or 1m",
            ));
        }
    };
    let unit = unit.trim();
    let factor = match TIME_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() && number == 0 => 1,
        None if unit.is_empty() => {
            return Err(Bad::new(format!(
                "a time needs a unit, as in {number}ms, {number}s or {number}m"
            )));
        }
        None => return Err(Bad::new("the units of time are ms, s, m and h")),
    };
    match number.checked_mul(factor) {
        Some(millis) if millis <= LONGEST => Ok(Duration::from_millis(millis)),
        _ => Err(Bad::new("it must be at most 24h")),
    }
}

fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let (unit, factor) = TIME_UNITS
        .into_iter()
        .find(|(_, factor)| millis.is_multiple_of(*factor))
        .expect("one divides everything");
    format!("{}{unit}", millis / factor)
}

/// A number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count<const LEAST: u32, const MOST: u32>(pub(crate) u32);

impl<const LEAST: u32, const MOST: u32> Scalar for Count<LEAST, MOST> {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text.parse() {
            Ok(number) if (LEAST..=MOST).contains(&number) => Ok(Self(number)),
            _ => Err(Bad::new(format!(
                "a whole number from {LEAST} to {MOST} is expected"
            ))),
        }
    }

    fn to_text(&self) -> String {
        self.0.to_string()
    }
}

impl<const LEAST: u32, const MOST: u32> Count<LEAST, MOST> {
    /// The number as a size.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).expect("32 bits fit on every machine that this is built for")
    }
}

/// How many bytes, from 8 KiB (less than which hyper does not buffer) to 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u32);

impl Bytes {
    const UNITS: [(&str, u32); 3] = [("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
    const LEAST: u32 = 8 << 10;
    const MOST: u32 = 16 << 20;

    /// The number as a size.
    pub(crate) fn size(self) -> usize {
        usize::try_from(self.0).expect("32 bits fit on every machine that this is built for")
    }
}

impl Scalar for Bytes {
    fn from_text(text: &str) -> Result<Self, Bad> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let factor = Self::UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor);
        let factor = if unit.is_empty() { Some(1) } else { factor };
        let (Ok(number), Some(factor)) = (number.parse::<u32>(), factor) else {
            return Err(Bad::new(
                "a size is a whole number and B, KiB or MiB, as in 64KiB",
            ));
        };
        match number.checked_mul(factor) {
            Some(bytes) if (Self::LEAST..=Self::MOST).contains(&bytes) => Ok(Self(bytes)),
            _ => Err(Bad::new("it must be from 8KiB to 16MiB")),
        }
    }

    fn to_text(&self) -> String {
        let (unit, factor) = Self::UNITS
            .into_iter()
            .find(|(_, factor)| self.0.is_multiple_of(*factor))
            .expect("one divides everything");
        format!("{}{unit}", self.0 / factor)
    }
}

/// How many threads; `None` is as many as the machine suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workers(pub(crate) Option<u32>);

impl Scalar for Workers {
    fn from_text(text: &str) -> Result<Self, Bad> {
        if text == "auto" {
            return Ok(Self(None));
        }
        match Count::<1, 256>::from_text(text) {
            Ok(count) => Ok(Self(Some(count.0))),
            Err(bad) => Err(Bad::new(format!("{}, or auto", bad.why))),
        }
    }

    fn to_text(&self) -> String {
        self.0.map_or_else(|| "auto".to_owned(), |n| n.to_string())
    }
}

impl Scalar for SocketAddr {
    fn from_text(text: &str) -> Result<Self, Bad> {
        text.parse().map_err(|_| {
            Bad::new("an address to listen at is an IP address and a port, as in 127.0.0.1:15001")
        })
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

/// Where the app listens, where that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct App(pub(crate) Option<AppAddress>);

impl Scalar for App {
    fn from_text(text: &str) -> Result<Self, Bad> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let bad = || {
            Bad::new(
                "the app's address is a port or a host and a port, as in 3000 or localhost:3000",
            )
        };
        let (host, port) = match text.rsplit_once(':') {
            None => ("", text),
            Some(parts) => parts,
        };
        let port: u16 = match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return Err(bad()),
        };
        let unbracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match (host, unbracketed) {
            ("", _) => "127.0.0.1",
            (_, Some(address)) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
            (name, None) if is_host_name(name) => name,
            _ => return Err(bad()),
        };
        Ok(Self(Some(AppAddress {
            host: host.to_owned(),
            port,
        })))
    }

    fn to_text(&self) -> String {
        self.0
            .as_ref()
            .map_or_else(String::new, ToString::to_string)
    }
}

/// Letters, digits, dots, dashes and underscores: names of DNS and of containers, and IPv4.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl Scalar for pool::Protocol {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "auto" => Ok(Self::Auto),
            "http1" => Ok(Self::Http1),
            "h2c" => Ok(Self::H2c),
            _ => Err(Bad::new("the protocols are auto, http1 and h2c")),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Auto => "auto",
            Self::Http1 => "http1",
            Self::H2c => "h2c",
        }
        .to_owned()
    }
}

/// A list of fixed ways out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routes(pub(crate) Vec<Route>);

impl Value for Routes {
    const SHAPE: Shape = Shape::Routes;

    fn parse(written: &Written) -> Result<Self, Bad> {
        let mut routes = Vec::new();
        for (index, item) in items(written)?.into_iter().enumerate() {
            routes.push(route(item).map_err(|why| Bad {
                why,
                item: Some(index),
            })?);
        }
        Ok(Self(routes))
    }

    fn show(&self) -> String {
        let routes = self.0.iter().map(|route| {
            let upstream = route.upstream.to_string();
            format!("{}={}", route.listen, upstream.trim_end_matches('/'))
        });
        routes.collect::<Vec<_>>().join(",")
    }
}

fn route(text: &str) -> Result<Route, String> {
    let Some((listen, upstream)) = text.split_once('=') else {
        return Err("a route is LISTEN=UPSTREAM, as in 127.0.0.1:9001=stock:80".to_owned());
    };
    let listen: SocketAddr = listen.trim().parse().map_err(|_| {
        format!(
            "{listen:?} is no IP address and port to listen at, as 127.0.0.1:9001 in \
             127.0.0.1:9001=stock:80"
        )
    })?;
    let upstream = upstream.trim();
    let url = if upstream.contains("://") {
        upstream.to_owned()
    } else {
        format!("http://{upstream}")
    };
    let bad = || {
        format!(
            "{upstream:?} is no upstream; give its host and port, as in stock:80 or https://stock"
        )
    };
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let parts = uri.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
        return Err(bad());
    };
    let known = matches!(scheme.as_str(), "http" | "https");
    let bare = parts.path_and_query.is_none_or(|path| path == "/");
    if !known || !bare || authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(bad());
    }
    let upstream = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query("/")
        .build()
        .map_err(|_| bad())?;
    Ok(Route { listen, upstream })
}

impl Scalar for HeaderName {
    fn from_text(text: &str) -> Result<Self, Bad> {
        text.parse().map_err(|_| {
            Bad::new(format!(
                "{text:?} is no name of a header, as x-request-id is"
            ))
        })
    }

    fn to_text(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Scalar for Format {
    fn from_text(text: &str) -> Result<Self, Bad> {
        text.parse()
            .map_err(|unknown| Bad::new(format!("{unknown}")))
    }

    fn to_text(&self) -> String {
        self.name().to_owned()
    }
}

/// A sampler, with the name that it was asked for by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedSampler {
    pub(crate) sampler: Sampler,
    name: String,
}

impl Scalar for NamedSampler {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text.parse() {
            Ok(sampler) => Ok(Self {
                sampler,
                name: text.to_owned(),
            }),
            Err(invalid) => Err(Bad::new(format!("{invalid}"))),
        }
    }

    fn to_text(&self) -> String {
        self.name.clone()
    }
}

/// How much is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level(pub(crate) &'static str);

impl Scalar for Level {
    fn from_text(text: &str) -> Result<Self, Bad> {
        const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
        LEVELS
            .into_iter()
            .find(|level| level.eq_ignore_ascii_case(text))
            .map(Self)
            .ok_or_else(|| Bad::new("the levels are off, error, warn, info, debug and trace"))
    }

    fn to_text(&self) -> String {
        self.0.to_owned()
    }
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switch(pub(crate) bool);

impl Scalar for Switch {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "on" | "true" => Ok(Self(true)),
            "off" | "false" => Ok(Self(false)),
            _ => Err(Bad::new("it is either on or off")),
        }
    }

    fn to_text(&self) -> String {
        if self.0 { "on" } else { "off" }.to_owned()
    }
}

/// Whether spans leave the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exporter {
    /// As OTLP where an endpoint is given, else not at all.
    Auto,
    /// As OTLP, to the default endpoint where none is given.
    Otlp,
    /// Not at all.
    None,
}

impl Scalar for Exporter {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "auto" => Ok(Self::Auto),
            "otlp" => Ok(Self::Otlp),
            "none" => Ok(Self::None),
            _ => Err(Bad::new("the exporters are auto, otlp and none")),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Auto => "auto",
            Self::Otlp => "otlp",
            Self::None => "none",
        }
        .to_owned()
    }
}

impl Scalar for OtlpProtocol {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "grpc" => Ok(Self::Grpc),
            "http/protobuf" => Ok(Self::HttpProtobuf),
            _ => Err(Bad::new("the protocols of OTLP are http/protobuf and grpc")),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
        .to_owned()
    }
}

impl Scalar for Compression {
    fn from_text(text: &str) -> Result<Self, Bad> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            _ => Err(Bad::new("the compressions are none and gzip")),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
        }
        .to_owned()
    }
}

/// Where OTLP goes, where that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(pub(crate) Option<String>);

impl Scalar for Endpoint {
    fn from_text(text: &str) -> Result<Self, Bad> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let known = text.starts_with("http://") || text.starts_with("https://");
        match text.parse::<Uri>() {
            // It would be shown and logged with the endpoint.
            Ok(uri) if uri.authority().is_some_and(|a| a.as_str().contains('@')) => Err(Bad::new(
                "an endpoint holds no user and password; give them as an authorization header in \
                 otlp_headers",
            )),
            Ok(uri) if known && uri.host().is_some_and(|host| !host.is_empty()) => {
                Ok(Self(Some(text.to_owned())))
            }
            _ => Err(Bad::new(
                "an endpoint is a URL with http or https, as in http://localhost:4318",
            )),
        }
    }

    fn to_text(&self) -> String {
        self.0.clone().unwrap_or_default()
    }
}

impl Endpoint {
    /// The URL that spans are sent to in this protocol.
    ///
    /// HTTP without a path goes to `/v1/traces`, and a path, be it only `/`, stays as it is. gRPC
    /// has paths of its own, so that what was given is left away.
    pub(crate) fn url(&self, protocol: OtlpProtocol) -> String {
        let base = self.0.as_deref().unwrap_or(match protocol {
            OtlpProtocol::Grpc => "http://localhost:4317",
            OtlpProtocol::HttpProtobuf => "http://localhost:4318",
        });
        let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        match protocol {
            OtlpProtocol::Grpc => format!("{scheme}://{}", &rest[..end]),
            OtlpProtocol::HttpProtobuf if end == rest.len() => format!("{base}/v1/traces"),
            OtlpProtocol::HttpProtobuf => base.to_owned(),
        }
    }
}

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
fn pairs(written: &Written) -> Result<Vec<(String, String)>, Bad> {
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
    use super::*;

    fn parse<T: Value>(text: &str) -> Result<T, String> {
        T::parse(&Written::One(text.to_owned())).map_err(|bad| bad.why)
    }

    /// Asserts what a text is shown as once it is understood, or what its refusal contains.
    fn check<T: Value>(cases: &[(&str, Result<&str, &str>)]) {
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
    fn times_have_units() {
        check::<Timeout>(&[
            ("250ms", Ok("250ms")),
            ("10s", Ok("10s")),
            ("1500ms", Ok("1500ms")),
            ("60s", Ok("1m")),
            ("90m", Ok("90m")),
            ("2 h", Ok("2h")),
            ("24h", Ok("24h")),
            ("25h", Err("at most 24h")),
            ("99999999999999999h", Err("at most 24h")),
            ("10", Err("as in 10ms, 10s or 10m")),
            ("0s", Err("longer than nothing")),
            ("-1s", Err("whole number")),
            ("1.5s", Err("units of time")),
            ("1w", Err("ms, s, m and h")),
            ("", Err("as in 250ms")),
        ]);
        check::<Pause>(&[("0", Ok("0s")), ("0s", Ok("0s"))]);
        check::<OrOff<Timeout>>(&[("off", Ok("off")), ("1s", Ok("1s")), ("x", Err("or off"))]);
    }

    #[test]
    fn sizes_have_units() {
        check::<Bytes>(&[
            ("64KiB", Ok("64KiB")),
            ("65536", Ok("64KiB")),
            ("1 MiB", Ok("1MiB")),
            ("9000B", Ok("9000B")),
            ("1KiB", Err("from 8KiB to 16MiB")),
            ("4000000KiB", Err("from 8KiB to 16MiB")),
            ("5000000KiB", Err("from 8KiB to 16MiB")),
            ("64kb", Err("as in 64KiB")),
            ("", Err("as in 64KiB")),
        ]);
    }

    #[test]
    fn app_is_a_port_or_a_host_and_a_port() {
        check::<App>(&[
            ("3000", Ok("127.0.0.1:3000")),
            (":3000", Ok("127.0.0.1:3000")),
            ("orders:3000", Ok("orders:3000")),
            ("[::1]:3000", Ok("[::1]:3000")),
            ("orders", Err("as in 3000 or localhost:3000")),
            ("orders:0", Err("a host and a port")),
            ("orders:99999", Err("a host and a port")),
            ("::1:3000", Err("a host and a port")),
            ("http://orders:3000", Err("a host and a port")),
            ("[nonsense]:80", Err("a host and a port")),
        ]);
    }

    #[test]
    fn listeners_may_be_off() {
        check::<OrOff<SocketAddr>>(&[
            ("0.0.0.0:1", Ok("0.0.0.0:1")),
            ("off", Ok("off")),
            ("8080", Err("127.0.0.1:15001, or off")),
        ]);
    }

    #[test]
    fn routes_name_both_ends() {
        check::<Routes>(&[
            ("", Ok("")),
            (
                "127.0.0.1:1=stock:80, 127.0.0.1:2=https://pay",
                Ok("127.0.0.1:1=http://stock:80,127.0.0.1:2=https://pay"),
            ),
            ("127.0.0.1:1", Err("LISTEN=UPSTREAM")),
            ("9001=stock:80", Err("\"9001\" is no IP address")),
            ("127.0.0.1:1=stock/path", Err("is no upstream")),
            ("127.0.0.1:1=ftp://stock", Err("is no upstream")),
            ("127.0.0.1:1=user@stock", Err("is no upstream")),
            ("127.0.0.1:1=", Err("is no upstream")),
        ]);
    }

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

    #[test]
    fn endpoints_follow_the_specification() {
        use OtlpProtocol::{Grpc, HttpProtobuf};
        for (given, protocol, expected) in [
            ("", HttpProtobuf, "http://localhost:4318/v1/traces"),
            ("", Grpc, "http://localhost:4317"),
            ("http://c:1", HttpProtobuf, "http://c:1/v1/traces"),
            ("http://c:1/", HttpProtobuf, "http://c:1/"),
            ("https://c/otlp", HttpProtobuf, "https://c/otlp"),
            ("https://c/otlp", Grpc, "https://c"),
        ] {
            let endpoint: Endpoint = parse(given).unwrap();
            assert_eq!(endpoint.url(protocol), expected, "{given:?}");
        }
        for bad in [
            "localhost:4318",
            "ftp://c",
            "http://",
            "http:///x",
            "http://a b",
        ] {
            let why = parse::<Endpoint>(bad).unwrap_err();
            assert!(why.contains("http://localhost:4318"), "{bad}: {why}");
        }
        let why = parse::<Endpoint>("http://me:secret@c").unwrap_err();
        assert!(why.contains("otlp_headers"), "{why}");
    }

    #[test]
    fn words_are_refused_with_those_that_exist() {
        check::<pool::Protocol>(&[("h2c", Ok("h2c")), ("h3", Err("auto, http1 and h2c"))]);
        check::<OtlpProtocol>(&[("grpc", Ok("grpc")), ("udp", Err("http/protobuf and grpc"))]);
        check::<Compression>(&[("gzip", Ok("gzip")), ("zip", Err("none and gzip"))]);
        check::<Exporter>(&[("otlp", Ok("otlp")), ("x", Err("auto, otlp and none"))]);
        check::<Switch>(&[
            ("on", Ok("on")),
            ("false", Ok("off")),
            ("x", Err("on or off")),
        ]);
        check::<Level>(&[("INFO", Ok("info")), ("loud", Err("off, error, warn"))]);
        check::<Workers>(&[("auto", Ok("auto")), ("2", Ok("2")), ("0", Err("or auto"))]);
        check::<NamedSampler>(&[
            ("traceidratio=0.5", Ok("traceidratio=0.5")),
            ("sometimes", Err("always_on")),
        ]);
    }
}

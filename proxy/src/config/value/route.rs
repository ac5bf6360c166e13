//! Fixed ways out, and the settings that each has of its own.
//!
//! A route is written in one line whatever its source: `LISTEN=UPSTREAM+UPSTREAM;key=value`. A key
//! is the name of a setting, and its value is read by that setting's own parser, so that a timeout of
//! a route is written and refused as the timeout of all is.

use std::net::SocketAddr;

use http::Uri;

use super::{Bad, Shape, Value, Written, items};
use crate::config::settings::find;

/// The settings that a route can have of its own.
pub(crate) const OWN: [&str; 22] = [
    "connect_timeout",
    "response_timeout",
    "response_idle_timeout",
    "request_timeout",
    "max_connections",
    "max_requests",
    "max_pending",
    "queue_timeout",
    "retry_on",
    "retry_attempts",
    "retry_backoff",
    "retry_backoff_max",
    "retry_budget",
    "retry_budget_min",
    "retry_marked_by",
    "retry_body_bytes",
    "balance",
    "check",
    "check_interval",
    "eject_after",
    "eject_time",
    "resolve_interval",
];

/// What stands between the items of a list inside of a route: commas stand between routes.
const AND: char = '+';

/// A list of fixed ways out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routes(pub(crate) Vec<RouteSettings>);

/// A fixed way out, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteSettings {
    pub(crate) listen: SocketAddr,
    /// At least one.
    pub(crate) upstreams: Vec<Uri>,
    own: Vec<(&'static str, Written)>,
}

impl RouteSettings {
    /// Its own value of a setting, or else that of all.
    pub(crate) fn or<T: Value + Clone>(&self, key: &str, of_all: &T) -> T {
        debug_assert!(OWN.contains(&key), "{key} is no setting of a route");
        let written = self.own.iter().find(|(own, _)| *own == key);
        // It was read when the route was, and is not refused any more.
        let own = written.and_then(|(_, written)| T::parse(written).ok());
        own.unwrap_or_else(|| of_all.clone())
    }
}

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
            let upstreams = route.upstreams.iter().map(ToString::to_string);
            let upstreams: Vec<_> = upstreams
                .map(|upstream| upstream.trim_end_matches('/').to_owned())
                .collect();
            let upstreams = upstreams.join(&AND.to_string());
            let mut text = format!("{}={upstreams}", route.listen);
            for (key, value) in &route.own {
                let value = value.text().replace(',', &AND.to_string());
                text.push_str(&format!(";{key}={value}"));
            }
            text
        });
        routes.collect::<Vec<_>>().join(",")
    }
}

fn route(text: &str) -> Result<RouteSettings, String> {
    let mut parts = text.split(';');
    let first = parts.next().unwrap_or_default();
    let Some((listen, upstream)) = first.split_once('=') else {
        return Err("a route is LISTEN=UPSTREAM, as in 127.0.0.1:9001=stock:80".to_owned());
    };
    let listen: SocketAddr = listen.trim().parse().map_err(|_| {
        format!(
            "{listen:?} is no IP address and port to listen at, as 127.0.0.1:9001 in \
             127.0.0.1:9001=stock:80"
        )
    })?;
    let upstreams: Vec<Uri> = upstream
        .split(AND)
        .map(|upstream| uri(upstream.trim()))
        .collect::<Result<_, _>>()?;
    let mut own: Vec<(&'static str, Written)> = Vec::new();
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let (key, written) = setting(part)?;
        if own.iter().any(|(other, _)| *other == key) {
            return Err(format!("{key} is given twice for {listen}; give it once"));
        }
        own.push((key, written));
    }
    Ok(RouteSettings {
        listen,
        upstreams,
        own,
    })
}

/// One `key=value` of a route.
fn setting(text: &str) -> Result<(&'static str, Written), String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(format!(
            "{text:?} is no setting of a route; write it key=value, as in request_timeout=2s"
        ));
    };
    let (key, value) = (key.trim(), value.trim());
    let known = OWN.into_iter().find(|own| *own == key);
    let Some(setting) = known.and_then(find) else {
        return Err(format!(
            "{key:?} is no setting that a route has of its own; those are listen, upstream, {}",
            OWN.join(", ")
        ));
    };
    let written = Written::One(if setting.is_list() {
        value.replace(AND, ",")
    } else {
        value.to_owned()
    });
    match (setting.check)(&written) {
        Ok(()) => Ok((setting.key, written)),
        Err(bad) => Err(format!("its {key} is {value:?}: {}", bad.why)),
    }
}

fn uri(upstream: &str) -> Result<Uri, String> {
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
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query("/")
        .build()
        .map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Count, OrOff, Timeout, tests::check},
        *,
    };
    use std::time::Duration;

    #[test]
    fn routes_name_both_ends() {
        check::<Routes>(&[
            ("", Ok("")),
            (
                "127.0.0.1:1=stock:80, 127.0.0.1:2=https://pay",
                Ok("127.0.0.1:1=http://stock:80,127.0.0.1:2=https://pay"),
            ),
            (
                "127.0.0.1:1=a:1 + b:2",
                Ok("127.0.0.1:1=http://a:1+http://b:2"),
            ),
            ("127.0.0.1:1=a:1+", Err("\"\" is no upstream")),
            ("127.0.0.1:1", Err("LISTEN=UPSTREAM")),
            ("9001=stock:80", Err("\"9001\" is no IP address")),
            ("127.0.0.1:1=stock/path", Err("is no upstream")),
            ("127.0.0.1:1=ftp://stock", Err("is no upstream")),
            ("127.0.0.1:1=user@stock", Err("is no upstream")),
            ("127.0.0.1:1=", Err("is no upstream")),
        ]);
    }

    #[test]
    fn a_route_has_settings_of_its_own() {
        check::<Routes>(&[
            (
                "127.0.0.1:1=stock:80; request_timeout=2s;max_connections = 3",
                Ok("127.0.0.1:1=http://stock:80;request_timeout=2s;max_connections=3"),
            ),
            (
                "127.0.0.1:1=stock:80;request_timeout=2",
                Err("its request_timeout is \"2\": a time needs a unit"),
            ),
            (
                "127.0.0.1:1=stock:80;workers=2",
                Err("\"workers\" is no setting that a route has of its own; those are listen"),
            ),
            ("127.0.0.1:1=stock:80;x", Err("write it key=value")),
            (
                "127.0.0.1:1=a;request_timeout=1s;request_timeout=2s",
                Err("given twice"),
            ),
        ]);
        let text = "127.0.0.1:1=stock:80;request_timeout=2s";
        let routes = Routes::parse(&Written::One(text.to_owned())).unwrap();
        let route = &routes.0[0];
        let own = route.or("request_timeout", &OrOff(None));
        assert_eq!(own, OrOff(Some(Timeout(Duration::from_secs(2)))));
        let of_all = Count::<1, 65535>(7);
        assert_eq!(route.or("max_connections", &of_all), of_all);
    }

    #[test]
    fn every_setting_of_a_route_is_a_setting() {
        for key in OWN {
            assert!(find(key).is_some(), "{key}");
        }
    }
}

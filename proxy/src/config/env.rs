//! The environment: read here and nowhere else, and then a map like any other.

use std::collections::BTreeMap;

use crate::forwarders;

use super::{
    Error,
    error::nearest,
    layer::{Entry, Layer},
    origin::Source,
    settings::{TABLE, find},
};

/// The variable with the path of the configuration file.
pub const FILE: &str = "THROUGHLINE_CONFIG";
/// The variable with the text of the configuration file, for where there are no files to mount.
pub const CONTENT: &str = "THROUGHLINE_CONFIG_CONTENT";

const PREFIX: &str = "THROUGHLINE_";

/// The environment of this process; what is not UTF-8 in it is replaced.
#[must_use]
pub fn read() -> BTreeMap<String, String> {
    std::env::vars_os()
        .map(|(name, value)| {
            let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
            (text(name), text(value))
        })
        .collect()
}

/// The settings among `THROUGHLINE_*`.
///
/// An empty variable counts as none, since task definitions are full of them, but for the settings
/// for which being empty means something.
pub(crate) fn parse(environment: &BTreeMap<String, String>) -> Result<Layer, Error> {
    let mut layer = Layer::new();
    for (variable, text) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        // What an app's forwarders are told stands in a task's environment, for all its containers.
        let is_for_forwarders = forwarders::variable::ALL.contains(&variable.as_str());
        if variable == FILE
            || variable == CONTENT
            || is_for_forwarders
            || is_service_link(variable, environment)
        {
            continue;
        }
        let Some(setting) = TABLE.iter().find(|s| s.variable() == *variable) else {
            return Err(Error::Unknown {
                place: "the environment".to_owned(),
                name: variable.clone(),
                nearest: nearest(name).and_then(find).map(|s| s.variable()),
            });
        };
        if !text.trim().is_empty() || setting.empty_counts {
            layer.insert(
                setting.key,
                Entry::new(text.clone(), Source::Environment(variable.clone())),
            );
        }
    }
    Ok(layer)
}

/// Whether Kubernetes made this variable, as it does in every pod for every Service of the
/// namespace: `X_SERVICE_HOST` and, beside it, `X_SERVICE_PORT_HTTP`, `X_PORT`, `X_PORT_80_TCP_ADDR`
/// and so on. Nobody's pods may fail to start because a Service is called `throughline`.
fn is_service_link(variable: &str, environment: &BTreeMap<String, String>) -> bool {
    const HOST: &str = "_SERVICE_HOST";
    let port = |rest: &str| rest.is_empty() || rest.starts_with('_');
    let of = |service: &str| {
        variable.strip_prefix(service).is_some_and(|rest| {
            rest == HOST
                || rest.strip_prefix("_SERVICE_PORT").is_some_and(port)
                || rest.strip_prefix("_PORT").is_some_and(port)
        })
    };
    environment
        .keys()
        .filter_map(|name| name.strip_suffix(HOST))
        .any(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs.map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn settings_are_found_and_the_rest_is_left_alone() {
        let layer = parse(&environment(&[
            ("PATH", "/bin"),
            ("THROUGHLINE_CONFIG", "x.yaml"),
            ("THROUGHLINE_HEADER_TIMEOUT", "3s"),
            ("THROUGHLINE_NAME", ""),
            ("THROUGHLINE_FORWARD_VIA", "127.0.0.1:15001"),
            ("THROUGHLINE_NO_PROXY", ""),
        ]))
        .unwrap();
        assert_eq!(
            layer.keys().copied().collect::<Vec<_>>(),
            ["header_timeout", "no_proxy"]
        );
        assert_eq!(
            layer["header_timeout"].source.to_string(),
            "environment THROUGHLINE_HEADER_TIMEOUT"
        );
    }

    #[test]
    fn unknown_settings_are_mistakes() {
        let error = parse(&environment(&[("THROUGHLINE_HEADER_TIMOUT", "3s")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment: no setting is called THROUGHLINE_HEADER_TIMOUT; \
             did you mean THROUGHLINE_HEADER_TIMEOUT?"
        );
    }

    #[test]
    fn what_kubernetes_says_of_a_service_is_no_mistake() {
        let layer = parse(&environment(&[
            ("THROUGHLINE_PORT", "tcp://10.0.0.1:80"),
            ("THROUGHLINE_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("THROUGHLINE_SERVICE_HOST", "10.0.0.1"),
            ("THROUGHLINE_SERVICE_PORT_HTTP", "80"),
            ("THROUGHLINE_VIEWER_PORT", "tcp://10.0.0.2:80"),
            ("THROUGHLINE_VIEWER_SERVICE_HOST", "10.0.0.2"),
        ]));
        assert!(layer.unwrap().is_empty());
        let without_service = [("THROUGHLINE_PORT", "3000")];
        assert!(parse(&environment(&without_service)).is_err());
    }
}

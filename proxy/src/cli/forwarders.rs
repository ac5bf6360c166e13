//! `forwarders`: what this binary carries for apps that it does not start itself.
//!
//! `install` puts the files on a volume, as an init container does; `env` prints the variables by which
//! the app's container loads them from there.

use std::{collections::BTreeMap, io::Write, net::SocketAddr, path::Path};

use serde::Serialize;

use super::{Failure, print};
use crate::{
    child,
    config::Config,
    forwarders::{
        Forwarder, Placed, Selection, Told, environment, files, is_open_to_others, located, place,
    },
};

/// What there is.
pub(super) fn list() -> Result<(), Failure> {
    let rows = Forwarder::ALL.map(|forwarder| {
        let version = match files(forwarder) {
            [] => "not in this binary",
            _ => env!("CARGO_PKG_VERSION"),
        };
        let variable = forwarder.variable();
        [forwarder.name(), version, variable].map(str::to_owned)
    });
    let text = print::columns(&rows).join("\n");
    Ok(print::out(&format!("{text}\n"))?)
}

/// All files of all forwarders, below `directory`.
pub(super) fn install(directory: &Path) -> Result<(), Failure> {
    let placed = place(directory, &carried())
        .map_err(|error| anyhow::Error::new(error).context("forwarders cannot be installed"))?;
    if is_open_to_others(directory) {
        // Whoever can write there owns the app; but a fresh volume of Kubernetes is like that.
        let _ = writeln!(
            std::io::stderr(),
            "throughline: {} can be written to by others; mount it read-only in the app",
            directory.display()
        );
    }
    let rows: Vec<_> = placed
        .into_iter()
        .map(|Placed { forwarder, path }| [forwarder.to_string(), path.display().to_string()])
        .collect();
    let text = print::columns(&rows).join("\n");
    Ok(print::out(&format!("{text}\n"))?)
}

/// A variable, as task definitions and manifests have it.
#[derive(Serialize)]
struct Variable {
    name: String,
    value: String,
}

/// The variables for an app that finds the files below `directory`.
pub(super) fn env(
    directory: &Path,
    config: &Config,
    inherited: &BTreeMap<String, String>,
    is_json: bool,
) -> Result<(), Failure> {
    let variables = variables(directory, config, inherited)?;
    let text = if is_json {
        let variables: Vec<_> = variables
            .into_iter()
            .map(|(name, value)| Variable { name, value })
            .collect();
        let text = serde_json::to_string_pretty(&variables);
        text.map_err(|error| Failure::Runtime(error.into()))?
    } else {
        let lines: Vec<_> = variables.iter().map(|(n, v)| format!("{n}={v}")).collect();
        lines.join("\n")
    };
    Ok(print::out(&format!("{text}\n"))?)
}

fn variables(
    directory: &Path,
    config: &Config,
    inherited: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, Failure> {
    let config_error = |sentence: String| Err(Failure::Configuration(sentence));
    let wanted = match &config.forwarders.selection {
        Selection::These(these) => these.clone(),
        // Which runtime it is cannot be seen from here. What is loaded into every program of whatever
        // kind has to be asked for.
        Selection::Auto | Selection::None => {
            let mut copying = carried();
            copying.retain(|forwarder| *forwarder != Forwarder::Signal);
            copying
        }
    };
    let listeners = config.outbound.into_iter();
    let listeners = listeners.chain(config.routes.iter().map(|route| route.listen));
    let via: Vec<SocketAddr> = listeners.map(child::reachable).collect();
    if via.is_empty() {
        return config_error(
            "no call of the app goes through the sidecar, and forwarders copy nothing elsewhere; \
             give --outbound or --route"
                .to_owned(),
        );
    }
    if let Some(address) = via.iter().find(|address| address.port() == 0) {
        return config_error(format!(
            "the port of {address} is not known before it is taken; give the sidecar a fixed one"
        ));
    }
    let signal = config.forwarders.signal_file.clone();
    if wanted.contains(&Forwarder::Signal) && signal.is_none() {
        return config_error(
            "the forwarder signal needs a file that app and sidecar share; give --signal-file, here \
             and to `run`"
                .to_owned(),
        );
    }
    let placed = located(directory, &wanted).map_err(|error| {
        Failure::Configuration(format!("the variables cannot be written: {error}"))
    })?;
    let told = Told {
        via,
        exclude: config.forwarders.exclude.clone(),
        grace: config.forwarders.grace,
        signal,
    };
    Ok(environment(&placed, &told, inherited))
}

/// The forwarders that this binary has.
fn carried() -> Vec<Forwarder> {
    let all = Forwarder::ALL.into_iter();
    all.filter(|forwarder| !files(*forwarder).is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, resolve};

    fn of(flags: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        let flags = flags.iter();
        let sources = Sources {
            flags: flags.map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
            ..Sources::default()
        };
        let config = resolve(&sources).unwrap().config;
        let variables = variables(Path::new("/throughline"), &config, &BTreeMap::new());
        variables.map_err(|failure| failure.sentence())
    }

    #[test]
    fn an_app_elsewhere_is_told_where_the_files_and_the_sidecar_are() {
        let all = of(&[("routes", "127.0.0.1:9001=stock:80")]).unwrap();
        let value = |name: &str| {
            let found = all.iter().find(|(n, _)| n == name);
            found.map(|(_, value)| value.as_str())
        };
        let node = Some("--require=/throughline/node/forward.cjs");
        assert_eq!(value("NODE_OPTIONS"), node);
        assert_eq!(value("PYTHONPATH"), Some("/throughline/python"));
        assert_eq!(value("LD_PRELOAD"), None, "only if it is asked for");
        let via = Some("127.0.0.1:15001,127.0.0.1:9001");
        assert_eq!(value("THROUGHLINE_FORWARD_VIA"), via);

        let python = of(&[("forwarders", "python"), ("forwarder_exclude", ".x")]).unwrap();
        let names: Vec<_> = python.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "PYTHONPATH",
                "THROUGHLINE_FORWARD_VIA",
                "THROUGHLINE_FORWARD_EXCLUDE"
            ]
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_cure() {
        let error = of(&[("outbound", "off"), ("inbound", "off")]).unwrap_err();
        assert!(error.contains("--outbound or --route"), "{error}");
        let error = of(&[("outbound", "127.0.0.1:0")]).unwrap_err();
        assert!(error.contains("127.0.0.1:0 is not known"), "{error}");
    }
}

//! The variables that load forwarders into an app, and those that tell them what to do.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use super::{Forwarder, Placed, variable};

/// What forwarders are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Where the sidecar takes calls.
    pub via: Vec<SocketAddr>,
    /// Hosts to leave out, with commas between.
    pub exclude: String,
    /// How long after its response a request's context is still copied.
    pub grace: Duration,
    /// The file that tells which request a thread is serving.
    pub signal: Option<PathBuf>,
}

/// The variables for an app whose environment would be `inherited` without them.
///
/// What an image or a task sets for its runtime is kept, and ours comes beside it: behind it, but for
/// Python, where the first `sitecustomize` hides the others and ours is the one that runs them.
#[must_use]
pub fn environment(
    placed: &[Placed],
    told: &Told,
    inherited: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    if placed.is_empty() {
        return Vec::new();
    }
    let mut variables = Vec::new();
    for Placed { forwarder, path } in placed {
        let variable = forwarder.variable();
        let path = path.display();
        let ours = match forwarder {
            Forwarder::Node => format!("--require={path}"),
            Forwarder::Java => format!("-javaagent:{path}"),
            Forwarder::Python | Forwarder::Signal => path.to_string(),
        };
        let there = inherited.get(variable).map_or("", String::as_str).trim();
        let is_there = there
            .split([' ', ':'])
            .chain(there.split(' '))
            .any(|word| word == ours);
        let value = match (forwarder, there) {
            (_, "") => ours,
            (_, there) if is_there => there.to_owned(),
            (Forwarder::Python, there) => format!("{ours}:{there}"),
            (Forwarder::Signal, there) => format!("{there}:{ours}"),
            (Forwarder::Node | Forwarder::Java, there) => format!("{there} {ours}"),
        };
        variables.push((variable.to_owned(), value));
    }
    let via: Vec<_> = told.via.iter().map(SocketAddr::to_string).collect();
    variables.push((variable::VIA.to_owned(), via.join(",")));
    if !told.exclude.is_empty() {
        variables.push((variable::EXCLUDE.to_owned(), told.exclude.clone()));
    }
    if !told.grace.is_zero() {
        let grace = told.grace.as_millis().to_string();
        variables.push((variable::GRACE.to_owned(), grace));
    }
    let has_signal = placed.iter().any(|p| p.forwarder == Forwarder::Signal);
    if let Some(signal) = told.signal.as_ref().filter(|_| has_signal) {
        let signal = signal.display().to_string();
        variables.push((variable::SIGNAL.to_owned(), signal));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(forwarder: Forwarder, path: &str) -> Placed {
        Placed {
            forwarder,
            path: path.into(),
        }
    }

    fn value(placed: &Placed, inherited: &str) -> String {
        let variable = placed.forwarder.variable();
        let inherited = BTreeMap::from([(variable.to_owned(), inherited.to_owned())]);
        let told = Told::default();
        let set = environment(std::slice::from_ref(placed), &told, &inherited);
        assert_eq!(set[0].0, variable);
        set[0].1.clone()
    }

    #[test]
    fn what_is_there_is_kept() {
        let node = placed(Forwarder::Node, "/t/node/forward.cjs");
        let ours = "--require=/t/node/forward.cjs";
        assert_eq!(value(&node, ""), ours);
        assert_eq!(value(&node, " "), ours);
        let there = "--max-old-space-size=512";
        assert_eq!(value(&node, there), format!("{there} {ours}"));
        let both = format!("{ours} {there}");
        assert_eq!(value(&node, &both), both, "not twice");

        let python = placed(Forwarder::Python, "/t/python");
        assert_eq!(value(&python, "/srv:/lib"), "/t/python:/srv:/lib");
        assert_eq!(value(&python, "/srv:/t/python"), "/srv:/t/python");

        let java = placed(Forwarder::Java, "/t/java/forward.jar");
        let ours = "-javaagent:/t/java/forward.jar";
        assert_eq!(value(&java, "-Xmx1g"), format!("-Xmx1g {ours}"));
        assert_eq!(value(&java, ours), ours);

        let signal = placed(Forwarder::Signal, "/t/s.so");
        assert_eq!(value(&signal, "/lib/j.so"), "/lib/j.so:/t/s.so");
    }

    #[test]
    fn forwarders_are_told_where_the_sidecar_is_and_what_else_is_set() {
        let told = Told {
            via: vec![
                "127.0.0.1:15001".parse().unwrap(),
                "127.0.0.1:9001".parse().unwrap(),
            ],
            exclude: "a.example,.b.example".to_owned(),
            grace: Duration::from_secs(2),
            signal: Some("/t/signal".into()),
        };
        let none = BTreeMap::new();
        let set = |forwarder| environment(&[placed(forwarder, "/x")], &told, &none);
        let names =
            |set: Vec<(String, String)>| set.into_iter().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(
            set(Forwarder::Node)[1..],
            [
                ("THROUGHLINE_FORWARD_VIA", "127.0.0.1:15001,127.0.0.1:9001"),
                ("THROUGHLINE_FORWARD_EXCLUDE", "a.example,.b.example"),
                ("THROUGHLINE_FORWARD_GRACE_MS", "2000"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert!(names(set(Forwarder::Signal)).contains(&"THROUGHLINE_SIGNAL".to_owned()));
        assert_eq!(environment(&[], &told, &none), []);
    }
}

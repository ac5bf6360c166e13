//! What a started app gets along: forwarders in a directory of their own, and the variables that load
//! them.
//!
//! An app is never kept from starting by what it was to get along. What cannot be placed is left out,
//! and said.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::Addresses;
use crate::{
    child,
    forwarders::{
        self, Config, Forwarder, Placed, Program, Selection, Told, files, fitting, place,
    },
};

/// The longest first line of a script that is looked at.
const MAX_LINE: u64 = 256;

/// What an app gets along.
#[derive(Debug, Default)]
pub(super) struct Launch {
    /// Variables for its environment.
    pub(super) variables: Vec<(String, String)>,
    /// Where its threads tell which request they are serving, where no setting names the file.
    pub(super) own_signal_file: Option<PathBuf>,
    /// The files, for as long as the app may load them.
    _directory: Option<TempDir>,
}

impl Launch {
    /// What the app that `program` starts gets along.
    pub(super) fn with(
        config: &Config,
        program: &OsStr,
        addresses: &Addresses,
        inherited: &BTreeMap<String, String>,
    ) -> Self {
        let wanted = match &config.selection {
            Selection::None => return Self::default(),
            Selection::These(these) => these.clone(),
            Selection::Auto => {
                let program = look_at(program, inherited);
                let fitting = fitting(&program);
                if fitting.is_empty() {
                    let name = program.name;
                    tracing::info!("no forwarder is known to fit the command {name:?}");
                }
                fitting
            }
        };
        let (wanted, missing): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|f| !files(*f).is_empty());
        if let [first, ..] = missing[..] {
            tracing::warn!("this binary was built without the forwarder {first}; it is left out");
        }
        if wanted.is_empty() {
            return Self::default();
        }
        if via(addresses).is_empty() {
            tracing::warn!(
                "the app starts without forwarders: none of its calls goes through the sidecar; give \
                 --outbound or --route"
            );
            return Self::default();
        }
        match in_a_directory(&wanted) {
            Ok((directory, placed)) => Self::of(config, directory, &placed, addresses, inherited),
            Err(error) => {
                tracing::warn!("the app starts without forwarders, they cannot be placed: {error}");
                Self::default()
            }
        }
    }

    fn of(
        config: &Config,
        directory: TempDir,
        placed: &[Placed],
        addresses: &Addresses,
        inherited: &BTreeMap<String, String>,
    ) -> Self {
        let has_signal = placed.iter().any(|p| p.forwarder == Forwarder::Signal);
        let own_signal_file =
            (has_signal && config.signal_file.is_none()).then(|| directory.path().join("requests"));
        let told = Told {
            via: via(addresses),
            exclude: config.exclude.clone(),
            grace: config.grace,
            signal: own_signal_file
                .as_ref()
                .or(config.signal_file.as_ref())
                .cloned(),
        };
        let variables = forwarders::environment(placed, &told, inherited);
        let names = placed.iter().map(|placed| {
            let Placed { forwarder, .. } = placed;
            format!("{forwarder} by {}", forwarder.variable())
        });
        let names: Vec<_> = names.collect();
        tracing::info!("forwarders: {}", names.join(", "));
        Self {
            variables,
            own_signal_file,
            _directory: Some(directory),
        }
    }
}

/// Where the app's calls are taken.
fn via(addresses: &Addresses) -> Vec<SocketAddr> {
    let listeners = addresses.outbound.iter().chain(&addresses.routes);
    listeners.copied().map(child::reachable).collect()
}

/// A directory that nobody else can write to, whoever runs the app can read, and that is gone with us.
fn in_a_directory(wanted: &[Forwarder]) -> io::Result<(TempDir, Vec<Placed>)> {
    let directory = tempfile::Builder::new().prefix("throughline-").tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let placed = place(directory.path(), wanted)?;
    Ok((directory, placed))
}

/// What can be seen of a program before it runs; nothing where it is not found.
fn look_at(program: &OsStr, inherited: &BTreeMap<String, String>) -> Program {
    let path = Path::new(program);
    let name = path.file_name().unwrap_or(program).to_string_lossy();
    let found = if path.components().count() > 1 {
        Some(path.to_owned())
    } else {
        let places = inherited.get("PATH").map_or("", String::as_str);
        let mut places = env::split_paths(places).map(|place| place.join(path));
        places.find(|path| path.is_file())
    };
    Program {
        name: name.into_owned(),
        interpreter: found.and_then(|path| first_line(&path)),
    }
}

/// The first line of a script.
fn first_line(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_LINE)
        .read_to_end(&mut start)
        .ok()?;
    let line = start.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.starts_with("#!").then(|| line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inherited(path: &Path) -> BTreeMap<String, String> {
        BTreeMap::from([("PATH".to_owned(), format!("/none:{}", path.display()))])
    }

    fn launch(selection: Selection, program: &Path) -> Launch {
        let addresses = Addresses {
            outbound: Some("0.0.0.0:15001".parse().unwrap()),
            routes: vec!["127.0.0.1:9001".parse().unwrap()],
            ..Addresses::default()
        };
        launch_at(&addresses, selection, program)
    }

    fn launch_at(addresses: &Addresses, selection: Selection, program: &Path) -> Launch {
        let config = Config {
            selection,
            ..Config::default()
        };
        Launch::with(&config, program.as_os_str(), addresses, &BTreeMap::new())
    }

    #[test]
    fn a_script_is_known_by_its_interpreter() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("serve");
        fs::write(&script, "#!/usr/bin/env node\nrequire('http')\n").unwrap();
        let expected = Program {
            name: "serve".to_owned(),
            interpreter: Some("#!/usr/bin/env node".to_owned()),
        };
        let inherited = inherited(directory.path());
        assert_eq!(look_at("serve".as_ref(), &inherited), expected);
        assert_eq!(look_at(script.as_os_str(), &BTreeMap::new()), expected);
        fs::write(&script, [0x7f, b'E', b'L', b'F', 0xff]).unwrap();
        assert_eq!(look_at("serve".as_ref(), &inherited).interpreter, None);
        assert_eq!(look_at("none".as_ref(), &inherited).interpreter, None);
    }

    #[test]
    fn an_app_gets_what_fits_it_and_is_told_where_we_are() {
        let launched = launch(Selection::Auto, Path::new("node"));
        let variable = |name: &str| {
            let found = launched.variables.iter().find(|(n, _)| n == name);
            found.map(|(_, value)| value.clone())
        };
        let options = variable("NODE_OPTIONS").unwrap();
        let file = PathBuf::from(options.strip_prefix("--require=").unwrap());
        assert!(file.is_file(), "{options}");
        let via = variable("THROUGHLINE_FORWARD_VIA").unwrap();
        assert_eq!(via, "127.0.0.1:15001,127.0.0.1:9001");
        assert_eq!(variable("PYTHONPATH"), None);
        assert_eq!(launched.own_signal_file, None);
        drop(launched);
        assert!(!file.exists(), "gone with us");
    }

    #[test]
    fn an_app_that_nothing_fits_gets_nothing() {
        assert_eq!(launch(Selection::Auto, Path::new("./server")).variables, []);
        assert_eq!(launch(Selection::None, Path::new("node")).variables, []);
        let nowhere = Addresses::default();
        let node = launch_at(&nowhere, Selection::Auto, Path::new("node"));
        assert_eq!(node.variables, [], "no call would be seen");
        let these = Selection::These(vec![Forwarder::Python]);
        let asked = launch(these, Path::new("./server"));
        assert_eq!(asked.variables[0].0, "PYTHONPATH");
    }
}

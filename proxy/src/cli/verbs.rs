//! What each verb does.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use clap::ArgMatches;

use super::{Failure, arguments, forwarders, print};
use crate::{
    app,
    config::{self, Config, Detected, Origin, Resolved, Sources, env, file, reference, settings},
    demo,
    log::Log,
};

/// Does what the arguments ask for.
pub(crate) fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    match matches.subcommand() {
        Some(("run", matches)) => serve(matches),
        Some(("demo", matches)) => {
            let _ = Log::start("warn");
            Ok(demo::run(demo::Options {
                once: matches.get_flag("once"),
            })?)
        }
        Some(("check", matches)) => check(matches),
        Some(("config", matches)) => show(matches),
        Some(("forwarders", matches)) => forward(matches),
        _ => unreachable!("clap lets no other verb through"),
    }
}

/// `run`: the sidecar itself, until it is told to stop.
fn serve(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let command: Vec<OsString> = matches
        .get_many("command")
        .map_or_else(Vec::new, |words| words.cloned().collect());
    let sources = sources(matches, None, &command)?;
    let resolved = config::resolve(&sources)?;
    let Resolved {
        config,
        origins,
        warnings,
    } = &resolved;
    config.runnable(origins, !command.is_empty())?;
    let log = Log::start(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(app::run(sources, resolved, command, log)?)
}

/// `check`: silence would be an answer too, but a summary shows what was understood.
fn check(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let file = matches.get_one::<PathBuf>("file").map(PathBuf::as_path);
    let resolved = config::resolve(&sources(matches, file, &[])?)?;
    warn(&resolved);
    print::out(&summary(&resolved.config))?;
    Ok(ExitCode::SUCCESS)
}

fn summary(config: &Config) -> String {
    fn or_off<T: ToString>(value: Option<&T>) -> String {
        value.map_or_else(|| "off".to_owned(), T::to_string)
    }
    let app = match &config.app {
        Some(app) => app.to_string(),
        None => "none given; `run` needs --app, a command, or --inbound off".to_owned(),
    };
    let spans = match &config.tracing {
        None => "none, tracing is off".to_owned(),
        Some(tracing) => match &tracing.otlp {
            Some(otlp) => format!("to {}", otlp.endpoint),
            None => "in memory alone; otlp_endpoint would send them somewhere".to_owned(),
        },
    };
    let mut rows = vec![
        ["name".to_owned(), config.name.clone()],
        ["app".to_owned(), app],
        ["inbound".to_owned(), or_off(config.inbound.as_ref())],
        ["outbound".to_owned(), or_off(config.outbound.as_ref())],
        ["admin".to_owned(), or_off(config.admin.as_ref())],
    ];
    rows.extend(config.routes.iter().map(|route| {
        let text = format!("{} to {}", route.listen, route.upstream);
        ["route".to_owned(), text]
    }));
    rows.push(["spans".to_owned(), spans]);
    format!(
        "The configuration is good.\n{}\n",
        print::columns(&rows).join("\n")
    )
}

/// `config`: every value and where it comes from, or the table as a file.
fn show(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let text = if matches.get_flag("example") {
        reference::example()
    } else if matches.get_flag("reference") {
        reference::reference()
    } else {
        let resolved = config::resolve(&sources(matches, None, &[])?)?;
        warn(&resolved);
        listing(&resolved.origins)
    };
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn listing(origins: &[Origin]) -> String {
    let rows: Vec<_> = origins
        .iter()
        .map(|origin| {
            let value = match origin.value.as_str() {
                "" => "-",
                value => value,
            };
            [
                origin.key.to_owned(),
                value.to_owned(),
                origin.source.to_string(),
            ]
        })
        .collect();
    let mut text = String::new();
    let mut group = None;
    for (origin, line) in origins.iter().zip(print::columns(&rows)) {
        let heading = settings::find(origin.key).map(|setting| setting.group);
        if heading != group {
            let gap = if group.is_some() { "\n" } else { "" };
            text.push_str(&format!("{gap}# {}\n", heading.unwrap_or_default()));
            group = heading;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn warn(resolved: &Resolved) {
    for warning in &resolved.warnings {
        // A warning that nobody can read changes nothing about the answer.
        let _ = writeln!(io::stderr(), "throughline: warning: {warning}");
    }
}

/// `forwarders`: for an app that is started elsewhere.
fn forward(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let directory = |matches: &ArgMatches| {
        let directory = matches.get_one::<PathBuf>("directory");
        directory.cloned().unwrap_or_default()
    };
    match matches.subcommand() {
        Some(("install", matches)) => forwarders::install(&directory(matches))?,
        Some(("env", matches)) => {
            let sources = sources(matches, None, &[])?;
            let resolved = config::resolve(&sources)?;
            warn(&resolved);
            forwarders::env(
                &directory(matches),
                &resolved.config,
                &sources.environment,
                matches.get_flag("json"),
            )?;
        }
        _ => forwarders::list()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that the configuration is made from, read from the world.
fn sources(
    matches: &ArgMatches,
    file: Option<&Path>,
    command: &[OsString],
) -> Result<Sources, Failure> {
    let environment = env::read();
    let file = file.or_else(|| matches.get_one::<PathBuf>("config").map(PathBuf::as_path));
    let (file, path) = match text_of_file(file, &environment)? {
        Some((text, path)) => (Some(text), path),
        None => (None, None),
    };
    Ok(Sources {
        flags: arguments::flags(matches),
        file,
        path,
        detected: Detected {
            command: command
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
            parallelism: thread::available_parallelism().map_or(1, usize::from),
        },
        environment,
    })
}

/// The name and text of a file, and where it is, if it is one.
type FileText = ((String, String), Option<PathBuf>);

/// The file that a flag names, or a variable, or whose text a variable holds.
fn text_of_file(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<Option<FileText>, Failure> {
    let read = |path: &Path| Ok::<_, Failure>(Some((file::load(path)?, Some(path.to_owned()))));
    if let Some(path) = file {
        return read(path);
    }
    let set = |name: &str| environment.get(name).filter(|text| !text.trim().is_empty());
    match (set(env::FILE), set(env::CONTENT)) {
        (Some(_), Some(_)) => Err(Failure::Configuration(format!(
            "{} and {} are both set, and only one of them can be the configuration; unset the other",
            env::FILE,
            env::CONTENT
        ))),
        (Some(path), None) => read(Path::new(path)),
        (None, Some(text)) => Ok(Some(((env::CONTENT.to_owned(), text.clone()), None))),
        (None, None) => Ok(None),
    }
}

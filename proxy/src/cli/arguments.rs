//! The command line as clap is told it, flags made from the table of settings.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::settings::{Setting, TABLE};

/// The whole command line.
pub(crate) fn command() -> Command {
    let run = Command::new("run")
        .about("Stand beside an app, and start it too where a command is given")
        .long_about(
            "Stand beside an app, and start it too where a command is given.\n\n\
             A started app gets PORT, HTTP_PROXY, http_proxy and NO_PROXY in its environment and is \
             sent the signals that come; when it ends, so does throughline, with its exit code.",
        )
        .override_usage("throughline run [FLAGS] [-- COMMAND...]")
        .args(settings())
        .arg(
            Arg::new("command")
                .last(true)
                .num_args(1..)
                .value_name("COMMAND")
                .value_parser(value_parser!(OsString))
                .help("The app's command with its arguments"),
        );
    let demo = Command::new("demo")
        .about("Show a small shop of services without any tracing, traced")
        .arg(
            Arg::new("once")
                .long("once")
                .action(ArgAction::SetTrue)
                .help("End after a few seconds of traffic"),
        );
    let check = Command::new("check")
        .about("Say whether the configuration is good, and if not, what to do about it")
        .args(settings())
        .mut_arg("config", |arg| arg.conflicts_with("file"))
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The file to check, together with the environment and the flags"),
        );
    let config = Command::new("config")
        .about("Show the configuration, each value with where it comes from")
        .args(settings())
        .arg(
            Arg::new("example")
                .long("example")
                .action(ArgAction::SetTrue)
                .conflicts_with("reference")
                .help("Print an example file with every setting instead"),
        )
        .arg(
            Arg::new("reference")
                .long("reference")
                .action(ArgAction::SetTrue)
                .help("Print the reference of all settings in Markdown instead"),
        );
    let directory = || {
        Arg::new("directory")
            .value_name("DIR")
            .required(true)
            .value_parser(value_parser!(PathBuf))
    };
    let forwarders = Command::new("forwarders")
        .about(
            "Let an app that is started elsewhere forward trace headers, by its environment alone",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("list").about("Show the forwarders that this binary has"))
        .subcommand(
            Command::new("install")
                .about("Write the files below a directory, such as a volume that the app shares")
                .arg(directory().help("Where to write them; it is made if it is not there")),
        )
        .subcommand(
            Command::new("env")
                .about("Print the variables by which an app loads them, and finds the sidecar")
                .arg(directory().help("Where the app finds the files"))
                .arg(
                    Arg::new("json")
                        .long("json")
                        .action(ArgAction::SetTrue)
                        .help("As a list of names and values, for a task definition or a manifest"),
                )
                .args(settings()),
        );
    let spelling = "Every flag is also a key of the configuration file (--header-timeout is \
        header_timeout) and a variable of the environment (THROUGHLINE_HEADER_TIMEOUT); a flag is \
        stronger than a variable, and that is stronger than the file. `throughline config \
        --reference` has them all.";
    Command::new("throughline")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A sidecar that traces a service nobody changes")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(run.after_help(spelling))
        .subcommand(forwarders)
        .subcommand(demo)
        .subcommand(check.after_help(spelling))
        .subcommand(config.after_help(spelling))
}

/// A flag for every setting, and the one for the file.
fn settings() -> Vec<Arg> {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("The configuration file, in YAML; else THROUGHLINE_CONFIG or THROUGHLINE_CONFIG_CONTENT");
    [file].into_iter().chain(TABLE.iter().map(flag)).collect()
}

fn flag(setting: &'static Setting) -> Arg {
    let help = match setting.default {
        "" => setting.doc(),
        default => format!("{} [default: {default}]", setting.doc()),
    };
    let arg = Arg::new(setting.key)
        .long(setting.flag())
        .value_name(setting.placeholder)
        .help(help)
        .help_heading(setting.group)
        .action(if setting.is_list() {
            ArgAction::Append
        } else {
            ArgAction::Set
        });
    if setting.key == "routes" {
        arg.visible_alias("route")
    } else {
        arg
    }
}

/// The settings that were given as flags, by key; a flag that was repeated is one list.
pub(crate) fn flags(matches: &ArgMatches) -> BTreeMap<String, String> {
    let given = TABLE.iter().filter_map(|setting| {
        let values: Vec<&str> = matches
            .get_many::<String>(setting.key)?
            .map(String::as_str)
            .collect();
        Some((setting.key.to_owned(), values.join(",")))
    });
    given.collect()
}

/// What clap has to say, in one sentence: its first paragraph, and what it thinks was meant.
pub(crate) fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let first = text.split("\n\n").next().unwrap_or_default();
    let first: Vec<_> = first.split_whitespace().collect();
    let meant = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("tip: "))
        .find(|tip| tip.contains("similar"));
    let cure =
        meant.unwrap_or("`throughline --help` and `throughline run --help` list what there is");
    format!("{}; {cure}", first.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_setting_is_a_flag_with_its_help() {
        let run = command();
        let run = run.find_subcommand("run").unwrap();
        for setting in TABLE {
            let arg = run.get_arguments().find(|arg| arg.get_id() == setting.key);
            let arg = arg.expect(setting.key);
            assert_eq!(arg.get_long(), Some(setting.flag().as_str()));
            assert!(arg.get_help().unwrap().to_string().contains(&setting.doc()));
            assert_eq!(arg.get_help_heading(), Some(setting.group));
        }
    }

    #[test]
    fn repeated_flags_are_one_list() {
        let matches = command().get_matches_from([
            "throughline",
            "run",
            "--route",
            "a=b",
            "--routes",
            "c=d",
            "--app",
            "3000",
            "--",
            "x",
            "-y",
        ]);
        let (_, matches) = matches.subcommand().unwrap();
        let flags = flags(matches);
        assert_eq!(flags["routes"], "a=b,c=d");
        assert_eq!(flags["app"], "3000");
        assert_eq!(flags.len(), 2);
        let command: Vec<_> = matches.get_many::<OsString>("command").unwrap().collect();
        assert_eq!(command, ["x", "-y"]);
    }

    #[test]
    fn mistakes_are_one_sentence_with_a_cure() {
        for (args, parts) in [
            (&["run", "--ap", "1"][..], ["'--ap'", "'--app'"]),
            (&["chekc"], ["'chekc'", "'check'"]),
            (
                &["run", "--app"],
                ["'--app <ADDRESS>'", "throughline run --help"],
            ),
            (
                &["run", "--app", "1", "--app", "2"],
                ["multiple times", "--help"],
            ),
            (&["demo", "--zzz"], ["'--zzz'", "--help"]),
        ] {
            let args = ["throughline"].iter().chain(args);
            let sentence = sentence(&command().try_get_matches_from(args).unwrap_err());
            assert!(
                parts.iter().all(|part| sentence.contains(part)),
                "{sentence}"
            );
            assert!(
                !sentence.contains('\n') && !sentence.starts_with("error"),
                "{sentence}"
            );
        }
    }
}

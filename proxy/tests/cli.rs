//! The command as its user meets it: what it prints, what it refuses, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// The command, in an empty environment but for what a test gives it.
struct Throughline {
    dir: TempDir,
}

impl Throughline {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, text: &str) -> &Self {
        fs::write(self.dir.path().join("t.yaml"), text).unwrap();
        self
    }

    fn command(&self, args: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_throughline")));
        command
            .args(args)
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str], environment: &[(&str, &str)]) -> Output {
        self.command(args, environment).output().unwrap()
    }

    /// What the command prints when all is well.
    fn prints(&self, args: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(args, environment);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The one sentence with which the command refuses.
    fn refuses(&self, args: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.run(args, environment);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let sentence = text.strip_prefix("throughline: ").expect(&text);
        let sentence = sentence.strip_suffix('\n').expect(&text);
        assert!(!sentence.contains('\n'), "more than a sentence: {text}");
        sentence.to_owned()
    }
}

/// A line of `config` as its three columns.
fn line<'t>(listing: &'t str, key: &str) -> (&'t str, &'t str) {
    let line = listing
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let (value, origin) = line.expect(key).trim().split_once("  ").expect(key);
    (value, origin.trim())
}

#[test]
fn mistakes_are_one_sentence_with_key_value_and_cure() {
    let file = "app: 3000\n";
    for (text, args, environment, expected) in [
        (
            file,
            &["check", "--header-timeout", "10"][..],
            &[][..],
            "--header-timeout is \"10\": a time needs a unit, as in 10ms, 10s or 10m",
        ),
        (
            file,
            &["run", "--header-timout", "10s"],
            &[],
            "unexpected argument '--header-timout' found; a similar argument exists: \
             '--header-timeout'",
        ),
        (
            file,
            &["check"],
            &[("THROUGHLINE_APP", "http://x")],
            "THROUGHLINE_APP is \"http://x\": the app's address is a port or a host and a port, as \
             in 3000 or localhost:3000",
        ),
        (
            file,
            &["run", "--app", "3000"],
            &[("THROUGHLINE_HEADER_TIMOUT", "10s")],
            "the environment: no setting is called THROUGHLINE_HEADER_TIMOUT; did you mean \
             THROUGHLINE_HEADER_TIMEOUT?",
        ),
        (
            "app: 3000\n\n  # a comment\nheader_timout: 10s\n",
            &["check", "t.yaml"],
            &[],
            "t.yaml:4:1: no setting is called header_timout; did you mean header_timeout?",
        ),
        (
            "app: 3000\nworkers: many\n",
            &["run", "--config", "t.yaml"],
            &[],
            "t.yaml:2:10: workers is \"many\": a whole number from 1 to 256 is expected, or auto",
        ),
        (
            "app: [3000]\n",
            &["check"],
            &[("THROUGHLINE_CONFIG", "t.yaml")],
            "t.yaml:1:6: app cannot be read: expected string scalar; it is written as in `app: \
             127.0.0.1:3000`",
        ),
        (
            file,
            &["check"],
            &[("THROUGHLINE_CONFIG_CONTENT", "{\"admin\": \"on\"}")],
            "THROUGHLINE_CONFIG_CONTENT:1:11: admin is \"on\": an address to listen at is an IP \
             address and a port, as in 127.0.0.1:15001, or off",
        ),
        (
            file,
            &["check"],
            &[
                ("THROUGHLINE_CONFIG_CONTENT", "{}"),
                ("THROUGHLINE_CONFIG", "t.yaml"),
            ],
            "THROUGHLINE_CONFIG and THROUGHLINE_CONFIG_CONTENT are both set, and only one of them \
             can be the configuration; unset the other",
        ),
        (
            file,
            &["check", "nowhere.yaml"],
            &[],
            "the configuration nowhere.yaml cannot be read: No such file or directory (os error 2); \
             give the path of a readable file",
        ),
        (
            file,
            &["run"],
            &[],
            "there is no app to stand beside; give --app PORT, the port that the app listens on, or \
             a command that starts it after --, or --inbound off for an app that only makes calls",
        ),
        (
            file,
            &["check", "--app", "15006"],
            &[],
            "the app is said to listen at 127.0.0.1:15006, but that is where inbound (0.0.0.0:15006) \
             listens, so that requests would go round in a circle; give --app the app's own port",
        ),
        (
            file,
            &["chekc"],
            &[],
            "unrecognized subcommand 'chekc'; a similar subcommand exists: 'check'",
        ),
    ] {
        let throughline = Throughline::new();
        assert_eq!(throughline.file(text).refuses(args, environment), expected);
    }
}

#[test]
fn a_secret_is_shown_nowhere() {
    let throughline = Throughline::new();
    let environment = [("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2")];
    let listing = throughline.prints(&["config"], &environment);
    assert_eq!(
        line(&listing, "otlp_headers"),
        ("api-key=****", "environment OTEL_EXPORTER_OTLP_HEADERS")
    );
    let refusal = throughline.refuses(&["check"], &[("THROUGHLINE_OTLP_HEADERS", "hunter2")]);
    assert!(!listing.contains("hunter2") && !refusal.contains("hunter2"));
}

#[test]
fn config_shows_every_value_with_its_origin() {
    let throughline = Throughline::new();
    throughline.file("name: file\nidle_timeout: 5s\nmax_streams: 7\nmax_header_bytes: 16KiB\n");
    let listing = throughline.prints(
        &[
            "config",
            "--config",
            "t.yaml",
            "--name",
            "flag",
            "--idle-timeout",
            "90s",
        ],
        &[
            ("THROUGHLINE_NAME", "own"),
            ("THROUGHLINE_MAX_STREAMS", "8"),
            ("OTEL_SERVICE_NAME", "otel"),
            ("OTEL_PROPAGATORS", "xray"),
        ],
    );
    for (key, expected) in [
        ("name", ("flag", "flag --name")),
        ("idle_timeout", ("90s", "flag --idle-timeout")),
        ("max_streams", ("8", "environment THROUGHLINE_MAX_STREAMS")),
        ("propagators", ("xray", "environment OTEL_PROPAGATORS")),
        ("max_header_bytes", ("16KiB", "file t.yaml:4")),
        ("connect_timeout", ("5s", "default")),
    ] {
        assert_eq!(line(&listing, key), expected);
    }
}

#[test]
fn a_bad_value_of_opentelemetry_is_a_warning() {
    let throughline = Throughline::new();
    let output = throughline.run(&["config"], &[("OTEL_BSP_MAX_QUEUE_SIZE", "lots")]);
    assert_eq!(output.status.code(), Some(0));
    let listing = String::from_utf8(output.stdout).unwrap();
    assert_eq!(line(&listing, "span_queue_size"), ("2048", "default"));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "throughline: warning: OTEL_BSP_MAX_QUEUE_SIZE: a whole number from 1 to 1000000 is \
         expected; it is ignored\n"
    );
}

#[test]
fn check_says_what_it_understood() {
    let throughline = Throughline::new();
    throughline.file("app: 3000\nroutes:\n- {listen: 127.0.0.1:9001, upstream: stock:80}\n");
    let summary = throughline.prints(&["check", "t.yaml"], &[("OTEL_SERVICE_NAME", "orders")]);
    assert_eq!(
        summary,
        "The configuration is good.\n\
         name      orders\n\
         app       127.0.0.1:3000\n\
         inbound   0.0.0.0:15006\n\
         outbound  127.0.0.1:15001\n\
         admin     127.0.0.1:15000\n\
         route     127.0.0.1:9001 to http://stock:80/\n\
         spans     in memory alone; otlp_endpoint would send them somewhere\n"
    );
}

#[test]
fn the_example_is_a_good_configuration_with_and_without_its_comments() {
    let throughline = Throughline::new();
    let example = throughline.prints(&["config", "--example"], &[]);
    throughline.file(&example).prints(&["check", "t.yaml"], &[]);
    let mut settings = 0;
    let uncommented: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => {
                settings += 1;
                format!("{setting}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let throughline = Throughline::new();
    throughline.file(&uncommented);
    let listing = throughline.prints(&["config", "--config", "t.yaml"], &[]);
    let from_file = listing.matches("file t.yaml:").count();
    assert!(settings > 30, "{settings}");
    assert_eq!(from_file, settings, "{listing}");
}

#[test]
fn help_and_reference_name_every_setting() {
    let throughline = Throughline::new();
    let listing = throughline.prints(&["config"], &[]);
    let help = throughline.prints(&["run", "--help"], &[]);
    let reference = throughline.prints(&["config", "--reference"], &[]);
    let keys = listing
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next());
    for key in keys {
        assert!(
            help.contains(&format!("--{} <", key.replace('_', "-"))),
            "{key}"
        );
        assert!(reference.contains(&format!("| `{key}` |")), "{key}");
    }
    let version = throughline.prints(&["--version"], &[]);
    assert_eq!(
        version,
        concat!("throughline ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn without_a_verb_there_is_help() {
    let output = Throughline::new().run(&[], &[]);
    assert_eq!(output.status.code(), Some(64));
    let help = String::from_utf8(output.stderr).unwrap();
    for verb in ["run", "demo", "check", "config"] {
        assert!(help.contains(&format!("\n  {verb} ")), "{help}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let throughline = Throughline::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = throughline
        .command(&["config", "--reference"], &[])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

//! Which forwarders fit the command that starts an app.

use super::Forwarder;

/// What is known of a command before it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Its name, without directories.
    pub name: String,
    /// The first line of its file, where that begins with `#!`.
    pub interpreter: Option<String>,
}

/// The runtimes, by the beginnings of what their programs are called.
const RUNTIMES: &[(&str, Forwarder)] = &[
    ("node", Forwarder::Node),
    ("npm", Forwarder::Node),
    ("npx", Forwarder::Node),
    ("yarn", Forwarder::Node),
    ("pnpm", Forwarder::Node),
    ("python", Forwarder::Python),
    ("pypy", Forwarder::Python),
    ("gunicorn", Forwarder::Python),
    ("uvicorn", Forwarder::Python),
    ("hypercorn", Forwarder::Python),
    ("java", Forwarder::Java),
    ("catalina", Forwarder::Java),
    ("php", Forwarder::Signal),
    ("ruby", Forwarder::Signal),
    ("puma", Forwarder::Signal),
    ("rackup", Forwarder::Signal),
    ("bundle", Forwarder::Signal),
    ("rails", Forwarder::Signal),
    ("apache2", Forwarder::Signal),
    ("httpd", Forwarder::Signal),
];

/// Programs that only start another: what that is cannot be seen from here.
const STARTERS: &[&str] = &[
    "sh",
    "bash",
    "dash",
    "ash",
    "zsh",
    "ksh",
    "env",
    "exec",
    "nice",
    "nohup",
    "tini",
    "dumb-init",
    "su-exec",
    "gosu",
    "setpriv",
    "sudo",
    "s6-svscan",
    "supervisord",
    "make",
    "mvn",
    "gradle",
];

/// The forwarders that fit, by the name of the program and by what its file is run with.
///
/// A shell gets all that copy headers, because any of the runtimes may come behind it. The one that
/// is loaded into every program of whatever kind ([`Forwarder::Signal`]) is not among them: that has to
/// be asked for, or to be seen to fit.
#[must_use]
pub fn fitting(program: &Program) -> Vec<Forwarder> {
    if let Some(forwarder) = runtime(&program.name) {
        return vec![forwarder];
    }
    let mut names = vec![program.name.as_str()];
    if let Some(line) = &program.interpreter {
        // `#!/usr/bin/env node`, `#!/usr/bin/env -S node --flag`, `#!/opt/venv/bin/python3 -I`.
        let words = line.trim_start_matches("#!").split_whitespace();
        let words = words.filter(|word| !word.starts_with('-'));
        names = words.map(base).collect();
        if let Some(forwarder) = names.iter().copied().find_map(runtime) {
            return vec![forwarder];
        }
    }
    if names.iter().any(|name| STARTERS.contains(name)) {
        return vec![Forwarder::Node, Forwarder::Python, Forwarder::Java];
    }
    Vec::new()
}

fn runtime(name: &str) -> Option<Forwarder> {
    let known = |(runtime, forwarder): &(&str, Forwarder)| {
        // `python3.12`, `php-fpm8.2`, `node20`, `nodejs`; but no `nodemon-like`, which has a script.
        let rest = name.strip_prefix(runtime)?;
        let is_version = rest.chars().all(|c| c.is_ascii_digit() || c == '.');
        let is_variant = matches!(rest, "js" | "w" | "_cluster" | "d");
        let is_fpm = rest.starts_with("-fpm") || rest.starts_with("-cgi");
        (is_version || is_variant || is_fpm).then_some(*forwarder)
    };
    RUNTIMES.iter().find_map(known)
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_seen_from_the_program_or_its_interpreter() {
        use Forwarder::{Java, Node, Python, Signal};
        let all = vec![Node, Python, Java];
        for (name, interpreter, expected) in [
            ("node", None, vec![Node]),
            ("nodejs", None, vec![Node]),
            ("npm", Some("#!/usr/bin/env node"), vec![Node]),
            (
                "next",
                Some("#!/usr/bin/env -S node --no-warnings"),
                vec![Node],
            ),
            ("python3.12", None, vec![Python]),
            ("gunicorn", Some("#!/srv/venv/bin/python3"), vec![Python]),
            ("flask", Some("#!/srv/venv/bin/python -I"), vec![Python]),
            ("java", None, vec![Java]),
            ("php", None, vec![Signal]),
            ("php8.2", None, vec![Signal]),
            ("php-fpm8.2", None, vec![Signal]),
            ("puma", Some("#!/usr/bin/env ruby"), vec![Signal]),
            ("rackup", Some("#!/usr/bin/ruby3.1"), vec![Signal]),
            ("sh", None, all.clone()),
            ("entrypoint", Some("#!/bin/sh -e"), all.clone()),
            ("tini", None, all),
            ("server", None, vec![]),
            ("javascript-like", None, vec![]),
            ("perl", Some("#!/usr/bin/perl"), vec![]),
            ("", None, vec![]),
        ] {
            let program = Program {
                name: name.to_owned(),
                interpreter: interpreter.map(str::to_owned),
            };
            assert_eq!(fitting(&program), expected, "{program:?}");
        }
    }
}

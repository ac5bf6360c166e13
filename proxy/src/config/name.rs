//! What a service is called when nobody says so.

use std::net::IpAddr;

use super::{AppAddress, origin::Source};

/// The name that the command suggests, or the app's host, or the one that says that it is unknown.
pub(crate) fn detect(command: &[String], app: Option<&AppAddress>) -> (String, Source) {
    if let Some(name) = of_command(command) {
        return (name, Source::Detected("the command".to_owned()));
    }
    if let Some(name) = app.and_then(of_host) {
        return (name, Source::Detected("the app's host name".to_owned()));
    }
    ("unknown_service:throughline".to_owned(), Source::Default)
}

/// Programs that run something else, which is what the service is called after.
const RUNNERS: [&str; 24] = [
    "bash",
    "bun",
    "bundle",
    "deno",
    "dotnet",
    "env",
    "exec",
    "flask",
    "gunicorn",
    "hypercorn",
    "java",
    "node",
    "npm",
    "npx",
    "php",
    "pnpm",
    "poetry",
    "python",
    "ruby",
    "sh",
    "tini",
    "uv",
    "uvicorn",
    "yarn",
];

/// Words that say how to run something, and not what.
const VERBS: [&str; 3] = ["exec", "run", "start"];

/// The first word of the command that names something of the service's own: `server` of
/// `node server.js`, `shop` of `python -m shop.main`, `orders` of `/opt/orders --port 1`.
fn of_command(command: &[String]) -> Option<String> {
    let runner = stem(command.first()?);
    if !is_runner(runner) {
        return plausible(runner);
    }
    let named = command[1..]
        .iter()
        .filter(|word| !word.starts_with('-') && !VERBS.contains(&word.as_str()))
        .find(|word| !is_runner(stem(word)));
    // What a runner's flags take may stand before what it runs; a word that looks like neither a
    // file nor a module says less than the runner's own name.
    let named = named.map(|word| stem(word)).and_then(plausible);
    named.or_else(|| plausible(runner))
}

/// `python3.12` is `python`.
fn is_runner(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    RUNNERS.contains(&word)
}

/// The last part of a path without what follows its first dot or colon.
fn stem(word: &str) -> &str {
    let file = word.rsplit('/').find(|part| !part.is_empty());
    let file = file.unwrap_or_default();
    match file.find(['.', ':']) {
        Some(end) if end > 0 && !is_version(&file[end..]) => &file[..end],
        _ => file,
    }
}

fn is_version(rest: &str) -> bool {
    rest.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// A name that a person would recognise: it begins with a letter and is one short word.
fn plausible(name: &str) -> Option<String> {
    let fits = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    fits.then(|| name.to_owned())
}

/// The first label of a host name; addresses and `localhost` name no service.
fn of_host(app: &AppAddress) -> Option<String> {
    if app.host.parse::<IpAddr>().is_ok() || app.host == "localhost" {
        return None;
    }
    app.host.split('.').next().and_then(plausible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_their_service() {
        for (command, expected) in [
            ("/opt/orders --port 1", "orders"),
            ("node server.js", "server"),
            ("node --enable-source-maps dist/checkout.mjs", "checkout"),
            ("python3.12 -m shop.main", "shop"),
            ("gunicorn -w wsgi:app", "wsgi"),
            ("uvicorn catalog.api:app", "catalog"),
            ("java -jar /app/payments.jar", "payments"),
            ("npm run start", "npm"),
            ("npm start", "npm"),
            ("bundle exec ruby cart.rb", "cart"),
            ("./run_me", "run_me"),
            ("sh -c 'a b'", "sh"),
        ] {
            let words: Vec<_> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(of_command(&words).as_deref(), Some(expected), "{command}");
        }
        assert_eq!(of_command(&[]), None);
        assert_eq!(of_command(&["/".to_owned()]), None);
    }

    #[test]
    fn hosts_name_their_service_unless_they_are_this_one() {
        for (host, expected) in [
            ("orders", Some("orders")),
            ("orders.shop.svc", Some("orders")),
            ("localhost", None),
            ("127.0.0.1", None),
            ("::1", None),
        ] {
            let app = AppAddress {
                is_tls: false,
                host: host.to_owned(),
                port: 1,
            };
            assert_eq!(of_host(&app).as_deref(), expected, "{host}");
        }
    }
}

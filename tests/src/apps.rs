//! Real apps in Python and JavaScript, and what they need, installed once below `target`.
//!
//! The apps are in `tests/apps`, written as anybody would write them: `flask` and `express` without a
//! word about tracing, `sdks` with the SDKs that are told to trace them. The shop in many frameworks is in
//! [`callers`].

pub mod callers;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FlockOperation, flock};

use crate::binary::{profile_directory, workspace};

const PYTHON: &[&str] = &["flask", "gunicorn", "requests"];
/// Clients that use tunnels, and servers at their far ends.
const TUNNELS: &[&str] = &["requests", "websockets", "trustme"];
const JAVASCRIPT: &[&str] = &["express", "axios"];
/// boto3 with the signer of SigV4A, and moto with its server and nothing but these services.
const AWS_PYTHON: &[&str] = &[
    "boto3[crt]",
    "requests",
    "moto[s3,dynamodb,sqs]",
    "flask",
    "flask-cors",
];
const AWS_JAVASCRIPT: &[&str] = &[
    "@aws-sdk/client-s3",
    "@aws-sdk/client-dynamodb",
    "@aws-sdk/client-sqs",
    "@aws-sdk/lib-storage",
    "@aws-sdk/s3-request-presigner",
    "@smithy/node-http-handler",
];

/// Tracing SDKs, each with what makes it trace Flask and requests.
const PYTHON_SDKS: &[&str] = &[
    "flask",
    "requests",
    "aws-xray-sdk",
    "opentelemetry-sdk",
    "opentelemetry-instrumentation-flask",
    "opentelemetry-instrumentation-requests",
    "opentelemetry-propagator-b3",
    "opentelemetry-propagator-aws-xray",
];
const JAVASCRIPT_SDKS: &[&str] = &[
    "express",
    "axios",
    "aws-xray-sdk-core",
    "aws-xray-sdk-express",
];

/// A Python with the packages that a list beside a forwarder's tests names, the newest of each: the versions
/// in it are those of one Python.
///
/// # Panics
///
/// As [`flask`] does, and when there is no such list.
#[must_use]
pub fn forwarder_python(forwarder: &str) -> PathBuf {
    let list = forwarder_tests(forwarder).join("requirements.txt");
    let list = fs::read_to_string(list).expect("the tests say what they need");
    let packages = list.lines().filter(|line| !line.starts_with('#'));
    let packages = packages.filter_map(|line| line.split("==").next());
    let packages: Vec<_> = packages.filter(|name| !name.is_empty()).collect();
    python(&format!("forwarder-{forwarder}"), &packages)
}

/// The `NODE_PATH` with the packages that the tests of Node's forwarder name.
///
/// # Panics
///
/// As [`express`] does.
#[must_use]
pub fn forwarder_modules() -> String {
    let package = forwarder_tests("node").join("package.json");
    let package = fs::read_to_string(package).expect("the tests say what they need");
    let package: serde_json::Value = serde_json::from_str(&package).expect("it is JSON");
    let dependencies = package["dependencies"].as_object().expect("a mapping");
    let packages = dependencies.iter().map(|(name, version)| {
        let version = version.as_str().expect("a version is text");
        format!("{name}@{version}")
    });
    let packages: Vec<String> = packages.collect();
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    modules("forwarder-node", &packages)
}

/// The directory of a forwarder's own tests.
#[must_use]
pub fn forwarder_tests(forwarder: &str) -> PathBuf {
    let forwarders = workspace().join("proxy/forwarders");
    forwarders.join(forwarder).join("tests")
}

/// The directory of one of the apps.
#[must_use]
pub fn directory(app: &str) -> PathBuf {
    workspace().join("tests/apps").join(app)
}

/// The command that serves the Flask app under gunicorn, at the `PORT` that it is given.
///
/// # Panics
///
/// When Python is not there, or its packages cannot be installed; the message says what to do.
#[must_use]
pub fn flask() -> Vec<String> {
    let python = python("python", PYTHON);
    let app = directory("flask");
    let settings = app.join("gunicorn.conf.py");
    let words = [
        &*python.to_string_lossy(),
        "-m",
        "gunicorn",
        "--config",
        &*settings.to_string_lossy(),
        "--chdir",
        &*app.to_string_lossy(),
        "app:app",
    ];
    words.map(str::to_owned).to_vec()
}

/// The command that serves the Express app, at the `PORT` that it is given, and the `NODE_PATH` that
/// it finds its packages at.
///
/// # Panics
///
/// When Node is not there, or its packages cannot be installed; the message says what to do.
#[must_use]
pub fn express() -> (Vec<String>, String) {
    (node("express/server.js"), modules("node", JAVASCRIPT))
}

/// The command that serves the Python app with the `SDK` that it is told, at its `PORT`.
///
/// # Panics
///
/// As [`flask`] does.
#[must_use]
pub fn sdks_in_python() -> Vec<String> {
    let app = directory("sdks").join("app.py");
    let python = python("python-sdks", PYTHON_SDKS);
    [python, app]
        .map(|word| word.to_string_lossy().into_owned())
        .to_vec()
}

/// The command that serves the JavaScript app with AWS' SDK for X-Ray, at its `PORT`, and its
/// `NODE_PATH`.
///
/// # Panics
///
/// As [`express`] does.
#[must_use]
pub fn sdk_in_javascript() -> (Vec<String>, String) {
    (node("sdks/app.js"), modules("node-sdks", JAVASCRIPT_SDKS))
}

/// The Python that has boto3, for apps that call AWS, and moto, which stands for AWS.
///
/// # Panics
///
/// As [`flask`] does.
#[must_use]
pub fn aws_python() -> PathBuf {
    python("aws-python", AWS_PYTHON)
}

/// The Python that has what speaks through tunnels.
///
/// # Panics
///
/// As [`flask`] does.
#[must_use]
pub fn tunnels_python() -> PathBuf {
    python("python-tunnels", TUNNELS)
}

/// The `NODE_PATH` of the AWS SDK for JavaScript, version 3.
///
/// # Panics
///
/// As [`express`] does.
#[must_use]
pub fn aws_javascript() -> String {
    modules("aws-node", AWS_JAVASCRIPT)
}

/// The command that runs one of the apps in JavaScript.
fn node(app: &str) -> Vec<String> {
    let app = directory(app);
    vec!["node".to_owned(), app.to_string_lossy().into_owned()]
}

/// A Python that has these packages.
fn python(what: &str, packages: &[&str]) -> PathBuf {
    let environment = installed(what, packages, |at| {
        let venv = at.to_string_lossy();
        run(
            "python3",
            &["-m", "venv", "--clear", &venv],
            at,
            "python3 with its venv module: `apt-get install python3-venv`",
        );
        let pip = at.join("bin/pip");
        let mut arguments = vec!["install", "--quiet", "--disable-pip-version-check"];
        arguments.extend(packages);
        let cure = format!("{} from PyPI: is there a way to it?", packages.join(", "));
        run(&pip.to_string_lossy(), &arguments, at, &cure);
    });
    environment.join("bin/python")
}

/// The `NODE_PATH` that has these packages.
fn modules(what: &str, packages: &[&str]) -> String {
    let environment = installed(what, packages, |at| {
        // Without a package of its own, npm would install into one further up.
        let package = at.join("package.json");
        fs::write(&package, "{ \"private\": true }\n").expect("the cache can be written to");
        let mut arguments = vec!["install", "--no-audit", "--no-fund", "--loglevel=error"];
        arguments.extend(packages);
        let cure = format!(
            "node and npm (`apt-get install nodejs npm`), and {} from npm",
            packages.join(", ")
        );
        run("npm", &arguments, at, &cure);
    });
    let modules = environment.join("node_modules");
    modules.to_string_lossy().into_owned()
}

/// The directory with these packages; `install` fills it, once for all test processes.
fn installed(what: &str, packages: &[&str], install: impl FnOnce(&Path)) -> PathBuf {
    let cache = profile_directory().join("../test-apps");
    fs::create_dir_all(&cache).expect("the target directory can be written to");
    let cache = cache.canonicalize().expect("it was just made");
    let lock =
        File::create(cache.join(format!("{what}.lock"))).expect("the cache can be written to");
    flock(&lock, FlockOperation::LockExclusive).expect("a file can be locked");
    let directory = cache.join(what);
    let done = directory.join("installed");
    let wanted = packages.join(" ");
    if fs::read_to_string(&done).is_ok_and(|there| there == wanted) {
        return directory;
    }
    // What is left of an attempt that broke off is no start.
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("the cache can be written to");
    install(&directory);
    fs::write(done, wanted).expect("the cache can be written to");
    directory
}

fn run(program: &str, arguments: &[&str], directory: &Path, needed: &str) {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; the tests need {needed}"));
    assert!(
        output.status.success(),
        "{program} {} failed; the tests need {needed}\n{}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

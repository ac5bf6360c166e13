//! An AWS of our own: moto, with a door before it that writes down every request and recomputes its
//! signature (`tests/apps/cloud`), and the apps that call it (`tests/apps/aws`).

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
};

use http::{Method, Request};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    apps,
    client::Client,
    sidecar::{Captured, configures},
    upstream::empty,
    wait::{PATIENCE, until},
};

/// The id of the key that every request is signed with: the one in the documentation of AWS, so that
/// its examples are valid here too.
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
/// The secret that belongs to [`KEY_ID`].
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const REGION: &str = "eu-west-1";

/// A request as it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its method.
    pub method: String,
    /// Its target, byte for byte.
    pub target: String,
    /// Its header lines, in their order; the names in small letters.
    pub headers: Vec<(String, String)>,
    /// How many bytes its body had.
    pub length: u64,
    /// The SHA-256 of its body.
    pub sha256: String,
    /// `valid`, `unsigned`, or what is wrong with its signature.
    pub verdict: String,
    /// The names of its signed headers, where it is valid.
    pub signed: Vec<String>,
}

impl Call {
    /// The values of a header.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(n, _)| n == name);
        found.map(|(_, value)| &**value).collect()
    }

    fn parse(call: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned).expect("text");
        let list = |value: &Value| value.as_array().cloned().expect("a list");
        let header = |line: Value| (text(&line[0]).to_lowercase(), text(&line[1]));
        Self {
            method: text(&call["method"]),
            target: text(&call["target"]),
            headers: list(&call["headers"]).into_iter().map(header).collect(),
            length: call["length"].as_u64().expect("a length"),
            sha256: text(&call["sha256"]),
            verdict: text(&call["verdict"]),
            signed: list(&call["signed"]).iter().map(text).collect(),
        }
    }
}

/// A cloud that runs. Dropped, it is killed; after a panic it shows what it said.
#[derive(Debug)]
pub struct Cloud {
    process: Child,
    log: Captured,
    door: SocketAddr,
    asked: SocketAddr,
}

impl Cloud {
    /// Starts it, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or ends at once; what it said is shown.
    pub async fn start() -> Self {
        let python = blocking(apps::aws_python).await;
        let mut process = Command::new(python)
            .arg(apps::directory("cloud").join("cloud.py"))
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("Python can be started");
        let (log, output) = (Captured::default(), Captured::default());
        log.follow(process.stderr.take().expect("it is piped"));
        output.follow(process.stdout.take().expect("it is piped"));
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut cloud = Self {
            process,
            log,
            door: nowhere,
            asked: nowhere,
        };
        let line = until("the line that says where the cloud listens", async || {
            let ended = cloud.process.try_wait().expect("it is our child");
            assert!(ended.is_none(), "the cloud ended before it listened");
            let output = output.text();
            output.strip_prefix("listening ").map(str::to_owned)
        })
        .await;
        let mut ports = line
            .split_whitespace()
            .map(|port| port.parse().expect("a port"));
        for address in [&mut cloud.door, &mut cloud.asked] {
            address.set_port(ports.next().expect("one for AWS, and one for us"));
        }
        cloud
    }

    /// Where its services are.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.door
    }

    /// What has come in since it began.
    pub async fn calls(&self) -> Vec<Call> {
        self.ask(Method::GET, "/calls").await
    }

    /// What has come in, and then it forgets that and all that it stores.
    pub async fn begin_again(&self) -> Vec<Call> {
        let calls = self.calls().await;
        self.ask(Method::POST, "/reset").await;
        calls
    }

    /// Runs an app of `tests/apps/aws` to its end, with its services here, through `proxy` or directly;
    /// the JSON that it writes.
    ///
    /// # Panics
    ///
    /// When it fails, or does not end within [`PATIENCE`].
    pub async fn run(&self, app: &str, proxy: Option<SocketAddr>) -> Value {
        let mut command = if app.ends_with(".py") {
            tokio::process::Command::new(blocking(apps::aws_python).await)
        } else {
            let mut command = tokio::process::Command::new("node");
            command.env("NODE_PATH", blocking(apps::aws_javascript).await);
            command
        };
        for (name, _) in std::env::vars_os() {
            if configures(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        if let Some(proxy) = proxy {
            command.env("HTTP_PROXY", format!("http://{proxy}"));
        }
        let running = command
            .arg(apps::directory("aws").join(app))
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.door))
            .env("AWS_ACCESS_KEY_ID", KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            // boto3 writes the letters in its user agent in the order of a set.
            .env("PYTHONHASHSEED", "0")
            .kill_on_drop(true)
            .output();
        let ended = timeout(PATIENCE, running).await;
        let output = ended
            .unwrap_or_else(|_| panic!("{app} did not end within {PATIENCE:?}"))
            .expect("the app can be started");
        let [written, said] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(output.status.success(), "{app} failed:\n{said}");
        serde_json::from_str(&written).unwrap_or_else(|error| panic!("{app}: {error}: {written}"))
    }

    async fn ask(&self, method: Method, path: &str) -> Vec<Call> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("host", "cloud").body(empty());
        let mut client = Client::http1(self.asked).await;
        let answer = client.ask(request.expect("it is a request")).await;
        let calls: Vec<Value> = serde_json::from_slice(&answer.body).expect("a list of calls");
        calls.iter().map(Call::parse).collect()
    }
}

impl Drop for Cloud {
    #[expect(clippy::print_stderr, reason = "it is what a failed test has to show")]
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("the cloud had said:\n{}", self.log.text());
        }
    }
}

/// What takes its time, the first time: packages are installed.
async fn blocking<T: Send + 'static>(install: fn() -> T) -> T {
    let installing = tokio::task::spawn_blocking(install);
    installing.await.expect("the packages can be installed")
}

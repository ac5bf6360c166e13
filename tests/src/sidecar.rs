//! `throughline run` as a process of its own, at ports that the system chose.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    thread,
};

use http::{Method, Request};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::{
    binary,
    client::Client,
    collector::{Collector, Protocol},
    metrics::Metrics,
    upstream::empty,
    wait::until,
};

/// A sidecar to be started. Its environment is that of the test, without what would configure it.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    flags: Vec<String>,
    environment: BTreeMap<String, String>,
    command: Vec<String>,
    app: Option<SocketAddr>,
}

impl Setup {
    /// Beside an app that listens there already.
    #[must_use]
    pub fn beside(app: SocketAddr) -> Self {
        Self {
            app: Some(app),
            ..Self::default()
        }
        .flag("app", &app.to_string())
    }

    /// With no app: only its calls go out.
    #[must_use]
    pub fn outbound_alone() -> Self {
        Self::default().flag("inbound", "off")
    }

    /// With an app that it starts itself, which is to listen at the `PORT` that it is given.
    #[must_use]
    pub fn starting(command: &[&str]) -> Self {
        let app = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut setup = Self::beside(app);
        setup.command = command.iter().map(|&word| word.to_owned()).collect();
        setup
    }

    /// Where its app listens, or is to listen.
    ///
    /// # Panics
    ///
    /// When it has none.
    #[must_use]
    pub fn app(&self) -> SocketAddr {
        self.app.expect("there is an app")
    }

    /// With `--name value`.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.push(format!("--{name}={value}"));
        self
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With its spans sent to `collector` as soon as there are any.
    #[must_use]
    pub fn exporting(self, collector: &Collector, protocol: Protocol) -> Self {
        self.variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint(protocol))
            .variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.name())
            .variable("OTEL_BSP_SCHEDULE_DELAY", "20")
    }

    /// Starts it, and waits until it takes requests.
    ///
    /// # Panics
    ///
    /// When it ends before it does; what it logged is shown.
    pub async fn start(&self) -> Sidecar {
        let mut sidecar = self.spawn();
        let text = until("the line that says where it listens", async || {
            if let Some(code) = sidecar.ended() {
                panic!("the sidecar ended with {code} before it listened");
            }
            let log = sidecar.log();
            log.lines()
                .find(|line| line.contains("listening"))
                .map(str::to_owned)
        })
        .await;
        sidecar.learn(&text);
        if sidecar.admin.is_some() {
            until("readiness", async || {
                let answer = sidecar.ask_admin("/readyz").await;
                (answer == "ready\n").then_some(())
            })
            .await;
        }
        if let (Some(app), false) = (self.app, self.command.is_empty()) {
            until("the app's own port", async || {
                if let Some(code) = sidecar.ended() {
                    panic!("the sidecar ended with {code} before its app listened");
                }
                TcpStream::connect(app).ok().map(drop)
            })
            .await;
        }
        sidecar
    }

    /// Starts it, and waits for nothing.
    ///
    /// # Panics
    ///
    /// When the binary cannot be built or started.
    #[must_use]
    pub fn spawn(&self) -> Sidecar {
        let mut command = Command::new(binary::path());
        command.arg("run");
        for (name, address) in [
            ("inbound", "127.0.0.1:0"),
            ("outbound", "127.0.0.1:0"),
            ("admin", "127.0.0.1:0"),
        ] {
            let given = format!("--{name}=");
            if !self.flags.iter().any(|flag| flag.starts_with(&given)) {
                command.arg(format!("{given}{address}"));
            }
        }
        command.args(&self.flags);
        if !self.command.is_empty() {
            command.arg("--").args(&self.command);
        }
        for (name, _) in std::env::vars_os() {
            if configures(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        let mut process = command
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary under test can be started");
        let log = Captured::default();
        let output = Captured::default();
        log.follow(process.stderr.take().expect("it is piped"));
        output.follow(process.stdout.take().expect("it is piped"));
        Sidecar {
            process,
            log,
            output,
            inbound: None,
            outbound: None,
            admin: None,
            routes: Vec::new(),
        }
    }
}

/// Whether a variable would configure a sidecar or the app that it starts.
pub(crate) fn configures(name: &str) -> bool {
    let upper = name.to_uppercase();
    ["THROUGHLINE_", "OTEL_", "AWS_"]
        .iter()
        .any(|prefix| upper.starts_with(prefix))
        || ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "PORT"].contains(&upper.as_str())
}

/// A port of this host that nobody listens at, and that the system gives to nobody by itself.
///
/// # Panics
///
/// When every port of the range is taken.
pub fn free_port() -> u16 {
    // Below what Linux hands out for port 0 and for outgoing connections (32768 and up).
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let seed = u16::try_from(std::process::id() % 9000).expect("less than 9000");
    for _ in 0..9000 {
        let port = 20_000 + (seed + NEXT.fetch_add(1, Ordering::Relaxed)) % 9000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between 20000 and 29000 is free");
}

/// A sidecar that runs. Dropped, it is killed, and its app with it; after a panic it shows its log.
#[derive(Debug)]
pub struct Sidecar {
    process: Child,
    log: Captured,
    output: Captured,
    inbound: Option<SocketAddr>,
    outbound: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    routes: Vec<SocketAddr>,
}

impl Sidecar {
    /// Where callers reach the app.
    ///
    /// # Panics
    ///
    /// When it is off.
    #[must_use]
    pub fn inbound(&self) -> SocketAddr {
        self.inbound.expect("inbound is on")
    }

    /// Where the app's calls go out.
    ///
    /// # Panics
    ///
    /// When it is off.
    #[must_use]
    pub fn outbound(&self) -> SocketAddr {
        self.outbound.expect("outbound is on")
    }

    /// Where operators ask.
    ///
    /// # Panics
    ///
    /// When it is off.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("admin is on")
    }

    /// Where the fixed routes are reached, in their order.
    #[must_use]
    pub fn routes(&self) -> &[SocketAddr] {
        &self.routes
    }

    /// An address at the inbound listener, for clients that take a URL.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.inbound())
    }

    /// A page of the admin port; empty where nobody answers.
    pub async fn ask_admin(&self, path: &str) -> String {
        Client::http1(self.admin()).await.get(path).await.text()
    }

    /// What the admin port answers to a request without a body.
    pub async fn tell_admin(&self, method: Method, path: &str) -> String {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "admin")
            .body(empty())
            .expect("the request of a test is one");
        Client::http1(self.admin()).await.ask(request).await.text()
    }

    /// Its metrics, now.
    pub async fn metrics(&self) -> Metrics {
        Metrics::parse(&self.ask_admin("/metrics").await)
    }

    /// Waits until its metrics say what is wanted.
    ///
    /// # Panics
    ///
    /// When they do not within [`PATIENCE`](crate::PATIENCE).
    pub async fn metrics_until(&self, what: &str, is_so: impl Fn(&Metrics) -> bool) -> Metrics {
        until(what, async || {
            let metrics = self.metrics().await;
            is_so(&metrics).then_some(metrics)
        })
        .await
    }

    /// The memory that it holds, in KiB.
    ///
    /// # Panics
    ///
    /// When it does not run any more.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(path).expect("the sidecar runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("a process that runs has resident memory")
    }

    /// How many descriptors it has open.
    ///
    /// # Panics
    ///
    /// When it does not run any more.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.process.id());
        fs::read_dir(path).expect("the sidecar runs").count()
    }

    /// Lets it have as many descriptors open, and no more.
    ///
    /// # Panics
    ///
    /// When that cannot be said of it.
    pub fn limit_descriptors(&self, count: u64) {
        let limit = format!("--nofile={count}:");
        let pid = format!("--pid={}", self.process.id());
        let status = Command::new("prlimit").args([limit, pid]).status();
        assert!(status.expect("prlimit is there").success());
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// When it does not run any more.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the sidecar runs");
    }

    /// Tells it to stop, as a container runtime does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Its exit code, if it has ended.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.process.try_wait().expect("it is our child");
        status.map(|status| status.code().unwrap_or(-1))
    }

    /// Waits until it has ended, and returns its exit code; -1 for a signal.
    ///
    /// # Panics
    ///
    /// When it does not end within [`PATIENCE`](crate::PATIENCE).
    pub async fn wait(&mut self) -> i32 {
        let code = until("the end of the sidecar", async || self.ended()).await;
        until("the end of its log", async || {
            self.log.is_over().then_some(())
        })
        .await;
        code
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// What it and its app have written to standard output so far.
    #[must_use]
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Takes the addresses from `listening addresses=inbound 127.0.0.1:1234, outbound …`.
    fn learn(&mut self, line: &str) {
        let mut words = line.split([' ', ',', '=']).filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            if !["inbound", "outbound", "admin", "route"].contains(&word) {
                continue;
            }
            let address = words.next().and_then(|word| word.parse().ok());
            let address = address.unwrap_or_else(|| panic!("no address after {word}: {line}"));
            match word {
                "inbound" => self.inbound = Some(address),
                "outbound" => self.outbound = Some(address),
                "admin" => self.admin = Some(address),
                _ => self.routes.push(address),
            }
        }
    }

    fn pid(&self) -> Pid {
        let id = i32::try_from(self.process.id()).ok();
        id.and_then(Pid::from_raw).expect("a process has an id")
    }

    /// The apps that it started: each leads a process group, which dies with it only if it can see to
    /// that itself.
    fn apps(&self) -> Vec<Pid> {
        let parent = self.process.id().to_string();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let apps = processes.filter_map(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // After the name, which may hold anything: the state, and then the parent.
            let (_, rest) = stat.rsplit_once(") ")?;
            let is_ours = rest.split(' ').nth(1) == Some(&parent);
            let id = entry.file_name().to_str()?.parse().ok()?;
            is_ours.then(|| Pid::from_raw(id)).flatten()
        });
        apps.collect()
    }
}

impl Drop for Sidecar {
    #[expect(clippy::print_stderr, reason = "it is what a failed test has to show")]
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let apps = self.apps();
            // Both may have ended in between.
            let _ = self.process.kill();
            let _ = self.process.wait();
            for app in apps {
                let _ = kill_process_group(app, Signal::KILL);
            }
        }
        if thread::panicking() {
            let id = self.process.id();
            eprintln!("the sidecar {id} had logged:\n{}", self.log());
            let output = self.output();
            if !output.is_empty() {
                eprintln!("and its app had written:\n{output}");
            }
        }
    }
}

/// What a process writes, line by line, as it comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured(Arc<Mutex<(String, bool)>>);

impl Captured {
    /// Reads until the end, on a thread of its own.
    pub(crate) fn follow(&self, pipe: impl Read + Send + 'static) {
        let captured = self.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader
                .read_until(b'\n', &mut line)
                .is_ok_and(|read| read > 0)
            {
                captured.lock().0.push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
            captured.lock().1 = true;
        });
    }

    pub(crate) fn text(&self) -> String {
        self.lock().0.clone()
    }

    fn is_over(&self) -> bool {
        self.lock().1
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (String, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

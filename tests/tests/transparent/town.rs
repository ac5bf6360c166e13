//! Three hosts in network namespaces of their own: a caller, the app's, and the shop's.
//!
//! ```text
//! caller 10.77.0.1 ── 10.77.0.2 app 10.77.1.2 ── 10.77.1.1 shop
//! ```
//!
//! The sidecar runs beside the app, as a user of its own, and the rules are those of
//! `deploy/transparent/rules.sh`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::Value;
use tempfile::TempDir;
use throughline_tests::{apps, binary, until, workspace};

/// Whom the app calls.
pub(crate) const SHOP: &str = "10.77.1.1";
/// The app, as its callers see it.
pub(crate) const APP: &str = "10.77.0.2";
/// The user that the sidecar runs as.
const PROXY_UID: &str = "1337";

/// The hosts, and what runs on them; all of it ends with this.
pub(crate) struct Town {
    caller: String,
    app: String,
    shop: String,
    running: Vec<Child>,
    _place: TempDir,
    sidecar: PathBuf,
}

/// Rules, as `iptables-save` writes them.
pub(crate) type Rules = Vec<String>;

/// Whether namespaces can be made here: that takes root.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn can_be_built() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not root: what needs network namespaces is left out");
    }
    is_root
}

impl Town {
    /// Builds the hosts, with the app and the shop running.
    pub(crate) async fn build() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |host: &str| format!("tl{}-{number}-{host}", std::process::id());
        let (caller, app, shop) = (name("caller"), name("app"), name("shop"));
        for namespace in [&caller, &app, &shop] {
            ip(&["netns", "add", namespace]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
        }
        wire((&caller, "10.77.0.1/24"), (&app, "10.77.0.2/24"), "c");
        wire((&shop, "10.77.1.1/24"), (&app, "10.77.1.2/24"), "s");
        // The user of the sidecar may read neither the checkout nor anything in it.
        let place = tempfile::tempdir().expect("a directory for the binary");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(place.path(), open).expect("it is ours");
        let sidecar = place.path().join("throughline");
        fs::copy(binary(), &sidecar).expect("the binary can be copied");
        let mut town = Self {
            caller,
            app,
            shop,
            running: Vec::new(),
            _place: place,
            sidecar,
        };
        let scripts = apps::directory("transparent");
        let script = |name: &str| scripts.join(name).to_string_lossy().into_owned();
        let child = on(&town.shop, &["python3", &script("shop.py")]).spawn();
        town.running.push(child.expect("python3 is there"));
        let child = on(&town.app, &["python3", &script("app.py"), SHOP]).spawn();
        town.running.push(child.expect("python3 is there"));
        until("the shop", async || {
            let said = curl(&town.app, &["--noproxy", "*", &format!("http://{SHOP}/up")]);
            said.status.success().then_some(())
        })
        .await;
        until("the app", async || {
            let said = curl(&town.caller, &[&format!("http://{APP}:3001/")]);
            said.status.success().then_some(())
        })
        .await;
        town
    }

    /// Starts the sidecar, with these flags besides.
    pub(crate) async fn sidecar(&mut self, flags: &[&str]) {
        let sidecar = self.sidecar.to_string_lossy().into_owned();
        let uid = format!("--reuid={PROXY_UID}");
        let gid = format!("--regid={PROXY_UID}");
        let mut words = vec!["setpriv", &uid, &gid, "--clear-groups", &sidecar, "run"];
        words.extend(["--app=127.0.0.1:3000", "--transparent=on", "--log=warn"]);
        words.extend(flags);
        let child = on(&self.app, &words).spawn().expect("setpriv is there");
        self.running.push(child);
        until("readiness", async || {
            let said = curl(&self.app, &["http://127.0.0.1:15000/readyz"]);
            (text(&said) == "ready\n").then_some(())
        })
        .await;
    }

    /// Runs the script of the rules, and says what it said.
    pub(crate) fn rules(&self, words: &[&str]) -> Output {
        let script = workspace().join("deploy/transparent/rules.sh");
        let script = script.to_string_lossy().into_owned();
        let mut all = vec![script.as_str()];
        all.extend(words);
        let output = on(&self.app, &all).output();
        output.expect("the script can be started")
    }

    /// Redirects callers of all ports of the app, and all of its calls.
    pub(crate) fn redirect(&self) {
        let ports = ["--proxy-uid", PROXY_UID, "--app-ports", "3000,3001,3002"];
        let output = self.rules(&[&["up"][..], &ports].concat());
        assert!(output.status.success(), "{output:?}");
    }

    /// The rules that are there.
    pub(crate) fn rule_lines(&self) -> Rules {
        let all = self.beside_app(&["iptables-save", "--table", "nat"]);
        let ours = all.lines().filter(|line| line.starts_with("-A"));
        ours.map(str::to_owned).collect()
    }

    /// What curl says at the caller's.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        text(&curl(&self.caller, words))
    }

    /// What a command says that runs beside the app, as one of its processes.
    pub(crate) fn beside_app(&self, words: &[&str]) -> String {
        let output = on(&self.app, words).output();
        text(&output.expect("the command can be started"))
    }

    /// What a server says: first, and to the line `hello`; of a command that runs beside the app, or at the
    /// caller's.
    pub(crate) fn talk(&self, is_app: bool, host: &str, port: u16, greets: bool) -> String {
        const TALK: &str = "
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
f = s.makefile('rwb')
if sys.argv[3] == 'true': print(f.readline().decode().strip())
f.write(b'hello\\n'); f.flush()
print(f.readline().decode().strip())
s.shutdown(socket.SHUT_WR)
print('end' if f.read() == b'' else 'more')
";
        let host_of = if is_app { &self.app } else { &self.caller };
        let (port, greets) = (port.to_string(), greets.to_string());
        let words = ["python3", "-c", TALK, host, &port, &greets];
        text(&on(host_of, &words).output().expect("python3 is there"))
    }

    /// All spans of the newest trace that has as many.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Value> {
        let admin = "http://127.0.0.1:15000/api/traces";
        until("the spans", async || {
            let list = text(&curl(&self.app, &[admin]));
            let list: Value = serde_json::from_str(&list).ok()?;
            let traces = list["traces"].as_array()?.clone();
            let trace = traces.iter().find(|trace| trace["spans"] == count)?;
            let one = format!("{admin}/{}", trace["trace_id"].as_str()?);
            let one: Value = serde_json::from_str(&text(&curl(&self.app, &[&one]))).ok()?;
            one["spans"].as_array().cloned()
        })
        .await
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        for child in &mut self.running {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
        for namespace in [&self.caller, &self.app, &self.shop] {
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .status();
        }
    }
}

/// Joins two hosts by a wire, each with its address at it.
fn wire((one, address): (&str, &str), (other, other_address): (&str, &str), end: &str) {
    ip(&[
        "-n", one, "link", "add", end, "type", "veth", "peer", "name", end, "netns", other,
    ]);
    for (host, address) in [(one, address), (other, other_address)] {
        ip(&["-n", host, "address", "add", address, "dev", end]);
        ip(&["-n", host, "link", "set", end, "up"]);
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output();
    let output = output.expect("ip is there; install iproute2");
    assert!(output.status.success(), "ip {words:?}: {output:?}");
}

/// A command on a host, quiet.
fn on(namespace: &str, words: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).args(words);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_uppercase().ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn curl(namespace: &str, words: &[&str]) -> Output {
    let mut all = vec![
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "20",
    ];
    all.extend(words);
    on(namespace, &all).output().expect("curl is there")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

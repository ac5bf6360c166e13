//! The app as a process that the sidecar started: what it is told, how it is signalled, how it ends.
//!
//! The app gets a process group of its own. A terminal sends Ctrl-C to its whole foreground group;
//! if the app were in it, the signal would reach it twice, once from the terminal and once forwarded,
//! and many servers take the second as "now, at once". In its own group it hears of it once, from us
//! and when it is its turn. And a signal goes to the whole group, so that `npm start` and `sh -c`
//! pass nothing on and leave nothing behind. The price is that the app cannot read from the terminal,
//! and its input is closed where that would be one.
//!
//! Nothing of the group outlives the [`Child`]: when the app has ended, and when the `Child` is
//! dropped, whatever is left is killed. Only a sidecar that is itself killed cannot do so.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, IsTerminal},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::process::ExitStatusExt,
    process::{ExitStatus, Stdio},
    time::Duration,
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process_group};

/// How the app is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program, looked up in `PATH` unless it has a slash.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What its environment has besides ours, see [`environment`].
    pub env: Vec<(String, String)>,
}

impl Command {
    /// Starts the app. Call it within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When there is no such program or it cannot be executed; the text names it.
    pub fn spawn(&self) -> io::Result<Child> {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .kill_on_drop(true);
        if io::stdin().is_terminal() {
            command.stdin(Stdio::null());
        }
        let process = command.spawn().map_err(|error| {
            let program = self.program.to_string_lossy();
            let text = format!("the command {program:?} cannot be started: {error}");
            io::Error::new(error.kind(), text)
        })?;
        let id = process.id().and_then(|id| i32::try_from(id).ok());
        Ok(Child {
            group: id.and_then(Pid::from_raw),
            process,
        })
    }
}

/// The app while it runs. Dropped before it has ended, it is killed with its whole group.
#[derive(Debug)]
pub struct Child {
    process: tokio::process::Child,
    /// The group, whose id is the app's; `None` once the app has ended and the group is cleared.
    group: Option<Pid>,
}

impl Child {
    /// The id of the app's process; `None` once it has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Sends a signal to the app and everything that it started. After the app's end it does nothing.
    pub fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It can only fail because nothing is left to be signalled.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Waits until the app has ended, and clears away what it left in its group.
    ///
    /// The result is its exit code, or 128 and the signal's number, as shells say it. Dropping the
    /// future loses nothing: it can be asked again, also after the end.
    pub async fn wait(&mut self) -> i32 {
        let status = self.process.wait().await;
        self.signal(Signal::KILL);
        self.group = None;
        // Waiting fails only if somebody else has reaped our child, and then its code is not known.
        status.map_or(1, exit_code)
    }

    /// Asks the app to end, and kills it if it has not within `grace`. The result is that of
    /// [`Child::wait`].
    pub async fn stop(&mut self, grace: Duration) -> i32 {
        self.signal(Signal::TERM);
        if let Ok(code) = tokio::time::timeout(grace, self.wait()).await {
            return code;
        }
        self.signal(Signal::KILL);
        self.wait().await
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => 1,
    }
}

/// What the app's environment gets: the port that it should listen at and the way out.
///
/// - `PORT` is `port`, where there is one.
/// - `HTTP_PROXY` and `http_proxy` are the `outbound` listener. `HTTPS_PROXY` is not set: encrypted
///   calls could only be tunnelled.
/// - `NO_PROXY` and `no_proxy` are what is there in `inherited` and then what is new in the argument.
///   An empty argument empties them, so that calls to this very host take the proxy too.
///
/// Without `outbound` nothing is said about proxies.
#[must_use]
pub fn environment(
    port: Option<u16>,
    outbound: Option<SocketAddr>,
    no_proxy: &str,
    inherited: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut environment = Vec::new();
    if let Some(port) = port {
        environment.push(("PORT".to_owned(), port.to_string()));
    }
    if let Some(outbound) = outbound {
        let proxy = format!("http://{}", reachable(outbound));
        let direct = direct(no_proxy, inherited);
        // Libraries differ in which spelling they read, and in which wins.
        environment.push(("HTTP_PROXY".to_owned(), proxy.clone()));
        environment.push(("http_proxy".to_owned(), proxy));
        environment.push(("NO_PROXY".to_owned(), direct.clone()));
        environment.push(("no_proxy".to_owned(), direct));
    }
    environment
}

/// The address at which a listener is reached from this host.
#[must_use]
pub fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

fn direct(no_proxy: &str, inherited: &BTreeMap<String, String>) -> String {
    if no_proxy.is_empty() {
        return String::new();
    }
    let inherited = ["NO_PROXY", "no_proxy"].map(|name| inherited.get(name));
    let inherited = inherited.into_iter().flatten().map(String::as_str);
    let mut hosts: Vec<&str> = Vec::new();
    for host in inherited.chain([no_proxy]).flat_map(|list| list.split(',')) {
        let host = host.trim();
        if !host.is_empty() && !hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            hosts.push(host);
        }
    }
    hosts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        Command {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![("GREETING".to_owned(), "7".to_owned())],
        }
    }

    /// Waits until the process with the id in that file is gone or a zombie.
    async fn gone(id: &str) -> bool {
        for _ in 0..500 {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
            if stat.map_or(true, |stat| stat.contains(") Z ")) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// Waits until a script has written a line to that file.
    async fn line(file: &std::path::Path) -> String {
        for _ in 0..500 {
            match std::fs::read_to_string(file) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("{} was never written", file.display());
    }

    #[test]
    fn the_app_is_told_its_port_and_the_way_out() {
        let none = BTreeMap::new();
        let pairs = |list: &[(&str, &str)]| -> Vec<_> {
            let pairs = list.iter();
            pairs.map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        assert_eq!(
            environment(
                Some(3000),
                Some("0.0.0.0:15001".parse().unwrap()),
                "localhost",
                &none
            ),
            pairs(&[
                ("PORT", "3000"),
                ("HTTP_PROXY", "http://127.0.0.1:15001"),
                ("http_proxy", "http://127.0.0.1:15001"),
                ("NO_PROXY", "localhost"),
                ("no_proxy", "localhost"),
            ])
        );
        assert_eq!(environment(None, None, "localhost", &none), pairs(&[]));
    }

    #[test]
    fn hosts_that_are_called_directly_are_added_to_those_that_are_there() {
        let inherited = |upper: &str, lower: &str| {
            BTreeMap::from([
                ("NO_PROXY".to_owned(), upper.to_owned()),
                ("no_proxy".to_owned(), lower.to_owned()),
            ])
        };
        assert_eq!(direct("a,b", &BTreeMap::new()), "a,b");
        assert_eq!(direct("a,b", &inherited("c, A", ".d,c")), "c,A,.d,b");
        assert_eq!(direct("", &inherited("c", "d")), "", "emptied on purpose");
    }

    #[tokio::test]
    async fn the_exit_code_is_the_apps_own() {
        let mut child = sh("exit $GREETING").spawn().unwrap();
        assert_eq!(child.wait().await, 7);
        assert_eq!(child.wait().await, 7, "asked again");
        child.signal(Signal::TERM);
    }

    #[tokio::test]
    async fn a_signal_becomes_128_and_its_number() {
        let mut child = sh("kill -9 $$").spawn().unwrap();
        assert_eq!(child.wait().await, 137);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let command = Command {
            program: "no-such-program".into(),
            args: Vec::new(),
            env: Vec::new(),
        };
        let error = command.spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("\"no-such-program\""), "{error}");
    }

    #[tokio::test]
    async fn signals_reach_the_whole_group_once() {
        let dir = tempfile::tempdir().unwrap();
        let (ready, heard) = (dir.path().join("ready"), dir.path().join("heard"));
        let script = format!(
            "exec 2> /dev/null; trap 'echo heard >> {heard}; exit 3' TERM; echo $$ > {ready}; while :; do sleep 0.01; done",
            heard = heard.display(),
            ready = ready.display()
        );
        let mut child = sh(&script).spawn().unwrap();
        assert_eq!(line(&ready).await, child.id().unwrap().to_string());
        child.signal(Signal::TERM);
        assert_eq!(child.wait().await, 3);
        assert_eq!(line(&heard).await, "heard");
    }

    #[tokio::test]
    async fn an_app_that_does_not_end_is_killed_after_its_grace() {
        let dir = tempfile::tempdir().unwrap();
        let ready = dir.path().join("ready");
        let script = format!(
            "trap '' TERM; echo $$ > {}; while :; do sleep 0.01; done",
            ready.display()
        );
        let mut child = sh(&script).spawn().unwrap();
        line(&ready).await;
        assert_eq!(child.stop(Duration::from_millis(50)).await, 137);
    }

    #[tokio::test]
    async fn no_orphan_outlives_the_app_or_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("orphan");
        let orphan = format!("sleep 600 & echo $! > {}", file.display());

        let mut child = sh(&orphan).spawn().unwrap();
        assert_eq!(child.wait().await, 0);
        assert!(gone(&line(&file).await).await, "the app ended");

        std::fs::remove_file(&file).unwrap();
        let child = sh(&format!("{orphan}; sleep 600")).spawn().unwrap();
        let id = line(&file).await;
        drop(child);
        assert!(gone(&id).await, "the owner was dropped");
    }
}

//! `run … -- COMMAND`: what the app is told, how it is signalled and how it ends.

use rustix::process::Signal;
use throughline_tests::{Setup, Sidecar, curl, until};

/// A server in a few lines, which says how it was signalled.
const SERVER: &str = r#"
import http.server, os, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = "\n".join(f"{k}={v}" for k, v in sorted(os.environ.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass

def say(number, _):
    print("heard", signal.Signals(number).name, flush=True)
    if number == signal.SIGTERM:
        sys.exit(7)

for name in ("SIGTERM", "SIGHUP", "SIGQUIT"):
    signal.signal(getattr(signal, name), say)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn python() -> Setup {
    Setup::starting(&["python3", "-c", SERVER])
}

async fn heard(sidecar: &Sidecar, signal: &str) {
    let line = format!("heard {signal}\n");
    until(&line, async || {
        sidecar.output().contains(&line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_app_is_told_its_port_and_the_way_out() {
    let sidecar = python().variable("NO_PROXY", "internal").start().await;
    let answer = curl(&[&sidecar.url("/")]).await;
    let value = |name: &str| {
        let name = format!("{name}=");
        let line = answer
            .body
            .lines()
            .find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("no {name} in {}", answer.body))
            .to_owned()
    };
    let proxy = format!("http://{}", sidecar.outbound());
    assert_eq!(
        [value("HTTP_PROXY"), value("http_proxy")],
        [proxy.clone(), proxy]
    );
    assert!(value("PORT").parse::<u16>().is_ok());
    let direct = value("NO_PROXY");
    assert_eq!(value("no_proxy"), direct);
    for host in ["internal", "localhost", "127.0.0.1", "169.254.170.2"] {
        assert!(direct.split(',').any(|d| d == host), "{host}: {direct}");
    }
    assert!(!answer.body.contains("HTTPS_PROXY"), "{}", answer.body);
}

#[tokio::test]
async fn it_ends_with_the_exit_code_of_the_app() {
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137)] {
        let mut sidecar = Setup::starting(&["/bin/sh", "-c", script]).spawn();
        assert_eq!(sidecar.wait().await, code, "{script}: {}", sidecar.log());
    }
}

#[tokio::test]
async fn a_command_that_is_not_there_is_one_sentence() {
    let mut sidecar = Setup::starting(&["no-such-program"]).spawn();
    assert_ne!(sidecar.wait().await, 0);
    assert!(
        sidecar.log().contains("\"no-such-program\""),
        "{}",
        sidecar.log()
    );
    assert!(!sidecar.log().contains("panicked"), "{}", sidecar.log());
}

#[tokio::test]
async fn signals_reach_the_app_and_the_last_one_ends_both() {
    let mut sidecar = python().start().await;
    sidecar.signal(Signal::HUP);
    heard(&sidecar, "SIGHUP").await;
    sidecar.signal(Signal::QUIT);
    heard(&sidecar, "SIGQUIT").await;
    assert_eq!(curl(&[&sidecar.url("/")]).await.status, 200, "both go on");
    sidecar.terminate();
    heard(&sidecar, "SIGTERM").await;
    assert_eq!(sidecar.wait().await, 7, "the app's own exit code");
    assert_eq!(sidecar.output().matches("heard SIGTERM").count(), 1, "once");
}

#[tokio::test]
async fn an_app_that_does_not_stop_is_killed_within_the_grace() {
    let script = "trap '' TERM; echo up; while :; do sleep 0.05; done";
    let mut sidecar = Setup::starting(&["/bin/sh", "-c", script])
        .flag("shutdown-grace", "300ms")
        .spawn();
    until("the app", async || {
        sidecar.output().contains("up").then_some(())
    })
    .await;
    sidecar.terminate();
    assert_eq!(sidecar.wait().await, 137, "{}", sidecar.log());
}

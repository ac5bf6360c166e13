//! Tunnels as real clients make them: HTTPS through a proxy, and WebSocket.

use std::process::Stdio;

use throughline_tests::{Collector, Kind, Protocol, Setup, apps};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

#[tokio::test]
async fn a_python_app_speaks_https_and_websocket_through_tunnels() {
    let python = tokio::task::spawn_blocking(apps::tunnels_python)
        .await
        .unwrap();
    let directory = apps::directory("tunnels");
    let mut servers = Command::new(&python)
        .arg(directory.join("servers.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(servers.stdout.take().unwrap()).lines();
    let said = said.next_line().await.unwrap().expect("its ports");
    let ports: serde_json::Value = serde_json::from_str(&said).unwrap();
    let port = |name: &str| ports[name].as_u64().unwrap();

    let collector = Collector::start().await;
    let app = format!("127.0.0.1:{}", port("websocket")).parse().unwrap();
    let sidecar = Setup::beside(app)
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    let client = Command::new(&python)
        .arg(directory.join("client.py"))
        .arg(format!("https://localhost:{}", port("https")))
        .arg(ports["trusted"].as_str().unwrap())
        .arg(format!("ws://{}/chat", sidecar.inbound()))
        .env("HTTPS_PROXY", format!("http://{}", sidecar.outbound()))
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .await
        .unwrap();
    let output = String::from_utf8_lossy(&client.stdout);
    let errors = String::from_utf8_lossy(&client.stderr);
    let expected = "200 hello from /one\n200 hello from /two\nechoed\n";
    assert_eq!(output, expected, "{errors}");

    let spans = collector
        .wanted(1, |span| span.kind() == Kind::Client)
        .await;
    let [tunnel] = &spans[..] else {
        panic!("two requests are one tunnel: {}", spans.len());
    };
    tunnel.check();
    let summary = tunnel.summary();
    assert_eq!(tunnel.name(), "CONNECT", "{summary}");
    assert_eq!(tunnel.status(), Some(200), "{summary}");
    assert_eq!(tunnel.text("tls.client.server_name"), "localhost");
    assert_eq!(tunnel.text("tls.protocol.version"), "1.3", "{summary}");
    assert_eq!(tunnel.text("throughline.ended_by"), "client", "{summary}");
    assert_eq!(tunnel.text("error.type"), "", "{summary}");
    for phase in ["connect", "tls", "tunnel"] {
        assert!(tunnel.has_phase(phase), "{phase}: {summary}");
    }

    let chat = collector.span(Kind::Server, "/chat").await;
    chat.check();
    let summary = chat.summary();
    assert_eq!(chat.status(), Some(101), "{summary}");
    assert_eq!(chat.text("throughline.tunnel.protocol"), "websocket");
    assert_eq!(chat.text("error.type"), "", "{summary}");
}

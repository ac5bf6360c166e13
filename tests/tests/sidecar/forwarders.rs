//! What launches with an app: how the sidecar believes it, where it does not, and how it gets there.

use std::{
    fs::{self, OpenOptions},
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
    sync::{Arc, OnceLock},
};

use http::{HeaderMap, Request, Response};
use rustix::time::{ClockId, clock_gettime};
use throughline_tests::{
    Client, Collector, Kind, Protocol, Setup, Sidecar, Upstream, binary, text,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Barrier,
};

use crate::{echo_headers, echoed};

const MARK: &str = "throughline-forwarder";

/// How an app of this module treats the headers of the request that it is handling.
type Forward = fn(&HeaderMap, &mut HeaderMap);

/// An app that makes one call for each request, with the headers that `forward` puts on it, and answers
/// with what the upstream saw. All of `at_once` are there before the first calls.
async fn app(way_out: Arc<OnceLock<SocketAddr>>, at_once: usize, forward: Forward) -> Upstream {
    let all_here = Arc::new(Barrier::new(at_once));
    Upstream::http1(move |request: Request<hyper::body::Incoming>| {
        let (way_out, all_here) = (way_out.clone(), all_here.clone());
        async move {
            all_here.wait().await;
            let path = request.uri().path().replace("request", "call");
            let mut call = Request::get(path).header("host", "stock");
            forward(request.headers(), call.headers_mut().unwrap());
            let mut client = Client::http1(*way_out.get().unwrap()).await;
            let seen = client
                .ask(call.body(throughline_tests::empty()).unwrap())
                .await;
            Response::new(text(seen.text()))
        }
    })
    .await
}

/// As a forwarder does.
fn copy(from: &HeaderMap, to: &mut HeaderMap) {
    to.insert("traceparent", from["traceparent"].clone());
    let mark = concat!("node/", env!("CARGO_PKG_VERSION"));
    to.insert(MARK, mark.parse().unwrap());
}

/// As one does that is broken: it holds on to the context of a request that was long ago.
fn stale(_: &HeaderMap, to: &mut HeaderMap) {
    let long_ago = "00-6b0364373c9a80b852c4e462847f53ee-00f067aa0ba902b7-01";
    to.insert("traceparent", long_ago.parse().unwrap());
    to.insert(
        "b3",
        "6b0364373c9a80b852c4e462847f53ee-00f067aa0ba902b7-1"
            .parse()
            .unwrap(),
    );
    to.insert(MARK, "node/0.0.0".parse().unwrap());
}

async fn sidecar(
    at_once: usize,
    forward: Forward,
    collector: &Collector,
) -> (Sidecar, [Upstream; 2]) {
    let stock = echo_headers().await;
    let way_out = Arc::new(OnceLock::new());
    let app = app(way_out.clone(), at_once, forward).await;
    let sidecar = Setup::beside(app.address())
        .flag("process-evidence", "off")
        .flag("route", &format!("127.0.0.1:0={}", stock.address()))
        .exporting(collector, Protocol::Http)
        .start()
        .await;
    way_out.set(sidecar.routes()[0]).unwrap();
    (sidecar, [stock, app])
}

/// What the upstreams of this many requests saw, which are all open at once.
async fn ask(sidecar: &Sidecar, at_once: usize) -> Vec<String> {
    let asked = (0..at_once).map(|n| {
        let address = sidecar.inbound();
        tokio::spawn(async move {
            let mut client = Client::http1(address).await;
            client.get(&format!("/request-{n}")).await.text()
        })
    });
    let mut seen = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        seen.push(asked.await.unwrap());
    }
    seen
}

#[tokio::test]
async fn a_copied_context_is_the_parent_and_its_mark_stays_here() {
    let collector = Collector::start().await;
    let (sidecar, _servers) = sidecar(8, copy, &collector).await;
    for seen in ask(&sidecar, 8).await {
        assert_eq!(echoed(&seen, MARK), [""; 0], "{seen}");
        assert_eq!(echoed(&seen, "traceparent").len(), 1, "{seen}");
    }
    for n in 0..8 {
        let request = collector.span(Kind::Server, &format!("/request-{n}")).await;
        let call = collector.span(Kind::Client, &format!("/call-{n}")).await;
        assert_eq!(call.parent(), request.id(), "{}", call.summary());
        assert_eq!(call.text("throughline.parent.evidence"), "propagated");
        let forwarder = call.text("throughline.parent.forwarder");
        assert_eq!(forwarder, concat!("node/", env!("CARGO_PKG_VERSION")));
    }
    let report = sidecar.ask_admin("/api/correlation").await;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["forwarded"]["node"]["exact"], 8, "{report}");
}

#[tokio::test]
async fn a_context_that_no_open_request_has_goes_no_further() {
    let collector = Collector::start().await;
    let (sidecar, _servers) = sidecar(2, stale, &collector).await;
    for seen in ask(&sidecar, 2).await {
        assert!(!seen.contains("6b0364373c9a80b852c4e462847f53ee"), "{seen}");
        assert_eq!(echoed(&seen, MARK), [""; 0], "{seen}");
        assert_eq!(echoed(&seen, "traceparent").len(), 1, "ours: {seen}");
    }
    let call = collector.span(Kind::Client, "/call-0").await;
    assert_eq!(
        call.text("throughline.parent.evidence"),
        "open",
        "{}",
        call.summary()
    );
    assert_eq!(call.text("throughline.parent.forwarder"), "");
    let stale = "throughline_forwarded_calls_total{forwarder=\"node\",outcome=\"stale\"}";
    assert_eq!(sidecar.metrics().await.value(stale), 2.0);
}

#[tokio::test]
async fn without_tracing_the_mark_stays_here_too() {
    let stock = echo_headers().await;
    let sidecar = Setup::outbound_alone()
        .flag("tracing", "off")
        .flag("route", &format!("127.0.0.1:0={}", stock.address()))
        .start()
        .await;
    let request = Request::get("/")
        .header("host", "stock")
        .header(MARK, "node/1");
    let mut client = Client::http1(sidecar.routes()[0]).await;
    let seen = client
        .ask(request.body(throughline_tests::empty()).unwrap())
        .await;
    assert_eq!(echoed(&seen.text(), MARK), [""; 0]);
}

/// Writes what a thread says before it makes a call: whose request it is serving.
fn say(file: &Path, call: &TcpStream, request: &TcpStream) {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    let written = u64::from(u32::try_from(micros / 16 % (1 << 32)).unwrap());
    let listener = u64::from(call.peer_addr().unwrap().port());
    let request = u64::from(request.peer_addr().unwrap().port());
    let word = written << 32 | listener << 16 | request;
    let mut slot = [0; 16];
    slot[..8].copy_from_slice(&word.to_ne_bytes());
    slot[8..].copy_from_slice(&(!word).to_ne_bytes());
    let offset = u64::from(call.local_addr().unwrap().port()) * 16;
    let file = OpenOptions::new().write(true).open(file).unwrap();
    file.write_all_at(&slot, offset).unwrap();
}

/// Reads a head, and nothing else is sent here.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

#[tokio::test]
async fn a_thread_that_says_which_request_it_serves_is_believed() {
    const AT_ONCE: usize = 8;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("signal");
    let collector = Collector::start().await;
    let stock = echo_headers().await;
    let way_out: Arc<OnceLock<SocketAddr>> = Arc::default();
    let (to, path) = (way_out.clone(), file.clone());
    let all_here = Arc::new(Barrier::new(AT_ONCE));
    let app = Upstream::raw(move |mut request, _| {
        let (to, path, all_here) = (to.clone(), path.clone(), all_here.clone());
        async move {
            while let Some(asked) = head(&mut request).await {
                all_here.wait().await;
                let name = asked.split(' ').nth(1).unwrap().replace("request", "call");
                let mut call = TcpStream::connect(*to.get().unwrap()).await.unwrap();
                say(&path, &call, &request);
                let get =
                    format!("GET {name} HTTP/1.1\r\nhost: stock\r\nconnection: close\r\n\r\n");
                call.write_all(get.as_bytes()).await.unwrap();
                let mut seen = Vec::new();
                call.read_to_end(&mut seen).await.unwrap();
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                request.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let sidecar = Setup::beside(app.address())
        .flag("process-evidence", "off")
        .flag("signal-file", &file.to_string_lossy())
        .flag("route", &format!("127.0.0.1:0={}", stock.address()))
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    way_out.set(sidecar.routes()[0]).unwrap();
    ask(&sidecar, AT_ONCE).await;
    for n in 0..AT_ONCE {
        let request = collector.span(Kind::Server, &format!("/request-{n}")).await;
        let call = collector.span(Kind::Client, &format!("/call-{n}")).await;
        assert_eq!(call.parent(), request.id(), "{}", call.summary());
        assert_eq!(call.text("throughline.parent.evidence"), "signal");
    }
}

#[tokio::test]
async fn a_signal_file_that_cannot_be_made_is_one_sentence_before_any_port() {
    let mut sidecar = Setup::outbound_alone()
        .flag("signal-file", "/none/such/file")
        .spawn();
    assert_ne!(sidecar.wait().await, 0);
    let log = sidecar.log();
    let sentence = "signal_file /none/such/file cannot be made; choose a directory";
    assert!(log.contains(sentence), "{log}");
    assert!(!log.contains("listening"), "{log}");
}

/// What a command of `throughline` prints, and what it says on the side.
fn throughline(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = Command::new(binary())
        .args(arguments)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

#[tokio::test]
async fn what_is_installed_is_what_the_variables_name() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("volume");
    let place = place.to_str().unwrap();
    let (installed, _, code) = throughline(&["forwarders", "install", place]);
    assert_eq!(code, Some(0));
    for line in installed.lines() {
        let (_, path) = line.split_once(' ').unwrap();
        assert!(Path::new(path.trim()).exists(), "{line}");
    }
    let (variables, _, code) = throughline(&["forwarders", "env", place, "--json"]);
    assert_eq!(code, Some(0));
    let variables: serde_json::Value = serde_json::from_str(&variables).unwrap();
    let value = |name: &str| {
        let mut variables = variables.as_array().unwrap().iter();
        let found = variables.find(|variable| variable["name"] == name);
        found.map(|variable| variable["value"].as_str().unwrap())
    };
    let script = value("NODE_OPTIONS").unwrap().strip_prefix("--require=");
    assert!(fs::metadata(script.unwrap()).unwrap().len() > 0);
    assert_eq!(value("THROUGHLINE_FORWARD_VIA"), Some("127.0.0.1:15001"));

    let (_, error, code) = throughline(&["forwarders", "env", place, "--forwarders", "perl"]);
    assert_eq!(code, Some(64));
    assert!(error.contains("no forwarder is called \"perl\""), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[tokio::test]
async fn an_app_is_started_with_what_fits_it_and_nothing_else() {
    let shows = "import http.server, os\n\
        class Handler(http.server.BaseHTTPRequestHandler):\n\
        \x20   def do_GET(self):\n\
        \x20       body = os.environ.get(self.path[1:], '').encode()\n\
        \x20       self.send_response(200)\n\
        \x20       self.send_header('Content-Length', str(len(body)))\n\
        \x20       self.end_headers()\n\
        \x20       self.wfile.write(body)\n\
        \x20   def log_message(self, *_): pass\n\
        http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()";
    let mut sidecar = Setup::starting(&["python3", "-c", shows])
        .flag("forwarders", "auto")
        .variable("PYTHONPATH", "/srv/own")
        .start()
        .await;
    let mut client = Client::http1(sidecar.inbound()).await;
    let path = client.get("/PYTHONPATH").await.text();
    let (ours, own) = path.split_once(':').unwrap();
    assert_eq!(own, "/srv/own", "what is set stays");
    assert!(Path::new(ours).join("sitecustomize.py").exists(), "{path}");
    assert_eq!(client.get("/NODE_OPTIONS").await.text(), "");
    let via = client.get("/THROUGHLINE_FORWARD_VIA").await.text();
    assert_eq!(via, sidecar.outbound().to_string());
    assert!(
        sidecar.log().contains("forwarders: python by PYTHONPATH"),
        "{}",
        sidecar.log()
    );
    sidecar.terminate();
    assert_eq!(sidecar.wait().await, 143, "the app's own");
    assert!(!Path::new(ours).exists(), "gone with the app");
}

//! One line for each exchange, whatever becomes of the lines.

use std::{
    fs,
    io::Read,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use http::{Request, Response};
use rustix::{
    fs::{CWD, Mode, OFlags, mkfifoat},
    process::Signal,
};
use serde_json::Value;
use throughline_tests::{Client, Setup, Sidecar, Upstream, text, until};

use super::{call, get, named};

/// A sidecar that writes its access log there.
async fn logging(app: &Upstream, to: &Path) -> Sidecar {
    let setup = Setup::beside(app.address()).flag("access-log", to.to_str().unwrap());
    setup.start().await
}

/// A directory, and the path of a log in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    (directory, path)
}

/// Waits for as many whole lines.
async fn lines(count: usize, read: impl Fn() -> String) -> Vec<String> {
    until("the lines of the access log", async || {
        let text = read();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines: Vec<_> = whole.lines().map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

fn of_file(path: &Path) -> impl Fn() -> String {
    let path = path.to_owned();
    move || fs::read_to_string(&path).unwrap_or_default()
}

/// The path of the request that each line is about.
fn paths(lines: &[String]) -> Vec<String> {
    let parse = |line: &String| serde_json::from_str::<Value>(line).expect(line);
    let path = |line| parse(line)["path"].as_str().map(str::to_owned);
    lines.iter().filter_map(path).collect()
}

#[tokio::test]
async fn both_sides_of_the_app_are_logged_whether_sampled_or_not() {
    let app = named("app").await;
    let stock = Upstream::http1(|request| async move {
        use http_body_util::BodyExt;
        let got = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(text(format!("got {}", got.len())))
    })
    .await;
    for (sampler, sampled) in [("always_on", true), ("always_off", false)] {
        let sidecar = Setup::beside(app.address())
            .flag("name", "orders")
            .flag("sampler", sampler)
            .flag("access-log", "stdout")
            .start()
            .await;
        let mut client = Client::http1(sidecar.inbound()).await;
        assert_eq!(client.get("/in?secret=1").await.status, 200);
        let request = Request::post(format!("http://{}/out?secret=2", stock.address()))
            .header("host", "stock")
            .body(text("12345"));
        let mut client = Client::http1(sidecar.outbound()).await;
        assert_eq!(client.ask(request.unwrap()).await.text(), "got 5");

        let lines = lines(2, || sidecar.output()).await;
        assert_eq!(lines.len(), 2, "{lines:?}");
        let inbound: Value = serde_json::from_str(&lines[0]).unwrap();
        let outbound: Value = serde_json::from_str(&lines[1]).unwrap();
        for (line, direction, path) in [
            (&inbound, "inbound", "/in"),
            (&outbound, "outbound", "/out"),
        ] {
            assert_eq!(line["direction"], direction);
            assert_eq!(line["path"], path, "no query");
            assert_eq!(line["service"], "orders");
            assert_eq!(line["status"], 200);
            assert_eq!(line["sampled"], sampled);
            let phases = line["phases_ms"].as_object().unwrap();
            let sum: f64 = phases.values().filter_map(Value::as_f64).sum();
            let duration = line["duration_ms"].as_f64().unwrap();
            // Each is cut off at a microsecond.
            assert!((sum - duration).abs() < 0.02, "{line}");
            let [trace, span] = ["trace_id", "span_id"].map(|id| line[id].as_str().unwrap());
            let xray = format!("1-{}-{}@{span}", &trace[..8], &trace[8..]);
            assert_eq!(line["AWS-XRAY-TRACE-ID"], *xray);
        }
        assert_eq!(inbound["peer"], "127.0.0.1");
        assert_eq!(
            (&inbound["request_bytes"], &inbound["response_bytes"]),
            (&0.into(), &3.into())
        );
        assert_eq!(inbound.get("evidence"), None);
        assert_eq!(outbound["peer"], stock.address().to_string());
        assert_eq!(
            (&outbound["request_bytes"], &outbound["response_bytes"]),
            (&5.into(), &5.into())
        );
        assert_eq!(outbound["evidence"], "open");
        assert!(outbound["phases_ms"]["connect"].is_number(), "{outbound}");

        let metrics = sidecar.metrics().await;
        assert_eq!(
            metrics.created() > 0.0,
            sampled,
            "what is not sampled goes nowhere else"
        );
        assert_eq!(metrics.value("throughline_access_log_written_total"), 2.0);
    }
}

#[tokio::test]
async fn what_failed_is_logged_with_why() {
    let app = Upstream::raw(|stream, _| async move { drop(stream) }).await;
    let sidecar = Setup::beside(app.address())
        .flag("access-log", "stdout")
        .flag("access-log-format", "text")
        .start()
        .await;
    let mut client = Client::http1(sidecar.inbound()).await;
    assert_eq!(client.get("/gone").await.status, 502);
    let line = lines(1, || sidecar.output()).await.remove(0);
    assert!(
        line.contains(" path=/gone ") && line.contains(" status=502 "),
        "{line}"
    );
    assert!(
        line.contains(" error_type=") && line.contains(" ended_by=upstream "),
        "{line}"
    );
}

#[tokio::test]
async fn what_is_in_flight_at_the_end_is_logged_too() {
    let app = named("app").await;
    let (_directory, path) = place();
    let mut sidecar = logging(&app, &path).await;
    for n in 0..50 {
        Client::http1(sidecar.inbound())
            .await
            .get(&format!("/{n}"))
            .await;
    }
    sidecar.terminate();
    assert_eq!(sidecar.wait().await, 0);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 50);
}

#[tokio::test]
async fn a_file_that_logrotate_moved_is_opened_again_on_sighup() {
    let app = named("app").await;
    let (_directory, path) = place();
    let sidecar = logging(&app, &path).await;
    let mut client = Client::http1(sidecar.inbound()).await;
    client.get("/before").await;
    lines(1, of_file(&path)).await;
    let moved = path.with_extension("1");
    fs::rename(&path, &moved).unwrap();
    sidecar.signal(Signal::HUP);
    until("the new file", async || path.exists().then_some(())).await;
    client.get("/after").await;
    let after = lines(1, of_file(&path)).await;
    assert_eq!(paths(&after), ["/after"]);
    assert_eq!(fs::read_to_string(&moved).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn a_full_disk_costs_lines_that_are_counted_and_nothing_else() {
    let app = named("app").await;
    let (_directory, path) = place();
    symlink("/dev/full", &path).unwrap();
    let sidecar = logging(&app, &path).await;
    let mut client = Client::http1(sidecar.inbound()).await;
    for _ in 0..20 {
        assert_eq!(client.get("/lost").await.text(), "app");
    }
    let lost = "throughline_access_log_dropped_total{reason=\"write_failed\"}";
    sidecar
        .metrics_until("the lost lines", |metrics| metrics.value(lost) == 20.0)
        .await;
    let said = || {
        sidecar
            .log()
            .matches("access log cannot be written")
            .count()
    };
    until("the word about it", async || (said() > 0).then_some(())).await;
    assert_eq!(said(), 1);
    fs::remove_file(&path).unwrap();
    until("a file with room", async || path.exists().then_some(())).await;
    assert_eq!(client.get("/kept").await.text(), "app");
    assert_eq!(paths(&lines(1, of_file(&path)).await), ["/kept"]);
}

#[tokio::test]
async fn a_closed_pipe_costs_lines_until_somebody_reads_again() {
    let app = named("app").await;
    let upstream = named("upstream").await;
    let (_directory, path) = place();
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    let reading = || {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        fs::File::from(rustix::fs::open(&path, flags, Mode::empty()).unwrap())
    };
    let reader = reading();
    let sidecar = logging(&app, &path).await;
    drop(reader);
    let mut client = Client::http1(sidecar.inbound()).await;
    assert_eq!(client.get("/lost").await.text(), "app");
    assert_eq!(call(&sidecar, &upstream, "/lost").await, "upstream");
    let lost = "throughline_access_log_dropped_total{reason=\"write_failed\"}";
    sidecar
        .metrics_until("the lost lines", |metrics| metrics.value(lost) == 2.0)
        .await;
    let mut reader = reading();
    let mut read = String::new();
    let line = until("a line", async || {
        assert_eq!(client.get("/kept").await.text(), "app");
        // Nothing yet is an error, and so is that nobody writes yet.
        let _ = reader.read_to_string(&mut read);
        read.lines().next().map(str::to_owned)
    })
    .await;
    assert_eq!(paths(&[line]), ["/kept"]);
}

#[tokio::test]
async fn a_log_that_cannot_be_is_refused_before_any_port_is_taken() {
    let app = named("app").await;
    let (directory, _) = place();
    let mut sidecar = Setup::beside(app.address())
        .flag("access-log", directory.path().to_str().unwrap())
        .spawn();
    assert_ne!(sidecar.wait().await, 0);
    let log = sidecar.log();
    assert!(
        log.contains("access_log ") && log.contains("choose a file"),
        "{log}"
    );
    assert!(!log.contains("listening"), "{log}");
    // What is asked for is no reason not to start where tracing is off for everybody.
    let sidecar = Setup::beside(app.address())
        .flag("access-log", "stdout")
        .variable("OTEL_SDK_DISABLED", "true")
        .start()
        .await;
    assert!(sidecar.log().contains("access_log is passed over"));
    let mut client = Client::http1(sidecar.inbound()).await;
    assert_eq!(client.ask(get("/")).await.text(), "app");
}

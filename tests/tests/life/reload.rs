//! Another configuration, while requests go on.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use throughline_tests::{Client, Collector, Kind, Protocol, Setup, Sidecar, until};

use super::{
    load::{Load, busy_app},
    named,
};

/// A file in a directory of its own.
struct File {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("throughline.yaml");
        fs::write(&path, text).unwrap();
        Self {
            _directory: directory,
            path,
        }
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).unwrap();
    }

    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// Waits until it was read again so often, with that outcome.
async fn reloaded(sidecar: &Sidecar, outcome: &str, times: f64) {
    let sample = format!("throughline_config_reloads_total{{outcome=\"{outcome}\"}}");
    sidecar
        .metrics_until(&format!("{times} reloads: {outcome}"), |metrics| {
            metrics.value(&sample) >= times
        })
        .await;
}

async fn configuration(sidecar: &Sidecar) -> Value {
    serde_json::from_str(&sidecar.ask_admin("/api/config").await).unwrap()
}

fn setting<'p>(page: &'p Value, key: &str) -> &'p Value {
    let settings = page["settings"].as_array().unwrap();
    settings
        .iter()
        .find(|setting| setting["key"] == key)
        .expect(key)
}

#[tokio::test]
async fn sighup_changes_what_can_change_on_connections_that_are_open() {
    let app = named("app").await;
    let [first, second] = [named("first").await, named("second").await];
    let collector = Collector::start().await;
    let text = |upstream: &throughline_tests::Upstream, rest: &str| {
        let to = upstream.address();
        format!("routes: [{{ listen: \"127.0.0.1:0\", upstream: \"{to}\" }}]\n{rest}")
    };
    let file = File::new(&text(&first, "sampler: always_off\n"));
    let sidecar = Setup::beside(app.address())
        .flag("config", file.name())
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    let mut caller = Client::http1(sidecar.inbound()).await;
    let mut calls = Client::http1(sidecar.routes()[0]).await;
    assert_eq!(caller.get("/before").await.text(), "app");
    assert_eq!(calls.get("/before").await.text(), "first");

    file.write(&text(
        &second,
        "sampler: always_on\nworkers: 3\nshutdown_grace: 1s\n",
    ));
    sidecar.signal(Signal::HUP);
    reloaded(&sidecar, "applied", 1.0).await;
    assert_eq!(caller.get("/after").await.text(), "app");
    assert_eq!(calls.get("/after").await.text(), "second");
    collector.span(Kind::Server, "/after").await;
    collector.span(Kind::Client, "/after").await;
    assert_eq!(
        sidecar.metrics().await.created(),
        2.0,
        "nothing of what was before"
    );

    let log = until("what needs a restart", async || {
        let log = sidecar.log();
        log.contains("after a restart").then_some(log)
    })
    .await;
    assert!(
        log.contains("reloaded: routes, shutdown_grace, sampler"),
        "{log}"
    );
    assert!(
        log.contains("in effect only after a restart: workers"),
        "{log}"
    );
    let page = configuration(&sidecar).await;
    assert_eq!(page["reload"]["outcome"], "applied");
    assert_eq!(page["needs_restart"], serde_json::json!(["workers"]));
    assert_eq!(setting(&page, "sampler")["value"], "always_on");
    assert_eq!(
        setting(&page, "sampler")["source"],
        format!("file {}:2", file.name())
    );
    assert_ne!(setting(&page, "workers")["value"], "3");
}

#[tokio::test]
async fn a_bad_file_is_refused_with_its_reason_and_the_old_one_stays() {
    let app = named("app").await;
    let upstream = named("upstream").await;
    let file = File::new("sampler: always_off\n");
    let sidecar = Setup::beside(app.address())
        .flag("config", file.name())
        .start()
        .await;
    let mut times = 0.0;
    for (bad, why) in [
        ("sampler: sometimes\n", ":1:10: sampler"),
        ("samplr: always_on\n", "did you mean sampler?"),
        ("app: {\n", ":1:6: app cannot"),
        (
            "access_log: /none/such/log\n",
            "access_log /none/such/log cannot be opened",
        ),
    ] {
        file.write(&format!("{bad}log: debug\n"));
        sidecar.signal(Signal::HUP);
        times += 1.0;
        reloaded(&sidecar, "refused", times).await;
        let page = configuration(&sidecar).await;
        let error = page["reload"]["error"].as_str().unwrap().to_owned();
        assert!(error.contains(why), "{error}");
        until("the line that says why", async || {
            let log = sidecar.log();
            let is_said = |line: &str| {
                ["ERROR", "not reloaded", why]
                    .iter()
                    .all(|part| line.contains(part))
            };
            log.lines().any(is_said).then_some(())
        })
        .await;
        assert_eq!(setting(&page, "sampler")["value"], "always_off");
        assert_eq!(
            sidecar.ask_admin("/log-level").await,
            "info\n",
            "nothing of it"
        );
        assert_eq!(
            Client::http1(sidecar.inbound())
                .await
                .get("/x")
                .await
                .text(),
            "app"
        );
        assert_eq!(super::call(&sidecar, &upstream, "/x").await, "upstream");
    }
    fs::remove_file(&file.path).unwrap();
    sidecar.signal(Signal::HUP);
    reloaded(&sidecar, "refused", times + 1.0).await;
    file.write("sampler: always_on\nlog: warn\n");
    sidecar.signal(Signal::HUP);
    reloaded(&sidecar, "applied", 1.0).await;
    assert_eq!(sidecar.ask_admin("/log-level").await, "warn\n");
}

#[tokio::test]
async fn a_file_that_has_changed_is_read_without_being_told() {
    let app = named("app").await;
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (version, level) in [("v1", "info"), ("v2", "warn")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("t.yaml"), format!("log: {level}\n")).unwrap();
    }
    // As Kubernetes mounts a config map.
    symlink("v1", at("..data")).unwrap();
    symlink("..data/t.yaml", at("t.yaml")).unwrap();
    let sidecar = Setup::beside(app.address())
        .flag("config", at("t.yaml").to_str().unwrap())
        .start()
        .await;
    assert_eq!(sidecar.ask_admin("/log-level").await, "info\n");
    symlink("v2", at("..new")).unwrap();
    fs::rename(at("..new"), at("..data")).unwrap();
    reloaded(&sidecar, "applied", 1.0).await;
    assert_eq!(sidecar.ask_admin("/log-level").await, "warn\n");
    // And an edit in place.
    fs::write(at("v2/t.yaml"), "log: loud\n").unwrap();
    reloaded(&sidecar, "refused", 1.0).await;
    assert_eq!(sidecar.ask_admin("/log-level").await, "warn\n");
    // And back: that it was refused is no longer so.
    fs::write(at("v2/t.yaml"), "log: warn\n").unwrap();
    reloaded(&sidecar, "applied", 2.0).await;
    assert_eq!(
        configuration(&sidecar).await["reload"]["outcome"],
        "applied"
    );
}

#[tokio::test]
async fn no_request_is_lost_by_a_reload_under_load() {
    let app = busy_app().await;
    let upstream = busy_app().await;
    let collector = Collector::start().await;
    let file = File::new("");
    let sidecar = Setup::beside(app.address())
        .flag("config", file.name())
        .flag("app-protocol", "http1")
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    let load = Load::begin(&sidecar, &upstream).await;
    let mut times = 0.0;
    for round in 0..20 {
        load.answers(20).await;
        // Each time another pool, and other layers.
        let texts = [
            "max_connections: 300\n",
            "sampler: always_on\n",
            "propagators: [b3]\n",
        ];
        file.write(texts[round % texts.len()]);
        sidecar.signal(Signal::HUP);
        times += 1.0;
        reloaded(&sidecar, "applied", times).await;
    }
    assert_eq!(load.end().await, [""; 0]);
    let metrics = sidecar
        .metrics_until("the account", |metrics| metrics.balances("otlp"))
        .await;
    assert_eq!(metrics.dropped("otlp"), 0.0);
}

#[tokio::test]
async fn the_exporter_of_a_reload_sends_with_the_headers_of_the_reload() {
    let app = named("app").await;
    let [before, after] = [Collector::start().await, Collector::start().await];
    let text = |collector: &Collector| {
        format!(
            "otlp_endpoint: \"{}\"\nspan_batch_delay: 20ms\n",
            collector.endpoint(Protocol::Http)
        )
    };
    let file = File::new(&text(&before));
    let sidecar = Setup::beside(app.address())
        .flag("config", file.name())
        .start()
        .await;
    let mut client = Client::http1(sidecar.inbound()).await;
    client.get("/before").await;
    before.span(Kind::Server, "/before").await;
    file.write(&text(&after));
    sidecar.signal(Signal::HUP);
    reloaded(&sidecar, "applied", 1.0).await;
    client.get("/after").await;
    after.span(Kind::Server, "/after").await;
    until("the account", async || {
        sidecar.metrics().await.balances("otlp").then_some(())
    })
    .await;
}

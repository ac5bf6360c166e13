//! How often is a parent right? Real apps, unmodified, under rising load, and the truth beside.
//!
//! The shop of `tests/apps/callers` in six runtimes, each with a sidecar that it knows nothing of. It
//! forwards nothing, and no request can be told from another of its kind. What really happened is written
//! down by the app and by its upstreams (`truth`), and what the sidecar said of each call is held against
//! it (`judge`). The apps are measured one after the other, so that they do not disturb each other.
//! Those that a forwarder can be launched with are measured with it too: then nothing may be wrong.
//!
//! ```text
//! cargo test -p throughline-tests --test correlation -- --nocapture           # all, with the table
//! THROUGHLINE_CORRELATION_TABLE=table.md cargo test …                         # the table in a file
//! THROUGHLINE_CORRELATION_RECORDINGS=recordings cargo test …                  # what happened, as CSV
//! ```

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests, what they share included"
)]

mod callers;
mod judge;
mod load;
mod recording;
mod table;
mod truth;
mod upstreams;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use callers::{Caller, Launch};
use fastrand::Rng;
use judge::{Spans, judge, missing, said};
use load::Level;
use recording::Caused;
use serde_json::Value;
use table::Row;
use throughline_tests::{Collector, Sidecar, Span};
use tokio::sync::Mutex;
use truth::{Arrival, Told};
use upstreams::Upstreams;

/// What may be wrong. A wrong parent is worse than none, and none at all is not promised.
const MAX_WRONG: f64 = 0.01;
/// What may fail, because an app is overrun.
const MAX_FAILED: f64 = 0.01;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_gunicorn_get_their_own_parent_or_none() {
    measure(Caller::Gunicorn).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_gunicorn_on_kept_connections_get_their_own_parent_or_none() {
    measure(Caller::GunicornSession).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_uvicorn_get_their_own_parent_or_none() {
    measure(Caller::Uvicorn).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_node_get_their_own_parent_or_none() {
    measure(Caller::Node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_go_get_their_own_parent_or_none() {
    measure(Caller::Go).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_java_get_their_own_parent_or_none() {
    measure(Caller::Java).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_php_get_their_own_parent_or_none() {
    measure(Caller::Php).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_gunicorn_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Gunicorn, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_gunicorn_on_kept_connections_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::GunicornSession, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_uvicorn_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Uvicorn, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_node_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Node, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_java_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Java, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_php_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Php, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_django_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Django, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_fastapi_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::FastApi, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_aiohttp_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Aiohttp, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_webrick_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Webrick, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_puma_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Puma, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_tomcat_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Servlet, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_jetty_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::AsyncServlet, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_express_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Express, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_fastify_with_its_forwarder_get_their_own_parent() {
    measure_with(Caller::Fastify, Launch::Forwarder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_handlers_with_their_forwarder_get_their_own_parent() {
    measure_with(Caller::Handlers, Launch::Forwarder).await;
}

/// Measures an app as it is.
async fn measure(caller: Caller) {
    measure_with(caller, Launch::Alone).await;
}

/// Runs an app through all levels, shows what became of its calls, and holds that to what is expected.
async fn measure_with(caller: Caller, launch: Launch) {
    // Whoever fails leaves the turn to the next all the same.
    static TURN: Mutex<()> = Mutex::const_new(());
    let _turn = TURN.lock().await;

    let run = Run::of(caller, launch).await;
    let rows = run.rows();
    #[expect(clippy::print_stdout, reason = "it is what is measured")]
    {
        println!("{}", table::markdown(&rows));
    }
    if let Some(file) = env::var_os(table::FILE) {
        table::write(Path::new(&file), (caller, launch), &rows);
    }
    if let Some(directory) = env::var_os(recording::DIRECTORY) {
        recording::write(
            Path::new(&directory),
            &name(caller, launch),
            &run.spans,
            &run.caused(),
        );
    }
    run.assert_complete();
    run.assert_that_the_truth_matters(&rows);
    run.assert_that_the_report_agrees(&rows);
    for (level, row) in launch.levels().iter().zip(&rows) {
        let at_once = level.at_once;
        let may_be_wrong = match launch {
            Launch::Alone => MAX_WRONG,
            Launch::Forwarder => 0.0,
        };
        assert!(
            row.share_wrong() <= may_be_wrong,
            "{at_once} at once: {row:?}"
        );
        let expected = caller.expected_right(launch, at_once);
        assert!(row.share_right() >= expected, "{at_once} at once: {row:?}");
    }
}

/// What one level left behind.
struct Pressed {
    level: Level,
    failed: usize,
    arrivals: Vec<Arrival>,
}

/// All that is known when an app has been through every level.
struct Run {
    caller: Caller,
    launch: Launch,
    pressed: Vec<Pressed>,
    told: Told,
    spans: Vec<Span>,
    said: Spans,
    /// What the sidecar says of its own decisions.
    report: Value,
}

impl Run {
    async fn of(caller: Caller, launch: Launch) -> Self {
        let collector = Collector::start().await;
        let upstreams = Upstreams::start(1).await;
        let witness = witness(&name(caller, launch));
        let sidecar = {
            // What takes its time, the first time: packages are installed.
            let setup = tokio::task::block_in_place(|| {
                caller.setup(launch, &upstreams, &witness, &collector)
            });
            setup.start().await
        };
        let mut rng = Rng::with_seed(2);
        let mut pressed = Vec::new();
        for level in launch.levels() {
            let failed = level.press(sidecar.inbound(), &mut rng).await;
            pressed.push(Pressed {
                level,
                failed,
                arrivals: upstreams.arrivals(),
            });
        }
        let spans = spans(&sidecar, &collector, &pressed).await;
        let report = sidecar.ask_admin("/api/correlation").await;
        Self {
            report: serde_json::from_str(&report).expect("JSON"),
            caller,
            launch,
            pressed,
            told: truth::read(&witness),
            said: said(&spans),
            spans,
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.rows_if(&self.told)
    }

    fn rows_if(&self, told: &Told) -> Vec<Row> {
        let rows = self.pressed.iter().map(|pressed| {
            let judgement = judge(told, &pressed.arrivals, &self.said);
            let measured = (self.caller, self.launch);
            Row::new(measured, pressed.level, pressed.failed, &judgement.calls)
        });
        rows.collect()
    }

    fn caused(&self) -> Vec<Caused> {
        let caused = self.pressed.iter().flat_map(|pressed| {
            let judgement = judge(&self.told, &pressed.arrivals, &self.said);
            let calls = judgement.calls.into_iter();
            calls.map(|call| Caused {
                client: call.client,
                server: call.server,
                at_once: pressed.level.at_once,
            })
        });
        caused.collect()
    }

    /// Nothing was lost on the way: a rig that loses calls may have lost the wrong ones.
    fn assert_complete(&self) {
        let mut failed = 0;
        let mut complaints = Vec::new();
        let mut arrivals = Vec::new();
        for pressed in &self.pressed {
            let requests = pressed.level.requests;
            #[expect(clippy::cast_precision_loss, reason = "a ratio of small counts")]
            let share = pressed.failed as f64 / requests as f64;
            assert!(
                share <= MAX_FAILED,
                "{} of {requests} requests failed",
                pressed.failed
            );
            failed += pressed.failed;
            complaints.extend(judge(&self.told, &pressed.arrivals, &self.said).complaints);
            arrivals.extend_from_slice(&pressed.arrivals);
        }
        complaints.extend(missing(&self.told, &arrivals, &self.said));
        // A request that fails may take its call along.
        assert!(complaints.len() <= failed, "{complaints:#?}");
    }

    /// What the sidecar says of itself is what was seen of it.
    fn assert_that_the_report_agrees(&self, rows: &[Row]) {
        let routes = self.report["routes"].as_array().expect("rows");
        let said: u64 = routes.iter().filter_map(|row| row["calls"].as_u64()).sum();
        let calls: usize = rows.iter().map(Row::calls).sum();
        assert_eq!(said, calls as u64, "{}", self.report);
        let asserted: usize = rows.iter().map(|row| row.right() + row.wrong()).sum();
        #[expect(clippy::cast_precision_loss, reason = "a ratio of small counts")]
        let coverage = asserted as f64 / calls as f64;
        let claimed = self.report["coverage"].as_f64().expect("a number");
        assert!((coverage - claimed).abs() < 0.01, "{coverage}: {claimed}");
        // What more than one request can have made is looked at again when these have ended.
        let settled = self.report["settled"].as_object().expect("counts");
        let settled: u64 = settled.values().filter_map(Value::as_u64).sum();
        let by_time: usize = rows.iter().map(Row::by_time).sum();
        assert!(2 * settled >= by_time as u64, "{by_time}: {}", self.report);
    }

    /// The verdicts follow the truth and nothing else: if each request had made the calls of another,
    /// everything that is right would be wrong.
    fn assert_that_the_truth_matters(&self, rows: &[Row]) {
        let shifted = self.rows_if(&truth::shifted(&self.told));
        for (row, shifted) in rows.iter().zip(&shifted) {
            assert!(shifted.wrong() >= row.right(), "{shifted:?}");
            assert!(shifted.right() <= row.wrong(), "{shifted:?}");
        }
    }
}

/// What a run is called.
fn name(caller: Caller, launch: Launch) -> String {
    match launch {
        Launch::Alone => caller.name().to_owned(),
        Launch::Forwarder => format!("{}_forwarder", caller.name()),
    }
}

/// A file for what the app tells, without what an earlier run told.
fn witness(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("correlation");
    fs::create_dir_all(&directory).expect("the target directory can be written to");
    let path = directory.join(name);
    if path.exists() {
        fs::remove_file(&path).expect("it is ours");
    }
    path
}

/// All spans, when the last has come; none was dropped.
async fn spans(sidecar: &Sidecar, collector: &Collector, pressed: &[Pressed]) -> Vec<Span> {
    let expected: usize = pressed
        .iter()
        .map(|pressed| pressed.level.requests - pressed.failed + pressed.arrivals.len())
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let expected = expected as f64;
    let metrics = sidecar
        .metrics_until("all spans, exported", |metrics| {
            metrics.created() >= expected
                && metrics.balances("otlp")
                && metrics.pending("otlp") == 0.0
        })
        .await;
    assert_eq!(metrics.dropped("otlp"), 0.0, "{metrics:?}");
    let spans = collector.spans();
    spans.iter().for_each(Span::check);
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let count = spans.len() as f64;
    assert_eq!(count, metrics.exported("otlp"), "{metrics:?}");
    spans
}

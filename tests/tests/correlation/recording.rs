//! What happened in a run as a list of events, on which a way to correlate can be tried again and again.
//!
//! Two files for each app, compressed CSV. `*.events.csv.gz` is what a sidecar saw, in the order of time:
//! `t_us,ev,span,route,kind`, where `ev` is `IS` or `IE` for the start or the end of a request, `ES` or
//! `EE` for those of a call, and `kind` is always `rpc`. `*.truth.csv.gz` is what it could not see:
//! `span,side,parent,trace,at_once`, where a call (`E`) has the request that made it as its parent, and a
//! request (`I`) has none. Spans are numbered at random; traces are numbered like the requests.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use fastrand::Rng;
use flate2::{Compression, write::GzEncoder};
use throughline_tests::{Kind, Span};

/// Names a directory that gets the recordings.
pub(crate) const DIRECTORY: &str = "THROUGHLINE_CORRELATION_RECORDINGS";

/// A call whose cause is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caused {
    /// The id of its span.
    pub(crate) client: String,
    /// The id of the span of the request that made it.
    pub(crate) server: String,
    /// How many requests were made at once then.
    pub(crate) at_once: usize,
}

/// Of a span, what is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Work {
    id: String,
    is_call: bool,
    route: String,
    start: u64,
    end: u64,
}

impl Work {
    fn of(span: &Span) -> Self {
        let path = span.path();
        let method = span.text("http.request.method");
        Self {
            id: span.id(),
            is_call: span.kind() == Kind::Client,
            route: format!("{method} {path}"),
            start: span.start(),
            end: span.start() + span.duration(),
        }
    }
}

/// Writes the recording of an app into `directory`.
pub(crate) fn write(directory: &Path, app: &str, spans: &[Span], calls: &[Caused]) {
    let work: Vec<_> = spans.iter().map(Work::of).collect();
    let numbers = numbers(&work);
    fs::create_dir_all(directory).expect("the directory for recordings can be made");
    for (what, text) in [
        ("events", events(&work, &numbers)),
        ("truth", truth(&work, calls, &numbers)),
    ] {
        let path = directory.join(format!("{app}.{what}.csv.gz"));
        let file = File::create(path).expect("a recording can be written");
        let mut gzip = GzEncoder::new(file, Compression::default());
        gzip.write_all(text.as_bytes())
            .and_then(|()| gzip.finish().map(drop))
            .expect("a recording can be written");
    }
}

/// A number for each span, which says nothing about its place.
fn numbers(work: &[Work]) -> HashMap<&str, usize> {
    let mut ids: Vec<&str> = work.iter().map(|work| &*work.id).collect();
    ids.sort_unstable();
    Rng::with_seed(7).shuffle(&mut ids);
    ids.into_iter().zip(1..).collect()
}

fn events(work: &[Work], numbers: &HashMap<&str, usize>) -> String {
    let requests = work.iter().filter(|work| !work.is_call);
    let first = requests.map(|work| work.start).min().unwrap_or_default();
    let mut events: Vec<_> = work
        .iter()
        .flat_map(|work| {
            // What happens in one moment stands in this order.
            let (start, end) = if work.is_call {
                ((2, "ES"), (1, "EE"))
            } else {
                ((0, "IS"), (3, "IE"))
            };
            [(work.start, start, work), (work.end, end, work)]
        })
        .collect();
    events.sort_by_key(|(at, (place, _), work)| (*at, *place, numbers[&*work.id]));
    let mut lines = "t_us,ev,span,route,kind\n".to_owned();
    for (at, (_, event), work) in events {
        // A call of a timer may come before the first request.
        let (sign, nanos) = match at.checked_sub(first) {
            Some(after) => ("", after),
            None => ("-", first - at),
        };
        let _ = writeln!(
            lines,
            "{sign}{}.{:03},{event},{},{},rpc",
            nanos / 1000,
            nanos % 1000,
            numbers[&*work.id],
            work.route
        );
    }
    lines
}

fn truth(work: &[Work], calls: &[Caused], numbers: &HashMap<&str, usize>) -> String {
    let mut lines = "span,side,parent,trace,at_once\n".to_owned();
    for request in work.iter().filter(|work| !work.is_call) {
        let number = numbers[&*request.id];
        let _ = writeln!(lines, "{number},I,,{number},");
    }
    for call in calls {
        let [span, parent] = [&call.client, &call.server].map(|id| numbers[&**id]);
        let _ = writeln!(lines, "{span},E,{parent},{parent},{}", call.at_once);
    }
    lines
}

#[test]
fn events_are_in_the_order_of_time_and_the_truth_is_apart() {
    let work = |id: &str, is_call, route: &str, start, end| Work {
        id: id.to_owned(),
        is_call,
        route: route.to_owned(),
        start,
        end,
    };
    let all = [
        work("call", true, "GET /items", 2_500, 7_001),
        work("request", false, "GET /browse", 1_000, 9_000),
        work("next", false, "GET /health", 9_000, 9_500),
    ];
    let numbers = HashMap::from([("request", 1), ("call", 2), ("next", 3)]);
    assert_eq!(
        events(&all, &numbers),
        "t_us,ev,span,route,kind\n\
         0.000,IS,1,GET /browse,rpc\n\
         1.500,ES,2,GET /items,rpc\n\
         6.001,EE,2,GET /items,rpc\n\
         8.000,IS,3,GET /health,rpc\n\
         8.000,IE,1,GET /browse,rpc\n\
         8.500,IE,3,GET /health,rpc\n"
    );
    let caused = Caused {
        client: "call".to_owned(),
        server: "request".to_owned(),
        at_once: 4,
    };
    assert_eq!(
        truth(&all, &[caused], &numbers),
        "span,side,parent,trace,at_once\n1,I,,1,\n3,I,,3,\n2,E,1,1,4\n"
    );
}

//! Signed requests to AWS: the real SDKs call moto through the outbound proxy, and every signature is
//! recomputed from the bytes that left it.

mod boto3;
mod examples;
mod frozen;
mod javascript;

use std::collections::BTreeSet;

use serde_json::Value;
use throughline_tests::{Call, Cloud, Collector, Kind, Protocol, Setup, Sidecar, Span};

/// What differs from one run of an app to the next, without anybody's doing.
const OF_THE_RUN: [&str; 3] = ["x-amz-date", "authorization", "amz-sdk-invocation-id"];
/// What belongs to one connection, what urllib3 says to a proxy alone, and what we write.
const OF_THE_WAY: [&str; 5] = [
    "connection",
    "keep-alive",
    "expect",
    "accept",
    "x-amzn-trace-id",
];

/// A sidecar beside an app that only calls.
async fn outbound(collector: &Collector) -> Sidecar {
    Setup::outbound_alone()
        // The cloud is on this host, and its calls are to be traced all the same.
        .variable("THROUGHLINE_NO_PROXY", "")
        .exporting(collector, Protocol::Http)
        .start()
        .await
}

/// What an app wrote, and the calls that it made.
struct Run {
    written: Value,
    calls: Vec<Call>,
}

/// Runs an app twice: as if there were no sidecar, and through it.
async fn run_twice(app: &str, cloud: &Cloud, sidecar: &Sidecar) -> [Run; 2] {
    let mut runs = Vec::new();
    for proxy in [None, Some(sidecar.outbound())] {
        let written = cloud.run(app, proxy).await;
        let calls = cloud.begin_again().await;
        runs.push(Run { written, calls });
    }
    runs.try_into().unwrap_or_else(|_| unreachable!("two ways"))
}

/// The calls of an app that is an archive of things: valid, traced, and to the app all the same as
/// without a sidecar.
async fn valid_and_traced(app: &str) -> Vec<Call> {
    let (cloud, collector) = tokio::join!(Cloud::start(), Collector::start());
    let sidecar = outbound(&collector).await;
    let [direct, through] = run_twice(app, &cloud, &sidecar).await;
    assert_untouched(&direct.calls, &through.calls);
    assert_traced(&through.calls, &collector).await;
    for seen in ["objects", "link", "index"] {
        assert_eq!(through.written[seen], direct.written[seen]);
    }
    assert_messages(&direct, &through);
    through.calls
}

/// Every signature is valid, and the requests are those that the app sends without a sidecar: method,
/// target, header lines and body, but for the one header that we write.
fn assert_untouched(direct: &[Call], through: &[Call]) {
    assert_valid(direct);
    assert_valid(through);
    assert_eq!(direct.len(), through.len());
    for (direct, through) in direct.iter().zip(through) {
        let line = |call: &Call| format!("{} {}", call.method, steady(&call.target));
        assert_eq!(line(through), line(direct));
        let body = |call: &Call| (call.length, call.sha256.clone());
        assert_eq!(body(through), body(direct), "{through:?}");
        assert_eq!(through.signed, direct.signed);
        assert_eq!(end_to_end(through), end_to_end(direct), "{through:?}");
    }
}

fn assert_valid(calls: &[Call]) {
    for call in calls {
        assert_eq!(call.verdict, "valid", "{call:?}");
    }
}

/// The target without the values that differ from run to run.
fn steady(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameters = query.split('&').map(|parameter| {
        let name = parameter.split('=').next().unwrap_or_default();
        match name {
            "X-Amz-Date" | "X-Amz-Signature" | "uploadId" => name,
            _ => parameter,
        }
    });
    let query: Vec<&str> = parameters.collect();
    format!("{path}?{}", query.join("&"))
}

/// The header lines that a hop has to keep. Those of one name keep their order.
fn end_to_end(call: &Call) -> Vec<(&str, &str)> {
    let lines = call.headers.iter().map(|(name, value)| (&**name, &**value));
    let mut lines: Vec<_> = lines
        .filter(|(name, _)| !OF_THE_WAY.contains(name))
        .map(|(name, value)| {
            (
                name,
                if OF_THE_RUN.contains(&name) {
                    ""
                } else {
                    value
                },
            )
        })
        .collect();
    lines.sort_by_key(|(name, _)| *name);
    lines
}

/// On every call stands one X-Amzn-Trace-Id, which names the CLIENT span that was exported for it, and
/// no header of another format, except where it was signed. The spans, in the order of the calls.
async fn assert_traced(calls: &[Call], collector: &Collector) -> Vec<Span> {
    let spans = collector
        .wanted(calls.len(), |span| span.kind() == Kind::Client)
        .await;
    let mut named = BTreeSet::new();
    let mut in_order = Vec::new();
    for call in calls {
        for name in ["traceparent", "tracestate", "baggage"] {
            let is_signed = call.signed.iter().any(|signed| signed == name);
            let lines = usize::from(is_signed);
            assert_eq!(call.values(name).len(), lines, "{name}: {call:?}");
        }
        let values = call.values("x-amzn-trace-id");
        let [value] = values[..] else {
            panic!("one X-Amzn-Trace-Id: {call:?}");
        };
        let is_its = |span: &&Span| value == trace_header(span);
        let span = spans.iter().find(is_its);
        let span = span.unwrap_or_else(|| panic!("no span is {value}: {call:?}"));
        assert_eq!(span.text("http.request.method"), call.method);
        assert!(named.insert(span.id()), "one span for two calls: {value}");
        in_order.push(span.clone());
    }
    in_order
}

/// How a span is spelled for AWS.
fn trace_header(span: &Span) -> String {
    let trace_id = span.trace_id();
    let (epoch, rest) = trace_id.split_at(8);
    format!("Root=1-{epoch}-{rest};Parent={};Sampled=1", span.id())
}

/// What the receiver of a message was told, against what its sender's call carried.
///
/// That the receiver is told of our span follows a rule that the test's cloud keeps itself, as the
/// documentation of SQS has it: the header of a send becomes the system attribute of its message. moto
/// keeps the attribute that a sender writes, knows nothing of the header, and drops the attributes of a
/// batch. So what is shown is that our header is on every send, that it comes out where SQS would put it,
/// and that an attribute of the app's own stays; not that SQS reads it.
fn assert_messages(direct: &Run, through: &Run) {
    let received = |run: &Run, body: &str| run.written["messages"][body].clone();
    let own = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1";
    for run in [direct, through] {
        assert_eq!(received(run, "own"), own);
    }
    let is_send = |call: &&Call| {
        let target = call.values("x-amz-target").concat();
        target.starts_with("AmazonSQS.SendMessage")
    };
    let sends: Vec<&Call> = through.calls.iter().filter(is_send).collect();
    let [one, _, batch] = sends[..] else {
        panic!("two messages and a batch: {sends:?}");
    };
    assert_eq!(received(direct, "one, ü"), Value::Null);
    assert_eq!(
        received(through, "one, ü"),
        one.values("x-amzn-trace-id")[0]
    );
    assert_eq!(batch.values("x-amzn-trace-id").len(), 1);
}

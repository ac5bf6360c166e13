//! A wall clock that steps, by libfaketime in the sidecar's process.

use std::{fs, path::PathBuf, time::Duration};

use http::Response;
use throughline_tests::{Client, Collector, Kind, Protocol, Setup, Span, Upstream, text};

/// Where Debian has the library.
fn library() -> PathBuf {
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let places = places.map(|place| PathBuf::from(place).join("faketime/libfaketimeMT.so.1"));
    let found = places.into_iter().find(|place| place.exists());
    found.expect("libfaketime is there; install faketime")
}

#[tokio::test]
async fn durations_know_nothing_of_a_clock_that_steps() {
    const HOUR: Duration = Duration::from_secs(3600);
    let place = tempfile::tempdir().expect("a directory for the time");
    let time = place.path().join("time");
    let set = |offset: &str| fs::write(&time, offset).expect("it can be written");
    set("+0");
    let app = Upstream::http1(|_| async { Response::new(text("here")) }).await;
    let collector = Collector::start().await;
    let sidecar = Setup::beside(app.address())
        .exporting(&collector, Protocol::Http)
        .variable("LD_PRELOAD", &library().to_string_lossy())
        .variable("FAKETIME_TIMESTAMP_FILE", &time.to_string_lossy())
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start()
        .await;
    let mut client = Client::http1(sidecar.inbound()).await;
    let mut spans: Vec<Span> = Vec::new();
    for (path, offset) in [("/now", "+0"), ("/ahead", "+3600"), ("/back", "-3600")] {
        set(offset);
        assert_eq!(client.get(path).await.text(), "here");
        // Its check says that the phases add up to the duration, and that this is not negative.
        spans.push(collector.span(Kind::Server, path).await);
    }
    let [now, ahead, back] = &spans[..] else {
        panic!("three requests have three spans")
    };
    for span in &spans {
        assert!(
            u128::from(span.duration()) < HOUR.as_nanos(),
            "{}",
            span.summary()
        );
    }
    // Each says the time that it was, by the clock as it was.
    let apart = |one: &Span, other: &Span| one.start() as f64 - other.start() as f64;
    let hour = HOUR.as_nanos() as f64;
    assert!(apart(ahead, now) >= hour, "{}", ahead.summary());
    assert!(apart(now, back) >= hour * 0.9, "{}", back.summary());
}

//! The W3C path allocates nothing, and neither does looking for values that come back; what everything
//! else allocates, beside the propagators of OpenTelemetry.
//!
//! `cargo test -p throughline-benches --test allocations -- --nocapture` prints the table.

use allocation_counter::measure;
use throughline_benches::propagation::{Subject, subjects};
use throughline_proxy::values::{Config, Reader, Secret, Values, Weights};

const ROUNDS: u64 = 10_000;

/// Allocations in all rounds of reading and of writing, headers being replaced in place, once all is
/// warm.
fn count(subject: &Subject) -> (u64, u64) {
    let mut headers = subject.incoming.clone();
    let mut round = |reads: u64, writes: u64| {
        measure(|| {
            for _ in 0..reads {
                subject.extract(&subject.incoming);
            }
            for _ in 0..writes {
                subject.inject(&mut headers);
            }
        })
        .count_total
    };
    round(ROUNDS, ROUNDS);
    (round(ROUNDS, 0), round(0, ROUNDS))
}

#[test]
fn reading_and_writing_w3c_trace_context_allocates_nothing() {
    let mut seen = 0;
    for subject in subjects() {
        if subject.owner == "throughline" && subject.format.starts_with("tracecontext") {
            seen += 1;
            assert_eq!(count(&subject), (0, 0), "{subject:?}");
            let mut headers = subject.incoming.clone();
            let turns = measure(|| {
                for _ in 0..ROUNDS {
                    subject.extract(&headers);
                    subject.inject(&mut headers);
                }
            });
            assert_eq!(turns.count_total, 0, "{subject:?}, what we wrote ourselves");
        }
    }
    assert_eq!(seen, 2, "with a tracestate and without");
}

#[test]
fn looking_for_values_that_come_back_allocates_nothing() {
    let reader = Reader::new(&Config::default(), Secret::new([1, 2])).expect("it is on");
    let mut headers = http::HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl"),
        ("cookie", "sid=s%3A77abcdef; theme=dark"),
    ] {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    let uri = http::Uri::from_static("http://shop/users/a%20b/orders?from=2026+01&page=12");
    let mut values = Values::new(8);
    let open = values.begin(reader.head(&uri, &headers)).expect("room");
    let mut weights = Weights::new();
    let mut rounds = |count: u64| {
        measure(|| {
            for _ in 0..count {
                let call = reader.head(&uri, &headers);
                values.learn(7, &call, &call, 1.0);
                values.weigh(7, &call, &mut weights);
            }
        })
    };
    rounds(1);
    assert_eq!(rounds(ROUNDS).count_total, 0);
    assert_eq!(weights.sharing().next().map(|(of, _)| of), Some(open));
}

#[test]
#[allow(clippy::print_stdout, reason = "the table is what it is for")]
fn no_format_allocates_more_than_it_does_in_opentelemetry() {
    let mut ours = (0, 0);
    println!(
        "{:>45}  {:>8}  {:>8}",
        "allocations of", "extract", "inject"
    );
    for subject in subjects() {
        let (extract, inject) = count(&subject);
        let each = |count: u64| count as f64 / ROUNDS as f64;
        let name = format!("{subject:?}");
        println!("{name:>45}  {:>8.2}  {:>8.2}", each(extract), each(inject));
        if subject.owner == "throughline" {
            ours = (extract, inject);
        } else {
            // It stands right behind ours in the same format.
            assert!(
                ours.0 <= extract && ours.1 <= inject,
                "{subject:?}: {ours:?}"
            );
        }
    }
}

//! What does it cost to read and to write the context, in each header format, and beside the
//! propagators of OpenTelemetry?
//!
//! `extract` reads a request; `inject` writes into a call that carries no context yet, `replace` into
//! one that does. The allocations are counted by `tests/allocations.rs`.
//!
//! `cargo bench -p throughline-benches --bench propagation`
#![allow(missing_docs, reason = "criterion's macros write functions")]

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, header};
use throughline_benches::propagation::subjects;

fn propagation(c: &mut Criterion) {
    for subject in subjects() {
        c.bench_function(&format!("extract/{subject:?}"), |b| {
            b.iter(|| subject.extract(black_box(&subject.incoming)));
        });
        c.bench_function(&format!("inject/{subject:?}"), |b| {
            b.iter_batched_ref(
                || HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("shop"))]),
                |headers| subject.inject(headers),
                BatchSize::SmallInput,
            );
        });
        c.bench_function(&format!("replace/{subject:?}"), |b| {
            let mut headers = subject.incoming.clone();
            b.iter(|| subject.inject(black_box(&mut headers)));
        });
    }
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = propagation
}
criterion_main!(all);

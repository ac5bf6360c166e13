//! What does it cost to tell by time alone which request made a call?
//!
//! With 10, 100 and 1000 requests in flight, and a filter that has learnt from 2000 before:
//!
//! - `sole`: the call can be one request's alone. This is the usual case.
//! - `contested`: it can be any request's, and nothing is known of it before all of them have ended. It
//!   is the worst case, in which nothing can be asserted.
//!
//! `call` is the decision by itself, with the two looks at the clock that measure it; `turn` is
//! everything from one call to the next: the call is answered, a request ends and is learnt from, and
//! another begins.
//!
//! `cargo bench -p throughline-benches --bench correlation`
#![allow(missing_docs, reason = "criterion's macros write functions")]

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use throughline::ambient;
use throughline_benches::correlation::load::{Load, Shape};

fn correlation(c: &mut Criterion) {
    for (shape, name) in [(Shape::Sole, "sole"), (Shape::Contested, "contested")] {
        for in_flight in [10, 100, 1000] {
            let mut load = Load::new(shape, in_flight);
            c.bench_function(&format!("correlation/{name}/{in_flight}/call"), |b| {
                b.iter_custom(|turns| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..turns {
                        let begin = ambient::now();
                        let decision = black_box(load.call());
                        spent += ambient::now() - begin;
                        load.rest(&decision);
                    }
                    spent
                });
            });
            c.bench_function(&format!("correlation/{name}/{in_flight}/turn"), |b| {
                b.iter(|| {
                    let decision = black_box(load.call());
                    load.rest(&decision);
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_secs(1));
    targets = correlation
}
criterion_main!(benches);

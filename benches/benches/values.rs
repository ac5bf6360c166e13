//! What does it cost to look for values that come back?
//!
//! - `head`: the fingerprints of a request with three segments, two parameters, a token of 600 bytes
//!   and two cookies; `body` those of a JSON body of 360 bytes.
//! - `begin and end`: a request of 16 values comes and goes among 100 open ones.
//! - `weigh`: a call of 8 values against 100 open requests of 16 values each, one of which has two of
//!   them; and the worst that an adversary can do, where every value is one of 32 requests.
//! - `learn`: from that call.
//!
//! `cargo bench -p throughline-benches --bench values`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros write functions, and a bench may"
)]

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Uri};
use throughline_proxy::values::{
    Config, Extent, Fingerprints, Reader, Secret, Source, Values, Weights,
};

const KIND: u64 = 7;

fn reader() -> Reader {
    let config = Config {
        from: vec![Source::Path, Source::Query, Source::Headers, Source::Body],
        ..Config::default()
    };
    Reader::new(&config, Secret::new([1, 2])).unwrap()
}

fn read(c: &mut Criterion) {
    let reader = reader();
    let uri: Uri = "http://shop/users/ada-17/orders?from=2026-01-01&page=12"
        .parse()
        .unwrap();
    let mut headers = HeaderMap::new();
    let token = format!("Bearer {}", "eyJhbGciOi.".repeat(54));
    for (name, value) in [
        ("authorization", token.as_str()),
        ("x-request-id", "6f1c2f0e-61f2-4b8c-9d0a-3f1f3c1d2a5b"),
        ("cookie", "sid=s%3A77abcdef; theme=dark"),
        ("content-type", "application/json"),
        ("content-length", "358"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    c.bench_function("values/head", |b| {
        b.iter(|| reader.head(black_box(&uri), black_box(&headers)));
    });
    let items: Vec<_> = (0..6)
        .map(|n| format!(r#"{{"sku": "item-{n}", "quantity": {n}, "note": "as usual"}}"#))
        .collect();
    let body = format!(
        r#"{{"order": "order-4711", "items": [{}]}}"#,
        items.join(", ")
    );
    c.bench_function("values/body", |b| {
        b.iter(|| {
            let mut found = Fingerprints::default();
            reader.body(black_box(body.as_bytes()), Extent::Whole, &mut found);
            found
        });
    });
}

/// A message of 16 values, of which no two numbers share one.
fn message(reader: &Reader, n: u32) -> Fingerprints {
    shared(
        reader,
        &(0..16)
            .map(|value| format!("v-{n}-{value}"))
            .collect::<Vec<_>>(),
    )
}

fn shared(reader: &Reader, values: &[String]) -> Fingerprints {
    let mut found = Fingerprints::default();
    let body = format!("{values:?}");
    reader.body(body.as_bytes(), Extent::Whole, &mut found);
    assert_eq!(found.len(), values.len());
    found
}

fn weigh(c: &mut Criterion) {
    let reader = reader();
    let mut values = Values::new(4096);
    let mut weights = Weights::new();
    for n in 0..100 {
        _ = values.begin(message(&reader, n)).unwrap();
    }
    let mut n = 100;
    c.bench_function("values/begin and end", |b| {
        b.iter_batched(
            || {
                n += 1;
                message(&reader, n)
            },
            |request| {
                let open = values.begin(request).unwrap();
                values.end(open)
            },
            criterion::BatchSize::SmallInput,
        );
    });
    let call: Vec<_> = (0..6)
        .map(|value| format!("other-{value}"))
        .chain(["v-50-3".to_owned(), "v-50-9".to_owned()])
        .collect();
    let call = shared(&reader, &call);
    let owner = message(&reader, 50);
    c.bench_function("values/learn", |b| {
        b.iter(|| values.learn(KIND, black_box(&call), &owner, 1.0));
    });
    c.bench_function("values/weigh", |b| {
        b.iter(|| values.weigh(KIND, black_box(&call), &mut weights));
    });
    assert_eq!(weights.sharing().len(), 1);

    let mut values = Values::new(4096);
    for n in 0..32 * 24 / 16 {
        let of = |value| format!("v-{}", (n * 16 + value) % 24);
        let request: Vec<_> = (0..16).map(of).collect();
        _ = values.begin(shared(&reader, &request)).unwrap();
    }
    let call: Vec<_> = (0..24).map(|value| format!("v-{value}")).collect();
    let call = shared(&reader, &call);
    c.bench_function("values/weigh, at worst", |b| {
        b.iter(|| values.weigh(KIND, black_box(&call), &mut weights));
    });
    assert_eq!(weights.sharing().len(), 48);
}

criterion_group! {
    name = all;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = read, weigh
}
criterion_main!(all);

//! Whatever headers come, reading them never fails, and what was read and is written again reads the
//! same.
//!
//! The input is a request's headers: lines of a name's first letter and a value, which may be any
//! bytes. In `middleware/`:
//!
//! ```text
//! mkdir -p fuzz/corpus && cargo +nightly fuzz run extract fuzz/corpus fuzz/seeds
//! ```
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use throughline::{
    id::{SpanId, TraceId},
    propagation::{Extraction, Format, Propagator},
};

fuzz_target!(|input: &[u8]| {
    let headers = headers(input);
    check(&Propagator::default(), &headers);
    for format in Format::ALL {
        check(&Propagator::new([format]), &headers);
    }
});

/// Lines such as `t00-4bf9…`: which header it is, and its value.
fn headers(input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else {
            continue;
        };
        let name = match name {
            b't' => HeaderName::from_static("traceparent"),
            b's' => HeaderName::from_static("tracestate"),
            b'b' => HeaderName::from_static("baggage"),
            b'x' => HeaderName::from_static("x-amzn-trace-id"),
            _ => continue,
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    headers
}

fn check(propagator: &Propagator, headers: &HeaderMap) {
    let read = propagator.extract(headers);
    let span = SpanId::from_random(7);
    let fresh = || TraceId::epoch_prefixed(1, 2);
    let context = read.continued(span, fresh);

    let mut written = HeaderMap::new();
    propagator.inject(&context, &mut written);
    for name in written.keys() {
        assert_eq!(written.get_all(name).iter().count(), 1, "one {name}");
    }
    let again = propagator.extract(&written);
    assert!(!again.invalid, "what we write can be read: {written:?}");
    assert_eq!(again.baggage, read.baggage);
    assert_fields_survive(&read, &again);
    let formats = propagator.formats();
    if formats == [Format::Baggage] {
        assert_eq!(again.remote, None, "baggage names no trace");
        return;
    }
    let remote = again.remote.expect("a trace was written");
    assert_eq!(remote.trace_id, context.trace_id);
    assert_eq!(remote.parent, Some(span));
    assert_eq!(remote.sampled, Some(context.flags.is_sampled()));
    if formats.contains(&Format::TraceContext) {
        assert_eq!(remote.state, context.state);
        let continued = propagator.extract(&written).continued(span, fresh);
        assert_eq!(continued.flags, context.flags);
    }
}

/// The fields of an `X-Amzn-Trace-Id` that are not ours pass unchanged, or not at all where the
/// header would become too long.
fn assert_fields_survive(read: &Extraction, again: &Extraction) {
    fn fields(of: &Extraction) -> Vec<&str> {
        of.xray.iter().flat_map(|rest| rest.split(';')).collect()
    }
    let (before, after) = (fields(read), fields(again));
    // 256, less 74 for Root, Parent and Sampled.
    let length: usize = before.iter().map(|field| field.len() + 1).sum();
    if length <= 182 {
        assert_eq!(after, before);
    }
    let mut left = before.iter();
    for field in &after {
        assert!(left.any(|one| one == field), "{field:?} of {before:?}");
    }
}

//! What must hold whatever headers come, shared by the fuzz targets.
//!
//! The input is a request: lines of a letter, which says what header it is (the table is
//! [`NAMES`]), and a value, which may be any bytes. In `middleware/`:
//!
//! ```text
//! mkdir -p fuzz/corpus/w3c && cargo +nightly fuzz run w3c fuzz/corpus/w3c fuzz/seeds/w3c
//! ```

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use throughline::{
    context::TraceContext,
    id::{SpanId, TraceId},
    propagation::{Extraction, Format, Propagator, Reason, baggage_value, signed::Signature},
};

/// Which letter stands for which header; `r` is the query of the request.
pub const NAMES: [(u8, &str); 20] = [
    (b't', "traceparent"),
    (b's', "tracestate"),
    (b'b', "baggage"),
    (b'x', "x-amzn-trace-id"),
    (b'3', "b3"),
    (b'i', "x-b3-traceid"),
    (b'p', "x-b3-spanid"),
    (b'q', "x-b3-parentspanid"),
    (b'd', "x-b3-sampled"),
    (b'f', "x-b3-flags"),
    (b'j', "uber-trace-id"),
    (b'u', "uberctx-user"),
    (b'v', "uberctx-tenant"),
    (b'T', "x-datadog-trace-id"),
    (b'P', "x-datadog-parent-id"),
    (b'S', "x-datadog-sampling-priority"),
    (b'O', "x-datadog-origin"),
    (b'G', "x-datadog-tags"),
    (b'a', "authorization"),
    (b'h', "host"),
];

/// One format alone: what is written into a new call, and over the headers that came, reads the same.
pub fn codec(format: Format, input: &[u8]) {
    let (_, headers) = request(input);
    let propagator = Propagator::new([format]);
    let read = propagator.extract(&headers);
    let context = continued(&read);

    let mut written = HeaderMap::new();
    propagator.inject(&context, &mut written);
    let again = propagator.extract(&written);
    assert!(again.rejected.is_empty(), "ours can be read: {written:?}");
    assert_says(&propagator, &written, &context);
    assert_eq!(again.xray, read.xray, "fields pass in their order");
    assert_datadog_survives(&read, &again);
    if format == Format::Jaeger {
        // Of a member that comes twice the first is written.
        for name in ["user", "tenant"] {
            let value = |read: &Extraction| {
                let baggage = read.baggage.as_ref()?;
                Some(baggage_value(baggage, name)?.into_owned())
            };
            assert_eq!(value(&again), value(&read), "{name}");
        }
    } else {
        assert_eq!(again.baggage, read.baggage);
    }

    let mut replaced = headers;
    propagator.discard(&read.rejected, &mut replaced, Signature::default());
    propagator.inject(&context, &mut replaced);
    assert_says(&propagator, &replaced, &context);
}

/// All formats: one wins and all that is written agrees; what is rejected goes, and of a stranger
/// nothing is believed.
pub fn all(input: &[u8]) {
    let (_, headers) = request(input);
    let propagator = Propagator::new(Format::ALL);
    let read = propagator.extract(&headers);
    let context = continued(&read);
    if let Some(winner) = read.remote() {
        assert_eq!(context.trace_id, winner.trace_id);
        let is_whole = read.remotes().any(|remote| remote.parent.is_some());
        assert_eq!(winner.parent.is_some(), is_whole, "a whole one wins");
        if let Some(loser) = read.conflict(winner) {
            assert_ne!(loser.trace_id, winner.trace_id);
            let other = read.at(loser, SpanId::from_random(9));
            assert_eq!(other.trace_id, loser.trace_id);
        }
    }

    let mut left = headers.clone();
    propagator.discard(&read.rejected, &mut left, Signature::default());
    for format in Format::ALL {
        let is_taken = read.rejected.iter().any(|(rejected, reason)| {
            rejected == format && format != Format::Baggage && reason != Reason::State
        });
        let expected = if is_taken {
            Vec::new()
        } else {
            lines(format, &headers)
        };
        assert_eq!(lines(format, &left), expected, "{format}");
    }
    propagator.inject(&context, &mut left);
    assert_says(&propagator, &left, &context);

    let mut forgotten = headers.clone();
    propagator.forget(&mut forgotten, Signature::default());
    for format in Format::ALL {
        let expected = match format {
            Format::Baggage => lines(format, &headers),
            _ => Vec::new(),
        };
        assert_eq!(lines(format, &forgotten), expected, "{format}");
    }
    let remote = read.remote().copied();
    let (read, stranger) = read.distrusted();
    assert_eq!(stranger, remote);
    assert_eq!((read.remote(), read.sampled()), (None, None));
    let context = continued(&read);
    assert_eq!((context.trace_id, &context.state), (fresh(), &None));
    propagator.inject(&context, &mut forgotten);
    assert_says(&propagator, &forgotten, &context);

    let mut stripped = headers;
    let silent = Propagator::new([]).stripping(Format::ALL);
    silent.inject(&context, &mut stripped);
    for format in Format::ALL {
        assert!(lines(format, &stripped).is_empty(), "{format} is stripped");
    }
}

/// A signed request: what the signature covers is as it was, whatever is done.
pub fn signed(input: &[u8]) {
    let (uri, headers) = request(input);
    let signature = Signature::of(&uri, &headers);
    let app = signature.to_app();
    assert!(!app.is_for_aws());
    for signature in [signature, app] {
        let propagator = Propagator::new(Format::ALL).stripping(Format::ALL);
        let read = propagator.extract_signed(&headers, signature);
        let context = continued(&read);
        let is_covered = read.remotes().any(|remote| signature.covers(remote.source));
        assert_eq!(read.is_signed(), is_covered, "what is signed wins");
        if read.is_signed() {
            let winner = read.remote().expect("something is signed");
            assert!(signature.covers(winner.source), "{winner:?}");
        }
        let mut written = headers.clone();
        propagator.discard(&read.rejected, &mut written, signature);
        assert_covered(signature, &headers, &written);
        propagator.forget(&mut written, signature);
        assert_covered(signature, &headers, &written);
        propagator.inject_signed(&context, &mut written, signature);
        assert_covered(signature, &headers, &written);
        for format in Format::ALL {
            if signature.is_for_aws() && format != Format::XRay && !signature.covers(format) {
                assert!(lines(format, &written).is_empty(), "AWS is told {format}");
            }
        }
        let again = Signature::of(&uri, &written);
        assert_eq!(again.to_app(), app, "it covers what it did");
    }
    if !signature.covers_context() {
        let propagator = Propagator::new(Format::ALL);
        let read = propagator.extract_signed(&headers, signature);
        let plain = propagator.extract(&headers);
        assert_eq!(continued(&read), continued(&plain));
        assert_eq!(read.rejected, plain.rejected);
    }
}

fn request(input: &[u8]) -> (Uri, HeaderMap) {
    let mut uri = Uri::from_static("/");
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some((letter, value)) = line.split_first() else {
            continue;
        };
        if *letter == b'r' {
            let target = [b"/?", value].concat();
            uri = Uri::try_from(&target[..]).unwrap_or(uri);
        }
        let Some((_, name)) = NAMES.iter().find(|(known, _)| known == letter) else {
            continue;
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    (uri, headers)
}

fn fresh() -> TraceId {
    TraceId::epoch_prefixed(1, 2)
}

fn continued(read: &Extraction) -> TraceContext {
    read.continued(SpanId::from_random(7), fresh)
}

/// Every format that `propagator` writes says in `headers` what `context` says, each in one line.
fn assert_says(propagator: &Propagator, headers: &HeaderMap, context: &TraceContext) {
    let is_traced = |format: &&Format| **format != Format::Baggage;
    for format in propagator.formats().iter().filter(is_traced) {
        for name in format.headers() {
            let count = headers.get_all(name).iter().count();
            assert!(count <= 1, "{count} lines of {name}");
        }
        let read = Propagator::new([*format]).extract(headers);
        let is_ours = |(rejected, _)| rejected != Format::Baggage;
        assert!(!read.rejected.iter().any(is_ours), "{headers:?}");
        let remote = read.remote().expect("a trace was written");
        assert_eq!(remote.source, *format, "its own spelling is there");
        assert_eq!(remote.trace_id, context.trace_id, "{format}");
        assert_eq!(remote.parent, Some(context.span_id), "{format}");
        assert_eq!(remote.sampled, Some(context.flags.is_sampled()), "{format}");
        match format {
            Format::TraceContext => {
                assert_eq!(remote.flags.to_byte(), context.flags.to_byte());
                assert_eq!(read.state, context.state);
            }
            Format::B3 | Format::B3Multi | Format::Jaeger => {
                assert_eq!(remote.flags.is_debug(), context.flags.is_debug());
            }
            _ => {}
        }
    }
    if let Some(line) = headers.get("x-amzn-trace-id")
        && propagator.formats().contains(&Format::XRay)
    {
        assert!(line.len() <= 256, "{line:?}");
    }
}

/// Origin and priority go on, and the tags too, or none of them where they would become too long.
fn assert_datadog_survives(read: &Extraction, again: &Extraction) {
    let Some(before) = &read.datadog else {
        assert_eq!(again.datadog, None);
        return;
    };
    let Some(after) = &again.datadog else {
        // Nothing is left but a sampler's decision.
        assert_eq!(before.origin, None);
        assert!((0..=1).contains(&before.priority), "{before:?}");
        return;
    };
    assert_eq!(after.origin, before.origin);
    assert_eq!(after.priority, before.priority);
    assert!(after.tags.is_none() || after.tags == before.tags);
}

/// What `headers` has of a format, in order.
fn lines(format: Format, headers: &HeaderMap) -> Vec<(&HeaderName, &HeaderValue)> {
    let owned = headers.iter().filter(|(name, _)| {
        let is_baggage = format == Format::Jaeger && name.as_str().starts_with("uberctx-");
        is_baggage || format.headers().contains(name)
    });
    let mut lines: Vec<_> = owned.collect();
    // Lines of one name keep their order; that of the names is the map's own.
    lines.sort_by_key(|(name, _)| name.as_str());
    lines
}

fn assert_covered(signature: Signature, before: &HeaderMap, after: &HeaderMap) {
    for format in Format::ALL {
        if signature.covers(format) {
            assert_eq!(lines(format, after), lines(format, before), "{format}");
        }
    }
}

//! Time and randomness: the one place that reads them.
//!
//! Everything that decides takes them as arguments, so that it can be tested without waiting and
//! without luck. The layers, which live at the rim, get them here.

use std::{
    cell::Cell,
    time::{Instant, SystemTime},
};

use crate::id::{SpanId, TraceId};

/// The monotonic clock: what every duration is measured with.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that may")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock: read once for each span.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that may")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Sixty-four random bits, from a generator of this thread that the system seeded.
///
/// Ids must not collide and need not be secret, so that a small fast generator does
/// (`SplitMix64`, <https://prng.di.unimi.it/splitmix64.c>).
#[must_use]
pub fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(seed());
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// A new trace id that begins with the current second.
#[must_use]
pub fn trace_id() -> TraceId {
    trace_id_at(wall())
}

/// A new trace id that begins with the second of `wall`, for whoever has just read the clock.
#[must_use]
pub fn trace_id_at(wall: SystemTime) -> TraceId {
    let epoch = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
    TraceId::epoch_prefixed(epoch, (u128::from(random()) << 64) | u128::from(random()))
}

/// A new span id.
#[must_use]
pub fn span_id() -> SpanId {
    SpanId::from_random(random())
}

fn seed() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        // Without system randomness (a seccomp filter, say) ids must still differ between threads
        // and starts: an address and the time do that.
        let here = 0u8;
        let nanos = wall()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        (std::ptr::from_ref(&here).addr() as u64) ^ u64::try_from(nanos).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_between_calls_and_threads() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..1000).map(|_| random()).collect::<Vec<_>>()))
            .collect();
        let all: HashSet<u64> = threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect();
        assert_eq!(all.len(), 4000);
    }
}

//! The bar of one hop: its time cut into parts, and the parts set into columns.
//!
//! A bar is put together from both sides of its hop: what the caller's sidecar saw, and inside of that
//! what the callee's did. While that waits for its app, the app either works or waits for calls of its
//! own, and those are told apart too.

use std::{ops::Range, time::SystemTime};

use throughline::phase::Phase;

use super::{
    hops::{Hop, Seen},
    paper::Ink,
};

/// What a part of a bar stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The app works.
    Own,
    /// The app waits for its own calls.
    Calls,
    /// Between the two sidecars.
    Way,
    /// Any other phase.
    In(Phase),
}

impl Part {
    /// Every part, in the order of the legend.
    pub(super) const ALL: [Self; 14] = [
        Self::Own,
        Self::Calls,
        Self::In(Phase::Queue),
        Self::In(Phase::Dns),
        Self::In(Phase::Connect),
        Self::In(Phase::Tls),
        Self::In(Phase::Receive),
        Self::In(Phase::Send),
        Self::Way,
        Self::In(Phase::Transfer),
        Self::In(Phase::Drain),
        Self::In(Phase::Tunnel),
        Self::In(Phase::Proxy),
        Self::In(Phase::Retry),
    ];

    /// Its character. Each part has its own, so that a bar can be read without colours.
    pub(super) fn glyph(self) -> char {
        match self {
            Self::Own | Self::In(Phase::Wait) => '█',
            Self::Calls => '─',
            Self::Way => '╌',
            Self::In(Phase::Receive) => '◂',
            Self::In(Phase::Proxy) => '▪',
            Self::In(Phase::Retry) => '↻',
            Self::In(Phase::Queue) => '░',
            Self::In(Phase::Dns) => '◦',
            Self::In(Phase::Connect) => '◇',
            Self::In(Phase::Tls) => '◆',
            Self::In(Phase::Send) => '▸',
            Self::In(Phase::Transfer) => '▓',
            Self::In(Phase::Drain) => '▁',
            Self::In(Phase::Tunnel) => '═',
        }
    }

    /// Its colour.
    pub(super) fn ink(self) -> Ink {
        match self {
            Self::Own | Self::In(Phase::Wait) => Ink::Work,
            Self::Calls | Self::Way => Ink::Faint,
            Self::In(Phase::Queue) => Ink::Queue,
            Self::In(Phase::Dns | Phase::Connect | Phase::Tls) => Ink::Connect,
            Self::In(
                Phase::Receive | Phase::Send | Phase::Transfer | Phase::Drain | Phase::Tunnel,
            ) => Ink::Bytes,
            Self::In(Phase::Proxy | Phase::Retry) => Ink::Proxy,
        }
    }

    /// What the legend says of it.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Own | Self::In(Phase::Wait) => "wait: the app works",
            Self::Calls => "wait: for its own calls",
            Self::Way => "network",
            Self::In(phase) => phase.name(),
        }
    }
}

/// A part of a bar, in nanoseconds from the start of the trace.
pub(super) type Segment = (Range<u64>, Part);

/// How time becomes columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// The columns of a bar, at least one.
    pub(super) columns: usize,
    /// The nanoseconds that they stand for, at least one.
    pub(super) total: u64,
}

impl Scale {
    /// The column in which a moment lies.
    pub(super) fn cell_of(self, moment: u64) -> usize {
        let cell = u128::from(moment) * self.columns as u128 / u128::from(self.total);
        usize::try_from(cell).map_or(self.columns, |cell| cell.min(self.columns))
    }

    /// The bar: in each cell the part that takes the most of it, and at least one cell for the whole.
    pub(super) fn cells(self, segments: &[Segment]) -> Vec<Option<Part>> {
        let bar = self.columns as u64;
        let edge = |cell: u64| {
            let edge = u128::from(cell) * u128::from(self.total) / u128::from(bar);
            u64::try_from(edge).unwrap_or(u64::MAX)
        };
        let mut cells: Vec<Option<Part>> = (0..bar)
            .map(|cell| {
                let (from, to) = (edge(cell), edge(cell + 1));
                let most = Part::ALL.into_iter().rev().map(|part| {
                    let of_it = segments.iter().filter(|(_, other)| *other == part);
                    let covered = of_it
                        .map(|(range, _)| range.end.min(to).saturating_sub(range.start.max(from)));
                    (covered.sum::<u64>(), part)
                });
                let (covered, part) = most.max_by_key(|(covered, _)| *covered)?;
                // Where less than half of a cell is covered, the bar has not begun or is over.
                let all = segments
                    .iter()
                    .map(|(range, _)| range.end.min(to).saturating_sub(range.start.max(from)));
                (covered > 0 && all.sum::<u64>() * 2 >= to - from).then_some(part)
            })
            .collect();
        if cells.iter().all(Option::is_none)
            && let Some((range, part)) = segments
                .iter()
                .max_by_key(|(range, _)| range.end - range.start)
        {
            let cell = self.cell_of(range.start).min(self.columns - 1);
            cells[cell] = Some(*part);
        }
        cells
    }
}

/// The hop's time, cut into parts. They follow each other without a gap.
pub(super) fn segments(hop: &Hop, origin: SystemTime) -> Vec<Segment> {
    let inner = hop.callee.as_ref().map(|callee| {
        let calls = hop.calls.iter().map(|call| call.outer().range(origin));
        let calls: Vec<_> = calls.collect();
        let parts = phases(callee, origin).flat_map(|(range, phase)| match phase {
            Phase::Wait => own_and_calls(range, &calls),
            phase => vec![(range, Part::In(phase))],
        });
        (callee.range(origin), parts.collect::<Vec<_>>())
    });
    let (Some(caller), Some((within, inner))) = (&hop.caller, &inner) else {
        return match (inner, &hop.caller) {
            (Some((_, inner)), _) => inner,
            (None, Some(caller)) => phases(caller, origin)
                .map(|(range, phase)| (range, Part::In(phase)))
                .collect(),
            (None, None) => Vec::new(),
        };
    };
    // Outside of what the callee's sidecar saw, the caller's wait is the way there and back.
    let outer = phases(caller, origin).flat_map(|(range, phase)| {
        let part = match phase {
            Phase::Wait => Part::Way,
            phase => Part::In(phase),
        };
        let before = range.start..range.end.min(within.start);
        let after = range.start.max(within.end)..range.end;
        [(before, part), (after, part)]
    });
    let mut all: Vec<Segment> = outer.chain(inner.iter().cloned()).collect();
    all.retain(|(range, _)| !range.is_empty());
    all.sort_by_key(|(range, _)| range.start);
    all
}

/// The phases of a span, where they lie.
fn phases(seen: &Seen, origin: SystemTime) -> impl Iterator<Item = (Range<u64>, Phase)> {
    let mut at = seen.range(origin).start;
    seen.span.phases.iter().map(move |(phase, nanos)| {
        let range = at..at + nanos;
        at = range.end;
        (range, phase)
    })
}

/// A wait for an app, told apart by whether the app waits for calls itself.
fn own_and_calls(wait: Range<u64>, calls: &[Range<u64>]) -> Vec<Segment> {
    let mut calls = calls.to_vec();
    calls.sort_by_key(|call| call.start);
    let mut parts = Vec::new();
    let mut at = wait.start;
    for call in calls {
        let (start, end) = (call.start.clamp(at, wait.end), call.end.clamp(at, wait.end));
        parts.push((at..start, Part::Own));
        parts.push((start..end, Part::Calls));
        at = end;
    }
    parts.push((at..wait.end, Part::Own));
    parts.retain(|(range, _)| !range.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::paper::{Line, Look};

    #[test]
    fn every_part_has_a_character_of_its_own_in_ascii_too() {
        for unicode in [true, false] {
            let look = Look {
                width: 80,
                colour: false,
                unicode,
            };
            let mut spelled: Vec<String> = Part::ALL
                .iter()
                .map(|part| Line::default().text(&part.glyph().to_string()).render(look))
                .collect();
            spelled.sort();
            spelled.dedup();
            assert_eq!(spelled.len(), Part::ALL.len());
        }
    }

    #[test]
    fn parts_of_a_wait_cover_it_without_overlap() {
        let parts = own_and_calls(10..100, &[20..40, 30..60, 90..120]);
        let expected = [
            (10..20, Part::Own),
            (20..40, Part::Calls),
            (40..60, Part::Calls),
            (60..90, Part::Own),
            (90..100, Part::Calls),
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_cell_shows_what_takes_the_most_of_it_and_a_short_bar_is_still_seen() {
        let scale = Scale {
            columns: 5,
            total: 100,
        };
        let (own, calls) = (Some(Part::Own), Some(Part::Calls));
        let parts = [(12..45, Part::Own), (45..75, Part::Calls)];
        assert_eq!(scale.cells(&parts), [None, own, calls, calls, None]);
        assert_eq!(scale.cells(&[(41..43, Part::Own)])[2], own);
        assert_eq!(scale.cells(&[(99..100, Part::Own)])[4], own);
    }
}

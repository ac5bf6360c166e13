//! One trace as a picture: a line for each hop, and on it a bar that is cut into phases.
//!
//! ```text
//!                          0        20        40        60        80 ms
//! frontend                 ▪█─────────────────────────────────────────█    97.9 ms
//! ├─ catalog        ~0.99    █───────▓▓                                    18.4 ms
//! ```
//!
//! A hop's bar is put together from both of its sides: what the caller's sidecar saw, and inside of
//! that what the callee's did. While that waits for its app, the app either works or waits for calls
//! of its own, and those are told apart too.

use std::ops::Range;

use throughline::{
    phase::Phase,
    span::{Evidence, Kind},
};

use super::{
    hops::{Hop, Seen, nanos, trace_of},
    paper::{Ink, Line, Look},
    units::{self, count},
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
    pub(super) const ALL: [Self; 13] = [
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
        }
    }

    /// Its colour.
    pub(super) fn ink(self) -> Ink {
        match self {
            Self::Own | Self::In(Phase::Wait) => Ink::Work,
            Self::Calls | Self::Way => Ink::Faint,
            Self::In(Phase::Queue) => Ink::Queue,
            Self::In(Phase::Dns | Phase::Connect | Phase::Tls) => Ink::Connect,
            Self::In(Phase::Receive | Phase::Send | Phase::Transfer | Phase::Drain) => Ink::Bytes,
            Self::In(Phase::Proxy | Phase::Retry) => Ink::Proxy,
        }
    }

    /// What the legend says of it.
    fn meaning(self) -> &'static str {
        match self {
            Self::Own | Self::In(Phase::Wait) => "wait: the app works",
            Self::Calls => "wait: for its own calls",
            Self::Way => "network",
            Self::In(phase) => phase.name(),
        }
    }
}

/// A part of a bar, in nanoseconds from the start of the trace.
type Segment = (Range<u64>, Part);

/// The columns beside the bars.
struct Columns {
    label: usize,
    bar: usize,
    width: usize,
    /// The nanoseconds that the bars stand for.
    total: u64,
}

const MARGIN: usize = 2;
const MARK: usize = 5;
const TIME: usize = 8;
const STATUS: usize = 4;

/// The picture of the tree below `root`.
pub(super) fn waterfall(look: Look, root: &Hop) -> Vec<Line> {
    let labels = labels(root, look.width >= 110);
    let hops = root.walk();
    let origin = root.outer().span.started;
    let ends = hops.iter().map(|(_, hop)| hop.outer().range(origin).end);
    let label = labels.iter().map(Line::width).max().unwrap_or(0);
    let beside = MARGIN + 1 + MARK + 2 + 1 + TIME + 1 + STATUS;
    let columns = Columns {
        label,
        bar: look.width.saturating_sub(beside + label).max(10),
        width: look.width,
        total: ends.max().unwrap_or(1).max(1),
    };
    let mut lines = vec![heading(root, hops.len()), Line::default(), axis(&columns)];
    let mut used = Vec::new();
    for ((_, hop), label) in hops.iter().zip(&labels) {
        let cells = cells(&segments(hop, origin), &columns);
        used.extend(cells.iter().flatten().copied());
        lines.push(row(hop, label, &cells, &columns));
    }
    lines.push(Line::default());
    lines.extend(legend(look, &used, &hops));
    lines
}

fn heading(root: &Hop, hops: usize) -> Line {
    let said = format!("  {}, {}", trace_of(root), count(hops as u64, "hop"));
    Line::default()
        .ink(Ink::Strong, "One trace")
        .ink(Ink::Faint, &said)
}

/// What stands in front of the bars: the tree, and who is called.
fn labels(root: &Hop, with_path: bool) -> Vec<Line> {
    fn below(hop: &Hop, stem: &str, with_path: bool, labels: &mut Vec<Line>) {
        for (index, call) in hop.calls.iter().enumerate() {
            let last = index + 1 == hop.calls.len();
            let (branch, onward) = if last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            let branch = Line::default().ink(Ink::Faint, &format!("{stem}{branch}"));
            labels.push(branch.then(&name(call, with_path)));
            below(call, &format!("{stem}{onward}"), with_path, labels);
        }
    }
    let mut labels = vec![name(root, with_path)];
    below(root, "", with_path, &mut labels);
    labels
}

fn name(hop: &Hop, with_path: bool) -> Line {
    let span = &hop.outer().span;
    let ink = match span.error_type() {
        Some(_) => Ink::Bad,
        None => Ink::Plain,
    };
    let name = Line::default().ink(ink, hop.callee_name());
    if with_path {
        let request = format!(" {} {}", span.method.as_str(), span.path.as_str());
        return name.ink(Ink::Faint, &request);
    }
    name
}

fn row(hop: &Hop, label: &Line, cells: &[Option<Part>], columns: &Columns) -> Line {
    let outer = hop.outer();
    let bar_at = MARGIN + columns.label + 1 + MARK + 2;
    let (ink, mark) = mark(outer);
    let mut line = Line::default()
        .to(MARGIN)
        .then(label)
        .to(MARGIN + columns.label + 2)
        .ink(ink, &mark)
        .to(bar_at);
    for cell in cells {
        line = match cell {
            Some(part) => line.ink(part.ink(), part.glyph().encode_utf8(&mut [0; 4])),
            None => line.text(" "),
        };
    }
    let failed = outer.span.error_type();
    let ink = if failed.is_some() {
        Ink::Bad
    } else {
        Ink::Plain
    };
    let time = units::time(nanos(&outer.span));
    let line = line.until(columns.width - STATUS - 1, ink, &time);
    match failed {
        Some(error) => line.text(" ").ink(Ink::Bad, error.as_str()),
        None => line,
    }
}

/// How the parent of a hop is known.
fn mark(outer: &Seen) -> (Ink, String) {
    match (outer.span.kind, outer.span.parentage) {
        (_, Some(parentage)) => match parentage.evidence {
            Evidence::Propagated => (Ink::Good, "=".to_owned()),
            Evidence::Open => (Ink::Unsure, "?".to_owned()),
            // Cut and not rounded: nothing that is inferred is certain.
            _ => {
                let hundredths = (parentage.confidence * 100.0).floor() / 100.0;
                (Ink::Good, format!("~{hundredths:.2}"))
            }
        },
        (Kind::Server, None) if outer.span.parent.is_some() => (Ink::Good, "=".to_owned()),
        _ => (Ink::Faint, String::new()),
    }
}

/// The time above the bars, in milliseconds at round places.
fn axis(columns: &Columns) -> Line {
    let bar_at = MARGIN + columns.label + 1 + MARK + 2;
    let mut line = Line::default().to(bar_at);
    for tick in ticks(columns.total, columns.bar) {
        let at = bar_at + cell_of(tick, columns);
        let text = units::plain_millis(tick);
        // The last one has its unit, and must not run into the durations.
        let fits = at + text.chars().count() < bar_at + columns.bar;
        if (line.width() < at || tick == 0) && fits {
            line = line.to(at).ink(Ink::Faint, &text);
        }
    }
    line.until(columns.width - STATUS - 1, Ink::Faint, "ms")
}

/// Round times that are some eight columns apart.
fn ticks(total: u64, columns: usize) -> impl Iterator<Item = u64> {
    let wanted = total.saturating_mul(8) / columns.max(1) as u64;
    let mut unit = 1_000;
    while unit * 10 <= wanted {
        unit *= 10;
    }
    let steps = [1, 2, 5, 10].map(|step| step * unit);
    let step = steps.into_iter().find(|step| *step >= wanted);
    let step = step.unwrap_or(10 * unit);
    (0..=total / step).map(move |index| index * step)
}

/// The column in which a moment lies.
fn cell_of(moment: u64, columns: &Columns) -> usize {
    let cell = u128::from(moment) * columns.bar as u128 / u128::from(columns.total);
    usize::try_from(cell).map_or(columns.bar, |cell| cell.min(columns.bar))
}

/// The hop's time, cut into parts. They follow each other without a gap.
fn segments(hop: &Hop, origin: std::time::SystemTime) -> Vec<Segment> {
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
fn phases(seen: &Seen, origin: std::time::SystemTime) -> impl Iterator<Item = (Range<u64>, Phase)> {
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

/// The bar: in each cell the part that takes the most of it, and at least one cell for the whole.
fn cells(segments: &[Segment], columns: &Columns) -> Vec<Option<Part>> {
    let bar = columns.bar as u64;
    let edge = |cell: u64| {
        let edge = u128::from(cell) * u128::from(columns.total) / u128::from(bar);
        u64::try_from(edge).unwrap_or(u64::MAX)
    };
    let mut cells: Vec<Option<Part>> = (0..bar)
        .map(|cell| {
            let (from, to) = (edge(cell), edge(cell + 1));
            let most = Part::ALL.into_iter().rev().map(|part| {
                let of_it = segments.iter().filter(|(_, other)| *other == part);
                let covered =
                    of_it.map(|(range, _)| range.end.min(to).saturating_sub(range.start.max(from)));
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
        let cell = cell_of(range.start, columns).min(columns.bar - 1);
        cells[cell] = Some(*part);
    }
    cells
}

/// What the characters and marks that were used mean.
fn legend(look: Look, used: &[Part], hops: &[(usize, &Hop)]) -> Vec<Line> {
    let parts = Part::ALL.into_iter().filter(|part| used.contains(part));
    let mut entries: Vec<Line> = parts
        .map(|part| {
            let glyph = part.glyph().to_string();
            Line::default()
                .ink(part.ink(), &glyph)
                .ink(Ink::Faint, &format!(" {}", part.meaning()))
        })
        .collect();
    let marks = hops.iter().map(|(_, hop)| mark(hop.outer()));
    let marks: Vec<_> = marks
        .map(|(ink, mark)| (ink, mark.chars().next()))
        .collect();
    for (sign, shown, meaning) in [
        ('=', "=", "parent propagated"),
        ('~', "~0.99", "parent inferred, with its confidence"),
        ('?', "?", "parent left open"),
    ] {
        if let Some((ink, _)) = marks.iter().find(|(_, mark)| *mark == Some(sign)) {
            let shown = Line::default().ink(*ink, shown);
            entries.push(shown.ink(Ink::Faint, &format!(" {meaning}")));
        }
    }
    let mut lines = Vec::new();
    let mut line = Line::default().to(MARGIN);
    for entry in entries {
        let begun = line.width() > MARGIN;
        if begun && line.width() + 3 + entry.width() > look.width {
            lines.push(std::mem::take(&mut line));
            line = line.to(MARGIN);
        } else if begun {
            line = line.text("   ");
        }
        line = line.then(&entry);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{
        hops::{Hops, tests::example},
        paper::render,
    };

    fn drawn(width: usize, unicode: bool) -> String {
        let hops = Hops::of(&example());
        let look = Look {
            width,
            colour: false,
            unicode,
        };
        render(look, &waterfall(look, &hops.roots[0]))
    }

    #[test]
    fn a_trace_is_drawn_to_scale() {
        let expected = "\
One trace  00000001000000000000000000000001, 3 hops

                 0        20        40        60        80               ms
  front          ◂████────────────────────────█████──────────████▁ 100.0 ms
  ├─ back  ~0.99      ◇◇▸╌░░░░░██████████▓▓▓╌▓                      50.0 ms
  └─ back  ~0.99                                   ▸████████╌       20.0 ms 503

  █ wait: the app works   ─ wait: for its own calls   ░ queue   ◇ connect
  ◂ receive   ▸ send   ╌ network   ▓ transfer   ▁ drain
  ~0.99 parent inferred, with its confidence
";
        assert_eq!(drawn(80, true), expected);
    }

    #[test]
    fn no_line_is_wider_than_the_paper_and_ascii_is_enough() {
        for width in [40, 60, 80, 120, 160] {
            for unicode in [true, false] {
                let drawn = drawn(width, unicode);
                assert!(unicode || drawn.is_ascii(), "{drawn}");
                for line in drawn.lines() {
                    assert!(line.chars().count() <= width, "{line:?} at {width}");
                }
            }
        }
    }

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
    fn ticks_are_round_and_some_eight_columns_apart() {
        let all = |total, columns| ticks(total, columns).collect::<Vec<_>>();
        assert_eq!(all(97_900_000, 40).last(), Some(&80_000_000));
        assert_eq!(all(97_900_000, 30), [0, 50_000_000]);
        assert_eq!(all(3_000, 30), [0, 1_000, 2_000, 3_000]);
    }
}

//! One trace as a picture: a line for each hop, and on it a bar that is cut into phases.
//!
//! ```text
//!                          0        20        40        60        80 ms
//! frontend                 ▪█─────────────────────────────────────────█    97.9 ms
//! ├─ catalog        ~0.99    █───────▓▓                                    18.4 ms
//! ```

use throughline::span::{Evidence, Kind};

use super::{
    bar::{Part, Scale, segments},
    hops::{Hop, Seen, nanos, trace_of},
    paper::{Ink, Line, Look},
    units::{self, count},
};

/// The columns beside the bars.
struct Columns {
    label: usize,
    width: usize,
    scale: Scale,
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
        width: look.width,
        scale: Scale {
            columns: look.width.saturating_sub(beside + label).max(10),
            total: ends.max().unwrap_or(1).max(1),
        },
    };
    let mut lines = vec![heading(root, hops.len()), Line::default(), axis(&columns)];
    let mut used = Vec::new();
    for ((_, hop), label) in hops.iter().zip(&labels) {
        let cells = columns.scale.cells(&segments(hop, origin));
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
    for tick in ticks(columns.scale.total, columns.scale.columns) {
        let at = bar_at + columns.scale.cell_of(tick);
        let text = units::plain_millis(tick);
        // The last one has its unit, and must not run into the durations.
        let fits = at + text.chars().count() < bar_at + columns.scale.columns;
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
    fn ticks_are_round_and_some_eight_columns_apart() {
        let all = |total, columns| ticks(total, columns).collect::<Vec<_>>();
        assert_eq!(all(97_900_000, 40).last(), Some(&80_000_000));
        assert_eq!(all(97_900_000, 30), [0, 50_000_000]);
        assert_eq!(all(3_000, 30), [0, 1_000, 2_000, 3_000]);
    }
}

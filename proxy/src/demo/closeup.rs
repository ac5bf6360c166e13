//! One hop from near: both of its sidecars' phases side by side, to the nanosecond.
//!
//! A bar cannot show what takes a thousandth of it. This can, and it shows the law of the phases: each
//! column adds up to the duration of its span, with nothing left over.

use throughline::phase::Phase;

use super::{
    bar::Part,
    hops::{Hop, nanos},
    paper::{Ink, Line, Look, paragraph},
    units,
};

/// The hop of a tree that takes the longest without what its callee's own calls take.
pub(super) fn slowest(root: &Hop) -> Option<&Hop> {
    let hops = root.walk().into_iter().map(|(_, hop)| hop);
    let seen_twice = hops.filter(|hop| hop.caller.is_some() && hop.callee.is_some());
    seen_twice.max_by_key(|hop| hop.exclusive())
}

/// The phases of a hop that both of its sides saw; nothing for one that only one side did.
pub(super) fn closeup(look: Look, hop: &Hop) -> Vec<Line> {
    let (Some(caller), Some(callee)) = (&hop.caller, &hop.callee) else {
        return Vec::new();
    };
    let names = [caller.service, callee.service];
    let heads = names.map(|name| format!("seen by {name}"));
    // Room for seconds, in groups of three digits, and for the name above.
    let mut column = 13;
    let ends = heads.clone().map(|head| {
        column += 3 + head.chars().count().max(13);
        column
    });
    let mut lines = vec![
        Line::default()
            .ink(Ink::Strong, "Its slowest hop from near")
            .ink(
                Ink::Faint,
                &format!("  {} → {}, in nanoseconds", names[0], names[1]),
            ),
        Line::default(),
        Line::default()
            .until(ends[0], Ink::Faint, &heads[0])
            .until(ends[1], Ink::Faint, &heads[1]),
    ];
    let sides = [&caller.span, &callee.span];
    for phase in Phase::ALL {
        let took = sides.map(|span| span.phases.get(phase));
        if took.iter().all(Option::is_none) {
            continue;
        }
        let part = Part::In(phase);
        let mut line = Line::default()
            .to(2)
            .ink(part.ink(), &part.glyph().to_string())
            .text(&format!(" {phase}"));
        for (took, end) in took.into_iter().zip(ends) {
            line = match took {
                Some(took) => {
                    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    line.until(end, Ink::Plain, &units::grouped(nanos))
                }
                None => line.until(end, Ink::Faint, "–"),
            };
        }
        lines.push(line.text("   ").ink(Ink::Faint, meaning(phase)));
    }
    let sum = sides.map(|span| {
        let phases = span.phases.iter().map(|(_, nanos)| nanos);
        units::grouped(phases.sum())
    });
    lines.push(
        Line::default()
            .to(4)
            .ink(Ink::Strong, "sum")
            .until(ends[0], Ink::Strong, &sum[0])
            .until(ends[1], Ink::Strong, &sum[1])
            .text("   ")
            .ink(Ink::Faint, "the duration of the span"),
    );
    lines.push(Line::default());
    lines.extend(paragraph(
        look,
        2,
        Ink::Plain,
        &in_words(hop, callee.service),
    ));
    lines
}

fn in_words(hop: &Hop, callee: &str) -> String {
    let (calls, own) = hop.app_time();
    let gap = hop.gap().unwrap_or(0);
    let waited = if calls > 0 {
        format!(" and waited {} for its own calls", units::time(calls))
    } else {
        String::new()
    };
    let queued = hop
        .callee
        .as_ref()
        .and_then(|seen| seen.span.phases.get(Phase::Queue));
    let queued = queued.map_or(0, |queue| {
        u64::try_from(queue.as_nanos()).unwrap_or(u64::MAX)
    });
    let total = nanos(&hop.outer().span);
    let queued = if queued * 20 > total {
        format!(
            " The request queued for {}, because {callee} was busy with another.",
            units::time(queued)
        )
    } else {
        String::new()
    };
    format!(
        "{callee} itself worked for {}{waited}.{queued} Between the two sidecars the call was on its \
         way for {}.",
        units::time(own),
        units::time(gap),
    )
}

/// What a phase is, in a few words.
fn meaning(phase: Phase) -> &'static str {
    match phase {
        Phase::Receive => "the request comes in",
        Phase::Proxy => "the sidecar’s own work",
        Phase::Retry => "attempts that failed",
        Phase::Queue => "for a free connection",
        Phase::Dns => "the name is resolved",
        Phase::Connect => "a new connection",
        Phase::Tls => "its handshake",
        Phase::Send => "the request goes out",
        Phase::Wait => "for the first byte",
        Phase::Transfer => "to the last byte",
        Phase::Drain => "the caller takes it",
        Phase::Tunnel => "bytes both ways",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{
        hops::{Hops, tests::example},
        paper::render,
    };

    #[test]
    fn both_columns_add_up() {
        let hops = Hops::of(&example());
        let look = Look {
            width: 80,
            colour: false,
            unicode: true,
        };
        let slowest = slowest(&hops.roots[0]).unwrap();
        assert_eq!(slowest.outer().span.path.as_str(), "/stock/7");
        let expected = "\
Its slowest hop from near  front → back, in nanoseconds

                seen by front    seen by back
  ░ queue                   –      10 000 000   for a free connection
  ◇ connect         4 000 000               –   a new connection
  ▸ send            2 000 000               –   the request goes out
  █ wait           42 000 000      20 000 000   for the first byte
  ▓ transfer        2 000 000       8 000 000   to the last byte
    sum            50 000 000      38 000 000   the duration of the span

  back itself worked for 20.0 ms. The request queued for 10.0 ms, because back
  was busy with another. Between the two sidecars the call was on its way for
  14.0 ms.
";
        assert_eq!(render(look, &closeup(look, slowest)), expected);
    }

    #[test]
    fn a_hop_that_one_side_saw_has_nothing_to_compare() {
        let hops = Hops::of(&example());
        let look = Look {
            width: 80,
            colour: false,
            unicode: true,
        };
        assert!(closeup(look, &hops.roots[0]).is_empty());
    }
}

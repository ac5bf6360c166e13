//! How each parent is known: told, worked out, or left open.

use throughline::span::{Evidence, Kind};

use super::{
    hops::Seen,
    paper::{Ink, Line, Look, paragraph},
    units::{count, percent},
};

/// How the parents of many spans are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parents {
    /// Requests from outside, which have none.
    roots: u64,
    /// By evidence, in the order of [`Evidence::ALL`].
    known: [u64; Evidence::ALL.len()],
    /// Calls, which is where the question comes up.
    calls: u64,
    open_calls: u64,
    /// The links of the open calls.
    links: u64,
}

impl Parents {
    /// Counts the parents of these spans.
    ///
    /// A request that comes in with a context has its parent propagated; for a call, the sidecar says
    /// itself what it went by.
    pub(super) fn of(spans: &[Seen]) -> Self {
        let mut parents = Self::default();
        for seen in spans {
            let evidence = match seen.span.kind {
                Kind::Server if seen.span.parent.is_none() => {
                    parents.roots += 1;
                    continue;
                }
                Kind::Server => Evidence::Propagated,
                Kind::Client => {
                    parents.calls += 1;
                    seen.evidence().unwrap_or(Evidence::Propagated)
                }
            };
            if evidence == Evidence::Open {
                parents.open_calls += 1;
                parents.links += seen.span.links().count() as u64;
            }
            parents.known[evidence as usize] += 1;
        }
        parents
    }

    fn total(&self) -> u64 {
        self.known.iter().sum()
    }
}

/// Evidence as the report shows it: its sign, its colour, and what it means.
fn shown(evidence: Evidence) -> (&'static str, Ink, &'static str) {
    match evidence {
        Evidence::Propagated => ("=", Ink::Good, "told by the sidecar of the caller"),
        Evidence::RequestId => ("~", Ink::Work, "inferred: the request's id came back"),
        Evidence::Signal => ("~", Ink::Work, "inferred: the thread said which it serves"),
        Evidence::Value => ("~", Ink::Work, "inferred: a value of the request came back"),
        Evidence::Process => ("~", Ink::Work, "inferred: the process that serves it calls"),
        Evidence::SoleCandidate => ("~", Ink::Work, "inferred: no other request was open"),
        Evidence::Timing => ("~", Ink::Work, "inferred: from learned delays"),
        Evidence::Open => ("?", Ink::Unsure, "several were: no parent is claimed"),
    }
}

/// The counts with their shares, and what they come to.
pub(super) fn parents(look: Look, spans: &[Seen]) -> Vec<Line> {
    let parents = Parents::of(spans);
    let mut lines = vec![
        Line::default().ink(Ink::Strong, "How each parent is known"),
        Line::default(),
    ];
    for (evidence, number) in Evidence::ALL.into_iter().zip(parents.known) {
        let always = matches!(
            evidence,
            Evidence::Propagated | Evidence::SoleCandidate | Evidence::Timing | Evidence::Open
        );
        if number == 0 && !always {
            continue;
        }
        let (sign, ink, meaning) = shown(evidence);
        let name = match evidence {
            Evidence::Open => "left open",
            evidence => evidence.name(),
        };
        lines.push(
            Line::default()
                .to(2)
                .ink(ink, sign)
                .text(&format!(" {name}"))
                .until(24, Ink::Strong, &number.to_string())
                .until(31, ink, &percent(number, parents.total()))
                .text("   ")
                .ink(Ink::Faint, meaning),
        );
    }
    lines.push(Line::default());
    let inferred = Evidence::ALL.into_iter().zip(parents.known);
    let inferred = inferred.filter(|(evidence, _)| evidence.is_inferred());
    let inferred: u64 = inferred.map(|(_, number)| number).sum();
    let mut said = format!(
        "The services made {} and sent no trace header with any; for {} of them the parent was \
         inferred.",
        count(parents.calls, "call"),
        percent(inferred, parents.calls),
    );
    if parents.open_calls > 0 {
        said += &format!(
            " {} left open: a trace of its own, linked to each request that may be the cause ({}).",
            match parents.open_calls {
                1 => "1 was".to_owned(),
                more => format!("{more} were"),
            },
            count(parents.links, "link"),
        );
    }
    lines.extend(paragraph(look, 2, Ink::Plain, &said));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{hops::tests::example, paper::render};

    #[test]
    fn told_worked_out_and_open_are_counted_apart() {
        let expected = "\
How each parent is known

  = propagated         3   50 %   told by the sidecar of the caller
  ~ sole_candidate     2   33 %   inferred: no other request was open
  ~ timing             0    0 %   inferred: from learned delays
  ? left open          1   17 %   several were: no parent is claimed

  The services made 3 calls and sent no trace header with any; for 67 % of them
  the parent was inferred. 1 was left open: a trace of its own, linked to each
  request that may be the cause (1 link).
";
        let look = Look {
            width: 80,
            colour: false,
            unicode: true,
        };
        assert_eq!(render(look, &parents(look, &example())), expected);
    }
}

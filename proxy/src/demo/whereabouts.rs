//! Where the time went: over all requests, and service by service.
//!
//! Means are taken over those requests of which every call is known. Where a call was left open, how
//! long the app itself worked cannot be told, and is not guessed.

use std::collections::BTreeMap;

use throughline::phase::Phase;

use super::{
    bar::Part,
    hops::{Hop, Hops, nanos},
    paper::{Ink, Line, Look, paragraph},
    units::{self, count},
};

/// What the requests of one service took in sum, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    requests: u64,
    unsettled: u64,
    total: u64,
    own: u64,
    calls: u64,
    queue: u64,
}

impl Sums {
    fn add(&mut self, hop: &Hop) {
        let Some(callee) = &hop.callee else { return };
        let (calls, own) = hop.app_time();
        self.requests += 1;
        self.total += nanos(&callee.span);
        self.own += own;
        self.calls += calls;
        self.queue += phase(hop, Phase::Queue);
    }

    /// What is left: the bytes' way in and out, connecting, and the sidecar's own work.
    fn rest(&self) -> u64 {
        self.total - self.own - self.calls - self.queue
    }
}

/// How long the callee's sidecar was in a phase.
fn phase(hop: &Hop, phase: Phase) -> u64 {
    let span = hop.callee.as_ref().map(|seen| &seen.span);
    let took = span
        .and_then(|span| span.phases.get(phase))
        .unwrap_or_default();
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

/// The table of services in the order of `services`, and what stands out in it.
pub(super) fn whereabouts(look: Look, hops: &Hops, services: &[&'static str]) -> Vec<Line> {
    let mut sums: BTreeMap<&str, Sums> = BTreeMap::new();
    for hop in hops.all() {
        let of_service = sums.entry(hop.callee_name()).or_default();
        if hops.is_settled(hop) {
            of_service.add(hop);
        } else if hop.callee.is_some() {
            of_service.unsettled += 1;
        }
    }
    let mut lines = vec![
        Line::default().ink(Ink::Strong, "Where the time went").ink(
            Ink::Faint,
            "  means; rest: bytes on their way, connecting, the sidecar",
        ),
        Line::default(),
    ];
    let widest = services.iter().map(|name| name.chars().count()).max();
    let columns = Columns::new(look, widest.unwrap_or(0));
    lines.push(columns.head());
    for service in services {
        if let Some(sums) = sums.get(service).filter(|sums| sums.requests > 0) {
            lines.push(columns.row(service, sums));
        }
    }
    lines.push(Line::default());
    for sentence in sentences(hops, &sums) {
        lines.extend(paragraph(look, 2, Ink::Plain, &sentence));
    }
    lines
}

/// The right edges of the columns, and what is left for a bar.
struct Columns {
    name: usize,
    ends: [usize; 6],
    bar: usize,
}

const MARGIN: usize = 2;
const HEADS: [&str; 6] = ["requests", "mean", "itself", "its calls", "queue", "rest"];

impl Columns {
    fn new(look: Look, name: usize) -> Self {
        let mut end = MARGIN + name;
        let ends = HEADS.map(|head| {
            end += 2 + head.chars().count().max(8);
            end
        });
        let left = look.width.saturating_sub(end + 3);
        Self {
            name,
            ends,
            bar: if left >= 10 { left.min(40) } else { 0 },
        }
    }

    fn head(&self) -> Line {
        let heads = HEADS.into_iter().zip(self.ends);
        heads.fold(Line::default(), |line, (head, end)| {
            line.until(end, Ink::Faint, head)
        })
    }

    fn row(&self, service: &str, sums: &Sums) -> Line {
        let mean = |sum: u64| sum / sums.requests;
        let parts = [
            (sums.own, Part::Own),
            (sums.calls, Part::Calls),
            (sums.queue, Part::In(Phase::Queue)),
            (sums.rest(), Part::In(Phase::Transfer)),
        ];
        let mut line = Line::default()
            .to(MARGIN)
            .text(&format!("{service:width$}", width = self.name))
            .until(self.ends[0], Ink::Plain, &sums.requests.to_string())
            .until(self.ends[1], Ink::Strong, &units::time(mean(sums.total)));
        for ((sum, part), end) in parts.into_iter().zip(&self.ends[2..]) {
            line = match mean(sum) {
                0 => line.until(*end, Ink::Faint, "–"),
                mean => line.until(*end, part.ink(), &units::time(mean)),
            };
        }
        line = line.text("   ");
        let mut before = 0;
        let mut drawn = 0;
        for (sum, part) in parts {
            before += sum;
            let upto = cells(before, sums.total, self.bar);
            let glyphs = part.glyph().to_string().repeat(upto - drawn);
            line = line.ink(part.ink(), &glyphs);
            drawn = upto;
        }
        line
    }
}

/// How many of `bar` cells `part` of `whole` fills, to the nearest.
fn cells(part: u64, whole: u64, bar: usize) -> usize {
    let (part, whole, bar) = (u128::from(part), u128::from(whole.max(1)), bar as u128);
    usize::try_from((2 * part * bar + whole) / (2 * whole)).unwrap_or(0)
}

/// What one would say to somebody who asks.
fn sentences(hops: &Hops, sums: &BTreeMap<&str, Sums>) -> Vec<String> {
    let mut said = Vec::new();
    let mut edges: BTreeMap<(&str, &str), (u64, u64, u64, u64)> = BTreeMap::new();
    for hop in hops.all().filter(|hop| hops.is_settled(hop)) {
        if let (Some(caller), Some(callee)) = (&hop.caller, &hop.callee) {
            let edge = edges.entry((caller.service, callee.service)).or_default();
            edge.0 += 1;
            edge.1 += hop.exclusive();
            edge.2 += hop.app_time().1;
            edge.3 += phase(hop, Phase::Queue);
        }
    }
    let slowest = edges
        .iter()
        .max_by_key(|(_, (calls, exclusive, _, _))| exclusive / calls);
    if let Some(((caller, callee), (calls, exclusive, own, queue))) = slowest {
        let queued = if *queue * 50 > *exclusive {
            format!(
                ", and for {} of it the request queues for a connection",
                units::time(queue / calls)
            )
        } else {
            String::new()
        };
        said.push(format!(
            "The slowest hop is {caller} → {callee}: {} a call. For {} of it {callee} itself \
             works{queued}.",
            units::time(exclusive / calls),
            units::time(own / calls),
        ));
    }
    let both = || hops.all().filter(|hop| hop.gap().is_some());
    let mut gaps: Vec<u64> = both().filter_map(Hop::gap).collect();
    gaps.sort_unstable();
    let mut costs: Vec<u64> = both().map(|hop| phase(hop, Phase::Proxy)).collect();
    costs.sort_unstable();
    if let (Some(gap), Some(cost)) = (gaps.get(gaps.len() / 2), costs.get(costs.len() / 2)) {
        said.push(format!(
            "Between two sidecars a call is on its way for {}, there and back, and a sidecar itself \
             keeps a request for {} (medians of {}).",
            units::time(*gap),
            units::time(*cost),
            count(gaps.len(), "call"),
        ));
    }
    let unsettled: u64 = sums.values().map(|sums| sums.unsettled).sum();
    if unsettled > 0 {
        said.push(format!(
            "{} not in the table: a call was left open meanwhile, so that nobody knows how long the \
             app itself worked.",
            match unsettled {
                1 => "1 request is".to_owned(),
                more => format!("{more} requests are"),
            },
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{hops::tests::example, paper::render};

    fn written(width: usize) -> String {
        let hops = Hops::of(&example());
        let look = Look {
            width,
            colour: false,
            unicode: true,
        };
        render(look, &whereabouts(look, &hops, &["front", "back"]))
    }

    #[test]
    fn each_service_has_its_time_told_apart() {
        let expected = "\
Where the time went  means; rest: bytes on their way, connecting, the sidecar

         requests      mean    itself  its calls     queue      rest
  front         1  100.0 ms   26.0 ms    70.0 ms         –    4.0 ms   ████████────────────────────▓
  back          3   24.0 ms   18.0 ms          –    3.3 ms    2.7 ms   ██████████████████████░░░░▓▓▓

  The slowest hop is front → back: 30.0 ms a call. For 18.0 ms of it back itself works, and for
  3.3 ms of it the request queues for a connection.
  Between two sidecars a call is on its way for 4.0 ms, there and back, and a sidecar itself keeps a
  request for 0 ns (medians of 3 calls).
  1 request is not in the table: a call was left open meanwhile, so that nobody knows how long the
  app itself worked.
";
        assert_eq!(written(100), expected);
    }

    #[test]
    fn the_columns_fit_in_eighty() {
        for line in written(80).lines() {
            assert!(line.chars().count() <= 80, "{line:?}");
        }
    }
}

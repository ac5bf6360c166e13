//! What the sidecars say, held against what the shop knows about itself.
//!
//! A picture that looks right may still be wrong. The services count their calls, the customers their
//! requests, and the order's number in each path tells which call truly belongs to which request. A
//! sidecar uses none of that, so that it can be asked afterwards whether it was right.

use std::collections::{BTreeMap, HashMap, HashSet};

use throughline::{
    id::SpanId,
    span::{Kind, Span},
};

use super::{
    hops::{Seen, nanos},
    paper::{Ink, Line, Look, paragraph, paragraph_after},
    shop::order_of,
    traffic::Counted,
    units::{self, count},
};
use crate::{export::Reason, pipeline::Ledger};

/// The account of each service's spans.
pub(super) type Ledgers = [(&'static str, Ledger)];

/// Something that must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) holds: bool,
    pub(super) says: String,
}

/// What must be so of these spans, given what customers and services counted.
pub(super) fn claims(
    spans: &[Seen],
    ledgers: &Ledgers,
    customers: Counted,
    calls_made: u64,
) -> Vec<Claim> {
    vec![
        phases_sum(spans, customers),
        every_hop_is_seen(spans, customers, calls_made),
        every_request_holds_together(spans),
        every_parent_is_right(spans),
        every_span_is_accounted_for(ledgers),
    ]
}

fn phases_sum(spans: &[Seen], customers: Counted) -> Claim {
    let wrong = spans.iter().filter(|seen| {
        let sum: u64 = seen.span.phases.iter().map(|(_, nanos)| nanos).sum();
        let lasted = seen.span.ended().duration_since(seen.span.started);
        lasted.map_or(true, |lasted| lasted.as_nanos() != u128::from(sum))
    });
    let wrong = wrong.count();
    let roots = spans.iter().filter(|seen| is_from_outside(&seen.span));
    let roots: u64 = roots.map(|seen| nanos(&seen.span)).sum();
    let stopwatch = format!(
        "by their own stopwatch the customers waited {}, and the spans of their requests last {}",
        units::time(customers.waited),
        units::time(roots),
    );
    Claim {
        holds: wrong == 0 && !spans.is_empty(),
        says: if wrong == 0 {
            format!(
                "the phases of each of {} sum to its duration, to the nanosecond; {stopwatch}",
                count(spans.len(), "span"),
            )
        } else {
            format!(
                "the phases of {} do not sum to the duration",
                count(wrong, "span")
            )
        },
    }
}

fn is_from_outside(span: &Span) -> bool {
    span.kind == Kind::Server && span.parent.is_none()
}

fn every_hop_is_seen(spans: &[Seen], customers: Counted, calls_made: u64) -> Claim {
    let calls = spans.iter().filter(|seen| seen.span.kind == Kind::Client);
    let calls: HashSet<SpanId> = calls.map(|seen| seen.span.span_id).collect();
    let (mut roots, mut answered, mut strays) = (0, HashSet::new(), 0);
    for seen in spans.iter().filter(|seen| seen.span.kind == Kind::Server) {
        match seen.span.parent {
            None => roots += 1,
            Some(call) if calls.contains(&call) => {
                answered.insert(call);
            }
            Some(_) => strays += 1,
        }
    }
    let (made, seen, answered) = (calls_made, calls.len() as u64, answered.len() as u64);
    Claim {
        holds: roots == customers.asked
            && customers.unhappy == 0
            && made == seen
            && seen == answered
            && strays == 0,
        says: format!(
            "customers counted {}, {} of them in vain, and the services {}; the spans show {roots} from \
             outside, {seen} seen by the caller’s sidecar and {answered} by the callee’s",
            count(customers.asked, "request"),
            match customers.unhappy {
                0 => "none".to_owned(),
                some => some.to_string(),
            },
            count(made, "call"),
        ),
    }
}

/// The order that a span is about. The path is for those who know the truth; no sidecar goes by it.
fn order(span: &Span) -> Option<u64> {
    order_of(span.path.as_str())
}

fn every_request_holds_together(spans: &[Seen]) -> Claim {
    let about: HashMap<SpanId, Option<u64>> = spans
        .iter()
        .map(|seen| (seen.span.span_id, order(&seen.span)))
        .collect();
    let mut orders: BTreeMap<Option<u64>, Vec<&Span>> = BTreeMap::new();
    for seen in spans {
        orders
            .entry(order(&seen.span))
            .or_default()
            .push(&seen.span);
    }
    let (mut whole, mut linked, mut torn) = (0_u64, 0_u64, 0_u64);
    for (order, spans) in &orders {
        let mut starts = spans.iter().filter(|span| span.parent.is_none());
        let first = starts.next().map(|span| span.trace_id);
        if order.is_some() && spans.iter().all(|span| Some(span.trace_id) == first) {
            whole += 1;
            continue;
        }
        // Each part of it begins at the request itself, or is linked to a span of the same order.
        let held = spans
            .iter()
            .filter(|span| span.parent.is_none())
            .all(|span| {
                is_from_outside(span)
                    || span
                        .links()
                        .any(|link| about.get(&link.span_id) == Some(order))
            });
        if order.is_some() && held {
            linked += 1;
        } else {
            torn += 1;
        }
    }
    let whole_of = match whole {
        1 => "1 request is".to_owned(),
        more => format!("{more} requests are"),
    };
    // A cause that looked unlikely is not linked. That may happen to few.
    let unlikely = match torn {
        0 => String::new(),
        torn => format!("; of {torn} more some part is not, for its cause looked unlikely"),
    };
    Claim {
        holds: torn * 10 <= whole + linked + torn,
        says: format!(
            "{whole_of} on one trace with all that followed, and {linked} in parts of which each is \
             linked to its true cause{unlikely}"
        ),
    }
}

fn every_parent_is_right(spans: &[Seen]) -> Claim {
    let about: HashMap<SpanId, Option<u64>> = spans
        .iter()
        .map(|seen| (seen.span.span_id, order(&seen.span)))
        .collect();
    let asserted = spans
        .iter()
        .filter_map(|seen| Some((&seen.span, seen.span.parent?)));
    let asserted: Vec<_> = asserted.collect();
    let right = asserted
        .iter()
        .filter(|(span, parent)| about.get(parent).is_some_and(|about| *about == order(span)));
    let right = right.count();
    Claim {
        holds: right == asserted.len(),
        says: format!(
            "{right} of {} parents are right: the order’s number in the path is the same, which no \
             sidecar goes by",
            asserted.len(),
        ),
    }
}

/// Every span is somewhere.
pub(super) fn every_span_is_accounted_for(ledgers: &Ledgers) -> Claim {
    let wrong: Vec<_> = ledgers
        .iter()
        .filter(|(_, ledger)| !ledger.balances())
        .collect();
    Claim {
        holds: wrong.is_empty(),
        says: match wrong.first() {
            None => "created = exported + dropped + pending, for each service and destination"
                .to_owned(),
            Some((service, ledger)) => format!("the ledger of {service} does not add up: {ledger}"),
        },
    }
}

/// The claims, each with its outcome.
pub(super) fn proof(look: Look, claims: &[Claim]) -> Vec<Line> {
    let mut lines = vec![
        Line::default().ink(Ink::Strong, "Does it add up?"),
        Line::default(),
    ];
    for claim in claims {
        let (ink, sign) = if claim.holds {
            (Ink::Good, "✓")
        } else {
            (Ink::Bad, "✗")
        };
        let lead = Line::default().to(2).ink(ink, sign);
        lines.extend(paragraph_after(&lead, look, 4, Ink::Plain, &claim.says));
    }
    lines
}

/// The account of each service and then of all, for each destination, and why what was dropped was.
pub(super) fn ledger(look: Look, ledgers: &Ledgers) -> Vec<Line> {
    let mut lines = vec![
        Line::default()
            .ink(Ink::Strong, "The ledger")
            .ink(Ink::Faint, "  created = exported + dropped + pending"),
        Line::default(),
    ];
    let heads = ["created", "exported", "dropped", "pending"];
    let names = ledgers.iter().map(|(service, _)| service.chars().count());
    let name = names.max().unwrap_or(0).max(5);
    let ends: Vec<usize> = (1..=4).map(|n| 2 + name + 10 + n * 10).collect();
    let head = heads.iter().zip(&ends);
    lines.push(head.fold(Line::default(), |line, (head, end)| {
        line.until(*end, Ink::Faint, head)
    }));
    let row = |ink: Ink, service: &str, destination: &str, numbers: [u64; 4]| {
        let line = Line::default().to(2).ink(ink, service).to(2 + name + 2);
        let line = line.ink(Ink::Faint, destination);
        let numbers = numbers.into_iter().zip(&ends).enumerate();
        numbers.fold(line, |line, (index, (number, end))| {
            let lost = index == 2 && number > 0;
            line.until(*end, if lost { Ink::Bad } else { ink }, &number.to_string())
        })
    };
    let mut sums: Vec<(&str, [u64; 4])> = Vec::new();
    for (service, ledger) in ledgers {
        for account in &ledger.accounts {
            let numbers = [
                ledger.created,
                account.exported,
                account.dropped_total(),
                account.pending,
            ];
            lines.push(row(Ink::Plain, service, account.exporter, numbers));
            match sums
                .iter_mut()
                .find(|(destination, _)| *destination == account.exporter)
            {
                Some((_, sum)) => sum.iter_mut().zip(numbers).for_each(|(sum, n)| *sum += n),
                None => sums.push((account.exporter, numbers)),
            }
        }
    }
    lines.extend(
        sums.iter()
            .map(|(destination, sum)| row(Ink::Strong, "all", destination, *sum)),
    );
    let reasons = Reason::ALL.into_iter().filter_map(|reason| {
        let accounts = ledgers.iter().flat_map(|(_, ledger)| &ledger.accounts);
        let dropped: u64 = accounts.map(|account| account.dropped(reason)).sum();
        (dropped > 0).then(|| format!("{reason} {dropped}"))
    });
    let reasons: Vec<String> = reasons.collect();
    if !reasons.is_empty() {
        let why = format!("dropped because of: {}", reasons.join(", "));
        lines.extend(paragraph(look, 2, Ink::Bad, &why));
    }
    lines
}

#[cfg(test)]
mod tests {
    use throughline::phase::Phase;

    use super::*;
    use crate::demo::{
        hops::tests::{example, span, with},
        paper::render,
    };

    const CUSTOMERS: Counted = Counted {
        asked: 2,
        unhappy: 0,
        waited: 150_000_000,
    };

    fn holding(spans: &[Seen], customers: Counted, calls: u64) -> Vec<bool> {
        let claims = claims(spans, &[], customers, calls);
        claims.iter().map(|claim| claim.holds).collect()
    }

    #[test]
    fn what_is_true_holds() {
        assert_eq!(holding(&example(), CUSTOMERS, 3), [true; 5]);
    }

    #[test]
    fn a_span_that_is_missing_is_missed() {
        for lost in 0..example().len() {
            let mut spans = example();
            spans.remove(lost);
            assert!(!holding(&spans, CUSTOMERS, 3)[1], "without span {lost}");
        }
        let one_more = Counted {
            asked: 3,
            ..CUSTOMERS
        };
        assert!(!holding(&example(), one_more, 3)[1]);
        let unhappy = Counted {
            unhappy: 1,
            ..CUSTOMERS
        };
        assert!(!holding(&example(), unhappy, 3)[1]);
        assert!(!holding(&example(), CUSTOMERS, 4)[1]);
        assert!(
            !holding(&[], Counted::default(), 0)[0],
            "nothing proves nothing"
        );
    }

    #[test]
    fn a_wrong_parent_is_found_out() {
        let mut spans = example();
        let stolen = [1, 12, 1];
        spans.push(span(
            "front",
            Kind::Client,
            stolen,
            "/stock/8",
            0,
            &[(Phase::Wait, 1)],
        ));
        spans.push(span(
            "back",
            Kind::Server,
            [1, 13, 12],
            "/stock/8",
            0,
            &[(Phase::Wait, 1)],
        ));
        assert_eq!(
            holding(&spans, CUSTOMERS, 4),
            [true, true, true, false, true]
        );
    }

    #[test]
    fn an_open_call_without_a_link_to_its_cause_tears_the_request() {
        let mut spans = example();
        let open = spans.iter().position(Seen::is_open).unwrap();
        spans[open] = with(spans[open].clone(), |span| span.links = Default::default());
        assert_eq!(
            holding(&spans, CUSTOMERS, 3),
            [true, true, false, true, true]
        );
    }

    #[test]
    fn a_ledger_that_does_not_balance_is_named() {
        let ledger = Ledger {
            created: 3,
            accounts: Vec::new(),
        };
        assert!(every_span_is_accounted_for(&[("cart", ledger)]).holds);
        let claim = Claim {
            holds: false,
            says: "two and two is five".to_owned(),
        };
        let look = Look {
            width: 80,
            colour: false,
            unicode: true,
        };
        let text = render(look, &proof(look, &[claim]));
        assert!(text.contains("  ✗ two and two is five\n"), "{text}");
    }
}

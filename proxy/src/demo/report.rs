//! Everything that the demo says, in the order in which a newcomer reads it.

use std::net::SocketAddr;

use super::{
    closeup,
    hops::{Hops, Seen},
    paper::{Ink, Line, Look, paragraph},
    parents,
    proof::{self, Claim, Ledgers},
    shop::Service,
    waterfall, whereabouts,
};

/// What is said before there is anything to show.
pub(super) fn introduction(look: Look) -> Vec<Line> {
    let mut lines = vec![
        Line::default(),
        Line::default().to(2).ink(Ink::Strong, "throughline demo"),
        Line::default(),
    ];
    lines.extend(paragraph(
        look,
        2,
        Ink::Plain,
        "A small shop. None of its services knows of tracing, and none sends a header on. Beside each \
         stands a sidecar; every request and every call is real HTTP through them.",
    ));
    lines.push(Line::default());
    let picture = [
        ("shoppers ─▶ frontend ─┬─▶ catalog ─┬─▶ inventory", ""),
        (
            "                      │            └─▶ recommendations",
            "both at once",
        ),
        (
            "                      └─▶ cart ────┬─▶ payments",
            "slow; one at a time; may fail",
        ),
        ("                                   └─▶ shipping", ""),
        ("tills ───────────────────────────────▶ payments", ""),
    ];
    lines.extend(picture.map(|(drawn, remark)| {
        let line = Line::default().to(2).text(drawn);
        if remark.is_empty() {
            line
        } else {
            line.text("  ").ink(Ink::Faint, remark)
        }
    }));
    lines.push(Line::default());
    lines
}

/// What a reader who has seen it all may want to do.
pub(super) fn onward() -> Vec<Line> {
    let mut lines = vec![Line::default().ink(Ink::Strong, "And now"), Line::default()];
    for (command, meaning) in [
        (
            "throughline run --app 3000",
            "stand beside a service of your own",
        ),
        ("throughline demo", "the same, and it goes on until Ctrl-C"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT=http://… throughline demo",
            "into your own tools",
        ),
    ] {
        let line = Line::default().to(2).ink(Ink::Work, command);
        let line = if line.width() < 32 {
            line.to(32)
        } else {
            line.text("  ")
        };
        lines.push(line.ink(Ink::Faint, meaning));
    }
    spaced(vec![lines])
}

/// What the sidecars saw.
pub(super) fn report(look: Look, spans: &[Seen], ledgers: &Ledgers, claims: &[Claim]) -> Vec<Line> {
    let hops = Hops::of(spans);
    let services = Service::ALL.map(Service::name);
    let mut sections = Vec::new();
    if let Some(trace) = hops.most_instructive() {
        sections.push(waterfall::waterfall(look, trace));
        if let Some(slowest) = closeup::slowest(trace) {
            sections.push(closeup::closeup(look, slowest));
        }
    }
    sections.push(whereabouts::whereabouts(look, &hops, &services));
    sections.push(parents::parents(look, spans));
    sections.push(proof::ledger(look, ledgers));
    sections.push(proof::proof(look, claims));
    spaced(sections)
}

/// Where there is more to see, for as long as the traffic goes on.
pub(super) fn going_on(
    look: Look,
    admins: impl Iterator<Item = (&'static str, SocketAddr)>,
) -> Vec<Line> {
    let mut lines = vec![
        Line::default().ink(Ink::Strong, "The traffic goes on"),
        Line::default(),
    ];
    lines.extend(admins.map(|(service, admin)| {
        let line = Line::default().to(2).text(service);
        line.to(19)
            .ink(Ink::Work, &format!("http://{admin}/api/traces"))
    }));
    lines.push(Line::default());
    lines.extend(paragraph(
        look,
        2,
        Ink::Plain,
        "Each of these also answers /metrics. Ctrl-C ends the demo: what is in flight is finished and \
         every span is accounted for.",
    ));
    spaced(vec![lines])
}

/// The last word, after the sidecars were drained.
pub(super) fn farewell(look: Look, ledgers: &Ledgers) -> Vec<Line> {
    spaced(vec![Vec::new(), proof::ledger(look, ledgers)])
}

/// Sections with an empty line after each.
fn spaced(sections: Vec<Vec<Line>>) -> Vec<Line> {
    let mut lines = Vec::new();
    for section in sections {
        lines.extend(section);
        lines.push(Line::default());
    }
    lines
}

//! The result: for each app and each number of requests at once, what became of its calls.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::{
    callers::{Caller, Launch},
    judge::{Judged, Verdict},
    load::Level,
};

/// Names a file that gets the table as Markdown.
pub(crate) const FILE: &str = "THROUGHLINE_CORRELATION_TABLE";

const HEAD: [&str; 11] = [
    "app",
    "at once",
    "calls",
    "open requests",
    "right",
    "wrong",
    "open",
    "right of asserted",
    "likeliest right of open",
    "evidence",
    "failed",
];

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    measured: (Caller, Launch),
    level: Level,
    failed: usize,
    calls: usize,
    right: usize,
    wrong: usize,
    likeliest: usize,
    candidates: i64,
    evidence: BTreeMap<String, usize>,
}

impl Row {
    pub(crate) fn new(
        measured: (Caller, Launch),
        level: Level,
        failed: usize,
        calls: &[Judged<'_>],
    ) -> Self {
        let count = |is: fn(Verdict) -> bool| calls.iter().filter(|call| is(call.verdict)).count();
        let mut evidence = BTreeMap::new();
        for call in calls {
            *evidence.entry(call.said.evidence.clone()).or_default() += 1;
        }
        Self {
            measured,
            level,
            failed,
            calls: calls.len(),
            right: count(|verdict| verdict == Verdict::Right),
            wrong: count(|verdict| verdict == Verdict::Wrong),
            likeliest: count(|verdict| verdict == Verdict::Open { likeliest: true }),
            candidates: calls.iter().map(|call| call.said.open).sum(),
            evidence,
        }
    }

    /// How many calls have the right parent.
    /// The calls that were decided by time, or left open.
    pub(crate) fn by_time(&self) -> usize {
        let of = |evidence| self.evidence.get(evidence).copied().unwrap_or_default();
        of("timing") + of("open")
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    pub(crate) fn right(&self) -> usize {
        self.right
    }

    /// How many calls have a wrong one.
    pub(crate) fn wrong(&self) -> usize {
        self.wrong
    }

    /// The share of calls with the right parent.
    pub(crate) fn share_right(&self) -> f64 {
        share(self.right, self.calls)
    }

    /// The share of calls with a wrong one.
    pub(crate) fn share_wrong(&self) -> f64 {
        share(self.wrong, self.calls)
    }

    fn cells(&self) -> [String; 11] {
        let open = self.calls - self.right - self.wrong;
        let mut evidence: Vec<_> = self.evidence.iter().collect();
        evidence.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let evidence = evidence.into_iter();
        let evidence =
            evidence.map(|(name, count)| format!("{name} {}", percent(*count, self.calls)));
        #[expect(clippy::cast_precision_loss, reason = "a mean of small counts")]
        let candidates = self.candidates as f64 / self.calls.max(1) as f64;
        [
            match self.measured {
                (caller, Launch::Alone) => caller.description().to_owned(),
                (caller, Launch::Forwarder) => format!("{}, forwarder", caller.description()),
            },
            self.level.at_once.to_string(),
            self.calls.to_string(),
            format!("{candidates:.1}"),
            percent(self.right, self.calls),
            percent(self.wrong, self.calls),
            percent(open, self.calls),
            percent(self.right, self.right + self.wrong),
            percent(self.likeliest, open),
            evidence.collect::<Vec<_>>().join(", "),
            self.failed.to_string(),
        ]
    }
}

/// The share of so many of so many; of none it is zero.
#[expect(clippy::cast_precision_loss, reason = "a ratio of small counts")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    format!("{:.1} %", 100.0 * share(part, whole))
}

/// Markdown, in columns that a terminal shows as such.
pub(crate) fn markdown<'r>(rows: impl IntoIterator<Item = &'r Row>) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.into_iter().map(Row::cells));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or_default()
        })
        .collect();
    let rule = |column: usize| "-".repeat(widths[column]);
    lines.insert(1, std::array::from_fn(rule));
    let mut table = String::new();
    for line in lines {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(table, "| {cell:<width$} ");
        }
        table.push_str("|\n");
    }
    table
}

/// Writes the rows of all apps that this process has measured so far.
pub(crate) fn write(file: &Path, measured: (Caller, Launch), rows: &[Row]) {
    static MEASURED: Mutex<BTreeMap<(Caller, Launch), Vec<Row>>> = Mutex::new(BTreeMap::new());
    let mut all = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
    all.insert(measured, rows.to_vec());
    let table = markdown(all.values().flatten());
    fs::write(file, table).expect("the file for the table can be written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Said;

    #[test]
    fn shares_are_of_what_they_say() {
        let said =
            ["sole_candidate", "sole_candidate", "sole_candidate", "open"].map(|evidence| Said {
                evidence: evidence.to_owned(),
                open: 2,
                ..Said::default()
            });
        let verdicts = [
            Verdict::Right,
            Verdict::Right,
            Verdict::Wrong,
            Verdict::Open { likeliest: true },
        ];
        let calls: Vec<_> = said
            .iter()
            .zip(verdicts)
            .map(|(said, verdict)| Judged {
                server: String::new(),
                client: String::new(),
                said,
                verdict,
            })
            .collect();
        let level = Level {
            at_once: 4,
            requests: 3,
        };
        let row = Row::new((Caller::Go, Launch::Alone), level, 1, &calls);
        assert_eq!(
            row.cells()[1..],
            [
                "4",
                "4",
                "2.0",
                "50.0 %",
                "25.0 %",
                "25.0 %",
                "66.7 %",
                "100.0 %",
                "sole_candidate 75.0 %, open 25.0 %",
                "1",
            ]
        );
    }
}

//! The account of spans: created = exported + dropped (by reason) + pending, for each destination.
//!
//! Each of the four is counted for itself; that they add up is a claim that can be checked, and not
//! how one of them is worked out.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::export::Reason;

/// What became of all spans, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// How many spans were offered.
    pub created: u64,
    /// What became of them, for each destination.
    pub accounts: Vec<Account>,
}

/// What became of all spans at one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The destination: `memory`, `otlp`.
    pub exporter: &'static str,
    /// How many it took, and said so.
    pub exported: u64,
    /// How many wait for it or are on their way.
    pub pending: u64,
    dropped: [u64; Reason::ALL.len()],
}

impl Account {
    /// How many were dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.dropped[slot(reason)]
    }

    /// How many were dropped.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

impl Ledger {
    /// The account of one destination, if there is such a one.
    #[must_use]
    pub fn account(&self, exporter: &str) -> Option<&Account> {
        self.accounts
            .iter()
            .find(|account| account.exporter == exporter)
    }

    /// Whether every span is accounted for at every destination.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.accounts.iter().all(|account| {
            self.created == account.exported + account.dropped_total() + account.pending
        })
    }
}

/// One line for each destination:
///
/// ```text
/// memory  created 1024 = exported 1024 + dropped 0 + pending 0
/// otlp    created 1024 = exported 1000 + dropped 24 (queue_full 20, shutdown 4) + pending 0
/// ```
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.accounts.is_empty() {
            return write!(f, "created {}, and exported nowhere", self.created);
        }
        let widest = self.accounts.iter().map(|account| account.exporter.len());
        let width = widest.max().unwrap_or_default();
        for (i, account) in self.accounts.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            let (name, created, exported) = (account.exporter, self.created, account.exported);
            let dropped = account.dropped_total();
            write!(
                f,
                "{name:width$}  created {created} = exported {exported} + dropped {dropped}"
            )?;
            let mut open = " (";
            for reason in Reason::ALL {
                let count = account.dropped(reason);
                if count > 0 {
                    write!(f, "{open}{reason} {count}")?;
                    open = ", ";
                }
            }
            if dropped > 0 {
                f.write_str(")")?;
            }
            write!(f, " + pending {}", account.pending)?;
            if created != exported + dropped + account.pending {
                f.write_str("  (moving)")?;
            }
        }
        Ok(())
    }
}

/// The running account, which is added to by many threads.
#[derive(Debug)]
pub(super) struct Books {
    created: AtomicU64,
    /// Dropped before they came to any destination, so dropped for all.
    unqueued: [AtomicU64; Reason::ALL.len()],
    pub(super) memory: Option<Book>,
    pub(super) exporters: Vec<Book>,
}

/// The running account of one destination, which the worker alone adds to.
#[derive(Debug)]
pub(super) struct Book {
    name: &'static str,
    exported: AtomicU64,
    dropped: [AtomicU64; Reason::ALL.len()],
    held: AtomicU64,
}

impl Books {
    /// Books without entries, for these destinations.
    pub(super) fn new(
        memory: Option<&'static str>,
        exporters: impl Iterator<Item = &'static str>,
    ) -> Self {
        Self {
            created: AtomicU64::new(0),
            unqueued: Default::default(),
            memory: memory.map(Book::new),
            exporters: exporters.map(Book::new).collect(),
        }
    }

    /// Counts a new span; says the how manieth it is, from 1.
    pub(super) fn create(&self) -> u64 {
        self.created.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Spans were dropped without ever having come out of the queue.
    pub(super) fn drop_unqueued(&self, reason: Reason, spans: u64) {
        self.unqueued[slot(reason)].fetch_add(spans, Ordering::Relaxed);
    }

    /// The account with `queued` spans that have not gone any way yet.
    pub(super) fn ledger(&self, queued: u64) -> Ledger {
        let books = self.memory.iter().chain(&self.exporters);
        Ledger {
            created: self.created.load(Ordering::Relaxed),
            accounts: books
                .map(|book| Account {
                    exporter: book.name,
                    exported: book.exported.load(Ordering::Relaxed),
                    pending: queued + book.held.load(Ordering::Relaxed),
                    dropped: std::array::from_fn(|i| {
                        self.unqueued[i].load(Ordering::Relaxed)
                            + book.dropped[i].load(Ordering::Relaxed)
                    }),
                })
                .collect(),
        }
    }
}

impl Book {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            exported: AtomicU64::new(0),
            dropped: Default::default(),
            held: AtomicU64::new(0),
        }
    }

    /// Spans were taken by the destination.
    pub(super) fn export(&self, spans: u64) {
        self.exported.fetch_add(spans, Ordering::Relaxed);
    }

    /// Spans are lost for the destination.
    pub(super) fn drop(&self, reason: Reason, spans: u64) {
        self.dropped[slot(reason)].fetch_add(spans, Ordering::Relaxed);
    }

    /// So many spans wait or are on their way now.
    pub(super) fn hold(&self, spans: u64) {
        self.held.store(spans, Ordering::Relaxed);
    }
}

fn slot(reason: Reason) -> usize {
    reason as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_reads_as_an_equation() {
        let books = Books::new(Some("memory"), ["otlp"].into_iter());
        for _ in 0..10 {
            books.create();
        }
        books.drop_unqueued(Reason::QueueFull, 1);
        books.memory.as_ref().unwrap().export(7);
        books.exporters[0].export(3);
        books.exporters[0].drop(Reason::Rejected, 2);
        books.exporters[0].hold(2);
        let ledger = books.ledger(2);
        assert!(ledger.balances());
        assert_eq!(
            ledger.to_string(),
            "memory  created 10 = exported 7 + dropped 1 (queue_full 1) + pending 2\n\
             otlp    created 10 = exported 3 + dropped 3 (queue_full 1, rejected 2) + pending 4"
        );
        books.create();
        assert!(!books.ledger(2).balances(), "a lost span shows");
    }
}

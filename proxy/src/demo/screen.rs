//! Standard output: what it is, and how the report gets there.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    time::Duration,
};

use anyhow::Context;

use super::paper::{Ink, Line, Look, render};

/// Where the report is written to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    look: Look,
}

impl Screen {
    /// Standard output, as the system and the environment describe it.
    pub(super) fn standard_output(environment: &BTreeMap<String, String>) -> Self {
        let stdout = io::stdout();
        let size = stdout
            .is_terminal()
            .then(|| rustix::termios::tcgetwinsize(&stdout));
        let columns = size.map(|size| size.map_or(0, |size| usize::from(size.ws_col)));
        Self {
            look: Look::of(environment, columns),
        }
    }

    /// What can be shown here.
    pub(super) fn look(self) -> Look {
        self.look
    }

    /// Writes these lines.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written to, unless that is because its reader has left.
    pub(super) fn print(self, lines: &[Line]) -> anyhow::Result<()> {
        write(&render(self.look, lines))
    }

    /// Shows on one line how far something that takes `total` has come, for as long as this is
    /// polled. Where a line cannot be taken back there is nothing to see.
    pub(super) async fn count_down(self, total: Duration, what: &str) -> anyhow::Result<()> {
        const STEPS: u32 = 40;
        if !self.look.colour {
            return Ok(());
        }
        for step in 0..=STEPS {
            let done = "█".repeat(step as usize / 2);
            let left = "─".repeat((STEPS - step) as usize / 2);
            let line = Line::default()
                .to(2)
                .ink(Ink::Work, &done)
                .ink(Ink::Faint, &left)
                .text("  ")
                .ink(Ink::Faint, what);
            write(&format!("\r{}\u{1b}[K", line.render(self.look)))?;
            tokio::time::sleep(total / STEPS).await;
        }
        Ok(())
    }

    /// Takes back the line of [`Self::count_down`].
    pub(super) fn clear_line(self) -> anyhow::Result<()> {
        if self.look.colour {
            write("\r\u{1b}[K")?;
        }
        Ok(())
    }
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // A reader that has left has seen what it wanted.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output cannot be written to"),
    }
}

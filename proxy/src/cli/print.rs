//! Text on standard output, whose reader may leave at any time.

use std::io::{self, ErrorKind, Write};

use anyhow::Context;

/// Prints `text`.
///
/// # Errors
///
/// When standard output cannot be written to, unless that is because its reader has left.
pub(crate) fn out(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    finished(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    )
}

/// A reader that has left has seen what it wanted.
pub(crate) fn finished(printed: io::Result<()>) -> anyhow::Result<()> {
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("standard output cannot be written to"),
    }
}

/// Rows of cells in columns as wide as their widest cell; the last column is as long as it is.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(widths);
            let line: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            line.join("  ").trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_left_is_no_failure() {
        assert!(finished(Ok(())).is_ok());
        assert!(finished(Err(ErrorKind::BrokenPipe.into())).is_ok());
        assert!(finished(Err(ErrorKind::StorageFull.into())).is_err());
    }

    #[test]
    fn columns_are_aligned_and_have_no_trailing_blanks() {
        let rows = [["a", "long"], ["wide", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), ["a     long", "wide"]);
    }
}

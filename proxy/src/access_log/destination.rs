//! Where lines go: a file, a pipe, standard output; and what is left of them where one is full or closed.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::OFlags;

use super::Target;

/// How long is waited until a pipe that is full is tried again.
pub(super) const FULL: Duration = Duration::from_millis(10);

/// An open file, and how it was found.
#[derive(Debug)]
pub(super) struct Destination {
    file: File,
    path: Option<PathBuf>,
    /// Whether the last line that was written is only part of one.
    is_torn: bool,
}

/// What became of some lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// How many were written whole.
    pub(super) lines: u64,
    /// How many were not.
    pub(super) lost: u64,
}

impl Destination {
    /// What `target` names, if it is anything.
    pub(super) fn open(target: &Target) -> io::Result<Option<Self>> {
        Ok(match target {
            Target::Off => None,
            Target::Stdout => Some(Self {
                // Not through the buffers of the standard library: a line goes out when it is written.
                file: File::from(io::stdout().as_fd().try_clone_to_owned()?),
                path: None,
                is_torn: false,
            }),
            Target::File(path) => Some(Self {
                file: append_to(path)?,
                path: Some(path.clone()),
                is_torn: false,
            }),
        })
    }

    /// Opens the file that is there by that name now. Where that cannot be, the one before is kept.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        self.file = append_to(path)?;
        let is_new = self.file.metadata().is_ok_and(|about| about.len() == 0);
        self.is_torn &= !is_new;
        Ok(())
    }

    /// Writes whole lines. What a full pipe does not take is tried again for as long as `may_wait`.
    pub(super) fn write(
        &mut self,
        lines: &[u8],
        mut may_wait: impl FnMut() -> bool,
    ) -> (Written, io::Result<()>) {
        let mut left = lines;
        let result = loop {
            if left.is_empty() {
                break Ok(());
            }
            if self.is_torn {
                // What was begun is ended, so that the next line is one.
                match self.file.write(b"\n") {
                    Ok(_) => self.is_torn = false,
                    Err(error) if may_go_on(&error, &mut may_wait) => continue,
                    Err(error) => break Err(error),
                }
            }
            match self.file.write(left) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(written) => left = &left[written..],
                Err(error) if may_go_on(&error, &mut may_wait) => {}
                Err(error) => break Err(error),
            }
        };
        let done = &lines[..lines.len() - left.len()];
        self.is_torn |= done.last().is_some_and(|last| *last != b'\n');
        let count = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let written = Written {
            lines: count(done),
            lost: count(left),
        };
        (written, result)
    }
}

fn may_go_on(error: &io::Error, may_wait: impl FnOnce() -> bool) -> bool {
    match error.kind() {
        ErrorKind::Interrupted => true,
        // A pipe that another program has set so: whoever shares standard output may do that.
        ErrorKind::WouldBlock => may_wait(),
        _ => false,
    }
}

/// A pipe without a reader is refused at once instead of being waited for.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
}

//! The thread that makes lines of spans and writes them.

use std::{io, thread, time::Duration};

use super::{
    Format, Reason, Shared,
    destination::{Destination, FULL},
    line,
};

/// How long a line may wait before the thread comes by without having been woken.
const TICK: Duration = Duration::from_millis(100);

/// How many bytes are written at once.
const CHUNK: usize = 64 * 1024;

/// Where lines go, and how that went last.
struct Writer<'s> {
    shared: &'s Shared,
    destination: Option<(Destination, Format)>,
    /// Whether the last write failed: said once, and once more when it is over.
    is_failing: bool,
}

/// Writes until it is told to stop.
pub(super) fn run(shared: &Shared) {
    let mut writer = Writer {
        shared,
        destination: None,
        is_failing: false,
    };
    loop {
        thread::park_timeout(TICK);
        let (destination, reopen, stop) = {
            let mut orders = shared.orders();
            (
                orders.destination.take(),
                std::mem::take(&mut orders.reopen),
                orders.stop.take(),
            )
        };
        if let Some(destination) = destination {
            // What was offered before was meant for where lines went then.
            writer.write_all();
            writer.destination = Some(destination);
        } else if reopen || writer.is_failing {
            writer.reopen();
        }
        writer.write_all();
        if let Some(done) = stop {
            // Nobody listens any more where it took too long.
            let _ = done.send(());
            return;
        }
    }
}

impl Writer<'_> {
    /// Writes what is in the queue now, and no more than it holds.
    fn write_all(&mut self) {
        let Some(running) = self.shared.running.get() else {
            return;
        };
        let Some((destination, format)) = &mut self.destination else {
            return;
        };
        let mut lines = Vec::new();
        let mut left = running.queue.capacity();
        let mut failed = None;
        while left > 0 {
            lines.clear();
            while lines.len() < CHUNK && left > 0 {
                let Some(span) = running.queue.pop() else {
                    left = 0;
                    break;
                };
                line::append(&span, &self.shared.service, *format, &mut lines);
                left -= 1;
            }
            if lines.is_empty() {
                break;
            }
            let may_wait = || {
                thread::park_timeout(FULL);
                self.shared.orders().stop.is_none()
            };
            let (written, result) = destination.write(&lines, may_wait);
            self.shared.wrote(written.lines);
            self.shared.lose(Reason::WriteFailed, written.lost);
            failed = Some(result.err());
        }
        if let Some(failed) = failed {
            self.note(failed.as_ref());
        }
    }

    /// After a failure that is how it recovers, too: the disk may be another, the pipe have a reader.
    fn reopen(&mut self) {
        if let Some((destination, _)) = &mut self.destination
            && let Err(error) = destination.reopen()
        {
            self.note(Some(&error));
        }
    }

    fn note(&mut self, failed: Option<&io::Error>) {
        let was_failing = std::mem::replace(&mut self.is_failing, failed.is_some());
        match failed {
            Some(error) if !was_failing => tracing::warn!(
                "the access log cannot be written: {error}; its lines are dropped and counted until it can"
            ),
            None if was_failing => tracing::info!("the access log is written again"),
            _ => {}
        }
    }
}

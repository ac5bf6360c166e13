//! What an app's threads say of themselves: the file in which `proxy/forwarders/signal` notes, before
//! each call, whose request the thread is serving that makes it.
//!
//! The file has a slot for each local port that the app may call us from. A slot says at which of our
//! listeners the call is aimed, from which of our ports the request came, and when that was written;
//! that of port 0, which nobody has, says where we call the app. It is read once for each call. What
//! cannot be the word on this very call is no word at all: an older one, one on another connection, one
//! that was being written.
//!
//! The file is mapped into the app's memory and read here with a plain `pread`: both see the same page,
//! and no more is asked of the kernel than a copy of 16 bytes.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    net::SocketAddr,
    os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::correlate::Signal;

/// The bytes of a slot: a word, and what it is not.
const SLOT: usize = 16;

/// A slot for each port.
const SLOTS: u64 = 1 << 16;

/// A word that is older than this is not believed. What is written just before a call is some
/// microseconds old, and more where the host is overrun.
const MAX_AGE: Duration = Duration::from_secs(2);

/// The file, shared by all listeners.
#[derive(Clone, Debug)]
pub struct Signals {
    file: Arc<File>,
}

impl Signals {
    /// The file at `path`, which is made where it is not there, and emptied. The app listens at `app`, on
    /// this host; what it is asked at other ports comes from others.
    ///
    /// All may write it, because the app may run as another user. Whoever does can mislead about this
    /// app's calls, as the app itself can.
    ///
    /// # Errors
    ///
    /// When it cannot be made or resized.
    pub fn create(path: &Path, app: Option<u16>) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o666)
            .open(path)?;
        // Written over and never cut, for an app that has mapped it would be killed at its next look; and
        // with all its blocks, for the same happens where there is no room for one.
        let mut zeros = File::open("/dev/zero")?.take(SLOTS * SLOT as u64);
        io::copy(&mut zeros, &mut &file)?;
        file.write_all_at(&encode(app.unwrap_or(0).into()), 0)?;
        // What the umask took away. It fails for a file of somebody else, who then has seen to it.
        let _ = file.set_permissions(std::fs::Permissions::from_mode(0o666));
        Ok(Self {
            file: Arc::new(file),
        })
    }

    /// The slot of the connection from `app` to `ours`; `None` where the app is not on this host, and
    /// its ports are not those of the file.
    #[must_use]
    pub fn line(&self, app: SocketAddr, ours: SocketAddr) -> Option<Line> {
        app.ip().to_canonical().is_loopback().then(|| Line {
            file: self.file.clone(),
            app: app.port(),
            ours: ours.port(),
            last: None,
        })
    }
}

/// One connection of the app, on which it makes calls. Its slot is emptied with it: the port may be next
/// that of a program which writes nothing.
#[derive(Debug)]
pub struct Line {
    file: Arc<File>,
    app: u16,
    ours: u16,
    /// When the slot was read last. What is not newer is the word on another call.
    last: Option<u32>,
}

impl Line {
    /// What is said of the call that has just come.
    pub fn read(&mut self) -> Option<Signal> {
        let mut slot = [0; SLOT];
        let offset = u64::from(self.app) * SLOT as u64;
        let read = self.file.read_exact_at(&mut slot, offset);
        let now = ticks();
        let last = self.last.replace(now);
        read.ok()?;
        decode(slot, self.ours, now, last)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let offset = u64::from(self.app) * SLOT as u64;
        // Where that fails, the next word is still newer, or soon too old.
        let _ = self.file.write_all_at(&[0; SLOT], offset);
    }
}

/// The time in units of 16 microseconds of the clock that the app has too, which come round in 19 hours.
fn ticks() -> u32 {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now
        .tv_sec
        .cast_unsigned()
        .wrapping_mul(1_000_000)
        .wrapping_add(now.tv_nsec.cast_unsigned() / 1_000);
    #[expect(clippy::cast_possible_truncation, reason = "it comes round")]
    let ticks = (micros / 16) as u32;
    ticks
}

/// A slot with that word.
fn encode(word: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    if word != 0 {
        slot[..SLOT / 2].copy_from_slice(&word.to_ne_bytes());
        slot[SLOT / 2..].copy_from_slice(&(!word).to_ne_bytes());
    }
    slot
}

/// What a slot says to whoever listens at `ours`.
///
/// The word, from its highest bits: 32 for when it was written, 16 for the listener, 16 for the port of
/// the request. Zeros say that nothing is known.
fn decode(slot: [u8; SLOT], ours: u16, now: u32, last: Option<u32>) -> Option<Signal> {
    let (word, other) = slot.split_at(SLOT / 2);
    let word = u64::from_ne_bytes(word.try_into().ok()?);
    let other = u64::from_ne_bytes(other.try_into().ok()?);
    if word != !other {
        return None;
    }
    let bits = |shift: u32| u16::try_from((word >> shift) & 0xffff).unwrap_or(0);
    let (port, listener) = (bits(0), bits(16));
    let written = u32::try_from(word >> 32).unwrap_or(0);
    let age = Duration::from_micros(u64::from(now.wrapping_sub(written)) * 16);
    // Both were before now, by less than half of the way round.
    let is_new = last.is_none_or(|last| now.wrapping_sub(written) < now.wrapping_sub(last));
    (port != 0 && listener == ours && age <= MAX_AGE && is_new).then_some(Signal { port, age })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;

    use super::*;

    fn word(written: u32, listener: u16, port: u16) -> [u8; SLOT] {
        encode(u64::from(written) << 32 | u64::from(listener) << 16 | u64::from(port))
    }

    fn said(slot: [u8; SLOT], last: Option<u32>) -> Option<u16> {
        decode(slot, 15001, 1_000_000, last).map(|signal| signal.port)
    }

    #[test]
    fn a_word_on_this_call_is_believed_and_no_other() {
        let good = word(999_990, 15001, 40000);
        assert_eq!(said(good, None), Some(40000));
        assert_eq!(said(good, Some(999_980)), Some(40000));
        assert_eq!(
            said(good, Some(999_990)),
            None,
            "the word on the call before"
        );
        assert_eq!(said(good, Some(999_995)), None, "read before");
        assert_eq!(
            said(word(999_990, 9001, 40000), None),
            None,
            "to another listener"
        );
        assert_eq!(said(word(999_990, 15001, 0), None), None, "of no request");
        assert_eq!(said([0; SLOT], None), None, "nothing is known");
        assert_eq!(said([0xff; SLOT], None), None);
        assert_eq!(said(word(800_000, 15001, 40000), None), None, "too old");
        assert_eq!(
            said(word(1_000_001, 15001, 40000), None),
            None,
            "of tomorrow"
        );
        let mut torn = good;
        torn[12] ^= 1;
        assert_eq!(said(torn, None), None);
    }

    #[test]
    fn time_comes_round() {
        let slot = word(u32::MAX - 5, 1, 7);
        let expected = Signal {
            port: 7,
            age: Duration::from_micros(16 * 16),
        };
        assert_eq!(decode(slot, 1, 10, Some(u32::MAX - 9)), Some(expected));
        assert_eq!(decode(slot, 1, 10, Some(3)), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_believed_but_by_the_rules(
            slot: [u8; SLOT], ours: u16, now: u32, last: Option<u32>, is_whole: bool,
        ) {
            let mut slot = slot;
            if is_whole {
                for at in 0..8 {
                    slot[8 + at] = !slot[at];
                }
            }
            if let Some(signal) = decode(slot, ours, now, last) {
                prop_assert!(is_whole || slot[..8].iter().zip(&slot[8..]).all(|(a, b)| *a == !*b));
                prop_assert!(signal.age <= MAX_AGE && signal.port != 0);
            }
        }
    }

    #[test]
    fn what_is_written_into_the_file_is_read_from_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("signal");
        std::fs::write(&path, [7; 100]).unwrap();
        let there = std::fs::metadata(&path).unwrap().ino();
        let signals = Signals::create(&path, Some(3000)).unwrap();
        let written = std::fs::read(&path).unwrap();
        assert_eq!(written.len(), 1 << 20);
        let same = std::fs::metadata(&path).unwrap().ino();
        assert_eq!(same, there, "an app may have mapped it");
        assert_eq!(written[..SLOT], encode(3000), "where the app is");
        assert!(
            written[SLOT..].iter().all(|byte| *byte == 0),
            "what was there is gone"
        );
        let (app, ours) = (
            "127.0.0.1:6".parse().unwrap(),
            "127.0.0.1:15001".parse().unwrap(),
        );
        let mut line = signals.line(app, ours).unwrap();
        assert_eq!(line.read(), None);

        let file = OpenOptions::new().write(true).open(&path).unwrap();
        // A moment passes between the reading before and the word, as between two calls.
        let written = (0..).find_map(|_| {
            let now = ticks();
            (line.last != Some(now)).then_some(now)
        });
        file.write_all_at(&word(written.unwrap(), 15001, 40000), 6 * 16)
            .unwrap();
        assert_eq!(line.read().map(|signal| signal.port), Some(40000));
        assert_eq!(line.read(), None, "the next call has said nothing");
        let mut slot = [1; SLOT];
        drop(line);
        let emptied = File::open(&path).unwrap();
        emptied.read_exact_at(&mut slot, 6 * 16).unwrap();
        assert_eq!(slot, [0; SLOT], "it is nobody's any more");
        let far = "192.0.2.1:6".parse().unwrap();
        assert!(signals.line(far, ours).is_none());
    }
}

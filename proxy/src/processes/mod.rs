//! Which of the app's processes made a call, and which serves each open request: the verdict.
//!
//! A server that forks (gunicorn with sync workers, php-fpm, unicorn) serves one request at a time in
//! each process. There a call and the request that caused it meet in their process, and nothing else
//! can have caused it. Where a process serves several at once, the others are at least ruled out.
//!
//! Nothing here asks the kernel: `owners` does, and hands in what it [`Seen`].

mod learned;
mod socket;
#[cfg(test)]
mod tests;

pub use self::{
    learned::{Learned, Worth},
    socket::{Carried, Carrier, Owner, Socket},
};

/// One process of the app. The number is ours and is never used again, as the kernel's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Process(u32);

impl Process {
    /// The process of this number.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// What is seen of an open request: who serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// This process does.
    By(Process),
    /// A process does, which one is not known, but it is not the call's.
    ByAnother,
    /// Nobody has taken its connection yet, so that it cannot have caused anything.
    NotAccepted,
    /// A process has taken its connection, and has not read the request yet, or has closed it already: the
    /// same. Workers of some servers accept ahead of what they serve.
    NotServed,
    /// That cannot be told.
    Unknown,
}

/// The most candidates that a verdict names; where more are left, processes tell too little.
const MOST: usize = 64;

/// The open requests, held against the process that made a call.
///
/// They are told apart by an index, which is whatever the caller counts by.
#[derive(Debug)]
pub struct Tally {
    caller: Process,
    /// Those that are the call's process's own.
    own: Vec<usize>,
    /// Those that may be.
    maybe: Vec<usize>,
    served_by_others: usize,
    not_accepted: usize,
    not_served: usize,
    is_full: bool,
}

impl Tally {
    /// Nothing is open yet that `caller` could have been called for.
    #[must_use]
    pub fn new(caller: Process) -> Self {
        Self {
            caller,
            own: Vec::new(),
            maybe: Vec::new(),
            served_by_others: 0,
            not_accepted: 0,
            not_served: 0,
            is_full: false,
        }
    }

    /// Notes one open request.
    pub fn note(&mut self, index: usize, seen: Seen) {
        let list = match seen {
            Seen::By(process) if process == self.caller => &mut self.own,
            Seen::Unknown => &mut self.maybe,
            Seen::By(_) | Seen::ByAnother => {
                self.served_by_others += 1;
                return;
            }
            Seen::NotAccepted => {
                self.not_accepted += 1;
                return;
            }
            Seen::NotServed => {
                self.not_served += 1;
                return;
            }
        };
        if list.len() < MOST {
            list.push(index);
        } else {
            self.is_full = true;
        }
    }

    fn excluded(&self) -> usize {
        self.served_by_others + self.not_accepted + self.not_served
    }

    fn open(&self) -> usize {
        self.own.len() + self.maybe.len() + self.excluded()
    }
}

/// What processes tell about the cause of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// This one: the call's process serves it and, of all that are open, no other.
    Served {
        /// Which it is.
        index: usize,
        /// How sure that is, in 0..1.
        confidence: f32,
    },
    /// One of these: the call's process serves several, or may.
    Among {
        /// Which they are, in ascending order.
        indices: Vec<usize>,
        /// How sure it is that the cause is one of them, in 0..1.
        confidence: f32,
    },
    /// None that is open: the call's process is known, and none of them can be its own. So it is work
    /// left over, a timer's, or was handed over by another process.
    Elsewhere {
        /// How sure that is, in 0..1.
        confidence: f32,
    },
    /// Nothing at all.
    Nothing,
}

//! How much one call may ask of the kernel.

use std::time::Instant;

use crate::processes::Socket;

/// The system calls that are left.
#[derive(Debug)]
pub(super) struct Budget {
    links: u32,
    ends: u32,
    readings: u32,
}

impl Default for Budget {
    /// Links are one system call each and are read in a microsecond; an end is two, and takes five.
    fn default() -> Self {
        Self {
            links: 160,
            ends: 64,
            readings: 40,
        }
    }
}

impl Budget {
    /// One more descriptor may be read.
    pub(super) fn link(&mut self) -> bool {
        take(&mut self.links)
    }

    /// One more end of a connection may be looked up.
    pub(super) fn end(&mut self) -> bool {
        take(&mut self.ends)
    }

    /// One more connection of a process may be asked whether it was read.
    pub(super) fn reading(&mut self) -> bool {
        take(&mut self.readings)
    }
}

fn take(left: &mut u32) -> bool {
    let is_left = *left > 0;
    *left -= u32::from(is_left);
    is_left
}

/// What one call has asked so far, and has been answered.
#[derive(Debug, Default)]
pub(super) struct Asking {
    pub(super) budget: Budget,
    /// The sockets of the call's process, where they were needed; `None` within if it has too many.
    pub(super) own: Option<Option<Vec<u64>>>,
    /// The connections that were seen waiting, and when the last of them was opened.
    waiting: u32,
    last: Option<Instant>,
}

impl Asking {
    /// This connection waits to be accepted.
    pub(super) fn waits(&mut self, socket: &Socket) {
        self.waiting += 1;
        self.last = self.last.max(Some(socket.opened()));
    }

    /// Whether this connection must wait because those before it do. A queue of hundreds need not be
    /// asked for one by one; two are asked, because they may be noted here in another order than the
    /// kernel queued them in.
    pub(super) fn waits_behind(&self, socket: &Socket) -> bool {
        self.waiting >= 2 && self.last.is_some_and(|last| socket.opened() > last)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use throughline::ambient;

    use super::*;

    #[test]
    fn a_budget_is_spent() {
        let mut budget = Budget {
            links: 2,
            ends: 1,
            readings: 1,
        };
        assert_eq!(
            [budget.link(), budget.link(), budget.link()],
            [true, true, false]
        );
        assert_eq!(
            [budget.end(), budget.end(), budget.end()],
            [true, false, false]
        );
    }

    #[test]
    fn whoever_comes_after_two_that_wait_waits_too() {
        let address = "127.0.0.1:1".parse().unwrap();
        let begin = ambient::now();
        let [first, second, third] =
            [1, 2, 3].map(|ms| Socket::new(address, address, begin + Duration::from_millis(ms)));
        let mut asking = Asking::default();
        asking.waits(&second);
        assert!(!asking.waits_behind(&third));
        asking.waits(&first);
        assert!(asking.waits_behind(&third));
        assert!(!asking.waits_behind(&second));
    }
}

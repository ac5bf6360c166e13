//! Who may go to an upstream now, who waits, and who is sent away.
//!
//! A gate lets so many requests through at a time. Further ones wait in the order in which they came,
//! for so long and so many: beyond that a request is better off knowing at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Cause, Counts, Error};

/// The limit of one upstream.
#[derive(Debug)]
pub(super) struct Gate {
    permits: Arc<Semaphore>,
    room: usize,
}

/// Those that wait for one upstream, at whichever of its gates.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: AtomicUsize,
    max: usize,
    patience: Duration,
    counts: Arc<Counts>,
}

/// The right to be on the other side, until it is dropped.
pub(super) type Pass = OwnedSemaphorePermit;

impl Gate {
    pub(super) fn new(room: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
            room: room.min(Semaphore::MAX_PERMITS),
        }
    }

    /// A pass, if there is one now.
    pub(super) fn try_enter(&self) -> Option<Pass> {
        self.permits.clone().try_acquire_owned().ok()
    }

    /// How many have a pass.
    pub(super) fn inside(&self) -> usize {
        self.room.saturating_sub(self.permits.available_permits())
    }

    /// A pass, after a wait in `queue` if need be.
    pub(super) async fn enter(&self, queue: &Queue) -> Result<Pass, Error> {
        let _waiting = queue.join()?;
        let patience = queue.patience;
        match tokio::time::timeout(patience, self.permits.clone().acquire_owned()).await {
            Ok(Ok(pass)) => Ok(pass),
            _ => Err(Error::new(
                Cause::Queue,
                format!("{} requests were open for {patience:?}", self.room),
            )),
        }
    }
}

impl Queue {
    pub(super) fn new(max: usize, patience: Duration, counts: Arc<Counts>) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            max,
            patience,
            counts,
        }
    }

    fn join(&self) -> Result<Waiting<'_>, Error> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        self.counts.queued(1);
        let waiting = Waiting(self);
        if before >= self.max {
            return Err(Error::new(
                Cause::QueueFull,
                format!("{} requests wait already", self.max),
            ));
        }
        Ok(waiting)
    }
}

/// One that waits.
struct Waiting<'q>(&'q Queue);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.counts.queued(-1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::time::timeout;

    fn queue(max: usize, patience: u64) -> Queue {
        Queue::new(max, Duration::from_millis(patience), Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_go_in_so_many_wait_and_others_are_sent_away() {
        let gate = Gate::new(1);
        let queue = queue(1, 1000);
        let inside = gate.try_enter().unwrap();
        assert!(gate.try_enter().is_none());
        assert_eq!(gate.inside(), 1);
        let mut waits = pin!(gate.enter(&queue));
        let moment = Duration::from_millis(1);
        assert!(timeout(moment, &mut waits).await.is_err(), "it waits");
        let away = gate.enter(&queue).await.unwrap_err();
        assert_eq!(away.cause(), Cause::QueueFull);
        drop(inside);
        let pass = waits.await.unwrap();
        let late = gate.enter(&queue).await.unwrap_err();
        assert_eq!(late.cause(), Cause::Queue, "its patience was at an end");
        drop(pass);
        assert!(gate.enter(&queue).await.is_ok(), "nobody waits any more");
        assert_eq!(queue.counts.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_waiting_leaves_the_queue() {
        let gate = Gate::new(1);
        let queue = queue(1, 1000);
        let _inside = gate.try_enter();
        let moment = Duration::from_millis(1);
        for _ in 0..3 {
            assert!(timeout(moment, gate.enter(&queue)).await.is_err());
        }
        assert_eq!(queue.counts.waiting(), 0);
    }
}

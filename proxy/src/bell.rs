//! A waker that says whether it was rung, and wakes only whoever waits for it.
//!
//! Where one task polls several things, a wake does not say which of them it was for, and all are
//! polled. A thing that is polled with a bell of its own is left alone until that bell has rung. And
//! a bell that rings while its owner is at work anyhow, or while nobody waits, wakes no task.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// How often a thing that rings for itself is polled before other tasks have their turn.
const MAX_ROUNDS: usize = 8;

/// The owner's side of a bell.
#[derive(Debug)]
pub(crate) struct Bell {
    shared: Arc<Shared>,
    /// Made once: it is needed at every poll.
    waker: Waker,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    waiting: Mutex<Option<Waker>>,
}

/// Not rung since it was last looked at.
const QUIET: u8 = 0;
/// Rung, and nobody has looked.
const RUNG: u8 = 1;
/// Not rung, and somebody waits for it.
const WAITED_FOR: u8 = 2;

impl Bell {
    /// A bell that has been rung: what was never polled has everything to say.
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU8::new(RUNG),
            waiting: Mutex::new(None),
        });
        let waker = Waker::from(shared.clone());
        Self { shared, waker }
    }

    /// Whether it was rung since it was last looked at.
    pub(crate) fn is_rung(&self) -> bool {
        self.shared.state.load(Ordering::Acquire) == RUNG
    }

    /// Polls `thing` if the bell was rung, and again while it rings meanwhile. What is polled with
    /// the context that it is given rings this bell; the task of `cx` is woken by it after `Pending`.
    pub(crate) fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        mut thing: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        for _ in 0..MAX_ROUNDS {
            if let Some(mut rung) = self.answer() {
                let polled = thing(&mut rung);
                if polled.is_ready() {
                    return polled;
                }
            }
            if self.wait(cx.waker()) {
                return Poll::Pending;
            }
        }
        // It stays rung.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The context to poll with, if the bell was rung; from here on it is quiet.
    pub(crate) fn answer(&self) -> Option<Context<'_>> {
        let was =
            self.shared
                .state
                .compare_exchange(RUNG, QUIET, Ordering::AcqRel, Ordering::Acquire);
        was.is_ok().then(|| Context::from_waker(&self.waker))
    }

    /// The context to poll with whether or not the bell was rung; from here on it is quiet, and
    /// nobody waits for it.
    pub(crate) fn hush(&self) -> Context<'_> {
        self.shared.state.swap(QUIET, Ordering::AcqRel);
        Context::from_waker(&self.waker)
    }

    /// Nobody waits any more: whoever did is here.
    pub(crate) fn attend(&self) {
        // Who that was is forgotten at the next wait; to be found out here it would cost a lock.
        let _ = self.shared.state.compare_exchange(
            WAITED_FOR,
            QUIET,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
    }

    /// Lets the next ring wake `waker` too; false if the bell is rung already.
    pub(crate) fn wait(&self, waker: &Waker) -> bool {
        if self.is_rung() {
            return false;
        }
        let mut waiting = self.shared.waiting();
        match &mut *waiting {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        let state = &self.shared.state;
        let waits =
            match state.compare_exchange(QUIET, WAITED_FOR, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => true,
                Err(was) => was == WAITED_FOR,
            };
        if !waits {
            *waiting = None;
        }
        waits
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(RUNG, Ordering::AcqRel) == WAITED_FOR {
            // Taken out first: what it wakes must not find the lock held. And whoever no longer waits
            // is no longer kept.
            let waiting = self.waiting().take();
            if let Some(waker) = waiting {
                waker.wake();
            }
        }
    }
}

/// Which of two came first.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum First<M, S> {
    Main(M),
    Side(S),
}

/// Waits for `main` or `side`. Every wake of the task polls `main`; `side` has a bell of its own.
pub(crate) async fn first<M: Future, S: Future>(main: M, side: S) -> First<M::Output, S::Output> {
    let bell = Bell::new();
    let (mut main, mut side) = (pin!(main), pin!(side));
    // Who waits for the bell; nearly always it is whoever waited for it before.
    let mut waiting: Option<Waker> = None;
    poll_fn(|cx| {
        if let Poll::Ready(output) = main.as_mut().poll(cx) {
            return Poll::Ready(First::Main(output));
        }
        let waits = waiting.as_ref().is_some_and(|w| w.will_wake(cx.waker()));
        if waits && !bell.is_rung() {
            return Poll::Pending;
        }
        waiting = Some(cx.waker().clone());
        bell.poll(cx, |cx| side.as_mut().poll(cx)).map(First::Side)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn task() -> (Arc<Woken>, Waker) {
        let woken = Arc::new(Woken::default());
        (woken.clone(), woken.into())
    }

    fn times(woken: &Woken) -> usize {
        woken.0.load(Ordering::SeqCst)
    }

    #[test]
    fn a_thing_is_polled_at_first_and_then_when_its_bell_has_rung() {
        let (woken, waker) = task();
        let mut cx = Context::from_waker(&waker);
        let (bell, mut polls, mut ring) = (Bell::new(), 0, None);
        for (rings, expected) in [(0, 1), (0, 1), (3, 2), (0, 2)] {
            (0..rings).for_each(|_| ring.as_ref().map_or((), Waker::wake_by_ref));
            let polled = bell.poll(&mut cx, |cx| {
                polls += 1;
                ring = Some(cx.waker().clone());
                Poll::<()>::Pending
            });
            assert!(polled.is_pending());
            assert_eq!(polls, expected);
        }
        assert_eq!(times(&woken), 1, "three rings are one wake");
    }

    #[test]
    fn a_ring_while_its_owner_is_at_work_wakes_no_task() {
        let (woken, waker) = task();
        let mut cx = Context::from_waker(&waker);
        let (bell, mut polls) = (Bell::new(), 0);
        let polled = bell.poll(&mut cx, |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls < 3 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        });
        assert_eq!((polled, polls, times(&woken)), (Poll::Ready(()), 3, 0));
        assert!(bell.is_rung(), "the last ring is kept for the next poll");
    }

    #[test]
    fn what_rings_without_end_lets_other_tasks_have_their_turn() {
        let (woken, waker) = task();
        let mut cx = Context::from_waker(&waker);
        let (bell, mut polls) = (Bell::new(), 0);
        let polled = bell.poll(&mut cx, |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((polls, times(&woken)), (MAX_ROUNDS, 1));
    }

    #[test]
    fn nobody_is_kept_or_woken_who_does_not_wait() {
        let (woken, waker) = task();
        let mut cx = Context::from_waker(&waker);
        let (bell, mut ring) = (Bell::new(), None);
        let mut poll = |answer| {
            bell.poll(&mut cx, |cx| {
                ring = Some(cx.waker().clone());
                answer
            })
        };
        assert!(poll(Poll::Pending).is_pending());
        bell.waker.wake_by_ref();
        assert!(poll(Poll::Ready(())).is_ready());
        assert_eq!(Arc::strong_count(&woken), 2, "the test and its waker");
        ring.unwrap().wake();
        assert_eq!(times(&woken), 1, "by the first ring");
        assert!(bell.is_rung());
    }

    #[test]
    fn whoever_polled_last_is_woken() {
        let ((before, first), (after, second)) = (task(), task());
        let bell = Bell::new();
        for waker in [&first, &second] {
            let polled = bell.poll(&mut Context::from_waker(waker), |_| Poll::<()>::Pending);
            assert!(polled.is_pending());
        }
        bell.waker.wake_by_ref();
        assert_eq!((times(&before), times(&after)), (0, 1));
    }

    #[test]
    fn no_ring_of_another_thread_is_missed() {
        let (heard, rings) = std::sync::mpsc::channel::<Waker>();
        let counter = Arc::new(AtomicUsize::new(0));
        let count = counter.clone();
        let ringer = std::thread::spawn(move || {
            for waker in rings.iter().take(1000) {
                count.fetch_add(1, Ordering::SeqCst);
                waker.wake();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let bell = Bell::new();
        let all = runtime.block_on(async {
            for expected in 1..=1000 {
                let mut asked = false;
                let rung = poll_fn(|cx| {
                    bell.poll(cx, |cx| {
                        if !std::mem::replace(&mut asked, true) {
                            heard.send(cx.waker().clone()).unwrap();
                        }
                        if counter.load(Ordering::SeqCst) == expected {
                            return Poll::Ready(());
                        }
                        Poll::Pending
                    })
                });
                let rung = tokio::time::timeout(std::time::Duration::from_secs(10), rung).await;
                if rung.is_err() {
                    return expected;
                }
                bell.waker.wake_by_ref();
            }
            0
        });
        assert_eq!(all, 0, "a ring was missed");
        ringer.join().unwrap();
    }

    #[tokio::test]
    async fn the_side_is_heard_and_polled_only_for_itself() {
        let (say, side) = tokio::sync::oneshot::channel::<()>();
        let mut side_polls = 0;
        let mut side = pin!(side);
        let side = poll_fn(|cx| {
            side_polls += 1;
            side.as_mut().poll(cx)
        });
        let mut say = Some(say);
        let mut wakes = 0;
        let main = poll_fn(|cx| {
            wakes += 1;
            if wakes < 100 {
                cx.waker().wake_by_ref();
            } else if let Some(say) = say.take() {
                say.send(()).unwrap();
            }
            Poll::<()>::Pending
        });
        assert_eq!(first(main, side).await, First::Side(Ok(())));
        assert_eq!(side_polls, 2);
    }
}

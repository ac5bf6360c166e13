//! What a listener does with its connections and requests, replaced while it runs.
//!
//! A request sees what was put here last, also on a connection that is older: whether that is another
//! thing than before costs it one look at a number.

use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::Config;

/// A handle on what a listener does; a clone is another one on the same.
pub struct Live<K>(Arc<Shared<K>>);

struct Shared<K> {
    version: AtomicU64,
    now: RwLock<Arc<Now<K>>>,
}

/// What is done now.
#[derive(Debug)]
pub(super) struct Now<K> {
    pub(super) stack: K,
    pub(super) config: Config,
}

impl<K> Clone for Live<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> fmt::Debug for Live<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl<K> Live<K> {
    pub(super) fn new(stack: K, config: Config) -> Self {
        Self(Arc::new(Shared {
            version: AtomicU64::new(0),
            now: RwLock::new(Arc::new(Now { stack, config })),
        }))
    }

    /// New requests are answered by `stack` from now on, and new connections allowed what `config` says.
    pub fn replace(&self, stack: K, config: Config) {
        let now = Arc::new(Now { stack, config });
        *self.0.now.write().unwrap_or_else(PoisonError::into_inner) = now;
        self.0.version.fetch_add(1, Ordering::Release);
    }

    /// Which it is, to be asked for before [`Live::now`]: what is newer is taken twice then, and never
    /// missed.
    pub(super) fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    pub(super) fn now(&self) -> Arc<Now<K>> {
        let now = self.0.now.read().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }
}

//! Whether something happened to an idle connection.

use std::{sync::Arc, task::Wake};

use tokio::sync::Notify;

/// A waker for the bells of idle connections. It does not say whose bell rang: that is found out by
/// looking at them.
#[derive(Debug, Default)]
pub(super) struct Hangups(Notify);

impl Hangups {
    /// Waits until something has happened since this was last waited for.
    pub(super) async fn heard(&self) {
        self.0.notified().await;
    }
}

impl Wake for Hangups {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_one();
    }
}

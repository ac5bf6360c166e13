//! Waiting for events, with a deadline that only a failure ever meets.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a test waits for what must come. It is long because a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until there is something to see, and returns it.
///
/// # Panics
///
/// When `what` has not come within [`PATIENCE`].
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "{what}: not seen within {PATIENCE:?}"
        );
        sleep(PAUSE).await;
    }
}

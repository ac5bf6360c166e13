//! Callers who go on asking whatever happens, and who take note of every answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Response, StatusCode};
use throughline_tests::{Client, Upstream, text, until};
use tokio::{task::JoinSet, time::sleep};

/// How long a caller waits before it asks again.
const PAUSE: Duration = Duration::from_millis(2);

/// An app that answers with the path that it was asked for.
pub(crate) async fn app() -> Upstream {
    Upstream::http1(|request| async move { Response::new(text(request.uri().path().to_owned())) })
        .await
}

/// Callers over so many connections, half of them in HTTP/2. An answer that is not what was asked for fails
/// the test.
pub(crate) struct Load {
    asking: JoinSet<()>,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Begins to ask.
    pub(crate) fn of(inbound: SocketAddr, clients: usize) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let mut asking = JoinSet::new();
        for client in 0..clients {
            let (asked, stop) = (asked.clone(), stop.clone());
            asking.spawn(async move {
                let mut connection = match client % 2 {
                    0 => Client::http1(inbound).await,
                    _ => Client::http2(inbound).await,
                };
                let mut number = 0;
                while !stop.load(Ordering::SeqCst) {
                    let path = format!("/load/{client}/{number}");
                    let answer = connection.get(&path).await;
                    assert_eq!((answer.status, answer.text()), (StatusCode::OK, path));
                    asked.fetch_add(1, Ordering::SeqCst);
                    number += 1;
                    // At the pace of callers, so that there is room for what the test is about.
                    sleep(PAUSE).await;
                }
            });
        }
        Self {
            asking,
            asked,
            stop,
        }
    }

    /// Waits until so many more were answered.
    pub(crate) async fn more(&self, count: usize) {
        let goal = self.asked.load(Ordering::SeqCst) + count;
        until("more answers", async || {
            (self.asked.load(Ordering::SeqCst) >= goal).then_some(())
        })
        .await;
    }

    /// Lets what is asked be answered, and says how many were.
    pub(crate) async fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(asked) = self.asking.join_next().await {
            if let Err(error) = asked {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        self.asked.load(Ordering::SeqCst)
    }
}

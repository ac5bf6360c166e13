//! Requests in a closed loop: so many callers, each of whom asks for the next page when it has the last.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use fastrand::Rng;
use http::Request;
use throughline_tests::{Client, empty};
use tokio::task::JoinSet;

/// So many requests, so many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) at_once: usize,
    pub(crate) requests: usize,
}

/// In rising order, against one sidecar, which learns as it goes.
pub(crate) const LEVELS: [Level; 4] = levels([150, 1000, 400, 600]);

/// The same where nothing has to be learnt.
pub(crate) const EXACT_LEVELS: [Level; 4] = levels([50, 300, 400, 600]);

const fn levels([one, four, sixteen, sixty_four]: [usize; 4]) -> [Level; 4] {
    const fn level(at_once: usize, requests: usize) -> Level {
        Level { at_once, requests }
    }
    [
        level(1, one),
        level(4, four),
        level(16, sixteen),
        level(64, sixty_four),
    ]
}

/// What is asked for, as often as it stands here.
const PAGES: [&str; 10] = [
    "/checkout",
    "/checkout",
    "/checkout",
    "/checkout",
    "/browse",
    "/browse",
    "/browse",
    "/quote",
    "/quote",
    "/health",
];

impl Level {
    /// Makes the requests, and says how many of them failed. All requests for one page are the same.
    pub(crate) async fn press(self, inbound: SocketAddr, rng: &mut Rng) -> usize {
        let pages: Arc<[&str]> = (0..self.requests)
            .map(|_| *rng.choice(&PAGES).expect("there are pages"))
            .collect();
        let next = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for _ in 0..self.at_once {
            callers.spawn(ask(inbound, pages.clone(), next.clone()));
        }
        callers.join_all().await.into_iter().sum()
    }
}

/// Asks for one page after the other, until all have been asked for by somebody.
async fn ask(inbound: SocketAddr, pages: Arc<[&'static str]>, next: Arc<AtomicUsize>) -> usize {
    let mut failed = 0;
    let mut client = Client::http1(inbound).await;
    while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
        let request = Request::get(*page).header("host", "shop").body(empty());
        match client.try_ask(request.expect("a page is a path")).await {
            Ok(answer) if answer.status == 200 => {}
            Ok(_) => failed += 1,
            Err(_) => {
                failed += 1;
                client = Client::http1(inbound).await;
            }
        }
    }
    failed
}

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
pub(crate) const LEVELS: [Level; 4] = [
    Level {
        at_once: 1,
        requests: 150,
    },
    Level {
        at_once: 4,
        requests: 1000,
    },
    Level {
        at_once: 16,
        requests: 400,
    },
    Level {
        at_once: 64,
        requests: 600,
    },
];

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

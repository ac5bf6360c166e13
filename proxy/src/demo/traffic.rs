//! Customers: first one at a time, then several at once.
//!
//! While a service has one request in hand, whatever it calls is because of that one, and its sidecar
//! can tell. When several are in hand and nothing says which of them a call belongs to, the honest
//! answer is that it is open. The demo wants to show both, and most of the former.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Method;
use throughline::ambient;
use tokio::sync::watch;

use super::{
    shop::{self, Service},
    street::Street,
    wire::Wire,
};

/// How long there is one shopper alone, and then how long there are two.
const QUIET: Duration = Duration::from_millis(1_800);
const BUSY: Duration = Duration::from_millis(2_200);

/// How long a rush takes, but for the last answers.
pub(super) const RUSH: Duration = QUIET.saturating_add(BUSY);

/// How long a shopper looks around between two orders, in milliseconds.
const LOOKS_AROUND: Range<u64> = 40..160;

/// How long a till waits between two sales, in milliseconds.
const BETWEEN_SALES: Range<u64> = 90..150;

/// The most requests of one customer, however fast they are answered.
const MAX_REQUESTS: u64 = 500;

/// What customers count for themselves, without asking any sidecar.
#[derive(Debug, Default)]
pub(super) struct Customers {
    orders: AtomicU64,
    asked: AtomicU64,
    unhappy: AtomicU64,
    waited: AtomicU64,
}

/// What the customers counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// The requests that they made.
    pub(super) asked: u64,
    /// Those that were answered with something other than success, or not at all.
    pub(super) unhappy: u64,
    /// The nanoseconds that they waited in all, by their own stopwatch.
    pub(super) waited: u64,
}

impl Customers {
    /// What they have counted so far.
    pub(super) fn counted(&self) -> Counted {
        Counted {
            asked: self.asked.load(Ordering::Relaxed),
            unhappy: self.unhappy.load(Ordering::Relaxed),
            waited: self.waited.load(Ordering::Relaxed),
        }
    }

    /// A few seconds of business: a quiet time, and then a busy one. Ends early when it is told to.
    pub(super) async fn rush(&self, street: &Street, stop: &watch::Receiver<bool>) {
        let begin = ambient::now();
        let (quiet, busy) = (begin + QUIET, begin + RUSH);
        let frontend = street.entrance(Service::Frontend);
        let shopping = async {
            self.shop(frontend, 5..15, quiet, stop).await;
            tokio::join!(
                self.shop(frontend, LOOKS_AROUND, busy, stop),
                self.shop(frontend, LOOKS_AROUND, busy, stop),
            );
        };
        tokio::join!(shopping, self.till(street, busy, stop));
    }

    /// Modest business until it is told to end.
    pub(super) async fn stroll(&self, street: &Street, stop: &mut watch::Receiver<bool>) {
        let frontend = street.entrance(Service::Frontend);
        while !*stop.borrow() {
            let until = ambient::now() + Duration::from_secs(60);
            tokio::join!(
                self.shop(frontend, 300..900, until, stop),
                self.shop(frontend, 300..900, until, stop),
                self.till(street, until, stop),
            );
        }
    }

    async fn shop(
        &self,
        frontend: SocketAddr,
        pause: Range<u64>,
        until: Instant,
        stop: &watch::Receiver<bool>,
    ) {
        let path = |order| Service::Frontend.path(order);
        self.visit(frontend, path, pause, until, stop).await;
    }

    /// The tills in the shop, which have no sidecar of their own.
    async fn till(&self, street: &Street, until: Instant, stop: &watch::Receiver<bool>) {
        let payments = street.entrance(Service::Payments);
        self.visit(payments, shop::sale, BETWEEN_SALES, until, stop)
            .await;
    }

    /// One customer: asks, waits for the answer, pauses, and asks again.
    async fn visit(
        &self,
        entrance: SocketAddr,
        path: impl Fn(u64) -> String,
        pause: Range<u64>,
        until: Instant,
        stop: &watch::Receiver<bool>,
    ) {
        let wire = Wire::to(entrance);
        let mut stop = stop.clone();
        for _ in 0..MAX_REQUESTS {
            if *stop.borrow() || ambient::now() >= until {
                return;
            }
            let order = self.orders.fetch_add(1, Ordering::Relaxed) + 1;
            self.ask(&wire, entrance, &path(order)).await;
            tokio::select! {
                () = tokio::time::sleep(shop::between(pause.clone())) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn ask(&self, wire: &Wire, entrance: SocketAddr, path: &str) {
        let began = ambient::now();
        let answer = wire.ask(Method::POST, entrance, path, Bytes::new()).await;
        let took = ambient::now().saturating_duration_since(began);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.waited.fetch_add(took, Ordering::Relaxed);
        if !answer.is_ok_and(|status| status.is_success()) {
            self.unhappy.fetch_add(1, Ordering::Relaxed);
        }
    }
}

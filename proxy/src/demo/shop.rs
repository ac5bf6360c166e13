//! A small shop: seven services written without any tracing.
//!
//! ```text
//! shoppers ─▶ frontend ─┬─▶ catalog ─┬─▶ inventory
//!                       │            └─▶ recommendations
//!                       └─▶ cart ────┬─▶ payments ◀─ tills
//!                                    └─▶ shipping
//! ```
//!
//! No header that came in is ever looked at or sent on. The number of the order is in every path,
//! which services of a shop do anyway. The sidecars make nothing of it, but afterwards it tells which
//! call truly belongs to which request.

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use throughline::ambient;
use tokio::time::Sleep;

use super::wire::Wire;

/// How rarely the bank behind the payments does not answer.
const BANK_FAILS_ONCE_IN: u64 = 7;

/// One of the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Frontend,
    Catalog,
    Inventory,
    Recommendations,
    Cart,
    Payments,
    Shipping,
}

impl Service {
    /// Every service, in the order of the picture.
    pub(super) const ALL: [Self; 7] = [
        Self::Frontend,
        Self::Catalog,
        Self::Inventory,
        Self::Recommendations,
        Self::Cart,
        Self::Payments,
        Self::Shipping,
    ];

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Catalog => "catalog",
            Self::Inventory => "inventory",
            Self::Recommendations => "recommendations",
            Self::Cart => "cart",
            Self::Payments => "payments",
            Self::Shipping => "shipping",
        }
    }

    /// How it is asked for something about an order.
    pub(super) fn path(self, order: u64) -> String {
        let what = match self {
            Self::Frontend => "checkout",
            Self::Catalog => "products",
            Self::Inventory => "stock",
            Self::Recommendations => "similar",
            Self::Cart => "carts",
            Self::Payments => "charges",
            Self::Shipping => "parcels",
        };
        format!("/{what}/{order}")
    }

    /// Whether asking it changes something.
    pub(super) fn method(self) -> Method {
        match self {
            Self::Frontend | Self::Cart | Self::Payments | Self::Shipping => Method::POST,
            Self::Catalog | Self::Inventory | Self::Recommendations => Method::GET,
        }
    }
}

/// How the tills in the shop ask the payments for something: in cash, which never fails.
pub(super) fn sale(order: u64) -> String {
    format!("{SALES}{order}")
}

const SALES: &str = "/sales/";

/// The order that a path is about.
pub(super) fn order_of(path: &str) -> Option<u64> {
    path.rsplit('/').next()?.parse().ok()
}

/// What a service knows of the world: where its proxy is, and where the others are.
#[derive(Debug)]
pub(super) struct Neighbours {
    proxy: Wire,
    /// The address of each service, in the order of [`Service::ALL`].
    services: [SocketAddr; Service::ALL.len()],
    made: AtomicU64,
    charged: AtomicU64,
}

impl Neighbours {
    /// Everybody, through the proxy at `proxy`.
    pub(super) fn through(proxy: SocketAddr, services: [SocketAddr; Service::ALL.len()]) -> Self {
        Self {
            proxy: Wire::to(proxy),
            services,
            made: AtomicU64::new(0),
            charged: AtomicU64::new(0),
        }
    }

    /// How many calls the service made, by its own count.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Asks another service; whether it did what it was asked for.
    async fn ask(&self, service: Service, order: u64) -> bool {
        self.made.fetch_add(1, Ordering::Relaxed);
        let (method, path) = (service.method(), service.path(order));
        let body = match method {
            Method::POST => Bytes::from(format!("{{\"order\":{order}}}")),
            _ => Bytes::new(),
        };
        let answer = self
            .proxy
            .ask(method, self.services[service as usize], &path, body);
        match answer.await {
            Ok(status) => status.is_success(),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::debug!("{} could not be asked: {error:#}", service.name());
                false
            }
        }
    }
}

/// Answers on `listener` as `service` for as long as the runtime lives.
///
/// # Errors
///
/// When the listener cannot be used.
pub(super) fn serve(
    service: Service,
    listener: TcpListener,
    neighbours: Arc<Neighbours>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::spawn(async move {
        loop {
            // Out of descriptors, or a caller that left already: the next one may do better.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            // As every server of HTTP does: else the pieces of a body wait for each other's receipt.
            let _ = stream.set_nodelay(true);
            let neighbours = neighbours.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let neighbours = neighbours.clone();
                async move { Ok::<_, Infallible>(answer(service, &neighbours, &request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(async { drop(connection.await) });
        }
    });
    Ok(())
}

/// The whole business of the shop.
async fn answer(
    service: Service,
    others: &Neighbours,
    request: &Request<Incoming>,
) -> Response<Pages> {
    let Some(order) = order_of(request.uri().path()) else {
        return respond(StatusCode::NOT_FOUND, Pages::one());
    };
    match service {
        Service::Frontend => {
            work(2..5).await;
            let shown = others.ask(Service::Catalog, order).await;
            let bought = shown && others.ask(Service::Cart, order).await;
            work(1..3).await;
            outcome(bought)
        }
        Service::Catalog => {
            work(2..4).await;
            let (stocked, _) = tokio::join!(
                others.ask(Service::Inventory, order),
                others.ask(Service::Recommendations, order),
            );
            if !stocked {
                return outcome(false);
            }
            // The list is sent as it is put together.
            respond(StatusCode::OK, Pages::several(4))
        }
        Service::Cart => {
            work(1..3).await;
            // Whoever calls something that fails now and then tries it again.
            let paid = others.ask(Service::Payments, order).await
                || others.ask(Service::Payments, order).await;
            outcome(paid && others.ask(Service::Shipping, order).await)
        }
        Service::Payments => {
            // Now and then the bank does not answer. It does when it is asked again.
            if !request.uri().path().starts_with(SALES) {
                let turn = others.charged.fetch_add(1, Ordering::Relaxed);
                if turn % BANK_FAILS_ONCE_IN == 4 {
                    work(18..24).await;
                    return respond(StatusCode::SERVICE_UNAVAILABLE, Pages::one());
                }
            }
            work(40..60).await;
            outcome(true)
        }
        Service::Inventory => {
            work(4..9).await;
            outcome(true)
        }
        Service::Recommendations => {
            work(9..16).await;
            outcome(true)
        }
        Service::Shipping => {
            work(4..8).await;
            outcome(true)
        }
    }
}

fn outcome(done: bool) -> Response<Pages> {
    let status = if done {
        StatusCode::OK
    } else {
        StatusCode::BAD_GATEWAY
    };
    respond(status, Pages::one())
}

fn respond(status: StatusCode, body: Pages) -> Response<Pages> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Some milliseconds of honest work.
async fn work(millis: std::ops::Range<u64>) {
    tokio::time::sleep(between(millis)).await;
}

/// A random time of so many milliseconds.
pub(super) fn between(millis: std::ops::Range<u64>) -> Duration {
    let micros = (millis.end - millis.start).max(1) * 1_000;
    Duration::from_micros(millis.start * 1_000 + ambient::random() % micros)
}

/// A body that comes in several pieces, with a pause before each but the first.
#[derive(Debug)]
struct Pages {
    left: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Pages {
    fn one() -> Self {
        Self::several(1)
    }

    fn several(left: u32) -> Self {
        Self { left, pause: None }
    }
}

impl Body for Pages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.pause = (self.left > 0).then(|| Box::pin(tokio::time::sleep(PAUSE)));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PAGE)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

/// How long a piece of a body takes to be put together.
const PAUSE: Duration = Duration::from_millis(2);

/// A piece of a body.
const PAGE: &[u8] = b"{\"thanks\":\"for your order\"}\n";

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn every_path_says_which_order_it_is_about() {
        for service in Service::ALL {
            assert_eq!(order_of(&service.path(4711)), Some(4711));
        }
        assert_eq!(order_of(&sale(4711)), Some(4711));
        assert_eq!(order_of("/favicon.ico"), None);
    }

    #[test]
    fn services_stand_where_their_number_says() {
        for (index, service) in Service::ALL.into_iter().enumerate() {
            assert_eq!(service as usize, index);
        }
    }

    #[tokio::test]
    async fn a_list_comes_in_as_many_pieces_as_it_has() {
        let began = ambient::now();
        let body = Pages::several(4).collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), 4 * PAGE.len());
        assert!(began.elapsed() >= 3 * PAUSE);
    }
}

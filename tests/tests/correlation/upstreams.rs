//! What the apps call: three services that take their time, and note each call that arrives.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use throughline_tests::{Body, Upstream, text};

use crate::truth::Arrival;

/// How far the delays lie apart: the standard deviation of their logarithm.
const SPREAD: f64 = 0.4;

/// The services, and what has arrived at any of them.
pub(crate) struct Upstreams {
    services: Vec<(&'static str, Upstream)>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Upstreams {
    /// Starts them. Their delays are those of `seed`.
    pub(crate) async fn start(seed: u64) -> Self {
        let arrivals = Arc::<Mutex<Vec<_>>>::default();
        let mut services = Vec::new();
        let medians = [
            ("PAYMENTS_URL", 8.0),
            ("STOCK_URL", 5.0),
            ("PRICES_URL", 6.0),
        ];
        for (seed, (name, median)) in (seed..).zip(medians) {
            let delays = Arc::new(Mutex::new(Rng::with_seed(seed)));
            let arrivals = arrivals.clone();
            let service = Upstream::http1(move |request| {
                let arrival = arrival(request.headers());
                arrivals.lock().unwrap().push(arrival);
                let delay = delay(&mut delays.lock().unwrap(), median);
                answer(request, delay)
            });
            services.push((name, service.await));
        }
        Self { services, arrivals }
    }

    /// The variable that tells an app of each service, and where that is.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let services = self.services.iter();
        services.map(|(name, service)| (*name, service.address()))
    }

    /// The calls that have arrived since it was asked the last time.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.arrivals.lock().unwrap())
    }
}

fn arrival(headers: &HeaderMap) -> Arrival {
    let value = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    Arrival {
        number: value("x-call-number").to_owned(),
        client: value("traceparent")
            .split('-')
            .nth(2)
            .unwrap_or_default()
            .to_owned(),
    }
}

async fn answer(request: Request<Incoming>, delay: Duration) -> Response<Body> {
    // How it ends does not matter: what is asked for is in the headers.
    let _ = request.into_body().collect().await;
    take(delay).await;
    let mut response = Response::new(text(r#"{"count":7}"#));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}

/// Milliseconds as services take them: seldom much less than the median, sometimes much more. The
/// logarithm is normally distributed (by the method of Box and Muller).
fn delay(rng: &mut Rng, median: f64) -> Duration {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * rng.f64()).cos();
    Duration::from_secs_f64(median / 1000.0 * (SPREAD * normal).exp())
}

/// Waits as long as said. tokio's timers all ring on the full millisecond, so that answers would come in
/// bunches; a thread that sleeps is woken at any time.
async fn take(delay: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "this thread carries nothing else"
    )]
    let sleeping = tokio::task::spawn_blocking(move || std::thread::sleep(delay));
    sleeping.await.expect("a sleep does not panic");
}

#[test]
fn delays_are_around_their_median_and_skewed() {
    let mut rng = Rng::with_seed(1);
    let mut delays: Vec<f64> = (0..10_001)
        .map(|_| delay(&mut rng, 5.0).as_secs_f64() * 1000.0)
        .collect();
    delays.sort_by(f64::total_cmp);
    let [low, middle, high] = [500, 5_000, 9_500].map(|rank| delays[rank]);
    assert!((4.8..5.2).contains(&middle), "{middle}");
    assert!(2.0 < low && low < 3.2, "{low}");
    assert!(8.5 < high && high < 11.0, "{high}");
}

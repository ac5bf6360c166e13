//! Several upstreams of one route: whom a request goes to, and who is left out.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use http::{Request, Response, StatusCode};
use throughline_tests::{
    Body, Client, Collector, Kind, Protocol, Sidecar, Upstream, empty, free_port, text, until,
};

use super::routes;

/// An upstream that says its name, and can be made to fail requests or checks.
struct Named {
    upstream: Upstream,
    fails: Arc<AtomicBool>,
    is_ill: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
}

impl Named {
    async fn new(name: &'static str) -> Self {
        let fails = Arc::new(AtomicBool::new(false));
        let is_ill = Arc::new(AtomicBool::new(false));
        let asked = Arc::new(AtomicUsize::new(0));
        let (failing, ill, count) = (fails.clone(), is_ill.clone(), asked.clone());
        let upstream = Upstream::http1(move |request| {
            let is_check = request.uri().path() == "/healthz";
            let is_bad = if is_check {
                ill.load(Ordering::SeqCst)
            } else {
                count.fetch_add(1, Ordering::SeqCst);
                failing.load(Ordering::SeqCst)
            };
            async move {
                let mut response = Response::new(text(name));
                if is_bad {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                response
            }
        })
        .await;
        Self {
            upstream,
            fails,
            is_ill,
            asked,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until it is asked or is not, as the sidecar says.
    async fn is_healthy(&self, sidecar: &Sidecar, is_healthy: bool) {
        let label = format!("address=\"{}\"", self.upstream.address());
        let expected = f64::from(u8::from(is_healthy));
        sidecar
            .metrics_until("the health of an upstream", |metrics| {
                metrics.sum("throughline_upstream_healthy", &label) == expected
            })
            .await;
    }
}

async fn two() -> (Named, Named) {
    (Named::new("one").await, Named::new("two").await)
}

/// The route to both.
fn to_both(one: &Named, two: &Named, own: &str) -> String {
    let (one, two) = (one.upstream.address(), two.upstream.address());
    format!("127.0.0.1:0={one}+{two};{own}")
}

async fn ask(sidecar: &Sidecar, request: Request<Body>) -> (u16, String) {
    let answer = Client::http1(sidecar.routes()[0]).await.ask(request).await;
    (answer.status.as_u16(), answer.text())
}

fn get(path: &str) -> Request<Body> {
    Request::get(path)
        .header("host", "shop")
        .body(empty())
        .unwrap()
}

/// Who answers so many requests.
async fn answers(sidecar: &Sidecar, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(ask(sidecar, get("/")).await.1);
    }
    all
}

#[tokio::test]
async fn requests_take_turns_and_their_spans_say_whose() {
    let (one, two) = two().await;
    let collector = Collector::start().await;
    let sidecar = routes(&[to_both(&one, &two, "balance=round_robin")])
        .exporting(&collector, Protocol::Grpc)
        .start()
        .await;
    assert_eq!(answers(&sidecar, 4).await, ["one", "two", "one", "two"]);
    let spans = collector
        .wanted(4, |span| span.kind() == Kind::Client)
        .await;
    for named in [&one, &two] {
        let port = i64::from(named.upstream.address().port());
        let its = spans.iter().filter(|span| {
            span.number("server.port") == Some(port)
                && span.number("network.peer.port") == Some(port)
        });
        assert_eq!(its.count(), 2);
    }
}

#[tokio::test]
async fn what_finds_nobody_there_goes_to_another_be_it_a_post() {
    let alive = Named::new("alive").await;
    let dead = free_port();
    let own = "balance=round_robin;retry_on=connect;retry_budget=100;eject_after=off";
    let route = format!(
        "127.0.0.1:0=127.0.0.1:{dead}+{};{own}",
        alive.upstream.address()
    );
    let sidecar = routes(&[route]).start().await;
    for _ in 0..6 {
        let post = Request::post("/pay")
            .header("host", "shop")
            .body(text("7"))
            .unwrap();
        assert_eq!(ask(&sidecar, post).await, (200, "alive".to_owned()));
    }
    assert_eq!(alive.asked(), 6);
}

#[tokio::test]
async fn whoever_fails_in_a_row_is_left_alone_and_comes_back() {
    let (one, two) = two().await;
    one.fails.store(true, Ordering::SeqCst);
    let own = "balance=round_robin;eject_after=3;eject_time";
    for (time, comes_back) in [("1h", false), ("500ms", true)] {
        let sidecar = routes(&[to_both(&one, &two, &format!("{own}={time}"))])
            .start()
            .await;
        let before = one.asked();
        for _ in 0..6 {
            ask(&sidecar, get("/")).await;
        }
        assert_eq!(one.asked() - before, 3);
        if comes_back {
            one.is_healthy(&sidecar, true).await;
            ask(&sidecar, get("/")).await;
            ask(&sidecar, get("/")).await;
            assert_eq!(one.asked() - before, 4);
        } else {
            assert_eq!(answers(&sidecar, 4).await, ["two"; 4], "it is left alone");
            let page = sidecar.ask_admin("/api/upstreams").await;
            assert!(page.contains("\"health\":\"ejected\""), "{page}");
        }
    }
}

#[tokio::test]
async fn never_more_than_half_are_left_alone() {
    let (one, two) = two().await;
    for named in [&one, &two] {
        named.fails.store(true, Ordering::SeqCst);
    }
    let sidecar = routes(&[to_both(
        &one,
        &two,
        "balance=round_robin;eject_after=2;eject_time=1h",
    )])
    .start()
    .await;
    for _ in 0..10 {
        assert_eq!(ask(&sidecar, get("/")).await.0, 503);
    }
    let ejections = sidecar
        .metrics()
        .await
        .sum("throughline_upstream_ejections_total", "");
    assert_eq!(ejections, 1.0);
    assert_eq!(one.asked() + two.asked(), 10, "somebody is always asked");
}

#[tokio::test]
async fn whoever_fails_its_checks_is_left_out_until_it_is_well() {
    let (one, two) = two().await;
    let own = "balance=round_robin;check=/healthz;check_interval=50ms";
    let sidecar = routes(&[to_both(&one, &two, own)]).start().await;
    one.is_ill.store(true, Ordering::SeqCst);
    one.is_healthy(&sidecar, false).await;
    assert_eq!(answers(&sidecar, 4).await, ["two"; 4]);
    one.is_ill.store(false, Ordering::SeqCst);
    one.is_healthy(&sidecar, true).await;
    let mut again = answers(&sidecar, 2).await;
    again.sort_unstable();
    assert_eq!(again, ["one", "two"]);
}

#[tokio::test]
async fn a_check_of_connections_notices_a_port_that_nobody_listens_at() {
    let alive = Named::new("alive").await;
    let dead = free_port();
    let own = "balance=round_robin;check=connect;check_interval=50ms";
    let route = format!(
        "127.0.0.1:0=127.0.0.1:{dead}+{};{own}",
        alive.upstream.address()
    );
    let sidecar = routes(&[route]).start().await;
    let label = format!("address=\"127.0.0.1:{dead}\"");
    sidecar
        .metrics_until("the dead one to be noticed", |metrics| {
            metrics.sum("throughline_upstream_healthy", "") == 1.0
                && metrics.sum("throughline_upstream_healthy", &label) == 0.0
        })
        .await;
    assert_eq!(answers(&sidecar, 4).await, ["alive"; 4]);
}

#[tokio::test]
async fn where_nobody_is_well_all_are_asked() {
    let (one, two) = two().await;
    for named in [&one, &two] {
        named.is_ill.store(true, Ordering::SeqCst);
    }
    let own = "balance=round_robin;check=/healthz;check_interval=50ms";
    let sidecar = routes(&[to_both(&one, &two, own)]).start().await;
    for named in [&one, &two] {
        named.is_healthy(&sidecar, false).await;
    }
    let mut all = answers(&sidecar, 2).await;
    all.sort_unstable();
    assert_eq!(all, ["one", "two"]);
}

#[tokio::test]
async fn the_same_value_goes_to_the_same_upstream() {
    let (one, two) = two().await;
    let sidecar = routes(&[to_both(&one, &two, "balance=hash:header:x-user")])
        .start()
        .await;
    let mut seen = [false; 2];
    for user in 0..20 {
        let mut whom = Vec::new();
        for _ in 0..3 {
            let mut request = get("/");
            request.headers_mut().insert("x-user", user.into());
            whom.push(ask(&sidecar, request).await.1);
        }
        assert_eq!(whom[1..], [whom[0].clone(), whom[0].clone()], "{user}");
        seen[usize::from(whom[0] == "two")] = true;
    }
    assert_eq!(seen, [true; 2], "both have users");
}

#[tokio::test]
async fn the_one_with_fewer_open_requests_is_asked() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let taken = Arc::new(AtomicUsize::new(0));
    let held = |name: &'static str| {
        let (gate, taken) = (gate.clone(), taken.clone());
        Upstream::http1(move |_| {
            let (gate, taken) = (gate.clone(), taken.clone());
            async move {
                taken.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                Response::new(text(name))
            }
        })
    };
    let (one, two) = (held("one").await, held("two").await);
    let route = format!("127.0.0.1:0={}+{}", one.address(), two.address());
    let sidecar = routes(&[route]).start().await;
    let mut asked = Vec::new();
    for count in 1..=6 {
        let at = sidecar.routes()[0];
        asked.push(tokio::spawn(async move {
            Client::http1(at).await.get("/").await.text()
        }));
        until("it to arrive", async || {
            (taken.load(Ordering::SeqCst) == count).then_some(())
        })
        .await;
    }
    gate.add_permits(6);
    let mut names = Vec::new();
    for answer in asked {
        names.push(answer.await.unwrap());
    }
    let ones = names.iter().filter(|name| *name == "one").count();
    assert_eq!(ones, 3, "{names:?}");
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_upstreams_and_checks_those_that_are_new() {
    let (one, two) = two().await;
    let three = Named::new("three").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("throughline.yaml");
    let write = |upstreams: [&Named; 2], log: &str| {
        let [one, two] = upstreams.map(|named| named.upstream.address());
        let text = format!(
            "log: {log}\nroutes:\n- listen: 127.0.0.1:0\n  upstream: [\"{one}\", \"{two}\"]\n  \
             balance: round_robin\n  check: /healthz\n  check_interval: 50ms\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write([&one, &two], "info");
    let sidecar = throughline_tests::Setup::outbound_alone()
        .flag("config", file.to_str().unwrap())
        .start()
        .await;
    let reload = async |times: f64| {
        sidecar.signal(rustix::process::Signal::HUP);
        let applied = "throughline_config_reloads_total{outcome=\"applied\"}";
        sidecar
            .metrics_until("the reload", |metrics| metrics.value(applied) >= times)
            .await
    };
    one.is_ill.store(true, Ordering::SeqCst);
    one.is_healthy(&sidecar, false).await;
    assert_eq!(answers(&sidecar, 2).await, ["two"; 2]);

    write([&one, &two], "debug");
    let metrics = reload(1.0).await;
    let asked = metrics.sum("throughline_upstream_requests_total", "");
    assert_eq!(asked, 2.0, "the counts are those from before");
    assert_eq!(metrics.sum("throughline_upstream_healthy", ""), 1.0);
    assert_eq!(answers(&sidecar, 2).await, ["two"; 2]);

    write([&one, &three], "debug");
    reload(2.0).await;
    one.is_healthy(&sidecar, false).await;
    assert_eq!(answers(&sidecar, 2).await, ["three"; 2]);
    let gone = format!("address=\"{}\"", two.upstream.address());
    let metrics = sidecar.metrics().await;
    assert_eq!(
        metrics.sum("throughline_upstream_requests_total", &gone),
        0.0
    );
}

//! A request that comes back is refused, at the first turn or within a bounded number of them.

use throughline_tests::{Setup, free_port, raw};

use super::scene::{Scene, Way};

#[tokio::test]
async fn a_request_to_a_port_of_the_sidecar_itself_is_refused() {
    let scene = Scene::start().await;
    let sidecar = &scene.sidecar;
    for port in [sidecar.outbound().port(), sidecar.routes()[0].port()] {
        for host in ["127.0.0.1", "localhost", "127.0.0.2"] {
            if host == "127.0.0.2" && port == sidecar.outbound().port() {
                continue;
            }
            let request = format!(
                "GET http://{host}:{port}/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            );
            let answer = raw(sidecar.outbound(), request).await;
            let is_refusal =
                answer.starts_with("HTTP/1.1 508") || answer.starts_with("HTTP/1.1 502");
            assert!(is_refusal, "{host}:{port}: {answer}");
            assert!(!scene.is_called(Way::Route).await, "{host}:{port}");
        }
    }
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_route_to_itself_is_refused() {
    let port = free_port();
    let route = format!("127.0.0.1:{port}=127.0.0.1:{port}");
    let sidecar = Setup::outbound_alone().flag("routes", &route).start().await;
    let answer = raw(sidecar.routes()[0], GET).await;
    assert!(answer.starts_with("HTTP/1.1 508"), "{answer}");
}

#[tokio::test]
async fn an_app_that_is_the_sidecar_itself_is_refused() {
    let port = free_port();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let mut sidecar = Setup::beside(address)
        .flag("inbound", &address.to_string())
        .flag("max-connections", "8")
        .flag("connect-timeout", "300ms")
        .spawn();
    let answer = throughline_tests::until("an answer, or the end", async || {
        if sidecar.ended().is_some() {
            return Some("it says so and ends".to_owned());
        }
        let is_up = tokio::net::TcpStream::connect(address).await.is_ok();
        if is_up {
            Some(raw(address, GET).await)
        } else {
            None
        }
    });
    let answer = answer.await;
    let is_refusal = answer.starts_with("HTTP/1.1 508") || answer.starts_with("it says");
    assert!(is_refusal, "{answer}");
}

#[tokio::test]
async fn a_loop_of_two_routes_is_refused() {
    let ports = [free_port(), free_port()];
    let mut sidecars = Vec::new();
    for (here, there) in [(ports[0], ports[1]), (ports[1], ports[0])] {
        let route = format!("127.0.0.1:{here}=127.0.0.1:{there}");
        // So few connections that it ends soon even if nobody sees what it is.
        let setup = Setup::outbound_alone()
            .flag("routes", &route)
            .flag("max-connections", "8")
            .flag("connect-timeout", "300ms")
            .flag("queue-timeout", "300ms");
        sidecars.push(setup.start().await);
    }
    let answer = raw(sidecars[0].routes()[0], GET).await;
    assert!(answer.starts_with("HTTP/1.1 508"), "{answer}");
}

#[tokio::test]
#[ignore = "an app is sent no mark: it turns until there is no connection left, and ends in 503"]
async fn a_loop_of_two_apps_is_refused() {
    let ports = [free_port(), free_port()];
    let mut sidecars = Vec::new();
    for (here, there) in [(ports[0], ports[1]), (ports[1], ports[0])] {
        let setup = Setup::beside(([127, 0, 0, 1], there).into())
            .flag("inbound", &format!("127.0.0.1:{here}"))
            .flag("max-connections", "8")
            .flag("connect-timeout", "300ms")
            .flag("queue-timeout", "300ms");
        sidecars.push(setup.start().await);
    }
    let answer = raw(sidecars[0].inbound(), GET).await;
    assert!(answer.starts_with("HTTP/1.1 508"), "{answer}");
}

#[tokio::test]
async fn a_loop_of_three_routes_is_refused() {
    let ports = [free_port(), free_port(), free_port()];
    let mut sidecars = Vec::new();
    for n in 0..3 {
        let route = format!("127.0.0.1:{}=127.0.0.1:{}", ports[n], ports[(n + 1) % 3]);
        let setup = Setup::outbound_alone().flag("routes", &route);
        sidecars.push(setup.flag("max-connections", "8").start().await);
    }
    let answer = raw(sidecars[0].routes()[0], GET).await;
    assert!(answer.starts_with("HTTP/1.1 508"), "{answer}");
}

#[tokio::test]
async fn a_call_is_not_marked_and_an_app_never_sees_a_mark() {
    let scene = Scene::start().await;
    for way in [Way::Inbound, Way::Route, Way::Proxy] {
        let request = "GET /x HTTP/1.1\r\nHost: shop\r\nThroughline-Passed: 0123\r\n\r\n";
        let (_client, mut upstream) = scene.ask(way, request).await;
        let head = upstream.request().await.head;
        let marks = head.all("throughline-passed");
        assert!(marks.is_empty(), "{way:?}: {marks:?}");
    }
}

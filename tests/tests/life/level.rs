//! How much is logged, changed while the process runs.

use http::{Method, Request};
use rustix::process::Signal;
use throughline_tests::{Client, Setup, Sidecar, empty, until};

use super::named;

/// Makes the sidecar say something at `debug`: nobody listens there.
async fn fail(sidecar: &Sidecar) {
    let request = Request::get("http://127.0.0.1:1/").body(empty()).unwrap();
    let answer = Client::http1(sidecar.outbound()).await.ask(request).await;
    assert_eq!(answer.status, 502);
}

fn failures(sidecar: &Sidecar) -> usize {
    sidecar.log().matches("a call failed").count()
}

#[tokio::test]
async fn it_is_raised_by_hand_and_set_back_by_a_reload() {
    let app = named("app").await;
    let sidecar = Setup::beside(app.address()).start().await;
    assert_eq!(sidecar.ask_admin("/log-level").await, "info\n");
    fail(&sidecar).await;
    let told = sidecar
        .tell_admin(Method::PUT, "/log-level?level=debug")
        .await;
    assert_eq!(told, "debug\n");
    fail(&sidecar).await;
    until("a line at debug", async || {
        (failures(&sidecar) > 0).then_some(())
    })
    .await;
    assert_eq!(failures(&sidecar), 1, "the first was not logged");

    let told = sidecar
        .tell_admin(Method::PUT, "/log-level?level=loud")
        .await;
    assert!(told.contains("the levels are off, error, warn"), "{told}");
    assert_eq!(sidecar.ask_admin("/log-level").await, "debug\n");
    sidecar.signal(Signal::HUP);
    until("the level that is configured", async || {
        (sidecar.ask_admin("/log-level").await == "info\n").then_some(())
    })
    .await;
    fail(&sidecar).await;
    assert_eq!(failures(&sidecar), 1);
}

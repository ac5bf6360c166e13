//! An app that goes down and comes back.

use http::{Response, StatusCode};
use throughline_tests::{Client, Setup, Upstream, text};

use crate::{account::settled, load};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_restarts_is_found_again() {
    let mut app = load::app().await;
    let address = app.address();
    let sidecar = Setup::beside(address).start().await;
    let mut http1 = Client::http1(sidecar.inbound()).await;
    let mut http2 = Client::http2(sidecar.inbound()).await;
    let mut asked = 0;
    for round in 0..5 {
        for client in [&mut http1, &mut http2] {
            assert_eq!(client.get("/up").await.status, 200, "round {round}");
            asked += 1;
        }
        drop(app);
        for client in [&mut http1, &mut http2] {
            // The connection that was kept dies with the app, and then there is none to be had.
            let answer = client.get("/down").await;
            assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "round {round}");
            asked += 1;
        }
        app = Upstream::http1_at(address, |_| async { Response::new(text("up")) }).await;
        // Nobody has to be told, and nothing has to be waited for.
        let answer = http1.get("/again").await;
        assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "up"));
        asked += 1;
    }
    settled(&sidecar, asked).await;
}

/// The app's calls have nothing to do with the app's own port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_down_harms_no_call() {
    let (app, shop) = (load::app().await, load::app().await);
    let route = format!("127.0.0.1:0=http://{}", shop.address());
    let sidecar = Setup::beside(app.address())
        .flag("routes", &route)
        .start()
        .await;
    let load = load::Load::of(sidecar.routes()[0], 4);
    load.more(100).await;
    drop(app);
    let mut client = Client::http1(sidecar.inbound()).await;
    assert_eq!(client.get("/x").await.status, StatusCode::BAD_GATEWAY);
    load.more(500).await;
    let asked = load.stop().await;
    settled(&sidecar, asked + 1).await;
}

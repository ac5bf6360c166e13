//! SIGTERM while callers ask all the time: what was asked is answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use throughline_tests::{Answer, Setup, until};
use tokio::{net::TcpStream, task::JoinSet};

use super::{get, load::busy_app};

/// Asks on connections of its own until nobody accepts any more, and says what was lost. With `keeps`
/// it asks on one for as long as it may.
async fn ask(at: SocketAddr, keeps: bool, answered: Arc<AtomicUsize>) -> Vec<String> {
    let mut lost = Vec::new();
    while let Ok(stream) = TcpStream::connect(at).await {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        while sender.ready().await.is_ok() {
            let answer = match sender.send_request(get("/x")).await {
                Ok(response) => Answer::read(response).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) if answer.status == 200 => {
                    answered.fetch_add(1, Ordering::SeqCst);
                    if !keeps || answer.header("connection") == "close" {
                        break;
                    }
                }
                other => {
                    lost.push(format!("{other:?}"));
                    break;
                }
            }
        }
        connection.abort();
    }
    lost
}

#[tokio::test]
async fn no_request_is_lost_by_sigterm_on_a_connection_that_was_accepted() {
    // More than once, for there are races to be lost.
    for _ in 0..5 {
        let app = busy_app().await;
        let mut sidecar = Setup::beside(app.address()).start().await;
        let answered = Arc::new(AtomicUsize::new(0));
        let mut asked = JoinSet::new();
        for n in 0..20 {
            asked.spawn(ask(sidecar.inbound(), n % 2 == 0, answered.clone()));
        }
        until("answers", async || {
            (answered.load(Ordering::SeqCst) > 100).then_some(())
        })
        .await;
        sidecar.terminate();
        assert_eq!(asked.join_all().await.concat(), [""; 0]);
        assert_eq!(sidecar.wait().await, 0);
        assert!(sidecar.log().contains(" dropped 0 "), "{}", sidecar.log());
    }
}

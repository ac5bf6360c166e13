//! Callers that ask all the time, in every way that there is, and count what is not answered.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use http::{Request, Response};
use throughline_tests::{Answer, Client, Sidecar, Upstream, empty, text, until};
use tokio::task::JoinSet;

/// An app that takes a moment, so that there is always something in flight.
pub(crate) async fn busy_app() -> Upstream {
    Upstream::http1(|request| async move {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        Response::new(text(request.uri().path().to_owned()))
    })
    .await
}

/// Callers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: JoinSet<Vec<String>>,
}

impl Load {
    /// Four callers on connections of HTTP/1.1 that they keep, four with a connection for each request,
    /// and one connection of HTTP/2 with four streams; and the same number who call the app's upstream.
    pub(crate) async fn begin(sidecar: &Sidecar, upstream: &Upstream) -> Self {
        let mut load = Self::begin_without(sidecar, upstream);
        // What the upstream speaks is learnt by a request that may be the price of it.
        let direct = format!("http://{}", upstream.address());
        let request = Request::get(format!("{direct}/first")).body(empty());
        let mut first = Client::http2(sidecar.outbound()).await;
        let _ = first.try_ask(request.unwrap()).await;
        load.streams(sidecar.outbound(), &direct);
        load
    }

    /// The same, where no call is made in HTTP/2: each new process has to learn anew that the upstream
    /// does not speak it.
    pub(crate) fn begin_without(sidecar: &Sidecar, upstream: &Upstream) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            callers: JoinSet::new(),
        };
        let direct = format!("http://{}", upstream.address());
        for (at, base) in [(sidecar.inbound(), ""), (sidecar.outbound(), &*direct)] {
            for n in 0..4 {
                load.keeping(at, format!("{base}/kept{n}"));
                load.afresh(at, format!("{base}/afresh{n}"));
            }
        }
        load.streams(sidecar.inbound(), "http://shop");
        load
    }

    fn keeping(&mut self, at: std::net::SocketAddr, path: String) {
        let (stop, answered) = (self.stop.clone(), self.answered.clone());
        self.callers.spawn(async move {
            let mut lost = Vec::new();
            let mut client = Client::http1(at).await;
            while !stop.load(Ordering::SeqCst) {
                match client.try_ask(get(&path)).await {
                    Ok(answer) if answer.status == 200 => {
                        answered.fetch_add(1, Ordering::SeqCst);
                        if answer.header("connection") == "close" {
                            // As it was told: the next is asked elsewhere.
                            client = Client::http1(at).await;
                        }
                    }
                    other => {
                        lost.push(format!("{path}: {other:?}"));
                        client = Client::http1(at).await;
                    }
                }
            }
            lost
        });
    }

    fn afresh(&mut self, at: std::net::SocketAddr, path: String) {
        let (stop, answered) = (self.stop.clone(), self.answered.clone());
        self.callers.spawn(async move {
            let mut lost = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                match Client::http1(at).await.try_ask(get(&path)).await {
                    Ok(answer) if answer.status == 200 => {
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    other => lost.push(format!("{path}: {other:?}")),
                }
            }
            lost
        });
    }

    fn streams(&mut self, at: std::net::SocketAddr, base: &str) {
        let (stop, answered) = (self.stop.clone(), self.answered.clone());
        let base = base.to_owned();
        self.callers.spawn(async move {
            let mut lost = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let client = Client::http2(at).await;
                // Until it is told to go away; then the next is asked on another connection.
                while !stop.load(Ordering::SeqCst) {
                    let mut asked = JoinSet::new();
                    for n in 0..4 {
                        let Some(mut stream) = client.another_stream() else {
                            break;
                        };
                        let request = Request::get(format!("{base}/stream{n}"));
                        let request = request.body(empty()).unwrap();
                        asked.spawn(async move {
                            if stream.ready().await.is_err() {
                                // Nothing was sent.
                                return None;
                            }
                            Some(match stream.send_request(request).await {
                                Ok(response) => Answer::read(response).await,
                                Err(error) => Err(error),
                            })
                        });
                    }
                    let mut is_over = false;
                    for answer in asked.join_all().await {
                        match answer {
                            Some(Ok(answer)) if answer.status == 200 => {
                                answered.fetch_add(1, Ordering::SeqCst);
                            }
                            None => is_over = true,
                            // What a GOAWAY says was not looked at may be asked again.
                            Some(Err(error)) if error.is_canceled() => is_over = true,
                            Some(other) => lost.push(format!("{base}, a stream: {other:?}")),
                        }
                    }
                    if is_over {
                        break;
                    }
                }
            }
            lost
        });
    }

    /// Waits until so many more requests are answered.
    pub(crate) async fn answers(&self, more: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        until("answers", async || {
            (self.answered.load(Ordering::SeqCst) >= before + more).then_some(())
        })
        .await;
    }

    /// Ends, and says of what was not answered what happened instead.
    pub(crate) async fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.callers.join_all().await.concat()
    }
}

fn get(path: &str) -> Request<throughline_tests::Body> {
    let request = Request::get(path).header("host", "shop").body(empty());
    request.unwrap()
}

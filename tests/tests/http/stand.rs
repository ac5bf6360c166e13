//! A sidecar before an app in HTTP/2, to be besieged: afterwards it stands as it did before.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use throughline_tests::{Client, Setup, Sidecar, Upstream, text};

use super::frames::Peer;

/// A sidecar, its app, and how often that was asked.
pub(crate) struct Stand {
    pub(crate) sidecar: Sidecar,
    _app: Upstream,
    pub(crate) asked: Arc<AtomicUsize>,
    before: u64,
}

impl Stand {
    pub(crate) async fn start() -> Self {
        Self::with(|setup| setup).await
    }

    pub(crate) async fn with(more: impl FnOnce(Setup) -> Setup) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let app = Upstream::http2(move |request| {
            count.fetch_add(1, Ordering::SeqCst);
            async move {
                if request.uri().path() == "/never" {
                    std::future::pending::<()>().await;
                }
                http::Response::new(text("ok"))
            }
        })
        .await;
        let setup = Setup::beside(app.address()).flag("app-protocol", "h2c");
        let sidecar = more(setup).start().await;
        assert_eq!(
            Client::http2(sidecar.inbound()).await.get("/").await.text(),
            "ok"
        );
        let before = sidecar.resident_kib();
        Self {
            sidecar,
            _app: app,
            asked,
            before,
        }
    }

    pub(crate) async fn peer(&self) -> Peer {
        let mut peer = Peer::connect(self.sidecar.inbound(), &[]).await;
        assert!(peer.sync().await);
        peer
    }

    /// Others are served, and there is little more memory than before.
    pub(crate) async fn stands(&self) {
        self.stands_within(16 * 1024).await;
    }

    pub(crate) async fn stands_within(&self, kib: u64) {
        for mut client in [
            Client::http2(self.sidecar.inbound()).await,
            Client::http1(self.sidecar.inbound()).await,
        ] {
            assert_eq!(client.get("/").await.text(), "ok");
        }
        let growth = self.sidecar.resident_kib().saturating_sub(self.before);
        assert!(growth < kib, "{growth} KiB more than {} KiB", self.before);
    }
}

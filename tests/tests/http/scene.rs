//! What a case stands in: a sidecar between sockets that the test holds both ends of.

use std::net::SocketAddr;

use throughline_tests::{PATIENCE, Setup, Sidecar};
use tokio::{net::TcpListener, time::timeout};

use super::wire::Wire;

/// A way through the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the app.
    Inbound,
    /// From the app, to what stands behind a listener of its own.
    Route,
    /// From the app, through the outbound proxy.
    Proxy,
}

/// All of them.
pub(crate) const WAYS: [Way; 3] = [Way::Inbound, Way::Route, Way::Proxy];

/// A sidecar, and behind each [`Way`] a listener of its own, so that none shares connections with
/// another.
pub(crate) struct Scene {
    pub(crate) sidecar: Sidecar,
    backends: [TcpListener; 3],
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(|setup| setup).await
    }

    /// With more said to the sidecar.
    pub(crate) async fn with(more: impl FnOnce(Setup) -> Setup) -> Self {
        let mut backends = Vec::new();
        for _ in WAYS {
            backends.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let [app, route, proxy] = <[TcpListener; 3]>::try_from(backends).unwrap();
        let behind = format!("127.0.0.1:0={}", route.local_addr().unwrap());
        let setup = Setup::beside(app.local_addr().unwrap()).flag("routes", &behind);
        Self {
            sidecar: more(setup).start().await,
            backends: [app, route, proxy],
        }
    }

    /// A connection to the sidecar.
    pub(crate) async fn client(&self, way: Way) -> Wire {
        Wire::connect(entry(&self.sidecar, way)).await
    }

    /// The next connection that the sidecar makes.
    pub(crate) async fn accept(&self, way: Way) -> Wire {
        let accepted = timeout(PATIENCE, self.backends[way as usize].accept()).await;
        let accepted = accepted.unwrap_or_else(|_| panic!("{way:?}: nobody came to the upstream"));
        Wire::new(accepted.unwrap().0)
    }

    /// Whether the sidecar has made a connection that was not accepted yet.
    pub(crate) async fn is_called(&self, way: Way) -> bool {
        let accepting = self.backends[way as usize].accept();
        timeout(std::time::Duration::ZERO, accepting).await.is_ok()
    }

    /// Where the upstream is.
    pub(crate) fn upstream(&self, way: Way) -> SocketAddr {
        self.backends[way as usize].local_addr().unwrap()
    }

    /// A request as this way has it: the proxy is asked for a whole address.
    pub(crate) fn spell(&self, way: Way, request: impl AsRef<[u8]>) -> Vec<u8> {
        spell(way, self.upstream(way), request.as_ref())
    }

    /// Asks, and returns both ends.
    pub(crate) async fn ask(&self, way: Way, request: impl AsRef<[u8]>) -> (Wire, Wire) {
        let mut client = self.client(way).await;
        client.send(self.spell(way, request)).await;
        let upstream = self.accept(way).await;
        (client, upstream)
    }
}

/// Where a way begins.
pub(crate) fn entry(sidecar: &Sidecar, way: Way) -> SocketAddr {
    match way {
        Way::Inbound => sidecar.inbound(),
        Way::Route => sidecar.routes()[0],
        Way::Proxy => sidecar.outbound(),
    }
}

/// A request with its target written for this way; what has no target stays as it is.
pub(crate) fn spell(way: Way, upstream: SocketAddr, request: &[u8]) -> Vec<u8> {
    let space = request.iter().position(|&byte| byte == b' ').unwrap_or(0);
    let (method, target) = request.split_at((space + 1).min(request.len()));
    let target = match target.first() {
        Some(b'/') => target,
        // RFC 9112 section 3.2.4: through a proxy, `*` is an address without a path.
        Some(b'*') => &target[1..],
        _ => return request.to_vec(),
    };
    match way {
        Way::Proxy => [method, format!("http://{upstream}").as_bytes(), target].concat(),
        Way::Inbound | Way::Route => request.to_vec(),
    }
}

//! A new connection: name, address, handshake, each with its mark.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use throughline::{
    ambient,
    phase::{Phase, Recorder},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use super::{Cause, Config, Error, Origin};

/// A transport that is ready to speak HTTP.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) transport: Transport,
    pub(super) peer: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    /// The TLS handshake chose HTTP/2.
    pub(super) is_http2: bool,
}

/// Connects to `origin` within the connect timeout, which covers the name, the address and the
/// handshake.
pub(super) async fn dial(
    origin: &Origin,
    config: &Config,
    tls: &Arc<ClientConfig>,
    recorder: Option<&Recorder>,
) -> Result<Dialled, Error> {
    let timeout = config.connect_timeout;
    let deadline = Instant::now() + timeout;
    let enter = |phase| {
        if let Some(recorder) = recorder {
            recorder.enter(phase, ambient::now());
        }
    };

    let addresses = match (config.address, origin.host().parse::<IpAddr>()) {
        (Some(address), _) => vec![address],
        (None, Ok(address)) => vec![SocketAddr::new(address, origin.port())],
        (None, Err(_)) => {
            enter(Phase::Dns);
            resolve(origin, deadline, timeout).await?
        }
    };

    enter(Phase::Connect);
    let stream = connect(&addresses, deadline, timeout).await?;
    // Small writes are whole messages here; waiting to fill a segment would only delay them.
    let _ = stream.set_nodelay(true);
    let (local, peer) = (stream.local_addr().ok(), stream.peer_addr().ok());
    if leads_to_us(local, peer, &config.own_ports) {
        return Err(Error::new(
            Cause::Loop,
            format!("{origin} is this proxy itself"),
        ));
    }
    if !origin.is_tls() {
        return Ok(Dialled {
            transport: Transport::Clear(stream),
            peer,
            local,
            is_http2: false,
        });
    }

    enter(Phase::Tls);
    let name = ServerName::try_from(origin.host().to_owned())
        .map_err(|error| Error::new(Cause::Tls, format!("{}: {error}", origin.host())))?;
    let handshake = TlsConnector::from(tls.clone()).connect(name, stream);
    let stream = tokio::time::timeout_at(deadline, handshake)
        .await
        .map_err(|_| {
            Error::new(
                Cause::TlsTimeout,
                format!("no handshake with {origin} in {timeout:?}"),
            )
        })?
        .map_err(|error| Error::new(Cause::Tls, format!("handshake with {origin}: {error}")))?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Dialled {
        transport: Transport::Tls(Box::new(stream)),
        peer,
        local,
        is_http2,
    })
}

/// Whether the other end is a port of ours: known only now, since any name may lead to it.
fn leads_to_us(local: Option<SocketAddr>, peer: Option<SocketAddr>, own_ports: &[u16]) -> bool {
    peer.is_some_and(|peer| {
        own_ports.contains(&peer.port()) && local.is_some_and(|local| local.ip() == peer.ip())
    })
}

async fn resolve(
    origin: &Origin,
    deadline: Instant,
    timeout: Duration,
) -> Result<Vec<SocketAddr>, Error> {
    // The system's resolver, on a thread of its own: what it says is what the app would be told, be
    // it from /etc/hosts (where Service Connect writes), from search domains or from a cache.
    let host = origin.host();
    let lookup = tokio::net::lookup_host((host, origin.port()));
    let found = tokio::time::timeout_at(deadline, lookup)
        .await
        .map_err(|_| {
            Error::new(
                Cause::DnsTimeout,
                format!("no address for {host} in {timeout:?}"),
            )
        })?
        .map_err(|error| Error::new(Cause::Dns, format!("{host}: {error}")))?;
    let addresses: Vec<SocketAddr> = found.collect();
    if addresses.is_empty() {
        return Err(Error::new(Cause::Dns, format!("{host} has no address")));
    }
    Ok(addresses)
}

/// Tries the addresses in turn, each with its share of the time that is left.
async fn connect(
    addresses: &[SocketAddr],
    deadline: Instant,
    timeout: Duration,
) -> Result<TcpStream, Error> {
    let mut last = Error::new(Cause::Connect, "no address to connect to");
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        last = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                Error::connect(&io::Error::new(error.kind(), format!("{address}: {error}")))
            }
            Err(_) => Error::new(
                Cause::ConnectTimeout,
                format!("{address} did not accept in {timeout:?}"),
            ),
        };
    }
    Err(last)
}

/// What TLS upstreams are checked against: the roots of this system.
///
/// Without any, every `https` upstream fails its handshake and says so; clear ones are not concerned.
#[must_use]
pub fn tls_config() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a root certificate could not be read");
    }
    roots.add_parsable_certificates(native.certs);
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A TCP connection, in clear or not.
#[derive(Debug)]
pub(super) enum Transport {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

macro_rules! either {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Clear($stream) => $call,
            Self::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

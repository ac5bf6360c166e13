//! A new connection: name, address, handshake, each with its mark.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use throughline::{
    ambient,
    phase::{Phase, Recorder},
    tls::Handshake,
};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::client::TlsStream;

use super::{Cause, Config, Error, Origin};
use crate::tls::{self, Connector, MaybeTls, Offer};

/// A transport that is ready to speak HTTP.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) transport: Transport,
    pub(super) peer: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    /// The TLS handshake chose HTTP/2.
    pub(super) is_http2: bool,
    /// How it came to speak TLS.
    pub(super) tls: Option<Handshake>,
}

/// Connects to `origin` within the connect timeout, which covers the name, the address and the
/// handshake, in which what is on `offer` is offered.
pub(super) async fn dial(
    origin: &Origin,
    config: &Config,
    connector: &Connector,
    offer: Offer,
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
            tls: None,
        });
    }

    enter(Phase::Tls);
    let handshake = connector.connect(origin.host(), origin.port(), offer, stream);
    let stream = tokio::time::timeout_at(deadline, handshake)
        .await
        .map_err(|_| {
            connector.timed_out();
            Error::new(
                Cause::TlsTimeout,
                format!("no handshake with {origin} in {timeout:?}"),
            )
        })?
        .map_err(|failure| {
            let cause = Cause::Tls(failure.reason);
            Error::new(cause, format!("handshake with {origin}: {failure}"))
        })?;
    let (handshake, is_http2) = tls::shaken(&stream);
    Ok(Dialled {
        transport: Transport::Tls(Box::new(stream)),
        peer,
        local,
        is_http2,
        tls: Some(handshake),
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

/// A TCP connection, in clear or not.
pub(super) type Transport = MaybeTls<TcpStream, TlsStream<TcpStream>>;

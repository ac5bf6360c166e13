//! Bytes both ways, where HTTP has ended: an upgrade, or a CONNECT.
//!
//! The answer that agrees on a tunnel goes back like any other. Behind it the tunnel is a task of its
//! own, which begins once hyper has let go of the caller's connection, and carries bytes until both
//! sides are through. One that says that it is through is not cut for it: the other may have something
//! left to say. A tunnel has no limit of time but the one that is configured, and the end of a drain.
//!
//! Its exchange is handed over by the layer that began it, so that there is one span, which lasts as
//! long as the tunnel does.

mod account;
#[cfg(test)]
mod tests;
mod upgrade;

use std::{sync::Arc, time::Instant};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use throughline::{
    ambient,
    exchange::Exchange,
    handover::Handover,
    phase::{Party, Recorder},
    span::{self, Span},
};
use tokio::io::{AsyncRead, AsyncWrite};

use self::account::{Account, Side};
pub(crate) use self::upgrade::Wanted;
use crate::{listen::Connection, pipeline::Pipeline};

/// A tunnel that was agreed on, and has not begun.
#[derive(Debug)]
pub(crate) struct Tunnel<H> {
    /// The caller's connection.
    pub(crate) connection: Arc<Connection>,
    /// Where its span goes.
    pub(crate) pipeline: Option<Pipeline>,
    /// What it carries, as far as that was named.
    pub(crate) protocol: String,
    /// Whether a TLS handshake is looked for.
    pub(crate) may_be_tls: bool,
    /// Held until it ends.
    pub(crate) held: H,
}

impl<H: Send + 'static> Tunnel<H> {
    /// Begins, once `near` is let go of, between that and `far`. The exchange is to be put into what
    /// is handed back.
    pub(crate) fn begin(
        self,
        near: OnUpgrade,
        far: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        recorder: Option<&Recorder>,
    ) -> Handover {
        let opened = ambient::now();
        if let Some(recorder) = recorder {
            recorder.tunnel(opened);
        }
        let handover = Handover::default();
        let place = handover.clone();
        // Not after the answer has gone: until then a drain must know of it.
        let busy = self.connection.carries_tunnel();
        tokio::spawn(async move {
            let account = Arc::new(match self.may_be_tls {
                true => Account::watching(),
                false => Account::default(),
            });
            let ended = carry(&self.connection, near, far, &account).await;
            if let (Some(exchange), Some(pipeline)) = (place.take(), &self.pipeline) {
                pipeline.offer(self.finish(exchange, opened, &account, ended));
            }
            drop((self.held, busy));
        });
        handover
    }

    fn finish(
        &self,
        mut exchange: Exchange,
        opened: Instant,
        account: &Account,
        ended: Ended,
    ) -> Box<Span> {
        let now = ambient::now();
        let ends = account.ends();
        let recorder = exchange.recorder().clone();
        let tls = account.handshake(now).map(|(took, is_whole, tls)| {
            recorder.handshake_within(opened, took);
            (is_whole, tls)
        });
        let failed = match ended {
            Ended::Cut => Some((Party::Proxy, "shutdown")),
            Ended::Idle => Some((Party::Proxy, "idle_timeout")),
            Ended::Unused => Some((Party::Client, "cancelled")),
            Ended::Through => match (ends.broken, &tls) {
                // Without a handshake nothing was said, however politely it ended.
                (_, Some((false, _))) => ends.first.map(|party| (party, "tls_error")),
                (Some(party), _) => Some((party, "connection_reset")),
                (None, _) => None,
            },
        };
        if let Some((party, error)) = failed {
            recorder.fail(party, error);
        }
        let (to_server, to_client) = account.passed();
        exchange.span_mut().tunnel = Some(Box::new(span::Tunnel {
            protocol: self.protocol.as_str().into(),
            to_server,
            to_client,
            ended_by: failed.map(|(party, _)| party).or(ends.first),
            tls: tls.map(|(_, tls)| tls),
        }));
        exchange.finish(now)
    }
}

async fn carry(
    connection: &Connection,
    near: OnUpgrade,
    far: impl AsyncRead + AsyncWrite + Unpin,
    account: &Arc<Account>,
) -> Ended {
    // A connection that is cut lets go of it too, and only then has surely handed over the exchange.
    let near = match near.await {
        Ok(near) => TokioIo::new(near),
        Err(error) => {
            tracing::debug!(%error, "a tunnel was agreed on, and nobody is there");
            return match connection.is_cut() {
                true => Ended::Cut,
                false => Ended::Unused,
            };
        }
    };
    let mut near = Side::new(near, Party::Client, account);
    let mut far = Side::new(far, Party::Upstream, account);
    tokio::select! {
        biased;
        () = connection.cut() => Ended::Cut,
        result = tokio::io::copy_bidirectional(&mut near, &mut far) => {
            if let Err(error) = result {
                tracing::debug!(%error, "a tunnel broke");
            }
            Ended::Through
        }
        () = account.idle(connection.tunnel_idle_timeout()) => Ended::Idle,
    }
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Both sides were through, or one broke off.
    Through,
    /// By the end of the process.
    Cut,
    /// Nothing had passed for too long.
    Idle,
    /// The caller was gone before it began.
    Unused,
}

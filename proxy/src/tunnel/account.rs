//! What passes through a tunnel: how many bytes each way, which side was through first, and the TLS
//! handshake in it, if there is one.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;
use throughline::{ambient, phase::Party, span::Tls};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::handshake::{Direction, Handshake};

/// How often within its limit a tunnel is looked at that carries nothing.
const LOOKS: u32 = 4;

/// The account of one tunnel.
#[derive(Debug, Default)]
pub(super) struct Account {
    to_server: AtomicU64,
    to_client: AtomicU64,
    ends: Mutex<Ends>,
    /// Whether the handshake is still looked at: asked for whatever passes.
    is_watched: AtomicBool,
    handshake: Mutex<Handshake>,
}

/// How the sides ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    /// Who was first to be through, or to break off.
    pub(super) first: Option<Party>,
    /// Who broke off, without having said before that it was through.
    pub(super) broken: Option<Party>,
    client_is_through: bool,
    upstream_is_through: bool,
}

impl Ends {
    fn through(&mut self, party: Party) {
        self.first.get_or_insert(party);
        match party {
            Party::Client => self.client_is_through = true,
            _ => self.upstream_is_through = true,
        }
    }

    /// Whoever closes while the other still sends is reset by that; it had said so before.
    fn broke(&mut self, party: Party) {
        let was_through = match party {
            Party::Client => self.client_is_through,
            _ => self.upstream_is_through,
        };
        if !was_through {
            self.broken.get_or_insert(party);
        }
        self.through(party);
    }
}

impl Account {
    /// One that looks for a TLS handshake.
    pub(super) fn watching() -> Self {
        Self {
            is_watched: AtomicBool::new(true),
            ..Self::default()
        }
    }

    /// How many bytes have passed: to the server, and to the client.
    pub(super) fn passed(&self) -> (u64, u64) {
        let passed = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (passed(&self.to_server), passed(&self.to_client))
    }

    /// How the sides ended.
    pub(super) fn ends(&self) -> Ends {
        *self.lock_ends()
    }

    /// The handshake: how long it took or has taken, whether it came to its end, and what it said.
    pub(super) fn handshake(&self, now: Instant) -> Option<(Duration, bool, Tls)> {
        let handshake = self.lock_handshake();
        let (took, is_whole) = handshake.took(now)?;
        Some((took, is_whole, handshake.seen().clone()))
    }

    /// Waits until nothing has passed for `limit`.
    ///
    /// It looks now and then, so that what passes touches neither a clock nor a timer.
    pub(super) async fn idle(&self, limit: Option<Duration>) {
        let Some(limit) = limit else {
            return std::future::pending().await;
        };
        let (mut seen, mut quiet) = (self.passed(), 0);
        while quiet < LOOKS {
            tokio::time::sleep(limit / LOOKS).await;
            let now = self.passed();
            quiet = if now == seen { quiet + 1 } else { 0 };
            seen = now;
        }
    }

    fn read(&self, from: Party, bytes: &[u8]) {
        let (count, direction) = match from {
            Party::Client => (&self.to_server, Direction::ToServer),
            _ => (&self.to_client, Direction::ToClient),
        };
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if self.is_watched.load(Ordering::Relaxed) {
            let mut handshake = self.lock_handshake();
            handshake.pass(direction, bytes, ambient::now());
            self.is_watched
                .store(handshake.is_watched(), Ordering::Relaxed);
        }
    }

    fn lock_ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_handshake(&self) -> MutexGuard<'_, Handshake> {
        let handshake = self.handshake.lock();
        handshake.unwrap_or_else(PoisonError::into_inner)
    }
}

pin_project! {
    /// One side of a tunnel, which keeps the account.
    #[derive(Debug)]
    pub(super) struct Side<T> {
        #[pin]
        stream: T,
        party: Party,
        account: Arc<Account>,
    }
}

impl<T> Side<T> {
    /// The stream of `party`.
    pub(super) fn new(stream: T, party: Party, account: &Arc<Account>) -> Self {
        Self {
            stream,
            party,
            account: account.clone(),
        }
    }
}

impl<T: AsyncRead> AsyncRead for Side<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buf.filled().len();
        let result = ready!(this.stream.poll_read(cx, buf));
        match (&result, &buf.filled()[before..]) {
            (Err(_), _) => this.account.lock_ends().broke(*this.party),
            (Ok(()), []) => this.account.lock_ends().through(*this.party),
            (Ok(()), bytes) => this.account.read(*this.party, bytes),
        }
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite> Side<T> {
    fn noting<R>(
        account: &Account,
        party: Party,
        result: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if let Poll::Ready(Err(_)) = &result {
            account.lock_ends().broke(party);
        }
        result
    }
}

impl<T: AsyncWrite> AsyncWrite for Side<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        Self::noting(this.account, *this.party, this.stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.stream.poll_write_vectored(cx, bytes);
        Self::noting(this.account, *this.party, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        Self::noting(this.account, *this.party, this.stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whoever is gone needs not be told that nothing more will come.
        self.project().stream.poll_shutdown(cx)
    }
}

//! Listeners as pingora runs them: a group with a runtime of its own.

use std::{net::TcpListener, os::fd::IntoRawFd, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use pingora_core::{
    listeners::ListenerConfig,
    protocols::l4::stream::L4BufferSettings,
    server::{ListenFds, ShutdownWatch},
    services::{Service, listening},
};
use tokio::{net::TcpStream, sync::watch};

use super::{Connections, Listener, Stack};

/// Several listeners that share threads.
pub(super) struct Endpoints {
    name: &'static str,
    threads: usize,
    listening: Vec<Listening>,
    chores: Vec<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

/// One listener, on a socket that was bound before.
struct Listening {
    service: Box<dyn Service>,
    socket: Option<(String, TcpListener)>,
    drain: watch::Receiver<bool>,
    /// What comes after pingora has stopped to accept.
    last: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

/// How long what pingora accepted last may take to be seen by us: it begins on a task of its own.
const BEGIN: Duration = Duration::from_millis(10);

impl Endpoints {
    pub(super) fn new(name: &'static str, threads: usize) -> Self {
        Self {
            name,
            threads,
            listening: Vec::new(),
            chores: Vec::new(),
        }
    }

    /// Accepts on `socket` for `listener` until `drain` turns true.
    pub(super) fn add<K: Stack>(
        &mut self,
        socket: TcpListener,
        listener: Listener<K>,
        drain: watch::Receiver<bool>,
    ) -> std::io::Result<Arc<Connections>> {
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?.to_string();
        let connections = listener.connections();
        let last = Box::pin(take_the_rest(listener.clone(), socket.try_clone()?));
        let mut service = listening::Service::new(address.clone(), listener);
        // hyper has a read buffer of its own and hands over whole messages to write, so that another
        // layer of buffers would only cost memory: 87 KiB for each idle connection.
        let endpoint =
            ListenerConfig::tcp(address.clone()).l4_buffer(L4BufferSettings::unbuffered());
        service.add_listener(endpoint);
        self.listening.push(Listening {
            service: Box::new(service),
            socket: Some((address, socket)),
            drain,
            last,
        });
        Ok(connections)
    }

    /// Runs `chore` for as long as the listeners run.
    pub(super) fn beside(&mut self, chore: impl Future<Output = ()> + Send + Sync + 'static) {
        self.chores.push(Box::pin(chore));
    }
}

/// Serves what the kernel has accepted and pingora has not taken: whoever connected before the drain has
/// perhaps asked already. Until then the listener counts as a connection, so that nobody takes it for
/// drained.
fn take_the_rest<K: Stack>(
    listener: Listener<K>,
    socket: TcpListener,
) -> impl Future<Output = ()> + Send + Sync {
    let open = listener.connections().enter();
    async move {
        while let Ok((stream, peer)) = socket.accept() {
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                let listener = listener.clone();
                tokio::spawn(async move { listener.serve_tcp(stream, peer).await });
            }
        }
        drop(socket);
        tokio::time::sleep(BEGIN).await;
        drop(open);
    }
}

#[async_trait]
impl Service for Endpoints {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        _: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        for chore in self.chores.drain(..) {
            tokio::spawn(chore);
        }
        let mut accepting = tokio::task::JoinSet::new();
        for Listening {
            mut service,
            socket,
            drain,
            last,
        } in self.listening.drain(..)
        {
            // pingora takes a socket that it finds in this table instead of binding one.
            if let (Some(fds), Some((address, socket))) = (&fds, socket) {
                fds.lock().add(address, socket.into_raw_fd());
            }
            let fds = fds.clone();
            accepting.spawn(async move {
                service.start_service(fds, drain, listeners_per_fd).await;
                last.await;
            });
        }
        accepting.join_all().await;
    }

    fn name(&self) -> &str {
        self.name
    }

    fn threads(&self) -> Option<usize> {
        Some(self.threads)
    }
}

//! The end of a sidecar, in the order that loses nothing.
//!
//! 1. Not ready any more; no new connection of a caller; answers in flight are finished (HTTP/1 with
//!    `Connection: close`, HTTP/2 after a GOAWAY).
//! 2. The app, if we started it, is told to stop: it has nothing left to answer, and may still make
//!    calls.
//! 3. No new call of the app; calls in flight are finished.
//! 4. Then the threads end, and the spans are flushed by whoever waits for them.
//!
//! Everything together takes the grace period at most; what is not done by then is cut. A second
//! signal cuts it at once.

use std::{
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use throughline::ambient;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot, watch},
};

use super::{
    handover::{Named, Successor, Taken},
    reload::Reload,
};
use crate::{
    admin::{Readiness, State},
    child::{Child, Command, Signal},
    correlate::Correlator,
    listen::Connections,
};

/// The most that is waited for connections that are cut.
const CUT: Duration = Duration::from_secs(1);

/// What ends a sidecar.
#[derive(Debug)]
pub enum Stop {
    /// SIGTERM or SIGINT, or the end of the app that is started here.
    Signals(Option<Command>),
    /// Whoever holds the other end; dropped counts too.
    Told(oneshot::Receiver<()>),
}

/// A group of listeners: what stops them, and the connections they have.
pub(super) type Group = (watch::Sender<bool>, Vec<Arc<Connections>>);

/// Waits for the end and brings it about: what pingora takes for its signal.
pub(super) struct Drain {
    pub(super) stop: Mutex<Option<Stop>>,
    pub(super) reload: Mutex<Option<Reload>>,
    /// What is had of a process before, and what the next one gets.
    pub(super) taken: Mutex<Option<(Taken, Vec<Named>)>>,
    /// What is concluded of calls while another process has some of the requests.
    pub(super) correlator: Arc<Mutex<Correlator>>,
    pub(super) readiness: Readiness,
    pub(super) grace: watch::Receiver<Duration>,
    pub(super) callers: Group,
    pub(super) calls: Group,
    pub(super) admin: watch::Sender<bool>,
    pub(super) outcome: Arc<Outcome>,
}

/// How it ended.
#[derive(Debug, Default)]
pub(super) struct Outcome(Mutex<Ended>);

#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) app_code: Option<u8>,
    pub(super) error: Option<anyhow::Error>,
    pub(super) deadline: Option<Instant>,
}

impl Outcome {
    pub(super) fn take(&self) -> Ended {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, ended: Ended) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ended;
    }
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        let stop = self
            .stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let ended = self
            .until_stopped(stop)
            .await
            .unwrap_or_else(|error| Ended {
                error: Some(error),
                ..Ended::default()
            });
        self.outcome.set(ended);
        // Nothing runs any more that pingora would have to wait for.
        ShutdownSignal::FastShutdown
    }
}

impl Drain {
    async fn until_stopped(&self, stop: Option<Stop>) -> anyhow::Result<Ended> {
        let command = match stop {
            Some(Stop::Signals(command)) => command,
            Some(Stop::Told(told)) => {
                self.readiness.set(State::Ready);
                let _ = told.await;
                return Ok(self.drain(None).await);
            }
            None => return Ok(self.drain(None).await),
        };
        let mut signals = Signals::new()?;
        let reload = self
            .reload
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let (reloads, asked) = mpsc::channel(1);
        if let Some(reload) = reload {
            tokio::spawn(reload.run(asked));
        }
        let mut app = command.map(|command| command.spawn()).transpose()?;
        self.readiness.set(State::Ready);
        let mut successor = self.begin()?;
        let _until_gone;
        let app_code = match signals
            .next_or_end(app.as_mut(), &reloads, successor.as_mut())
            .await
        {
            Woken::Stop => None,
            Woken::TakenOver(stream) => {
                lock(&self.correlator).unknown_begin();
                // Until we are gone.
                _until_gone = stream;
                tracing::info!("another process has taken over");
                // Whoever asks is to be told of that one.
                self.admin.send_replace(true);
                successor = None;
                None
            }
            Woken::AppEnded(code) => {
                // Nobody is left to ask; what the app last said may still be on its way.
                app = None;
                Some(code)
            }
        };
        if let Some(successor) = successor {
            successor.forget();
        }
        let mut ended = tokio::select! {
            ended = self.drain(app) => ended,
            () = signals.next_stop() => {
                tracing::warn!("a second signal: everything is cut");
                cut(&self.callers).await;
                cut(&self.calls).await;
                Ended {
                    deadline: Some(ambient::now()),
                    ..Ended::default()
                }
            }
        };
        ended.app_code = app_code.or(ended.app_code);
        Ok(ended)
    }

    /// Tells the process before that it may go, and waits for one that comes.
    fn begin(&self) -> std::io::Result<Option<Successor>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.take() {
            Some((taken, listeners)) => {
                let correlator = self.correlator.clone();
                taken.ready(listeners, move || lock(&correlator).unknown_end())
            }
            None => Ok(None),
        }
    }

    async fn drain(&self, app: Option<Child>) -> Ended {
        let grace = *self.grace.borrow();
        let deadline = ambient::now() + grace;
        let mut ended = Ended {
            deadline: Some(deadline),
            ..Ended::default()
        };
        self.readiness.set(State::Draining);
        tracing::info!(?grace, "draining");
        finish(&self.callers, deadline).await;
        if let Some(mut app) = app {
            app.signal(Signal::TERM);
            let left = deadline.saturating_duration_since(ambient::now());
            match tokio::time::timeout(left, app.wait()).await {
                Ok(code) => ended.app_code = Some(exit_code(code)),
                Err(_) => {
                    tracing::warn!("the app did not stop within the grace period, and is killed");
                    app.signal(Signal::KILL);
                    ended.app_code = Some(exit_code(app.wait().await));
                }
            }
        }
        finish(&self.calls, deadline).await;
        // Whoever reads the metrics reads them to the last.
        self.admin.send_replace(true);
        ended
    }
}

fn lock(correlator: &Mutex<Correlator>) -> MutexGuard<'_, Correlator> {
    correlator.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stops a group of listeners and waits until their connections have ended.
async fn finish(group: &Group, deadline: Instant) {
    let (stop, connections) = group;
    stop.send_replace(true);
    for connections in connections {
        let left = deadline.saturating_duration_since(ambient::now());
        if tokio::time::timeout(left, connections.drained())
            .await
            .is_err()
        {
            tracing::warn!(
                open = connections.open(),
                "connections are cut: the grace period is over"
            );
        }
    }
    cut(group).await;
}

/// Ends what is still open, so that the spans of it are there before the pipeline is closed.
async fn cut((stop, connections): &Group) {
    stop.send_replace(true);
    for connections in connections {
        connections.cut();
        // It takes no longer than to drop what they hold.
        let _ = tokio::time::timeout(CUT, connections.drained()).await;
    }
}

/// An exit code as the system has it: eight bits.
fn exit_code(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(1)
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

enum Woken {
    Stop,
    AppEnded(u8),
    /// Another process has the listeners, and sees by this when we are gone.
    TakenOver(UnixStream),
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal that asks to stop.
    async fn next_stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The next reason to stop. SIGQUIT is the app's business, if there is one; on SIGHUP each reads its
    /// own configuration again.
    async fn next_or_end(
        &mut self,
        mut app: Option<&mut Child>,
        reloads: &mpsc::Sender<()>,
        mut successor: Option<&mut Successor>,
    ) -> Woken {
        loop {
            let taken_over = async {
                match &mut successor {
                    Some(successor) => successor.is_ready().await,
                    None => std::future::pending().await,
                }
            };
            let ended = async {
                match &mut app {
                    Some(app) => app.wait().await,
                    None => std::future::pending().await,
                }
            };
            let forwarded = tokio::select! {
                stream = taken_over => return Woken::TakenOver(stream),
                code = ended => return Woken::AppEnded(exit_code(code)),
                _ = self.terminate.recv() => return Woken::Stop,
                _ = self.interrupt.recv() => return Woken::Stop,
                _ = self.quit.recv() => Signal::QUIT,
                _ = self.hangup.recv() => {
                    // One that waits is enough: it reads what is there when its turn comes.
                    let _ = reloads.try_send(());
                    Signal::HUP
                }
            };
            match &mut app {
                Some(app) => app.signal(forwarded),
                None if forwarded == Signal::HUP => {}
                None => return Woken::Stop,
            }
        }
    }
}

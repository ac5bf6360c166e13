//! One process takes over from another, and no connection notices.
//!
//! ```text
//! the new one                         the old one
//!   take over ──────────────────────▶
//!            ◀───────── the listeners   goes on as before
//!   begins
//!   ready ──────────────────────────▶
//!                                       accepts no more, drains, ends
//! ```
//!
//! Both have the same sockets, so that there is no moment at which nobody listens; what the kernel has
//! accepted and nobody has taken yet is taken by the new one. One that fails before it is ready costs
//! nothing: the old one goes on.

mod wire;

use std::{
    fs,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    os::{
        fd::AsFd,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::sync::oneshot;

use self::wire::MAX_FDS;

const TAKE_OVER: &str = "throughline 1 take over";
const READY: &str = "ready";

/// The socket itself, among what is handed over.
const SOCKET: &str = "upgrade_socket";

/// How long either side waits for a word of the other that costs it nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a new process may take until it is ready.
const START: Duration = Duration::from_secs(60);

/// A listener with what it is for, and where it was asked to be: port 0 stays port 0.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) key: String,
    pub(super) asked: SocketAddr,
    pub(super) listener: TcpListener,
}

/// What was taken over from the process before, or would be had from it.
#[derive(Debug, Default)]
pub(super) struct Taken {
    listeners: Vec<Named>,
    socket: Option<(PathBuf, UnixListener)>,
    /// Whom to tell that we are ready.
    before: Option<UnixStream>,
}

impl Taken {
    /// Takes over from the process that serves `path`, if there is one; else it is served from now on.
    pub(super) fn at(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("upgrade_socket {}", path.display());
        match UnixStream::connect(path) {
            Ok(stream) => Self::from(stream, path).with_context(|| {
                format!(
                    "{} is that of a process that cannot be taken over from",
                    what()
                )
            }),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused
                ) =>
            {
                let socket = serve(path).with_context(|| {
                    format!("{} cannot be made; choose a path where there is nothing, in a directory that can be written to", what())
                })?;
                Ok(Self {
                    socket: Some((path.to_owned(), socket)),
                    ..Self::default()
                })
            }
            Err(error) => Err(error).with_context(|| {
                format!(
                    "{} cannot be used; choose a path that nothing else is at",
                    what()
                )
            }),
        }
    }

    fn from(stream: UnixStream, path: &Path) -> anyhow::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        wire::send(&stream, &[TAKE_OVER.to_owned()], &[])?;
        let (lines, fds) = wire::receive(&stream)?;
        if lines.len() != fds.len() {
            bail!("it does not speak as we do");
        }
        let mut taken = Self {
            before: Some(stream),
            ..Self::default()
        };
        for (line, fd) in lines.into_iter().zip(fds) {
            if line == SOCKET {
                taken.socket = Some((path.to_owned(), fd.into()));
                continue;
            }
            let (key, asked) = line.split_once(' ').unwrap_or_default();
            let asked = asked.parse().context("it does not speak as we do")?;
            taken.listeners.push(Named {
                key: key.to_owned(),
                asked,
                listener: fd.into(),
            });
        }
        Ok(taken)
    }

    /// Whether there is a process before.
    pub(super) fn is_successor(&self) -> bool {
        self.before.is_some()
    }

    /// The listener that had this name at this address; it is not had twice.
    pub(super) fn listener(&mut self, key: &str, asked: SocketAddr) -> Option<TcpListener> {
        let listeners = &mut self.listeners;
        let index = listeners
            .iter()
            .position(|named| named.key == key && named.asked == asked)?;
        Some(listeners.remove(index).listener)
    }

    /// We are ready: the process before may go, and the next may come. When the one before is gone,
    /// `alone` is called.
    pub(super) fn ready(
        self,
        listeners: Vec<Named>,
        alone: impl FnOnce() + Send + 'static,
    ) -> io::Result<Option<Successor>> {
        if let Some(before) = self.before {
            wire::send(&before, &[READY.to_owned()], &[])?;
            before.set_read_timeout(None)?;
            let waiting = thread::Builder::new().name("throughline-before".to_owned());
            waiting.spawn(move || {
                // It says nothing any more, and its end is the end of the stream.
                let _ = wire::receive(&before);
                alone();
            })?;
        }
        let Some((path, socket)) = self.socket else {
            return Ok(None);
        };
        Successor::expect(path, socket, listeners).map(Some)
    }
}

/// Makes the socket, where nobody serves one any more. Whoever can reach it gets the listeners.
fn serve(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.file_type().is_socket() => fs::remove_file(path)?,
        // Nobody listens there either, but it is not ours to take away.
        Ok(_) => return Err(ErrorKind::AlreadyExists.into()),
        Err(_) => {}
    }
    let socket = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Waits, on a thread of its own, for the process that takes over.
#[derive(Debug)]
pub(super) struct Successor {
    is_ready: oneshot::Receiver<UnixStream>,
    path: PathBuf,
    listeners: Shared,
}

/// What is handed over; `None` when it is or when nobody is to get it any more: a listener is only gone
/// when all that have it have let go of it.
type Shared = Arc<Mutex<Option<Vec<Named>>>>;

impl Successor {
    fn expect(path: PathBuf, socket: UnixListener, listeners: Vec<Named>) -> io::Result<Self> {
        let (tell, is_ready) = oneshot::channel();
        let shared: Shared = Arc::new(Mutex::new(Some(listeners)));
        let listeners = Arc::clone(&shared);
        thread::Builder::new()
            .name("throughline-upgrade".to_owned())
            .spawn(move || {
                for stream in socket.incoming() {
                    match stream.map_err(Into::into).and_then(|s| offer(s, &socket, &listeners)) {
                        Ok(stream) => {
                            *lock(&listeners) = None;
                            let _ = tell.send(stream);
                            return;
                        }
                        Err(error) => tracing::warn!(
                            "a process was to take over and did not, so that this one goes on: {error:#}"
                        ),
                    }
                }
            })?;
        Ok(Self {
            is_ready,
            path,
            listeners: shared,
        })
    }

    /// Waits until another process has taken over; for ever, if none does. It sees by the end of the
    /// stream that we are gone.
    pub(super) async fn is_ready(&mut self) -> UnixStream {
        match (&mut self.is_ready).await {
            Ok(stream) => stream,
            Err(_) => std::future::pending().await,
        }
    }

    /// Nobody is to take over any more: the socket goes with us.
    pub(super) fn forget(self) {
        *lock(&self.listeners) = None;
        // Whoever finds it there all the same finds that nobody serves it.
        let _ = fs::remove_file(self.path);
    }
}

fn lock(listeners: &Shared) -> MutexGuard<'_, Option<Vec<Named>>> {
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands everything over to whoever is at the other end, and waits until it is ready.
fn offer(
    stream: UnixStream,
    socket: &UnixListener,
    listeners: &Shared,
) -> anyhow::Result<UnixStream> {
    let peer = rustix::net::sockopt::socket_peercred(&stream)?.uid;
    if !peer.is_root() && peer != rustix::process::getuid() {
        bail!("it runs as another user, {}", peer.as_raw());
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (asked, _) = wire::receive(&stream)?;
    if asked != [TAKE_OVER] {
        bail!("it does not speak as we do");
    }
    let held = lock(listeners);
    let Some(listeners) = held.as_deref() else {
        bail!("this one is ending");
    };
    let mut lines = vec![SOCKET.to_owned()];
    let mut fds = vec![socket.as_fd()];
    for Named {
        key,
        asked,
        listener,
    } in listeners
    {
        lines.push(format!("{key} {asked}"));
        fds.push(listener.as_fd());
    }
    if fds.len() > MAX_FDS {
        bail!("{} listeners are more than can be handed over", fds.len());
    }
    wire::send(&stream, &lines, &fds)?;
    drop(held);
    tracing::info!("another process has the listeners, and is starting");
    stream.set_read_timeout(Some(START))?;
    let (answer, _) = wire::receive(&stream).context("it ended before it was ready")?;
    match &answer[..] {
        [answer] if answer == READY => Ok(stream),
        _ => bail!("it does not speak as we do"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    fn named(key: &str) -> (Named, SocketAddr) {
        let listener = TcpListener::bind(any()).unwrap();
        let address = listener.local_addr().unwrap();
        let named = Named {
            key: key.to_owned(),
            asked: any(),
            listener,
        };
        (named, address)
    }

    /// The first process at `path`, with two listeners.
    fn first(path: &Path) -> (Successor, [SocketAddr; 2]) {
        let taken = Taken::at(path).unwrap();
        assert!(!taken.is_successor());
        let ((one, at), (other, other_at)) = (named("inbound"), named("routes"));
        let successor = taken.ready(vec![one, other], || {}).unwrap().unwrap();
        (successor, [at, other_at])
    }

    #[tokio::test]
    async fn a_successor_gets_what_it_asks_for_by_name_and_the_next_gets_it_from_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("upgrade");
        let (mut successor, addresses) = first(&path);
        for _ in 0..3 {
            let mut taken = Taken::at(&path).unwrap();
            assert!(taken.is_successor());
            assert!(taken.listener("outbound", any()).is_none());
            assert!(taken.listener("inbound", addresses[0]).is_none());
            let mut had = Vec::new();
            for (key, address) in ["inbound", "routes"].into_iter().zip(addresses) {
                let listener = taken.listener(key, any()).unwrap();
                assert_eq!(listener.local_addr().unwrap(), address);
                assert!(taken.listener(key, any()).is_none(), "not twice");
                had.push(Named {
                    key: key.to_owned(),
                    asked: any(),
                    listener,
                });
            }
            let next = taken.ready(had, || {}).unwrap().unwrap();
            successor.is_ready().await;
            successor = next;
        }
        successor.forget();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn one_that_fails_before_it_is_ready_costs_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("upgrade");
        let (mut successor, addresses) = first(&path);
        for _ in 0..3 {
            drop(Taken::at(&path).unwrap());
        }
        let stranger = UnixStream::connect(&path).unwrap();
        wire::send(&stranger, &["GET / HTTP/1.1".to_owned()], &[]).unwrap();
        assert!(wire::receive(&stranger).is_err(), "it gets nothing");
        let mut taken = Taken::at(&path).unwrap();
        let listener = taken.listener("inbound", any()).unwrap();
        assert_eq!(listener.local_addr().unwrap(), addresses[0]);
        assert!(successor.is_ready.try_recv().is_err(), "the first goes on");
        let _next = taken.ready(Vec::new(), || {}).unwrap();
        successor.is_ready().await;
    }

    #[test]
    fn a_socket_that_nobody_serves_any_more_is_made_anew_and_anything_else_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("upgrade");
        drop(UnixListener::bind(&path).unwrap());
        assert!(!Taken::at(&path).unwrap().is_successor());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let file = directory.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(Taken::at(&file).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        let nowhere = directory.path().join("none/upgrade");
        let error = format!("{:#}", Taken::at(&nowhere).unwrap_err());
        assert!(
            error.contains("there is nothing, in a directory"),
            "{error}"
        );
    }
}

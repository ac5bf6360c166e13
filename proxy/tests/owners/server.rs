//! The server of `prefork.py` as a process, and what is said to it.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::Arc,
};

use throughline::ambient;
use throughline_proxy::processes::{Carried, Socket};

/// A server that forks, which calls us.
pub(crate) struct Server {
    pub(crate) port: u16,
    calls: TcpListener,
    process: Child,
    _stdin: ChildStdin,
}

impl Server {
    pub(crate) fn start(workers: usize) -> Self {
        let calls = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/owners/prefork.py");
        let mut process = Command::new("python3")
            .arg(script)
            .args([
                workers.to_string(),
                calls.local_addr().unwrap().port().to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("this test needs python3");
        let mut port = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut port).unwrap();
        Self {
            port: port.trim().parse().unwrap(),
            calls,
            _stdin: process.stdin.take().unwrap(),
            process,
        }
    }

    /// A request on a connection of its own: nothing was said on it yet.
    pub(crate) fn request(&self) -> Request {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let (ours, app) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        let socket = Arc::new(Socket::new(app, ours, ambient::now()));
        let carried = Carried::default();
        carried.by(&socket);
        Request {
            lines: BufReader::new(stream),
            socket,
            carried,
        }
    }

    /// A request that its worker holds, and the id of that.
    pub(crate) fn held(&self) -> (Request, u32) {
        let mut request = self.request();
        let pid = request.say("hold").parse().unwrap();
        (request, pid)
    }

    /// A request that makes its worker call us, the call, and the id of the worker.
    pub(crate) fn calling(&self) -> (Request, Call, u32) {
        let mut request = self.request();
        let pid = request.say("call").parse().unwrap();
        let call = self.call();
        assert_eq!(call.pid, pid);
        (request, call, pid)
    }

    pub(crate) fn call(&self) -> Call {
        let (stream, app) = self.calls.accept().unwrap();
        let ours = stream.local_addr().unwrap();
        let mut lines = BufReader::new(stream);
        let mut pid = String::new();
        lines.read_line(&mut pid).unwrap();
        Call {
            app,
            ours,
            pid: pid.trim().parse().unwrap(),
            _stream: lines.into_inner(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
    }
}

/// A call of the server.
pub(crate) struct Call {
    pub(crate) app: SocketAddr,
    pub(crate) ours: SocketAddr,
    pub(crate) pid: u32,
    _stream: TcpStream,
}

/// A request to the server.
pub(crate) struct Request {
    lines: BufReader<TcpStream>,
    pub(crate) socket: Arc<Socket>,
    pub(crate) carried: Carried,
}

impl Request {
    /// Says what is to be done, and is told when it is.
    pub(crate) fn say(&mut self, what: &str) -> String {
        self.tell(what);
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Says what is to be done, and waits for nothing.
    pub(crate) fn tell(&mut self, what: &str) {
        self.lines
            .get_ref()
            .write_all(format!("{what}\n").as_bytes())
            .unwrap();
    }

    /// Waits until a worker has done what it was told.
    pub(crate) fn hear(&mut self, line: &mut String) {
        self.lines.read_line(line).unwrap();
    }

    /// Lets the worker go on, and waits until it has closed the connection.
    pub(crate) fn end(mut self) {
        self.tell("end");
        let mut rest = String::new();
        let _ = self.lines.read_line(&mut rest);
    }
}

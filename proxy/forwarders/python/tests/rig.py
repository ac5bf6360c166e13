"""What the tests are made of: an upstream that keeps what it gets, an app in a process, and a caller."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

TESTS = pathlib.Path(__file__).resolve().parent
FORWARDER = TESTS.parent
APPS = TESTS / "apps"
CONCURRENCY = 64
TRACE = "traceparent"
MARKER = "throughline-forwarder"
PATIENCE = 180


sys.path.insert(0, str(FORWARDER))


def needs(*packages):
    """Fails, and says how to get them, where one of the packages is not there."""
    import importlib.util

    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise AssertionError(
            "%s has no %s; `%s -m pip install -r %s`"
            % (sys.executable, ", ".join(missing), sys.executable, TESTS / "requirements.txt")
        )


def traceparent(number):
    return "00-%032x-%016x-01" % (int(number) + 1, int(number) + 1)


class Message:
    """The head and the body of a request, byte by byte."""

    def __init__(self, raw, head, body):
        self.raw = raw
        self.body = body
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.headers = [tuple(line.split(": ", 1)) for line in lines[1:] if ": " in line]

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def number(self):
        return int(re.split(r"[?/ ]", self.line.split(" HTTP/")[0])[-1])

    @property
    def source(self):
        """The number of the request whose trace it carries; None where it carries none."""
        values = self.all(TRACE)
        if not values:
            assert not self.all(MARKER), self.headers
            return None
        assert len(values) == 1 and len(self.all(MARKER)) == 1, self.headers
        return int(values[0].split("-")[2], 16) - 1


def read_message(file):
    """The next HTTP message of this file, or None at its end."""
    raw = head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        if not line:
            return None
        head += line
    raw = head
    body = b""
    lengths = re.findall(rb"(?im)^content-length: *(\d+)", head)
    if lengths:
        body = file.read(int(lengths[0]))
        raw += body
    elif re.search(rb"(?im)^transfer-encoding: *chunked", head):
        while True:
            size = file.readline()
            chunk = file.read(int(size, 16) + 2)
            raw += size + chunk
            body += chunk[:-2]
            if len(chunk) == 2:
                break
    elif head.startswith(b"HTTP/1.0"):
        body = file.read()
        raw += body
    return Message(raw, head, body)


class Upstream:
    """Answers every request, and keeps what it got. It stands for the sidecar, a proxy or a host."""

    ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    # As S3 answers, whose SDK takes any other body for an error.
    STORED = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    def __init__(self, family=socket.AF_INET, address=("127.0.0.1", 0), wrap=None, tunnels=False):
        self._tunnels = tunnels
        self._listener = socket.socket(family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)
        self._listener.listen(256)
        self._wrap = wrap
        self._came = threading.Condition()
        self.got = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self):
        return self._listener.getsockname()[1]

    @property
    def place(self):
        return "127.0.0.1:%d" % self.port

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection if self._wrap is None else self._wrap(connection) as connection:
                file = connection.makefile("rb")
                while True:
                    message = read_message(file)
                    if message is None:
                        return
                    with self._came:
                        self.got.append(message)
                        self._came.notify_all()
                    if message.line.startswith("CONNECT"):
                        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                        if not self._tunnels:
                            return
                    else:
                        is_put = message.line.startswith("PUT")
                        connection.sendall(self.STORED if is_put else self.ANSWER)
        except OSError:
            pass

    def take(self, count):
        """The requests that came since the last time, as soon as there are so many."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.got) >= count, PATIENCE), (
                count,
                len(self.got),
            )
            taken, self.got = self.got, []
            return taken

    def close(self):
        self._listener.close()


class App:
    """An app in a process of its own, with or without the forwarder."""

    def __init__(self, command, upstream, forwarder=True, **variables):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environ = environment(
            PORT=self.port, UPSTREAM="http://127.0.0.1:%d" % upstream.port, PYTHONHASHSEED="0"
        )
        if forwarder:
            environ.update(
                PYTHONPATH=str(FORWARDER),
                THROUGHLINE_FORWARD_VIA=upstream.place,
                THROUGHLINE_FORWARD_DEBUG="1",
            )
        environ.update({name: str(value) for name, value in variables.items()})
        self._log = APPS_LOG.open("ab+")
        self._from = self._log.seek(0, 2)
        words = [word.format(port=self.port) for word in command]
        self._process = subprocess.Popen(
            [sys.executable, *words],
            cwd=str(APPS),
            env=environ,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        self._await()

    @property
    def log(self):
        self._log.flush()
        with open(self._log.name, "rb") as file:
            file.seek(self._from)
            return file.read().decode("utf-8", "replace")

    def _await(self):
        """Until it listens."""
        for _ in range(PATIENCE * 20):
            assert self._process.poll() is None, self.log
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                threading.Event().wait(0.05)
        raise AssertionError(self.log)

    def connect(self):
        return Connection(self.port)

    def get(self, path, headers=()):
        connection = self.connect()
        try:
            return connection.get(path, headers)
        finally:
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()


class Connection:
    """A connection that a caller keeps, as far as the server does."""

    def __init__(self, port):
        self._port = port
        self._socket = None

    def send(self, path, headers=()):
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._file = self._socket.makefile("rb")
        lines = ["GET %s HTTP/1.1" % path, "Host: shop", "Accept: */*"]
        lines += ["%s: %s" % header for header in headers]
        self._socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def answer(self):
        message = read_message(self._file)
        assert message is not None, "no answer"
        if message.line.startswith("HTTP/1.0") or message.all("connection") == ["close"]:
            self.close()
        return message

    def get(self, path, headers=()):
        self.send(path, headers)
        return self.answer()

    def close(self):
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None


APPS_LOG = pathlib.Path(
    os.environ.get("THROUGHLINE_TEST_LOG", "/tmp/throughline-forwarder-tests.log")
)


def environment(**variables):
    """The environment of the tests without anything that concerns Python or the forwarder."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "THROUGHLINE_FORWARD", "OTEL_"))
        and name.lower() not in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    }
    environ.update({name: str(value) for name, value in variables.items()})
    return environ


def has_context(number):
    """1 in 5 requests carries none."""
    return number % 5 != 0


def hammer(app, upstream, way, rounds=2, first=0):
    """64 callers at once, each with a connection that it keeps. Counts (right, abstained, wrong, rest).

    `rest` are the calls of requests that carried no context and that carry none.
    """

    def call(caller):
        connection = app.connect()
        for turn in range(rounds):
            number = first + turn * CONCURRENCY + caller
            headers = [(TRACE, traceparent(number))] if has_context(number) else []
            answer = connection.get("/%s/%d" % (way, number), headers)
            assert " 200 " in answer.line, answer.raw
        connection.close()

    with ThreadPoolExecutor(CONCURRENCY) as callers:
        list(callers.map(call, range(CONCURRENCY)))
    return count(upstream.take(rounds * CONCURRENCY))


def count(calls):
    right = abstained = wrong = rest = 0
    for call in calls:
        if call.source is None:
            if has_context(call.number):
                abstained += 1
            else:
                rest += 1
        elif call.source == call.number and has_context(call.number):
            right += 1
        else:
            wrong += 1
    return right, abstained, wrong, rest

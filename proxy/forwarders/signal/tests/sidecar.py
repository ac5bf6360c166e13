"""The sidecar's part in the tests: it sends requests to an app, takes the app's calls, and believes a
slot of the shared file as the README says that it may. What an app says of itself is the truth."""

import collections
import contextlib
import mmap
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILT = os.path.normpath(os.path.join(HERE, "..", "..", "..", "..", "target", "signal"))
LIBRARY = os.environ.get("SIGNAL_LIBRARY") or os.path.join(BUILT, "libthroughline-signal.so")

SLOTS = 65536
ALL_ONES = (1 << 64) - 1
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"

# A call: its label, the request that made it by the app's own word, what the slot says, and what the
# sidecar believes of that; a request is known by its port, and 0 is none.
Hop = collections.namedtuple("Hop", "label truth said believed")


def now():
    return time.monotonic_ns() // 16000 & 0xFFFFFFFF


class Slots:
    """The shared file."""

    def __init__(self, path, ports=0):
        self.path = path
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, SLOTS * 16)
        os.chmod(path, 0o666)
        self.file = open(path, "r+b")
        self.memory = mmap.mmap(self.file.fileno(), SLOTS * 16)
        if ports:
            self.write(0, ports, ports ^ ALL_ONES)

    def write(self, slot, word, complement):
        struct.pack_into("=QQ", self.memory, slot * 16, word, complement)

    def read(self, slot):
        return struct.unpack_from("=QQ", self.memory, slot * 16)

    def close(self):
        self.memory.close()
        self.file.close()


class Sidecar:
    """Both sides of it. `cause` reads the truth off the head of a call; None is not counted."""

    def __init__(self, directory, ports=0, host="127.0.0.1", delay=0.0, cause=None):
        self.slots = Slots(os.path.join(directory, "slots"), ports)
        self.delay = delay
        self.cause = cause or named_cause
        self.hops = []
        self.heads = []
        # Of each connection to the app: since when a request is open on it.
        self.open = {}
        self.lock = threading.Lock()
        self.is_closed = False
        self.listener = socket.create_server((host, 0), backlog=512)
        self.via = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.is_closed = True
        # Woken, and then closed: a thread that waits in `accept` would keep it open.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.slots.close()

    # --- outbound

    def _accept(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(connection, peer[1]), daemon=True).start()

    def _take(self, connection, port):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        last_end = 0
        held = b""
        with connection:
            while True:
                head, held = read_head(connection, held)
                if head is None:
                    return
                said, believed = self._believe(port, last_end)
                length = int(value_of(head, b"content-length") or 0)
                if value_of(head, b"expect") is not None:
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                while len(held) < length:
                    held += connection.recv(65536)
                held = held[length:]
                label = (value_of(head, b"x-case") or b"").decode()
                cause = self.cause(head)
                with self.lock:
                    self.heads.append(head)
                    if cause is not None:
                        self.hops.append(Hop(label, cause, said, believed))
                if self.delay:
                    time.sleep(random.uniform(0, self.delay))
                last_end = now()
                with contextlib.suppress(OSError):
                    connection.sendall(ANSWER)
                if (value_of(head, b"connection") or b"").lower() == b"close":
                    return

    def _believe(self, port, last_end):
        if self.is_closed:
            return 0, 0
        word, complement = self.slots.read(port)
        if word == 0 or complement != word ^ ALL_ONES:
            return 0, 0
        stamp, listener, inbound = word >> 32, word >> 16 & 0xFFFF, word & 0xFFFF
        with self.lock:
            since = self.open.get(inbound)
        is_believed = last_end <= stamp <= now() and since is not None and since <= stamp
        is_believed = is_believed and listener == self.via
        return inbound, inbound if is_believed else 0

    # --- inbound

    def connect(self, port, host="127.0.0.1"):
        connection = socket.create_connection((host, port), timeout=30)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def request(self, connection, path, headers=(), body=b"", pieces=(), pause=lambda: time.sleep(0.005)):
        """Sends a request, and reads its answer: the head and the body. None: it was closed before."""
        inbound = connection.getsockname()[1]
        lines = [f"{'POST' if body or pieces else 'GET'} {path} HTTP/1.1", "host: app", *headers]
        length = len(body) + sum(len(piece) for piece in pieces)
        if length:
            lines.append(f"content-length: {length}")
        with self.lock:
            self.open[inbound] = now()
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        for piece in pieces:
            pause()
            connection.sendall(piece)
        try:
            return self._answer(connection, inbound)
        finally:
            with self.lock:
                self.open.pop(inbound, None)

    def _answer(self, connection, inbound):
        held = b""
        while True:
            try:
                bytes_ = connection.recv(65536)
            except ConnectionResetError:
                bytes_ = b""
            if not bytes_:
                return None
            if not held and not bytes_.startswith(b"HTTP/1.1 100"):
                with self.lock:
                    self.open.pop(inbound, None)
            held += bytes_
            head, end, rest = held.partition(b"\r\n\r\n")
            if end and head.startswith(b"HTTP/1.1 100"):
                held = rest
                head, end, rest = held.partition(b"\r\n\r\n")
            if not end:
                continue
            length = value_of(head + b"\r\n\r\n", b"content-length")
            if length is not None and len(rest) >= int(length):
                return head + b"\r\n\r\n", rest
            if length is None and value_of(head + b"\r\n\r\n", b"transfer-encoding"):
                if rest.endswith(b"0\r\n\r\n"):
                    return head + b"\r\n\r\n", rest
            elif length is None:
                while bytes_ := connection.recv(65536):
                    rest += bytes_
                return head + b"\r\n\r\n", rest

    # --- what came of it

    def calls(self, label):
        """What became of the calls of this name: how many right, abstained, wrong."""
        with self.lock:
            return count(hop for hop in self.hops if hop.label == label)

    def all_calls(self):
        with self.lock:
            return count(self.hops)


def count(hops):
    """A slot that says a wrong thing is wrong even where the sidecar would not have believed it."""
    result = collections.Counter()
    for hop in hops:
        if hop.said not in (0, hop.truth):
            result["wrong"] += 1
        else:
            result["right" if hop.believed else "abstained"] += 1
    return result["right"], result["abstained"], result["wrong"]


def named_cause(head):
    value = value_of(head, b"x-cause")
    return None if value is None else int(value)


def value_of(head, name):
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def read_head(connection, held):
    while b"\r\n\r\n" not in held:
        try:
            bytes_ = connection.recv(65536)
        except OSError:
            return None, b""
        # What does not speak HTTP/1 is answered too.
        if bytes_ == b"\x16\x03\x01":
            connection.sendall(ANSWER)
            continue
        if not bytes_:
            return None, b""
        held += bytes_
    if held.startswith(b"PRI "):
        connection.sendall(ANSWER)
        return read_head(connection, held[24:])
    head, _, held = held.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", held


def environment(sidecar=None, **changes):
    """The environment of an app that the library is loaded into."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("THROUGHLINE")}
    variables["LD_PRELOAD"] = LIBRARY
    if sidecar:
        variables["THROUGHLINE_FORWARD_VIA"] = f"127.0.0.1:{sidecar.via}"
        variables["THROUGHLINE_SIGNAL"] = sidecar.slots.path
    for name, value in changes.items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    return variables


@contextlib.contextmanager
def running(command, variables, **options):
    """A program for as long as the block runs, with all that it has started."""
    process = subprocess.Popen(command, env=variables, start_new_session=True, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        if process.stdout:
            process.stdout.close()


def wait_until(holds, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"waited {seconds} s in vain for {holds}")
        time.sleep(0.01)

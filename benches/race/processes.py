"""Processes on a core of their own, and what the kernel says they cost.

A process that is started here ends with the race, however the race ends: it is told to when the
stack unwinds, and by the kernel if the race itself is killed.
"""

import ctypes
import os
import pathlib
import signal
import socket
import subprocess

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_TICK_NANOS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Process:
    """A command that runs on one core, with its children."""

    def __init__(self, command, environment, core, log):
        def before_exec():
            os.sched_setaffinity(0, {core})
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        with open(log, "wb") as out:
            self._child = subprocess.Popen(
                command,
                # Only what is named here: a setting of whoever runs the race must not change it.
                env={"PATH": os.environ.get("PATH", ""), **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=before_exec,
                start_new_session=True,
            )

    def stop(self):
        """Ends it, kindly at first."""
        self._child.terminate()
        try:
            self._child.wait(3)
        except subprocess.TimeoutExpired:
            pass
        # Its session holds whatever it left behind.
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._child.wait()

    def cpu_nanos(self):
        """The CPU time of all its living threads, to the nanosecond."""
        nanos = 0
        for pid in self._pids():
            for file in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    nanos += int(file.read_text().split()[0])
                except (FileNotFoundError, ProcessLookupError):
                    pass  # A thread that has just ended.
        return nanos

    def tick_nanos(self):
        """Its user and system time, also of threads that have ended, to the clock tick."""
        return sum(sum(map(int, _stat(pid)[11:13])) for pid in self._pids()) * _TICK_NANOS

    def rss_kib(self):
        """The memory that it holds; what its processes share is counted for each."""
        statuses = (pathlib.Path(f"/proc/{pid}/status").read_text() for pid in self._pids())
        lines = (line for text in statuses for line in text.splitlines())
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def _pids(self):
        """The process and its children."""
        if self._child.poll() is not None:
            raise ChildProcessError(f"{self._child.args[0]} ended with {self._child.returncode}")
        pids, parents = [], {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    parents[int(entry)] = int(_stat(entry)[1])
                except (FileNotFoundError, ProcessLookupError):
                    pass
        frontier = [self._child.pid]
        while frontier:
            pids += frontier
            frontier = [pid for pid, parent in parents.items() if parent in frontier]
        return pids


def _stat(pid):
    """The fields of /proc/PID/stat after the name, which may itself hold spaces."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def busy_nanos(core):
    """For how long `core` has not been idle."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if fields[0] == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[1:9])
            return (user + nice + system + irq + softirq + steal) * _TICK_NANOS
    raise LookupError(f"there is no core {core}")


def free_ports(count):
    """Ports that nobody listens on; all are held until the last is found, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports

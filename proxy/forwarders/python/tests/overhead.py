"""What the forwarder costs, beside OpenTelemetry's automatic instrumentation. Run by hand:

    python proxy/forwarders/python/tests/overhead.py [rounds] [requests]

The same small Flask app, which calls with requests, is served by one gunicorn worker: alone, with the
forwarder, and under `opentelemetry-instrument` with Flask and requests instrumented and no exporter, which
is the least that it can cost. Rounds alternate. CPU is the worker's own, from /proc.
"""

import os
import statistics
import subprocess
import sys
import time

import rig

APP = [
    "-m",
    "gunicorn",
    "--bind",
    "127.0.0.1:{port}",
    "--log-level",
    "warning",
    "--threads",
    "2",
    "frameworks:flask()",
]
RUN = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
NO_EXPORT = {"OTEL_%s_EXPORTER" % kind: "none" for kind in ("TRACES", "METRICS", "LOGS")}
KINDS = {
    "nothing": (APP, False),
    "forwarder": (APP, True),
    "opentelemetry": (["-c", RUN, sys.executable, *APP], False),
}
TICK = os.sysconf("SC_CLK_TCK")


def worker_of(master):
    """The youngest of its children."""
    with open("/proc/%d/task/%d/children" % (master, master)) as file:
        return int(file.read().split()[-1])


def cpu(pid):
    with open("/proc/%d/stat" % pid) as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid):
    with open("/proc/%d/status" % pid) as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))


def measure(kind, upstream, requests):
    command, forwarder = KINDS[kind]
    started = time.monotonic()
    with rig.App(command, upstream, forwarder, THROUGHLINE_FORWARD_DEBUG="0", **NO_EXPORT) as app:
        connection = app.connect()
        connection.get("/nothing/1")
        start = time.monotonic() - started
        headers = [(rig.TRACE, rig.traceparent(1))]
        for _ in range(300):
            connection.get("/by_session/1", headers)
        calls = upstream.take(300)
        assert bool(calls[-1].all(rig.TRACE)) == (kind != "nothing"), calls[-1].headers
        worker = worker_of(app._process.pid)
        before, began = cpu(worker), time.monotonic()
        for _ in range(requests):
            connection.get("/by_session/1", headers)
        spent, took = cpu(worker) - before, time.monotonic() - began
        size = resident(worker)
        connection.close()
    upstream.take(requests)
    return spent / requests * 1e6, took / requests * 1e6, start * 1e3, size


def bare_start(**variables):
    """Milliseconds of CPU that a Python takes which does nothing, the median of 30."""
    times = []
    for _ in range(30):
        before = os.times()
        subprocess.run([sys.executable, "-c", "0"], env=rig.environment(**variables), check=True)
        after = os.times()
        times.append(after[2] + after[3] - before[2] - before[3])
    return statistics.mean(times) * 1e3


def main(rounds=3, requests=4000):
    rig.needs(
        "flask",
        "requests",
        "gunicorn",
        "opentelemetry.sdk",
        "opentelemetry.instrumentation.requests",
    )
    upstream = rig.Upstream()
    all_figures = {kind: [] for kind in KINDS}
    print("%-14s %12s %12s %10s %8s" % ("", "CPU us/req", "time us/req", "start ms", "RSS MB"))
    for _ in range(rounds):
        for kind in KINDS:
            figures = measure(kind, upstream, requests)
            all_figures[kind].append(figures)
            print("%-14s %12.0f %12.0f %10.0f %8.1f" % (kind, *figures), flush=True)
    medians = {
        kind: [statistics.median(column) for column in zip(*rows)]
        for kind, rows in all_figures.items()
    }
    ours, theirs = (
        [a - b for a, b in zip(medians[kind], medians["nothing"])]
        for kind in ("forwarder", "opentelemetry")
    )
    print("%-14s %12.0f %12.0f %10.0f %8.1f" % ("ours adds", *ours))
    print("%-14s %12.0f %12.0f %10.0f %8.1f" % ("theirs adds", *theirs))
    forwarder = {"PYTHONPATH": str(rig.FORWARDER), "THROUGHLINE_FORWARD_VIA": upstream.place}
    print(
        "python -c 0, CPU ms: %.1f, with the forwarder %.1f"
        % (bare_start(), bare_start(**forwarder))
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

#!/usr/bin/env python3
"""What does a hop through the sidecar cost, beside a hop through nginx and Envoy?

One run starts an upstream, a sink for spans and every peer that is installed, and carries the same
requests through each peer in turn, round by round. What is compared is CPU time per request: it does
not depend on how much the machine had left, as throughput does. README.md has the method.

    python3 benches/race/race.py --rounds 7 --seconds 4 --out benches/race/runs/today.json
"""

import argparse
import contextlib
import datetime
import functools
import http.client
import json
import os
import pathlib
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import peers
import report
from processes import Process, busy_nanos, free_ports

HERE = pathlib.Path(__file__).resolve().parent
# The load, the upstream and the sink share one core; whoever is raced has the other to itself.
LOAD_CORE, PEER_CORE = 0, 1
CONNECTIONS = 64
WARM_UP_SECONDS = 1


def main():
    arguments = parse_arguments()
    if arguments.show:
        raw = json.loads(pathlib.Path(arguments.show).read_text())
        print(report.render(raw))
        return 0 if report.all_valid(raw) else 1
    # A signal must unwind the stack below, which ends everything that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as stack:
        raw = race(arguments, stack)
    print(report.render(raw))
    if arguments.out:
        pathlib.Path(arguments.out).write_text(json.dumps(raw, indent=1) + "\n")
    return 0 if report.all_valid(raw) else 1


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each peer has its turn")
    parser.add_argument("--seconds", type=int, default=4, help="how long a turn is")
    parser.add_argument("--only", default="", help="names of peers, with commas between them")
    parser.add_argument("--out", metavar="FILE", help="where the raw results go, as JSON")
    parser.add_argument("--show", metavar="FILE", help="print the table of an earlier run, and end")
    parser.add_argument(
        "--throughline",
        metavar="BINARY",
        default=str(HERE.parents[1] / "target/dist/throughline"),
        help="the sidecar (default: target/dist/throughline)",
    )
    parser.add_argument(
        "--beside",
        metavar="NAME=BINARY",
        action="append",
        default=[],
        help="race another build of the sidecar too, inbound and traced; can be repeated",
    )
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.seconds < 1:
        parser.error("--rounds and --seconds count from 1")
    if any("=" not in beside for beside in arguments.beside):
        parser.error("--beside takes NAME=BINARY")
    return arguments


def race(arguments, stack):
    for tool, package in (("wrk", "wrk"), ("nginx", "nginx")):
        if not shutil.which(tool):
            sys.exit(f"there is no {tool} here, and no race without it: apt install {package}")
    if os.cpu_count() < 2:
        sys.exit("a race needs two cores: one for the load, one for whoever is raced")
    folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="race-")))

    entrants, missing = peers.installed(arguments.throughline, arguments.beside)
    if only := [name for name in arguments.only.split(",") if name]:
        known = {peer.name for peer in entrants} | {name for name, _ in missing}
        if unknown := set(only) - known:
            sys.exit(f"no peer is called {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
        entrants = [peer for peer in entrants if peer.name in only]
        missing = [(name, why) for name, why in missing if name in only]
    for name, why in missing:
        print(f"{name} is not raced: {why}", file=sys.stderr)

    ports = free_ports(2 + len(entrants))
    upstream, sink = ports[:2]
    command = peers.write_upstream(folder, upstream)
    start("upstream", command, {}, LOAD_CORE, folder, stack)
    command = [sys.executable, str(HERE / "sink.py"), str(sink)]
    start("sink", command, {}, LOAD_CORE, folder, stack)
    wait_for("upstream", upstream, "/", folder)
    wait_for("sink", sink, "/counts", folder)

    running = {}
    for peer, port in zip(entrants, ports[2:]):
        command, environment = peer.prepare(peers.Site(folder, peer.name, port, upstream, sink))
        process = start(peer.name, command, environment, PEER_CORE, folder, stack)
        probes = wait_for(peer.name, port, "/", folder)
        running[peer.name] = (peer, port, process, probes)

    raw = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(entrants),
        "load": {
            "connections": CONNECTIONS,
            "seconds": arguments.seconds,
            "warm_up_seconds": WARM_UP_SECONDS,
            "load_average_before": os.getloadavg(),
        },
        "missing": [{"name": name, "why": why} for name, why in missing],
        "peers": [
            {
                "name": peer.name,
                "what": peer.what,
                "spans_per_request": peer.spans_per_request,
                "requests": probes,
                "runs": 0,
                "rounds": [],
            }
            for peer, _, _, probes in running.values()
        ],
    }
    results = {peer["name"]: peer for peer in raw["peers"]}
    for number in range(arguments.rounds):
        # No peer always follows the same other one, and a run can be repeated in the same order.
        order = sorted(running)
        random.Random(number).shuffle(order)
        for name in order:
            _, port, process, _ = running[name]
            warm_up = carry(port, WARM_UP_SECONDS)
            turn = measured_turn(process, port, arguments.seconds)
            result = results[name]
            result["requests"] += warm_up["requests"] + turn["requests"]
            result["runs"] += 2
            result["rounds"].append(turn)
            us = turn["cpu_ns"] / max(turn["requests"], 1) / 1000
            print(f"round {number + 1}/{arguments.rounds}  {name:24} {us:7.2f} us", file=sys.stderr)
    raw["load"]["load_average_after"] = os.getloadavg()
    for name, spans in settled_counts(sink).items():
        if name in results:
            results[name]["spans"] = spans
    return raw


def start(name, command, environment, core, folder, stack):
    process = Process(command, environment, core, folder / f"{name}.log")
    stack.callback(process.stop)
    return process


def wait_for(name, port, path, folder):
    """Asks until there is an answer with status 200; how many requests were answered."""
    deadline = time.monotonic() + 15
    last, answered = "nothing listens", 0
    while time.monotonic() < deadline:
        try:
            status, _ = fetch(port, path)
        except OSError as error:
            last = str(error)
        else:
            answered += 1
            if status == 200:
                return answered
            last = f"status {status}"
        time.sleep(0.1)
    log = (folder / f"{name}.log").read_text(errors="replace")[-2000:]
    sys.exit(f"{name} did not become ready ({last}); it said:\n{log}")


def fetch(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()


def measured_turn(process, port, seconds):
    """One turn of one peer, and what it cost."""
    cpu, ticks, core = process.cpu_nanos(), process.tick_nanos(), busy_nanos(PEER_CORE)
    turn = carry(port, seconds)
    cpu, ticks, core = (
        process.cpu_nanos() - cpu,
        process.tick_nanos() - ticks,
        busy_nanos(PEER_CORE) - core,
    )
    return turn | {
        "cpu_ns": cpu,
        # The same by another account of the kernel, which also has threads that have ended.
        "tick_ns": ticks,
        # What others did on the peer's core meanwhile: how much of the noise was ours to see.
        "foreign_ns": max(core - ticks, 0),
        "rss_kib": process.rss_kib(),
    }


def carry(port, seconds):
    """Loads the peer at `port` with as much as it takes."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"http://127.0.0.1:{port}/"]
    pin = functools.partial(os.sched_setaffinity, 0, {LOAD_CORE})
    said = subprocess.run(command, preexec_fn=pin, capture_output=True, text=True, check=True)
    return parse_wrk(said.stdout)


def parse_wrk(text):
    """Requests, answers other than 2xx and 3xx, and errors of sockets."""
    requests = re.search(r"(\d+) requests in", text)
    if not requests:
        raise ValueError(f"wrk said nothing of requests:\n{text}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return {
        "requests": int(requests[1]),
        "refused": int(refused[1]) if refused else 0,
        "errors": sum(map(int, errors.groups())) if errors else 0,
    }


def settled_counts(sink):
    """How many spans came from each peer, once no more come."""
    counts, quiet = None, 0
    # Exporters wait up to five seconds for a batch to fill.
    while quiet < 7:
        time.sleep(1)
        _, body = fetch(sink, "/counts")
        now = json.loads(body)
        quiet = quiet + 1 if now == counts else 0
        counts = now
    return counts


def machine():
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    flags = re.search(r"flags\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "cpu": cpu[1] if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "virtual": bool(flags and "hypervisor" in flags[1].split()),
        "kernel": platform.release(),
    }


def versions(entrants):
    wrk = re.search(r"wrk (?:debian/)?(\S+)", first_line(["wrk", "-v"]))
    found = {"wrk": wrk[1] if wrk else "unknown", "python": platform.python_version()}
    for peer in entrants:
        found |= peer.version()
    git = ["git", "-C", str(HERE)]
    found["commit"] = first_line([*git, "describe", "--always", "--dirty", "--abbrev=10"])
    return found


def first_line(command):
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (said.stdout + said.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

"""The table of a race, from its raw results alone.

The medians of a peer's rounds are not divided by each other: a slow minute would fall on whoever had
its turn in it. Each round is, and the median of these ratios is what is compared with a target.
"""

import statistics

# A span more or less than configured, in a hundred requests: load that is cut off at the end of a
# turn has its spans too, without being counted as answered.
TOLERANCE = 0.01
# What was promised: the most that a traced hop may cost, as a ratio to these peers.
TARGETS = (("throughline-inbound", "nginx", 1.5), ("throughline-inbound", "envoy-1-span", 0.3))
BASES = ("nginx", "envoy-1-span", "envoy-2-spans")


def render(raw):
    """The whole report, in Markdown."""
    peers = {peer["name"]: peer for peer in raw["peers"]}
    bases = [base for base in BASES if base in peers]
    heads = ["peer", "us/request, median", "lowest"]
    heads += [f"of {base}" for base in bases]
    heads += ["spans/request", "requests/s", "RSS MiB", "foreign CPU", "failed", "valid"]
    rows = []
    for peer in raw["peers"]:
        costs = [cost(turn) for turn in peer["rounds"]]
        ratios = [f"{ratio(peer, peers[base]):.2f}" for base in bases]
        rows.append(
            [
                peer["what"],
                f"{statistics.median(costs):.1f}",
                f"{min(costs):.1f}",
                *ratios,
                f"{spans_per_request(peer):.2f}",
                f"{rate(peer, raw['load']['seconds']):.0f}",
                f"{max(turn['rss_kib'] for turn in peer['rounds']) / 1024:.0f}",
                f"{foreign(peer, raw['load']['seconds']):.0%}",
                str(failed(peer)),
                "; ".join(objections(peer)) or "yes",
            ]
        )
    parts = [table(heads, rows), facts(raw)]
    if verdicts := [verdict(peers, *target) for target in TARGETS if {*target[:2]} <= {*peers}]:
        parts.append("\n".join(verdicts))
    return "\n\n".join(parts)


def all_valid(raw):
    return not any(objections(peer) for peer in raw["peers"])


def cost(turn):
    """CPU time per request, in microseconds."""
    return turn["cpu_ns"] / max(turn["requests"], 1) / 1000


def ratio(peer, base):
    """How much more `peer` costs than `base`: the median over the rounds."""
    pairs = zip(peer["rounds"], base["rounds"])
    return statistics.median(cost(ours) / cost(theirs) for ours, theirs in pairs)


def spans_per_request(peer):
    return peer.get("spans", 0) / max(peer["requests"], 1)


def rate(peer, seconds):
    return statistics.median(turn["requests"] for turn in peer["rounds"]) / seconds


def foreign(peer, seconds):
    """How much of the peer's core went to others."""
    return statistics.median(turn["foreign_ns"] for turn in peer["rounds"]) / (seconds * 1e9)


def failed(peer):
    return sum(turn["refused"] + turn["errors"] for turn in peer["rounds"])


def objections(peer):
    """Why a row must not be compared with others."""
    found = []
    spans, expected = spans_per_request(peer), peer["spans_per_request"]
    if abs(spans - expected) > TOLERANCE * max(expected, 1):
        found.append(f"INVALID: {spans:.3f} spans a request came, and not {expected}")
    if failed(peer):
        found.append(f"INVALID: {failed(peer)} requests failed")
    ours, kernels = (sum(turn[key] for turn in peer["rounds"]) for key in ("cpu_ns", "tick_ns"))
    if abs(ours - kernels) > 0.1 * kernels:
        found.append(f"INVALID: {ours / 1e9:.2f} s of CPU by thread, {kernels / 1e9:.2f} s by process")
    return found


def verdict(peers, name, base, most):
    got = ratio(peers[name], peers[base])
    word = "met" if got <= most else "MISSED"
    return f"- target: at most {most} of {base}; {got:.2f}, {word}"


def facts(raw):
    machine, load = raw["machine"], raw["load"]
    kind = "virtual, " if machine["virtual"] else ""
    before, after = load["load_average_before"][0], load["load_average_after"][0]
    turns = max(len(peer["rounds"]) for peer in raw["peers"])
    lines = [
        f"- {raw['date']}; commit {raw['versions']['commit']}",
        f"- {machine['cpu']} ({kind}{machine['cores']} cores), Linux {machine['kernel']};"
        f" load average {before:.1f} before, {after:.1f} after",
        f"- {turns} rounds of {load['seconds']} s, {load['connections']} connections of HTTP/1.1,"
        " answers of 1 KiB",
        "- " + ", ".join(f"{name} {version}" for name, version in raw["versions"].items() if name != "commit"),
    ]
    lines += [f"- {gone['name']} is missing: {gone['why']}" for gone in raw["missing"]]
    return "\n".join(lines)


def table(heads, rows):
    """A table in Markdown that can be read as it is, too: text to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows)]
    is_text = [column in (0, len(heads) - 1) for column in range(len(heads))]

    def line(cells):
        fitted = (
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(cells, widths, is_text)
        )
        return "| " + " | ".join(fitted) + " |"

    rule = ["-" * width if text else "-" * (width - 1) + ":" for width, text in zip(widths, is_text)]
    return "\n".join(map(line, [heads, rule, *rows]))

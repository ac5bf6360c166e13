"""What is copied, and onto which calls: the rules that all forwarders share, without any state."""

NAMES = (
    "traceparent",
    "tracestate",
    "x-amzn-trace-id",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "uber-trace-id",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-origin",
    "x-datadog-tags",
)
MARKER = ("throughline-forwarder", "python/0.1.0")
LONGEST = 4096

_VISIBLE = frozenset(range(0x20, 0x7F))
# By the name as text and as bytes, since servers hand out both.
_KNOWN = {name: name for name in NAMES}
_KNOWN.update((name.encode(), name) for name in NAMES)
_UPGRADE = ("upgrade", b"upgrade")
_PRESENT = frozenset(_KNOWN) | {MARKER[0], MARKER[0].encode()}
_SAME_HOST = ("localhost", "127.0.0.1", "::1")


def pick(headers):
    """What to copy of a request's headers, which are pairs of text or of bytes.

    A WebSocket carries none: what is done in a connection of hours is not the work of one request.
    """
    found = {}
    for name, value in headers:
        name = name.lower()
        known = _KNOWN.get(name)
        if known is not None:
            # A second one takes the place of the first, and fits nothing.
            found[known] = None if known in found else _text(value)
        elif name in _UPGRADE and value.lower() in ("websocket", b"websocket"):
            return ()
    if found.get("traceparent") is None:
        found.pop("tracestate", None)
    picked = [(name, value) for name, value in found.items() if value is not None]
    return (*picked, MARKER) if picked else ()


def _text(value):
    """The value as text, if it is one that may be copied."""
    if not value or len(value) > LONGEST:
        return None
    try:
        octets = value if isinstance(value, bytes) else value.encode("ascii")
    except UnicodeError:
        return None
    return octets.decode("ascii") if _VISIBLE.issuperset(octets) else None


def carries(names):
    """Whether a call with headers of these names is the app's own affair."""
    return any(name.lower() in _PRESENT for name in names)


def host_of(authority):
    """The host of `user@host:port`, of text or bytes; "" where there is none."""
    if isinstance(authority, bytes):
        authority = authority.decode("latin-1")
    authority = authority.rpartition("@")[2].strip().lower()
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0].rstrip(".")


def port_of(authority, otherwise=80):
    """The port of `user@host:port`, of text or bytes."""
    if isinstance(authority, bytes):
        authority = authority.decode("latin-1")
    _, colon, port = authority.rpartition("@")[2].rpartition(":")
    return int(port) if colon and port.isdecimal() else otherwise


def authority_of(target):
    """The authority of a request target in absolute form, of text or bytes; None in another form."""
    if isinstance(target, bytes):
        target = target.decode("latin-1")
    scheme, there, rest = target.partition("://")
    if not there or scheme.lower() not in ("http", "https"):
        return None
    for end in "/?#":
        rest = rest.partition(end)[0]
    return rest


class Settings:
    """What the variables say. A part that makes no sense is as if it were not there."""

    def __init__(self, variables):
        places = _list(variables.get("THROUGHLINE_FORWARD_VIA", ""))
        self.everywhere = "*" in places
        self._places = frozenset(filter(None, map(_place, places)))
        self._left_out = _list(variables.get("THROUGHLINE_FORWARD_EXCLUDE", ""))
        grace = variables.get("THROUGHLINE_FORWARD_GRACE_MS", "").strip()
        self.grace = int(grace) / 1000 if grace.isdecimal() else 0

    def takes(self, host, port):
        """Whether the sidecar takes what is sent in plain text to this address."""
        return self.everywhere or (_one_name(host), port) in self._places

    def leaves_out(self, host):
        """Whether no header is to go to this target."""
        for name in self._left_out:
            if host == name.strip(".") or (
                name.startswith(".") and host.endswith(name.rstrip("."))
            ):
                return True
        return False


def _list(text):
    return [part.strip().lower() for part in text.split(",") if part.strip()]


def _place(text):
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        return None
    return _one_name(host.strip("[]")), int(port)


def _one_name(host):
    host = host.lower()
    if host.startswith("::ffff:"):
        host = host[7:]
    return _SAME_HOST[0] if host in _SAME_HOST else host

"""The clients: where they write the head of a request, the headers to copy go along.

By then the app and its libraries are done with the request, so a signature is made and nothing that the
app can look at later changes. What counts is the connection's own peer, not what a URL says.
"""

from . import handling, rules
from .hooks import replace

_HTTP_CLIENT = ("HTTPConnection.connect", "HTTPConnection._new_conn")


def _http_client(module):
    """`http.client`, and with it requests, urllib, urllib3 and boto3."""

    def make(original, hook):
        def endheaders(self, *args, **kwargs):
            if hook.up:
                try:
                    if handling.current.get() is not None:
                        _add_to_buffer(self)
                except Exception as error:
                    hook.failed(error)
            return original(self, *args, **kwargs)

        return endheaders

    replace(module.HTTPConnection, "endheaders", ("self message_body encode_chunked",), make)


def _add_to_buffer(connection):
    if connection._HTTPConnection__state != "Request-started":
        return
    lines = connection._buffer
    method, _, rest = lines[0].partition(b" ")
    target, _, version = rest.rpartition(b" ")
    names = [line.partition(b":")[0].strip() for line in lines[1:]]
    if method == b"CONNECT" or version != b"HTTP/1.1" or rules.carries(names):
        return
    if not _is_taken(connection):
        return
    authority = rules.authority_of(target)
    if authority is None:
        hosts = [line.partition(b":")[2] for line in lines[1:] if line[:5].lower() == b"host:"]
        authority = hosts[0].strip() if hosts else _bracketed(connection.host)
    if handling.settings.leaves_out(rules.host_of(authority)):
        return
    headers = handling.headers_to_copy()
    lines.extend(b"%s: %s" % (name.encode(), value.encode()) for name, value in headers)


def _is_taken(connection):
    """Whether the bytes go to the sidecar in plain text, on a connection that may not be open yet."""
    settings, host, port = handling.settings, connection.host, connection.port
    if connection._tunnel_host or not all(map(_is_known, _ways(connection))):
        return False
    if connection.sock is None:
        return settings.takes(host, port)
    peer = _peer_of_socket(connection.sock)
    # A place may be given by a name, which the peer's address does not tell.
    return peer is not None and (
        settings.takes(*peer) or (settings.takes(host, port) and peer[1] == port)
    )


def _ways(connection):
    """How this connection gets its socket."""
    kind = type(connection)
    yield kind.connect
    if hasattr(kind, "_new_conn"):
        yield kind._new_conn
    else:
        yield connection._create_connection


def _is_known(way):
    """Whether it is the plain way of http.client or urllib3: not TLS, SOCKS or a socket in a file."""
    module, name = getattr(way, "__module__", ""), getattr(way, "__qualname__", "")
    if name in _HTTP_CLIENT:
        return module == "http.client" or ("." + module).endswith(".urllib3.connection")
    return name == "create_connection" and (module == "socket" or module.startswith("gevent."))


def _peer_of_socket(sock):
    if type(sock).__module__ not in ("socket", "gevent._socket3"):
        return None
    try:
        peer = sock.getpeername()
    except OSError:
        return None
    return peer[:2] if isinstance(peer, tuple) else None


def _bracketed(host):
    return "[%s]" % host if ":" in host else host


def _httpcore(kind):
    """`httpcore`, and with it httpx. The same for its twins, of which one is awaited."""

    def make(original, hook):
        def _send_request_headers(self, request):
            if hook.up:
                try:
                    if handling.current.get() is not None:
                        request = _with_headers(request, self._network_stream)
                except Exception as error:
                    hook.failed(error)
            return original(self, request)

        return _send_request_headers

    def install(module):
        replace(getattr(module, kind), "_send_request_headers", ("self request",), make)

    return install


def _with_headers(request, stream):
    url = request.url
    if request.method == b"CONNECT" or rules.carries(name for name, _ in request.headers):
        return request
    try:
        is_plain = stream.get_extra_info("ssl_object") is None
        peer = stream.get_extra_info("server_addr")
    except OSError:
        return request
    authority = rules.authority_of(url.target)
    dialled = (rules.host_of(url.host), url.port or 80) if authority is None else None
    if authority is None:
        hosts = [value for name, value in request.headers if name.lower() == b"host"]
        authority = hosts[0] if hosts else url.host
    if not is_plain or not _is_for_peer(peer, dialled, authority):
        return request
    headers = handling.headers_to_copy()
    if not headers:
        return request
    copy = object.__new__(type(request))
    copy.__dict__.update(request.__dict__)
    copy.headers = [*request.headers, *((name.encode(), value.encode()) for name, value in headers)]
    return copy


def _is_for_peer(peer, dialled, authority):
    """Whether a call to this authority, on a plain connection to this peer, may carry headers.

    `dialled` is the host, if it is known, and the port that the app called. A call that says its target
    in full went to a proxy, and has none.
    """
    if not isinstance(peer, tuple):
        return False
    settings = handling.settings
    host, port = dialled or (None, peer[1])
    if peer[1] != port and settings.everywhere:
        # It went another way, such as SOCKS, and the sidecar sees nothing of it.
        return False
    taken = settings.takes(*peer[:2]) or (host and peer[1] == port and settings.takes(host, port))
    return taken and not settings.leaves_out(rules.host_of(authority))


def _aiohttp(module):
    """aiohttp's client. Its writer is the server's too: a response's first line says so."""

    def make(original, hook):
        def write_headers(self, status_line, headers):
            if hook.up:
                try:
                    if handling.current.get() is not None and not status_line.startswith("HTTP/"):
                        headers = _with_pairs(headers, status_line, self.transport)
                except Exception as error:
                    hook.failed(error)
            return original(self, status_line, headers)

        return write_headers

    replace(module.StreamWriter, "write_headers", ("self status_line headers",), make)


def _with_pairs(headers, request_line, transport):
    method, _, rest = request_line.partition(" ")
    if method == "CONNECT" or rules.carries(headers):
        return headers
    if transport.get_extra_info("sslcontext") or transport.get_extra_info("ssl_object"):
        return headers
    authority, dialled = rules.authority_of(rest.rpartition(" ")[0]), None
    if authority is None:
        authority = headers.get("Host", "")
        # The app may have set it to another host than the one it called: no more than a hint.
        dialled = (None, rules.port_of(authority))
    if not _is_for_peer(transport.get_extra_info("peername"), dialled, authority):
        return headers
    copied = handling.headers_to_copy()
    if not copied:
        return headers
    copy = headers.copy()
    for name, value in copied:
        copy.add(name, value)
    return copy


HOOKS = {
    "aiohttp.http_writer": _aiohttp,
    "http.client": _http_client,
    "httpcore._async.http11": _httpcore("AsyncHTTP11Connection"),
    "httpcore._sync.http11": _httpcore("HTTP11Connection"),
}

"""The servers: where one of them handles a request, that request is the one being handled.

The app and what it returns are never wrapped, since servers look at both: uvicorn at the app's type,
others at the length and the type of what a WSGI app returns. The server's own function around them is.
It returns when the last byte is handed over and a WSGI app's result is closed. Where a server can do
more after that, its function that sends the last part ends the request too.
"""

from _thread import _local

from . import handling
from .hooks import replace


def _around(headers_of):
    """For a function that handles a request, and returns when the response has ended."""

    def make(original, hook):
        def handle(self, *args, **kwargs):
            entered = _enter(hook, headers_of, self, args)
            if entered is None:
                return original(self, *args, **kwargs)
            try:
                return original(self, *args, **kwargs)
            finally:
                _leave(hook, *entered)

        return handle

    return make


def _around_task(headers_of, owner_of=None):
    """For a coroutine that does so. What `owner_of` tells gets to know the request."""

    def make(original, hook):
        async def handle(self, *args, **kwargs):
            entered = _enter(hook, headers_of, self, args, owner_of)
            if entered is None:
                return await original(self, *args, **kwargs)
            try:
                return await original(self, *args, **kwargs)
            finally:
                _leave(hook, *entered)

        return handle

    return make


def _enter(hook, headers_of, server, args, owner_of=None):
    if not hook.up:
        return None
    try:
        headers = headers_of(server, *args)
        if headers is None:
            return None
        request = handling.begin(headers)
        if request is not None and owner_of is not None:
            owner_of(server, *args)._throughline_request = request
        # None too: what was handled before on this connection is no business of this request.
        return request, handling.current.set(request)
    except Exception as error:
        hook.failed(error)
        return None


def _leave(hook, request, token):
    try:
        if request is not None:
            request.end()
        handling.current.reset(token)
    except ValueError:
        # A coroutine that was never finished is closed wherever that happens.
        pass
    except Exception as error:
        hook.failed(error)


def _end(hook, owner, has_ended=lambda: True):
    """The response that `owner` sends may have ended."""
    try:
        request = owner.__dict__.get("_throughline_request")
        if request is not None and has_ended():
            request.end()
    except Exception as error:
        hook.failed(error)


# gunicorn


def _gunicorn(kind, arguments, position):
    def install(module):
        make = _around(lambda worker, *args: args[position].headers)
        replace(getattr(module, kind), "handle_request", (arguments,), make)

    return install


# http.server, and the WSGI servers that are made of it


def _http_server(module):
    def handling_one(original, hook):
        def handle_one_request(self):
            request = token = None
            if hook.up:
                try:
                    # The head is still to be read. Until it is, there is nothing to copy.
                    request = self._throughline_reading = handling.Request(())
                    token = handling.current.set(request)
                except Exception as error:
                    hook.failed(error)
            if token is None:
                return original(self)
            try:
                return original(self)
            finally:
                self.__dict__.pop("_throughline_reading", None)
                _leave(hook, request, token)

        return handle_one_request

    def parsing(original, hook):
        def parse_request(self):
            parsed = original(self)
            if parsed and hook.up:
                try:
                    reading = self.__dict__.pop("_throughline_reading", None)
                    request = reading and handling.begin(self.headers.items())
                    if request:
                        reading.headers = request.headers
                except Exception as error:
                    hook.failed(error)
            return parsed

        return parse_request

    kind = module.BaseHTTPRequestHandler
    if replace(kind, "parse_request", ("self",), parsing):
        replace(kind, "handle_one_request", ("self",), handling_one)


def _wsgiref(module):
    def headers_of(handler, application):
        # Only a handler of a server has a request of its own; a CGI script's has none.
        request = getattr(handler, "request_handler", None)
        return None if request is None else request.headers.items()

    replace(module.BaseHandler, "run", ("self application",), _around(headers_of))


def _werkzeug(module):
    make = _around(lambda handler: handler.headers.items())
    replace(module.WSGIRequestHandler, "run_wsgi", ("self",), make)


def _pywsgi(module):
    make = _around(lambda handler: handler.headers.items())
    replace(module.WSGIHandler, "handle_one_response", ("self",), make)


# waitress, which joins headers of the same name, so the head itself is read


def _waitress_parser(module):
    def make(original, hook):
        def parse_header(self, header_plus):
            if hook.up:
                try:
                    self._throughline_head = header_plus
                except Exception as error:
                    hook.failed(error)
            return original(self, header_plus)

        return parse_header

    replace(module.HTTPRequestParser, "parse_header", ("self header_plus",), make)


def _waitress_task(module):
    def headers_of(task):
        head = bytes(task.request.__dict__.get("_throughline_head", b""))
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        return [(name, value.strip()) for name, _, value in lines]

    replace(module.WSGITask, "execute", ("self",), _around(headers_of))


# cheroot, which keeps the last of several headers, so they are counted as they are read


def _cheroot(module):
    thread = _local()

    def reading(original, hook):
        def __call__(self, *args, **kwargs):
            if hook.up:
                try:
                    thread.names = []
                except Exception as error:
                    hook.failed(error)
            return original(self, *args, **kwargs)

        return __call__

    def allowing(original, hook):
        def _allow_header(self, key_name):
            if hook.up:
                try:
                    thread.names.append(key_name)
                except Exception as error:
                    hook.failed(error)
            return original(self, key_name)

        return _allow_header

    def headers_of(request):
        names, headers = thread.names, request.inheaders
        return [(name, headers[name]) for name in names if name in headers]

    reader = module.HeaderReader
    if replace(reader, "__call__", ("self rfile hdict",), reading) and replace(
        reader, "_allow_header", ("self key_name",), allowing
    ):
        replace(module.HTTPRequest, "respond", ("self",), _around(headers_of))


# ASGI. The response has ended when its last body message went out; background tasks come after it


def _uvicorn(module):
    def sending(original, hook):
        async def send(self, message):
            await original(self, message)
            _end(hook, self, lambda: self.response_complete)

        return send

    kind = module.RequestResponseCycle
    if replace(kind, "send", ("self message",), sending):
        make = _around_task(lambda cycle, app: cycle.scope["headers"], lambda cycle, app: cycle)
        replace(kind, "run_asgi", ("self app",), make)


def _hypercorn_apps(module):
    def headers_of(wrapper, scope, receive, send, *_):
        if scope["type"] != "http" or not hasattr(type(send.__self__).app_send, "__throughline__"):
            return None
        return scope["headers"]

    make = _around_task(headers_of, lambda wrapper, scope, receive, send, *_: send.__self__)
    for kind in (module.ASGIWrapper, module.WSGIWrapper):
        replace(kind, "__call__", ("self scope receive send sync_spawn call_soon",), make)


def _hypercorn_streams(module):
    def is_last(message):
        return message["type"] == "http.response.body" and not message.get("more_body", False)

    def sending(original, hook):
        async def app_send(self, message):
            await original(self, message)
            _end(hook, self, lambda: message is None or is_last(message))

        return app_send

    replace(module.HTTPStream, "app_send", ("self message",), sending)


# aiohttp


def _aiohttp_protocol(module):
    make = _around_task(lambda server, request, *_: request.raw_headers)
    known = ("self request start_time", "self request start_time request_handler")
    replace(module.RequestHandler, "_handle_request", known, make)


def _aiohttp_response(module):
    def ending(original, hook):
        async def write_eof(self, *args, **kwargs):
            result = await original(self, *args, **kwargs)
            try:
                request = handling.current.get()
                if request is not None:
                    request.end()
            except Exception as error:
                hook.failed(error)
            return result

        return write_eof

    replace(module.StreamResponse, "write_eof", ("self data",), ending)


# tornado, which only starts the handler's task in the function that is hooked


def _tornado_web(module):
    def starting(original, hook):
        def execute(self):
            token = None
            if hook.up:
                try:
                    token = handling.current.set(_tornado_request(self.request))
                except Exception as error:
                    hook.failed(error)
            if token is None:
                return original(self)
            try:
                return original(self)
            finally:
                # The handler's task has its own copy, and ends with the connection's response.
                _leave(hook, None, token)

        return execute

    replace(module._HandlerDelegate, "execute", ("self",), starting)


def _tornado_request(incoming):
    connection = incoming.connection
    if not hasattr(type(connection).finish, "__throughline__"):
        return None
    request = handling.begin(incoming.headers.get_all())
    if request is not None:
        connection._throughline_request = request
    return request


def _tornado_connection(module):
    def ending(original, hook):
        def finish(self):
            try:
                return original(self)
            finally:
                _end(hook, self)

        return finish

    kind = module.HTTP1Connection
    if replace(kind, "_on_connection_close", ("self",), ending):
        replace(kind, "finish", ("self",), ending)


HOOKS = {
    "aiohttp.web_protocol": _aiohttp_protocol,
    "aiohttp.web_response": _aiohttp_response,
    "cheroot.server": _cheroot,
    "gevent.pywsgi": _pywsgi,
    "gunicorn.workers.base_async": _gunicorn("AsyncWorker", "self listener_name req sock addr", 1),
    "gunicorn.workers.gthread": _gunicorn("ThreadWorker", "self req conn", 0),
    "gunicorn.workers.sync": _gunicorn("SyncWorker", "self listener req client addr", 1),
    "http.server": _http_server,
    "hypercorn.app_wrappers": _hypercorn_apps,
    "hypercorn.protocol.http_stream": _hypercorn_streams,
    "tornado.http1connection": _tornado_connection,
    "tornado.web": _tornado_web,
    "uvicorn.protocols.http.h11_impl": _uvicorn,
    "uvicorn.protocols.http.httptools_impl": _uvicorn,
    "waitress.parser": _waitress_parser,
    "waitress.task": _waitress_task,
    "werkzeug.serving": _werkzeug,
    "wsgiref.handlers": _wsgiref,
}

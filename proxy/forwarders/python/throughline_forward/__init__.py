"""Copies the trace headers of the request being handled onto the HTTP requests made while handling it.

This file is all that a process pays for in which no server is ever loaded. It watches imports. Once a
server is imported, it loads the hooks for that server; only then for the clients too, since without
a server no request is handled and there is nothing to copy. Nothing is imported that the app does not
import, and the app's loaders stay what they are.
"""

import sys
from _thread import get_ident

SERVERS = frozenset(
    (
        "aiohttp.web_protocol",
        "aiohttp.web_response",
        "cheroot.server",
        "gevent.pywsgi",
        "gunicorn.workers.base_async",
        "gunicorn.workers.gthread",
        "gunicorn.workers.sync",
        "http.server",
        "hypercorn.app_wrappers",
        "hypercorn.protocol.http_stream",
        "tornado.http1connection",
        "tornado.web",
        "uvicorn.protocols.http.h11_impl",
        "uvicorn.protocols.http.httptools_impl",
        "waitress.parser",
        "waitress.task",
        "werkzeug.serving",
        "wsgiref.handlers",
    )
)
CLIENTS = frozenset(
    (
        "aiohttp.http_writer",
        "concurrent.futures.thread",
        "http.client",
        "httpcore._async.http11",
        "httpcore._sync.http11",
        "threading",
    )
)

# The variables as they were at the start, whatever the app does to its environment later.
variables = {}


def start(environ):
    """Watches for servers, unless the variables say that nothing will ever be copied."""
    variables.update(item for item in environ.items() if item[0].startswith("THROUGHLINE_FORWARD"))
    if variables.get("THROUGHLINE_FORWARD", "").strip().lower() == "off":
        return
    if not variables.get("THROUGHLINE_FORWARD_VIA", "").strip():
        return
    watch = Watch()
    watch.follow(SERVERS)
    sys.meta_path.insert(0, watch)


def complain(what, error):
    """Says what went wrong, where debugging is on."""
    if variables.get("THROUGHLINE_FORWARD_DEBUG") == "1":
        try:
            sys.stderr.write("throughline-forwarder: %s: %r\n" % (what, error))
        except Exception:
            pass


class Watch:
    """A finder that finds nothing by itself, but sees what is found and hooks it once it is loaded."""

    def __init__(self):
        self._names = frozenset()
        self._looking = set()

    def follow(self, names):
        """Hooks these modules: now those that are there, the others when they are imported."""
        self._names |= names
        for name in names:
            module = sys.modules.get(name)
            if module is not None:
                self._loaded(module, name)

    def find_spec(self, name, path=None, target=None):
        if name not in self._names:
            return None
        # Another agent's finder may ask all finders again, and so this one.
        question = (name, get_ident())
        if question in self._looking:
            return None
        self._looking.add(question)
        try:
            return self._find(name, path, target)
        except Exception as error:
            complain("find " + name, error)
            return None
        finally:
            self._looking.discard(question)

    def _find(self, name, path, target):
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find and finder is not self else None
            if spec is not None:
                # A loader that serves other modules too, such as that of a zip file, is left alone.
                if getattr(spec.loader, "name", None) == name:
                    self._follow(spec.loader, name)
                return spec
        return None

    def _follow(self, loader, name):
        """Lets the loader call back once, without being replaced: its type and `repr` stay."""

        def exec_module(module):
            loader.__dict__.pop("exec_module", None)
            loader.exec_module(module)
            self._loaded(module, name)

        loader.exec_module = exec_module

    def _loaded(self, module, name):
        try:
            if name in CLIENTS:
                from . import clients, threads

                (clients.HOOKS.get(name) or threads.HOOKS[name])(module)
                return
            from . import servers

            servers.HOOKS[name](module)
            if not CLIENTS <= self._names:
                self.follow(CLIENTS)
        except Exception as error:
            complain("hook " + name, error)

"""Each server with each way of calling: 64 requests at once, of which 1 in 5 carries no context."""

import contextlib
import sys
import unittest

import rig

GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "warning"]
UVICORN = ["-m", "uvicorn", "--port", "{port}", "--log-level", "warning", "--http"]
SERVERS = {
    "gunicorn sync": [*GUNICORN, "--workers", "4", "wsgi:application"],
    "gunicorn gthread": [*GUNICORN, "--threads", "16", "wsgi:application"],
    "gunicorn gthread, loaded before the fork": [
        *GUNICORN,
        "--preload",
        "--workers",
        "2",
        "--threads",
        "8",
        "wsgi:application",
    ],
    "gunicorn gevent": [*GUNICORN, "--worker-class", "gevent", "wsgi:application"],
    "wsgiref": ["serve.py", "wsgiref"],
    "werkzeug": ["serve.py", "werkzeug"],
    "waitress": ["serve.py", "waitress"],
    "cheroot": ["serve.py", "cheroot"],
    "gevent.pywsgi": ["serve.py", "pywsgi"],
    "http.server": ["serve.py", "plain"],
    "uvicorn h11": [*UVICORN, "h11", "asgi:application"],
    "uvicorn httptools": [*UVICORN, "httptools", "asgi:application"],
    "gunicorn UvicornWorker": [
        *GUNICORN,
        "--worker-class",
        "uvicorn.workers.UvicornWorker",
        "asgi:application",
    ],
    "hypercorn": [
        "-m",
        "hypercorn",
        "--bind",
        "127.0.0.1:{port}",
        "--log-level",
        "warning",
        "asgi:application",
    ],
    "hypercorn wsgi": [
        "-m",
        "hypercorn",
        "--bind",
        "127.0.0.1:{port}",
        "--log-level",
        "warning",
        "wsgi:wsgi:application",
    ],
    "aiohttp": ["serve.py", "aiohttp"],
    "tornado": ["serve.py", "tornado"],
    "flask": [*GUNICORN, "--threads", "16", "frameworks:flask()"],
    "django": [*GUNICORN, "--threads", "16", "frameworks:django_wsgi()"],
    "django asgi": [*UVICORN, "auto", "--factory", "frameworks:django_asgi"],
    "fastapi": [*UVICORN, "auto", "--factory", "frameworks:fastapi"],
}
# What their processes need beside the clients.
PACKAGES = {
    "gunicorn": ["gunicorn"],
    "gevent": ["gevent"],
    "uvicorn": ["uvicorn", "httptools"],
    "hypercorn": ["hypercorn"],
    "waitress": ["waitress"],
    "werkzeug": ["werkzeug"],
    "cheroot": ["cheroot"],
    "tornado": ["tornado"],
    "UvicornWorker": ["uvicorn"],
    "flask": ["flask", "gunicorn"],
    "django": ["django", "gunicorn", "uvicorn"],
    "fastapi": ["fastapi", "uvicorn"],
}
CLIENTS = ["requests", "urllib3", "httpx", "aiohttp", "boto3"]

BY_CALL = [
    "by_http_client",
    "by_chunks",
    "by_urllib",
    "by_urllib3",
    "by_requests",
    "by_session",
    "by_httpx",
    "by_boto3",
]
SYNC = [*BY_CALL, "by_executor", "by_map", "by_thread", "by_loop", "stream"]
ASYNC = [
    "by_async_httpx",
    "by_aiohttp",
    "by_gather",
    "by_task",
    "by_wait_for",
    "by_sleep",
    "by_default_executor",
    "by_to_thread",
    "by_blocking",
    "stream",
]
NO_STREAM = SYNC[:-1]
FRAMEWORK = NO_STREAM + ["async/" + way for way in ASYNC[:-1]]


def without(ways, *others):
    return [way for way in ways if way not in others]


WAYS = {
    "flask": NO_STREAM,
    "django": NO_STREAM,
    "django asgi": FRAMEWORK,
    "fastapi": FRAMEWORK,
    # These servers' threads are daemons, and so is a thread that one of them makes.
    "http.server": without(NO_STREAM, "by_thread"),
    "waitress": without(SYNC, "by_thread"),
    "werkzeug": without(SYNC, "by_thread"),
    # gevent has threads of its own, which are left alone, and asyncio has no place in it.
    "gunicorn gevent": without(SYNC, "by_thread", "by_loop"),
    "gevent.pywsgi": without(SYNC, "by_thread", "by_loop"),
}
ASYNC_SERVERS = (
    "uvicorn h11",
    "uvicorn httptools",
    "gunicorn UvicornWorker",
    "hypercorn",
    "aiohttp",
    "tornado",
)
TOTAL = [0, 0, 0, 0]


# Up to Python 3.8 the threads of an executor are daemons too.
IN_EXECUTOR = ("gunicorn gthread", "flask", "django", "hypercorn wsgi")


def ways_of(server):
    ways = WAYS.get(server, ASYNC if server in ASYNC_SERVERS else SYNC)
    if sys.version_info < (3, 9) and server.startswith(IN_EXECUTOR):
        return without(ways, "by_thread")
    return ways


def background_of(server):
    if server == "fastapi":
        import starlette

        # Its middleware kept the response open until the background tasks were done.
        if starlette.__version__.startswith("0.27."):
            return 102, 0, 0, 26
    return 0, 102, 0, 26


def complaints(app):
    """What the forwarder said on standard error, but for what it is known to leave alone."""
    said = [line for line in app.log.splitlines() if line.startswith("throughline-forwarder")]
    return [line for line in said if "gevent.threading.Thread" not in line]


class Servers(unittest.TestCase):
    """One test for each server, made below."""

    maxDiff = None

    def check(self, server):
        rig.needs(*CLIENTS, *(p for name, ps in PACKAGES.items() if name in server for p in ps))
        upstream = rig.Upstream()
        self.addCleanup(upstream.close)
        expected = (102, 0, 0, 26)
        with rig.App(SERVERS[server], upstream) as app:
            for way in ways_of(server):
                with self.subTest(server=server, way=way):
                    counts = rig.hammer(app, upstream, way)
                    for index, more in enumerate(counts):
                        TOTAL[index] += more
                    self.assertEqual(counts, expected, app.log[-2000:])
            way = "/async/by_sleep/1" if server == "fastapi" else "/%s/1" % ways_of(server)[0]
            with self.subTest(server=server, way="a header that came twice"):
                twice = [(rig.TRACE, rig.traceparent(1))] * 2
                app.get(way, [*twice, ("B3", "own"), ("tracestate", "a=b")])
                (call,) = upstream.take(1)
                self.assertEqual(
                    (call.all(rig.TRACE), call.all("b3"), call.all("tracestate")), ([], ["own"], [])
                )
            self.check_background(server, app, upstream)
            self.assertEqual(complaints(app), [])

    def check_background(self, server, app, upstream):
        """What outlives its response, or may work for another request, carries nothing."""
        prefix = "async/" if server in ("django asgi", "fastapi") else ""
        asynchronous = prefix or server in ASYNC_SERVERS
        if asynchronous:
            ways = ["after_in_task", "after_by_call_later"]
            with self.subTest(server=server, way="in_consumer"), self.held(app, prefix):
                counts = rig.hammer(app, upstream, prefix + "in_consumer")
                self.assertEqual(counts, (0, 102, 0, 26))
            if server != "django asgi":
                with self.subTest(server=server, way="background"):
                    counts = rig.hammer(app, upstream, prefix + "background")
                    self.assertEqual(counts, background_of(server))
        else:
            ways = ["after_in_thread", "after_in_executor", "after_by_timer"]
            for way in ("in_daemon", "by_callback"):
                with self.subTest(server=server, way=way):
                    counts = rig.hammer(app, upstream, way)
                    self.assertEqual(counts, (0, 102, 0, 26))
            if server in ("gunicorn sync", "gunicorn gthread, loaded before the fork"):
                return  # The worker that is told to go on may be another.
            with self.subTest(server=server, way="by_held_pool"), self.held(app):
                counts = rig.hammer(app, upstream, "by_held_pool")
                self.assertEqual(counts, (102, 0, 0, 26))
        for number, way in enumerate(ways, 1):
            app.get("/%s%s/%d" % (prefix, way, number), [(rig.TRACE, rig.traceparent(number))])
        # A release is a request with a context too. The jobs must not take to it.
        app.get("/release/99", [(rig.TRACE, rig.traceparent(99))])
        with self.subTest(server=server, way="after"):
            calls = upstream.take(len(ways))
            self.assertEqual([call.source for call in calls], [None] * len(ways))

    @contextlib.contextmanager
    def held(self, app, prefix=""):
        """While a request with a context is open, and has started what the others use."""
        holder = app.connect()
        holder.send("/%shold/1" % prefix, [(rig.TRACE, rig.traceparent(1))])
        try:
            yield
        finally:
            app.get("/let_go/0")
            self.assertIn(" 200 ", holder.answer().line)
            holder.close()


for _name in SERVERS:

    def _test(self, name=_name):
        self.check(name)

    setattr(Servers, "test_" + _name.replace(" ", "_").replace(".", "_").replace(",", ""), _test)


def tearDownModule():
    sys.stderr.write(
        "\nhops: %d right, %d abstained, %d wrong, %d rightly without\n" % tuple(TOTAL)
    )


if __name__ == "__main__":
    unittest.main()

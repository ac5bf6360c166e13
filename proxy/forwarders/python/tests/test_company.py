"""What else may be in the process: an agent that does the same job, an error, a version of another shape."""

import os
import pathlib
import shutil
import sys
import tempfile
import unittest

import rig
from test_calls import ALL, TRACE, copied
from test_servers import GUNICORN, SERVERS

from throughline_forward import hooks

OTEL = [
    "opentelemetry.sdk",
    "opentelemetry.instrumentation.flask",
    "opentelemetry.instrumentation.requests",
]
RUN = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
QUIET = {
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}


class Agents(unittest.TestCase):
    def setUp(self):
        self.upstream = rig.Upstream()
        self.addCleanup(self.upstream.close)

    def call(self, app):
        query = "by=by_kept&url=http://127.0.0.1:%d/1&headers={}" % self.upstream.port
        self.assertIn(" 200 ", app.get("/?" + query, TRACE).line)
        return [copied(message) for message in self.upstream.take(2)]

    def test_it_stands_aside_for_agents(self):
        rig.needs("opentelemetry.sdk", "aws_xray_sdk", "requests")
        for agent in ("ddtrace", "newrelic", "elasticapm", "opentelemetry"):
            with self.subTest(agent=agent):
                with rig.App(["with_agent.py"], self.upstream, AGENT=agent) as app:
                    self.assertEqual(self.call(app), [[], []])
        with rig.App(["with_agent.py"], self.upstream, AGENT="xray") as app:
            for call in self.call(app):
                self.assertNotIn("throughline-forwarder", dict(call))
                self.assertNotIn("traceparent", dict(call))

    def test_libraries_of_agents_that_do_nothing_are_no_agents(self):
        rig.needs("opentelemetry.sdk", "aws_xray_sdk", "requests")
        for agent in ("xray, not patched", "opentelemetry, no provider"):
            with self.subTest(agent=agent):
                with rig.App(["with_agent.py"], self.upstream, AGENT=agent) as app:
                    self.assertEqual(self.call(app), [ALL, ALL])

    def test_opentelemetry_instruments_the_app_in_every_order(self):
        rig.needs("requests", "flask", "gunicorn", *OTEL)
        import opentelemetry.instrumentation.auto_instrumentation as auto

        theirs, ours = os.path.dirname(auto.__file__), str(rig.FORWARDER)
        flask = [*GUNICORN, "--threads", "4", "frameworks:flask()"]
        for command, path in (
            (["-c", RUN, sys.executable, *flask], ours),
            (flask, ours + os.pathsep + theirs),
            (flask, theirs + os.pathsep + ours),
        ):
            with self.subTest(command=command[0], path=path):
                with rig.App(command, self.upstream, PYTHONPATH=path, **QUIET) as app:
                    self.assertIn(" 200 ", app.get("/by_session/7", TRACE).line)
                    (message,) = self.upstream.take(1)
                    (value,) = message.all("traceparent")
                    own = dict(TRACE)["traceparent"]
                    self.assertEqual(value.split("-")[1], own.split("-")[1])
                    self.assertNotEqual(value, own)
                    self.assertEqual(message.all("throughline-forwarder"), [])

    def test_old_greenlets_share_a_context_and_get_none(self):
        with rig.App(["with_agent.py"], self.upstream, AGENT="greenlet") as app:
            self.assertEqual(self.call(app), [[], []])


class Errors(unittest.TestCase):
    """An error inside is the forwarder's own. It is given up after a few, and says nothing."""

    BROKEN = {
        "rules.py": "def pick(headers):\n    raise RuntimeError('pick')\n",
        "handling.py": "def headers_to_copy():\n    raise RuntimeError('copy')\n",
        "servers.py": "def _tornado_request(incoming):\n    raise RuntimeError('request')\n",
    }

    def test_every_hook_may_fail(self):
        rig.needs("gunicorn", "uvicorn", "tornado", "aiohttp", "waitress", "cheroot", "hypercorn")
        upstream = rig.Upstream()
        self.addCleanup(upstream.close)
        for file, code in self.BROKEN.items():
            for server in (
                "gunicorn gthread",
                "http.server",
                "waitress",
                "cheroot",
                "uvicorn h11",
                "hypercorn",
                "aiohttp",
                "tornado",
            ):
                if file == "servers.py" and server != "tornado":
                    continue
                ways = (
                    ["by_async_httpx", "by_aiohttp"]
                    if server in ("uvicorn h11", "hypercorn", "aiohttp", "tornado")
                    else ["by_session", "by_executor", "by_httpx"]
                )
                with tempfile.TemporaryDirectory() as place:
                    copy = os.path.join(place, "copy")
                    shutil.copytree(
                        str(rig.FORWARDER),
                        copy,
                        ignore=shutil.ignore_patterns("tests", "__pycache__"),
                    )
                    with (pathlib.Path(copy) / "throughline_forward" / file).open("a") as broken:
                        broken.write("\n\n" + code)
                    for debug in ("1", "0"):
                        variables = {"PYTHONPATH": copy, "THROUGHLINE_FORWARD_DEBUG": debug}
                        with self.subTest(server=server, file=file):
                            with rig.App(SERVERS[server], upstream, **variables) as app:
                                for way in ways:
                                    self.assertEqual(
                                        rig.hammer(app, upstream, way), (0, 102, 0, 26)
                                    )
                                said = app.log.count("throughline-forwarder")
                                # Each of the hooks gives up, though several threads may be in it by then.
                                self.assertTrue(
                                    0 < said < 40 if debug == "1" else said == 0, app.log
                                )


class Versions(unittest.TestCase):
    """A function is known by its arguments. Another is left as it is."""

    def replace(self, owner, name="send"):
        return hooks.replace(
            owner, name, ("self message",), lambda original, hook: lambda *_: 1 / 0
        )

    def test_other_arguments(self):
        class Other:
            def send(self, message, more):
                return "sent"

        self.assertFalse(self.replace(Other))
        self.assertEqual(Other().send(1, 2), "sent")

    def test_nothing_of_that_name(self):
        class Other:
            pass

        class Child(Other):
            pass

        Other.send = lambda self, message: "sent"
        Built = type("Built", (), {"send": len})
        for owner in (Child, Built):
            self.assertFalse(self.replace(owner))
            self.assertFalse(hasattr(owner.send, "__throughline__"))

    def test_a_module_without_what_is_hooked(self):
        import types

        from throughline_forward import SERVERS as names
        from throughline_forward import Watch

        for name in sorted(names):
            module = types.ModuleType(name)
            sys.modules["throughline-test"] = module
            watch = Watch()
            watch._loaded(module, name)  # It raises nothing.

    def test_a_hook_gives_up_after_a_few(self):
        hook = hooks.Hook("test")
        for _ in range(hooks.PATIENCE):
            self.assertTrue(hook.up)
            hook.failed(ValueError())
        self.assertFalse(hook.up)


if __name__ == "__main__":
    unittest.main()

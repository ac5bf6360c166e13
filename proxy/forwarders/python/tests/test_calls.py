"""Which calls headers are copied onto, and which are left as the app made them."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import unittest
import urllib.parse

import rig

from throughline_forward import rules

PROBE = ["probe.py"]
CLIENTS = ["by_requests", "by_urllib", "by_httpx", "by_async_httpx", "by_aiohttp"]
TRACE = [
    ("traceparent", rig.traceparent(7)),
    ("tracestate", "a=b"),
    ("x-amzn-trace-id", "Root=1-5-6;Sampled=1"),
]


def copied(message):
    """The trace headers that a call carries, and the marker's value."""
    names = (*rules.NAMES, rig.MARKER)
    return [(name.lower(), value) for name, value in message.headers if name.lower() in names]


ALL = [*TRACE, (rig.MARKER, "python/0.1.0")]


class Calls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rig.needs("requests", "httpx", "aiohttp", "boto3")
        cls.upstream, cls.other = rig.Upstream(), rig.Upstream()

    @classmethod
    def tearDownClass(cls):
        cls.upstream.close()
        cls.other.close()

    def probe(self, app, by, url, headers=None, proxy=None, count=1, came_to=None, trace=TRACE):
        query = {"by": by, "url": url, "headers": json.dumps(headers or {})}
        if proxy:
            query["proxy"] = proxy
        answer = app.get("/?" + urllib.parse.urlencode(query), trace)
        self.assertIn(" 200 ", answer.line)
        return [copied(message) for message in (came_to or self.upstream).take(count)]

    def url(self, upstream=None):
        return "http://127.0.0.1:%d/1" % (upstream or self.upstream).port

    def test_only_calls_to_the_sidecar(self):
        with rig.App(PROBE, self.upstream) as app:
            for by in CLIENTS:
                with self.subTest(by=by):
                    self.assertEqual(self.probe(app, by, self.url()), [ALL])
                    local = self.url().replace("127.0.0.1", "localhost")
                    self.assertEqual(self.probe(app, by, local), [ALL])
                    elsewhere = self.probe(app, by, self.url(self.other), came_to=self.other)
                    self.assertEqual(elsewhere, [[]])
                    # Nothing is made up.
                    self.assertEqual(self.probe(app, by, self.url(), trace=[]), [[]])
            self.assertNotIn("the call failed", app.log)
            self.assertEqual(self.probe(app, "by_kept", self.url(), count=2), [ALL, ALL])
            self.assertEqual(
                self.probe(app, "by_kept", self.url(self.other), count=2, came_to=self.other),
                [[], []],
            )

    def test_a_call_with_a_trace_header_is_left_alone(self):
        with rig.App(PROBE, self.upstream) as app:
            for by in CLIENTS:
                for name in rules.NAMES:
                    with self.subTest(by=by, name=name):
                        header = {name.title(): "own"}
                        self.assertEqual(self.probe(app, by, self.url(), header), [[(name, "own")]])

    def test_hosts_are_left_out_by_what_the_call_names(self):
        with rig.App(
            PROBE, self.upstream, THROUGHLINE_FORWARD_EXCLUDE=".internal,127.0.0.1"
        ) as app:
            proxy = self.url()[:-2]
            for by in CLIENTS:
                with self.subTest(by=by):
                    self.assertEqual(self.probe(app, by, self.url()), [[]])
                    self.assertEqual(self.probe(app, by, self.url(), {"Host": "payments"}), [ALL])
                    self.assertEqual(
                        self.probe(app, by, self.url(), {"Host": "a.internal:80"}), [[]]
                    )
                    self.assertEqual(self.probe(app, by, "http://payments/1", proxy=proxy), [ALL])
                    self.assertEqual(self.probe(app, by, "http://a.internal/1", proxy=proxy), [[]])

    def test_a_tunnel_gets_nothing(self):
        with rig.App(PROBE, self.upstream) as app:
            proxy = self.url()[:-2]
            for by in CLIENTS:
                with self.subTest(by=by):
                    # It closes each tunnel, and some clients try again.
                    tried = self.probe(app, by, "https://payments/1", proxy=proxy)
                    self.assertEqual(tried, [[]] * len(tried))
            tunnel = rig.Upstream(tunnels=True)
            self.addCleanup(tunnel.close)
        with rig.App(PROBE, tunnel) as app:
            proxy = self.url(tunnel)[:-2]
            calls = self.probe(app, "by_tunnel", self.url(), proxy=proxy, count=2, came_to=tunnel)
            self.assertEqual(calls, [[], []])

    def test_tls_gets_nothing(self):
        self.assertTrue(shutil.which("openssl"), "the test needs openssl to make a certificate")
        with tempfile.TemporaryDirectory() as place:
            words = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key -out cert".split()
            subprocess.run(words, cwd=place, check=True, stderr=subprocess.DEVNULL)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(place, "cert"), os.path.join(place, "key"))
        upstream = rig.Upstream(
            wrap=lambda connection: context.wrap_socket(connection, server_side=True)
        )
        self.addCleanup(upstream.close)
        for via in (upstream.place, "*"):
            with rig.App(PROBE, upstream, THROUGHLINE_FORWARD_VIA=via) as app:
                for by in CLIENTS:
                    with self.subTest(by=by, via=via):
                        url = self.url(upstream).replace("http:", "https:")
                        self.assertEqual(self.probe(app, by, url, came_to=upstream), [[]])

    def test_a_star_is_all_that_is_plain_text_on_a_network(self):
        with tempfile.TemporaryDirectory() as place:
            file = os.path.join(place, "socket")
            in_file = rig.Upstream(socket.AF_UNIX, file)
            self.addCleanup(in_file.close)
            with rig.App(
                PROBE, self.upstream, THROUGHLINE_FORWARD_VIA="*", SOCKET_FILE=file
            ) as app:
                for by in CLIENTS:
                    with self.subTest(by=by):
                        self.assertEqual(self.probe(app, by, self.url()), [ALL])
                        self.assertEqual(
                            self.probe(app, by, self.url(self.other), came_to=self.other), [ALL]
                        )
                self.assertEqual(
                    self.probe(app, "by_file", self.url(), count=2, came_to=in_file), [[], []]
                )

    def test_a_socket_in_a_file_is_not_the_host_that_it_is_called(self):
        with tempfile.TemporaryDirectory() as place:
            file = os.path.join(place, "socket")
            in_file = rig.Upstream(socket.AF_UNIX, file)
            self.addCleanup(in_file.close)
            with rig.App(PROBE, self.upstream, SOCKET_FILE=file) as app:
                self.assertEqual(
                    self.probe(app, "by_file", self.url(), count=2, came_to=in_file), [[], []]
                )

    def test_a_forked_child_gets_nothing(self):
        with rig.App(PROBE, self.upstream) as app:
            self.assertEqual(self.probe(app, "by_fork", self.url(), count=2), [[], []])
            self.assertEqual(self.probe(app, "in_new_python", self.url()), [[]])
            self.assertEqual(self.probe(app, "by_kept", self.url(), count=2), [ALL, ALL])

    def test_variables_that_are_off_or_make_no_sense(self):
        for variables in (
            {"THROUGHLINE_FORWARD": "off"},
            {"THROUGHLINE_FORWARD_VIA": ""},
            {"THROUGHLINE_FORWARD_VIA": "nonsense"},
        ):
            with self.subTest(variables=variables):
                with rig.App(PROBE, self.upstream, **variables) as app:
                    self.assertEqual(self.probe(app, "by_requests", self.url()), [[]])
        garbage = {
            "THROUGHLINE_FORWARD": "on",
            "THROUGHLINE_FORWARD_GRACE_MS": "?",
            "THROUGHLINE_FORWARD_EXCLUDE": ",,",
        }
        with rig.App(PROBE, self.upstream, **garbage) as app:
            self.assertEqual(self.probe(app, "by_requests", self.url()), [ALL])

    def test_a_signature_still_fits(self):
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        with rig.App(["serve.py", "wsgiref"], self.upstream) as app:
            app.get("/by_boto3/7", TRACE)
        (message,) = self.upstream.take(1)
        self.assertEqual(copied(message), ALL)
        headers = {name.lower(): value for name, value in message.headers}
        signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        self.assertEqual(set(signed) & set(dict(ALL)), set())
        request = AWSRequest(
            "PUT",
            "http://%s/bucket/7" % headers["host"],
            headers={name: headers[name] for name in signed if name != "host"},
            data=message.body,
        )
        request.context["timestamp"] = headers["x-amz-date"]
        auth = S3SigV4Auth(Credentials("AKIDEXAMPLE", "secret"), "s3", "eu-central-1")
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        self.assertEqual(headers["authorization"].split("Signature=")[1], signature)


class Grace(unittest.TestCase):
    def test_a_response_that_ended_just_now_counts_with_a_grace(self):
        rig.needs("requests")
        for grace, source in (("60000", 1), ("0", None)):
            upstream = rig.Upstream()
            self.addCleanup(upstream.close)
            with rig.App(
                ["serve.py", "wsgiref"], upstream, THROUGHLINE_FORWARD_GRACE_MS=grace
            ) as app:
                app.get("/after_in_executor/1", [(rig.TRACE, rig.traceparent(1))])
                app.get("/release/2")
                self.assertEqual(upstream.take(1)[0].source, source)


if __name__ == "__main__":
    unittest.main()

"""The rules, without any process."""

import unittest

import rig  # noqa: F401, it finds the forwarder

from throughline_forward import rules

MARKER = ("throughline-forwarder", "python/0.1.0")


class What(unittest.TestCase):
    def check(self, headers, *expected):
        self.assertEqual(rules.pick(headers), expected + (MARKER,) if expected else ())

    def test_every_name_is_copied_as_it_came(self):
        headers = [(name, "Value of %s, with = and ;" % name) for name in rules.NAMES]
        self.check(headers, *headers)
        self.assertEqual(len(headers), 15)

    def test_names_are_found_in_any_case_and_as_bytes(self):
        self.check(
            [("TraceParent", "a"), (b"X-B3-TraceId", b"b")],
            ("traceparent", "a"),
            ("x-b3-traceid", "b"),
        )

    def test_tracestate_goes_only_with_traceparent(self):
        self.check([("tracestate", "a=b")])
        self.check([("tracestate", "a=b"), ("b3", "0")], ("b3", "0"))
        self.check(
            [("tracestate", "a=b"), ("traceparent", "c")],
            ("tracestate", "a=b"),
            ("traceparent", "c"),
        )

    def test_a_header_that_came_twice_is_left_out(self):
        self.check([("b3", "a"), ("b3", "a")])
        self.check(
            [("traceparent", "a"), ("b3", "0"), ("traceparent", "a"), ("traceparent", "a")],
            ("b3", "0"),
        )
        self.check([("traceparent", "a"), ("Traceparent", "b"), ("tracestate", "c=d")])

    def test_a_value_has_to_be_visible_and_short(self):
        for value in ("", "a\tb", "a\r\nb: c", "a\x7f", "ü", "x" * 4097):
            with self.subTest(value=value[:8]):
                self.check([("b3", value)])
                self.check([("b3", value.encode())])
        self.check([("b3", "x" * 4096)], ("b3", "x" * 4096))
        self.check([("b3", "a b")], ("b3", "a b"))

    def test_nothing_else_is_copied(self):
        self.check(
            [("baggage", "user=7"), ("authorization", "b"), ("throughline-forwarder", "node/0.1.0")]
        )

    def test_a_websocket_has_no_context(self):
        self.check([("traceparent", "a"), ("Upgrade", "WebSocket")])
        self.check([("traceparent", "a"), ("Upgrade", "h2c")], ("traceparent", "a"))


class Where(unittest.TestCase):
    def settings(self, **variables):
        return rules.Settings(
            {"THROUGHLINE_FORWARD_" + name: value for name, value in variables.items()}
        )

    def test_via_names_hosts_with_ports(self):
        settings = self.settings(VIA=" 127.0.0.1:15001 , Sidecar:80,[::1]:99")
        for host in ("localhost", "127.0.0.1", "::1", "LOCALHOST", "::ffff:127.0.0.1"):
            self.assertTrue(settings.takes(host, 15001), host)
            self.assertTrue(settings.takes(host, 99), host)
            self.assertFalse(settings.takes(host, 15002), host)
        self.assertTrue(settings.takes("sidecar", 80))
        self.assertFalse(settings.takes("10.0.0.1", 15001))

    def test_what_makes_no_sense_takes_nothing(self):
        for via in (
            "",
            ",",
            "127.0.0.1",
            ":80",
            "localhost:",
            "localhost:x",
            "localhost:0",
            "localhost:70000",
            "http://localhost:80/",
            "a:²",
        ):
            settings = self.settings(VIA=via)
            self.assertFalse(settings.takes("localhost", 80), via)
            self.assertFalse(settings.everywhere)
        self.assertTrue(self.settings(VIA="nonsense,localhost:80").takes("127.0.0.1", 80))

    def test_a_star_takes_all(self):
        self.assertTrue(self.settings(VIA="*").takes("10.0.0.1", 8080))

    def test_hosts_are_left_out(self):
        settings = self.settings(EXCLUDE="payments, .internal.example ,")
        for host in ("payments", "internal.example", "a.internal.example", "a.b.internal.example"):
            self.assertTrue(settings.leaves_out(host), host)
        for host in ("a.payments", "payments2", "notinternal.example", "example", ""):
            self.assertFalse(settings.leaves_out(host), host)

    def test_grace(self):
        for text, seconds in (
            ("250", 0.25),
            ("0", 0),
            ("", 0),
            ("-1", 0),
            ("1e3", 0),
            ("soon", 0),
            ("²", 0),
        ):
            self.assertEqual(self.settings(GRACE_MS=text).grace, seconds, text)

    def test_authorities(self):
        for target, host, port in (
            ("http://Payments/charges", "payments", 80),
            (b"http://payments:8080", "payments", 8080),
            ("http://user:pass@payments.:81/a?b=http://other/", "payments", 81),
            ("http://[::1]:82/", "::1", 82),
            ("https://payments?x", "payments", 80),
        ):
            authority = rules.authority_of(target)
            self.assertEqual((rules.host_of(authority), rules.port_of(authority)), (host, port))
        for target in ("/path", "*", "payments:443", "/x?u=http://other/", b"ftp://a/"):
            self.assertIsNone(rules.authority_of(target), target)


if __name__ == "__main__":
    unittest.main()

"""Every byte to the caller and to the upstream is the same as without the forwarder."""

import re
import unittest

import rig
from test_servers import CLIENTS, SERVERS, ways_of

from throughline_forward import rules

# What differs between any two runs: the time, and what boto3 makes of it.
VOLATILE = re.compile(
    rb"(?im)^(date|last-modified|x-amz-date|authorization|amz-sdk-invocation-id|server):.*\r\n"
)
FORWARDED = re.compile(
    b"(?im)^(%s):.*\r\n" % b"|".join(n.encode() for n in (*rules.NAMES, rig.MARKER))
)
# A long value of each kind, so that a byte more or less anywhere shows.
HEADERS = [(name, "%s-%s" % (name, "0123456789" * 6)) for name in rules.NAMES]


class Wire(unittest.TestCase):
    maxDiff = None

    def run_all(self, server, upstream, forwarder, headers):
        """All bytes to the caller and to the upstream, a way of calling after the other."""
        seen = []
        with rig.App(SERVERS[server], upstream, forwarder) as app:
            connection = app.connect()
            for way in ("nothing", *ways_of(server)):
                if way == "async/nothing":
                    continue
                answer = connection.get("/%s/1" % way, headers)
                calls = upstream.take(0 if way == "nothing" else 1)
                seen.append((way, answer.raw, [call.raw for call in calls]))
            connection.close()
        return seen

    def check(self, server):
        rig.needs(*CLIENTS)
        upstream = rig.Upstream()
        self.addCleanup(upstream.close)
        plain = self.run_all(server, upstream, False, [])
        without = self.run_all(server, upstream, True, [])
        within = self.run_all(server, upstream, True, HEADERS)
        for (way, answer, calls), (_, b_answer, b_calls), (_, c_answer, c_calls) in zip(
            plain, without, within
        ):
            with self.subTest(server=server, way=way):
                self.assertEqual(steady(answer), steady(b_answer))
                self.assertEqual(steady(answer), steady(c_answer))
                self.assertEqual(list(map(steady, calls)), list(map(steady, b_calls)))
                for call in c_calls:
                    # All sixteen lines, and nothing else.
                    self.assertEqual(len(FORWARDED.findall(call)), 16)
                bare = [FORWARDED.sub(b"", call) for call in c_calls]
                self.assertEqual(list(map(steady, calls)), list(map(steady, bare)))


def steady(message):
    return VOLATILE.sub(b"", message)


for _name in SERVERS:

    def _test(self, name=_name):
        self.check(name)

    setattr(Wire, "test_" + re.sub(r"\W+", "_", _name), _test)


if __name__ == "__main__":
    unittest.main()

"""The parts of a race that can be wrong without anybody noticing: `python3 -m unittest discover benches/race`."""

import asyncio
import unittest

import report
import sink
from race import parse_wrk


def field(number, payload):
    """A length-delimited field of a message in protocol buffers."""
    length, out = len(payload), bytearray([number << 3 | 2])
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes(out) + bytes([length]) + payload


def export(*scopes):
    """An `ExportTraceServiceRequest` of one resource, with this many spans in each scope."""
    span = field(1, b"t" * 16) + field(5, b"GET") + b"\x39" + bytes(8) + b"\x30\x02"
    scope_spans = [field(1, field(1, b"race")) + field(2, span) * spans for spans in scopes]
    return field(1, field(1, b"r" * 200) + b"".join(field(2, scope) for scope in scope_spans))


class Spans(unittest.TestCase):
    def test_spans_of_every_scope_and_resource_are_counted(self):
        for message, spans in (
            (b"", 0),
            (export(0), 0),
            (export(3), 3),
            (export(512, 1) + export(7), 520),
        ):
            self.assertEqual(sink.count_spans(message), spans)

    def test_a_message_that_is_cut_off_is_no_message(self):
        with self.assertRaises((ValueError, IndexError)):
            sink.count_spans(export(3)[:-1])

    def test_posts_are_taken_whole_however_their_bytes_arrive(self):
        message = export(5)
        plain = b"POST /a/v1/traces HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(message), message)
        halves = message[:9], message[9:]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(half), half) for half in halves)
        head = b"POST /b/v1/traces HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent = plain + head + chunks + b"0\r\n\r\n" + plain
        for size in (1, 7, len(sent)):
            sink.COUNTS.clear()
            transport = Written()
            exporter = sink.Exporter()
            exporter.connection_made(transport)
            for at in range(0, len(sent), size):
                exporter.data_received(sent[at : at + size])
            self.assertEqual(sink.COUNTS, {"a": 10, "b": 5}, size)
            self.assertEqual(transport.said.count(b"HTTP/1.1 200 OK"), 3, size)


class Written(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.said = b""

    def write(self, data):
        self.said += data


class Load(unittest.TestCase):
    def test_what_wrk_says_is_understood(self):
        good = "  9182 requests in 2.00s, 10.42MB read\nRequests/sec:   4589.43\n"
        self.assertEqual(parse_wrk(good), {"requests": 9182, "refused": 0, "errors": 0})
        bad = "  Socket errors: connect 1, read 2, write 0, timeout 4\n  Non-2xx or 3xx responses: 17\n"
        self.assertEqual(parse_wrk(good + bad), {"requests": 9182, "refused": 17, "errors": 7})
        with self.assertRaises(ValueError):
            parse_wrk("unable to connect")


def peer(costs, spans_per_request=0, spans=0, **turn):
    """A peer that carried a thousand requests in each round, at so many microseconds each."""
    usual = {"requests": 1000, "refused": 0, "errors": 0, "foreign_ns": 0, "rss_kib": 1024}
    rounds = []
    for cost in costs:
        nanos = {"cpu_ns": cost * 1_000_000, "tick_ns": cost * 1_000_000}
        rounds.append(usual | nanos | turn)
    requests = 1000 * len(costs)
    return {"spans_per_request": spans_per_request, "requests": requests, "spans": spans, "rounds": rounds}


class Report(unittest.TestCase):
    def test_a_ratio_is_that_of_rounds_and_not_of_medians(self):
        # A slow second round for both: medians of 20 and 20 would say that they are equal.
        self.assertEqual(report.ratio(peer([20, 60, 20]), peer([10, 30, 20])), 2.0)

    def test_a_row_is_valid_only_with_its_spans_and_answers(self):
        for row, why in (
            (peer([20], 1, 1005), ""),
            (peer([20], 2, 1995), ""),
            (peer([20], 1, 980), "spans"),
            (peer([20], 0, 1000), "spans"),
            (peer([20], 2, 1000), "spans"),
            (peer([20], refused=1), "failed"),
            (peer([20], errors=1), "failed"),
            (peer([20], cpu_ns=10_000_000), "by thread"),
        ):
            objections = "; ".join(report.objections(row))
            self.assertEqual(why in objections, True, objections)
            self.assertEqual(not why, not objections, objections)

    def test_a_missed_target_is_called_missed(self):
        peers = {"a": peer([16]), "b": peer([10])}
        self.assertIn("MISSED", report.verdict(peers, "a", "b", 1.5))
        self.assertIn("met", report.verdict(peers, "a", "b", 1.6))


if __name__ == "__main__":
    unittest.main()

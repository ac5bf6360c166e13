"""An OTLP collector that only counts: spans for each peer, by the first part of the path.

    python3 sink.py PORT

`POST /NAME/v1/traces` takes an `ExportTraceServiceRequest`; `GET /counts` answers with a JSON object
of spans by name. It walks the three levels of the message down to the spans and decodes none of them,
so that it keeps up with a hundred thousand a second on a small part of a core.
"""

import asyncio
import collections
import json
import sys

COUNTS = collections.Counter()
# Field 1 of the request holds resource spans, field 2 of these scope spans, field 2 of those spans.
LEVELS = (1, 2, 2)


def count_spans(message):
    """How many spans an `ExportTraceServiceRequest` holds."""
    return _count(message, 0, len(message), 0)


def _count(message, at, end, level):
    wanted, is_span = LEVELS[level] << 3 | 2, level == len(LEVELS) - 1
    count = 0
    while at < end:
        tag, at = _varint(message, at)
        wire_type = tag & 7
        if wire_type == 2:
            length, at = _varint(message, at)
            if tag == wanted:
                count += 1 if is_span else _count(message, at, at + length, level + 1)
            at += length
        elif wire_type == 0:
            _, at = _varint(message, at)
        elif wire_type in (1, 5):
            at += 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"a field of wire type {wire_type} at {at}")
    if at != end:
        raise ValueError(f"a field ends at {at}, behind its message, which ends at {end}")
    return count


def _varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


class Exporter(asyncio.Protocol):
    """One connection of an exporter."""

    def connection_made(self, transport):
        self.transport = transport
        self.buffer = bytearray()

    def data_received(self, data):
        self.buffer += data
        while (request := self._take()) is not None:
            method, path, body = request
            self.transport.write(_answer(method, path, body))

    def _take(self):
        """The next whole request, or `None` if it is still to come."""
        head_end = self.buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        request_line, *lines = self.buffer[:head_end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (l.partition(":") for l in lines)}
        start = head_end + 4
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body, end = _chunks(self.buffer, start)
        else:
            end = start + int(headers.get("content-length", "0"))
            body = bytes(self.buffer[start:end]) if len(self.buffer) >= end else None
        if body is None:
            return None
        del self.buffer[:end]
        method, path, _ = request_line.split(" ", 2)
        return method, path, body


def _chunks(buffer, at):
    """A chunked body and where it ends, or `None` for the body while a part is missing."""
    body = bytearray()
    while (line_end := buffer.find(b"\r\n", at)) >= 0:
        size = int(buffer[at:line_end].split(b";")[0], 16)
        start, at = line_end + 2, line_end + 2 + size + 2
        if len(buffer) < at:
            break
        if size == 0:
            return bytes(body), at
        body += buffer[start : start + size]
    return None, at


def _answer(method, path, body):
    if method == "GET":
        return _response("200 OK", "application/json", json.dumps(COUNTS).encode())
    try:
        COUNTS[path.split("/")[1]] += count_spans(body)
    except (IndexError, ValueError) as error:
        return _response("400 Bad Request", "text/plain", str(error).encode())
    # An empty message: everything was accepted.
    return _response("200 OK", "application/x-protobuf", b"")


def _response(status, kind, body):
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Exporter, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))

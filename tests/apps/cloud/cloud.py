"""The AWS of the tests: moto, and before it a door that writes down every request that comes in.

What comes in is kept as it was on the wire (target, header lines, body), its signature is recomputed
from that, and then moto answers, which itself looks at no signature. A second port tells what came:
`GET /calls`, and `POST /reset` to begin again.
"""

import asyncio
import hashlib
import http.client
import json
import os

import sigv4
from moto.server import ThreadedMotoServer

SECRETS = {os.environ["AWS_ACCESS_KEY_ID"]: os.environ["AWS_SECRET_ACCESS_KEY"]}
# Fields of one connection, and those that http.client or this door write themselves.
OF_THE_HOP = {"connection", "content-length", "transfer-encoding", "expect", "keep-alive"}

calls = []
moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)


def at_the_door(method, target, headers, body):
    verdict, signed = sigv4.verdict(method, target, headers, body, SECRETS)
    calls.append(
        {
            "method": method,
            "target": target,
            "headers": headers,
            "length": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "verdict": verdict,
            "signed": signed,
        }
    )
    return ask_moto(method, target, headers, with_trace_header(headers, body))


def with_trace_header(headers, body):
    """What SQS does and moto does not: X-Amzn-Trace-Id of a send becomes the system attribute
    AWSTraceHeader of its message, except where the sender wrote one, which wins. Of a batch moto would
    keep no system attribute at all."""
    trace = sigv4.values(headers, "x-amzn-trace-id")
    if not trace or sigv4.values(headers, "x-amz-target") != ["AmazonSQS.SendMessage"]:
        return body
    message = json.loads(body)
    attribute = {"DataType": "String", "StringValue": trace[0]}
    message.setdefault("MessageSystemAttributes", {}).setdefault("AWSTraceHeader", attribute)
    return json.dumps(message).encode()


def ask_moto(method, target, headers, body):
    connection = http.client.HTTPConnection(*moto.get_host_and_port(), timeout=30)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        if name.lower() not in OF_THE_HOP:
            connection.putheader(name, value.encode("latin-1"))
    connection.putheader("content-length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    fields = [(n, v) for n, v in answer.getheaders() if n.lower() not in OF_THE_HOP]
    length = answer.getheader("content-length") if method == "HEAD" else len(content)
    connection.close()
    return answer.status, fields + [("content-length", str(length))], content


def for_the_test(method, target, headers, body):
    if (method, target) == ("POST", "/reset"):
        calls.clear()
        ask_moto("POST", "/moto-api/reset", [("host", "moto")], b"")
    content = json.dumps(calls).encode()
    return 200, [("content-length", str(len(content)))], content


async def serve(answer, reader, writer):
    """HTTP/1.1, as plain as can be: nothing is decoded, folded, put in order or left out."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head[:-4].split("\r\n")
            method, target, _ = first.split(" ")
            headers = [[n, v.strip(" \t")] for n, v in (line.split(":", 1) for line in lines)]
            if sigv4.values(headers, "expect"):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await read_body(reader, headers)
            status, fields, content = await asyncio.to_thread(answer, method, target, headers, body)
            lines = [f"HTTP/1.1 {status} {http.client.responses[status]}"]
            lines += [f"{name}: {value}" for name, value in fields]
            writer.write("\r\n".join(lines + ["", ""]).encode("latin-1") + content)
            await writer.drain()
            if sigv4.values(headers, "connection") == ["close"]:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def read_body(reader, headers):
    if sigv4.values(headers, "transfer-encoding") != ["chunked"]:
        length = sigv4.values(headers, "content-length")
        return await reader.readexactly(int(length[0])) if length else b""
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return body


async def main():
    moto.start()
    doors = []
    for answer in (at_the_door, for_the_test):
        server = await asyncio.start_server(
            lambda reader, writer, answer=answer: serve(answer, reader, writer), "127.0.0.1", 0, limit=1 << 20
        )
        doors.append(server.sockets[0].getsockname()[1])
    print("listening", *doors, flush=True)
    await asyncio.Event().wait()


asyncio.run(main())

"""Makes one call as a request's query says: by which client, to which URL, with which headers."""

import asyncio
import http.client
import http.server
import json
import os
import socket
import ssl
import urllib.parse

import calls


def look(headers):
    """What the app can see of its own call afterwards shows nothing that it did not do."""
    if any(name.lower() == "throughline-forwarder" for name in headers):
        raise AssertionError("the app can see what was copied")


def by_requests(url, headers, proxy):
    proxies = {"http": proxy, "https": proxy} if proxy else None
    answer = calls.requests.get(url, headers=headers, proxies=proxies, verify=False)
    look(answer.request.headers)


def by_urllib(url, headers, proxy):
    from urllib import request

    handlers = [request.ProxyHandler({"http": proxy, "https": proxy} if proxy else {})]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    handlers.append(request.HTTPSHandler(context=context))
    request.build_opener(*handlers).open(request.Request(url, headers=headers)).read()


def httpx_options(proxy):
    httpx = calls.httpx
    name = "proxy" if tuple(map(int, httpx.__version__.split(".")[:2])) >= (0, 26) else "proxies"
    return {"trust_env": False, "verify": False, name: proxy}


def by_httpx(url, headers, proxy):
    with calls.httpx.Client(**httpx_options(proxy)) as client:
        look(client.get(url, headers=headers).request.headers)


def by_async_httpx(url, headers, proxy):
    async def call():
        async with calls.httpx.AsyncClient(**httpx_options(proxy)) as client:
            answer = await client.get(url, headers=headers)
            look(answer.request.headers)

    asyncio.run(call())


def by_aiohttp(url, headers, proxy):
    async def call():
        async with calls.aiohttp.ClientSession() as session:
            async with session.get(url, headers=headers, proxy=proxy, ssl=False) as answer:
                await answer.read()
                look(answer.request_info.headers)

    asyncio.run(call())


def by_tunnel(url, headers, proxy):
    """In plain text through a tunnel, which is no way that the sidecar sees into."""
    place = urllib.parse.urlsplit(proxy)
    connection = http.client.HTTPConnection(place.hostname, place.port)
    connection.set_tunnel("inside", 80)
    connection.request("GET", urllib.parse.urlsplit(url).path, headers=headers)
    connection.getresponse().read()


class InFile(http.client.HTTPConnection):
    """A socket in a file, as Docker's client has it."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["SOCKET_FILE"])


def by_file(url, headers, proxy):
    connection = InFile("localhost", urllib.parse.urlsplit(url).port)
    for _ in range(2):  # Once before it is connected, and once after.
        connection.request("GET", urllib.parse.urlsplit(url).path, headers=headers)
        connection.getresponse().read()


def by_kept(url, headers, proxy):
    """Two calls on one connection: of the second, the peer itself is known."""
    place = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port)
    for _ in range(2):
        connection.request("GET", place.path, headers=headers)
        connection.getresponse().read()


def by_fork(url, headers, proxy):
    """In a child that is forked while the request is handled, and never hears of its end."""
    child = os.fork()
    if not child:
        try:
            by_kept(url, headers, proxy)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def in_new_python(url, headers, proxy):
    """In a child that starts anew, and is handed nothing but the variables."""
    import subprocess
    import sys

    subprocess.run(
        [sys.executable, "-c", "import urllib.request as r; r.urlopen(%r).read()" % url], check=True
    )


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        try:
            globals()[query["by"]](query["url"], json.loads(query["headers"]), query.get("proxy"))
        except Exception as error:
            print("the call failed:", repr(error), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()

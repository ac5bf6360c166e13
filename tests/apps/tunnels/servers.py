"""A server of HTTPS and one of WebSocket, both on ports of the system's choice.

Their ports, and the file with the certificate that the first is to be trusted by, are said on a line of
JSON. They serve until the standard input ends.
"""

import http.server
import json
import ssl
import sys
import tempfile
import threading

import trustme
from websockets.sync.server import serve


class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"hello from {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def echo(socket):
    for message in socket:
        socket.send(message)


authority = trustme.CA()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost").configure_cert(context)
trusted = tempfile.NamedTemporaryFile(suffix=".pem")
authority.cert_pem.write_to_path(trusted.name)

https = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello)
https.socket = context.wrap_socket(https.socket, server_side=True)
sockets = serve(echo, "127.0.0.1", 0)
for server in (https, sockets):
    threading.Thread(target=server.serve_forever, daemon=True).start()

ports = {
    "https": https.server_address[1],
    "websocket": sockets.socket.getsockname()[1],
    "trusted": trusted.name,
}
print(json.dumps(ports), flush=True)
sys.stdin.read()

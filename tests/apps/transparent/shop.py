"""Whom the app calls: a web server that says what it was asked, and a server that speaks before it is spoken to."""

import http.server
import json
import socketserver
import threading


class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        said = json.dumps({"path": self.path, "peer": self.client_address[0], **dict(self.headers)})
        said = said.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


class Greeter(socketserver.StreamRequestHandler):
    """Greets, and then says every line again; without an end, what it is told is nothing like HTTP."""

    def handle(self):
        self.wfile.write(b"220 shop\r\n")
        for line in self.rfile:
            self.wfile.write(b"250 " + line)


class Echo(socketserver.StreamRequestHandler):
    """Says every line again, once it was spoken to."""

    def handle(self):
        for line in self.rfile:
            self.wfile.write(b"again " + line)


class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True


for port, kind in ((2525, Greeter), (2526, Echo)):
    threading.Thread(target=Threads(("", port), kind).serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("", 80), Shop).serve_forever()

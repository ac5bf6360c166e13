"""An app that knows of no proxy: it asks the shop at the address in its argument, and says what it said."""

import http.server
import socketserver
import sys
import threading
import urllib.request

SHOP = sys.argv[1]


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.server.server_port == 3001:
            said = b"fit"
        else:
            call = urllib.request.Request(f"http://{SHOP}{self.path}", headers={"Host": "shop"})
            said = urllib.request.urlopen(call).read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


class Greeter(socketserver.StreamRequestHandler):
    """What an app may serve besides."""

    def handle(self):
        self.wfile.write(b"220 app\r\n")
        for line in self.rfile:
            self.wfile.write(b"250 " + line)


class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True


threading.Thread(target=Threads(("0.0.0.0", 3002), Greeter).serve_forever, daemon=True).start()
health = http.server.ThreadingHTTPServer(("0.0.0.0", 3001), App)
threading.Thread(target=health.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("0.0.0.0", 3000), App).serve_forever()

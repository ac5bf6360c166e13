"""What an app does: two requests over one tunnel, and a WebSocket.

Arguments: the URL that is asked for, the certificate that it is trusted by, and the address of the
WebSocket. The proxy is that of the environment.
"""

import sys

import requests
from websockets.sync.client import connect

url, trusted, websocket = sys.argv[1:]
with requests.Session() as session:
    for name in ("one", "two"):
        answer = session.get(f"{url}/{name}", verify=trusted, timeout=10)
        print(answer.status_code, answer.text)
with connect(websocket, compression="deflate", proxy=None) as socket:
    for message in ("short", "x" * 100_000):
        socket.send(message)
        assert socket.recv(timeout=10) == message
print("echoed")

"""A server that forks, and does what it is told on each connection, one at a time in each process.

usage: prefork.py WORKERS CALL [shared]

It listens on a free port, which it prints. Each worker accepts a connection, reads a line and obeys:
`call` connects to the port CALL and writes the worker's id there and to the connection; `hold` only says
the id; `fork` has a child that has the connection too, and says both ids. Then it waits for another
line, closes what it opened and accepts the next connection.
"""

import os
import signal
import socket
import sys

workers, call = int(sys.argv[1]), int(sys.argv[2])


def serve(listener):
    while True:
        connection, _ = listener.accept()
        lines = connection.makefile("r")
        what = lines.readline().strip()
        said = str(os.getpid())
        opened = []
        child = None
        if what == "call":
            opened.append(socket.create_connection(("127.0.0.1", call)))
            opened[0].sendall(f"{os.getpid()}\n".encode())
        elif what == "fork":
            child = os.fork()
            if child == 0:
                signal.pause()
            said += f" {child}"
        connection.sendall(f"{said}\n".encode())
        lines.readline()
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for one in opened:
            one.close()
        lines.close()
        connection.close()


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(512)
for _ in range(workers):
    if os.fork() == 0:
        serve(listener)
print(listener.getsockname()[1], flush=True)
# The end of the input is the end of all: whoever started us need not know the workers.
sys.stdin.read()
os.killpg(0, signal.SIGKILL)

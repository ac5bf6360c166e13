"""Which request makes which call, written to a file for the test, and some work that takes a while."""

import hashlib
import itertools
import os
import random

_file = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_numbers = itertools.count(1)


def number_of_call(traceparent):
    """Notes that the request with this traceparent makes a call, and gives the call a number."""
    number = f"{os.getpid()}-{next(_numbers)}"
    os.write(_file, f"{traceparent.split('-')[2]} {number}\n".encode())
    return number


def work():
    digest = b"shop"
    for _ in range(random.randint(300, 2000)):
        digest = hashlib.sha256(digest).digest()

"""The WSGI app of the tests: `/WAY/NUMBER` calls the upstream in that way, with that number."""

import calls


def application(environ, start_response):
    way, number = environ["PATH_INFO"].strip("/").split("/")
    if way == "release":
        calls.released.set()
    elif way == "let_go":
        calls.let_go.set()
    elif way == "hold":
        calls.hold()
    elif way == "stream":
        return stream(number, start_response)
    elif way != "nothing":
        calls.SYNC[way]("/%s" % number)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


def stream(number, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return parts(number)


def parts(number):
    yield b"first"
    calls.by_session("/%s" % number)
    yield b"second"

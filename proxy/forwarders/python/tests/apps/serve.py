"""Serves an app of the tests with the server that is named, at $PORT."""

import os
import sys

PORT = int(os.environ["PORT"])
AT = ("127.0.0.1", PORT)


def wsgiref():
    import socketserver
    import wsgiref.simple_server as server

    from wsgi import application

    class Threads(socketserver.ThreadingMixIn, server.WSGIServer):
        request_queue_size = 128

    class Quiet(server.WSGIRequestHandler):
        def log_message(self, *_):
            pass

    server.make_server(*AT, application, Threads, Quiet).serve_forever()


def werkzeug():
    import logging

    from werkzeug.serving import WSGIRequestHandler, run_simple
    from wsgi import application

    logging.getLogger("werkzeug").setLevel(logging.ERROR)

    class KeepAlive(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

    run_simple(*AT, application, threaded=True, request_handler=KeepAlive)


def waitress():
    from waitress import serve
    from wsgi import application

    serve(application, host=AT[0], port=PORT, threads=16)


def cheroot():
    from cheroot.wsgi import Server
    from wsgi import application

    Server(AT, application, numthreads=16, request_queue_size=128).start()


def pywsgi():
    from gevent.monkey import patch_all

    patch_all()
    from gevent.pywsgi import WSGIServer
    from wsgi import application

    WSGIServer(AT, application, log=None).serve_forever()


def plain():
    import http.server

    import calls

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            way, number = self.path.strip("/").split("/")
            if way == "release":
                calls.released.set()
            elif way == "let_go":
                calls.let_go.set()
            elif way == "hold":
                calls.hold()
            elif way != "nothing":
                calls.SYNC[way]("/%s" % number)
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"done")

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

    Server(AT, Handler).serve_forever()


def aiohttp():
    import calls
    from aiohttp import web

    async def handle(request):
        way, path = request.match_info["way"], "/" + request.match_info["number"]
        if way == "release":
            calls.released.set()
        elif way == "let_go":
            calls.let_go.set()
        elif way == "hold":
            await calls.async_hold()
        elif way == "stream":
            answer = web.StreamResponse()
            await answer.prepare(request)
            await answer.write(b"first")
            await calls.by_aiohttp(path)
            await answer.write_eof(b"done")
            return answer
        elif way == "background":
            answer = web.StreamResponse()
            await answer.prepare(request)
            await answer.write_eof(b"done")
            await calls.by_aiohttp(path)
            return answer
        elif way != "nothing":
            await calls.ASYNC[way](path)
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/{way}/{number}", handle)
    web.run_app(app, host=AT[0], port=PORT, print=None, access_log=None)


def tornado():
    import asyncio
    import logging

    import calls
    import tornado.web

    logging.getLogger("tornado.access").setLevel(logging.ERROR)

    class Handler(tornado.web.RequestHandler):
        async def get(self, way, number):
            path = "/" + number
            if way == "release":
                calls.released.set()
            elif way == "let_go":
                calls.let_go.set()
            elif way == "hold":
                await calls.async_hold()
            elif way == "stream":
                self.write("first")
                await self.flush()
                await calls.by_aiohttp(path)
            elif way in calls.ASYNC:
                await calls.ASYNC[way](path)
            self.finish("done")
            if way == "background":
                await calls.by_aiohttp(path)

    async def main():
        tornado.web.Application([("/([^/]+)/([^/]+)", Handler)]).listen(PORT, AT[0])
        await asyncio.Event().wait()

    asyncio.run(main())


if __name__ == "__main__":
    globals()[sys.argv[1]]()

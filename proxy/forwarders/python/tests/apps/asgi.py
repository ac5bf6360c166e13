"""The ASGI app of the tests, like the one for WSGI."""

import calls


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    way, number = scope["path"].strip("/").split("/")
    path = "/%s" % number
    if way in calls.ASYNC:
        await calls.ASYNC[way](path)
    elif way == "release":
        calls.released.set()
    elif way == "let_go":
        calls.let_go.set()
    elif way == "hold":
        await calls.async_hold()
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain")],
        }
    )
    if way == "stream":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await calls.by_aiohttp(path)
    await send({"type": "http.response.body", "body": b"done"})
    if way == "background":
        await calls.by_aiohttp(path)

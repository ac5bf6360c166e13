"""The shop as an aiohttp app, which calls with aiohttp's own client: one process, one loop, one session."""

import asyncio
import os

import aiohttp
from aiohttp import web
from witness import number_of_call, work

PAYMENTS = os.environ["PAYMENTS_URL"]
STOCK = os.environ["STOCK_URL"]
PRICES = os.environ["PRICES_URL"]

SESSION = web.AppKey("session", aiohttp.ClientSession)
routes = web.RouteTableDef()


async def call(request, method, url, **body):
    headers = {"x-call-number": number_of_call(request.headers["traceparent"])}
    session = request.app[SESSION]
    async with session.request(method, url, headers=headers, **body) as answer:
        answer.raise_for_status()
        return await answer.json()


@routes.get("/checkout")
async def checkout(request):
    work()
    charge = await call(request, "POST", f"{PAYMENTS}/charges", json={"amount": 1200})
    work()
    items = await call(request, "GET", f"{STOCK}/items")
    work()
    return web.json_response({"charge": charge, "items": items})


@routes.get("/browse")
async def browse(request):
    work()
    items = await call(request, "GET", f"{STOCK}/items")
    work()
    return web.json_response({"items": items})


@routes.get("/quote")
async def quote(request):
    work()
    price, items = await asyncio.gather(
        call(request, "GET", f"{PRICES}/prices"),
        call(request, "GET", f"{STOCK}/items"),
    )
    work()
    return web.json_response({"price": price, "items": items})


@routes.get("/health")
async def health(request):
    return web.json_response({"healthy": True})


async def session(app):
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as app[SESSION]:
        yield


app = web.Application()
app.add_routes(routes)
app.cleanup_ctx.append(session)

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None, access_log=None)

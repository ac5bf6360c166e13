"""The shop as a Starlette app under uvicorn: one process, one loop, one pool of connections."""

import asyncio
import contextlib
import os

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from witness import number_of_call, work

PAYMENTS = os.environ["PAYMENTS_URL"]
STOCK = os.environ["STOCK_URL"]
PRICES = os.environ["PRICES_URL"]


async def call(request, method, url, **body):
    headers = {"x-call-number": number_of_call(request.headers["traceparent"])}
    client = request.app.state.client
    answer = await client.request(method, url, headers=headers, **body)
    answer.raise_for_status()
    return answer.json()


async def checkout(request):
    work()
    charge = await call(request, "POST", f"{PAYMENTS}/charges", json={"amount": 1200})
    work()
    items = await call(request, "GET", f"{STOCK}/items")
    work()
    return JSONResponse({"charge": charge, "items": items})


async def browse(request):
    work()
    items = await call(request, "GET", f"{STOCK}/items")
    work()
    return JSONResponse({"items": items})


async def quote(request):
    work()
    price, items = await asyncio.gather(
        call(request, "GET", f"{PRICES}/prices"),
        call(request, "GET", f"{STOCK}/items"),
    )
    work()
    return JSONResponse({"price": price, "items": items})


async def health(request):
    return JSONResponse({"healthy": True})


@contextlib.asynccontextmanager
async def lifespan(app):
    async with httpx.AsyncClient(timeout=30) as app.state.client:
        yield


app = Starlette(
    routes=[Route(f"/{page.__name__}", page) for page in (checkout, browse, quote, health)],
    lifespan=lifespan,
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")

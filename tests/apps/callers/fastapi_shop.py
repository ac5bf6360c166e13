"""The shop as a FastAPI app under uvicorn: one process, one loop, one pool of httpx."""

import asyncio
import contextlib
import os
from typing import Annotated

import httpx
import uvicorn
from fastapi import Depends, FastAPI, Request
from witness import number_of_call, work

PAYMENTS = os.environ["PAYMENTS_URL"]
STOCK = os.environ["STOCK_URL"]
PRICES = os.environ["PRICES_URL"]


@contextlib.asynccontextmanager
async def lifespan(app):
    async with httpx.AsyncClient(timeout=30) as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


class Upstreams:
    def __init__(self, request: Request):
        self.client = request.app.state.client
        self.traceparent = request.headers["traceparent"]

    async def call(self, method, url, **body):
        headers = {"x-call-number": number_of_call(self.traceparent)}
        answer = await self.client.request(method, url, headers=headers, **body)
        answer.raise_for_status()
        return answer.json()


@app.get("/checkout")
async def checkout(upstreams: Annotated[Upstreams, Depends()]):
    work()
    charge = await upstreams.call("POST", f"{PAYMENTS}/charges", json={"amount": 1200})
    work()
    items = await upstreams.call("GET", f"{STOCK}/items")
    work()
    return {"charge": charge, "items": items}


@app.get("/browse")
async def browse(upstreams: Annotated[Upstreams, Depends()]):
    work()
    items = await upstreams.call("GET", f"{STOCK}/items")
    work()
    return {"items": items}


@app.get("/quote")
async def quote(upstreams: Annotated[Upstreams, Depends()]):
    work()
    price, items = await asyncio.gather(
        upstreams.call("GET", f"{PRICES}/prices"),
        upstreams.call("GET", f"{STOCK}/items"),
    )
    work()
    return {"price": price, "items": items}


@app.get("/health")
async def health():
    return {"healthy": True}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")

"""The same in frameworks. None of them knows of tracing."""

import asyncio

import calls


def flask():
    from flask import Flask

    app = Flask(__name__)

    @app.get("/<way>/<number>")
    def handle(way, number):
        if way == "release":
            calls.released.set()
        elif way == "let_go":
            calls.let_go.set()
        elif way == "hold":
            calls.hold()
        elif way != "nothing":
            calls.SYNC[way]("/" + number)
        return "done"

    return app


def django():
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path

    def handle(request, way, number):
        if way == "release":
            calls.released.set()
        elif way == "let_go":
            calls.let_go.set()
        elif way == "hold":
            calls.hold()
        elif way != "nothing":
            calls.SYNC[way]("/" + number)
        return HttpResponse("done")

    async def handle_async(request, way, number):
        if way in calls.SYNC:
            return await asyncio.get_running_loop().run_in_executor(
                None, handle, request, way, number
            )
        if way == "hold":
            await calls.async_hold()
            return HttpResponse("done")
        await calls.ASYNC[way]("/" + number)
        return HttpResponse("done")

    class Urls:
        urlpatterns = [
            path("async/<way>/<number>", handle_async),
            path("<way>/<number>", handle),
        ]

    settings.configure(
        ROOT_URLCONF=Urls,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY="tests",
        MIDDLEWARE=[
            "django.middleware.common.CommonMiddleware",
        ],
    )
    return get_wsgi_application, get_asgi_application


def django_wsgi():
    return django()[0]()


def django_asgi():
    return django()[1]()


def fastapi():
    from fastapi import BackgroundTasks, FastAPI
    from starlette.middleware.base import BaseHTTPMiddleware

    app = FastAPI()

    async def pass_on(request, call_next):
        return await call_next(request)

    # It runs the rest of the app in a task of its own.
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)

    @app.get("/async/{way}/{number}")
    async def handle_async(way: str, number: str, tasks: BackgroundTasks):
        if way == "background":
            tasks.add_task(calls.by_aiohttp, "/" + number)
        elif way == "hold":
            await calls.async_hold()
        else:
            await calls.ASYNC[way]("/" + number)
        return "done"

    @app.get("/{way}/{number}")
    def handle(way: str, number: str):
        if way == "release":
            calls.released.set()
        elif way == "let_go":
            calls.let_go.set()
        elif way == "hold":
            calls.hold()
        elif way != "nothing":
            calls.SYNC[way]("/" + number)
        return "done"

    return app

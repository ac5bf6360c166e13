"""The shop as a Django app under gunicorn with threads, which calls with a pool of urllib3."""

import os

import urllib3
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET
from witness import number_of_call, work

PAYMENTS = os.environ["PAYMENTS_URL"]
STOCK = os.environ["STOCK_URL"]
PRICES = os.environ["PRICES_URL"]

http = urllib3.PoolManager(maxsize=16, timeout=30)


def call(request, method, url, **body):
    headers = {"x-call-number": number_of_call(request.headers["traceparent"])}
    answer = http.request(method, url, headers=headers, **body)
    if answer.status != 200:
        raise OSError(f"{url} answered {answer.status}")
    return answer.json()


@require_GET
def checkout(request):
    work()
    charge = call(request, "POST", f"{PAYMENTS}/charges", json={"amount": 1200})
    work()
    items = call(request, "GET", f"{STOCK}/items")
    work()
    return JsonResponse({"charge": charge, "items": items})


@require_GET
def browse(request):
    work()
    items = call(request, "GET", f"{STOCK}/items")
    work()
    return JsonResponse({"items": items})


@require_GET
def quote(request):
    work()
    price = call(request, "GET", f"{PRICES}/prices")
    items = call(request, "GET", f"{STOCK}/items")
    work()
    return JsonResponse({"price": price, "items": items})


@require_GET
def health(request):
    return JsonResponse({"healthy": True})


urlpatterns = [path(view.__name__, view) for view in (checkout, browse, quote, health)]

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="the shop keeps no secrets",
)
app = get_wsgi_application()

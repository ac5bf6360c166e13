"""The shop as a Flask app, which calls with requests: each worker serves one request at a time."""

import os

import requests
from flask import Flask, jsonify, request
from witness import number_of_call, work

app = Flask(__name__)

PAYMENTS = os.environ["PAYMENTS_URL"]
STOCK = os.environ["STOCK_URL"]
PRICES = os.environ["PRICES_URL"]

# Either each call has a connection of its own, or each worker keeps its connections.
http = requests.Session() if os.environ.get("KEEP_CONNECTIONS") else requests


def call(method, url, **body):
    headers = {"x-call-number": number_of_call(request.headers["traceparent"])}
    answer = http.request(method, url, headers=headers, timeout=30, **body)
    answer.raise_for_status()
    return answer.json()


@app.get("/checkout")
def checkout():
    work()
    charge = call("POST", f"{PAYMENTS}/charges", json={"amount": 1200})
    work()
    items = call("GET", f"{STOCK}/items")
    work()
    return jsonify(charge=charge, items=items)


@app.get("/browse")
def browse():
    work()
    items = call("GET", f"{STOCK}/items")
    work()
    return jsonify(items=items)


@app.get("/quote")
def quote():
    work()
    price = call("GET", f"{PRICES}/prices")
    items = call("GET", f"{STOCK}/items")
    work()
    return jsonify(price=price, items=items)


@app.get("/health")
def health():
    return jsonify(healthy=True)

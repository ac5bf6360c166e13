"""Orders: a small shop service. It asks the stock service whether there is enough of an item."""

import os

import requests
from flask import Flask, jsonify, request

app = Flask(__name__)

STOCK_URL = os.environ.get("STOCK_URL", "http://stock:3001")


@app.get("/orders/<item>")
def order(item):
    answer = requests.get(f"{STOCK_URL}/stock/{item}", timeout=30)
    answer.raise_for_status()
    return jsonify(item=item, stock=answer.json())


@app.get("/prices/<item>")
def price(item):
    return jsonify(item=item, price=len(item) * 100)


@app.post("/echo")
def echo():
    return request.get_data(), 201, {"X-Length": str(request.content_length)}


@app.get("/echo-headers")
def echo_headers():
    return jsonify([[name, value] for name, value in request.headers])

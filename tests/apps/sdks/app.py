"""A service that calls whom it is told to, with the tracing SDK that `SDK` names, or with none.

`/item` answers with the headers that it saw, and `/call` with those that its call took along.
`/unsampled/spans` are those that the SDK has sent; it samples nothing below `/unsampled`.
"""

import logging
import os

import requests
from flask import Flask, jsonify, request

app = Flask(__name__)

match os.environ.get("SDK"):
    case "opentelemetry":
        from with_opentelemetry import trace
    case "xray":
        from with_xray import trace
    case _:

        def trace(app):
            return list


spans = trace(app)


@app.get("/call")
@app.get("/unsampled/call", endpoint="unsampled")
def call():
    answer = requests.get(request.args["url"], timeout=30)
    answer.raise_for_status()
    return jsonify(sent=list(answer.request.headers.items()), answer=answer.json())


@app.get("/item")
def item():
    return jsonify(seen=list(request.headers.items()))


@app.get("/unsampled/spans")
def sent():
    return jsonify(spans())


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run("127.0.0.1", int(os.environ["PORT"]))

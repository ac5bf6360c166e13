"""AWS' own SDK for X-Ray, which keeps what it would send to the daemon."""

import json

from aws_xray_sdk.core import patch, xray_recorder
from aws_xray_sdk.core.sampling.local.sampler import LocalSampler
from aws_xray_sdk.ext.flask.middleware import XRayMiddleware

RULES = {
    "version": 2,
    "rules": [
        {
            "host": "*",
            "http_method": "*",
            "url_path": "/unsampled/*",
            "fixed_target": 0,
            "rate": 0,
        }
    ],
    "default": {"fixed_target": 0, "rate": 1},
}


class Kept:
    """Stands for the way to the daemon."""

    def __init__(self):
        self.documents = []

    def send_entity(self, entity):
        self.documents.append(json.loads(entity.serialize()))


def trace(app):
    kept = Kept()
    xray_recorder.configure(service="xray", sampler=LocalSampler(RULES), emitter=kept)
    XRayMiddleware(app, xray_recorder)
    patch(["requests"])
    return lambda: [span for segment in kept.documents for span in in_short(segment)]


def in_short(segment, trace=None, parent=None):
    trace = segment.get("trace_id", trace)
    remote = segment.get("namespace") == "remote"
    yield {
        "trace": trace,
        "id": segment["id"],
        "parent": segment.get("parent_id", parent),
        "kind": "client" if remote else "server",
    }
    for child in segment.get("subsegments", []):
        yield from in_short(child, trace, segment["id"])

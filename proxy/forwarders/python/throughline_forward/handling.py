"""The request that is being handled here and now, and for how long it is."""

import os
import sys
from contextvars import ContextVar
from time import monotonic

from . import rules, variables

settings = rules.Settings(variables)
current = ContextVar("throughline_request", default=None)

# Agents that add headers of their own once they are loaded. Nothing is copied beside them.
AGENTS = frozenset(
    ("ddtrace", "elasticapm", "newrelic", "instana", "skywalking", "appdynamics", "oneagent")
)

_epoch = [0]


def _forked():
    # The response ends in the parent, and a child would never hear of it.
    _epoch[0] += 1


os.register_at_fork(after_in_child=_forked)


class Request:
    """The headers to copy while one request is handled. It holds nothing of the app's."""

    __slots__ = ("headers", "_ended", "_epoch", "_task")

    def __init__(self, headers):
        self.headers = headers
        self._ended = None
        self._epoch = _epoch[0]
        self._task = id(_task())

    def end(self):
        """The response has ended."""
        if self._ended is None:
            self._ended = monotonic()

    def lives(self):
        """Whether its response has not ended, or only just, or was never ended since a fork."""
        if self._epoch != _epoch[0]:
            return False
        return self._ended is None or monotonic() - self._ended < settings.grace

    def is_served(self):
        """Whether what runs here is known to be for this request.

        A task inherits the context that it was made in. One that nobody waits for may be a queue's
        consumer that happened to be made by the first request that needed it, and works for others.
        """
        if _loop() is None:
            return True
        task = _task()
        if task is None:
            return False
        callbacks = getattr(task, "_callbacks", None) or ()
        if id(task) == self._task or any(map(_is_waiting, callbacks)):
            return True
        # A task group of anyio 3 waits for its tasks without leaving a callback in them.
        states = getattr(sys.modules.get("anyio._backends._asyncio"), "_task_states", {})
        return getattr(states.get(task), "parent_id", None) is not None


def _is_waiting(callback):
    # `task.add_done_callback(tasks.discard)` is how a task is kept that nobody waits for.
    return getattr(callback[0], "__name__", None) not in ("discard", "remove", "pop")


def _loop():
    running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return running and running()


def _task():
    return sys.modules["asyncio"].current_task() if _loop() is not None else None


def begin(headers):
    """The request with these headers, or None where none of them is to be copied."""
    headers = rules.pick(headers)
    if not headers or stands_aside():
        return None
    greenlet = sys.modules.get("greenlet")
    # With greenlets of before 1.0 all of a thread's requests would share one context.
    if greenlet is not None and not getattr(greenlet, "GREENLET_USE_CONTEXT_VARS", False):
        return None
    return Request(headers)


def headers_to_copy():
    """The headers for a call that is made here and now; none where no request is known."""
    request = current.get()
    if request is None or not request.lives() or not request.is_served() or stands_aside():
        return ()
    return request.headers


def stands_aside():
    """Whether something else in the process does the forwarder's job."""
    modules = sys.modules
    # In this order a few names are looked up. In the other all modules would be gone through.
    if not modules.keys().isdisjoint(AGENTS):
        return True
    trace = modules.get("opentelemetry.trace")
    if trace is not None and getattr(trace, "_TRACER_PROVIDER", trace) is not None:
        return True
    patcher = modules.get("aws_xray_sdk.core.patcher")
    return patcher is not None and bool(getattr(patcher, "_PATCHED_MODULES", patcher))

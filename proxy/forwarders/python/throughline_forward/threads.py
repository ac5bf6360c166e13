"""Work that a request hands to a thread.

A job takes along the request that submitted it, and leaves nothing in the thread that ran it. A
thread of its own does so only where the program waits for it to end: a daemon may be the consumer of
a queue, made by the first request that needed it.
"""

from .handling import current
from .hooks import replace


def _carrying(request, job):
    def run(*args, **kwargs):
        token = current.set(request)
        try:
            return job(*args, **kwargs)
        finally:
            current.reset(token)

    return run


def _submit(original, hook):
    def submit(*args, **kwargs):
        request = token = None
        if hook.up:
            try:
                request = current.get()
                if (
                    request is not None
                    and request.lives()
                    and request.is_served()
                    and len(args) > 1
                ):
                    args = (args[0], _carrying(request, args[1]), *args[2:])
                # A worker that is started here is for all jobs to come.
                token = current.set(None) if request is not None else None
            except Exception as error:
                hook.failed(error)
        if token is None:
            return original(*args, **kwargs)
        try:
            return original(*args, **kwargs)
        finally:
            current.reset(token)

    return submit


def _start(original, hook):
    def start(self):
        request = None
        if hook.up:
            try:
                request = current.get()
                if (
                    request is not None
                    and request.lives()
                    and request.is_served()
                    and not self.daemon
                ):
                    self._throughline_request = request
            except Exception as error:
                hook.failed(error)
        try:
            return original(self)
        except BaseException:
            self.__dict__.pop("_throughline_request", None)
            raise

    return start


def _run(original, hook):
    def run(self):
        request = self.__dict__.pop("_throughline_request", None)
        if request is None or not hook.up:
            return original(self)
        token = current.set(request)
        try:
            return original(self)
        finally:
            current.reset(token)

    return run


def _executor(module):
    # Up to 3.8, `submit` takes whatever it is given.
    replace(module.ThreadPoolExecutor, "submit", ("", "self fn"), _submit)


def _thread(module):
    # A class that runs in a way of its own, such as a Timer, does not come by `run`.
    if replace(module.Thread, "run", ("self",), _run):
        replace(module.Thread, "start", ("self",), _start)


HOOKS = {"concurrent.futures.thread": _executor, "threading": _thread}

"""Loads the forwarder as Python starts, and gets out of the way.

Python imports the first `sitecustomize` on its path, and only that one. So this one takes its own
directory off the path and then imports the one that it hid: the image's, the distribution's or
another agent's. Where there is none, the import fails as it would have failed without this one.

Every Python from 2.7 on can read this file, since whoever sets PYTHONPATH sets it for all of them.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _forward():
    # Versions that it was not tested on are left alone. From 3.14 on, threads may inherit a context.
    if not (3, 7) <= sys.version_info[:2] <= (3, 13) or "throughline_forward" in sys.modules:
        return
    import throughline_forward

    throughline_forward.start(os.environ)


try:
    _forward()
except Exception as error:
    if os.environ.get("THROUGHLINE_FORWARD_DEBUG") == "1":
        sys.stderr.write("throughline-forwarder: not started: %r\n" % (error,))

sys.path[:] = [place for place in sys.path if not place or os.path.abspath(place) != _HERE]
sys.path_importer_cache.pop(_HERE, None)
sys.modules.pop(__name__, None)

import sitecustomize  # noqa: E402, F401

"""How a function of a library is hooked: known by its arguments, guarded, and given up when it fails."""

from . import complain

PATIENCE = 3


class Hook:
    """One hook, which is given up for good after a few failures."""

    __slots__ = ("name", "failures")

    def __init__(self, name):
        self.name = name
        self.failures = 0

    @property
    def up(self):
        return self.failures < PATIENCE

    def failed(self, error):
        self.failures += 1
        complain(self.name, error)


def replace(owner, name, arguments, make):
    """Puts `make(original, hook)` in the place of `owner.name`.

    Only a function with one of the `arguments` is known, each given as in "self request". Another is of
    a version that is not known, and left alone. Returns whether it was replaced.
    """
    original = owner.__dict__.get(name)
    label = "%s.%s.%s" % (owner.__module__, owner.__qualname__, name)
    code = getattr(original, "__code__", None)
    if code is None or " ".join(_names(code)) not in arguments:
        complain(label, "not of a known version")
        return False
    if hasattr(original, "__throughline__"):
        return True
    function = make(original, Hook(label))
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
        setattr(function, attribute, getattr(original, attribute))
    function.__dict__.update(original.__dict__)
    function.__wrapped__ = original
    function.__throughline__ = True
    setattr(owner, name, function)
    return True


def _names(code):
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

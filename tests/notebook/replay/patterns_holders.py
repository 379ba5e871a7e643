"""Every way to hold on to an object, put in after the cell that changes the object was remembered.

The cell that changes `b` does not read the holder: its key is the same with and without it, and
yet what is put back must be what the holder holds.
"""

from __future__ import annotations

from tests.notebook.replay.patterns import Pattern, pattern

#: Name of the kind, how it is made, and what shows that it holds `b`.
_HOLDERS = [
    ("another name", "h = b", "h"),
    ("a list", "h = [b]", "h"),
    ("a tuple in a dict", "h = {'k': (b, 1)}", "h"),
    ("a bound method", "h = b.append", "h.__self__"),
    ("a lambda's default", "h = lambda x=b: x", "h()"),
    ("a closure", "def make(x):\n    return lambda: x\nh = make(b)", "h()"),
    ("a partial", "import functools\nh = functools.partial(len, b)", "h()"),
    ("an iterator", "h = iter(b)", "list(h)"),
    ("a reversed iterator and a zip", "h = [reversed(b), zip(b, b)]", "[list(x) for x in h]"),
    ("a generator", "h = (x for x in b)", "list(h)"),
    ("a started generator", "def g(x):\n    yield 0\n    yield x\nh = g(b); next(h)", "list(h)"),
    ("an instance", "class H: pass\nh = H()\nh.b = b", "h.b"),
    ("an instance with slots", "class H: __slots__ = 'b'\nh = H()\nh.b = b", "h.b"),
    ("a class", "class H: held = b", "H.held"),
    ("a default of a method", "class H:\n    def m(self, x=b): return x", "H().m()"),
    ("an attribute of a function", "def h(): pass\nh.b = b", "h.b"),
    ("a deque", "import collections\nh = collections.deque([b])", "h"),
    ("a ChainMap", "import collections\nh = collections.ChainMap({'b': b})", "h['b']"),
    ("a UserList", "import collections\nh = collections.UserList()\nh.data = b", "h.data"),
    ("a namespace", "import types\nh = types.SimpleNamespace(b=b)", "h"),
    ("a mapping proxy", "import types\nh = types.MappingProxyType({'b': b})", "dict(h)"),
    ("an object array", "import numpy as np\nh = np.empty(1, dtype=object)\nh[0] = b", "h"),
    ("a frame's cell", "import pandas as pd\nh = pd.DataFrame({'o': [None]})\nh.at[0, 'o'] = b",
     "h.at[0, 'o']"),
    ("attrs of a frame", "import pandas as pd\nh = pd.DataFrame()\nh.attrs['b'] = b",
     "h.attrs"),
    ("an exception", "h = ValueError(b)", "h.args"),
    ("a traceback's frame",
     "def f(x):\n    1 / 0\ntry:\n    f(b)\nexcept Exception as e:\n    h = e",
     "h.__traceback__.tb_next.tb_frame.f_locals['x']"),
    ("the contents of a cache",
     "import functools\n@functools.cache\ndef h(): return b\nh();", "h()"),
    ("a cached property", ("import functools\nclass H:\n    @functools.cached_property\n"
     "    def p(self): return b\nh = H(); h.p;"), "h.p"),
    ("a module", "import json\njson.held = b", "json.held"),
    ("a local module's list", "import mod\nmod.state.append(b)", "mod.state"),
    ("a class of a library", "import collections\ncollections.UserDict.held = b",
     "collections.UserDict.held"),
    ("the builtins", "import builtins\nbuiltins.held = b", "held"),
    ("a context variable", "import contextvars\nh = contextvars.ContextVar('h')\nt = h.set(b)",
     "h.get()"),
    ("thread-local data", "import threading\nh = threading.local()\nh.b = b", "h.b"),
    ("an exit stack", "import contextlib\nh = contextlib.ExitStack()\nh.callback(b.append, 'end')",
     "h.close() or b"),
    ("a queue", "import queue\nh = queue.Queue()\nh.put(b)", "h.get()"),
    ("the shell's history", "b", "Out[2]"),
    ("a keyword of a partial in a list", "import functools\nh = [functools.partial(dict, b=b)]",
     "h[0]()"),
    ("a property's getter", "class H:\n    p = property(lambda self, x=b: x)", "H().p"),
    ("a class inside a function", ("def make(x):\n    class L:\n        held = x\n    return L\n"
     "H = make(b)"), "H.held"),
    ("a method of a library's object", "import io\nh = [io.StringIO().write, b.extend]",
     "h[1].__self__"),
    ("a key of a dict", "class K(list):\n    __hash__ = object.__hash__\nb = K(b)\nh = {b: 1}",
     "list(h)"),
    ("a set", "class K(list):\n    __hash__ = object.__hash__\nb = K(b)\nh = {b}", "list(h)"),
    ("a weak reference", "import weakref\nclass K(list): pass\nb = K(b)\nh = weakref.ref(b)",
     "h()"),
    ("a weak dictionary", ("import weakref\nclass K(list): pass\nb = K(b)\n"
     "h = weakref.WeakValueDictionary(b=b)"), "dict(h)"),
    ("an event of the shell", ("get_ipython().events.register('post_run_cell', "
     "lambda r, x=b: x.append('ran'))"), "b"),
    ("a name with two underscores", "__held = b", "__held"),
]  # fmt: skip
_BUFFERS = [
    ("a memoryview", "h = memoryview(b)", "bytes(h)"),
    ("an array over a buffer", "import numpy as np\nh = np.frombuffer(b, dtype='u1')", "h"),
]
_ARRAYS = [
    ("a view", "h = b[1:]", "h"),
    ("a view in a list", "h = [b.reshape(2, 2)]", "h"),
    ("a memoryview of an array", "h = memoryview(b)", "bytes(h)"),
    ("an iterator of an array", "h = b.flat", "list(h)"),
    ("a series without a copy", "import pandas as pd\nh = pd.Series(b, copy=False)", "h.tolist()"),
    ("a frame without a copy",
     "import pandas as pd\nh = pd.DataFrame(b.reshape(2, 2), copy=False)", "h.values.tolist()"),
    ("a masked array", "h = np.ma.masked_array(b, copy=False)", "h"),
    ("a bound method of a view", "h = b[::2].sum", "h()"),
    ("a view as a class attribute", "class H: held = b[:2]", "H.held"),
    ("a view in a closure", "def make(x):\n    return lambda: x\nh = make(b[:2])", "h()"),
    ("a ctypes pointer", "h = b.ctypes", "h.data == b.ctypes.data"),
]  # fmt: skip


def _pattern(start: str, change: str, kind: str, holder: str, shown: str) -> Pattern:
    made = pattern(
        f"{kind} holds what another cell changes",
        "",
        edit=(1, holder),
        files={"mod.py": "state = []\n"},
        unlike=("__held",) if "__held" in holder else (),
    )
    cells = (start, "pass", change, "print(b)", f"try:\n    print({shown})\nexcept Exception: pass")
    return Pattern(**{**vars(made), "cells": cells})


PATTERNS = [
    *(_pattern("b = [3]", "b.append(5); n = len(b)", *holder) for holder in _HOLDERS),
    *(_pattern("b = bytearray(4)", "b[0] = 7; n = len(b)", *holder) for holder in _BUFFERS),
    *(
        _pattern("import numpy as np\nb = np.arange(4)", "b[:] = b + 5; n = len(b)", *holder)
        for holder in _ARRAYS
    ),
]

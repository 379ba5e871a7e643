"""Encoders of families of types, and of any other object: by what pickle would keep of it."""

from __future__ import annotations

import copyreg
import enum
import io
import pathlib
import types
import weakref
from functools import lru_cache
from typing import Any

from nbflow.errors import Unfingerprintable
from nbflow.results.fingerprint_code import is_library_module
from nbflow.results.fingerprint_walk import (
    Encoder,
    Walk,
    type_name,
)

# Objects of these stand for something outside: threads, connections, screens, files, processes.
_REFUSED_MODULES = frozenset(
    "matplotlib mpl_toolkits ipywidgets anywidget traitlets IPython ipykernel sqlite3 socket"
    " _socket ssl _ssl threading _thread asyncio _asyncio zmq select selectors multiprocessing"
    " contextvars _contextvars mmap weakref _weakrefset tkinter _tkinter".split()
)
_REFUSED_TYPES: tuple[type, ...] = (
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    types.FrameType,
    types.TracebackType,
    weakref.ref,
    weakref.ProxyType,
    weakref.CallableProxyType,
    memoryview,
)
# Files in memory: all of their state is kept by pickle.
_MEMORY_FILES = (io.StringIO, io.BytesIO)
# What compiled libraries have as functions.
_FUNCTION_TYPES = frozenset({"cython_function_or_method", "_ArrayFunctionDispatcher"})
_NEW = getattr(copyreg, "__newobj__")  # noqa: B009  (mypy does not know it)


def _path(walk: Walk, value: pathlib.PurePath) -> bytes:
    return walk.several(b"P", [type_name(type(value)), str(value)])


def _enum(walk: Walk, value: enum.Enum) -> bytes:
    # What else the members hold is in their class, which is encoded with all its members.
    return walk.several(b"e", [type(value), value.name, value.value])


def _exception(walk: Walk, value: BaseException) -> bytes:
    if walk.counts_hidden and value.__traceback__ is not None:
        raise Unfingerprintable(type_name(type(value)), "it holds a traceback")
    chain = [value.__cause__, value.__context__, value.__suppress_context__]
    return walk.node(b"E", [encode_object(walk, value), *map(walk.encode, chain)])


def encode_object(walk: Walk, value: Any) -> bytes:
    """Any object, by what pickle would keep of it.

    Python itself refuses objects of C types that could hide state from the default way.
    """
    kind: Any = type(value)
    if walk.counts_hidden and (reason := _hides(kind)):
        raise Unfingerprintable(type_name(kind), reason)
    reduce = copyreg.dispatch_table.get(kind)
    try:
        reduced = kind.__reduce_ex__(value, 5) if reduce is None else reduce(value)
    except RecursionError:
        raise
    except Exception as error:
        raise Unfingerprintable(type_name(kind)) from error
    if isinstance(reduced, str):
        return walk.several(b"g", [kind.__module__, reduced])
    make, args, state, items, pairs = (tuple(reduced) + (None,) * 5)[:5]
    encode = walk.encode
    if make is _NEW and args and args[0] is kind:
        parts = [b"", encode(kind), *map(encode, args[1:])]
    else:
        parts = [encode(make), encode(kind), encode(args)]
    parts.append(encode(state))
    if items is not None:
        parts.append(walk.several(b"l", items))
    if pairs is not None:
        parts.append(walk.several(b"d", [part for pair in pairs for part in pair]))
    return walk.node(b"o", parts)


# What classes define to be pickled and copied otherwise than by their attributes, or to be noticed.
_HOOKS = ("__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__", "__getnewargs_ex__",
          "__del__")  # fmt: skip


@lru_cache(maxsize=1024)
def _hides(kind: type) -> str:
    """Why the copies that storing makes, or what they are made of, would be noticed; else empty."""
    if kind.__module__.partition(".")[0] == "logging":
        return "there is one of each name"
    for base in kind.__mro__:
        if not is_library_module(base.__module__):
            for hook in _HOOKS:
                own = vars(base).get(hook)
                is_of_named_tuple = hook == "__getnewargs__" and issubclass(base, tuple)
                if isinstance(own, types.FunctionType) and not is_of_named_tuple:
                    return f"its class defines {hook}"
    return ""


def _refuse(walk: Walk, value: Any) -> bytes:
    raise Unfingerprintable(type_name(type(value)))


def _is_refused(kind: type) -> bool:
    if issubclass(kind, _MEMORY_FILES):
        return False
    if issubclass(kind, _REFUSED_TYPES) or issubclass(kind, io.IOBase):
        return True
    if any(base.__module__.partition(".")[0] in _REFUSED_MODULES for base in kind.__mro__):
        return True
    if (kind.__module__, kind.__qualname__) in (("subprocess", "Popen"), ("_csv", "reader")):
        return True
    # Whoever takes the next item of an iterator changes it, whatever it runs over.
    return hasattr(kind, "__next__") or hasattr(kind, "__anext__")


def known_family(kind: type) -> Encoder | None:
    if issubclass(kind, enum.Enum):
        return Encoder(_enum, has_identity=False)
    if issubclass(kind, pathlib.PurePath):
        return Encoder(_path, has_identity=False)
    if issubclass(kind, BaseException):
        return Encoder(_exception, has_identity=True)
    if _is_refused(kind):
        return Encoder(_refuse, has_identity=False)
    return None


def any_object(kind: type) -> Encoder:
    """The last family."""
    is_value = issubclass(kind, tuple | str | bytes | int | float | complex | frozenset)
    is_value = is_value and not getattr(kind, "__dictoffset__", 0)
    is_value = is_value or kind.__name__ in _FUNCTION_TYPES
    return Encoder(encode_object, has_identity=not is_value)

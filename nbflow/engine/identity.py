"""Whether what a task gave is an object that others hold too, which no copy can stand for."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from nbflow.results.fingerprint_code import is_library, is_library_module, names_in

_ATOMS = frozenset({
    int, float, complex, bool, str, bytes, type(None), range, CodeType, BuiltinFunctionType,
    type(...), type(NotImplemented),
})  # fmt: skip
_MOST_OBJECTS = 1_000_000


def is_held(value: Any, fn: Any, given: Iterable[Any]) -> bool:
    """Whether `value`, or something mutable in it, is in `given` or among what `fn` refers to.

    Frames are taken for what they are by themselves: they are copied when they are changed.
    True where there is too much to look at.
    """
    if type(value) in _ATOMS:
        return False
    mine = _reached([value])
    if mine is None:
        return True
    if not mine:
        return False
    others = _reached([fn, *given])
    return others is None or not mine.isdisjoint(others)


def _reached(values: Iterable[Any]) -> set[int] | None:
    """Ids of what is not constant, from `values` on; None: there is too much."""
    seen: dict[int, Any] = {}
    level, constant = list(values), set[int]()
    while level:
        fresh = []
        for value in level:
            if type(value) in _ATOMS or id(value) in seen:
                continue
            seen[id(value)] = value
            if isinstance(value, tuple | frozenset | type | ModuleType | FunctionType):
                constant.add(id(value))
            fresh.append(value)
        if len(seen) > _MOST_OBJECTS:
            return None
        level = [one for value in fresh for one in _inside(value)]
    return seen.keys() - constant


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, FunctionType):
        if is_library(value):
            return
        yield from (value.__closure__ or (), value.__defaults__ or (), value.__kwdefaults__)
        yield value.__dict__
        namespace = value.__globals__
        yield from (namespace[name] for name in names_in(value.__code__) if name in namespace)
    elif isinstance(value, type | ModuleType):
        name = value.__name__ if isinstance(value, ModuleType) else value.__module__
        if not is_library_module(name) and not name.startswith("nbflow"):
            yield from vars(value).values() if isinstance(value, type) else ()
    elif (type(value).__module__ or "").startswith("pandas."):
        return
    elif _is_array(value):
        if value.base is not None:
            yield value.base
        if value.dtype.hasobject and value.dtype.names is None:
            yield from value.ravel().tolist()
    else:
        yield from (one for one in gc.get_referents(value) if one is not type(value))


def _is_array(value: Any) -> bool:
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)

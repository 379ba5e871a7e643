"""Which objects a value holds on to: breadth first, by what the garbage collector sees."""

from __future__ import annotations

import builtins
import gc
import sys
from collections.abc import Iterable, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

from nbflow.results.fingerprint_code import is_library_module

_ATOMS: tuple[type, ...] = (
    int, float, complex, bool, str, bytes, type(None), range, CodeType, BuiltinFunctionType,
    type(...), type(NotImplemented),
)  # fmt: skip
#: The notebook itself, under its names, and nbflow.
_OWN_MODULES = ("__main__", "__mp_main__", "nbflow")
_ATOM_SET = frozenset(_ATOMS)
_BUILTINS = vars(builtins)
#: A namespace that holds more objects than this is not searched to its end.
MOST_OBJECTS = 3_000_000


class TooMany(Exception):
    """There are more objects than can be looked at in a reasonable time."""


def holds(values: Iterable[Any], namespace: Mapping[str, Any]) -> dict[int, Any]:
    """The mutable objects that are reached from `values`, by id. Tuples are passed through.

    Raises:
        TooMany: More than `MOST_OBJECTS`.
    """
    seen: dict[int, Any] = {}
    level = list(values)
    n_seen = 0
    while level:
        fresh: list[Any] = []
        for value in level:
            if type(value) in _ATOM_SET or id(value) in seen:
                continue
            if value is namespace or value is _BUILTINS:
                continue
            if isinstance(value, ModuleType):
                name = value.__name__
                if is_library_module(name) or name.startswith(_OWN_MODULES):
                    continue
            elif isinstance(value, type):
                if is_library_module(value.__module__):
                    continue
            seen[id(value)] = value
            fresh.append(value)
        n_seen += len(fresh)
        if n_seen > MOST_OBJECTS:
            raise TooMany
        level = _next(fresh, namespace)
    for key in [key for key, value in seen.items() if isinstance(value, tuple | frozenset)]:
        del seen[key]
    return seen


def _next(values: list[Any], namespace: Mapping[str, Any]) -> list[Any]:
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", ())
    plain, following = [], []
    for value in values:
        if isinstance(value, FunctionType):
            following += [value.__closure__, value.__defaults__, value.__kwdefaults__]
            following.append(value.__dict__)
        elif isinstance(value, ndarray):
            # numpy's arrays do not tell the collector what they hold.
            if value.base is not None:
                following.append(value.base)
            if value.dtype.hasobject and value.dtype.names is None:
                following.extend(value.ravel().tolist())
            following.append(getattr(value, "__dict__", None))
        elif isinstance(value, memoryview):
            following.append(value.obj)
        elif isinstance(value, type):
            following.extend(vars(value).values())
        else:
            plain.append(value)
    following.extend(gc.get_referents(*plain) if plain else ())
    return following


def names_sharing(
    objects: Mapping[int, Any], names: Iterable[str], namespace: Mapping[str, Any]
) -> list[str]:
    """Those of `names` whose values hold on to one of the objects.

    Raises:
        TooMany: As `holds`.
    """
    return [
        name
        for name in names
        if not objects.keys().isdisjoint(holds([namespace[name]], namespace))
    ]


def module_holding(objects: Mapping[int, Any], namespace: Mapping[str, Any]) -> str:
    """A module that has one of the objects as a global, or deep inside one if it is the user's.

    Raises:
        TooMany: As `holds`.
    """
    if not objects:
        return ""
    keys = objects.keys()
    for name, module in list(sys.modules.items()):
        if name.startswith(_OWN_MODULES) or not isinstance(module, ModuleType):
            continue
        values = list(vars(module).values())
        if not keys.isdisjoint(map(id, values)):
            return name
        if not is_library_module(name) and not keys.isdisjoint(
            holds(values, namespace)
        ):
            return name
    return ""

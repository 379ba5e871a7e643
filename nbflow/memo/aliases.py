"""Which objects a value holds on to: breadth first, by what the garbage collector sees."""

from __future__ import annotations

import builtins
import datetime as dt
import decimal
import gc
import sys
from collections.abc import Iterable, Mapping
from functools import _lru_cache_wrapper
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from nbflow.results.fingerprint_code import is_library_module

_ATOMS: tuple[type, ...] = (
    int, float, complex, bool, str, bytes, type(None), range, CodeType,
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
            elif isinstance(value, type) and is_library_module(value.__module__):
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
    plain: list[Any] = []
    following: list[Any] = []
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
        elif not gc.is_tracked(value):  # such as numpy's iterators, which do not tell either
            following += [getattr(value, name, None) for name in ("base", "__self__", "obj")]
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
        name for name in names if not objects.keys().isdisjoint(holds([namespace[name]], namespace))
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
        if not is_library_module(name) and not keys.isdisjoint(holds(values, namespace)):
            return name
    return ""


def holders(
    objects: Mapping[int, Any],
    others: Iterable[str],
    changed: Iterable[str],
    namespace: Mapping[str, Any],
) -> list[str]:
    """Those of `others`, and "Out" for the history, that hold on to one of the objects.

    Args:
        changed: The names whose objects these are: the history follows those by itself.

    Raises:
        TooMany: As `holds`.
    """
    found_of = shareable(objects)
    found = names_sharing(found_of, others, namespace)
    whole = {id(namespace[name]) for name in changed if name in namespace}
    history = namespace.get("Out")
    kept = list(history.values()) if isinstance(history, dict) else []
    kept = [one for one in kept if id(one) not in whole]
    if kept and not found_of.keys().isdisjoint(holds(kept, namespace)):
        found.append("Out")
    return found


#: What is never put back as another object.
FIXED = (FunctionType, MethodType, BuiltinFunctionType, ModuleType, type, _lru_cache_wrapper)


def shareable(objects: Mapping[int, Any]) -> dict[int, Any]:
    """Without what is never replaced: classes, functions, modules, and pandas' indexes."""
    index = getattr(sys.modules.get("pandas"), "Index", ())
    return {
        key: one
        for key, one in objects.items()
        if not isinstance(one, FIXED) and not (index and isinstance(one, index))
    }


def has_identity(value: Any) -> bool:
    """Whether a value that cannot change may still be told from an equal one with `is`."""
    if type(value) is int:
        return not -6 < value < 257
    return value is not None and type(value) in _TOLD_APART


_TOLD_APART = {float, complex, str, bytes, tuple, frozenset, decimal.Decimal, dt.date,
               dt.datetime, dt.timedelta, range}  # fmt: skip


def memory_root(array: Any) -> Any:
    """The array that owns the memory of an array, or the last one that is known of."""
    kind = sys.modules["numpy"].ndarray
    while isinstance(array.base, kind):
        array = array.base
    return array


def foreign_roots(objects: Iterable[Any], places: Mapping[int, Any]) -> dict[int, Any]:
    """Arrays that own the memory of arrays among the objects, but have no place of their own."""
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", ())
    roots = [memory_root(one) for one in objects if ndarray and isinstance(one, ndarray)]
    mine = {id(one) for one in objects}
    return {id(root): root for root in roots if id(root) not in mine and id(root) not in places}


def shared_roots(nodes: Iterable[Any]) -> frozenset[int]:
    """Ids of arrays that more than one array of the notebook is a view of."""
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    if ndarray is None:
        return frozenset()
    seen: dict[int, set[int]] = {}
    for node in nodes:
        if isinstance(node, ndarray):
            seen.setdefault(id(memory_root(node)), set()).add(id(node))
    return frozenset(root for root, arrays in seen.items() if len(arrays) > 1)


def read_only_roots(objects: Iterable[Any], places: Mapping[int, Any]) -> dict[int, Any]:
    """The owners of memory that arrays among the objects show read-only, as pandas gives them."""
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    if ndarray is None:
        return {}
    views = [one for one in objects if isinstance(one, ndarray) and not one.flags.writeable]
    roots = [memory_root(one) for one in views if one.base is not None]
    return {id(root): root for root in roots if id(root) not in places}


def frames_in(values: Iterable[Any], namespace: Mapping[str, Any]) -> list[Any]:
    """The frames and series that are reached from the values.

    Raises:
        TooMany: As `holds`.
    """
    pd = sys.modules.get("pandas")
    if pd is None:
        return []
    return [
        one
        for one in holds(values, namespace).values()
        if isinstance(one, pd.DataFrame | pd.Series)
    ]

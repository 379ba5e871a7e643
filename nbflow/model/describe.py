"""Short descriptions of values, for people: cheap whatever the value's size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nbflow.model.annotations import quote

_TEXT_LIMIT = 120
_EXACT = (int, float, bool, type(None))


def describe(value: Any) -> Any:
    """A JSON value that stands for `value`: itself for small scalars, else type and size.

    Never calls the value's own `repr`: that of a large table costs more than most tasks.
    """
    kind = type(value)
    if kind in _EXACT:
        if kind is int and value.bit_length() > 63:
            return f"int of {value.bit_length()} bits"
        if kind is float and (not math.isfinite(value)):
            return str(value)
        return value
    if kind is quote:
        return describe(value.value)
    if kind is str:
        return value if len(value) <= _TEXT_LIMIT else f"{value[: _TEXT_LIMIT - 1]}…"
    shape = getattr(kind, "shape", None) is not None and getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{kind.__name__} {' × '.join(map(str, shape)) or 'scalar'}"
    if kind in (list, tuple, set, frozenset, dict):
        if len(value) <= 8:
            return _describe_small(value)
        return f"{kind.__name__} of {len(value)}"
    return kind.__name__


def _describe_small(value: Any) -> Any:
    """A small container of scalars is shown in full, anything deeper by its type."""
    items = list(value.values()) if isinstance(value, dict) else list(value)
    if not all(type(item) in _EXACT or type(item) is str for item in items):
        return f"{type(value).__name__} of {len(items)}"
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    return [describe(item) for item in items]


def describe_arguments(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], names: tuple[str, ...] = ()
) -> dict[str, Any] | None:
    """Descriptions by name: `names` are those of the positional ones; else their position."""
    if not args and not kwargs:
        return None
    described = {name: describe(value) for name, value in zip(names, args, strict=False)}
    for position in range(len(names), len(args)):
        described[str(position)] = describe(args[position])
    for name, value in kwargs.items():
        described[name] = describe(value)
    return described

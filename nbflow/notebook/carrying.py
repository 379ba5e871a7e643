"""Names of a notebook as Python text: what a new kernel needs to have them again."""

from __future__ import annotations

import ast
import cmath
import inspect
import math
import sys
import textwrap
from types import FunctionType, ModuleType
from typing import Any

from nbflow.analysis.names import cell_names

_MOST_LETTERS = 10_000
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_CONTAINERS = (list, tuple, dict, set, frozenset)


def expression_of(value: Any) -> str | None:
    """A plain value as Python: numbers, texts, dates, paths, and small containers of them.

    None: it is none, or a large one.
    """
    text = _expression(value, 0)
    return text if text is not None and len(text) <= _MOST_LETTERS else None


def _expression(value: Any, depth: int) -> str | None:
    kind = type(value)
    if kind is float and not math.isfinite(value):
        return f'float("{value}")'
    if kind is complex and not cmath.isfinite(value):
        return f"complex({_expression(value.real, 0)}, {_expression(value.imag, 0)})"
    if kind in _SCALARS:
        return repr(value)
    if kind in _CONTAINERS and depth < 8 and len(value) <= _MOST_LETTERS:
        return _container(value, depth)
    if kind.__module__ == "datetime":  # their repr begins with the module's name
        text = repr(value)
        return f"__import__('datetime').{text[9:]}" if _is_simple_date(text) else None
    if kind.__module__ in ("pathlib", "pathlib._local"):
        return f"__import__('pathlib').{kind.__name__}({str(value)!r})"
    return None


def _container(value: Any, depth: int) -> str | None:
    kind = type(value)
    if kind is dict:
        pairs = [(_expression(k, depth + 1), _expression(v, depth + 1)) for k, v in value.items()]
        if any(k is None or v is None for k, v in pairs):
            return None
        return "{" + ", ".join(f"{k}: {v}" for k, v in pairs) + "}"
    parts = [_expression(one, depth + 1) for one in value]
    if any(one is None for one in parts):
        return None
    inner = ", ".join(one for one in parts if one is not None)
    if kind is list:
        return f"[{inner}]"
    if kind is tuple:
        return f"({inner},)" if len(parts) == 1 else f"({inner})"
    if kind is set and parts:
        return f"{{{inner}}}"
    return f"{kind.__name__}([{inner}])"


def _is_simple_date(text: str) -> bool:
    """Whether it needs no other name, as a time zone would be."""
    return text.startswith("datetime.") and text.count("datetime.") == 1 and "tzinfo" not in text


def source_of(name: str, value: Any) -> str | None:
    """A statement that binds `name` to the value anew: an import, or a function's definition.

    None: no statement could.
    """
    if isinstance(value, ModuleType):
        module = value.__name__
        return f"import {module}" if module == name else f"import {module} as {name}"
    home, own_name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if isinstance(home, str) and home not in ("__main__", "builtins"):
        if own_name is not None and getattr(sys.modules.get(home), own_name, None) is value:
            return f"from {home} import {own_name}" + (f" as {name}" if own_name != name else "")
        return None
    return _definition(name, value)


def _definition(name: str, value: Any) -> str | None:
    """The source of a function of the notebook, with its decorators."""
    function = inspect.unwrap(value) if callable(value) else None
    if not isinstance(function, FunctionType):
        return None
    try:
        source = textwrap.dedent(inspect.getsource(function))
        (statement,) = ast.parse(source).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    if not getattr(statement, "decorator_list", ()) and (function is not value or vars(function)):
        return None  # what was put around it, or on it, is not in its source
    return source if cell_names(source).writes == (name,) else None


def type_told(value: Any) -> str:
    """A value's type as a sentence takes it: "a DataFrame"."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"

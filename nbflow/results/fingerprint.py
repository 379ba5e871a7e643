"""A content digest of a Python value: equal for equal values in any process, different otherwise.

It depends on types and values only, never on addresses, reference counts, hash seeds or set order.
What has no such digest raises `Unfingerprintable`: not cached is better than wrong.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import functools
import hashlib
import inspect
import os
import pathlib
import re
import struct
import sys
import sysconfig
import types
import uuid
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import xxhash

from nbflow.errors import Unfingerprintable

_DIGEST_BYTES = 16
_INLINE_BYTES = 256
_VERSION = b"nbflow-1"
_digest = xxhash.xxh3_128_digest
_PYTHON = sys.version_info[:2]
_LIBRARIES = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
# A container with fewer parts than this is walked again where it appears again.
_WORTH_KEEPING = 64


def fingerprint(*values: Any) -> str:
    """32 hex digits that identify `values`.

    The parts are hashed with xxh3_128 at the memory's read speed, and bound together by blake2b.

    Raises:
        Unfingerprintable: One of them, or something inside, has no sure digest.
    """
    walk = _Walk()
    whole = hashlib.blake2b(_VERSION, digest_size=_DIGEST_BYTES)
    for value in values:
        whole.update(walk.encode(value))
    return whole.hexdigest()


class _Walk:
    """One pass over a value.

    It remembers what it is inside of, so that cycles end, and what it has seen, so that shared
    parts are walked once: without that, 20 functions that call each other would take for ever.
    """

    def __init__(self) -> None:
        self._inside: dict[Hashable, int] = {}
        self._kept: list[Any] = []  # objects whose ids are known here: they must stay theirs
        self._n_walked = 0
        self._n_back = 0  # references to something that was walked before, so far
        self._whole: dict[Hashable, bytes] = {}  # encodings without any reference
        self.numbers: dict[Hashable, int] = {}  # of what has such references inside, in order

    def encode(self, value: Any) -> bytes:
        """An encoding of `value` that no other value has."""
        kind = type(value)
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            return scalar(value)
        return self.once(id(value), value, partial(self._compound, kind, value))

    def once(self, key: Hashable, value: Any, encode: Callable[[], bytes]) -> bytes:
        """The encoding of what `key` stands for: made by `encode`, unless it was met before.

        Args:
            value: What has to live on for the key to keep its meaning.
        """
        if key in self._whole:
            return self._whole[key]
        if key in self._inside:
            # How far up the cycle leads is part of the value's shape.
            self._n_back += 1
            return b"^" + str(len(self._inside) - self._inside[key]).encode()
        if key in self.numbers:
            self._n_back += 1
            return b"@" + str(self.numbers[key]).encode()
        self._inside[key] = len(self._inside)
        self._n_walked += 1
        n_walked, n_back = self._n_walked, self._n_back
        try:
            encoding = encode()
        except RecursionError:
            raise Unfingerprintable(_name(type(value)), "nested too deeply") from None
        finally:
            del self._inside[key]
        if self._n_back > n_back:
            self.numbers[key] = len(self.numbers)
            self._kept.append(value)
        elif self._n_walked - n_walked >= _WORTH_KEEPING:
            self._whole[key] = encoding
            self._kept.append(value)
        return encoding

    def _compound(self, kind: type, value: Any) -> bytes:
        encoder = _COMPOUNDS.get(kind) or _by_module(kind, value) or _by_base(value)
        if encoder is not None:
            return encoder(self, value)
        return self._instance(kind, value)

    def node(self, tag: bytes, parts: Iterable[bytes]) -> bytes:
        """A container: its tag and one digest of its parts, each with its length."""
        joined = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
        return tag + _digest(joined)

    def several(self, tag: bytes, values: Iterable[Any]) -> bytes:
        return self.node(tag, [self.encode(value) for value in values])

    def _instance(self, kind: type, value: Any) -> bytes:
        """Any other object, by what pickle would keep of it."""
        if kind.__module__ in ("_io", "_thread", "socket", "_socket", "sqlite3", "select"):
            raise Unfingerprintable(_name(kind))
        try:
            reduced = value.__reduce_ex__(5)
        except Exception as error:
            raise Unfingerprintable(_name(kind)) from error
        if isinstance(reduced, str):
            return self.several(b"g", [kind.__module__, reduced])
        self._kept.append(reduced)
        make, args, state, items, pairs = (tuple(reduced) + (None,) * 5)[:5]
        parts = [self.encode(_name(make)), self.encode(kind), self.encode(args), self.encode(state)]
        if items is not None:
            parts.append(self.several(b"l", items))
        if pairs is not None:
            parts.append(self.several(b"d", pairs))
        return self.node(b"o", parts)


# --- scalars -------------------------------------------------------------------------------


def _int(value: int) -> bytes:
    size = (value.bit_length() + 8) // 8
    return b"i" + size.to_bytes(4, "little") + value.to_bytes(size, "little", signed=True)


def _text(value: str) -> bytes:
    return b"u" + _bytes(value.encode("utf-8", "surrogatepass"))


def _bytes(value: bytes) -> bytes:
    size = len(value).to_bytes(8, "little")
    return b"b" + size + (value if len(value) <= _INLINE_BYTES else _digest(value))


_SCALARS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"0",
    bool: lambda value: b"T" if value else b"F",
    int: _int,
    float: lambda value: b"f" + struct.pack("<d", value),
    complex: lambda value: b"c" + struct.pack("<dd", value.real, value.imag),
    str: _text,
    bytes: _bytes,
    type(...): lambda _: b".",
    type(NotImplemented): lambda _: b"!",
}


# --- containers and the standard library ----------------------------------------------------


def _set(tag: bytes) -> Callable[[_Walk, Any], bytes]:
    def encode(walk: _Walk, value: Any) -> bytes:
        known, parts = walk.numbers, []
        for item in value:  # in no order, so no item may depend on what was met in another
            walk.numbers = dict(known)
            parts.append(walk.encode(item))
        walk.numbers = known
        return walk.node(tag, sorted(parts))

    return encode


def _dict(walk: _Walk, value: dict[Any, Any]) -> bytes:
    # In insertion order: that is visible to whoever iterates.
    return walk.several(b"d", [part for pair in value.items() for part in pair])


def _function(walk: _Walk, fn: Any) -> bytes:
    """By code, defaults, closure and the globals the code names; in libraries by name."""
    if _is_library(fn):
        return walk.several(b"G", [fn.__module__, fn.__qualname__, _version(fn.__module__)])
    cells = []
    for cell in fn.__closure__ or ():
        try:
            cells.append(cell.cell_contents)
        except ValueError:  # a name that is not bound yet
            cells.append(...)
    names = frozenset(_names(fn.__code__))
    known = [(name, _reached(fn.__globals__[name], names)) for name in _used(fn.__globals__, names)]
    return walk.several(
        b"F", [fn.__code__, fn.__defaults__, fn.__kwdefaults__, tuple(cells), known]
    )


def _code(walk: _Walk, code: types.CodeType) -> bytes:
    """By byte code and constants, so that comments, formatting and line numbers do not matter."""
    constants = list(code.co_consts)
    if _has_docstring(code):
        constants[0] = None
    names = [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
    counts = [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount]
    flags = [code.co_flags, _PYTHON]
    return walk.several(
        b"K", [code.co_code, constants, names, counts, flags, code.co_exceptiontable]
    )


def _has_docstring(code: types.CodeType) -> bool:
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & inspect.CO_HAS_DOCSTRING)
    # Until then the first constant of a `def` is its docstring or None. What comprehensions and
    # lambdas begin with is a constant like any other.
    first = code.co_consts[:1]
    is_def = code.co_flags & inspect.CO_NEWLOCALS and not code.co_name.startswith("<")
    return bool(is_def) and isinstance(first and first[0], str)


def _used(namespace: Mapping[str, Any], names: frozenset[str]) -> list[str]:
    return sorted(names.intersection(namespace))


@dataclass(frozen=True, slots=True)
class _Reached:
    """A module of the user's, and the names under which code may reach into it."""

    module: types.ModuleType
    names: frozenset[str]


def _reached(value: Any, names: frozenset[str]) -> Any:
    """A module of the user's counts by what is used of it; anything else is the value itself."""
    if isinstance(value, types.ModuleType) and not _library_module(value.__name__):
        return _Reached(value, names)
    return value


def _user_module(walk: _Walk, reached: _Reached) -> bytes:
    module, names = reached.module, reached.names

    def encode() -> bytes:
        used = _used(vars(module), names)
        parts = [(name, _reached(vars(module)[name], names)) for name in used]
        return walk.several(b"Mu", [module.__name__, *parts])

    # The module stands for the pair, which is made anew each time: cycles of modules must end.
    return walk.once((id(module), names), module, encode)


def _cached_function(walk: _Walk, fn: Any) -> bytes:
    return walk.several(b"Fc", [fn.__wrapped__, fn.cache_parameters()])


def _class(walk: _Walk, cls: type) -> bytes:
    if _is_library(cls):
        return walk.several(b"C", [cls.__module__, cls.__qualname__, _version(cls.__module__)])
    body = {
        name: _unwrap(member)
        for name, member in sorted(vars(cls).items())
        if name not in _CLASS_NOISE
        and not name.startswith("__pydantic_")  # made from the rest, and holds addresses
        and not isinstance(member, types.GetSetDescriptorType)
    }
    annotations = {name: str(hint) for name, hint in vars(cls).get("__annotations__", {}).items()}
    return walk.several(b"C", [cls.__qualname__, cls.__bases__, body, annotations])


_CLASS_NOISE = {
    "__dict__", "__weakref__", "__module__", "__doc__", "__annotations__", "__firstlineno__",
    "__static_attributes__", "__dataclass_fields__", "__dataclass_params__", "__match_args__",
    "__abstractmethods__", "_abc_impl", "__slots__", "__replace__",
    # enum's caches
    "_member_names_", "_value2member_map_", "_unhashable_values_", "_generate_next_value_",
}  # fmt: skip


def _unwrap(member: Any) -> Any:
    if isinstance(member, staticmethod | classmethod):
        return type(member).__name__, member.__func__
    if isinstance(member, property):
        return "property", member.fget, member.fset, member.fdel
    if isinstance(member, types.MemberDescriptorType):
        return "slot"
    return member


def _bound_method(walk: _Walk, method: Any) -> bytes:
    return walk.several(b"m", [method.__self__, method.__func__])


def _builtin(walk: _Walk, fn: Any) -> bytes:
    owner = fn.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return walk.several(b"G", [fn.__module__, fn.__qualname__, ""])
    return walk.several(b"m", [owner, fn.__name__])


def _module(walk: _Walk, module: types.ModuleType) -> bytes:
    return walk.several(b"M", [module.__name__, _version(module.__name__)])


def _partial(walk: _Walk, value: functools.partial[Any]) -> bytes:
    return walk.several(b"p", [value.func, value.args, value.keywords])


def _enum(walk: _Walk, value: enum.Enum) -> bytes:
    kind = type(value)
    return walk.several(b"e", [kind.__module__, kind.__qualname__, value.name, value.value])


def _repr_of(tag: bytes) -> Callable[[_Walk, Any], bytes]:
    return lambda walk, value: walk.several(tag, [_name(type(value)), repr(value)])


_COMPOUNDS: dict[type, Callable[[_Walk, Any], bytes]] = {
    list: lambda walk, value: walk.several(b"l", value),
    tuple: lambda walk, value: walk.several(b"t", value),
    set: _set(b"s"),
    frozenset: _set(b"z"),
    dict: _dict,
    bytearray: lambda walk, value: b"a" + _bytes(bytes(value)),
    range: _repr_of(b"r"),
    slice: _repr_of(b"r"),
    types.FunctionType: _function,
    types.CodeType: _code,
    types.MethodType: _bound_method,
    types.BuiltinFunctionType: _builtin,
    types.ModuleType: _module,
    functools.partial: _partial,
    functools.cached_property: lambda walk, value: walk.several(b"Fp", [value.func]),
    _Reached: _user_module,
    type(functools.cache(_repr_of)): _cached_function,
    # Flags are in the repr, and so are zones: repr tells all there is of these.
    re.Pattern: lambda walk, value: walk.several(b"R", [value.pattern, value.flags]),
    uuid.UUID: _repr_of(b"U"),
    decimal.Decimal: _repr_of(b"D"),
    dt.date: _repr_of(b"D"),
    dt.datetime: lambda walk, value: walk.several(
        b"D",
        [
            repr(value.replace(tzinfo=None)),
            _name(type(value.tzinfo)),
            str(value.tzinfo),
            value.utcoffset(),
            value.fold,
        ],
    ),
    dt.time: _repr_of(b"D"),
    dt.timedelta: _repr_of(b"D"),
    dt.timezone: _repr_of(b"D"),
}


def _by_base(value: Any) -> Callable[[_Walk, Any], bytes] | None:
    """Families that are known by a base class."""
    if isinstance(value, enum.Enum):
        return _enum
    if isinstance(value, type):
        return _class
    if isinstance(value, pathlib.PurePath):
        return lambda walk, path: walk.several(b"P", [_name(type(path)), str(path)])
    if isinstance(value, types.GeneratorType | types.CoroutineType | types.FrameType):
        raise Unfingerprintable(_name(type(value)))
    return None


# --- numpy and pandas, when they are loaded ---------------------------------------------------


def _by_module(kind: type, value: Any) -> Callable[[_Walk, Any], bytes] | None:
    module = kind.__module__.partition(".")[0]
    if module == "numpy":
        import numpy as np

        if isinstance(value, np.ma.MaskedArray):
            return _masked
        if isinstance(value, np.ndarray):
            return _array
        if isinstance(value, np.generic):
            return lambda walk, scalar: walk.several(
                b"n",
                [scalar.dtype.str, scalar.item() if scalar.dtype.hasobject else scalar.tobytes()],
            )
        if isinstance(value, np.ufunc) and getattr(np, value.__name__, None) is value:
            return lambda walk, ufunc: walk.several(b"G", ["numpy", ufunc.__name__, np.__version__])
        if isinstance(value, np.dtype):
            return lambda walk, dtype: walk.several(b"y", [repr(dtype), dtype.str])
    if module == "pandas":
        import pandas as pd

        if isinstance(value, pd.DataFrame):
            return _frame
        if isinstance(value, pd.Series | pd.Index):
            return _column
        if isinstance(value, pd.api.extensions.ExtensionArray):
            return _values
    return None


def _array(walk: _Walk, array: Any) -> bytes:
    import numpy as np

    dtype = array.dtype
    # A memory-mapped array is the same value as one in memory.
    kind = np.ndarray if isinstance(array, np.memmap) else type(array)
    about = [_name(kind), dtype.str if dtype.names is None else repr(dtype.descr)]
    about += [array.shape, repr(dtype.metadata)]
    if dtype.hasobject:
        fields = [array[name] for name in dtype.names] if dtype.names else array.ravel().tolist()
        return walk.several(b"N", [*about, fields])
    plain = np.ascontiguousarray(array).reshape(-1).view("u1")
    return walk.node(b"N", [walk.encode(about), _digest(plain.data if plain.size else b"")])


def _masked(walk: _Walk, array: Any) -> bytes:
    import numpy as np

    visible = np.asarray(array.filled(array.fill_value))
    return walk.several(b"Nm", [visible, np.ma.getmaskarray(array), array.fill_value])


def _frame(walk: _Walk, frame: Any) -> bytes:
    columns = [frame.iloc[:, n] for n in range(frame.shape[1])]
    walk._kept.append(columns)
    parts = [walk.encode([_name(type(frame)), frame.attrs])]
    parts += [_column(walk, frame.columns), _column(walk, frame.index)]
    parts += [_values(walk, column.array) for column in columns]
    return walk.node(b"Df", parts)


def _column(walk: _Walk, column: Any) -> bytes:
    import pandas as pd

    names = [column.name] if isinstance(column, pd.Series) else list(column.names)
    about = [_name(type(column)), str(column.dtype), names]
    if isinstance(column, pd.MultiIndex):
        codes = [walk.encode(codes) for codes in column.codes]
        levels = [_column(walk, level) for level in column.levels]
        return walk.node(b"Dm", [walk.encode(about), *codes, *levels])
    if isinstance(column, pd.RangeIndex):
        return walk.several(b"Dr", [about, column.start, column.stop, column.step])
    parts = [walk.encode(about), _values(walk, column.array)]
    if isinstance(column, pd.Series):
        parts += [_column(walk, column.index), walk.encode(column.attrs)]
    elif getattr(column, "freq", None) is not None:
        parts.append(walk.encode(str(column.freq)))
    return walk.node(b"Dc", parts)


def _values(walk: _Walk, values: Any) -> bytes:
    """One column's array, whatever holds it. Bytes hidden under missing values do not count."""
    import numpy as np
    import pandas as pd

    about = [str(values.dtype), repr(values.dtype)]
    if isinstance(values, pd.Categorical):
        about.append(str(values.ordered))
        categories = _column(walk, values.categories)
        return walk.node(b"Vc", [walk.encode(about), _array(walk, values.codes), categories])
    if isinstance(values, pd.arrays.NumpyExtensionArray):
        return walk.node(b"Vn", [walk.encode(about), _array(walk, np.asarray(values))])
    missing = np.asarray(values.isna())
    present = values[~missing]
    if isinstance(values.dtype, pd.DatetimeTZDtype | pd.PeriodDtype):
        bare = present.asi8
    elif hasattr(values, "_mask"):  # nullable numbers and booleans
        bare = np.asarray(present.to_numpy(dtype=values.dtype.numpy_dtype))
    else:
        bare = np.asarray(present, dtype=object)
    return walk.node(
        b"Vx", [walk.encode(about), _array(walk, missing), _array(walk, np.asarray(bare))]
    )


# --- names and versions -----------------------------------------------------------------------


def _name(thing: Any) -> str:
    module = getattr(thing, "__module__", "")
    return f"{module}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _names(code: types.CodeType) -> Iterable[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


_PACKAGES = frozenset({"site-packages", "dist-packages"})
_OURSELVES = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@functools.lru_cache(maxsize=4096)
def _library_module(name: str) -> bool:
    module = sys.modules.get(name)
    if module is None or name == "__main__":
        return False
    file = getattr(module, "__file__", None)
    if file is None:
        return getattr(module, "__spec__", None) is not None
    path = os.path.abspath(file)
    return path.startswith((*_LIBRARIES, _OURSELVES)) or not _PACKAGES.isdisjoint(
        path.split(os.sep)
    )


def _is_library(thing: Any) -> bool:
    """Whether it is of an installed library, which a version identifies, and not of the user."""
    name = getattr(thing, "__module__", None) or ""
    return "<locals>" not in thing.__qualname__ and _library_module(name)


@functools.lru_cache(maxsize=1024)
def _version(module_name: str | None) -> str:
    top = sys.modules.get((module_name or "").partition(".")[0])
    version = getattr(top, "__version__", "")
    return version if isinstance(version, str) else ""

"""A namespace as texts that are equal exactly if two processes' values are.

Mutable objects are named by the way that first led to them: `<x[0]>` says that this place holds
the very object at `x[0]`. No method of a user's class is called.
"""

from __future__ import annotations

import builtins
import collections
import contextlib
import datetime as dt
import decimal
import enum
import fractions
import functools
import gc
import io
import itertools
import logging
import os
import pathlib
import random
import re
import sys
import threading
import types
import uuid
import warnings
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from tests.notebook.replay.hidden import hidden_state
from tests.notebook.replay.rendering_libraries import (
    OPAQUE,
    LibraryWalk,
    digest,
    is_numpy_scalar,
    normal,
)

_BY_REPR = (
    bool, int, float, complex, str, bytes, range, slice, types.NoneType, types.EllipsisType,
    types.NotImplementedType, decimal.Decimal, fractions.Fraction, dt.date, dt.time,
    dt.datetime, dt.timedelta, dt.tzinfo, pathlib.PurePath, uuid.UUID, re.Pattern,
    types.GenericAlias, types.UnionType,
)  # fmt: skip
_ITERATORS = (
    zip, map, filter, enumerate, reversed, type(iter([])), type(iter(())), type(iter({})),
    type(iter({}.keys())), type(iter({}.values())), type(iter({}.items())), type(iter(set())),
    type(iter("")), type(iter(range(0))), type(iter(b"")), type(reversed([])), itertools.chain,
    itertools.count, itertools.cycle, itertools.islice, itertools.repeat, itertools.product,
    itertools.permutations, itertools.combinations, itertools.accumulate,
)  # fmt: skip
_PLUMBING = frozenset(
    "__dict__ __weakref__ __doc__ __module__ __qualname__ __slotnames__ __firstlineno__"
    " __static_attributes__ __annotations_cache__ __annotate_func__ _abc_impl".split()
)
#: Names of IPython's that belong to the outcome of a notebook.
_SHELL_NAMES = ("In", "Out", "_", "__", "___", "_dh")


def render(shell: Any, initial: frozenset[str], probes: Iterable[str]) -> dict[str, str]:
    """Name -> text, for every name that is not IPython's, plus `hidden:...` and `probe:...`."""
    limit = sys.getrecursionlimit()
    with warnings.catch_warnings():
        state = hidden_state()
        warnings.simplefilter("ignore")
        sys.setrecursionlimit(50_000)  # the process' own limit is in the state already
        space = shell.user_ns
        names = sorted(name for name in space if name not in initial and not _is_history(name))
        walk = Walk(space)
        looked = {name: walk.text(space[name], name) for name in (*names, *_SHELL_NAMES)}
        looked["memory:"] = walk.memory()
        # When it is cleared depends on the process' count of changes of filters, ours among them.
        looked.pop("__warningregistry__", None)
        looked |= {f"hidden:{name}": normal(text) for name, text in state.items()}
        for probe in probes:
            try:
                value = eval(probe, space)
            except Exception as error:
                looked[f"probe:{probe}"] = f"raises {error!r}"
            else:
                looked[f"probe:{probe}"] = Walk(space).text(value, "probe")
        sys.setrecursionlimit(limit)
    return looked


def _is_history(name: str) -> bool:
    return bool(re.fullmatch(r"_i*|_i?\d+|_exit_code", name)) and name != "_exit_code"


class Walk(LibraryWalk):
    """One walk over a namespace."""

    def __init__(self, space: dict[str, Any]) -> None:
        self._space = space
        self._seen: dict[int, str] = {}
        self._kept: list[Any] = []  # what is gone could give its id to another object
        self._arrays: list[tuple[int, int, str]] = []

    def text(self, value: Any, path: str) -> str:
        kind = type(value)
        if kind in _BY_REPR or isinstance(value, (dt.tzinfo, pathlib.PurePath)):
            return normal(repr(value))
        if kind is tuple:
            return f"({self._items(value, path)})"
        if isinstance(value, enum.Enum):
            return f"{self.text(kind, path + '.__class__')}.{value._name_}"
        if isinstance(value, types.ModuleType):
            return self._module(value, path)
        if isinstance(value, type) and value.__module__ != "__main__":
            return f"class {value.__module__}.{value.__qualname__}"
        if kind.__name__ in {"NAType", "NaTType"}:
            return repr(value)
        if is_numpy_scalar(value):
            return f"{kind.__name__}({value!r})"
        if value is builtins.print or value is os.environ:  # nbflow has a print of its own
            return "print" if value is builtins.print else "os.environ"
        known = self._seen.get(id(value))
        if known is not None:
            return f"<{known}>"
        self._seen[id(value)] = path
        self._kept.append(value)
        return self._object(value, kind, path)

    def memory(self) -> str:
        """Which arrays lie in one memory, and where in it."""
        groups: list[list[tuple[int, int, str]]] = []
        for low, high, path in sorted(self._arrays):
            if groups and low < max(end for _, end, _ in groups[-1]):
                groups[-1].append((low, high, path))
            else:
                groups.append([(low, high, path)])
        told = [
            " ".join(sorted(f"{path}+{low - group[0][0]}" for low, _, path in group))
            for group in groups
            if len(group) > 1
        ]
        return "; ".join(sorted(told))

    # --- one object -----------------------------------------------------------------------------

    def _object(self, value: Any, kind: type, path: str) -> str:
        if isinstance(value, type):
            return self._class(value, path)
        if isinstance(value, types.FunctionType):
            return self._function(value, path)
        if isinstance(value, types.MethodType):
            inner = self.text(value.__self__, path + ".__self__")
            return f"method {self.text(value.__func__, path + '.__func__')} of {inner}"
        if isinstance(value, (types.BuiltinFunctionType, types.MethodWrapperType)):
            owner = value.__self__
            of = (
                "" if isinstance(owner, types.ModuleType | None) else self.text(owner, path + ".of")
            )
            return f"builtin {getattr(value, '__module__', '')}.{value.__qualname__} {of}"
        if isinstance(value, types.CellType):
            try:
                return f"cell[{self.text(value.cell_contents, path + '.contents')}]"
            except ValueError:
                return "cell[]"
        if isinstance(value, logging.Logger):
            handlers = [type(handler).__name__ for handler in value.handlers]
            return f"logger {value.name} {value.level} {value.disabled} {handlers}"
        if kind.__module__.partition(".")[0] in OPAQUE:
            return self._opaque(value, kind, path)
        library = self._library(value, kind, path)
        return library if library is not None else self._instance(value, kind, path)

    def _instance(self, value: Any, kind: type, path: str) -> str:
        """Containers and instances, and instances of subclasses of containers."""
        parts = [self.text(kind, path + ".__class__")]
        own = getattr(type(value), "__name__", "")
        content = self._content(value, path)
        if content is not None:
            parts.append(content)
        with contextlib.suppress(AttributeError, TypeError):
            attributes = object.__getattribute__(value, "__dict__")
            if attributes:
                parts.append(self._mapping(attributes, path, "."))
        slots = [name for base in kind.__mro__ for name in _slots(base)]
        for name in slots:
            with contextlib.suppress(AttributeError):
                held = object.__getattribute__(value, name)
                parts.append(f"{name}={self.text(held, f'{path}.{name}')}")
        if len(parts) == 1 and own not in {"object"} and kind.__module__ != "__main__":
            parts.append(normal(object.__repr__(value)))
        return " ".join(parts)

    def _content(self, value: Any, path: str) -> str | None:
        if isinstance(value, _ITERATORS):
            return f"at {self.text(value.__reduce__(), path + '.reduced')}"
        if isinstance(value, types.GeneratorType | types.CoroutineType):
            frame = getattr(value, "gi_frame", None) or getattr(value, "cr_frame", None)
            if frame is None:
                return "ended"
            return f"at {frame.f_lasti} {self._mapping(frame.f_locals, path, ':')}"
        if isinstance(value, collections.deque):
            return f"[{self._items(list(value), path)}] maxlen={value.maxlen}"
        if isinstance(value, (list, tuple)):
            base = list if isinstance(value, list) else tuple
            return f"[{self._items(list(base.__iter__(value)), path)}]"
        if isinstance(value, dict):
            more = ""
            if isinstance(value, collections.defaultdict):
                more = f" default={self.text(value.default_factory, path + '.default_factory')}"
            if path == "__warningregistry__":  # its version counts changes of filters
                return repr({key: dict.get(value, key) for key in value if key != "version"})
            if "__builtins__" in value:  # of a module
                own = {k: v for k, v in value.items() if not str(k).startswith("__")}
                return self._mapping(own, path, ":")
            return "{" + ", ".join(self._pairs(value, path)) + "}" + more
        if isinstance(value, (set, frozenset)):
            base = set if isinstance(value, set) else frozenset
            return (
                "{" + ", ".join(sorted(self._member(m, path) for m in base.__iter__(value))) + "}"
            )
        if isinstance(value, bytearray):
            return repr(bytes(value))
        if isinstance(value, (str, bytes, int, float, complex)):
            base = next(b for b in (str, bytes, int, float, complex) if isinstance(value, b))
            return base.__repr__(value)
        if isinstance(value, memoryview):
            held = self.text(value.obj, path + ".obj")
            return f"{bytes(value)!r} of {held} {value.format} {value.shape} {value.strides}"
        if isinstance(value, (type({}.keys()), type({}.values()), type({}.items()))):
            (owner,) = gc.get_referents(value)
            return self.text(owner, path + ".of")
        if isinstance(value, types.MappingProxyType):
            (owner,) = gc.get_referents(value)
            return self.text(owner, path + ".of")
        if isinstance(value, BaseException):
            causes = (value.args, value.__cause__, value.__context__)
            return self.text(causes, path + ".args")
        if isinstance(value, weakref.ref):
            return f"of {self.text(value(), path + '()')}"
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            return self.text(parts, path + ".parts")
        if isinstance(value, property):
            return self.text((value.fget, value.fset, value.fdel), path + ".parts")
        if isinstance(value, (staticmethod, classmethod)):
            return self.text(value.__func__, path + ".__func__")
        if isinstance(value, functools._lru_cache_wrapper):
            told = self.text(value.__wrapped__, path + ".__wrapped__")
            return f"{tuple(value.cache_info())} {told}"
        if isinstance(value, io.IOBase):
            return self._file(value)
        if isinstance(value, (type(threading.Lock()), type(threading.RLock()))):
            return normal(repr(value)).split(" object")[0]
        if isinstance(value, random.Random):
            return digest(repr(value.getstate()).encode())
        return None

    def _file(self, value: Any) -> str:
        about = f"{getattr(value, 'name', None)!r} {getattr(value, 'mode', None)!r}"
        if value.closed:
            return f"{about} closed"
        if isinstance(value, io.StringIO | io.BytesIO):
            return f"{value.getvalue()!r} at {value.tell()}"
        try:
            return f"{about} at {value.tell()}"
        except OSError:
            return f"{about} being read"

    # --- code -----------------------------------------------------------------------------------

    def _function(self, function: types.FunctionType, path: str) -> str:
        space = function.__globals__
        home = "notebook" if space is self._space else space.get("__name__")
        if home == "__main__":
            home = "A LOST NAMESPACE"
        if home != "notebook" and not self._is_local(sys.modules.get(str(home))):
            return f"function {function.__module__}.{function.__qualname__}"
        parts = [f"function {function.__module__}.{function.__qualname__} in {home}"]
        parts.append(_code(function.__code__))
        held = {
            "defaults": function.__defaults__,
            "kwdefaults": function.__kwdefaults__,
            "closure": function.__closure__,
            "dict": function.__dict__ or None,
        }
        parts += [f"{k}={self.text(v, f'{path}.{k}')}" for k, v in held.items() if v is not None]
        return " ".join(parts)

    def _class(self, cls: type, path: str) -> str:
        bases = self._items(cls.__bases__, path + ".__bases__")
        own = {
            name: value
            for name, value in sorted(vars(cls).items())
            if name not in _PLUMBING
            and not isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
        }
        if issubclass(cls, enum.Enum):
            own = {member.name: member.value for member in cls.__members__.values()}
        meta = self.text(type(cls), path + ".__class__")
        return f"class {cls.__qualname__}({bases}) of {meta} {self._mapping(own, path, '.')}"

    def _module(self, module: types.ModuleType, path: str) -> str:
        listed = "" if sys.modules.get(module.__name__) is module else " (not in sys.modules)"
        told = f"module {module.__name__}{listed}"
        if not self._is_local(module) or id(module) in self._seen:
            return told
        self._seen[id(module)] = path
        own = {k: v for k, v in vars(module).items() if not k.startswith("__")}
        return f"{told} {self._mapping(own, path, '.')}"

    @staticmethod
    def _is_local(module: types.ModuleType | None) -> bool:
        """Written beside the notebook, or made by it."""
        if module is None or module.__name__ == "__main__":
            return False
        path = getattr(module, "__file__", None)
        return (path is None and module.__spec__ is None) or str(path).startswith(os.getcwd())

    # --- many -----------------------------------------------------------------------------------

    def _mapping(self, mapping: Any, path: str, dot: str) -> str:
        texts = (f"{k}={self.text(v, f'{path}{dot}{k}')}" for k, v in dict(mapping).items())
        return "{" + ", ".join(texts) + "}"

    def _pairs(self, mapping: dict[Any, Any], path: str) -> Iterator[str]:
        ordered = collections.OrderedDict  # its order is not that of the dict inside
        base = ordered if isinstance(mapping, ordered) else dict
        for n, (key, value) in enumerate(base.items(mapping)):
            short = key if type(key) in {str, int} else f"key{n}"
            told = self.text(key, f"{path}.key{n}")
            yield f"{told}: {self.text(value, f'{path}[{short!r}]')}"

    def _member(self, member: Any, path: str) -> str:
        """Members of a set come in no order: each is told as if it were met alone."""
        known = self._seen.get(id(member))
        if known is not None:
            return f"<{known}>"
        alone = Walk(self._space)
        alone._seen = dict(self._seen)
        text = alone.text(member, "member")
        self._kept.append(alone)
        if not isinstance(member, _BY_REPR):
            self._seen.setdefault(id(member), f"{path}{{{text}}}")
        return text


def _slots(base: type) -> list[str]:
    slots = base.__dict__.get("__slots__", ()) if base.__module__ == "__main__" else ()
    names = [slots] if isinstance(slots, str) else list(slots)
    return [name for name in names if name not in {"__dict__", "__weakref__"}]


def _code(code: types.CodeType) -> str:
    constants = [_code(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    own = repr((code.co_code, sorted(constants), code.co_names, code.co_varnames, code.co_flags))
    return digest(normal(own).encode())

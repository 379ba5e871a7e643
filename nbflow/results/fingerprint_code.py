"""Encoders of functions, classes and modules: the user's by what they do, libraries' by version."""

from __future__ import annotations

import dis
import functools
import inspect
import os
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator
from typing import Any

from nbflow.errors import Unfingerprintable
from nbflow.results.fingerprint_walk import EXACT, Encoder, Walk

_PYTHON = sys.version_info[:2]
_LIBRARIES = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_PACKAGES = frozenset({"site-packages", "dist-packages"})
_OURSELVES = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


# --- names and versions -----------------------------------------------------------------------


def is_library_module(name: str) -> bool:
    """Whether a module is of Python or an installed package, which a version identifies."""
    module = sys.modules.get(name)
    return module is not None and name != "__main__" and _is_library(name, id(module))


@functools.lru_cache(maxsize=4096)
def _is_library(name: str, module_id: int) -> bool:
    module = sys.modules[name]
    file = getattr(module, "__file__", None)
    if file is None:
        return getattr(module, "__spec__", None) is not None
    return is_library_file(file)


def is_library_file(path: str) -> bool:
    """Whether a file is of Python or an installed package."""
    path = os.path.abspath(path)
    return path.startswith((*_LIBRARIES, _OURSELVES)) or not _PACKAGES.isdisjoint(
        path.split(os.sep)
    )


def is_library(thing: Any) -> bool:
    """Whether a function or class is of a library, and found there by its name."""
    name = getattr(thing, "__module__", None)
    return (
        isinstance(name, str)
        and "<locals>" not in thing.__qualname__
        and "<lambda>" not in thing.__qualname__
        and is_library_module(name)
    )


@functools.lru_cache(maxsize=1024)
def version_of(module_name: str | None) -> str:
    """The version of the package that a module belongs to; empty if it tells none."""
    top = sys.modules.get((module_name or "").partition(".")[0])
    version = getattr(top, "__version__", "")
    return version if isinstance(version, str) else ""


@functools.lru_cache(maxsize=4096)
def names_in(code: types.CodeType) -> frozenset[str]:
    """Every name that code, or code inside it, uses: of globals, attributes and imports."""
    inner = [names_in(one) for one in code.co_consts if isinstance(one, types.CodeType)]
    return frozenset(code.co_names).union(*inner)


@functools.lru_cache(maxsize=4096)
def globals_read(code: types.CodeType) -> frozenset[str]:
    """The names that code, or code inside it, looks up among its globals."""
    return frozenset(_globals_read(code))


def _globals_read(code: types.CodeType) -> Iterator[str]:
    # A class body looks up everywhere what it may have bound itself.
    own: set[str] = {"__name__"} if not code.co_flags & inspect.CO_OPTIMIZED else set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME":
            own.add(step.argval)
        elif step.opname in _LOOKUPS and step.argval not in own:
            yield step.argval
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from globals_read(one)


_LOOKUPS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"})


# --- functions --------------------------------------------------------------------------------


def _function(walk: Walk, fn: types.FunctionType) -> bytes:
    """By code, defaults, closure, attributes and globals; in libraries by name."""
    if is_library(fn) and fn.__globals__.get("__name__") == fn.__module__:
        return walk.several(b"G", [fn.__module__, fn.__qualname__, version_of(fn.__module__)])
    is_functools = fn.__globals__ is vars(functools)
    cells = tuple(
        cell
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True)
        if name not in _CACHES or not is_functools
    )
    home = fn.__globals__.get("__name__")
    if isinstance(home, str) and is_library_module(home):
        # Made by a library, of what the closure holds: a decorator's wrapper, mostly.
        code = fn.__code__
        what = [home, code.co_qualname, code.co_firstlineno, version_of(home), _PYTHON]
        globals_ = b""
    else:
        walk.note_code(fn)
        what, globals_ = [fn.__code__], walk.globals_of(fn)
    parts = [*what, fn.__defaults__, fn.__kwdefaults__, cells]
    attributes = _flat(
        {k: v for k, v in fn.__dict__.items() if k not in _CACHES or not is_functools}
    )
    return walk.node(b"F", [*map(walk.encode, parts), globals_, *map(walk.encode, attributes)])


# Of `functools.singledispatch`: they fill as it is called, and hold weak references.
_CACHES = frozenset({"dispatch_cache", "cache_token", "_clear_cache"})


def _cell(walk: Walk, cell: types.CellType) -> bytes:
    """A variable of a closure: functions that share it see each other's changes."""
    try:
        contents = cell.cell_contents
    except ValueError:  # not bound yet
        return b"v"
    return walk.node(b"V", [walk.encode(contents)])


def _flat(mapping: Any) -> list[Any]:
    return [part for pair in mapping.items() for part in pair]


def _code(walk: Walk, code: types.CodeType) -> bytes:
    """By byte code and constants, so that comments, formatting and line numbers do not matter."""
    constants = list(code.co_consts)
    if _has_docstring(code):
        constants[0] = None
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    about = (code.co_name, code.co_code, names, counts, code.co_flags, _PYTHON)
    parts = [*about, code.co_exceptiontable]
    return walk.node(b"K", [*map(walk.encode, parts), *map(walk.encode, constants)])


def _has_docstring(code: types.CodeType) -> bool:
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & inspect.CO_HAS_DOCSTRING)
    # Until then the first constant of a `def` is its docstring or None. What comprehensions and
    # lambdas begin with is a constant like any other.
    first = code.co_consts[:1]
    is_def = code.co_flags & inspect.CO_NEWLOCALS and not code.co_name.startswith("<")
    return bool(is_def) and isinstance(first and first[0], str)


def _cached_function(walk: Walk, fn: Any) -> bytes:
    hidden = tuple(fn.cache_info()) if walk.counts_hidden else ()
    about = tuple(fn.cache_parameters().values())
    more = {name: value for name, value in vars(fn).items() if name != "__wrapped__"}
    return walk.several(b"Fc", [fn.__wrapped__, about, hidden, *_flat(more)])


def _bound_method(walk: Walk, method: types.MethodType) -> bytes:
    return walk.several(b"m", [method.__self__, method.__func__])


def _builtin(walk: Walk, fn: Any) -> bytes:
    owner = fn.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return walk.several(b"G", [fn.__module__, fn.__qualname__, version_of(fn.__module__)])
    return walk.several(b"m", [owner, fn.__name__])


def _descriptor(walk: Walk, value: Any) -> bytes:
    return walk.several(b"Gd", [value.__objclass__, value.__name__])


# --- classes ----------------------------------------------------------------------------------


def _class(walk: Walk, cls: type) -> bytes:
    if is_library(cls):
        return walk.several(b"C", [cls.__module__, cls.__qualname__, version_of(cls.__module__)])
    encode = walk.encode
    own = vars(cls)
    parts = [encode(cls.__qualname__), encode(cls.__bases__)]
    if type(cls) is not type:
        parts.append(encode(type(cls)))
    for name, member in sorted(own.items()):
        if (
            name not in _CLASS_NOISE
            and not name.startswith("__pydantic_")  # made from the rest, and holds addresses
            and not isinstance(member, types.GetSetDescriptorType)
        ):
            parts += [encode(name), _member(walk, member)]
    hints = {name: str(hint) for name, hint in own.get("__annotations__", {}).items()}
    parts += map(encode, _flat(hints))
    fields = own.get("__dataclass_fields__", {})
    parts += [encode(dict(field.metadata)) for field in fields.values() if field.metadata]
    return walk.node(b"C", parts)


_CLASS_NOISE = {
    "__dict__", "__weakref__", "__module__", "__doc__", "__annotations__", "__firstlineno__",
    "__static_attributes__", "__dataclass_fields__", "__dataclass_params__",
    "__slotnames__",  # which copyreg leaves there
    "__abstractmethods__", "_abc_impl", "__slots__", "__replace__", "__annotate__",
    "__annotate_func__", "__annotations_cache__",
    # enum's caches
    "_member_names_", "_value2member_map_", "_unhashable_values_", "_generate_next_value_",
    "_hashable_values_", "_unhashable_values_map_",
}  # fmt: skip


def _member(walk: Walk, member: Any) -> bytes:
    """What a class holds under a name."""
    kind = type(member)  # an object may lie about its class
    if issubclass(kind, staticmethod | classmethod):
        return walk.several(b"Cm", [kind.__name__, member.__func__])
    if kind is property:
        return walk.several(b"Cp", [member.fget, member.fset, member.fdel])
    if kind is types.MemberDescriptorType:
        return b"Cs"
    return walk.encode(member)


# --- modules ----------------------------------------------------------------------------------


def _module(walk: Walk, module: types.ModuleType) -> bytes:
    name = module.__name__
    if is_library_module(name):
        return walk.several(b"M", [name, version_of(name)])
    if name == "__main__":
        raise Unfingerprintable("module", "it holds all there is in the notebook")
    return walk.module(module)


_OBJECTS: dict[type, Callable[[Walk, Any], bytes]] = {
    types.FunctionType: _function,
    type(functools.cache(_function)): _cached_function,
    type: _class,
    types.CellType: _cell,
}
_VALUES: dict[type, Callable[[Walk, Any], bytes]] = {
    types.MethodType: _bound_method,
    functools.cached_property: lambda walk, value: walk.several(b"Fp", [value.func]),
    staticmethod: _member,
    classmethod: _member,
    property: _member,
    types.CodeType: _code,
    types.BuiltinFunctionType: _builtin,
    types.ModuleType: _module,
    types.WrapperDescriptorType: _descriptor,
    types.MethodDescriptorType: _descriptor,
    types.ClassMethodDescriptorType: _descriptor,
    types.GetSetDescriptorType: _descriptor,
    types.MemberDescriptorType: _descriptor,
    types.MethodWrapperType: lambda walk, value: walk.several(
        b"m", [value.__self__, value.__name__]
    ),
}
EXACT.update({kind: Encoder(encode, has_identity=True) for kind, encode in _OBJECTS.items()})
EXACT.update({kind: Encoder(encode, has_identity=False) for kind, encode in _VALUES.items()})


def code_family(kind: type) -> Encoder | None:
    if issubclass(kind, type):
        return EXACT[type]
    if issubclass(kind, types.ModuleType):
        return EXACT[types.ModuleType]
    return None

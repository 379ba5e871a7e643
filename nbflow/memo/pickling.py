"""Values of a notebook as bytes: what they share with the notebook stays shared.

Objects that the notebook holds already are written as references to their place in it. Functions
of the notebook come back with the notebook's own globals, arrays that are views of another as
views, and variables that closures share stay shared.
"""

from __future__ import annotations

import decimal
import functools
import io
import marshal
import math
import mmap
import pickle
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cloudpickle

from nbflow.errors import Unstorable
from nbflow.memo.aliases import memory_root
from nbflow.results.fingerprint import fingerprint

_ALIGNMENT_BYTES = 64
# Kinds of references. Not texts: those could be the very object that is referred to, and pickle
# looks at each part of a reference as well.
_PLACE, _NAMESPACE, _MODULE, _NAN = range(4)
_CELL_FILE = "<nbflow cell>"
#: Cells of closures that hold nothing yet.
_EMPTY = "empty"


class CellSerializer:
    """Writes and reads the outcome of one cell in one notebook.

    Args:
        places: Of each object that both the notebook and the outcome may hold: where it is, as
            (name, number); see `Reading.nodes`. Number -1 is the value of the name itself.
        nodes: The other way round.
        unplaced: Objects of the notebook that have no certain place, by id.
        roots: Ids of arrays that several arrays of the outcome are views of.
        filename: What the cell's code is called in tracebacks.
        code: The cell's own code as it is now, with its present line numbers.
    """

    name = "cell"

    def __init__(
        self,
        namespace: dict[str, Any],
        places: Mapping[int, tuple[str, int]],
        nodes: Mapping[str, list[Any]],
        unplaced: Mapping[int, Any],
        roots: frozenset[int],
        filename: str,
        code: types.CodeType | None = None,
    ) -> None:
        self.code = code
        self.namespace = namespace
        self.places = places
        self.nodes = nodes
        self.unplaced = unplaced
        self.roots = roots
        self.filename = filename

    def dump(self, value: Any) -> tuple[bytes, list[Any]]:
        """The value as a pickle stream and the buffers that belong to it.

        Raises:
            Unstorable: Something inside would not come back as what it is.
        """
        buffers: list[Any] = []

        def out_of_band(buffer: pickle.PickleBuffer) -> bool:
            # However small: in the stream they would come back as arrays on top of bytearrays.
            buffers.append(buffer.raw())
            return False

        file = io.BytesIO()
        try:
            _Pickler(self, file, out_of_band).dump(value)
        except Unstorable:
            raise
        except RecursionError:
            raise Unstorable("it is nested too deeply") from None
        except Exception as error:
            raise Unstorable(f"{type(error).__name__}: {error}") from error
        return file.getvalue(), buffers

    def load(self, data: Any, buffers: Any) -> Any:
        """The value again. Call it only with what this user's nbflow has written."""
        return _Unpickler(self, io.BytesIO(data), _owned(buffers)).load()

    def dumps(self, value: Any) -> bytes:
        """The value in one piece."""
        data, buffers = self.dump(value)
        return pickle.dumps((data, [bytes(one) for one in buffers]), protocol=5)

    def loads(self, data: bytes) -> Any:
        """What `dumps` gave."""
        inner, buffers = pickle.loads(data)
        return self.load(inner, [bytearray(one) for one in buffers])


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def __init__(self, cell: CellSerializer, file: Any, buffer_callback: Any) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffer_callback)
        self._cell = cell
        self._nans: dict[int, tuple[int, float]] = {}

    def persistent_id(self, value: Any) -> Any:
        cell = self._cell
        key = id(value)
        if key in cell.places:
            name, number = cell.places[key]
            return (_PLACE, _fresh(name), number)
        if type(value) is float:
            return self._nan(value) if value != value else None  # noqa: PLR0124  (only NaN is so)
        if value is cell.namespace:
            return (_NAMESPACE,)
        if key in cell.unplaced:
            raise Unstorable(f"it holds on to a {type(value).__name__} inside a set")
        if isinstance(value, types.ModuleType):
            if sys.modules.get(value.__name__) is not value:
                raise Unstorable(f"the module {value.__name__} cannot be imported again")
            return (_MODULE, _fresh(value.__name__))
        return None

    def _nan(self, value: float) -> Any:
        """`x in [x]` goes by identity, and `x is np.nan` is asked: NaN stays the same object."""
        if value is math.nan:  # noqa: PLW0177  (this very object is meant)
            return (_NAN, -1)
        if value is getattr(sys.modules.get("numpy"), "nan", None):
            return (_NAN, -2)
        self._nans.setdefault(id(value), (len(self._nans), value))
        return (_NAN, self._nans[id(value)][0])

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind is types.FunctionType:
            if value.__globals__ is self._cell.namespace:
                return _reduce_function(value, self._cell.filename)
        elif kind is types.CellType:
            return _new_cell, ()
        elif kind in _NEVER or kind.__module__.startswith("logging"):
            raise Unstorable(f"a {kind.__qualname__} cannot be stored")
        elif isinstance(value, type):
            module = sys.modules.get(value.__module__)
            if value.__module__ == "__main__" or "<locals>" in value.__qualname__ or module is None:
                raise Unstorable(
                    f"the class {value.__qualname__} would not be the same class again"
                )
        elif kind.__module__ == "numpy":
            ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
            if kind is ndarray:
                return self._reduce_array(value)
            if _lies_in_file(value):
                raise Unstorable("an array in a file cannot be stored")
        elif isinstance(value, memoryview):
            raise Unstorable("a memoryview cannot be stored")
        return super().reducer_override(value)

    def _reduce_array(self, array: Any) -> Any:
        if _lies_in_file(array):
            raise Unstorable("an array in a file cannot be stored")
        root = memory_root(array)
        if root is not array and (id(root) in self._cell.places or id(root) in self._cell.roots):
            here = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
            args = (root, here, array.shape, array.strides, array.dtype, array.flags.writeable)
            try:
                _new_view(*args)
            except (ValueError, TypeError) as error:
                raise Unstorable(f"a view of an array cannot be stored: {error}") from None
            return _new_view, args
        if not array.flags.writeable:
            return _read_only, (array.copy("K"),)
        if array.dtype.hasobject or array.flags.c_contiguous or array.flags.f_contiguous:
            return NotImplemented
        return array.copy("K").__reduce_ex__(5)


#: They would come back as something else: without contents, or as a copy of what there is one of.
_NEVER = (functools._lru_cache_wrapper, decimal.Context, mmap.mmap)


def _fresh(name: str) -> bytes:
    """A name as an object of its own."""
    return name.encode()


class _Unpickler(pickle.Unpickler):
    def __init__(self, cell: CellSerializer, file: Any, buffers: Any) -> None:
        super().__init__(file, buffers=buffers)
        self._cell = cell
        self._nans: dict[int, float] = {}

    def persistent_load(self, pid: Any) -> Any:
        kind, *rest = pid
        if kind == _PLACE:
            name, number = rest[0].decode(), rest[1]
            return self._cell.namespace[name] if number < 0 else self._cell.nodes[name][number]
        if kind == _NAN:
            if rest[0] == -1:
                return math.nan
            if rest[0] == -2:
                return __import__("numpy").nan
            return self._nans.setdefault(rest[0], float("nan"))
        if kind == _NAMESPACE:
            return self._cell.namespace
        module = rest[0].decode()
        __import__(module)
        return sys.modules[module]

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if found is _new_function:
            return self._new_function
        return found

    def _new_function(self, code: bytes, *args: Any) -> types.FunctionType:
        cell = self._cell
        made = _new_function(code, *args, filename=cell.filename)
        if cell.code is not None and made.__code__.co_filename == cell.filename:
            # A comment above it moves a function's lines, but is no reason to run the cell.
            present = next(_same_codes(cell.code, made.__code__), None)
            if present is not None:
                made.__code__ = present
        return made


def _owned(buffers: Iterable[Any]) -> list[Any]:
    """The buffers; bytearrays, in which arrays would be seen to lie, as memory of no object."""
    views = [memoryview(one).cast("B") for one in buffers]
    small = [n for n, view in enumerate(views) if isinstance(view.obj, bytearray)]
    n_bytes = sum(_aligned(views[n].nbytes) for n in small)
    if not n_bytes:
        return views
    memory, begin = memoryview(mmap.mmap(-1, n_bytes)), 0
    for n in small:
        end = begin + views[n].nbytes
        memory[begin:end] = views[n]
        begin, views[n] = begin + _aligned(views[n].nbytes), memory[begin:end]
    return views


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES


def _lies_in_file(array: Any) -> bool:
    memmap = sys.modules["numpy"].memmap
    while array is not None:
        if isinstance(array, memmap):
            return True
        array = getattr(array, "base", None)
    return False


def _reduce_function(fn: types.FunctionType, filename: str) -> Any:
    code = _with_filename(fn.__code__, filename, _CELL_FILE)
    cells = fn.__closure__ or ()
    state = {
        "defaults": fn.__defaults__,
        "kwdefaults": fn.__kwdefaults__,
        "annotations": fn.__annotations__,
        "qualname": fn.__qualname__,
        "doc": fn.__doc__,
        "module": fn.__module__,
        "dict": fn.__dict__,
        "cells": [(cell, _contents(cell)) for cell in cells],
    }
    args = (marshal.dumps(code), fn.__globals__, fn.__name__, tuple(cells))
    return _new_function, args, state, None, None, _fill_function


def _new_function(
    code: bytes, namespace: dict[str, Any], name: str, cells: Any, *, filename: str = _CELL_FILE
) -> types.FunctionType:
    loaded = _with_filename(marshal.loads(code), _CELL_FILE, filename)  # noqa: S302  (signed)
    return types.FunctionType(loaded, namespace, name, None, cells or None)


def _fill_function(fn: types.FunctionType, state: dict[str, Any]) -> None:
    fn.__defaults__ = state["defaults"]
    fn.__kwdefaults__ = state["kwdefaults"]
    fn.__annotations__ = state["annotations"]
    fn.__qualname__ = state["qualname"]
    fn.__doc__ = state["doc"]
    fn.__module__ = state["module"]
    fn.__dict__.update(state["dict"])
    for cell, (kind, contents) in state["cells"]:
        if kind != _EMPTY:
            cell.cell_contents = contents


def _same_codes(code: types.CodeType, wanted: types.CodeType) -> Iterator[types.CodeType]:
    """Code inside `code` that does the same as `wanted`, whatever its line numbers."""
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            same_name = one.co_qualname == wanted.co_qualname
            if same_name and fingerprint(one) == fingerprint(wanted):
                yield one
            yield from _same_codes(one, wanted)


def _new_cell() -> types.CellType:
    return types.CellType()


def _contents(cell: types.CellType) -> tuple[str, Any]:
    try:
        return "full", cell.cell_contents
    except ValueError:  # a variable that is not bound yet
        return _EMPTY, None


def _with_filename(code: types.CodeType, old: str, new: str) -> types.CodeType:
    """The code, and the code inside it, as if it came from another file."""
    constants = tuple(
        _with_filename(one, old, new) if isinstance(one, types.CodeType) else one
        for one in code.co_consts
    )
    filename = new if code.co_filename == old else code.co_filename
    return code.replace(co_consts=constants, co_filename=filename)


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


def _new_view(root: Any, offset: int, shape: Any, strides: Any, dtype: Any, writeable: bool) -> Any:
    import numpy as np

    if root.dtype.hasobject or dtype.hasobject:
        raise ValueError("it holds objects")
    flat = root.ravel(order="K").view("u1")
    if not np.shares_memory(flat, root) and root.size:
        raise ValueError("its memory has gaps")
    view: Any = np.ndarray(shape, dtype, buffer=flat, offset=offset, strides=strides)
    if not writeable:
        view.flags.writeable = False
    return view

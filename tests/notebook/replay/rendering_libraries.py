"""Objects of libraries as texts: arrays, frames, generators of random numbers, figures."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable
from typing import Any

#: Their objects hold half a library, and are not what notebooks compute.
OPAQUE = frozenset("matplotlib ipywidgets traitlets IPython sqlite3 threading nbflow".split())
_ADDRESS = re.compile(r"(?<![0-9A-Za-z])0x[0-9a-fA-F]{6,}")


def normal(text: str) -> str:
    """Without what differs from process to process."""
    return _ADDRESS.sub("0xX", text)


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=6).hexdigest()


def is_numpy_scalar(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


class LibraryWalk:
    """The part of a walk that knows libraries; the rest is `rendering.Walk`."""

    _arrays: list[tuple[int, int, str]]

    def text(self, value: Any, path: str) -> str:
        raise NotImplementedError

    def _items(self, items: Iterable[Any], path: str) -> str:
        return ", ".join(self.text(item, f"{path}[{n}]") for n, item in enumerate(items))

    def _opaque(self, value: Any, kind: type, path: str) -> str:
        told = f"{kind.__module__}.{kind.__qualname__}"
        if kind.__name__ == "Figure":
            number = getattr(value, "number", "")
            return f"{told} {number} {self._items(value.axes, path)}"
        if kind.__module__ == "matplotlib.axes._axes":
            return f"{told} {value.get_title()!r} {self._items(value.lines, path)}"
        if kind.__name__ == "Line2D":
            return f"{told} {[list(xy) for xy in value.get_xydata()]}"
        if hasattr(value, "get_state") and kind.__module__.startswith("ipywidgets.widgets"):
            state = {k: v for k, v in value.get_state().items() if not str(v).startswith("IPY_")}
            return f"{told} {normal(repr(state))}"
        return told

    def _library(self, value: Any, kind: type, path: str) -> str | None:
        """Objects of numpy and pandas; None: of neither."""
        if "numpy" not in sys.modules:
            return None
        import numpy as np

        if isinstance(value, np.ndarray):
            return self._array(value, kind, path)
        if isinstance(value, np.dtype | np.ufunc):
            return normal(repr(value))
        if isinstance(value, np.random.Generator):
            return f"Generator {self.text(value.bit_generator, path + '.bit_generator')}"
        if isinstance(value, np.random.BitGenerator):
            return f"{kind.__name__} {digest(_plain(value.state).encode())}"
        if isinstance(value, np.random.RandomState):
            return f"RandomState {digest(_plain(value.get_state()).encode())}"
        if "pandas" not in sys.modules:
            return None
        import pandas as pd

        if isinstance(value, pd.DataFrame):
            columns = [
                self._column(value.iloc[:, n], f"{path}[{n}]") for n in range(value.shape[1])
            ]
            told = self._index(value.columns, path + ".columns")
            rows = self._index(value.index, path + ".index")
            return (
                f"{kind.__name__} {told} | {rows} | {columns} {dict(value.attrs)} {value.flags!r}"
            )
        if isinstance(value, pd.Series):
            rows = self._index(value.index, path + ".index")
            values = self._column(value, path)
            return f"{kind.__name__} {value.name!r} | {rows} | {values} {value.attrs}"
        if isinstance(value, pd.Index):
            return self._index(value, path)
        if isinstance(value, pd.api.extensions.ExtensionDtype):
            return repr(value)
        if isinstance(value, pd.api.extensions.ExtensionArray):
            return f"{kind.__name__} {value.dtype!r} {self._items(list(value), path)}"
        return None

    def _array(self, value: Any, kind: type, path: str) -> str:
        import numpy as np

        about = f"{kind.__name__} {value.dtype.descr if value.dtype.names else value.dtype!r}"
        about += f" {value.shape} {value.strides if value.size else ''}"
        about += f" writeable={value.flags.writeable}"
        if value.size:
            low, high = np.lib.array_utils.byte_bounds(value)
            self._arrays.append((low, high, path))
        if value.dtype.hasobject:
            return f"{about} [{self._items(value.ravel(order='K').tolist(), path)}]"
        if isinstance(value, np.ma.MaskedArray):
            about += f" {value.mask!r} {value.fill_value!r}"
        few = f" {np.asarray(value).ravel()[:4].tolist()}"
        return f"{about}{few} {digest(np.ascontiguousarray(value).tobytes())}"

    def _column(self, column: Any, path: str) -> str:
        return f"{column.dtype!r}:{self._items(column.tolist(), path)}"

    def _index(self, index: Any, path: str) -> str:
        about = f"{type(index).__name__} {list(index.names)} {getattr(index, 'freq', None)!r}"
        return f"{about} {getattr(index, 'dtype', None)!r} [{self._items(list(index), path)}]"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return repr([(k, _plain(v)) for k, v in sorted(value.items())])
    return repr(value.tolist() if hasattr(value, "tolist") else value)

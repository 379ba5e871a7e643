"""Encoders of pandas' values: by labels and by what is in the columns, not by how it is stored."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from nbflow.errors import Unfingerprintable
from nbflow.results.fingerprint_arrays import (
    content_of,
    encode_dtype,
    encode_items,
    strided_digests,
)
from nbflow.results.fingerprint_arrow import encode_arrow
from nbflow.results.fingerprint_bulk import in_threads, memory_digest
from nbflow.results.fingerprint_walk import Encoder, Walk, type_name


def _frame(walk: Walk, frame: Any) -> bytes:
    parts = [*_about(walk, frame), _labels(walk, frame.columns), _labels(walk, frame.index)]
    return walk.node(b"Df", [*parts, *_columns(walk, _arrays(frame))])


def _series(walk: Walk, series: Any) -> bytes:
    parts = [*_about(walk, series), walk.encode(series.name), _labels(walk, series.index)]
    return walk.node(b"Ds", [*parts, *_columns(walk, [series.array])])


# What pandas itself keeps on its tables; anything else has been put there, and goes when pickled.
_OWN_ATTRIBUTES = frozenset({
    "_mgr", "_item_cache", "_attrs", "_flags", "_name", "_is_copy", "_cacher", "_cache", "_index",
    "_hidden_attrs", "_typ",
})  # fmt: skip


def _about(walk: Walk, table: Any) -> list[bytes]:
    """What a frame or series carries besides its labels and columns."""
    kind = type(table)
    is_ours = kind.__module__.partition(".")[0] == "pandas"
    more = {} if is_ours else {name: getattr(table, name, None) for name in table._metadata}
    if walk.counts_hidden and not vars(table).keys() <= _OWN_ATTRIBUTES | kind._accessors:
        raise Unfingerprintable(type_name(kind), "it has attributes that are not stored with it")
    values = kind, dict(table.attrs), table.flags.allows_duplicate_labels, tuple(more.items())
    return [
        walk.encode(values[0]),
        walk.several(b"d", _flat(values[1])),
        *map(walk.encode, values[2:]),
    ]


def _flat(mapping: dict[Any, Any]) -> list[Any]:
    return [part for pair in mapping.items() for part in pair]


def _arrays(frame: Any) -> list[Any]:
    # The private way takes a microsecond for each column, the public one twenty.
    each = getattr(frame, "_iter_column_arrays", None)
    if each is not None:
        return list(each())
    return [frame.iloc[:, n].array for n in range(frame.shape[1])]


def _copies_on_write() -> bool:
    pd = sys.modules["pandas"]
    return int(pd.__version__.partition(".")[0]) >= 3 or pd.options.mode.copy_on_write is True


# --- columns ----------------------------------------------------------------------------------


def _columns(walk: Walk, columns: list[Any]) -> list[bytes]:
    """Each column's encoding. Those of numbers are read together, by several threads if large."""
    bare = [_bare(column) for column in columns]
    numbers = {n: array for n, array in enumerate(bare) if _is_numbers(array)}
    if not _copies_on_write():  # there, who changes one object may change another
        shared = [walk.memory(array) for array in bare if array is not None]
    else:
        shared = []
    digests = _digests(numbers)
    encodings = []
    for n, (column, array) in enumerate(zip(columns, bare, strict=True)):
        about = _dtype_of(walk, column)
        if n in digests:
            head = [encode_dtype(walk, array.dtype), str(len(array)).encode()]
            encodings.append(walk.node(b"V", [about, *head, digests[n]]))
        elif array is not None:
            encodings.append(walk.node(b"V", [about, content_of(walk, array)]))
        else:
            encodings.append(walk.node(b"V", [about, _extension(walk, column)]))
    return [*encodings, *shared]


def _bare(column: Any) -> Any:
    """The numpy array that is all of a column, if there is one."""
    import numpy as np
    import pandas as pd

    if isinstance(column, np.ndarray):
        return column
    if isinstance(column, pd.arrays.NumpyExtensionArray):
        return np.asarray(column)
    if isinstance(
        column, pd.arrays.DatetimeArray | pd.arrays.TimedeltaArray | pd.arrays.PeriodArray
    ):
        bare: Any = column
        return bare.asi8
    return None


def _is_numbers(array: Any) -> bool:
    return array is not None and array.dtype.char not in "gG" and array.dtype.kind in "biufcmM"


def _digests(numbers: dict[int, Any]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    contiguous: list[int] = []
    side_by_side: dict[Any, list[int]] = {}
    for n, array in numbers.items():
        if not array.size:
            found[n] = b""
        elif array.flags.c_contiguous:
            contiguous.append(n)
        else:
            key = len(array), array.strides, array.itemsize
            side_by_side.setdefault(key, []).append(n)
    if len(contiguous) == 1:
        found[contiguous[0]] = memory_digest(_memory(numbers[contiguous[0]]))
    else:
        views = [_memory(numbers[n]) for n in contiguous]
        digests = in_threads(
            lambda view: memory_digest(view, alone=True), views, sum(v.nbytes for v in views)
        )
        found.update(zip(contiguous, digests, strict=True))
    for several in side_by_side.values():
        found.update(zip(several, strided_digests([numbers[n] for n in several]), strict=True))
    return found


def _memory(array: Any) -> memoryview:
    view: memoryview = array.view("u1").data
    return view


def _dtype_of(walk: Walk, column: Any) -> bytes:
    dtype = column.dtype
    if isinstance(dtype, sys.modules["pandas"].api.extensions.ExtensionDtype):
        return _extension_dtype(walk, dtype)
    return encode_dtype(walk, dtype)


def _extension_dtype(walk: Walk, dtype: Any) -> bytes:
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype):
        labels = b"" if dtype.categories is None else _labels(walk, dtype.categories)
        return walk.node(b"yc", [str(dtype.ordered).encode(), labels])
    if isinstance(dtype, pd.PeriodDtype):
        return walk.several(b"y", [type_name(type(dtype)), repr(dtype.freq)])
    return walk.several(b"y", [type_name(type(dtype)), repr(dtype)])


def _extension(walk: Walk, values: Any) -> bytes:
    """A column that is more than one numpy array. What is under missing values does not count."""
    import numpy as np
    import pandas as pd

    if isinstance(values, pd.Categorical):
        return content_of(walk, np.asarray(values.codes))  # categories: see its dtype
    if isinstance(values.dtype, pd.ArrowDtype):
        return encode_arrow(walk, values.__arrow_array__())
    if isinstance(values.dtype, pd.StringDtype):
        if values.dtype.storage == "pyarrow":
            return encode_arrow(walk, values.__arrow_array__())
        texts = [None if one is values.dtype.na_value else one for one in values]
        return walk.node(b"Vs", [encode_items(walk, texts)])
    if isinstance(values.dtype, pd.IntervalDtype):
        return walk.node(b"Vi", [_labels(walk, values.left), _labels(walk, values.right)])
    missing = np.asarray(values.isna())
    if hasattr(values, "_mask"):  # nullable numbers and booleans
        bare = values.to_numpy(dtype=values.dtype.numpy_dtype, na_value=values.dtype.type(0))
    else:
        bare = np.asarray(values[~missing], dtype=object)
    return walk.node(b"Vx", [content_of(walk, missing), content_of(walk, bare)])


# --- labels -----------------------------------------------------------------------------------


def _labels(walk: Walk, index: Any) -> bytes:
    """The index of a frame: part of it, where nobody can change it from outside."""
    return _index(walk, index) if _copies_on_write() else walk.encode(index)


def _index(walk: Walk, index: Any) -> bytes:
    import pandas as pd

    parts = [walk.encode(type(index)), walk.encode(tuple(index.names))]
    if isinstance(index, pd.MultiIndex):
        codes = [content_of(walk, codes) for codes in index.codes]
        return walk.node(b"Dm", [*parts, *codes, *(_index(walk, level) for level in index.levels)])
    if isinstance(index, pd.RangeIndex):
        parts += [walk.encode(part) for part in (index.start, index.stop, index.step)]
        return walk.node(b"Dr", parts)
    freq = getattr(index, "freq", None)
    freq = None if freq is None else repr(freq)
    return walk.node(b"Di", [*parts, walk.encode(freq), *_columns(walk, [index.array])])


# --- single values ----------------------------------------------------------------------------


def _timestamp(walk: Walk, value: Any) -> bytes:
    zone = [type_name(type(value.tzinfo)), str(value.tzinfo), value.utcoffset(), value.fold]
    return walk.several(b"Dt", [str(value.to_numpy().dtype), value.asm8.view("i8").item(), *zone])


def _timedelta(walk: Walk, value: Any) -> bytes:
    return walk.several(b"Dd", [str(value.asm8.dtype), value.asm8.view("i8").item()])


def _period(walk: Walk, value: Any) -> bytes:
    return walk.several(b"Dp", [value.ordinal, value.freqstr])


def _interval(walk: Walk, value: Any) -> bytes:
    return walk.several(b"Dv", [value.left, value.right, value.closed])


def _missing(walk: Walk, value: Any) -> bytes:
    return b"D" + type_name(type(value)).encode() + b"\0"


def frame_family(kind: type) -> Encoder | None:
    pd = sys.modules.get("pandas")
    if pd is None or not hasattr(pd, "DataFrame"):  # not imported, or only half
        return None
    objects: list[tuple[type, Callable[[Walk, Any], bytes]]] = [
        (pd.DataFrame, _frame),
        (pd.Series, _series),
        (pd.Index, _index),
        (pd.api.extensions.ExtensionArray, lambda walk, array: _columns(walk, [array])[0]),
    ]
    values: list[tuple[type, Callable[[Walk, Any], bytes]]] = [
        (type(pd.NaT), _missing),
        (type(pd.NA), _missing),
        (pd.Timestamp, _timestamp),
        (pd.Timedelta, _timedelta),
        (pd.Period, _period),
        (pd.Interval, _interval),
        (pd.api.extensions.ExtensionDtype, _extension_dtype),
    ]
    for base, encode in objects:
        if issubclass(kind, base):
            return Encoder(encode, has_identity=True)
    for base, encode in values:
        if issubclass(kind, base):
            return Encoder(encode, has_identity=False)
    return None

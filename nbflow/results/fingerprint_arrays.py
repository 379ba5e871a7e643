"""Encoders of numpy's values: arrays by dtype, shape, order in memory and content."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import xxhash

from nbflow.errors import Unfingerprintable
from nbflow.results.fingerprint_bulk import (
    BULK_SIZE,
    LEAF_BYTES,
    in_threads,
    memory_digest,
    tree_digest,
)
from nbflow.results.fingerprint_code import version_of
from nbflow.results.fingerprint_walk import Encoder, Walk, digest, type_name

# How many bytes of a strided array are brought together at a time: they stay in the cache.
_WINDOW_BYTES = 256 << 10


def encode_array(walk: Walk, array: Any) -> bytes:
    import numpy as np

    kind = type(array)
    memory = walk.memory(array)
    parts = [memory]
    if kind is not np.ndarray and kind is not np.memmap:  # mapped is the same as in memory
        parts.append(walk.encode(kind))
        parts += [
            walk.encode(part) for pair in getattr(array, "__dict__", {}).items() for part in pair
        ]
    return walk.node(b"N", [*parts, content_of(walk, np.asarray(array))])


def content_of(walk: Walk, array: Any) -> bytes:
    """An array's dtype, shape, order in memory and values, whoever holds them."""
    dtype = array.dtype
    order, array = _in_memory_order(array)
    head = [encode_dtype(walk, dtype), repr((array.shape, order)).encode()]
    if dtype.hasobject:
        if dtype.names:
            return walk.node(b"n", [*head, *(content_of(walk, array[n]) for n in dtype.names)])
        return walk.node(b"n", [*head, encode_items(walk, array.ravel().tolist())])
    if dtype.kind not in "biufcmMSUV":
        raise Unfingerprintable(f"numpy.ndarray of {dtype}")
    if dtype.names and not _is_packed(dtype):  # what is between the fields does not count
        return walk.node(b"n", [*head, *(content_of(walk, array[n]) for n in dtype.names)])
    if dtype.char in "gG":  # the same holds for the last bytes of each long float
        return walk.node(b"n", [*head, digest(_without_padding(array))])
    return walk.node(b"n", [*head, _values_digest(array)])


def encode_items(walk: Walk, items: list[Any]) -> bytes:
    """A list that was made to be encoded, and that nobody else holds."""
    whole = walk.bulk(items) if len(items) >= BULK_SIZE else None
    return walk.several(b"l", items) if whole is None else b"Bl" + whole


def encode_dtype(walk: Walk, dtype: Any) -> bytes:
    about = dtype.str + dtype.name if dtype.names is None else repr(dtype)
    if dtype.metadata:
        return walk.several(b"y", [about, dict(dtype.metadata)])
    return about.encode()


def _in_memory_order(array: Any) -> tuple[tuple[int, ...], Any]:
    """The order of the axes in memory, and the array with its axes in that order.

    It is visible (to `ravel("K")`, in the last bits of sums), and a copy keeps it. Gaps and steps
    are not: a copy does not have them.
    """
    if array.flags.c_contiguous:
        return (), array
    if array.flags.f_contiguous:
        return (-1,), array.T
    axes = [n for n in range(array.ndim) if array.shape[n] > 1]
    by_stride = sorted(axes, key=lambda n: -abs(array.strides[n]))
    if by_stride == axes:
        return (), array
    if by_stride == axes[::-1]:
        return (-1,), array.T
    rest = [n for n in range(array.ndim) if n not in axes]
    return (*rest, *by_stride), array.transpose(*rest, *by_stride)


def _is_packed(dtype: Any) -> bool:
    """Whether fields follow each other without gaps, as in the fields themselves."""
    if dtype.subdtype is not None:
        return _is_packed(dtype.subdtype[0])
    if dtype.names is None:
        return dtype.char not in "gG"
    end = 0
    for name in dtype.names:
        field, offset = dtype.fields[name][:2]
        if offset != end or not _is_packed(field):
            return False
        end += field.itemsize
    return bool(end == dtype.itemsize)


def _without_padding(array: Any) -> bytes:
    import numpy as np

    if np.finfo(np.longdouble).nmant != 63:  # 80 bits in 16 bytes is what x86 has
        return bytes(array.tobytes())
    n_bytes = np.dtype("g").itemsize
    flat = np.ascontiguousarray(array).reshape(-1).view("u1").reshape(-1, n_bytes)
    return flat[:, :10].tobytes()


def _values_digest(array: Any) -> bytes:
    if not array.size or not array.nbytes:
        return digest(b"")
    if array.flags.c_contiguous:
        return memory_digest(array.reshape(-1).view("u1").data)
    if array.ndim == 1:
        return strided_digests([array])[0]
    if array.nbytes <= LEAF_BYTES:
        return _contiguous_digest(array)
    return _streamed_digest(array)


def _contiguous_digest(array: Any) -> bytes:
    import numpy as np

    return memory_digest(np.ascontiguousarray(array).reshape(-1).view("u1").data)


def _streamed_digest(array: Any) -> bytes:
    """Of an array of several axes with gaps: leaf by leaf in the order of its values."""
    leaves, hasher, free = [], xxhash.xxh3_128(), LEAF_BYTES
    for piece in _pieces(array):
        view = memoryview(piece)
        while view:
            part, view = view[:free], view[free:]
            hasher.update(part)
            free -= len(part)
            if not free:
                leaves.append(hasher.digest())
                hasher, free = xxhash.xxh3_128(), LEAF_BYTES
    if free < LEAF_BYTES:
        leaves.append(hasher.digest())
    return tree_digest(array.nbytes, leaves)


def _pieces(array: Any) -> Iterator[Any]:
    """The bytes of an array in C order, a window at a time."""
    import numpy as np

    row_bytes = array.nbytes // array.shape[0]
    if array.ndim > 1 and row_bytes > _WINDOW_BYTES:
        for row in array:
            yield from _pieces(row)
        return
    n_rows = max(1, _WINDOW_BYTES // max(1, row_bytes))
    for start in range(0, array.shape[0], n_rows):
        yield np.ascontiguousarray(array[start : start + n_rows]).reshape(-1).view("u1").data


def strided_digests(columns: list[Any]) -> list[bytes]:
    """Digests of 1-d arrays of one length and size, side by side in memory (columns of a table).

    They are read together a window at a time, so that memory is read once and not once for each.
    """
    n_bytes = columns[0].nbytes
    n_items, size = len(columns[0]), columns[0].itemsize
    per_leaf = LEAF_BYTES // size if n_bytes > LEAF_BYTES else n_items
    if n_bytes > LEAF_BYTES and LEAF_BYTES % size:
        return [_contiguous_digest(column) for column in columns]
    window = max(1, _WINDOW_BYTES // abs(columns[0].strides[0] or size))

    def leaves(start: int) -> list[bytes]:
        stop = min(n_items, start + per_leaf)
        hashers = [xxhash.xxh3_128() for _ in columns]
        for at in range(start, stop, window):
            for hasher, column in zip(hashers, columns, strict=True):
                hasher.update(column[at : min(stop, at + window)].tobytes())
        return [hasher.digest() for hasher in hashers]

    rows = in_threads(leaves, range(0, n_items, per_leaf), n_bytes * len(columns))
    if n_bytes <= LEAF_BYTES:
        return list(rows[0])
    return [tree_digest(n_bytes, several) for several in zip(*rows, strict=True)]


def _masked(walk: Walk, array: Any) -> bytes:
    import numpy as np

    kind = [] if type(array) is np.ma.MaskedArray else [walk.encode(type(array))]
    mask = np.ma.getmaskarray(array)
    visible = np.asarray(array.filled(array.fill_value))
    shared = walk.memory(array), walk.memory(mask)
    contents = content_of(walk, visible), content_of(walk, mask)
    about = array.fill_value, bool(array.hardmask)
    return walk.node(b"Nm", [*kind, *shared, *contents, *map(walk.encode, about)])


def _scalar(walk: Walk, scalar: Any) -> bytes:
    dtype = scalar.dtype
    if dtype.kind in "biufcmM" and dtype.char not in "gG":
        return b"n%b%b:%b" % (dtype.str.encode(), dtype.char.encode(), scalar.tobytes())
    if dtype.hasobject:
        return walk.several(b"n", [type_name(type(scalar)), scalar.item()])
    return walk.node(b"n", [type_name(type(scalar)).encode(), content_of(walk, scalar.reshape(()))])


def _ufunc(walk: Walk, ufunc: Any) -> bytes:
    import numpy as np

    name = str(ufunc.__name__)
    if getattr(np, name, None) is not ufunc:
        raise Unfingerprintable(type_name(type(ufunc)), name)
    return walk.several(b"G", ["numpy", name, version_of("numpy")])


def _dtype(walk: Walk, dtype: Any) -> bytes:
    return walk.node(b"y", [repr(dtype).encode(), encode_dtype(walk, dtype)])


def memory_root(array: Any) -> Any:
    """The object that owns the memory of an array, or the last array that is known of.

    A bytearray or the like whose memory the array uses is such an owner.
    """
    ndarray = sys.modules["numpy"].ndarray
    while True:
        base = array.base
        while isinstance(base, memoryview):
            base = base.obj
        if isinstance(base, bytearray):
            return base
        if not isinstance(base, ndarray):
            return array
        array = base


def extent(array: Any) -> tuple[int, int]:
    """The addresses of the first byte of an array, and of the first after it."""
    first = last = array.__array_interface__["data"][0]
    for length, stride in zip(array.shape, array.strides, strict=True):
        step = (length - 1) * stride
        if step < 0:
            first += step
        else:
            last += step
    return first, last + array.itemsize


def array_family(kind: type) -> Encoder | None:
    np = sys.modules.get("numpy")
    if np is None or not hasattr(np, "ndarray"):
        return None
    if issubclass(kind, np.ndarray):
        masked = issubclass(kind, np.ma.MaskedArray)
        return Encoder(_masked if masked else encode_array, has_identity=True)
    values = (np.generic, _scalar), (np.ufunc, _ufunc), (np.dtype, _dtype)
    found = next((encode for base, encode in values if issubclass(kind, base)), None)
    return None if found is None else Encoder(found, has_identity=False)

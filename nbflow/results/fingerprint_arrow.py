"""Encoders of arrow's and polars' values: the same however they are cut into chunks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from nbflow.errors import Unfingerprintable
from nbflow.results.fingerprint_arrays import encode_items
from nbflow.results.fingerprint_bulk import memory_digest
from nbflow.results.fingerprint_walk import Encoder, Walk, type_name


def encode_arrow(walk: Walk, column: Any) -> bytes:
    """An array or chunked array. Slices, chunks and what is under nulls do not count."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = _one_chunk(column)
    kind = column.type
    head = [str(kind).encode(), str(len(column)).encode()]
    if isinstance(column, pa.ExtensionArray):
        return walk.node(b"A", [*head, encode_arrow(walk, column.storage)])
    if pa.types.is_dictionary(kind):
        inner = [encode_arrow(walk, column.indices), encode_arrow(walk, column.dictionary)]
        return walk.node(b"A", [*head, *inner])
    content = _content(column)
    if content is None:
        # Lists and structs, by their values: no way that is both fast and sure is known.
        return walk.node(b"A", [*head, encode_items(walk, column.to_pylist())])
    return walk.node(b"A", [*head, *content])


def _one_chunk(column: Any) -> Any:
    import pyarrow as pa

    if column.num_chunks == 1:
        return column.chunk(0)
    if not column.num_chunks:
        return pa.array([], column.type)
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # texts of over 2 GB do not fit in one
        large = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}[column.type]
        whole = column.cast(large).combine_chunks()
    return whole


def _content(column: Any) -> list[bytes] | None:
    """Digests of validity and values, where these are in memory as numbers or texts."""
    import numpy as np
    import pyarrow as pa

    kind, types = column.type, pa.types
    valid = b""
    if column.null_count:
        valid = memory_digest(np.packbits(column.is_valid().to_numpy(zero_copy_only=False)))
        if types.is_null(kind):
            return [valid]
    if types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind):
        return [valid, *_texts(column)]
    if types.is_large_binary(kind):
        return [valid, *_texts(column)]
    if types.is_boolean(kind):
        bits = column.fill_null(False) if column.null_count else column
        return [valid, memory_digest(np.packbits(bits.to_numpy(zero_copy_only=False)))]
    if types.is_primitive(kind) or types.is_decimal(kind):
        size = kind.bit_width // 8
        buffer = column.buffers()[1]
        if buffer is None or not len(column):
            return [valid]
        content = memoryview(buffer)[column.offset * size : (column.offset + len(column)) * size]
        if column.null_count:
            shown = np.frombuffer(content, "u1").reshape(-1, size).copy()
            shown[column.is_null().to_numpy(zero_copy_only=False)] = 0
            content = shown.reshape(-1).data
        return [valid, memory_digest(content)]
    return None


def _texts(column: Any) -> list[bytes]:
    import numpy as np
    import pyarrow as pa

    if not len(column):
        return []
    if column.null_count:
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        column = column.fill_null("" if is_text else b"")
    is_large = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    _, ends, content = column.buffers()
    found = np.frombuffer(ends, "i8" if is_large else "i4")
    found = found[column.offset : column.offset + len(column) + 1]
    first, last = int(found[0]), int(found[-1])
    lengths = np.diff(found).astype("i8")
    body = memoryview(content)[first:last] if last > first else b""
    return [memory_digest(lengths), memory_digest(body)]


def _table(walk: Walk, table: Any) -> bytes:
    columns = [encode_arrow(walk, column) for column in table.columns]
    return walk.node(b"At", [walk.encode(type(table)), _schema(walk, table.schema), *columns])


def _schema(walk: Walk, schema: Any) -> bytes:
    fields = [
        (field.name, str(field.type), field.nullable, _pairs(field.metadata)) for field in schema
    ]
    return walk.several(b"As", [tuple(fields), _pairs(schema.metadata)])


def _pairs(metadata: dict[bytes, bytes] | None) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((metadata or {}).items())


def _arrow_scalar(walk: Walk, value: Any) -> bytes:
    return walk.several(b"Ap", [str(value.type), value.as_py()])


def _buffer(walk: Walk, value: Any) -> bytes:
    return b"Ab" + str(value.size).encode() + b":" + memory_digest(memoryview(value))


def _named(walk: Walk, value: Any) -> bytes:
    return walk.several(b"Ay", [type_name(type(value)), str(value)])


# --- polars -----------------------------------------------------------------------------------


def _polars_frame(walk: Walk, frame: Any) -> bytes:
    columns = [_polars_content(walk, column) for column in frame.get_columns()]
    about = [walk.encode(type(frame)), walk.encode(tuple(frame.columns))]
    return walk.node(b"Pf", [*about, str(frame.height).encode(), *columns])


def _polars_series(walk: Walk, series: Any) -> bytes:
    return walk.node(b"Ps", [walk.encode(series.name), _polars_content(walk, series)])


def _polars_content(walk: Walk, series: Any) -> bytes:
    about = walk.encode(repr(series.dtype))
    if "pyarrow" in sys.modules or _can_import("pyarrow"):
        try:
            return walk.node(b"Pa", [about, encode_arrow(walk, series.to_arrow())])
        except (NotImplementedError, ValueError):
            pass  # columns of Python objects, and of types that arrow lacks
    return walk.node(b"Pl", [about, encode_items(walk, series.to_list())])


def _can_import(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def _refuse(walk: Walk, value: Any) -> bytes:
    # Plans of queries refer to files and functions, which nothing in them identifies.
    raise Unfingerprintable(type_name(type(value)))


def arrow_family(kind: type) -> Encoder | None:
    top = kind.__module__.partition(".")[0]
    table: list[tuple[type, Callable[[Walk, Any], bytes], bool]] = []
    if top == "pyarrow" and (pa := sys.modules.get("pyarrow")) is not None:
        if not hasattr(pa, "Table"):
            return None
        table = [
            (pa.Table, _table, False),
            (pa.RecordBatch, _table, False),
            (pa.Array, encode_arrow, False),
            (pa.ChunkedArray, encode_arrow, False),
            (pa.Scalar, _arrow_scalar, False),
            (pa.Schema, _schema, False),
            (pa.DataType, _named, False),
            (pa.Field, _named, False),
            (pa.Buffer, _buffer, True),
        ]
    elif top == "polars" and (pl := sys.modules.get("polars")) is not None:
        table = [
            (pl.DataFrame, _polars_frame, True),
            (pl.Series, _polars_series, True),
            (pl.LazyFrame, _refuse, False),
            (pl.Expr, _refuse, False),
        ]
    for base, encode, has_identity in table:
        if issubclass(kind, base):
            return Encoder(encode, has_identity)
    return Encoder(_refuse, has_identity=False) if top == "pyarrow" else None

"""Encoders of scalars, containers and the standard library's values, and of any other object."""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import logging
import pathlib
import re
import struct
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

from nbflow.errors import Unfingerprintable
from nbflow.results.fingerprint_bulk import BULK_SIZE, memory_digest, pickle_digest
from nbflow.results.fingerprint_walk import (
    EXACT,
    SCALARS,
    Encoder,
    Walk,
    encode_dict,
    type_name,
)

_INLINE_BYTES = 256
_pack_int = struct.Struct("<cq").pack
_pack_size = struct.Struct("<cQ").pack
_pack_float = struct.Struct("<cd").pack
_pack_complex = struct.Struct("<cdd").pack


def _int(value: int) -> bytes:
    if -(1 << 63) <= value < 1 << 63:
        return _pack_int(b"i", value)
    size = (value.bit_length() + 8) // 8
    return _pack_size(b"I", size) + value.to_bytes(size, "little", signed=True)


def _text(value: str) -> bytes:
    return b"u" + encode_bytes(value.encode("utf-8", "surrogatepass"))


def encode_bytes(value: Any) -> bytes:
    size = len(value)
    return _pack_size(b"b", size) + (value if size <= _INLINE_BYTES else memory_digest(value))


SCALARS.update(
    {
        type(None): lambda _: b"0",
        bool: lambda value: b"T" if value else b"F",
        int: _int,
        float: lambda value: _pack_float(b"f", value),
        complex: lambda value: _pack_complex(b"c", value.real, value.imag),
        str: _text,
        bytes: encode_bytes,
        type(...): lambda _: b".",
        type(NotImplemented): lambda _: b"!",
    }
)


# --- containers -----------------------------------------------------------------------------


def _sequence(tag: bytes) -> Callable[[Walk, Any], bytes]:
    def encode_sequence(walk: Walk, value: Any) -> bytes:
        if len(value) >= BULK_SIZE:
            whole = walk.bulk(value)
            if whole is not None:
                return b"B" + tag + whole
        encode = walk.encode
        return walk.node(tag, [encode(item) for item in value])

    return encode_sequence


def _dict(walk: Walk, value: dict[Any, Any]) -> bytes:
    if len(value) >= BULK_SIZE:
        whole = walk.bulk(value)
        if whole is not None:
            return b"Bd" + whole
    return encode_dict(walk, value)


def _set(tag: bytes) -> Callable[[Walk, Any], bytes]:
    def encode_set(walk: Walk, value: Any) -> bytes:
        if len(value) >= BULK_SIZE and set(map(type, value)) in ({str}, {int}, {bytes}):
            return b"B" + tag + pickle_digest(sorted(value))
        return walk.node(tag, walk.items(value))

    return encode_set


# --- the standard library -------------------------------------------------------------------


def _repr_of(tag: bytes) -> Callable[[Walk, Any], bytes]:
    return lambda walk, value: walk.several(tag, [type_name(type(value)), repr(value)])


def _datetime(walk: Walk, value: dt.datetime) -> bytes:
    zone = [type_name(type(value.tzinfo)), str(value.tzinfo), value.utcoffset()]
    return walk.several(b"D", [repr(value.replace(tzinfo=None)), *zone, value.fold])


def _time(walk: Walk, value: dt.time) -> bytes:
    zone = [type_name(type(value.tzinfo)), str(value.tzinfo)]
    return walk.several(b"D", [repr(value.replace(tzinfo=None)), *zone, value.fold])


def _zone(walk: Walk, value: zoneinfo.ZoneInfo) -> bytes:
    if value.key is None:
        raise Unfingerprintable(type_name(type(value)), "read from a file")
    return walk.several(b"Dz", [type_name(type(value)), value.key])


def _partial(walk: Walk, value: functools.partial[Any]) -> bytes:
    return walk.several(b"p", [value.func, value.args, value.keywords, vars(value)])


def _logger(walk: Walk, value: logging.Logger) -> bytes:
    if walk.counts_hidden:  # its level and handlers can change, and there is one of each name
        raise Unfingerprintable("logging.Logger")
    return walk.several(b"L", [value.name, value.level, value.disabled, value.propagate])


def _slice(walk: Walk, value: slice) -> bytes:
    return walk.several(b"r", ["slice", value.start, value.stop, value.step])


def _pattern(walk: Walk, value: re.Pattern[Any]) -> bytes:
    return walk.several(b"R", [value.pattern, value.flags])


def _path(walk: Walk, value: pathlib.PurePath) -> bytes:
    return walk.several(b"P", [type_name(type(value)), str(value)])


_VALUES: dict[type, Callable[[Walk, Any], bytes]] = {
    tuple: _sequence(b"t"),
    frozenset: _set(b"z"),
    range: _repr_of(b"r"),
    slice: _slice,
    types.MappingProxyType: lambda walk, value: walk.node(b"x", [encode_dict(walk, value)]),
    re.Pattern: _pattern,
    uuid.UUID: _repr_of(b"U"),
    decimal.Decimal: _repr_of(b"D"),
    dt.date: _repr_of(b"D"),
    dt.datetime: _datetime,
    dt.time: _time,
    dt.timedelta: _repr_of(b"D"),
    dt.timezone: _repr_of(b"D"),
    zoneinfo.ZoneInfo: _zone,
}
_OBJECTS: dict[type, Callable[[Walk, Any], bytes]] = {
    list: _sequence(b"l"),
    dict: _dict,
    set: _set(b"s"),
    bytearray: lambda walk, value: walk.node(b"a", [walk.memory(value), encode_bytes(value)]),
    functools.partial: _partial,
    logging.Logger: _logger,
}
EXACT.update({kind: Encoder(encode, has_identity=False) for kind, encode in _VALUES.items()})
EXACT.update({kind: Encoder(encode, has_identity=True) for kind, encode in _OBJECTS.items()})

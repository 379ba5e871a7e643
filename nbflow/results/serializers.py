"""How a result becomes bytes.

A serializer either makes one piece of bytes (`dumps`, `loads`), or data and raw buffers beside it
(`dump`, `load`), which are written and read without a copy.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from nbflow.model.specs import Serializer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import ReadableBuffer as Buffer

# Below it a buffer's place in the table costs more than its copy into the pickle.
_IN_BAND_BYTES = 512
_PACKED_BYTES = 64 << 10
# Values whose pickle depends on nothing but themselves, and that nobody compares by identity.
_PLAIN = frozenset({str, type(None), int, float, bool, bytes})
_PLAIN_SIZE = 64
_SAMPLES = 1_000


class BufferSerializer(Protocol):
    """Turns a result into data and raw buffers, and back.

    `load` is given writable buffers, in the order in which `dump` gave them; they stay valid as
    long as anything refers to them.
    """

    @property
    def name(self) -> str: ...
    def dump(self, value: Any) -> tuple[Buffer, Sequence[Buffer]]: ...
    def load(self, data: memoryview, buffers: Sequence[memoryview]) -> Any: ...


AnySerializer = Serializer | BufferSerializer


def dump(serializer: AnySerializer, value: Any) -> tuple[Buffer, Sequence[Buffer]]:
    """The value's data and buffers, in either protocol."""
    if hasattr(serializer, "dump"):
        return cast("BufferSerializer", serializer).dump(value)
    return serializer.dumps(value), ()


def load(serializer: AnySerializer, data: memoryview, buffers: Sequence[memoryview]) -> Any:
    """The value of what `dump` gave."""
    if hasattr(serializer, "load"):
        return cast("BufferSerializer", serializer).load(data, buffers)
    return serializer.loads(bytes(data))


@dataclass(frozen=True)
class PickleSerializer:
    """cloudpickle, protocol 5: nearly any value, functions and classes of notebooks too.

    The memory of arrays goes out of band, so that it is neither copied nor read where it is not
    needed.
    """

    name: str = "pickle"

    def dump(self, value: Any) -> tuple[Buffer, Sequence[Buffer]]:
        buffers: list[memoryview] = []

        def in_band(buffer: pickle.PickleBuffer) -> bool:
            raw = buffer.raw()
            if raw.nbytes >= _IN_BAND_BYTES:
                buffers.append(raw)
                return False
            return True

        file = io.BytesIO()
        _pickler()(file, protocol=5, buffer_callback=in_band).dump(value)
        return file.getbuffer(), buffers

    def load(self, data: Buffer, buffers: Sequence[Buffer]) -> Any:
        """Call it only with what this user's nbflow has written."""
        return pickle.loads(data, buffers=buffers)

    def dumps(self, value: Any) -> bytes:
        import cloudpickle

        data: bytes = cloudpickle.dumps(value, protocol=5)
        return data

    def loads(self, data: bytes) -> Any:
        return self.load(data, ())


@lru_cache(maxsize=1)
def _pickler() -> Any:
    """The pickler's class; cloudpickle is imported when it is first needed."""
    import cloudpickle

    class ArrayPickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            kind = type(value)
            if kind.__module__ == "numpy":
                numpy = sys.modules["numpy"]
                if kind is numpy.ndarray:
                    return _reduce_array(value)
                if kind is numpy.memmap:  # its file may be gone, or another one, by then
                    return numpy.array(value, subok=False, order="K").__reduce_ex__(5)
            return super().reducer_override(value)

    return ArrayPickler


def _reduce_array(array: Any) -> Any:
    flags = array.flags
    contiguous = flags.c_contiguous or flags.f_contiguous
    if array.dtype.hasobject:
        if array.dtype.kind == "O" and contiguous and array.size > _PLAIN_SIZE:
            order = "C" if flags.c_contiguous else "F"
            values = array.ravel(order).tolist()
            if _are_plain(values):
                packed = pickle.PickleBuffer(_pack_plain(values))
                return _unpack_plain, (packed, array.shape, order)
        return NotImplemented
    if not contiguous and array.nbytes > _PACKED_BYTES:
        packed_array = array.copy(order="C")
        return _reduce_times(packed_array) or packed_array.__reduce_ex__(5)
    return _reduce_times(array) or NotImplemented


def _reduce_times(array: Any) -> Any:
    """The buffer protocol knows no times, so numpy would copy them into the pickle."""
    if array.dtype.kind in "mM" and array.nbytes >= _IN_BAND_BYTES:
        return _as_times, (array.view("i8"), array.dtype)
    return None


def _as_times(numbers: Any, dtype: Any) -> Any:
    return numbers.view(dtype)


def _are_plain(values: list[Any]) -> bool:
    """Whether they are plain, and not few values many times: the memo keeps such as few."""
    if not set(map(type, values)) <= _PLAIN:
        return False
    samples = values[:: max(1, len(values) // _SAMPLES)]
    return len(set(map(id, samples))) > len(samples) // 2


def _pack_plain(values: list[Any]) -> memoryview:
    """A pickle without a memo: ten times as fast for strings."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5)
    pickler.fast = True
    pickler.dump(values)
    return file.getbuffer()


def _unpack_plain(packed: Buffer, shape: tuple[int, ...], order: Any) -> Any:
    import numpy as np

    array = np.empty(shape, dtype=object, order=order)
    array.ravel("K")[:] = _PlainUnpickler(io.BytesIO(packed)).load()
    return array


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain values and nothing else.

    The buffers lie outside of the signature: with their check switched off, nothing that somebody
    put there may name a function.
    """

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} among plain values")


@dataclass(frozen=True)
class JSONSerializer:
    """JSON: readable by other programs; only what JSON knows."""

    name: str = "json"

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


@dataclass(frozen=True)
class CompressedSerializer:
    """Another serializer's bytes, compressed with zlib."""

    serializer: Serializer = field(default_factory=PickleSerializer)

    @property
    def name(self) -> str:
        return f"compressed/{self.serializer.name}"

    def dumps(self, value: Any) -> bytes:
        return zlib.compress(self.serializer.dumps(value))

    def loads(self, data: bytes) -> Any:
        return self.serializer.loads(zlib.decompress(data))


_PICKLE, _JSON = PickleSerializer(), JSONSerializer()
NAMED: dict[str, Serializer] = {
    serializer.name: serializer
    for serializer in (_PICKLE, _JSON, CompressedSerializer(_PICKLE), CompressedSerializer(_JSON))
}

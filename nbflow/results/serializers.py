"""How a result becomes bytes."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

from nbflow.model.specs import Serializer


@dataclass(frozen=True)
class PickleSerializer:
    """cloudpickle, protocol 5: nearly any value, functions and classes of notebooks too."""

    name: str = "pickle"

    def dumps(self, value: Any) -> bytes:
        import cloudpickle

        data: bytes = cloudpickle.dumps(value, protocol=5)
        return data

    def loads(self, data: bytes) -> Any:
        import pickle

        return pickle.loads(data)


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

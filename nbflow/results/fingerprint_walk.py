"""How a value is walked for its digest: which encoder is for which type, and what was met before.

An encoding is bytes that no other value has: scalars whole, everything else a tag and one digest
of its parts. The modules `fingerprint_*` put their encoders into the tables here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import xxhash

from nbflow.errors import Unfingerprintable

digest = xxhash.xxh3_128_digest


class Encoder(NamedTuple):
    """How values of one type are encoded.

    Attributes:
        encode: Called with the walk and the value.
        has_identity: Whether it can be told from an equal one by changing it.
    """

    encode: Callable[[Walk, Any], bytes]
    has_identity: bool


SCALARS: dict[type, Callable[[Any], bytes]] = {}
EXACT: dict[type, Encoder] = {}
# Asked in order, the first that knows the type (by base class or module) decides.
FAMILIES: list[Callable[[type], Encoder | None]] = []


class Walk(ABC):
    """One pass over values. What differs is how it treats what it meets a second time."""

    # Whether contents that no attribute shows (those of `lru_cache`) count.
    counts_hidden = False

    def __init__(self) -> None:
        self._found: dict[type, Encoder] = {}

    @abstractmethod
    def encode(self, value: Any) -> bytes:
        """An encoding of `value` that no other value has.

        Raises:
            Unfingerprintable: It, or something inside, has no sure digest.
        """

    @abstractmethod
    def items(self, values: Iterable[Any]) -> list[bytes]:
        """Encodings of the items of a set: sorted, and independent of the order of `values`."""

    @abstractmethod
    def bulk(self, value: Any) -> bytes | None:
        """The encoding of a large container of plain values made in one go, where that is sure."""

    @abstractmethod
    def globals_of(self, fn: FunctionType) -> bytes:
        """What stands for the globals that a user's function uses."""

    @abstractmethod
    def module(self, module: ModuleType) -> bytes:
        """What stands for a module of the user's that is a value."""

    def memory(self, array: Any) -> bytes:
        """What stands for the memory an array uses, apart from what is in it."""
        return b""

    @abstractmethod
    def note_code(self, fn: FunctionType) -> None:
        """A user's function was reached."""

    def node(self, tag: bytes, parts: Iterable[bytes]) -> bytes:
        """A container: its tag and one digest of its parts, with the length of each."""
        parts = list(parts)
        lengths = array("Q", map(len, parts))
        return tag + digest(b"%d:%b%b" % (len(parts), lengths.tobytes(), b"".join(parts)))

    def several(self, tag: bytes, values: Iterable[Any]) -> bytes:
        encode = self.encode
        return self.node(tag, [encode(value) for value in values])

    def find(self, kind: type) -> Encoder:
        """The encoder of a type that is not in the tables under itself."""
        found = next((found for ask in FAMILIES if (found := ask(kind)) is not None), None)
        if found is None:
            raise Unfingerprintable(type_name(kind))
        self._found[kind] = found
        return found


def as_refusal(error: Exception, value: object) -> Exception:
    """What a walk raises where encoding `value` raised `error`."""
    if isinstance(error, Unfingerprintable | MemoryError):
        return error
    if isinstance(error, RecursionError):
        return Unfingerprintable(type_name(type(value)), "nested too deeply")
    return Unfingerprintable(type_name(type(value)), f"{type(error).__name__} while reading it")


def encode_dict(walk: Walk, value: Mapping[Any, Any]) -> bytes:
    # In insertion order: that is visible to whoever iterates.
    encode = walk.encode
    return walk.node(b"d", [encode(part) for pair in value.items() for part in pair])


def type_name(thing: Any) -> str:
    module = getattr(thing, "__module__", "")
    return f"{module}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"

"""The walk that counts what values hold, for the inputs of tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any

from nbflow.results.fingerprint_bulk import is_plain_and_flat, pickle_digest
from nbflow.results.fingerprint_code import is_library_module, names_in, version_of
from nbflow.results.fingerprint_imports import imported_files
from nbflow.results.fingerprint_walk import EXACT, SCALARS, Walk, as_refusal

# A container with fewer parts than this is walked again where it appears again.
_WORTH_KEEPING = 64
# These are few, and appear again in each of thousands of instances.
_DEFINITIONS = (type, FunctionType)


class ContentWalk(Walk):
    """Counts what a value holds, not which of its parts are one object.

    It remembers what it is inside of, so that cycles end, and what it has seen, so that shared
    parts are walked once: without that, 20 functions that call each other would take for ever.
    """

    def __init__(self) -> None:
        super().__init__()
        self._inside: dict[Any, int] = {}
        self._kept: list[Any] = []  # objects whose ids are known here: they must stay theirs
        self._n_walked = 0
        self._n_back = 0  # references to something that was walked before, so far
        self._whole: dict[Any, bytes] = {}  # encodings without any reference
        self._numbers: dict[Any, int] = {}  # of what has such references inside, in order

    def encode(self, value: Any) -> bytes:
        kind = type(value)
        scalar = SCALARS.get(kind)
        if scalar is not None:
            return scalar(value)
        encoder = EXACT.get(kind) or self._found.get(kind) or self.find(kind)
        return self.once(id(value), value, encoder.encode)

    def once(self, key: Any, value: Any, encode: Callable[[Walk, Any], bytes]) -> bytes:
        """The encoding of what `key` stands for: made by `encode`, unless it was met before."""
        if key in self._whole:
            return self._whole[key]
        if key in self._inside:
            # How far up the cycle leads is part of the value's shape.
            self._n_back += 1
            return b"^" + str(len(self._inside) - self._inside[key]).encode()
        if key in self._numbers:
            self._n_back += 1
            return b"@" + str(self._numbers[key]).encode()
        self._inside[key] = len(self._inside)
        self._n_walked += 1
        n_walked, n_back = self._n_walked, self._n_back
        try:
            encoding = encode(self, value)
        except Exception as error:
            raise as_refusal(error, value) from None
        finally:
            del self._inside[key]
        if self._n_back > n_back:
            self._numbers[key] = len(self._numbers)
            self._kept.append(value)
        elif self._n_walked - n_walked >= _WORTH_KEEPING or issubclass(type(value), _DEFINITIONS):
            self._whole[key] = encoding
            self._kept.append(value)
        return encoding

    def items(self, values: Iterable[Any]) -> list[bytes]:
        known, parts = self._numbers, []
        for item in values:  # in no order, so no item may depend on what was met in another
            scalar = SCALARS.get(type(item))
            if scalar is not None:
                parts.append(scalar(item))
                continue
            self._numbers = dict(known)
            parts.append(self.encode(item))
        self._numbers = known
        return sorted(parts)

    def bulk(self, value: Any) -> bytes | None:
        return pickle_digest(value) if is_plain_and_flat(value) else None

    def globals_of(self, fn: FunctionType) -> bytes:
        """The values of the globals that the function names, and what it imports itself."""
        parts = self._used(fn.__globals__, names_in(fn.__code__))
        package = fn.__globals__.get("__package__") or ""
        for name, digest in sorted(imported_files(fn.__code__, package).items()):
            parts += (name.encode(), digest.encode())
        return self.node(b"Fu", parts)

    def note_code(self, fn: FunctionType) -> None:
        """Nobody asks this walk which functions it reached."""

    def module(self, module: ModuleType) -> bytes:
        return self.several(b"M", [module.__name__, version_of(module.__name__)])

    def _used(self, namespace: dict[str, Any], names: frozenset[str]) -> list[bytes]:
        parts = []
        for name in sorted(names.intersection(namespace)):
            value = namespace[name]
            parts.append(name.encode())
            if issubclass(type(value), ModuleType) and not is_library_module(value.__name__):
                parts.append(self._reached(value, names))
            else:
                parts.append(self.encode(value))
        return parts

    def _reached(self, module: ModuleType, names: frozenset[str]) -> bytes:
        """A module of the user's counts by what code uses of it, under any of `names`."""

        def encode(_: Walk, module: ModuleType) -> bytes:
            parts = [module.__name__.encode(), *self._used(vars(module), names)]
            return self.node(b"Mu", parts)

        # Modules may import each other: the pair ends the cycle.
        return self.once((id(module), names), module, encode)

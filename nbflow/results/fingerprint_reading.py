"""Digests of several variables of a notebook, in which it shows what they share."""

from __future__ import annotations

import bisect
import builtins
import hashlib
import itertools
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import _lru_cache_wrapper
from typing import Any

from nbflow.errors import Unfingerprintable
from nbflow.results.fingerprint_arrays import extent, memory_root
from nbflow.results.fingerprint_bulk import (
    CONTAINERS,
    LEAVES,
    MUTABLE,
    parts_of,
    pickle_digest,
)
from nbflow.results.fingerprint_code import globals_read, is_library, names_in
from nbflow.results.fingerprint_walk import EXACT, SCALARS, Walk, as_refusal, type_name

_DIGEST_BYTES = 16
_VERSION = b"nbflow-name-1"
# What is known by name, where it is bound under its own.
_DEFINITIONS = (types.FunctionType, type, _lru_cache_wrapper)
# Containers deeper or larger than this are walked part by part.
_BULK_LEVELS = 16
_BULK_PARTS = 20_000_000
_WORTH_KEEPING = 64


@dataclass(slots=True)
class Reading:
    """What `read_names` found.

    Attributes:
        digests: Of each name that was reached and is bound: 32 hex digits. Names that share
            objects refer to each other, so that only all of them together tell everything.
        missing: Names that were asked for, or are used by functions that were reached, and are
            bound neither in the namespace nor as builtins.
        nodes: Of each name, the objects first met under it that can be told from equal ones.
            Where digests are equal, number n is the same place in any process. An array takes
            two numbers: its own, and one for the array that owns exactly its memory (mostly
            itself, too).
        unordered: Such objects that were met inside sets only, by id: they have no number.
        refs: Of each name, the other names whose nodes it refers to.
        codes: Of every function of the user's that was reached, once; code inside it is not listed.
        refused: Names whose value has no sure digest; they have none, and no nodes.
    """

    digests: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    nodes: dict[str, list[Any]] = field(default_factory=dict)
    unordered: dict[int, Any] = field(default_factory=dict)
    refs: dict[str, set[str]] = field(default_factory=dict)
    codes: list[types.CodeType] = field(default_factory=list)
    refused: dict[str, Unfingerprintable] = field(default_factory=dict)

    def node_ids(self) -> dict[int, tuple[str, int]]:
        """The name and number of each node, by its id."""
        found: dict[int, tuple[str, int]] = {}
        for name, nodes in self.nodes.items():
            for number, node in enumerate(nodes):
                found.setdefault(id(node), (name, number))
        return found


def read_names(
    names: Iterable[str], namespace: dict[str, Any], *, home: dict[str, Any] | None = None
) -> Reading:
    """Walk variables of a notebook, and those that its functions use, into digests.

    Functions of the notebook count by code and by the names of the globals they use; these names
    are then walked as well, in sorted order after those that were asked for in theirs. The order
    decides under which name an object that several share is met first.

    Args:
        namespace: Where names are looked up.
        home: The globals of the notebook's functions, if that is not `namespace` itself.
    """
    reading = Reading()
    walk = NotebookWalk(namespace, namespace if home is None else home, reading)
    missing: set[str] = set()
    seen: set[str] = set()
    level = list(dict.fromkeys(names))
    while level:
        seen.update(level)
        for name in level:
            if name in namespace:
                walk.read(name)
            elif name not in vars(builtins):
                missing.add(name)
        level = sorted(walk.wanted - seen)
    reading.missing = tuple(sorted(missing))
    return reading


@dataclass(frozen=True, slots=True)
class _Region:
    """Memory that arrays use.

    Attributes:
        number: Of its first array, among all that were met.
        begin: The address of that array's first byte.
        strides: Of that array: they show only where another shares its memory.
        name: Under which that array was met; None: inside a set.
    """

    start: int
    stop: int
    number: int
    begin: int
    strides: tuple[int, ...]
    name: str | None


@dataclass(frozen=True, slots=True)
class _Mark:
    """How far a walk had come."""

    n_nodes: int
    n_unordered: int
    modules: frozenset[int]
    regions: tuple[_Region, ...]
    n_regions: int
    in_set: dict[int, int] | None


class NotebookWalk(Walk):
    """Counts which parts are one object: what was met before is written as a reference."""

    counts_hidden = True

    def __init__(self, namespace: dict[str, Any], home: dict[str, Any], reading: Reading) -> None:
        super().__init__()
        self._namespace = namespace
        self._home = home
        self._reading = reading
        self.wanted: set[str] = set()
        self._name = ""
        self._nodes: list[Any] = []
        self._places: dict[int, tuple[str, int]] = {}
        self._bare: set[int] = set()  # ids of owners of memory whose content was not walked
        self._regions: list[_Region] = []
        self._n_regions = 0
        self._in_set: dict[int, int] | None = None  # numbers within one item of a set
        self._modules: set[int] = set()  # ids of modules that were walked
        self._open: set[int] = set()  # ids of the globals of modules being walked
        self._values: dict[int, bytes] = {}  # encodings of what holds nothing met first in it
        self._kept: list[Any] = []  # what the keys of `_values` are ids of
        self._n_walked = 0
        self._n_new = 0
        self._codes: set[types.CodeType] = set()

    def read(self, name: str) -> None:
        """Walk one variable into the reading."""
        reading, value = self._reading, self._namespace[name]
        self._name = name
        self._nodes = reading.nodes[name] = []
        reading.refs[name] = set()
        mark = self._mark()
        try:
            encoding = self.encode(value)
        except Exception as error:
            refused = as_refusal(error, value)
            if not isinstance(refused, Unfingerprintable):
                raise
            # Without what it came from, whose frames would keep the value alive.
            refused.__cause__ = refused.__context__ = None
            reading.refused[name] = refused.with_traceback(None)
            self._undo(mark)
        else:
            whole = hashlib.blake2b(_VERSION + encoding, digest_size=_DIGEST_BYTES)
            reading.digests[name] = whole.hexdigest()

    def encode(self, value: Any) -> bytes:
        kind = type(value)
        scalar = SCALARS.get(kind)
        if scalar is not None:
            return scalar(value)
        encoder = EXACT.get(kind) or self._found.get(kind) or self.find(kind)
        key = id(value)
        prefix = b""
        if encoder.has_identity:
            known = self._known(key, kind, value)
            if known is not None:
                if key not in self._bare:
                    return known
                # The owner of memory that an array was seen to use: its content is new.
                self._bare.discard(key)
                self._n_new += 1
                prefix = b"=" + known
            elif not (issubclass(kind, _DEFINITIONS) and is_library(value)):
                self._register(value)
        elif key in self._values:
            return self._values[key]
        n_new, n_walked = self._n_new, self._n_walked
        self._n_walked += 1
        try:
            encoding = prefix + encoder.encode(self, value)
        except Exception as error:
            raise as_refusal(error, value) from None
        if (
            not encoder.has_identity
            and self._n_new == n_new
            and self._n_walked - n_walked > _WORTH_KEEPING
            and self._in_set is None
        ):
            self._values[key] = encoding
            self._kept.append(value)
        return encoding

    # --- places -------------------------------------------------------------------------------

    def _known(self, key: int, kind: type, value: Any) -> bytes | None:
        """What stands for an object that was met, or has a name of its own."""
        place = self._places.get(key)
        if place is not None:
            self._refer(place[0])
            return b"&" + f"{place[0]}:{place[1]}".encode() + b"\0"
        if key in self._reading.unordered:
            if self._in_set is None or key not in self._in_set:
                raise Unfingerprintable(type_name(type(value)), "shared by an item of a set")
            return b"%" + str(self._in_set[key]).encode() + b"\0"
        if issubclass(kind, _DEFINITIONS):
            name = str(getattr(value, "__name__", ""))
            is_named = bool(name) and name != self._name
            if is_named and self._namespace.get(name) is value and not is_library(value):
                self.wanted.add(name)
                self._refer(name)
                return b"$" + name.encode() + b"\0"
        if value is self._namespace or value is self._home:
            raise Unfingerprintable("dict", "it is the notebook's namespace")
        return None

    def _register(self, value: Any) -> None:
        self._n_new += 1
        if self._in_set is None:
            self._places[id(value)] = (self._name, len(self._nodes))
            self._nodes.append(value)
        else:
            self._in_set[id(value)] = len(self._in_set)
            self._reading.unordered[id(value)] = value

    def _refer(self, name: str) -> None:
        if name != self._name:
            self._reading.refs[self._name].add(name)

    def _mark(self) -> _Mark:
        return _Mark(
            len(self._nodes),
            len(self._reading.unordered),
            frozenset(self._modules),
            tuple(self._regions),
            self._n_regions,
            self._in_set,
        )

    def _undo(self, mark: _Mark) -> None:
        """Forget what was met since: places must not depend on what has no digest."""
        for node in self._nodes[mark.n_nodes :]:
            name, number = self._places.get(id(node), ("", -1))
            if name == self._name and number >= mark.n_nodes:
                del self._places[id(node)]
                self._bare.discard(id(node))
        del self._nodes[mark.n_nodes :]
        while len(self._reading.unordered) > mark.n_unordered:
            self._reading.unordered.popitem()
        self._modules = set(mark.modules)
        self._regions = list(mark.regions)
        self._n_regions = mark.n_regions
        self._in_set = mark.in_set
        self._values.clear()

    # --- sets ---------------------------------------------------------------------------------

    def items(self, values: Iterable[Any]) -> list[bytes]:
        outer, parts = self._in_set, []
        for item in values:
            scalar = SCALARS.get(type(item))
            if scalar is not None:
                parts.append(scalar(item))
                continue
            self._in_set = {}
            parts.append(self.encode(item))
        self._in_set = outer
        return sorted(parts)

    # --- large containers ---------------------------------------------------------------------

    def bulk(self, value: Any) -> bytes | None:
        """Each list and dict inside becomes a node, level by level, if none was met before."""
        if self._in_set is not None:
            return None
        fresh: list[Any] = []
        parts = parts_of([value])
        n_parts = len(parts)
        for _ in range(_BULK_LEVELS):
            kinds = set(map(type, parts))
            if kinds <= LEAVES:
                return pickle_digest(value) if self._register_all(fresh) else None
            if not kinds <= LEAVES | CONTAINERS or n_parts > _BULK_PARTS:
                return None
            inner = [part for part in parts if type(part) in CONTAINERS]
            fresh += [part for part in inner if type(part) in MUTABLE]
            if len(set(map(id, fresh))) < len(fresh):
                return None
            parts = parts_of(inner)
            n_parts += len(parts)
        return None

    def _register_all(self, fresh: list[Any]) -> bool:
        ids = list(map(id, fresh))
        known = self._places.keys(), self._reading.unordered.keys()
        if not all(met.isdisjoint(ids) for met in known):
            return False
        places = zip(itertools.repeat(self._name), itertools.count(len(self._nodes)), strict=False)
        self._places.update(zip(ids, places, strict=False))
        self._nodes += fresh
        self._n_new += len(fresh)
        return True

    # --- functions and modules ----------------------------------------------------------------

    def globals_of(self, fn: types.FunctionType) -> bytes:
        """The notebook's functions: by names. Others: by the values of the globals they use."""
        if fn.__globals__ is self._home:
            names = sorted(globals_read(fn.__code__))
            self.wanted.update(names)
            return self.several(b"Fn", names)
        used = sorted(names_in(fn.__code__).intersection(fn.__globals__))
        encode = self._tolerant if id(fn.__globals__) in self._open else self.encode
        parts = [part for name in used for part in (name.encode(), encode(fn.__globals__[name]))]
        return self.node(b"Fu", parts)

    def note_code(self, fn: types.FunctionType) -> None:
        if fn.__code__ not in self._codes:
            self._codes.add(fn.__code__)
            self._reading.codes.append(fn.__code__)

    def module(self, module: types.ModuleType) -> bytes:
        """By its name and all its globals that have a digest; once."""
        contents = vars(module)
        if contents is self._namespace or contents is self._home:
            raise Unfingerprintable("module", "it is the notebook's namespace")
        if id(module) in self._modules:
            return b"M@" + module.__name__.encode() + b"\0"
        self._modules.add(id(module))
        self._n_new += 1
        self._open.add(id(contents))
        parts = [module.__name__.encode()]
        try:
            for name in sorted(name for name in contents if not name.startswith("__")):
                parts += [name.encode(), self._tolerant(contents[name])]
        finally:
            self._open.discard(id(contents))
        return self.node(b"Mu", parts)

    def _tolerant(self, value: Any) -> bytes:
        """The encoding, or where there is none the type."""
        mark = self._mark()
        try:
            return self.encode(value)
        except Unfingerprintable:
            self._undo(mark)
            return b"?" + type_name(type(value)).encode() + b"\0"

    # --- memory -------------------------------------------------------------------------------

    def memory(self, value: Any) -> bytes:
        """Which memory an array shares with one that was met before, and where in it.

        Two arrays share memory where the ranges of their addresses overlap. An array that shares
        none is like its copy: what else the owner of its memory holds cannot be seen in it.
        """
        array, is_node = value, False
        if isinstance(value, bytearray):
            np = sys.modules.get("numpy")
            if np is None or not value:
                return b""
            array = np.frombuffer(value, "u1")
        elif self._in_set is None and self._nodes:
            is_node = self._nodes[-1] is value
        parts: list[Any] = [array.flags.writeable]
        owner = array
        if array.nbytes:
            start, stop = extent(array)
            shared = self._overlapping(start, stop)
            for region in shared:
                if region.name is None or self._in_set is not None:
                    raise Unfingerprintable("numpy.ndarray", "shared by an item of a set")
                self._refer(region.name)
                parts += [region.number, start - region.begin, region.strides]
            if shared:
                parts.append(array.strides)
            self._claim(start, stop, array.strides, shared)
            owner = self._owner(array, memory_root(array), start, stop)
        if is_node:
            self._nodes.append(owner)
            if owner is not array:
                self._places[id(owner)] = (self._name, len(self._nodes) - 1)
                self._bare.add(id(owner))
        return b"V" + repr(parts).encode()

    def _owner(self, array: Any, root: Any, start: int, stop: int) -> Any:
        """The owner of an array's memory if that is all of it, otherwise the array."""
        if root is array or id(root) in self._places or id(root) in self._reading.unordered:
            return array
        if isinstance(root, bytearray):
            is_whole = len(root) == stop - start
        else:
            is_whole = extent(root) == (start, stop)
        return root if is_whole else array

    def _overlapping(self, start: int, stop: int) -> list[_Region]:
        first = bisect.bisect_right(self._regions, start, key=lambda region: region.stop)
        later = itertools.islice(self._regions, first, None)
        return list(itertools.takewhile(lambda region: region.start < stop, later))

    def _claim(
        self, start: int, stop: int, strides: tuple[int, ...], shared: list[_Region]
    ) -> None:
        """Remember a range, merged with those it overlaps: regions do not overlap each other."""
        name = self._name if self._in_set is None else None
        region = _Region(start, stop, self._n_regions, start, strides, name)
        at = bisect.bisect_left(self._regions, start, key=lambda region: region.start)
        self._n_regions += 1
        if shared:
            first = min(shared, key=lambda region: region.number)
            at = bisect.bisect_left(self._regions, shared[0].start, key=lambda one: one.start)
            region = replace(
                first, start=min(start, shared[0].start), stop=max(stop, shared[-1].stop)
            )
        self._regions[at : at + len(shared)] = [region]

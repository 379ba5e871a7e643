"""Digests of large memory and of large containers of plain values, at the speed of C."""

from __future__ import annotations

import gc
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import xxhash

from nbflow.results.fingerprint_walk import digest

LEAF_BYTES = 4 << 20
N_THREADS = 4
# From here on a few threads are started for a digest: they cost 0.1 ms, 16 MB take 1.5 ms.
_PARALLEL_BYTES = 16 << 20

# Values that have no parts, whose pickle depends on nothing but type and value.
LEAVES = frozenset({int, float, str, bytes, bool, type(None)})
CONTAINERS = frozenset({list, tuple, dict})
MUTABLE = frozenset({list, dict})
# Containers of this size on are worth a look at all their parts.
BULK_SIZE = 64


def memory_digest(buffer: Any, *, alone: bool = False) -> bytes:
    """16 bytes for a C-contiguous buffer; the same however many threads there are.

    Args:
        alone: Read it in this thread only.
    """
    view = memoryview(buffer)
    if view.nbytes <= LEAF_BYTES:
        return digest(view)
    view = view.cast("B")
    n_bytes = view.nbytes
    leaves = [view[start : start + LEAF_BYTES] for start in range(0, n_bytes, LEAF_BYTES)]
    work: Callable[[Any], bytes] = digest
    return tree_digest(n_bytes, in_threads(work, leaves, 0 if alone else n_bytes))


def tree_digest(n_bytes: int, leaves: Iterable[bytes]) -> bytes:
    """The digest of memory of more than one leaf, from those of its leaves."""
    return digest(b"T" + n_bytes.to_bytes(8, "little") + b"".join(leaves))


def in_threads(work: Callable[[Any], Any], items: Sequence[Any], n_bytes: int) -> list[Any]:
    """`work` of each item, in order; by several threads if there are many bytes to read.

    The threads end with the call: none is left that a fork or the interpreter's end could break.
    """
    if n_bytes < _PARALLEL_BYTES or len(items) < 2:
        return [work(item) for item in items]
    results: list[Any] = [None] * len(items)
    queue = deque(enumerate(items))
    errors: list[BaseException] = []

    def drain() -> None:
        try:
            while queue and not errors:
                n, item = queue.popleft()
                results[n] = work(item)
        except IndexError:  # another thread took the last one
            return
        except BaseException as error:
            errors.append(error)

    threads = []
    for _ in range(min(N_THREADS, len(items)) - 1):
        thread = threading.Thread(target=drain, name="nbflow-digest", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # at the interpreter's end no thread starts: then alone
            break
        threads.append(thread)
    drain()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


class _Sink:
    __slots__ = ("write",)

    def __init__(self, write: Callable[[Any], None]) -> None:
        self.write = write


def pickle_digest(value: Any) -> bytes:
    """A digest of plain values: leaves, and lists, tuples and dicts of them.

    The pickler's `fast` mode writes the same for one object in two places as for two equal ones.
    """
    hasher = xxhash.xxh3_128()
    pickler = pickle.Pickler(_Sink(hasher.update), 5)
    pickler.fast = True
    pickler.dump(value)
    return hasher.digest()


def parts_of(containers: Iterable[Any]) -> list[Any]:
    """What exact lists, tuples and dicts hold, in an order that depends on nothing else.

    Keys that are texts are left out: the collector, which finds the parts at the speed of C, does
    not visit them.
    """
    return gc.get_referents(*containers)


def is_plain_and_flat(value: Any) -> bool:
    """Whether it holds only leaves and small containers of leaves.

    Decided by content alone, and small, so that parts that are shared cost no more than others.
    """
    parts = parts_of([value])
    for _ in range(2):
        kinds = set(map(type, parts))
        if kinds <= LEAVES:
            return True
        if not kinds <= LEAVES | CONTAINERS:
            return False
        inner = [part for part in parts if type(part) in CONTAINERS]
        if max(map(len, inner)) >= BULK_SIZE:
            return False
        parts = parts_of(inner)
    return set(map(type, parts)) <= LEAVES

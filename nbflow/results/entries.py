"""The form of a kept result: a header, a serializer's data, and a table of raw buffers.

    magic 6 | name length 2 | data length 8 | entry length 8 | number of buffers 4 | MAC 32
    name | per buffer: offset 8, length 8 | per leaf of all buffers: digest 16 | data | buffers

All but the buffers is covered by a MAC with the user's key, which is checked before a serializer
sees a byte. The buffers are covered by the digests of their leaves: those are read at the speed of
memory, and what is in a buffer is never executed, so a keyed digest would gain nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pickle import PickleBuffer
from typing import TYPE_CHECKING

import xxhash

from nbflow.errors import ResultUnreadable
from nbflow.results.fingerprint_bulk import in_threads
from nbflow.results.signing import MAC_BYTES, Signer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_MAGIC = b"NBFR2\n"
_FIXED = struct.Struct("<6sHQQI")
_HEAD_BYTES = _FIXED.size + MAC_BYTES
_DIGEST_BYTES = 16
_LEAF_BYTES = 2 << 20
_PAGE_BYTES = 4096
# Smaller buffers share pages: a table of a thousand short columns must not take 4 MB.
_OWN_PAGE_BYTES = 64 << 10
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """An intact entry.

    Attributes:
        name: Of the serializer that wrote it.
        data: What the serializer made, but for the buffers.
        buffers: Writable if the memory is that the entry lies in.
    """

    name: str
    data: memoryview
    buffers: list[memoryview]


class Draft:
    """An entry to be written. Holds views of the caller's buffers, not copies.

    Attributes:
        body: The padding and the buffers, in the order they come in after the head.
        head_bytes: Where the body begins.
        size_bytes: Of the whole entry.
    """

    def __init__(self, name: str, data: Buffer, buffers: Sequence[Buffer]) -> None:
        self._name = name.encode()
        self._data = memoryview(data).cast("B")
        self._views = [PickleBuffer(buffer).raw() for buffer in buffers]
        n_leaves = sum(-(-view.nbytes // _LEAF_BYTES) for view in self._views)
        table_bytes = 16 * len(self._views) + _DIGEST_BYTES * n_leaves
        self.head_bytes = _HEAD_BYTES + len(self._name) + table_bytes + self._data.nbytes
        self.body: list[bytes | memoryview] = []
        self._places: list[int] = []
        at = self.head_bytes
        for view in self._views:
            padding = -at % (_PAGE_BYTES if view.nbytes >= _OWN_PAGE_BYTES else _ALIGNMENT)
            self.body += (bytes(padding), view)
            at += padding
            self._places += (at, view.nbytes)
            at += view.nbytes
        self.size_bytes = at

    def digests(self) -> bytes:
        """The digests of all leaves; may use several threads."""
        return b"".join(_digests(self._views))

    def head(self, signer: Signer, purpose: str, digests: bytes) -> list[bytes | memoryview]:
        """What comes before the body."""
        fixed = _FIXED.pack(
            _MAGIC, len(self._name), self._data.nbytes, self.size_bytes, len(self._views)
        )
        table = struct.pack(f"<{len(self._places)}Q", *self._places)
        rest = self._name + table + digests
        return [fixed + signer.mac(purpose, fixed, rest, self._data) + rest, self._data]

    def whole(self, signer: Signer, purpose: str) -> bytes:
        """The entry in one piece."""
        return b"".join([*self.head(signer, purpose, self.digests()), *self.body])


def open_entry(signer: Signer, purpose: str, entry: Buffer, *, verify_buffers: bool) -> Entry:
    """Check an entry and take it apart, without a copy.

    Args:
        verify_buffers: Whether the buffers are read and compared with their digests too.

    Raises:
        ResultUnreadable: It is not an entry, is damaged, or another key or purpose made it.
    """
    view = memoryview(entry)
    if view.nbytes < _HEAD_BYTES:
        raise _damaged(purpose)
    magic, n_name, n_data, n_entry, n_buffers = _FIXED.unpack_from(view)
    table_at = _HEAD_BYTES + n_name
    digests_at = table_at + 16 * n_buffers
    if magic != _MAGIC or n_entry != view.nbytes or digests_at + n_data > n_entry:
        raise _damaged(purpose)
    places = struct.unpack_from(f"<{2 * n_buffers}Q", view, table_at)
    n_leaves = sum(-(-n // _LEAF_BYTES) for n in places[1::2])
    data_at = digests_at + _DIGEST_BYTES * n_leaves
    end = data_at + n_data
    if end > n_entry:
        raise _damaged(purpose)
    signer.check(
        purpose, view[_FIXED.size : _HEAD_BYTES], view[: _FIXED.size], view[_HEAD_BYTES:end]
    )
    buffers = [view[at : at + n] for at, n in zip(places[::2], places[1::2], strict=True)]
    if verify_buffers and buffers and b"".join(_digests(buffers)) != view[digests_at:data_at]:
        raise _damaged(purpose)
    return Entry(str(view[_HEAD_BYTES:table_at], "utf-8"), view[data_at:end], buffers)


def _digests(views: Iterable[memoryview]) -> list[bytes]:
    leaves, n_bytes = list[memoryview](), 0
    for view in views:
        cuts = [*range(0, view.nbytes, _LEAF_BYTES), view.nbytes]
        leaves += [view[start:end] for start, end in pairwise(cuts)]
        n_bytes += view.nbytes
    return in_threads(xxhash.xxh3_128_digest, leaves, n_bytes)


def _damaged(purpose: str) -> ResultUnreadable:
    return ResultUnreadable(f"the stored result {purpose!r} is damaged or not of this user")

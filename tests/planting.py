"""What an attacker or a failing disk may do to kept results."""

from __future__ import annotations

import os
import pickle
import random
from dataclasses import replace
from pathlib import Path

from nbflow.store.store import Store


class Canary:
    """Leaves a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def evil(path: Path) -> bytes:
    return pickle.dumps(Canary(path))


def entry_of(store: Store, key: str) -> bytes:
    """The entry that is kept, from its row or its file."""
    row = store.get_result(key)
    return row.entry or (store.folder / "results" / row.file).read_bytes()


def plant(store: Store, key: str, entry: bytes) -> None:
    """Put an entry in place of the one that is kept."""
    row = store.get_result(key)
    if row.file is None:
        store.put_result(replace(row, entry=entry))
    else:
        (store.folder / "results" / row.file).write_bytes(entry)


def bit_flipped(entry: bytes, rng: random.Random) -> bytes:
    n = rng.randrange(len(entry) * 8)
    flipped = bytearray(entry)
    flipped[n // 8] ^= 1 << n % 8
    return bytes(flipped)


def truncated(entry: bytes, rng: random.Random) -> bytes:
    return entry[: rng.randrange(len(entry))]

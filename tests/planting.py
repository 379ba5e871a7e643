"""What an attacker, a failing disk or a kill may do to kept results."""

from __future__ import annotations

import os
import pickle
import random
import threading
from dataclasses import replace
from pathlib import Path

from children import Child, is_intact

from nbflow.results.results import Results
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


WRITER = """
    import os
    from pathlib import Path
    import numpy as np
    from nbflow.results.results import Results
    from nbflow.store.store import Store
    results = Results(Store(Path(os.environ["NBFLOW_HOME"])))
    n = 0
    while True:
        value = np.full(5 if n % 3 == 0 else 400_000, n)
        results.save(f"k{n % 7}", value, task_name="t", run_id=str(n), seconds=0)
        print(n, flush=True)
        n += 1
"""


def kill_while_writing(home: Path, n_kills: int, rng: random.Random) -> tuple[int, int]:
    """Kill writers at random instants; gives the number of lost and of wrong values."""
    lost = wrong = 0
    for _ in range(n_kills):
        child = Child(WRITER, home)
        child.line()
        threading.Event().wait(rng.uniform(0, 0.15))
        acknowledged = [0, *map(int, child.kill())]
        store = Store(home, may_fall_back=False)
        results = Results(store)
        for n in range(7):
            hit = results.lookup(f"k{n}")
            wrong += hit is not None and not (
                len(hit.value) in (5, 400_000) and (hit.value == hit.value[0]).all()
            )
            lost += hit is None and n in acknowledged
        store.close()
    assert is_intact(home)
    return lost, wrong

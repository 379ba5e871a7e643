"""What tests of random signals have in common: who lives in a home, and what became of its runs."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from children import is_intact, read

from nbflow.store.store import Store

_UNFINISHED = "state_type NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')"


def seeded() -> random.Random:
    """Randomness of which a failed test tells the seed; TEST_SEED=... gives it again."""
    seed = int(os.environ.get("TEST_SEED", random.randrange(10**6)))
    print("seed", seed)
    return random.Random(seed)


def until(claim: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, f"it did not come true in {seconds:g} s"
        time.sleep(0.005)


def pids_of(home: Path) -> set[int]:
    """The living processes that were started with this home, in whichever way."""
    wanted = f"NBFLOW_HOME={home}\0".encode()
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(OSError):
                is_zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
                if not is_zombie and wanted in (folder / "environ").read_bytes() + b"\0":
                    found.add(int(folder.name))
    return found


def kill_all(home: Path) -> None:
    """`kill -9` of all that was started with this home."""
    while pids := pids_of(home):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def unfinished(home: Path) -> list[tuple[object, ...]]:
    """The runs that have not ended, after those of dead processes were looked for."""
    store = Store(home, may_fall_back=False)
    store.reap()
    store.close()
    assert is_intact(home)
    return read(home, f"SELECT id, spec_name, state_name, owner_id FROM runs WHERE {_UNFINISHED}")


def percentiles(seconds: list[float]) -> str:
    """For people, in milliseconds."""
    ordered = sorted(seconds) or [0.0]
    p50, p99 = (ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
    return f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, most {ordered[-1] * 1e3:.1f} ms"

"""What the machine itself takes: to read memory, to copy it, to write it to a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import values
from benchmarks.measuring import Measured, median_seconds, settle


def workloads(_: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows_values`."""
    return {"hash_array": read_array, "hash_1gb": read_1gb, "write_array": write_array}


def read_array() -> dict[str, float]:
    array = values.array_100mb()
    copied = np.empty_like(array)
    return {
        "value": median_seconds(30, array.max),
        "copy": median_seconds(30, lambda: np.copyto(copied, array)),
    }


def read_1gb() -> float:
    return median_seconds(5, values.array_1gb().max)


def write_array() -> dict[str, float]:
    array = values.array_100mb()
    return {
        "value": median_seconds(9, lambda: _write(array, sync=False), before_each=_clear),
        "synced": median_seconds(9, lambda: _write(array, sync=True), before_each=_clear),
    }


def _write(array: Any, *, sync: bool) -> None:
    fd = os.open("plain", os.O_WRONLY | os.O_CREAT, 0o600)
    view = memoryview(array).cast("B")
    while view.nbytes:
        view = view[os.write(fd, view) :]
    if sync:
        os.fsync(fd)
    os.close(fd)


def _clear() -> None:
    if os.path.exists("plain"):
        os.unlink("plain")
    settle()

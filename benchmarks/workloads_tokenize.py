"""`dask.tokenize.tokenize`'s side of the fingerprints."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dask.tokenize import tokenize

from benchmarks import values
from benchmarks.measuring import Measured, median_seconds, per_item


def workloads(_: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows_values`."""
    return {
        "hash_int": lambda: per_item(5_000, lambda: [tokenize(7) for _ in range(5_000)]),
        "hash_small": hash_small,
        "hash_array": partial(hashed, values.array_100mb),
        "hash_1gb": partial(hashed, values.array_1gb),
        "hash_mixed": partial(hashed, values.mixed_frame),
        "hash_arrow": partial(hashed, values.arrow_frame),
    }


def hash_small() -> float:
    return per_item(2_000, lambda: [tokenize(*values.SMALL) for _ in range(2_000)])


def hashed(make: Callable[[], Any]) -> float:
    value = make()
    return median_seconds(5, lambda: tokenize(value))

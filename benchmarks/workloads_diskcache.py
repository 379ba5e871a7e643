"""diskcache's side: hits of memoized functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diskcache

from benchmarks import values
from benchmarks.measuring import Measured, median_seconds


def workloads(_: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows_values`."""
    return {
        "cache_hit": lambda: hit(values.make_kb, 1_000),
        "lookup": lambda: hit(values.make_kb, 1_000),
        "hit_array": lambda: hit(values.make_array, 9),
        "hit_array_unchecked": lambda: hit(values.make_array, 9),
        "hit_mixed": lambda: hit(values.make_mixed, 3),
        "hit_numbers": lambda: hit(values.make_numbers, 9),
    }


def hit(make: Callable[[int], Any], n: int) -> float:
    with diskcache.Cache("diskcache") as cache:
        kept = cache.memoize()(make)
        kept(7)
        return median_seconds(n, lambda: kept(7))

"""joblib's side: `joblib.hash`, `Memory.cache` with and without memory maps, `joblib.dump`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import joblib

from benchmarks import values
from benchmarks.measuring import Measured, median_seconds, per_item, settle


def workloads(contender: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows_values`, with the maps the contender says."""
    # "c": writable and private, as what nbflow gives back.
    mode = "c" if contender == "joblib mmap" else None
    return {
        "hash_int": lambda: per_item(2_000, lambda: [joblib.hash(7) for _ in range(2_000)]),
        "hash_small": hash_small,
        "hash_array": partial(hashed, values.array_100mb),
        "hash_1gb": partial(hashed, values.array_1gb),
        "hash_mixed": partial(hashed, values.mixed_frame),
        "hash_arrow": partial(hashed, values.arrow_frame),
        "cache_hit": lambda: hit(values.make_kb, mode, 500),
        "lookup": lambda: hit(values.make_kb, mode, 500),
        "hit_array": lambda: hit(values.make_array, mode, 15),
        "hit_array_unchecked": lambda: hit(values.make_array, mode, 15),
        "hit_mixed": lambda: hit(values.make_mixed, mode, 3),
        "hit_numbers": lambda: hit(values.make_numbers, mode, 15),
        "hit_numbers_unchecked": load_numbers,
        "same_argument": lambda: argument(values.number_frame),
        "hit_1gb_argument": lambda: argument(values.array_1gb),
        "write_array": lambda: written(values.array_100mb, 9),
        "write_mixed": lambda: written(values.mixed_frame, 3),
    }


def hash_small() -> float:
    return per_item(1_000, lambda: [joblib.hash(values.SMALL) for _ in range(1_000)])


def hashed(make: Callable[[], Any]) -> float:
    value = make()
    return median_seconds(3, lambda: joblib.hash(value))


def hit(make: Callable[[int], Any], mode: Any, n: int) -> float:
    kept = joblib.Memory("joblib", mmap_mode=mode, verbose=0).cache(make)
    kept(7)
    return median_seconds(n, lambda: kept(7))


def argument(make: Callable[[], Any]) -> float:
    kept, value = joblib.Memory("joblib", verbose=0).cache(values.length), make()
    kept(value)
    return median_seconds(3, lambda: kept(value))


def load_numbers() -> float:
    joblib.dump(values.number_frame(), "numbers")
    return median_seconds(50, lambda: joblib.load("numbers", mmap_mode="c"))


def written(make: Callable[[], Any], n: int) -> float:
    value = make()

    def clear() -> None:
        if os.path.exists("dumped"):
            os.unlink("dumped")
        settle()

    return median_seconds(n, lambda: joblib.dump(value, "dumped"), before_each=clear)

"""nbflow's side of the rows about values: fingerprints, cache hits, results that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmarks import values
from benchmarks.measuring import Measured, median_seconds, per_item, settle
from nbflow import flow, task, wiring
from nbflow.cache_policies import INPUTS
from nbflow.results.fingerprint import fingerprint
from nbflow.settings import Settings, load_settings

_cached = partial(task, name="kept", cache_policy=INPUTS, persist_result=True)


def workloads(_: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows_values`."""
    return {
        "hash_int": lambda: per_item(20_000, lambda: [fingerprint(7) for _ in range(20_000)]),
        "hash_small": hash_small,
        "hash_array": hash_array,
        "hash_1gb": partial(hashed, values.array_1gb, 5),
        "hash_mixed": partial(hashed, values.mixed_frame, 7),
        "hash_arrow": partial(hashed, values.arrow_frame, 7),
        "cache_hit": cache_hit,
        "lookup": lookup,
        "hit_array": hit_array,
        "hit_array_unchecked": lambda: unchecked(values.make_array, 200),
        "hit_mixed": lambda: hit(values.make_mixed, 7),
        "hit_numbers": lambda: hit(values.make_numbers, 30),
        "hit_numbers_unchecked": lambda: unchecked(values.make_numbers, 50),
        "same_argument": lambda: argument(values.number_frame, 20),
        "hit_1gb_argument": lambda: argument(values.array_1gb, 5),
        "write_array": write_array,
        "write_mixed": lambda: written(values.mixed_frame, 3),
    }


# --- fingerprints -------------------------------------------------------------------------------


def hash_small() -> float:
    return per_item(5_000, lambda: [fingerprint(*values.SMALL) for _ in range(5_000)])


def hashed(make: Callable[[], Any], n: int) -> float:
    """Seconds for the fingerprint of one value."""
    value = make()
    return median_seconds(n, lambda: fingerprint(value))


def hash_array() -> dict[str, float]:
    seconds = hashed(values.array_100mb, 30)
    return {"value": seconds, "copy": seconds}


# --- hits ---------------------------------------------------------------------------------------


def cache_hit() -> float:
    kept = _cached(values.make_kb)

    def calls() -> None:
        for _ in range(1_000):
            kept(7)
        wiring.current().store.flush()

    def body() -> float:
        kept(7)
        kept(7)
        return per_item(1_000, calls)

    return flow(body, name="bench")()


def lookup() -> float:
    """Seconds for a fingerprint and a look-up of what is kept under it."""
    results = wiring.current().results
    key = fingerprint("kept", 7)
    results.save(key, values.make_kb(7), task_name="kept", run_id="", seconds=0.0)

    def find() -> None:
        for _ in range(1_000):
            results.lookup(fingerprint("kept", 7))

    find()
    return per_item(1_000, find)


def hit(make: Callable[[int], Any], n: int) -> float:
    """Seconds for a hit of a task that gives a large value."""
    kept = _cached(make)

    def body() -> float:
        kept(7)
        return median_seconds(n, lambda: kept(7))

    return flow(body, name="bench")()


def hit_array() -> dict[str, float]:
    seconds = hit(values.make_array, 30)
    return {"value": seconds, "over_hash": seconds / hashed(values.array_100mb, 30)}


def unchecked(make: Callable[[int], Any], n: int) -> float:
    """As `hit`, with the check of buffers switched off."""
    with _settings(verify_buffers=False):
        return hit(make, n)


def argument(make: Callable[[], Any], n: int) -> float:
    """Seconds for a hit of a task that is given a large value, the same object each time."""
    kept, value = _cached(values.length), make()

    def body() -> float:
        kept(value)
        return median_seconds(n, lambda: kept(value))

    return flow(body, name="bench")()


@contextmanager
def _settings(**changed: Any) -> Iterator[None]:
    with wiring.using(Settings(home=load_settings().home, log_level="ERROR", **changed)):
        yield


# --- keeping ------------------------------------------------------------------------------------


def written(make: Callable[[], Any], n: int) -> float:
    """Seconds until one value is on disk."""
    results, value = wiring.current().results, make()

    def save() -> None:
        results.save("key", value, task_name="kept", run_id="", seconds=0.0)

    def forget() -> None:
        results.forget(key="key")
        settle()

    return median_seconds(n, save, before_each=forget)


def write_array() -> dict[str, float]:
    seconds = written(values.array_100mb, 9)
    return {"value": seconds, "synced": seconds}

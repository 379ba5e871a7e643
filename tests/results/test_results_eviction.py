"""Limits of size and age: what was used longest ago goes first, what is in use stays usable."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest
from children import Child

from nbflow.results.results import Results
from nbflow.settings import load_settings
from nbflow.store.store import Store

ABOUT = {"task_name": "t", "run_id": "r", "seconds": 1.5}
ARRAY = np.arange(10_000)  # 80 KB


def keys(results):
    return {entry.key for entry in results.entries()}


def n_files(results):
    return len(list(results.folder.glob("*.result")))


def test_least_recently_used_goes_first(store):
    results = Results(store, max_bytes=500_000)
    for key in "abcdef":
        Results(store).save(key, ARRAY, **ABOUT)
    for key in "aec":
        assert results.lookup(key) is not None

    n, n_bytes = results.prune()

    assert keys(results) == {"a", "e", "c", "f", "d"}
    assert (n, n_files(results)) == (1, 5)
    assert n_bytes > 80_000
    assert results.prune() == (0, 0)


def test_saving_over_the_limit_makes_room_by_itself(store):
    results = Results(store, max_bytes=1_000_000)
    for n in range(60):
        results.save(f"k{n}", ARRAY, **ABOUT)
        results.lookup("k0")

    entries = results.entries()

    assert sum(entry.size_bytes for entry in entries) <= 1_020_000
    assert len(entries) >= 10
    assert n_files(results) == len(entries)
    assert {"k0", "k59"} <= keys(results)


def test_rows_are_evicted_too(store):
    results = Results(store, max_bytes=100_000)
    for n in range(200):
        results.save(f"k{n}", b"x" * 2_000, **ABOUT)

    assert 80_000 < sum(entry.size_bytes for entry in results.entries()) <= 102_000
    assert results.lookup("k199") is not None
    assert results.lookup("k0") is None


def test_result_larger_than_the_limit_does_not_stay(store):
    results = Results(store, max_bytes=10_000)
    results.save("small", 1, **ABOUT)
    results.save("large", ARRAY, **ABOUT)

    assert results.lookup("large") is None
    assert n_files(results) == 0


def test_expired_and_aged_are_pruned(store):
    results = Results(store)
    results.save("stays", ARRAY, **ABOUT, expiration_seconds=3600)
    results.save("expired", ARRAY, **ABOUT, expiration_seconds=0)
    assert results.prune()[0] == 1
    assert keys(results) == {"stays"}

    assert Results(store, max_age_seconds=3600).prune() == (0, 0)
    assert Results(store, max_age_seconds=0).prune()[0] == 1
    assert n_files(results) == 0


def test_evicted_value_in_use_stays_usable(store):
    results = Results(store, max_bytes=1)
    Results(store).save("k", ARRAY, **ABOUT)
    value = results.lookup("k").value

    results.prune()

    assert n_files(results) == 0
    assert results.lookup("k") is None
    assert np.array_equal(value, ARRAY)


def test_what_killed_writers_left_is_removed_after_an_hour(results):
    results.save("k", ARRAY, **ABOUT)
    old = time.time() - 3700
    left = {name: results.folder / name for name in ("a.result", "b.result.tmp", "c.result.tmp")}
    for path in left.values():
        path.write_bytes(b"x" * 100)
    (results.folder / "README").write_text("not ours")
    for path in [*results.folder.iterdir(), left["a.result"], left["b.result.tmp"]]:
        if path.name != "c.result.tmp":
            os.utime(path, (old, old))

    assert results.prune() == (2, 200)

    assert [path.exists() for path in left.values()] == [False, False, True]
    assert (results.folder / "README").exists()
    assert results.lookup("k") is not None


def test_reading_while_another_evicts_never_fails(store, caplog):
    """Misses are allowed, wrong values, warnings and exceptions are not."""
    writer, reader = Results(store, max_bytes=400_000), Results(store)
    done = threading.Event()
    wrong, hits = [], []

    def read():
        while not done.is_set():
            for n in range(10):
                hit = reader.lookup(f"k{n}")
                if hit is not None:
                    hits.append(n)
                    if not np.array_equal(hit.value, ARRAY + n):
                        wrong.append(n)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in readers:
        thread.start()
    for n in range(150):
        writer.save(f"k{n % 10}", ARRAY + n % 10, **ABOUT)
        if n % 7 == 0:
            writer.forget(key=f"k{n % 3}")
    done.set()
    for thread in readers:
        thread.join()

    assert wrong == []
    assert hits
    assert not caplog.records


def test_processes_that_evict_at_once(home):
    code = """
        import os, sys
        from pathlib import Path
        import numpy as np
        from nbflow.results.results import Results
        from nbflow.store.store import Store
        results = Results(Store(Path(os.environ["NBFLOW_HOME"])), max_bytes=500_000)
        for n in range(40):
            key = (n * int(sys.argv[1])) % 13
            results.save(f"k{key}", np.full(10_000, key), task_name="t", run_id="r", seconds=0)
            for other in range(13):
                hit = results.lookup(f"k{other}")
                assert hit is None or (hit.value == other).all()
    """
    children = [Child(code, home, n) for n in (1, 2, 3, 5)]
    for child in children:
        child.end()
        assert child.stderr == ""

    results = Results(Store(home))
    entries = results.entries()
    assert n_files(results) == len(entries)
    assert sum(entry.size_bytes for entry in entries) <= 600_000


@pytest.mark.parametrize(
    ("text", "limit"), [("90", 90.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("", None)]
)
def test_age_limit_is_read_from_the_environment(monkeypatch, text, limit):
    monkeypatch.setenv("NBFLOW_CACHE_MAX_AGE_SECONDS", text)
    monkeypatch.setenv("NBFLOW_CACHE_MAX_BYTES", "200000")
    monkeypatch.setenv("NBFLOW_VERIFY_BUFFERS", "0")

    settings = load_settings()

    assert settings.cache_max_age_seconds == limit
    assert settings.cache_max_bytes == 200_000
    assert settings.verify_buffers is False


def test_home_that_was_removed_under_way(home, store):
    results = Results(store)
    results.save("k", ARRAY, **ABOUT)
    for path in results.folder.glob("*.result"):
        path.unlink()

    assert results.forget(all=True)[0] == 1
    assert Store(home).list_results() == []

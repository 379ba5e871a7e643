"""Files of large results: arrays come back without a copy, writable, each for itself."""

from __future__ import annotations

import gc
import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from children import run_child
from planting import kill_while_writing

from nbflow.results.results import Results
from nbflow.store.store import Store

ABOUT = {"task_name": "t", "run_id": "r", "seconds": 1.5}
RNG = np.random.default_rng(1)
BASE = RNG.random((300, 400))
TIMES = pd.date_range("2020-01-01", periods=3_000, freq="h")
STRUCTURED = np.zeros(2_000, dtype=[("a", "i4"), ("b", "M8[s]"), ("c", "U3")])
READ_ONLY = np.arange(9_000)
READ_ONLY.flags.writeable = False
SHARED = np.arange(50_000)

ARRAYS = {
    "small": np.arange(5),
    "row": np.arange(1_000.0),
    "file": np.arange(50_000.0),
    "several leaves": np.arange(1_000_000),
    "no elements": np.empty((0, 3)),
    "a number": np.array(7.5),
    "fortran": np.asfortranarray(BASE),
    "transposed": BASE.T,
    "every other": BASE[::2, ::3],
    "reversed": BASE[::-1],
    "axes moved": np.moveaxis(np.arange(60_000).reshape(30, 40, 50), 0, 1),
    "broadcast": np.broadcast_to(np.arange(300.0), (100, 300)),
    "booleans": BASE > 0.5,
    "complex": BASE + 1j,
    "halves": BASE.astype("f2"),
    "big endian": BASE.astype(">f8"),
    "times": TIMES.to_numpy(),
    "times every other": np.tile(TIMES.to_numpy(), 9)[::2],
    "durations": np.arange(3_000).astype("m8[s]"),
    "text": np.array([f"w{n}" for n in range(3_000)]),
    "structured": STRUCTURED,
    "read only": READ_ONLY,
}
OBJECTS = {
    "words": [f"w{n}" for n in range(5_000)],
    "few words": ["a", "b"] * 5_000,
    "mixed": [None, 1, 2.5, True, b"x", "é", 1 << 90] * 2_000,
    "with nan": [float("nan"), "x" * 30] * 3_000,
    "lists": [[n] for n in range(1_000)],
}


def roundtrip(results, value):
    results.save("k", value, **ABOUT)
    return results.lookup("k").value


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_array_comes_back(store, array, verify):
    back = roundtrip(Results(store, verify_buffers=verify), array)

    assert type(back) is np.ndarray
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back, array)
    assert back.flags.f_contiguous or not array.flags.f_contiguous
    assert back.flags.writeable == (array.flags.writeable or not array.flags.contiguous)
    assert back.flags.aligned


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("values", OBJECTS.values(), ids=OBJECTS)
def test_array_of_objects_comes_back(results, values, order):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    array = array.reshape((2, -1), order=order)

    back = roundtrip(results, array)

    assert back.shape == array.shape
    assert list(map(type, back.flat)) == list(map(type, array.flat))
    assert repr(back.tolist()) == repr(array.tolist())
    assert back.flags.f_contiguous == array.flags.f_contiguous


def test_few_words_stay_few_objects(results):
    back = roundtrip(results, np.array(["a" * 50, "b" * 50] * 5_000, dtype=object))

    assert len({id(word) for word in back}) == 2


@pytest.mark.parametrize("size", [500, 50_000])
def test_array_is_writable_and_the_cache_is_not_changed(results, store, size):
    results.save("k", np.arange(size), **ABOUT)
    first, second = results.lookup("k").value, results.lookup("k").value

    first[:] = -1
    first.sort()

    assert np.array_equal(second, np.arange(size))
    assert np.array_equal(results.lookup("k").value, np.arange(size))
    assert np.array_equal(Results(store).lookup("k").value, np.arange(size))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_large_array_is_not_copied(store):
    results = Results(store, verify_buffers=False)
    results.save("k", np.zeros(12_500_000), **ABOUT)
    pages = resident_pages()

    arrays = [results.lookup("k").value for _ in range(20)]

    assert resident_pages() - pages < 100 << 8  # 100 MB of the 2 GB
    assert sum(array[::4096].sum() for array in arrays) == 0


def resident_pages():
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_arrays_in_use_hold_no_file_descriptors(results):
    results.save("k", np.arange(50_000), **ABOUT)
    results.lookup("k")
    before = len(os.listdir("/proc/self/fd"))

    arrays = [results.lookup("k").value for _ in range(2_000)]

    assert len(os.listdir("/proc/self/fd")) == before
    assert all(array[-1] == 49_999 for array in arrays)


def n_mappings():
    return Path("/proc/self/maps").read_text().count(".result")


def test_memory_is_given_back_with_the_last_view(results):
    results.save("k", [np.arange(50_000), np.arange(60_000)], **ABOUT)
    arrays = results.lookup("k").value
    view = arrays[1][10:20]
    assert n_mappings() == 1

    del arrays
    gc.collect()
    assert n_mappings() == 1
    assert view.tolist() == list(range(10, 20))

    del view
    gc.collect()
    assert n_mappings() == 0


def test_same_array_twice_stays_one(results):
    one, other = roundtrip(results, [SHARED, SHARED])

    assert one is other


def test_memmap_comes_back_as_an_array_of_its_own(results, tmp_path):
    mapped = np.memmap(tmp_path / "data", dtype="f8", mode="w+", shape=(10_000,))
    mapped[:] = np.arange(10_000)

    back = roundtrip(results, mapped)
    mapped[:] = 0

    assert type(back) is np.ndarray
    assert np.array_equal(back, np.arange(10_000))


class Subclass(np.ndarray):
    pass


def test_subclass_of_array_stays_one(results):
    back = roundtrip(results, np.arange(20_000).view(Subclass))

    assert type(back) is Subclass
    assert back[-1] == 19_999


N = 3_000
FRAMES = {
    "numbers": pd.DataFrame({"a": range(N), "b": RNG.random(N), "c": RNG.random(N) > 0.5}),
    "times": pd.DataFrame({"t": TIMES, "d": TIMES - TIMES[0], "z": TIMES.tz_localize("UTC")}),
    "object words": pd.DataFrame({"w": pd.Series([f"w{n}" for n in range(N)], dtype=object)}),
    "words": pd.DataFrame({"w": [f"w{n}" for n in range(N - 1)] + [None]}),
    "categories": pd.DataFrame({"c": pd.Categorical(["a", "b", "c"] * (N // 3))}),
    "masked": pd.DataFrame({"i": pd.array([1, None] * (N // 2), dtype="Int64")}),
    "indexed": pd.DataFrame({"a": RNG.random(N)}, index=TIMES),
    "multi index": pd.DataFrame(
        {"a": range(N)}, index=pd.MultiIndex.from_product([range(N // 10), range(10)])
    ),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_frame_comes_back_and_can_be_changed(results, frame):
    back = roundtrip(results, frame)

    pd.testing.assert_frame_equal(back, frame, check_freq=False)
    back["more"] = 1
    back.iloc[0, 0] = back.iloc[1, 0]
    pd.testing.assert_frame_equal(results.lookup("k").value, frame, check_freq=False)


# --- kills, forks and full disks ------------------------------------------------------------------


def test_killed_while_writing_leaves_a_whole_value_or_none(home):
    assert kill_while_writing(home, 6, random.Random(3)) == (0, 0)


def test_forked_child_reads_what_its_parent_mapped(results):
    results.save("k", np.arange(50_000), **ABOUT)
    array = results.lookup("k").value
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        array[0] = 5
        ok = int(array.sum()) == 5 + sum(range(50_000))
        del array
        gc.collect()
        os.write(writer, b"y" if ok else b"n")
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reader, 1) == b"y"
    assert array[0] == 0
    os.close(reader)
    os.close(writer)


@pytest.fixture
def small_disk(tmp_path):
    point = tmp_path / "disk"
    point.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(point)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")
    yield point
    subprocess.run(["umount", "-l", str(point)], check=True)


def test_full_disk_leaves_what_was_kept_and_the_task_its_result(small_disk):
    code = """
        import logging, os
        logging.getLogger("nbflow").setLevel(logging.CRITICAL)
        import numpy as np
        from nbflow import flow, task
        from nbflow.cache_policies import INPUTS

        @task(cache_policy=INPUTS)
        def zeros(n):
            return np.zeros(n)

        @flow
        def f():
            sizes = [1_000, 60_000, 1_000_000, 2_000_000, 70_000]
            return [len(zeros(n)) for n in sizes], [len(zeros(n)) for n in sizes]

        print(f())
    """
    sizes = [1_000, 60_000, 1_000_000, 2_000_000, 70_000]
    for _ in range(2):
        lines = run_child(code, small_disk)

        assert lines == [str((sizes, sizes))]
    store = Store(small_disk, may_fall_back=False)
    results = Results(store)
    kept = [len(results.lookup(entry.key).value) for entry in results.entries()]
    assert sorted(kept) == [1_000, 60_000, 70_000]
    assert not list(results.folder.glob("*.tmp"))
    store.close()

"""Rows about values: what identifies them, how quickly they are kept and found again."""

from __future__ import annotations

from benchmarks.row import MS, US, Row, Section, Unit

_HASHES = ("joblib", "dask.tokenize")
_MEMOS = ("joblib", "diskcache")

_FINGERPRINTS = (
    Row(
        name="hash_int",
        title="fingerprint of an int",
        meaning="20,000 calls. joblib: `joblib.hash`.",
        peers=_HASHES,
        at_most=3 * US,
    ),
    Row(
        name="hash_small",
        title="fingerprint of 8 small arguments",
        meaning="Numbers, texts, bytes, None, a tuple, a dict; 5,000 calls.",
        peers=_HASHES,
        at_most=15 * US,
        ratios={"dask.tokenize": 0.4},
    ),
    Row(
        name="hash_array",
        title="fingerprint of a 100 MB float array",
        meaning="Beside it `array.max()`: what reading the memory once takes one thread.",
        peers=("machine", *_HASHES),
        ratios={"machine": 1.3, "dask.tokenize": 0.1, "joblib": 0.04},
    ),
    Row(
        name="hash_array_copy",
        title="the same, beside a copy of the array",
        meaning="The copy goes to memory that is there already, by one thread.",
        workload="hash_array",
        key="copy",
        peers=("machine",),
        ratios={"machine": 1 / 1.2},
    ),
    Row(
        name="hash_1gb",
        title="fingerprint of a 1 GB float array",
        meaning="As for 100 MB.",
        peers=("machine", *_HASHES),
        ratios={"machine": 1.3, "dask.tokenize": 0.1, "joblib": 0.04},
        heavy=True,
        only_full=True,
    ),
    Row(
        name="hash_mixed",
        title="fingerprint of a 100 MB frame with 1M strings (object)",
        meaning="One object column of a million different strings beside columns of numbers.",
        peers=_HASHES,
        at_most=100 * MS,
        ratios={"dask.tokenize": 0.55, "joblib": 0.05},
    ),
    Row(
        name="hash_arrow",
        title="fingerprint of a 100 MB frame with 1M strings (arrow)",
        meaning="The same strings as `string[pyarrow]`.",
        peers=_HASHES,
        ratios={"dask.tokenize": 0.15},
    ),
)

_FOUND = (
    Row(
        name="cache_hit",
        title="cache hit, int -> 1 KB, through `@task`",
        meaning="1,000 hits inside a flow, rows on disk. Peers: `Memory.cache`, `memoize`.",
        peers=(*_MEMOS, "prefect"),
        at_most=60 * US,
        ratios={"joblib": 0.1, "diskcache": 1},
    ),
    Row(
        name="lookup",
        title="the same without a task run",
        meaning="A fingerprint and `Results.lookup`: what the peers do, who record no run.",
        peers=_MEMOS,
        ratios={"joblib": 0.1, "diskcache": 1},
    ),
    Row(
        name="hit_array",
        title="cache hit, int -> 100 MB array, every byte checked",
        meaning="Through `@task`, rows about the run on the way to the disk.",
        peers=(*_MEMOS, "joblib mmap", "prefect"),
        at_most=5 * MS,
    ),
    Row(
        name="hit_array_over_hash",
        title="the same / fingerprint of that array",
        meaning="How far the check is from reading the memory once.",
        workload="hit_array",
        key="over_hash",
        unit=Unit.TIMES,
        at_most=1.3,
    ),
    Row(
        name="hit_array_unchecked",
        title="cache hit, int -> 100 MB array, buffers not checked",
        meaning="`NBFLOW_VERIFY_BUFFERS=0`. Mapped memory is read when it is used, not here.",
        peers=(*_MEMOS, "joblib mmap"),
        at_most=0.1 * MS,
        ratios={"joblib mmap": 0.3, "joblib": 0.005},
    ),
    Row(
        name="hit_mixed",
        title="cache hit, int -> 100 MB frame with 1M strings (object)",
        meaning="Every byte checked.",
        peers=_MEMOS,
        at_most=100 * MS,
        ratios={"joblib": 0.1},
    ),
    Row(
        name="hit_numbers",
        title="cache hit, int -> 100 MB frame of numbers, checked",
        meaning="Integers, floats and times; no objects.",
        peers=_MEMOS,
    ),
    Row(
        name="hit_numbers_unchecked",
        title="the same, buffers not checked",
        meaning="Beside it `joblib.load(mmap_mode='c')` of the frame, without a key or a function.",
        peers=("joblib mmap",),
        at_most=1.5 * MS,
        ratios={"joblib mmap": 1.2},
    ),
    Row(
        name="same_argument",
        title="the same 100 MB frame again to a cached task",
        meaning="A hit whose argument was an argument before; the result is a number.",
        peers=("joblib", "prefect"),
        at_most=1 * MS,
    ),
    Row(
        name="hit_1gb_argument",
        title="cache hit on a 1 GB array argument",
        meaning="The result is a number.",
        peers=("joblib",),
        at_most=60 * MS,
        heavy=True,
        only_full=True,
    ),
)

_KEPT = (
    Row(
        name="write_array_synced",
        title="keep a 100 MB array, beside `write` and `fsync`",
        meaning="`Results.save`: returns when it is on disk, with digests, signed and recorded.",
        workload="write_array",
        key="synced",
        peers=("machine",),
        ratios={"machine": 1.2},
    ),
    Row(
        name="write_array",
        title="keep a 100 MB array, beside a plain `write`",
        meaning="The same, though the others do not wait for the disk. joblib: `joblib.dump`.",
        peers=("machine", "joblib"),
        ratios={"machine": 1.43},
    ),
    Row(
        name="write_mixed",
        title="keep a 100 MB frame with 1M strings (object)",
        meaning="`Results.save`, on disk, beside `joblib.dump`, which does not wait for the disk.",
        peers=("joblib",),
        ratios={"joblib": 0.4},
    ),
)

VALUES = Section("values", "Values", (*_FINGERPRINTS, *_FOUND, *_KEPT))

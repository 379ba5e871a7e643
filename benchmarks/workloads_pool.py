"""The floor: the same shapes with `concurrent.futures` and friends, which record nothing."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from benchmarks import measuring
from benchmarks.measuring import Measured, noop, per_item

_POOL = "from concurrent.futures import ThreadPoolExecutor"


def workloads(_: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows`."""
    return {
        "import": lambda: measuring.above_bare(_POOL, 10),
        "task_call": task_call,
        "map_1000": lambda: fanout(1_000),
        "fanout_10k": lambda: fanout(10_000),
        "diamond": diamond,
        "chain": chain,
        "journal": journal,
        "logger": logger_line,
        "slots_20": slots_20,
        "threads": threads,
        "memory_10k": lambda: memory(10_000),
        "memory_100k": lambda: memory(100_000),
        "traced_10k": lambda: traced(10_000),
        "traced_100k": lambda: traced(100_000),
        "linearity": linearity,
    }


def task_call() -> float:
    with ThreadPoolExecutor(4) as pool:
        pool.submit(noop).result()
        return per_item(5_000, lambda: [pool.submit(noop, i).result() for i in range(5_000)])


def _fan_out(n: int) -> list[Future[Any]]:
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(noop, i) for i in range(n)]
        wait(futures)
        return futures


def fanout(n: int) -> float:
    _fan_out(200)
    return per_item(n, lambda: _fan_out(n))


def diamond() -> float:
    """By layers: a pool knows no dependencies."""

    def layers(pool: ThreadPoolExecutor) -> None:
        joined = pool.submit(noop, 0).result()
        for _ in range(100):
            layer = [pool.submit(noop, joined) for _ in range(100)]
            joined = pool.submit(noop, [one.result() for one in layer]).result()

    with ThreadPoolExecutor(4) as pool:
        pool.submit(noop).result()
        return per_item(10_101, lambda: layers(pool))


def chain() -> float:
    def links(pool: ThreadPoolExecutor) -> None:
        last = 0
        for _ in range(500):
            last = pool.submit(noop, last).result()

    with ThreadPoolExecutor(4) as pool:
        pool.submit(noop).result()
        return per_item(500, lambda: links(pool))


def journal() -> dict[str, float]:
    """Plain `executemany` of 40,000 rows in one transaction, index and all."""
    connection = sqlite3.connect("journal.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE rows (id TEXT PRIMARY KEY, at REAL, name TEXT, state TEXT)")
    rows = [(f"{i:032x}", time.time(), "tiny", "Completed") for i in range(40_000)]
    began = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", rows)
    connection.execute("COMMIT")
    return {"row": (time.perf_counter() - began) / len(rows)}


def logger_line() -> dict[str, float]:
    """`logging` to a file."""
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    handler = logging.FileHandler(Path("bench.log"))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    seconds = per_item(
        10_000,
        lambda: [
            logger.info("a line of a usual length, with a number 12345") for _ in range(10_000)
        ],
    )
    return {"value": seconds}


def slots_20() -> float:
    slots = threading.Semaphore(5)

    def hold() -> None:
        with slots:
            time.sleep(0.1)

    with ThreadPoolExecutor(20) as pool:
        return per_item(1, lambda: wait([pool.submit(hold) for _ in range(20)]))


def threads() -> float:
    with measuring.most_threads() as seen, ThreadPoolExecutor() as pool:
        wait([pool.submit(time.sleep, 0.002) for _ in range(5_000)])
    return seen[0]


def memory(n: int) -> dict[str, float]:
    _fan_out(200)
    before = measuring.rss_bytes()
    began = time.perf_counter()
    seconds: list[float] = []

    def run() -> list[Any]:
        futures = _fan_out(n)
        seconds.append(time.perf_counter() - began)
        return futures

    grown = measuring.rss_growth(run)
    peak = measuring.peak_rss_bytes() - before
    return {"value": grown / n, "wall": seconds[0], "peak": peak}


def traced(n: int) -> float:
    _fan_out(200)
    return measuring.traced_growth(lambda: _fan_out(n)) / n


def linearity() -> float:
    _fan_out(200)
    small = per_item(1, lambda: _fan_out(10_000))
    return per_item(1, lambda: _fan_out(100_000)) / small

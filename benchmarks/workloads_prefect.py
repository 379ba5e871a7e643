"""Prefect's side, by its documented API, on the server it starts for itself on loopback.

Its numbers of items are small, for it is slow; every figure is per item all the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import INPUTS
from prefect.concurrency.sync import concurrency
from prefect.task_runners import ThreadPoolTaskRunner

from benchmarks import measuring, values
from benchmarks.measuring import Measured, noop, per_item

_FLOW = "from prefect import flow\n@flow\ndef empty(): pass\nempty()"


@task
def tiny(_: Any) -> int:
    return 1


@flow
def empty() -> None:
    """Has no parameters, so that nothing has to be validated."""


def workloads(_: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows`."""
    return {
        "import": lambda: measuring.above_bare("import prefect", 3),
        "import_names": lambda: measuring.above_bare("from prefect import flow, task", 3),
        "first_flow": lambda: per_item(1, empty),
        "first_flow_process": lambda: measuring.above_bare(_FLOW, 1, "PREFECT_HOME"),
        "empty_flow": empty_flow,
        "task_call": task_call,
        "async_task": async_task,
        "map_1000": lambda: mapped(200),
        "chain": chain,
        "subflow": subflow,
        "print": lambda: _lines(lambda: print),
        "logger": lambda: _lines(lambda: get_run_logger().info),
        "big_list": big_list,
        "big_frame": big_frame,
        "cache_hit": cache_hit,
        "hit_array": hit_array,
        "same_argument": same_argument,
        "slot_free": slot_free,
        "slots_20": slots_20,
        "threads": threads,
        "kept_called": lambda: kept(lambda big, i: big(i)),
        "kept_submitted": lambda: kept(lambda big, i: big.submit(i).result()),
        "stop": stop,
    }


def _in_flow(body: Callable[[], Any], **options: Any) -> Any:
    return flow(body, name="bench", **options)()


def _warm_up() -> None:
    def body() -> None:
        tiny(0)
        tiny.submit(1).result()

    _in_flow(body)


def empty_flow() -> float:
    _warm_up()
    return per_item(5, lambda: [empty() for _ in range(5)])


def task_call() -> float:
    _warm_up()
    return _in_flow(lambda: per_item(100, lambda: [tiny(i) for i in range(100)]))


def async_task() -> float:
    @task
    async def tiny_async(i: int) -> int:
        return i

    @flow
    async def body() -> float:
        await tiny_async(-1)
        began = time.perf_counter()
        for i in range(100):
            await tiny_async(i)
        return (time.perf_counter() - began) / 100

    _warm_up()
    return asyncio.run(body())


def mapped(n: int) -> float:
    _warm_up()
    return _in_flow(lambda: per_item(n, lambda: tiny.map(range(n)).result()))


def chain() -> float:
    def body() -> float:
        def links() -> None:
            last: Any = 0
            for _ in range(50):
                last = tiny.submit(last)
            last.result()

        return per_item(50, links)

    _warm_up()
    return _in_flow(body)


def subflow() -> float:
    _warm_up()
    return _in_flow(lambda: per_item(5, lambda: [empty() for _ in range(5)]))


def _lines(say: Callable[[], Callable[[str], Any]]) -> dict[str, float]:
    @task(log_prints=True)
    def talk() -> float:
        logging.getLogger("prefect.task_runs").setLevel(logging.INFO)
        line = say()
        words = "a line of a usual length, with a number 12345"
        return per_item(500, lambda: [line(words) for _ in range(500)])

    _warm_up()
    return {"value": _in_flow(talk)}


def _called_with(value: Any, n: int) -> float:
    _warm_up()

    def body() -> float:
        tiny(value)
        return per_item(n, lambda: [tiny(value) for _ in range(n)])

    return _in_flow(body)


def big_list() -> float:
    return _called_with([{"id": i, "name": "x", "value": 0.5} for i in range(200_000)], 1)


def big_frame() -> float:
    import numpy as np
    import pandas as pd

    return _called_with(pd.DataFrame(np.ones((1_250_000, 10))), 3)


def cache_hit() -> float:
    @task(cache_policy=INPUTS, persist_result=True)
    def kept_result(i: int) -> bytes:
        return bytes(1_000)

    def body() -> float:
        kept_result(7)
        kept_result(7)
        return per_item(50, lambda: [kept_result(7) for _ in range(50)])

    _warm_up()
    return _in_flow(body)


def hit_array() -> float:
    kept_result = task(cache_policy=INPUTS, persist_result=True)(values.make_array)

    def body() -> float:
        kept_result(7)
        return measuring.median_seconds(3, lambda: kept_result(7))

    _warm_up()
    return _in_flow(body)


def same_argument() -> float:
    kept_result = task(cache_policy=INPUTS, persist_result=True)(values.length)
    frame = values.number_frame()

    def body() -> float:
        kept_result(frame)
        return measuring.median_seconds(3, lambda: kept_result(frame))

    _warm_up()
    return _in_flow(body)


def kept(call: Callable[[Any, int], Any]) -> float:
    @task
    def big(i: int) -> bytes:
        return b"x" * (50 << 20)

    _warm_up()

    def body() -> float:
        def calls() -> None:
            for i in range(20):
                call(big, i)

        return measuring.rss_growth(calls)

    return _in_flow(body)


@cache
def _create_limit() -> None:
    command = [str(Path(sys.executable).parent / "prefect"), "gcl", "create", "bench"]
    subprocess.run(
        [*command, "--limit", "5"], check=True, env=dict(os.environ), stdout=subprocess.DEVNULL
    )


def slot_free() -> float:
    _create_limit()

    def hold() -> None:
        for _ in range(10):
            with concurrency("bench", occupy=1):
                pass

    def body() -> float:
        with concurrency("bench", occupy=1):
            pass
        return per_item(10, hold)

    return _in_flow(body)


def slots_20() -> float:
    _create_limit()

    @task
    def hold(_: int) -> None:
        with concurrency("bench", occupy=1):
            time.sleep(0.1)

    _warm_up()
    return _in_flow(lambda: per_item(1, lambda: hold.map(range(20)).result()))


def threads() -> float:
    @task
    def doze(_: int) -> None:
        time.sleep(0.002)

    _warm_up()
    with measuring.most_threads() as seen:
        _in_flow(lambda: noop(doze.map(range(5_000)).result()))
    return seen[0]


def stop() -> float:
    @task
    def doze(i: int) -> None:
        time.sleep(0.5)

    def body() -> None:
        for future in [doze.submit(i) for i in range(200)]:
            future.wait()

    _warm_up()
    runner = ThreadPoolTaskRunner(max_workers=4)
    return measuring.seconds_to_stop(partial(_in_flow, body, task_runner=runner), 1.0)

"""nbflow's side of the rows about runs: journal on, and on disk when the clock stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import measuring
from benchmarks.measuring import Measured, noop, per_item
from nbflow import flow, get_run_logger, task, wiring
from nbflow.concurrency.sync import concurrency
from nbflow.futures import wait
from nbflow.model.events import RunCreated, StateChanged
from nbflow.model.runs import Run, RunKind
from nbflow.model.states import State, StateType
from nbflow.settings import Settings, load_settings
from nbflow.task_runners import ThreadPoolTaskRunner

_HOME = "NBFLOW_HOME"
_FLOW = "from nbflow import flow\n@flow\ndef empty(): pass\nempty()"

tiny = task(noop, name="tiny")


@flow
def empty() -> None:
    """Has no parameters, so that nothing has to be validated."""


def workloads(_: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows`."""
    return {
        "import": lambda: measuring.above_bare("import nbflow", 10),
        "import_names": lambda: measuring.above_bare("from nbflow import flow, task", 10),
        "first_flow": first_flow,
        "first_flow_process": lambda: measuring.above_bare(_FLOW, 5, _HOME),
        "empty_flow": empty_flow,
        "task_call": task_call,
        "async_task": async_task,
        "map_1000": map_1000,
        "fanout_10k": lambda: fanout(10_000),
        "diamond": diamond,
        "chain": chain,
        "subflow": subflow,
        "journal": journal,
        "print": print_line,
        "logger": logger_line,
        "big_list": big_list,
        "big_frame": big_frame,
        "slot_free": slot_free,
        "slots_20": slots_20,
        "threads": threads,
        "memory_10k": lambda: memory(10_000),
        "memory_100k": lambda: memory(100_000),
        "traced_10k": lambda: traced(10_000),
        "traced_100k": lambda: traced(100_000),
        "linearity": linearity,
        "kept_called": lambda: kept(lambda big, i: big(i)),
        "kept_submitted": lambda: kept(lambda big, i: big.submit(i).result()),
        "stop": stop,
    }


def _flush() -> None:
    wiring.current().store.flush()


def _in_flow(body: Callable[[], Any], **options: Any) -> Any:
    """Run `body` as a flow. The end of a flow waits until its rows are on disk."""
    return flow(body, name="bench", **options)()


def _warm_up() -> None:
    """Open the store and start the threads, as the first run of a session does."""

    def body() -> None:
        tiny(0)
        tiny.map(range(200)).result()

    _in_flow(body)


# --- runs ---------------------------------------------------------------------------------------


def first_flow() -> float:
    return per_item(1, empty)


def empty_flow() -> float:
    _warm_up()
    return per_item(200, lambda: [empty() for _ in range(200)])


def task_call() -> float:
    _warm_up()

    def calls() -> None:
        for i in range(5_000):
            tiny(i)
        _flush()

    return _in_flow(lambda: per_item(5_000, calls))


def async_task() -> float:
    @task
    async def tiny_async(i: int) -> int:
        return i

    @flow
    async def body() -> float:
        began = time.perf_counter()
        for i in range(3_000):
            await tiny_async(i)
        _flush()
        return (time.perf_counter() - began) / 3_000

    _warm_up()
    return asyncio.run(body())


def map_1000() -> float:
    _warm_up()
    return per_item(1_000, lambda: _in_flow(lambda: noop(tiny.map(range(1_000)).result())))


def _fan_out(n: int) -> list[Any]:
    """The futures of `n` finished tasks on four threads, rows on disk."""
    futures: list[Any] = []

    def body() -> None:
        futures.extend(tiny.submit(i) for i in range(n))
        wait(futures)

    _in_flow(body, task_runner=ThreadPoolTaskRunner(max_workers=4))
    return futures


def fanout(n: int) -> float:
    _warm_up()
    return per_item(n, lambda: _fan_out(n))


def diamond() -> float:
    def body() -> None:
        joined: Any = tiny.submit(0)
        for _ in range(100):
            joined = tiny.submit([tiny.submit(joined) for _ in range(100)])
        joined.wait()

    _warm_up()
    runner = ThreadPoolTaskRunner(max_workers=4)
    return per_item(10_101, lambda: _in_flow(body, task_runner=runner))


def chain() -> float:
    def body() -> None:
        last: Any = 0
        for _ in range(500):
            last = tiny.submit(last)
        last.wait()

    _warm_up()
    return per_item(500, lambda: _in_flow(body))


def subflow() -> float:
    _warm_up()

    def calls() -> None:
        for _ in range(500):
            empty()
        _flush()

    return _in_flow(lambda: per_item(500, calls))


def stop() -> float:
    doze = task(time.sleep, name="doze")
    _warm_up()
    body = partial(
        _in_flow,
        lambda: wait([doze.submit(0.5) for _ in range(200)]),
        task_runner=ThreadPoolTaskRunner(max_workers=4),
    )
    return measuring.seconds_to_stop(body, 1.0)


# --- what is written ------------------------------------------------------------------------------


def journal() -> dict[str, float]:
    """Publish the four events of 10,000 task runs, straight on the bus."""
    _warm_up()
    publish = wiring.current().bus.publish
    events: list[Any] = []
    for i in range(10_000):
        run = Run(RunKind.TASK, tiny.spec, f"tiny-{i}")
        events.append(RunCreated(run, run.state))
        run.state = State(StateType.RUNNING, "Running")
        events.append(StateChanged(run, run.state))
        run.state = State(StateType.COMPLETED, "Completed")
        events.append(StateChanged(run, run.state))
    began = time.perf_counter()
    for event in events:
        publish(event)
    posted = time.perf_counter()
    _flush()
    n_rows = 4 * 10_000  # a run and its three states
    return {
        "caller": (posted - began) / len(events),
        "row": (time.perf_counter() - began) / n_rows,
    }


def _lines(say: Callable[[], Callable[[str], Any]]) -> dict[str, float]:
    """Seconds per line to the task that says 10,000 of them, and until they are on disk."""

    @task(log_prints=True)
    def talk() -> dict[str, float]:
        line = say()
        began = time.perf_counter()
        for _ in range(10_000):
            line("a line of a usual length, with a number 12345")
        said = time.perf_counter()
        _flush()
        return {
            "value": (said - began) / 10_000,
            "on_disk": (time.perf_counter() - began) / 10_000,
        }

    loaded = load_settings()
    settings = Settings(home=loaded.home, log_level="INFO")
    with wiring.using(settings) as connected:
        connected.silence_console()
        _warm_up()
        return _in_flow(talk)


def print_line() -> dict[str, float]:
    return _lines(lambda: print)


def logger_line() -> dict[str, float]:
    return _lines(lambda: get_run_logger().info)


# --- arguments and results ----------------------------------------------------------------------


def _called_with(value: Any, n: int) -> float:
    """Seconds per call of an uncached task that is given `value`."""
    _warm_up()

    def body() -> float:
        tiny(value)
        return per_item(n, lambda: [tiny(value) for _ in range(n)])

    return _in_flow(body)


def big_list() -> float:
    return _called_with([{"id": i, "name": "x", "value": 0.5} for i in range(200_000)], 20)


def big_frame() -> float:
    import numpy as np
    import pandas as pd

    return _called_with(pd.DataFrame(np.ones((1_250_000, 10))), 500)


def kept(call: Callable[[Any, int], Any]) -> float:
    """Bytes that 20 results of 50 MB leave behind, each dropped at once."""
    big = task(lambda i: b"x" * (50 << 20), name="big")
    _warm_up()

    def body() -> float:
        def calls() -> None:
            for i in range(20):
                call(big, i)

        return measuring.rss_growth(calls)

    return _in_flow(body)


# --- limits and threads -------------------------------------------------------------------------


def slot_free() -> float:
    wiring.current().store.create_limit("bench", 5)

    def hold() -> None:
        for _ in range(300):
            with concurrency("bench"):
                pass

    def body() -> float:
        with concurrency("bench"):
            pass
        return per_item(300, hold)

    return _in_flow(body)


def slots_20() -> float:
    wiring.current().store.create_limit("bench", 5)

    @task
    def hold(_: int) -> None:
        with concurrency("bench"):
            time.sleep(0.1)

    _warm_up()
    return per_item(1, lambda: _in_flow(lambda: noop(hold.map(range(20)).result())))


def threads() -> float:
    doze = task(lambda _: time.sleep(0.002), name="doze")
    with measuring.most_threads() as seen:
        _in_flow(lambda: noop(doze.map(range(5_000)).result()))
    return seen[0]


# --- memory -------------------------------------------------------------------------------------


def memory(n: int) -> dict[str, float]:
    """RAM per finished task whose future is still held; with it the wall and the peak."""
    _warm_up()
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
    _warm_up()
    return measuring.traced_growth(lambda: _fan_out(n)) / n


def linearity() -> float:
    _warm_up()
    small = per_item(1, lambda: _fan_out(10_000))
    return per_item(1, lambda: _fan_out(100_000)) / small

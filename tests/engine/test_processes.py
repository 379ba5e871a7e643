"""Tasks in worker processes: what goes over, what comes back, and what happens when they die."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time

import pytest

from nbflow import flow, get_run_logger, task
from nbflow.errors import CrashedRun, NotPicklable, RemoteError, RunTimedOut
from nbflow.runtime import task_run
from nbflow.task_runners import ProcessPoolTaskRunner

FACTOR = 3


@pytest.fixture(scope="module")
def runner():
    """One runner for the module: its workers take a second to start."""
    made = ProcessPoolTaskRunner(max_workers=2)
    close, made.close = made.close, lambda: None
    yield made
    close()


def in_flow(runner, body):
    return flow(body, task_runner=runner)()


def test_functions_go_over_by_value_with_their_globals(runner, colour):
    local = 4

    def compute(x):
        return x * FACTOR + local, os.getpid()

    value, pid = in_flow(runner, lambda: colour.task(compute).submit(2).result())

    assert value == 10
    assert pid != os.getpid()


def test_generators_give_their_items(runner):
    @task
    def items():
        yield from range(3)

    @task
    async def items_async():
        for n in range(3):
            await asyncio.sleep(0)
            yield n

    assert in_flow(runner, lambda: (items.submit(), items_async.submit())) == ([0, 1, 2], [0, 1, 2])


def test_map_and_dependencies_work_as_on_threads(runner):
    inc = task(lambda x: x + 1)

    assert in_flow(runner, lambda: inc.map(inc.map(range(6))).result()) == [2, 3, 4, 5, 6, 7]


def test_exception_comes_back_itself_with_the_workers_traceback(runner):
    @task
    def fails():
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone") as caught:
        in_flow(runner, lambda: fails.submit().result())
    assert "in the worker process" in "".join(caught.value.__notes__)
    assert "in fails" in "".join(caught.value.__notes__)


def test_exception_that_cannot_come_back_is_told_by_its_text(runner):
    @task
    def fails():
        class Odd(Exception):
            def __init__(self, a, b):
                super().__init__(f"{a} and {b}")

        raise Odd(1, 2)

    with pytest.raises(RemoteError, match="Odd: 1 and 2"):
        in_flow(runner, lambda: fails.submit().result())


def test_argument_global_and_result_that_cannot_cross_are_named(runner):
    lock = threading.Lock()

    @task(name="takes")
    def takes(x):
        return x

    @task(name="gives")
    def gives():
        return threading.Lock()

    with pytest.raises(NotPicklable, match=r"'takes'.*argument 'x' \(lock\).*cannot be pickled"):
        in_flow(runner, lambda: takes.submit(lock).result())
    with pytest.raises(NotPicklable, match=r"'gives' returned a lock"):
        in_flow(runner, lambda: gives.submit().result())
    with pytest.raises(NotPicklable, match="cannot go to a worker"):
        in_flow(runner, lambda: task(lambda: lock).submit().result())


class Awkward:
    """Can be pickled, and cannot be made anew from that."""

    def __reduce__(self):
        return int, ("no number",)


def test_value_that_cannot_be_unpickled_fails_clearly(runner):
    with pytest.raises(ValueError, match="no number"):
        in_flow(runner, lambda: task(lambda x: 1).submit(Awkward()).result())
    with pytest.raises(NotPicklable, match="cannot be read from its pickle"):
        in_flow(runner, lambda: task(lambda: Awkward()).submit().result())


DEATHS = {
    "os._exit": lambda: os._exit(3),
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


@pytest.mark.parametrize("death", DEATHS)
def test_death_of_a_worker_crashes_its_task_and_no_other(runner, death, events):
    dies = task(DEATHS[death], name="dies")
    lives = task(lambda x: x + 1, name="lives")

    def body():
        futures = [lives.submit(n) for n in range(3)]
        crashed = dies.submit()
        futures += [lives.submit(n) for n in range(3)]
        return crashed.exception(), [future.result() for future in futures]

    error, values = in_flow(runner, body)

    assert isinstance(error, CrashedRun)
    assert "the worker process died" in str(error)
    assert values == [1, 2, 3, 1, 2, 3]
    assert events.names("dies-0")[-1] == "Crashed"


def test_timeout_kills_the_worker_and_is_retried(runner, events, tmp_path):
    file = tmp_path / "tries"

    def hangs(path):
        with path.open("a") as tries:
            tries.write("x")
        if len(path.read_text()) == 1:
            time.sleep(60)
        return "second try"

    hanging = task(hangs, name="hangs", timeout_seconds=0.5, retries=1)
    started = time.monotonic()

    assert in_flow(runner, lambda: hanging.submit(file).result()) == "second try"

    assert time.monotonic() - started < 20
    assert events.names("hangs-0") == ["Running", "AwaitingRetry", "Retrying", "Completed"]


def test_timeout_counts_from_the_workers_start_and_not_while_queued():
    """Three tasks of 0.4 s on one worker: the last one waits longer than its timeout."""
    work = task(lambda n: time.sleep(0.4) or n, timeout_seconds=0.75)
    one = ProcessPoolTaskRunner(max_workers=1)

    assert in_flow(one, lambda: work.map(range(3)).result()) == [0, 1, 2]


def test_timed_out_error_names_the_run(runner):
    with pytest.raises(RunTimedOut, match="slow-0"):
        in_flow(
            runner,
            lambda: (
                task(lambda: time.sleep(60), name="slow", timeout_seconds=0.2).submit().result()
            ),
        )


def test_prints_and_logs_come_back(runner, events):
    @task(log_prints=True, name="talks")
    def talks():
        print("a print")
        get_run_logger().warning("a line of %s", task_run.name)
        logging.getLogger("mine").error("a record")
        return task_run.task_name, task_run.run_count

    assert in_flow(runner, lambda: talks.submit().result()) == ("talks", 1)
    assert [line for line in events.messages() if line.startswith("a ")] == [
        "a print",
        "a line of talks-0",
        "a record",
    ]


def test_max_workers_is_honoured(runner, tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()

    def inside(path, n):
        mine = path / str(n)
        mine.touch()
        time.sleep(0.05)
        n_inside = len(list(path.iterdir()))
        mine.unlink()
        return n_inside

    assert max(in_flow(runner, lambda: task(inside).map([folder] * 8, range(8)).result())) <= 2


def test_direct_calls_stay_here(runner):
    assert in_flow(runner, lambda: task(os.getpid)()) == os.getpid()

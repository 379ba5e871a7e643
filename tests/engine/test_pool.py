"""Threads: bounded, never stuck, and as many as were asked for."""

from __future__ import annotations

import threading

import pytest

from nbflow import flow, task
from nbflow.errors import InvalidOption
from nbflow.task_runners import ConcurrentTaskRunner, ProcessPoolTaskRunner, ThreadPoolTaskRunner


class Gauge:
    """How many are inside at once, at most."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self.lock:
            self.now -= 1


def pool_threads():
    return [t for t in threading.enumerate() if t.name.startswith("nbflow-task")]


def test_map_of_thousands_stays_within_the_pool():
    most = []
    pause = threading.Event()

    @task
    def item(x):
        pause.wait(0.001)
        most.append(len(pool_threads()))
        return x

    @flow
    def main():
        return sum(item.map(range(5000)).result())

    assert main() == sum(range(5000))
    assert max(most) <= 40


@pytest.mark.parametrize("n", [1, 2, 3])
def test_max_workers_is_honoured(n):
    gauge = Gauge()
    pause = threading.Event()

    @task
    def work():
        with gauge:
            pause.wait(0.005)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=n))
    def main():
        for _ in range(20):
            work.submit()

    main()

    assert gauge.most == n


def test_blocked_tasks_get_more_threads_up_to_the_limit():
    all_in = threading.Barrier(20)

    @flow
    def main():
        task(lambda _: all_in.wait(10)).map(range(20)).wait()

    main()

    assert not all_in.broken


def test_pool_of_one_is_not_stuck_by_tasks_that_wait_for_tasks():
    @task
    def down(n):
        return 0 if n == 0 else 1 + down.submit(n - 1).result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main(n):
        return down.submit(n).result(timeout=20)

    assert main(5) == 5
    assert main(300) == 300


def test_pool_of_one_is_not_stuck_by_waiting_for_what_another_task_submitted():
    first = threading.Event()
    futures = []
    leaf = task(lambda: 7)

    @task
    def submits():
        futures.append(leaf.submit(wait_for=[]))
        first.set()

    @task
    def waits():
        assert first.wait(10)
        return futures[0].result()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        submits.submit()
        return waits.submit().result(timeout=20)

    assert main() == 7


def test_pool_of_one_runs_as_completed_and_wait_inside_tasks():
    from nbflow.futures import as_completed, wait

    leaf = task(lambda x: x)

    @task
    def inside():
        futures = leaf.map(range(5))
        wait(futures)
        return sorted(future.result() for future in as_completed(leaf.map(range(5))))

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        return inside.submit().result(timeout=20)

    assert main() == list(range(5))


@pytest.mark.parametrize("workers", [1, 4])
def test_long_chain_of_dependent_tasks(workers):
    inc = task(lambda x: x + 1)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=workers))
    def main():
        future = inc.submit(0)
        for _ in range(9_999):
            future = inc.submit(future)
        return future.result()

    assert main() == 10_000


def test_long_chain_of_failing_and_of_cancelled_tasks():
    gate = threading.Event()

    @task
    def fails():
        assert gate.wait(10)
        raise ValueError

    @flow
    def main(cancel):
        gate.clear()
        first = future = fails.submit()
        for _ in range(5_000):
            future = task(lambda x: x).submit(future)
        if cancel:
            first.cancel()
        gate.set()
        future.wait()
        return future.state.name

    assert main(False) == "Failed"
    assert main(True) == "Failed"


def test_long_chain_of_async_tasks():
    @task
    async def inc(x):
        return x + 1

    @flow
    def main():
        future = inc.submit(0)
        for _ in range(2_000):
            future = inc.submit(future)
        return future.result()

    assert main() == 2_001


@pytest.mark.parametrize("runner", [ThreadPoolTaskRunner, ProcessPoolTaskRunner])
@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True])
def test_bad_number_of_workers_is_refused(runner, n):
    with pytest.raises(InvalidOption, match="max_workers takes a whole number from 1 on"):
        runner(max_workers=n)


def test_runner_may_be_given_as_a_class_or_by_its_old_name():
    assert flow(task_runner=ThreadPoolTaskRunner)(lambda: task(lambda: 1).submit())() == 1
    assert ConcurrentTaskRunner is ThreadPoolTaskRunner


def test_waiter_that_times_out_leaves_the_awaited_run_alone():
    """It ran on the waiter's thread; the waiter's end is not its own."""
    gate = threading.Event()

    @task
    def awaited():
        assert gate.wait(10)
        return "value"

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        box = []
        held = threading.Event()  # the waiter begins when there is something to wait for
        waiter = task(lambda: held.wait(10) and box[0].result(), timeout_seconds=0.1).submit()
        box.append(awaited.submit())
        held.set()
        assert waiter.state.is_final() or waiter.exception(10) is not None
        gate.set()
        return box[0].result(10)

    assert main() == "value"

"""A cached task that several runs need at once is computed once; nobody waits for ever."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from children import Child, run_child

from nbflow import flow, task, wiring
from nbflow.cache_policies import INPUTS
from nbflow.engine import caching


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)


def n_waiting():
    return len(wiring.current().engine.results._open().claims.bells)


def test_threads_compute_once(events):
    n_runs, go_on = [], threading.Event()

    @task(cache_policy=INPUTS)
    def slow(n):
        n_runs.append(n)
        assert go_on.wait(20)
        return n * 2

    @flow
    def f():
        futures = [slow.submit(n) for n in (1, 1, 1, 1, 2)]
        until(lambda: n_waiting() == 3 and len(n_runs) == 2)
        go_on.set()
        return [future.result() for future in futures]

    assert f() == [2, 2, 2, 2, 4]
    assert sorted(n_runs) == [1, 2]
    assert events.names().count("Cached") == 3


def test_coroutines_compute_once():
    n_runs = []

    @task(cache_policy=INPUTS)
    async def slow(n):
        n_runs.append(n)
        for _ in range(20_000):
            if n_waiting() == 19:
                break
            await asyncio.sleep(0.001)
        return n * 2

    @flow
    async def f():
        return await asyncio.gather(*(slow(1) for _ in range(20)))

    assert asyncio.run(f()) == [2] * 20
    assert n_runs == [1]


PROCESS = """
    import os, sys
    from nbflow import task
    from nbflow.cache_policies import INPUTS

    def slow(n):
        print("computing", flush=True)
        input()
        return n * 2

    slow = task(slow, cache_policy=INPUTS)
    print(slow(1), flush=True)
"""


def test_processes_compute_once(home):
    first = Child(PROCESS, home)
    assert first.line() == "computing"
    second = Child(PROCESS, home)
    first.tell()

    assert first.line() == "2"
    first.end()
    assert second.line() == "2"
    assert second.end() == []


def test_process_that_is_killed_leaves_it_to_the_other(home):
    first = Child(PROCESS, home)
    assert first.line() == "computing"
    second = Child(PROCESS, home)

    first.kill()

    assert second.line() == "computing"
    second.tell()
    assert second.end() == ["2"]


def test_failure_is_everybodys_own(events):
    n_runs, go_on = [], threading.Event()

    @task(cache_policy=INPUTS)
    def fails(n):
        n_runs.append(n)
        assert go_on.wait(20)
        raise ValueError(n)

    @flow
    def f():
        futures = [fails.submit(1) for _ in range(4)]
        until(lambda: n_waiting() == 3)
        go_on.set()
        return [type(future.result(raise_on_failure=False)) for future in futures]

    assert f() == [ValueError] * 4
    assert len(n_runs) == 4


def test_failed_run_does_not_keep_its_claim():
    outcomes = [ValueError("no"), 7]

    @task(cache_policy=INPUTS)
    def flaky(n):
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(ValueError, match="no") as kept:
        flaky(1)
    assert wiring.current().engine.results._open().claims.holder("x") == ""
    folder = wiring.current().engine.results.folder / "claims"

    assert list(folder.iterdir()) == []
    assert flaky(1) == 7
    assert kept.value is not None


def test_retries_keep_the_claim():
    n_runs = []

    @task(cache_policy=INPUTS, retries=2)
    def flaky(n):
        n_runs.append(n)
        folder = wiring.current().engine.results.folder / "claims"
        assert len(list(folder.iterdir())) == 1
        if len(n_runs) < 3:
            raise ValueError("no")
        return n

    assert flaky(1) == 1
    assert len(n_runs) == 3


def test_task_that_needs_itself_does_not_wait_for_ever():
    depth = []

    @task
    def between(n):
        return itself(n)

    @flow
    def inner(n):
        return between.submit(n).result()

    @task(cache_policy=INPUTS)
    def itself(n):
        depth.append(n)
        return inner(n) + 1 if len(depth) < 4 else 0

    assert itself(1) == 3
    assert len(depth) == 4


def test_cancelled_waiter_ends_at_once():
    n_runs, go_on = [], threading.Event()

    @task(cache_policy=INPUTS)
    def slow(n):
        n_runs.append(n)
        assert go_on.wait(20)
        return n

    @flow
    def f():
        first = slow.submit(1)
        until(lambda: n_runs)
        second = slow.submit(1)
        until(lambda: n_waiting() == 1)
        second.cancel()
        second.wait()
        state = second.state.name
        until(lambda: n_waiting() == 0)
        assert not first.state.is_final()
        go_on.set()
        return first.result(), state

    assert f() == (1, "Cancelled")
    assert n_runs == [1]


def test_flow_that_times_out_while_a_task_of_it_waits():
    go_on = threading.Event()

    @task(cache_policy=INPUTS)
    def slow(n):
        assert go_on.wait(20)
        return n

    @flow(timeout_seconds=0.3)
    def f():
        return slow(1)

    began = time.monotonic()
    holder = wiring.current().engine.results
    thread = threading.Thread(target=slow, args=(1,), daemon=True)
    thread.start()
    until(lambda: (holder.folder / "claims").exists() and any((holder.folder / "claims").iterdir()))

    state = f(return_state=True)

    assert state.name == "TimedOut"
    assert time.monotonic() - began < 10
    go_on.set()
    thread.join(20)
    assert slow(1) == 1


def test_ctrl_c_ends_a_waiter(home):
    code = """
        import os, signal, sys, threading, time
        from nbflow import task, wiring
        from nbflow.cache_policies import INPUTS
        go_on = threading.Event()

        @task(cache_policy=INPUTS)
        def slow(n):
            go_on.wait(20)
            return n

        thread = threading.Thread(target=slow, args=(1,))
        thread.start()
        results = wiring.current().engine.results
        while not (results.folder / "claims").exists():
            time.sleep(0.001)
        def strike():
            while not results._open().claims.bells:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=strike).start()
        try:
            slow(1)
        except KeyboardInterrupt:
            print("interrupted")
        go_on.set()
        thread.join()
        print(slow(1), len(results._open().claims.bells))
    """
    assert run_child(code, home) == ["interrupted", "1 0"]


def test_waiters_leave_the_pool_a_thread(monkeypatch):
    """Who computes the result may need one; all of them waiting would be a deadlock."""
    monkeypatch.setenv("NBFLOW_MAX_THREADS", "2")
    n_runs, both = [], threading.Event()

    @task
    def child(n):
        return n * 2

    @task(cache_policy=INPUTS)
    def slow(n):
        n_runs.append(n)
        if len(n_runs) > 1:
            both.set()
            return n * 2
        until(lambda: n_waiting() == 1 and both.is_set())
        return child.submit(n).result()

    answers = []
    thread = threading.Thread(target=lambda: answers.append(slow(1)), daemon=True)
    thread.start()
    until(lambda: n_runs)
    futures = [slow.submit(1) for _ in range(4)]
    thread.join(20)

    assert answers == [2]
    assert [future.result() for future in futures] == [2] * 4
    assert len(n_runs) == 2
    assert caching._n_waiting == {}


def test_thousand_equal_tasks_take_no_thread_each():
    n_runs, go_on = [], threading.Event()

    @task(cache_policy=INPUTS)
    def slow(n):
        n_runs.append(n)
        if len(n_runs) == 1:
            assert go_on.wait(20)
        return n

    @flow
    def f():
        futures = [slow.submit(1) for _ in range(1_000)]
        until(lambda: n_waiting() > 2)
        n_threads = threading.active_count()
        go_on.set()
        return {future.result() for future in futures}, n_threads

    values, n_threads = f()

    assert values == {1}
    assert n_threads < 50
    assert len(n_runs) < 40


def test_refreshing_does_not_wait():
    go_on, n_runs = threading.Event(), []

    @task(cache_policy=INPUTS)
    def slow(n):
        n_runs.append(n)
        return n if len(n_runs) > 1 else go_on.wait(20)

    thread = threading.Thread(target=slow, args=(1,), daemon=True)
    thread.start()
    until(lambda: n_runs)

    assert slow.with_options(refresh_cache=True)(1) == 1

    go_on.set()
    thread.join(20)

"""Futures: asking, waiting, callbacks, and the collections of them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from nbflow import flow, task
from nbflow.errors import CancelledRun
from nbflow.futures import TaskFutureList, as_completed, wait


@pytest.fixture
def gate():
    """What a task waits for until the test lets it go on."""
    event = threading.Event()
    yield event
    event.set()


def held(gate):
    def body(value=1):
        assert gate.wait(10)
        return value

    return body


def test_result_waits_and_gives_the_value(gate):
    future = task(held(gate)).submit(5)
    assert not future.is_done
    gate.set()

    assert future.result() == 5
    assert future.is_done
    assert future.state.name == "Completed"
    assert future.task_run_id == future.run.id


def test_result_with_timeout_raises_and_the_run_goes_on(gate):
    future = task(held(gate), name="slow").submit()

    with pytest.raises(TimeoutError, match=r"'slow-0' did not end within 0\.01 seconds"):
        future.result(timeout=0.01)
    gate.set()

    assert future.result(timeout=10) == 1


def test_result_raises_the_same_exception_or_gives_it(colour):
    error = ValueError("x")

    def fails():
        raise error

    future = colour.task(fails).submit()

    with pytest.raises(ValueError) as caught:
        future.result()
    assert caught.value is error
    assert future.result(raise_on_failure=False) is error
    assert future.exception() is error


def test_exception_is_none_for_a_completed_run():
    assert task(lambda: 1).submit().exception() is None
    assert task(lambda: ValueError("a value")).submit().exception() is None


def test_wait_with_timeout_gives_up(gate):
    future = task(held(gate)).submit()

    future.wait(timeout=0.01)
    assert not future.is_done
    gate.set()
    future.wait()

    assert future.is_done


def test_done_callback_is_called_once_then_or_at_once(gate):
    called = []
    future = task(held(gate)).submit()

    future.add_done_callback(called.append)
    assert called == []
    gate.set()
    future.wait()
    future.add_done_callback(called.append)

    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    assert done.wait(10)
    while len(called) < 2:
        pass
    assert called == [future, future]


def test_callback_that_raises_hurts_nobody(gate, caplog):
    called = threading.Event()
    future = task(held(gate)).submit(5)

    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda _: called.set())
    gate.set()

    assert future.result() == 5
    assert called.wait(10)
    assert "a callback of" in caplog.text


def test_cancel_ends_a_queued_and_a_running_task(gate):
    started = threading.Event()

    @task
    def running():
        started.set()
        while not gate.wait(0.01):
            pass

    future = running.submit()
    queued = task(lambda x: x).submit(future)
    assert started.wait(10)

    assert queued.cancel()
    assert future.cancel()

    for one in (queued, future):
        assert one.state.name == "Cancelled"
        with pytest.raises(CancelledRun):
            one.result()
        assert not one.cancel()


def test_wait_tells_done_from_not_done(gate):
    done, open_ = task(lambda: 1).submit(), task(held(gate)).submit()
    done.wait()

    answer = wait([done, open_], timeout=0.01)
    assert answer.done == {done}
    assert answer.not_done == {open_}
    gate.set()

    done_too, none_left = wait([done, open_])
    assert (done_too, none_left) == ({done, open_}, set())


def test_as_completed_gives_them_in_order_of_their_ends(gate):
    first, second = task(held(gate)).submit("late"), task(lambda: "early").submit()
    seen = []

    for future in as_completed([first, second]):
        seen.append(future.result())
        gate.set()

    assert seen == ["early", "late"]


def test_as_completed_with_timeout_says_how_many_are_left(gate):
    futures = [task(held(gate)).submit(), task(lambda: 1).submit()]
    items = as_completed(futures, timeout=0.2)

    assert next(items) is futures[1]
    with pytest.raises(TimeoutError, match="1 of 2"):
        next(items)


def test_list_of_futures_has_results_and_wait(gate):
    futures = task(held(gate)).map([1, 2, 3])
    assert isinstance(futures, TaskFutureList)

    futures.wait(timeout=0.01)
    with pytest.raises(TimeoutError):
        futures.result(timeout=0.01)
    gate.set()

    assert futures.result() == [1, 2, 3]
    assert futures.result(timeout=1) == [1, 2, 3]


def test_list_of_futures_raises_the_first_failure_or_gives_all():
    def odd(x):
        if x % 2 == 0:
            raise ValueError(x)
        return x

    futures = task(odd).map([1, 2, 3, 4])

    with pytest.raises(ValueError, match="2"):
        futures.result()
    assert [repr(x) for x in futures.result(raise_on_failure=False)] == [
        "1",
        "ValueError(2)",
        "3",
        "ValueError(4)",
    ]


def test_result_in_a_task_of_a_running_loop_does_not_hang():
    """Blocking the only loop that could run the awaited task would wait for ever."""

    @task
    async def later():
        await asyncio.sleep(0)
        return 1

    @task
    async def blocks():
        return later.submit().result()

    with pytest.raises(RuntimeError, match="await"):
        blocks.submit().result(timeout=10)


def test_repr_shows_name_and_state():
    future = task(lambda: 1, name="n").submit()
    future.wait()

    assert repr(future) == "TaskFuture('n-0', Completed)"


def test_future_of_a_finished_run_keeps_no_arguments_alive():
    import gc
    import weakref

    class Big:
        pass

    @flow
    def run():
        big = Big()
        ref = weakref.ref(big)
        future = task(lambda x: 1).submit(big)
        future.wait()
        del big
        return ref, future

    state = run(return_state=True)
    gc.collect()
    assert state.result()[0]() is None

"""Calling, submitting and mapping tasks."""

from __future__ import annotations

import asyncio
import threading
import traceback

import pytest

from nbflow import allow_failure, flow, quote, task, unmapped
from nbflow.errors import MappingError, UpstreamFailed
from nbflow.model.states import State

# --- calling ------------------------------------------------------------------------------------


def test_call_gives_the_value(colour):
    assert colour.run(colour.task(lambda x, y=1: x + y), 2, y=3) == 5


def test_call_raises_the_same_exception(colour):
    error = KeyError("k")

    def fails():
        raise error

    with pytest.raises(KeyError) as caught:
        colour.run(colour.task(fails))

    assert caught.value is error


def test_traceback_shows_the_user_where_it_was_raised():
    """Frames of ours hide themselves; below the call site only the user's frames are left."""

    def helper():
        raise ValueError("x")

    @task
    def fails():
        helper()

    with pytest.raises(ValueError) as caught:
        fails()

    frames = list(traceback.walk_tb(caught.value.__traceback__))
    shown = [
        frame.f_code.co_name
        for frame, _ in frames
        if not frame.f_locals.get("__tracebackhide__", False)
    ]
    assert shown == ["test_traceback_shows_the_user_where_it_was_raised", "fails", "helper"]


def test_wrong_arguments_raise_pythons_own_error(colour):
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        colour.run(colour.task(lambda x: x))
    with pytest.raises(TypeError, match="unexpected keyword argument 'y'"):
        colour.run(colour.task(lambda x: x), 1, y=2)


def test_return_state_gives_the_state_whatever_it_is(colour):
    def divide(a, b):
        return a / b

    good = colour.run(colour.task(divide), 4, 2, return_state=True)
    bad = colour.run(colour.task(divide), 4, 0, return_state=True)

    assert good.is_completed()
    assert good.result() == 2
    assert (bad.name, bad.message) == (
        "Failed",
        "Task run raised ZeroDivisionError: division by zero",
    )
    assert isinstance(bad.result(raise_on_failure=False), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        bad.result()


def test_wait_for_holds_a_call_back_until_the_future_has_ended():
    order = []
    gate = threading.Event()

    @task
    def first():
        assert gate.wait(10)
        order.append("first")

    @task
    def second():
        order.append("second")

    @flow
    def both():
        future = first.submit()
        waiting = second.submit(wait_for=[future])
        gate.set()
        second(wait_for=future)
        waiting.result()

    both()

    assert order == ["first", "second", "second"]


def test_wait_for_a_failed_run_stops_the_task():
    ran = []

    @task
    def fails():
        raise ValueError("no")

    @flow
    def both():
        return task(lambda: ran.append(1)).submit(wait_for=[fails.submit()], return_state=True)

    with pytest.raises(UpstreamFailed, match=r"fails-0.*allow_failure"):
        both()
    assert ran == []


def test_task_in_a_task_belongs_to_it(events):
    inner = task(name="inner")(lambda: 1)
    outer = task(name="outer")(lambda: inner() + inner.submit().result())

    assert outer() == 2

    by_name = {run.name: run for run in events.runs()}
    assert by_name["inner-0"].parent_id == by_name["outer-0"].id
    assert by_name["inner-1"].parent_id == by_name["outer-0"].id


def test_task_outside_a_flow_is_tracked_too(colour, events):
    colour.run(colour.task(lambda: 1, name="alone"))

    (run,) = events.runs()
    assert (run.parent_id, run.flow_run_id) == (None, None)
    assert events.names("alone-0") == ["Running", "Completed"]


# --- submit -------------------------------------------------------------------------------------


def test_submit_works_inside_and_outside_of_flows(colour):
    double = colour.task(lambda x: 2 * x)

    @flow
    def inside():
        return double.submit(3).result()

    assert double.submit(2).result() == 4
    assert inside() == 6


def test_submit_with_return_state_gives_the_final_state(colour):
    state = colour.task(lambda: 1).submit(return_state=True)

    assert isinstance(state, State)
    assert state.result() == 1


def test_submitted_task_runs_on_another_thread():
    assert task(threading.get_ident).submit().result() != threading.get_ident()


def test_submitted_generators_give_their_items_as_a_list():
    @task
    def count():
        yield from range(3)

    @task
    async def count_async():
        for i in range(3):
            yield i

    assert count.submit().result() == [0, 1, 2]
    assert count_async.submit().result() == [0, 1, 2]


def test_async_flow_may_await_futures_and_call_tasks():
    double = task(lambda x: 2 * x)

    @task
    async def later(x):
        await asyncio.sleep(0)
        return x + 1

    @flow
    async def both():
        future = double.submit(2)
        return await future, await later(1), double(5), await later.submit(2)

    assert asyncio.run(both()) == (4, 2, 10, 3)


def test_async_tasks_run_concurrently_with_gather(events):
    met = asyncio.Event

    @flow
    async def meet():
        here, there = met(), met()

        @task
        async def one():
            here.set()
            await there.wait()

        @task
        async def other():
            there.set()
            await here.wait()

        await asyncio.wait_for(asyncio.gather(one(), other()), 10)

    asyncio.run(meet())

    assert events.names().count("Completed") == 3


def test_async_task_in_a_sync_flow_gives_its_value():
    @task
    async def later(x):
        await asyncio.sleep(0)
        return x

    assert flow(lambda: later(3))() == 3
    assert flow(lambda: later.submit(3).result())() == 3
    assert flow(lambda: later(3, return_state=True).result())() == 3


def test_async_flow_in_a_sync_flow_may_use_async_tasks():
    @task
    async def later(x):
        await asyncio.sleep(0)
        return x

    @flow
    async def inner():
        return await later(1) + await later.submit(2)

    assert flow(lambda: inner())() == 3


# --- map ----------------------------------------------------------------------------------------


def test_map_makes_a_run_per_item_in_order(colour):
    add = colour.task(lambda x, y: x + y)

    assert add.map([1, 2, 3], [10, 20, 30]).result() == [11, 22, 33]
    assert add.map(range(2), y=(5, 6)).result() == [5, 7]
    assert add.map((n for n in (1, 2)), y=unmapped(1)).result() == [2, 3]


def test_map_gives_whole_what_is_unmapped_or_a_string_or_no_iterable():
    pair = task(lambda x, y: (x, y))

    assert pair.map([1, 2], unmapped([3, 4])).result() == [(1, [3, 4]), (2, [3, 4])]
    assert pair.map([1, 2], "ab").result() == [(1, "ab"), (2, "ab")]
    assert pair.map([1, 2], b"ab").result() == [(1, b"ab"), (2, b"ab")]
    assert pair.map([1, 2], {"a": 1}).result() == [(1, {"a": 1}), (2, {"a": 1})]
    assert pair.map([1, 2], 7).result() == [(1, 7), (2, 7)]
    assert pair.map([1, 2], quote([3, 4])).result() == [(1, [3, 4]), (2, [3, 4])]


def test_map_over_nothing_makes_no_run(events):
    assert task(lambda x: x).map([]).result() == []
    assert events.all == []


def test_map_refuses_different_lengths_by_name():
    def add(x, y):
        return x + y

    with pytest.raises(MappingError, match=r"equal length; got x: 2, y: 3.*unmapped"):
        task(add).map([1, 2], [1, 2, 3])
    with pytest.raises(MappingError, match="equal length; got x: 2, y: 1"):
        task(add).map([1, 2], y=[1])


def test_map_refuses_nothing_to_iterate_over():
    with pytest.raises(MappingError, match=r"at least one iterable argument; got int, str.*submit"):
        task(lambda x, y: 1).map(1, "abc")
    with pytest.raises(MappingError, match="got none"):
        task(lambda: 1).map()


def test_map_takes_futures_and_lists_of_futures():
    inc = task(lambda x: x + 1)
    numbers = task(lambda: [1, 2])

    @flow
    def chain():
        once = inc.map(numbers.submit())
        twice = inc.map(once)
        return twice.result(), inc.map(numbers.submit(return_state=True)).result()

    assert chain() == ([3, 4], [2, 3])


def test_map_with_allow_failure_gives_the_exceptions():
    def odd(x):
        if x % 2 == 0:
            raise ValueError(x)
        return x

    show = task(lambda x: repr(x))

    @flow
    def chain():
        return show.map(allow_failure(task(odd).map([1, 2]))).result()

    assert chain() == ["1", "ValueError(2)"]

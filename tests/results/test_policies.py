"""Cache policies, through tasks as users write them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from children import run_child

from nbflow import flow, runs, task
from nbflow.cache_policies import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    NONE,
    RUN_ID,
    TASK_SOURCE,
    CachePolicy,
    task_input_hash,
)


class Counted:
    """A function that counts its calls and gives their number."""

    def __init__(self) -> None:
        self.n = 0

    def task(self, **options):
        @task(**options)
        def counted(x=None, y=None):
            return self.call()

        return counted

    def call(self) -> int:
        self.n += 1
        return self.n

    def __reduce__(self):  # the same to every fingerprint, however often it was called
        return Counted, ()


@pytest.fixture
def counted():
    return Counted()


def test_same_inputs_are_not_computed_again(counted):
    t = counted.task(cache_policy=INPUTS)

    assert [t(1), t(1), t(2), t(x=1), t(1, None), t(1, 2)] == [1, 1, 2, 1, 1, 3]
    assert runs().state.tolist()[::-1] == [
        *("Completed", "Cached", "Completed", "Cached", "Cached", "Completed")
    ]


def test_cached_value_is_a_copy():
    @task(cache_policy=INPUTS)
    def t():
        return [1]

    t().append(2)

    assert t() == [1]


def test_no_policy_caches_nothing(counted):
    t = counted.task()

    assert [t(1), t(1)] == [1, 2]


@pytest.mark.parametrize("policy", [NO_CACHE, NONE])
def test_no_cache_caches_nothing_even_in_a_flow_that_persists(counted, policy):
    t = counted.task(cache_policy=policy)

    @flow(persist_result=True)
    def f():
        return [t(1), t(1)]

    assert f() == [1, 2]


def test_persisting_flow_reuses_within_one_run_only(counted):
    t = counted.task()

    @flow(persist_result=True)
    def f():
        return [t(1), t(1), t(2)]

    assert [f(), f()] == [[1, 1, 2], [3, 3, 4]]


def test_minus_leaves_an_input_out(counted):
    t = counted.task(cache_policy=INPUTS - "y")

    assert [t(1, 1), t(1, 2), t(2, 1)] == [1, 1, 2]


def test_minus_of_a_sum_leaves_it_out_too(counted):
    t = counted.task(cache_policy=(TASK_SOURCE + INPUTS) - "y" - "x")

    assert [t(1, 1), t(2, 2)] == [1, 1]


@pytest.mark.parametrize("policy", [NO_CACHE, TASK_SOURCE, RUN_ID, FLOW_PARAMETERS])
def test_minus_of_what_has_no_inputs_changes_nothing(policy):
    """As in Prefect: it must not begin to look at the inputs."""
    assert policy - "x" == policy
    assert (TASK_SOURCE + RUN_ID) - "x" == TASK_SOURCE + RUN_ID


def test_sums():
    assert NO_CACHE + INPUTS == INPUTS + NO_CACHE == INPUTS
    assert INPUTS + None == INPUTS
    assert DEFAULT == INPUTS + TASK_SOURCE + RUN_ID
    with pytest.raises(TypeError):
        INPUTS + "x"
    with pytest.raises(TypeError):
        INPUTS - 1


def test_task_source_follows_code_helpers_and_globals(counted):
    def define(body, **names):
        space = {"task": task, "counted": counted, "TASK_SOURCE": TASK_SOURCE, **names}
        exec(f"@task(cache_policy=TASK_SOURCE)\ndef t():\n    {body}", space)
        return space["t"]

    plain = "return counted.call()"
    assert [define(plain)(), define(plain)(), define(plain + "  # note")()] == [1, 1, 1]
    assert define("1; " + plain)() == 1
    assert define("y = 1; " + plain)() == 2
    assert [define("scale; " + plain, scale=n)() for n in (1, 1, 2)] == [3, 3, 4]


def test_own_policy(counted):
    class Day(CachePolicy):
        today = "Monday"

        def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
            return f"{task_ctx.task_name}-{inputs['x']}-{self.today}"

    day = Day()
    t = counted.task(cache_policy=day)
    both = counted.task(cache_policy=day + INPUTS, name="both")

    assert [t(1), t(1), t(2), both(1, 1), both(1, 1), both(1, 2)] == [1, 1, 2, 3, 3, 4]
    day.today = "Tuesday"
    assert [t(1), both(1, 1)] == [5, 6]


def test_own_policy_may_decline(counted):
    class Never(CachePolicy):
        def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
            return None

    t = counted.task(cache_policy=Never())

    assert [t(1), t(1)] == [1, 2]


def test_failing_policy_does_not_stop_the_task_and_is_told_once(counted, caplog):
    class Broken(CachePolicy):
        def compute_key(self, task_ctx, inputs, flow_parameters, **kwargs):
            raise ZeroDivisionError("broken policy")

    t = counted.task(cache_policy=Broken(), name="with a broken policy")

    assert [t(1), t(1)] == [1, 2]
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "task 'with a broken policy' runs without its cache: ZeroDivisionError: broken policy"
    ]


def test_cache_key_fn(counted):
    t = counted.task(cache_key_fn=lambda context, arguments: str(arguments["x"] % 2))

    assert [t(1), t(3), t(2)] == [1, 1, 2]


def test_cache_key_fn_may_decline(counted):
    t = counted.task(cache_key_fn=lambda context, arguments: None)

    assert [t(1), t(1)] == [1, 2]


def test_task_input_hash(counted):
    t = counted.task(cache_key_fn=task_input_hash)

    assert [t(1), t(1), t(2)] == [1, 1, 2]


def test_run_id_is_that_of_the_flow_run(counted):
    t = counted.task(cache_policy=RUN_ID)

    @flow
    def f():
        return [t(1), t(2)]

    assert [f(), f(), t(), t()] == [[1, 1], [2, 2], 3, 4]


def test_flow_parameters(counted):
    t = counted.task(cache_policy=FLOW_PARAMETERS)

    @flow
    def f(day, other=0):
        return t(object())

    assert [f("Monday"), f("Monday", 0), f("Tuesday"), f("Monday", 1)] == [1, 1, 2, 3]


def test_expired_result_is_computed_again(counted):
    at_once = counted.task(cache_policy=INPUTS, cache_expiration=timedelta(0))
    later = counted.task(cache_policy=INPUTS, cache_expiration=timedelta(hours=1))

    assert [at_once(1), at_once(1), later(2), later(2)] == [1, 2, 3, 3]


def test_refresh_computes_and_replaces(counted):
    t = counted.task(cache_policy=INPUTS)
    fresh = t.with_options(refresh_cache=True)

    assert [t(1), fresh(1), fresh(1), t(1)] == [1, 2, 3, 3]


def test_storage_key_names_the_result(counted):
    t = counted.task(result_storage_key="report-{x}-{parameters[y]}")

    assert [t(1, 1), t(1, 1), t(1, 2)] == [1, 1, 2]


def test_failed_run_is_not_cached(counted):
    @task(cache_policy=INPUTS)
    def t(x):
        if counted.call() == 1:
            raise ValueError
        return "good"

    with pytest.raises(ValueError):
        t(1)

    assert t(1) == "good"


def test_unfingerprintable_input_runs_uncached_and_says_so_once(counted, caplog):
    t = counted.task(cache_policy=INPUTS, name="with a lock")
    lock = threading.Lock()

    assert [t(lock), t(lock)] == [1, 2]
    (record,) = caplog.records
    assert "task 'with a lock' runs without its cache" in record.getMessage()
    assert "_thread.lock has no stable fingerprint" in record.getMessage()


def test_unpicklable_result_is_given_all_the_same(caplog):
    @task(cache_policy=INPUTS, name="gives a lock")
    def t():
        return threading.Lock()

    assert t().acquire()
    assert "task 'gives a lock' runs without its cache" in caplog.text


def test_async_tasks_and_submitted_ones_use_the_same_cache(counted):
    def call(x):
        return counted.call()

    async def call_async(x):
        return counted.call()

    key: Callable[..., str] = lambda context, arguments: f"shared-{arguments['x']}"
    plain, coloured = task(call, cache_key_fn=key), task(call_async, cache_key_fn=key)

    @flow
    def f():
        return plain(1), plain.submit(1).result(), coloured.submit(1).result()

    assert f() == (1, 1, 1)
    assert asyncio.run(coloured(1)) == 1


def test_value_that_is_not_held_in_memory_is_read_back(counted):
    t = counted.task(cache_policy=INPUTS, cache_result_in_memory=False)

    @flow
    def f():
        return t.submit(1).result()

    assert [f(), f()] == [1, 1]


ACROSS = """
    import sys
    from dataclasses import dataclass, field
    from nbflow import flow, task
    from nbflow.cache_policies import INPUTS, TASK_SOURCE

    OFFSET = {offset}

    def helper(x):
        return x + OFFSET

    @dataclass(frozen=True)
    class Options:
        names: frozenset = field(default_factory=frozenset)

    @task(cache_policy=INPUTS + TASK_SOURCE)
    def t(x, options):
        print("computed", flush=True)
        return helper(x)

    @flow
    def f():
        return t(1, Options(frozenset({{"a", "b", "c"}})))

    print(f())
"""


def test_another_process_finds_what_one_has_kept(home):
    first = run_child(ACROSS.format(offset=1), home, PYTHONHASHSEED="1")
    second = run_child(ACROSS.format(offset=1), home, PYTHONHASHSEED="2")
    changed = run_child(ACROSS.format(offset=2), home, PYTHONHASHSEED="3")

    assert first == ["computed", "2"]
    assert second == ["2"]
    assert changed == ["computed", "3"]

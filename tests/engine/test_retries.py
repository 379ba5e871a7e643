"""Retries: what is tried again, after what wait, and what is told of it."""

from __future__ import annotations

import asyncio
import random
import threading
import time

import pytest

from nbflow import flow, get_run_context, task
from nbflow.engine.timers import Timers
from nbflow.model.retries import RetryPolicy
from nbflow.states import Failed
from nbflow.tasks import exponential_backoff

TRIES = ["Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying"]


def flaky(times, value="ok"):
    """A function that raises so many times before it works."""
    left = [times]

    def body():
        if left[0]:
            left[0] -= 1
            raise ConnectionError(f"{left[0]} left")
        return value

    return body


@pytest.mark.parametrize("way", ["call", "submit"])
def test_retries_rerun_until_it_works(colour, events, way):
    made = colour.task(flaky(2), retries=2, name="t")

    answer = colour.run(made) if way == "call" else made.submit().result()

    assert answer == "ok"
    assert events.names("t-0") == [*TRIES, "Completed"]
    assert events.runs()[0].run_count == 3


@pytest.mark.parametrize("way", ["call", "submit"])
def test_the_last_failure_is_the_runs(colour, events, way):
    made = colour.task(flaky(5), retries=2, name="t")

    with pytest.raises(ConnectionError, match="2 left"):
        colour.run(made) if way == "call" else made.submit().result()

    assert events.names("t-0") == [*TRIES, "Failed"]


def test_flow_retries_rerun_the_body_with_new_tasks(colour, events):
    body = flaky(1)
    step = task(name="step")(lambda: 1)

    def both():
        step()
        return body()

    assert colour.run(colour.flow(both, retries=1)) == "ok"
    assert [run.name for run in events.runs()[1:]] == ["step-0", "step-1"]


def test_flow_retry_forgets_the_failures_of_the_try_before():
    bad = flaky(1)

    @flow(retries=1)
    def main():
        task(bad).submit()

    assert main() is None


def test_returned_failed_state_is_retried(colour, events):
    states = [Failed("first"), "fine"]
    assert colour.run(colour.task(lambda: states.pop(0), retries=1)) == "fine"


def test_waits_are_announced_and_kept(colour, events):
    made = colour.task(flaky(1), retries=1, retry_delay_seconds=0.05, name="t")

    started = time.monotonic()
    colour.run(made)

    assert time.monotonic() - started >= 0.05
    (waiting,) = [
        e.state for e in events.all if getattr(e, "state", None) and e.state.name == "AwaitingRetry"
    ]
    assert waiting.message == "ConnectionError: 0 left; retrying in 0.1 seconds (try 2 of 2)"
    assert waiting.is_scheduled()


def test_submitted_task_holds_no_thread_while_it_waits():
    from nbflow.task_runners import ThreadPoolTaskRunner

    other_ran = threading.Event()

    def needs_the_thread():
        if not other_ran.is_set():
            raise ConnectionError
        return "ok"

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        first = task(needs_the_thread, retries=50, retry_delay_seconds=0.02).submit()
        task(other_ran.set).submit()
        return first

    assert main() == "ok"


@pytest.mark.parametrize(
    ("retries", "delay", "expected"),
    [
        (3, None, [0, 0, 0]),
        (3, 2, [2, 2, 2]),
        (3, [1, 5], [1, 5, 5]),
        (2, [1, 5, 9], [1, 5]),
        (3, exponential_backoff(10), [10, 20, 40]),
        (2, lambda retries: [retries] * retries, [2, 2]),
        (2, lambda retries: 7, [7, 7]),
    ],
)
def test_waits_follow_the_declared_delays(retries, delay, expected):
    policy = task(retries=retries, retry_delay_seconds=delay)(lambda: 1).spec.retry

    assert [policy.wait_before(n + 1) for n in range(retries)] == expected


def test_jitter_stretches_a_wait_up_to_its_factor():
    policy = RetryPolicy(1, (10.0,), 0.5)
    waits = [policy.wait_before(1) for _ in range(200)]

    assert min(waits) >= 10
    assert 14 < max(waits) <= 15


def test_users_random_numbers_are_left_alone():
    def draws():
        random.seed(7)
        flow(lambda: task(flaky(1), retries=1, retry_jitter_factor=1)())()
        return random.random()

    random.seed(7)
    assert draws() == draws() == random.Random(7).random()


def test_condition_decides_with_task_run_and_state(colour):
    asked = []

    def condition(of, run, state):
        asked.append((of.name, run.run_count, state.name))
        return isinstance(state.result(raise_on_failure=False), ConnectionError)

    def wrong():
        raise KeyError("no use")

    assert (
        colour.run(colour.task(flaky(1), retries=3, retry_condition_fn=condition, name="a")) == "ok"
    )
    with pytest.raises(KeyError):
        colour.run(colour.task(wrong, retries=3, retry_condition_fn=condition, name="b"))
    assert asked == [("a", 1, "Failed"), ("b", 1, "Failed")]


def test_condition_may_be_a_coroutine_function(colour):
    async def never(*_):
        await asyncio.sleep(0)
        return False

    body = flaky(1)
    with pytest.raises(ConnectionError):
        colour.run(colour.task(body, retries=3, retry_condition_fn=never))
    with pytest.raises(ConnectionError):
        colour.task(flaky(1), retries=3, retry_condition_fn=never).submit().result()


def test_condition_that_raises_ends_the_tries(colour, caplog):
    with pytest.raises(ConnectionError):
        colour.run(colour.task(flaky(1), retries=3, retry_condition_fn=lambda *_: 1 / 0))
    assert "retry_condition_fn" in caplog.text


def test_run_count_counts_tries(colour):
    counts = []

    def body():
        counts.append(get_run_context().task_run.run_count)
        if len(counts) < 3:
            raise ValueError

    colour.run(colour.task(body, retries=5))

    assert counts == [1, 2, 3]


def test_generator_is_retried_only_before_its_first_item():
    begun = []

    @task(retries=2)
    def late():
        begun.append(1)
        yield 1
        raise ValueError("late")

    @task(retries=2)
    def early():
        begun.append(1)
        if len(begun) < 3:
            raise ValueError("early")
        yield "ok"

    assert list(early()) == ["ok"]
    begun.clear()
    with pytest.raises(ValueError, match="late"):
        list(late())
    assert begun == [1]


def test_crash_and_cancellation_are_not_retried(colour, events):
    def leaves():
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        colour.run(colour.task(leaves, retries=3))
    assert events.names() == ["Running", "Crashed"]


def test_timers_call_in_order_and_survive_what_raises(caplog):
    timers, called, done = Timers(), [], threading.Event()

    timers.call_later(0.02, lambda: (called.append(2), done.set()))
    timers.call_later(0.0, lambda: 1 / 0)
    timers.call_later(0.01, lambda: called.append(1))
    timers.call_later(0.01, lambda: called.append("never")).cancel()
    timers.call_later(1e12, lambda: called.append("never"))

    assert done.wait(10)
    assert called == [1, 2]
    timers.close()

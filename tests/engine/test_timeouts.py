"""Timeouts: whatever the task does, its caller goes on in time, and nothing escapes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time

import pytest

from nbflow import flow, task
from nbflow.errors import RunTimedOut

# Generous: what is tested is that nobody waits for the ten seconds of the task.
IN_TIME = 4


def sleeps():
    time.sleep(10)


def receives():
    one, other = socket.socketpair()
    with one, other:
        one.recv(1)


def spins():
    end = time.monotonic() + 10
    while time.monotonic() < end:
        pass


def locks():
    lock = threading.Lock()
    with lock:
        lock.acquire(timeout=10)


BODIES = pytest.mark.parametrize("body", [sleeps, receives, spins, locks])


@contextlib.contextmanager
def in_time():
    started = time.monotonic()
    yield
    assert time.monotonic() - started < IN_TIME


def on_a_thread(fn):
    """What `fn` gives on a thread of the user's."""
    answer = []
    thread = threading.Thread(target=lambda: answer.append(fn()), daemon=True)
    thread.start()
    thread.join(20)
    return answer[0]


@BODIES
@pytest.mark.parametrize("make", [task, flow], ids=["task", "flow"])
@pytest.mark.parametrize("where", ["main", "thread", "pool", "async"])
def test_blocked_try_ends_in_time(body, make, where, events):
    limited = make(timeout_seconds=0.1, name="t")(body)

    with in_time():
        if where == "main":
            state = limited(return_state=True)
        elif where == "thread":
            state = on_a_thread(lambda: limited(return_state=True))
        elif where == "pool":
            caller = limited if make is task else task(lambda: limited(return_state=True))
            state = caller.submit(return_state=True)
        else:

            @make(timeout_seconds=0.1, name="t")
            async def blocking():
                body()

            state = asyncio.run(blocking(return_state=True))

    assert state.name == "TimedOut"
    assert "exceeded its timeout of 0.1 seconds" in state.message


@pytest.mark.parametrize("make", [task, flow], ids=["task", "flow"])
def test_awaiting_try_ends_in_time(make):
    ended = []

    @make(timeout_seconds=0.05)
    async def waits():
        try:
            await asyncio.sleep(10)
        finally:
            ended.append(1)

    with in_time(), pytest.raises(RunTimedOut):
        asyncio.run(waits())
    if make is task:
        with in_time():
            assert waits.submit(return_state=True).name == "TimedOut"
    assert ended


def test_error_is_a_timeout_error_that_names_the_run():
    with pytest.raises(TimeoutError, match=r"task run 'slow-0' exceeded its timeout of 0.05"):
        task(timeout_seconds=0.05, name="slow")(sleeps)()


def test_flow_waiting_for_its_children_ends_in_time(events):
    gate = threading.Event()
    waiting = task(name="waiting")(lambda: gate.wait(10))

    @flow(timeout_seconds=0.1)
    def main():
        waiting.submit()

    with in_time():
        state = main(return_state=True)
    gate.set()

    assert state.name == "TimedOut"
    assert events.names("waiting-0")[-1] == "Cancelled"


def test_flow_in_result_of_a_child_ends_in_time():
    gate = threading.Event()

    @flow(timeout_seconds=0.1)
    def main():
        return task(lambda: gate.wait(10)).submit().result()

    with in_time():
        assert main(return_state=True).name == "TimedOut"
    gate.set()


def test_inner_timeout_leaves_the_outer_alone(events):
    inner = task(timeout_seconds=0.05, name="inner")(sleeps)

    @flow(timeout_seconds=30)
    def outer():
        with pytest.raises(RunTimedOut):
            inner()
        return "went on"

    assert outer() == "went on"
    assert on_a_thread(outer) == "went on"


def test_outer_timeout_ends_what_is_inside(events):
    inner = task(name="inner", timeout_seconds=30)(sleeps)
    outer = flow(timeout_seconds=0.1, name="outer")(lambda: inner())

    with in_time():
        state = outer(return_state=True)

    assert state.name == "TimedOut"
    assert events.names("inner-0")[-1] == "Cancelled"


def test_timeout_limits_a_try_and_not_the_sum(colour, events):
    tries = []

    def second_works():
        tries.append(1)
        if len(tries) == 1:
            sleeps()
        return "ok"

    with in_time():
        made = task(second_works, timeout_seconds=0.1, retries=1, name="t")
        assert made() == "ok"
        tries.clear()
        assert made.submit().result() == "ok"
    assert events.names("t-1") == ["Running", "AwaitingRetry", "Retrying", "Completed"]


@pytest.mark.parametrize("where", ["pool", "thread"])
def test_late_end_of_an_abandoned_try_leaves_the_next_one_its_timeout(where):
    """The first try cannot be stopped and returns while the second one is at work."""
    tries = []
    first_is_back = threading.Event()

    @task(timeout_seconds=0.2, retries=1)
    def hangs():
        tries.append(1)
        if len(tries) == 1:
            try:
                time.sleep(0.3)  # a blocked C call: it ends when it ends
            finally:
                first_is_back.set()
        else:
            spins()

    with in_time():
        if where == "pool":
            state = hangs.submit(return_state=True)
        else:
            state = on_a_thread(lambda: hangs(return_state=True))

    assert state.name == "TimedOut"
    assert first_is_back.wait(10)
    assert len(tries) == 2


@pytest.mark.parametrize("where", ["main", "pool", "async", "submit async"])
def test_swallowed_interruption_still_ends_the_run(where):
    def swallows():
        try:
            spins()
        except BaseException:
            return "nothing happened"

    async def swallows_async():
        try:
            await asyncio.sleep(10)
        except BaseException:
            return "nothing happened"

    with in_time():
        if where == "main":
            state = task(timeout_seconds=0.05)(swallows)(return_state=True)
        elif where == "pool":
            state = task(timeout_seconds=0.05)(swallows).submit(return_state=True)
        elif where == "async":
            state = asyncio.run(task(timeout_seconds=0.05)(swallows_async)(return_state=True))
        else:
            state = task(timeout_seconds=0.05)(swallows_async).submit(return_state=True)

    assert state.name == "TimedOut"


def test_except_exception_does_not_eat_it():
    def careless():
        while True:
            with contextlib.suppress(Exception):
                time.sleep(0.01)

    limited = task(timeout_seconds=0.05)(careless)

    with in_time():
        assert limited(return_state=True).name == "TimedOut"
        assert limited.submit(return_state=True).name == "TimedOut"


@pytest.mark.parametrize("where", ["main", "pool", "thread"])
def test_ends_around_the_deadline_never_escape(where, events):
    """500 tries that end when their time does: each one completes or times out, nothing else."""

    @task(timeout_seconds=0.005)
    def races(n):
        end = time.perf_counter() + 0.004 + n % 20 * 0.0001
        while time.perf_counter() < end:
            pass
        return n

    def many():
        return [races(n, return_state=True) for n in range(500 if where == "main" else 150)]

    if where == "main":
        states = many()
    elif where == "thread":
        states = on_a_thread(many)
    else:
        futures = races.map(range(500))
        futures.wait()
        states = [future.state for future in futures]

    assert {state.name for state in states} <= {"Completed", "TimedOut"}
    for n, state in enumerate(states):
        assert state.name == "TimedOut" or state.result() == n
    end = time.monotonic() + 0.15  # one that came late would be raised here
    while time.monotonic() < end:
        pass
    assert all(run.state.is_final() for run in events.runs())


# CPython swallows one that comes in a weakref's callback; it is raised again after a moment.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("where", ["main", "thread", "pool"])
def test_deadline_within_our_own_code_leaves_no_run_without_end(where, events):
    """The body does next to nothing, so most deadlines come between two lines of the engine."""
    quick = task(name="quick")(lambda: 1)

    @flow(timeout_seconds=0.01, name="main")
    def main():
        while True:
            quick()

    def many():
        return [main(return_state=True).name for _ in range(40)]

    if where == "main":
        names = many()
    elif where == "thread":
        names = on_a_thread(many)
    else:
        names = task(many).submit().result()

    assert set(names) == {"TimedOut"}

    def endless():
        return [run for run in events.runs() if not run.state.is_final() and run.name != "many-0"]

    end = time.monotonic() + 5  # an abandoned try is told again every 0.1 s
    while endless() and time.monotonic() < end:
        time.sleep(0.01)
    assert endless() == []


def test_timeout_of_a_generator_counts_only_its_own_time():
    @flow(timeout_seconds=0.2)
    def items():
        yield 1
        yield 2
        time.sleep(10)

    stream = items()
    assert next(stream) == 1
    time.sleep(0.3)  # the consumer's time
    assert next(stream) == 2
    with in_time(), pytest.raises(RunTimedOut):
        next(stream)


def test_timed_task_on_a_pool_thread_may_use_the_pool():
    """The thread that waits for the timed try is lent; a pool of one would else be stuck."""
    from nbflow.task_runners import ThreadPoolTaskRunner

    leaf = task(lambda: 1)
    timed = task(timeout_seconds=20)(lambda: leaf.submit().result())
    outer = task(lambda: timed())

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def main():
        return outer.submit().result(timeout=5)

    assert main() == 1


def test_users_alarm_handler_is_called_and_comes_back():
    import signal

    called = []
    before = signal.signal(signal.SIGALRM, lambda *_: called.append(1))
    try:
        from nbflow import wiring
        from nbflow.engine import interrupts

        interrupts.uninstall()
        task(timeout_seconds=5)(lambda: signal.raise_signal(signal.SIGALRM))()
        assert called == [1]
        wiring.close()
        signal.raise_signal(signal.SIGALRM)
        assert called == [1, 1]
    finally:
        signal.signal(signal.SIGALRM, before)

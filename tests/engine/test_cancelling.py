"""Cancelling, pausing and interrupting: quickly, and with an end for every run."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from nbflow import flow, flow_runs, pause_flow_run, task, wiring
from nbflow.concurrency.sync import concurrency
from nbflow.errors import CancelledRun, NotInRun
from nbflow.model.runs import RunKind
from nbflow.runtime import flow_run
from nbflow.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner


def in_background(fn):
    """Run a flow on a thread; gives a function that waits for its answer."""
    answer = []
    thread = threading.Thread(target=lambda: answer.append(fn()), daemon=True)
    thread.start()

    def join():
        thread.join(20)
        return answer[0]

    return join


def cancel(run_id):
    """Cancel and give the time it took until nothing was left, with `join` the flow's end."""
    assert wiring.current().engine.cancel(run_id)


@pytest.mark.parametrize("colour_of_tasks", ["sync", "async"])
def test_flow_with_queued_sleeping_and_running_children_ends_at_once(events, colour_of_tasks):
    ready = threading.Barrier(3)
    submitted = threading.Event()
    ids = []

    def spin():
        ready.wait(10)
        while True:
            time.sleep(0.01)

    async def spin_async():
        await asyncio.to_thread(ready.wait, 10)
        await asyncio.sleep(60)

    def fail():
        try:
            ready.wait(10)
        except threading.BrokenBarrierError:
            pass
        raise ConnectionError

    running = task(name="running")(spin if colour_of_tasks == "sync" else spin_async)
    sleeping = task(name="sleeping", retries=1, retry_delay_seconds=60)(fail)
    queued = task(name="queued")(lambda x: x)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    def main():
        ids.append(flow_run.id)
        first = running.submit()
        sleeping.submit()
        for _ in range(20):
            queued.submit(first)
        submitted.set()

    join = in_background(lambda: main(return_state=True))
    ready.wait(10)
    assert submitted.wait(10)
    while "AwaitingRetry" not in events.names("sleeping-0"):
        time.sleep(0.001)
    started = time.monotonic()
    cancel(ids[0])
    state = join()

    assert time.monotonic() - started < 1
    assert state.name == "Cancelled"
    with pytest.raises(CancelledRun):
        state.result()
    left = [run for run in events.runs() if not run.state.is_final()]
    for run in left:
        assert run.spec.name == "running"  # an asyncio task ends on its loop, a moment later
    assert events.names("queued-19") == ["Cancelled"]
    assert events.names("sleeping-0")[-1] == "Cancelled"


def test_flow_that_sleeps_before_its_retry_ends_at_once(events):
    ids, failed = [], threading.Event()

    @flow(retries=1, retry_delay_seconds=60, name="main")
    def main():
        ids.append(flow_run.id)
        failed.set()
        raise ValueError

    join = in_background(lambda: main(return_state=True))
    assert failed.wait(10)
    while "AwaitingRetry" not in events.names():
        time.sleep(0.001)
    started = time.monotonic()
    cancel(ids[0])

    assert join().name == "Cancelled"
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("body", ["sleep", "await", "task"])
def test_flow_on_the_main_thread_is_cancelled_wherever_it_is(body):
    def later():
        while not ids:
            time.sleep(0.001)
        time.sleep(0.05)
        cancel(ids[0])

    ids = []

    @flow
    def main():
        ids.append(flow_run.id)
        (task(time.sleep) if body == "task" else time.sleep)(30)

    @flow
    async def main_async():
        ids.append(flow_run.id)
        await asyncio.sleep(30)

    started = time.monotonic()
    in_background(later)
    if body == "await":
        state = asyncio.run(main_async(return_state=True))
    else:
        state = main(return_state=True)

    assert state.name == "Cancelled"
    assert time.monotonic() - started < 5


def test_cancelled_flow_ends_its_subflows(events):
    ids, inside = [], threading.Event()

    @flow(name="inner")
    def inner():
        inside.set()
        while True:
            time.sleep(0.01)

    @flow(name="outer")
    def outer():
        ids.append(flow_run.id)
        inner()

    join = in_background(lambda: outer(return_state=True))
    assert inside.wait(10)
    cancel(ids[0])

    assert join().name == "Cancelled"
    assert [run.state.name for run in events.runs()] == ["Cancelled", "Cancelled"]


def test_tasks_waiting_for_a_slot_are_cancelled_and_leave_none_taken(events, colour):
    """The pool's threads all wait for the limit; none of them is needed to end their runs."""
    ids, holding = [], threading.Event()
    wiring.current().store.create_limit("one", 1)
    limited = colour.task(lambda: 1, name="limited", tags=["one"])

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def main():
        ids.append(flow_run.id)
        for _ in range(6):
            limited.submit()
        holding.set()

    with concurrency("one"):
        join = in_background(lambda: main(return_state=True))
        assert holding.wait(10)
        while len(events.runs()) < 7:
            time.sleep(0.001)
        started = time.monotonic()
        cancel(ids[0])
        assert join().name == "Cancelled"
        assert time.monotonic() - started < 1

    def free():
        (record,) = wiring.current().store.limits("one")
        return record.n_active == 0

    end = time.monotonic() + 10
    while not free() and time.monotonic() < end:
        time.sleep(0.01)
    assert free()
    assert limited.submit().result(timeout=10) == 1


def test_many_async_tasks_share_one_slot_without_getting_stuck():
    """Those that wait must not hold what the one with the slot needs to go on."""
    wiring.current().store.create_limit("one", 1)

    @task(tags=["one"], persist_result=True)
    async def limited(n):
        await asyncio.to_thread(len, "abc")
        return n

    @flow
    async def main():
        return await asyncio.gather(*(limited(n) for n in range(30)))

    assert asyncio.run(main()) == list(range(30))


def test_cancelling_what_is_not_there_says_so():
    assert wiring.current().engine.cancel("nothing") is False


# --- pausing ------------------------------------------------------------------------------------


def test_paused_flow_begins_no_task_until_it_is_resumed(events):
    ids, go = [], threading.Event()
    step = task(name="step")(lambda: 1)

    @flow
    def main():
        ids.append(flow_run.id)
        assert go.wait(10)
        return step.submit().result() + step()

    join = in_background(main)
    while not ids:
        time.sleep(0.001)
    engine = wiring.current().engine
    assert engine.pause(ids[0])
    assert engine.pause(ids[0])
    go.set()
    while not any(run.name == "step-0" for run in events.runs()):
        time.sleep(0.001)
    assert events.names("step-0") == []
    assert engine.resume(ids[0])
    assert not engine.resume(ids[0])

    assert join() == 2
    assert events.names()[:3] == ["Running", "Paused", "Running"]
    assert not engine.pause(ids[0])


def test_pause_in_the_body_waits_for_resume_by_name(events):
    def resume():
        while "Paused" not in events.names():
            time.sleep(0.001)
        flow_runs.resume_flow_run("pausing")

    @flow(flow_run_name="pausing")
    def main():
        pause_flow_run(timeout=10)
        return "went on"

    in_background(resume)
    assert main() == "went on"


def test_pause_that_nobody_ends_times_out_and_the_flow_can_go_on():
    @flow
    def main():
        with pytest.raises(TimeoutError, match="was not resumed within"):
            pause_flow_run(timeout=0.05)
        return task(lambda: 1)()

    assert main() == 1


def test_pause_outside_of_a_flow_is_refused():
    with pytest.raises(NotInRun):
        pause_flow_run()
    with pytest.raises(NotInRun):
        task(pause_flow_run)()


def test_timeout_of_a_paused_flow_still_comes(events):
    @flow(timeout_seconds=0.2)
    def main():
        engine = wiring.current().engine
        engine.pause(flow_run.id)
        task(lambda: 1)()

    assert main(return_state=True).name == "TimedOut"
    assert all(run.state.is_final() for run in events.runs())


def test_cancel_run_waits_for_the_end(events):
    ready = threading.Event()

    @flow(flow_run_name="long")
    def main():
        ready.set()
        while True:
            time.sleep(0.01)

    join = in_background(lambda: main(return_state=True))
    assert ready.wait(10)
    record = flow_runs.cancel_run("long", timeout=10)

    assert record.state_name == "Cancelled"
    assert join().name == "Cancelled"


# --- interrupts ---------------------------------------------------------------------------------


@pytest.fixture
def ctrl_c():
    """Python's own handler: a shell starts what is in its background with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


SCRIPT = """
import faulthandler, signal, time
from nbflow import flow, task

faulthandler.dump_traceback_later(10, exit=True)  # where it hangs, if it does

signal.signal(signal.SIGINT, signal.default_int_handler)

@task
def slow(n):
    time.sleep(30)

@flow(name="main")
def main():
    for n in range(200):
        slow.submit(n)
    print("ready", flush=True)
    # In steps: CPython sees a signal only after a sleep that begins while it comes.
    while True:
        time.sleep(0.01)

try:
    main()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_ctrl_c_with_hundreds_of_tasks_returns_at_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with (
        (tmp_path / "stderr").open("w") as stderr,
        subprocess.Popen(
            [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert time.monotonic() - started < 1
        assert process.wait(10) == 0

    store = wiring.current().store
    assert [record.state_name for record in store.runs(name="main")] == ["Cancelled"]
    states = [record.state_name for record in store.runs(name="slow", limit=300)]
    assert states == ["Cancelled"] * 200


# CPython swallows one that comes in a weakref's callback.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_any_moment_leaves_no_run_without_end(events, ctrl_c):
    quick = task(name="quick")(lambda: 1)

    @flow
    def main():
        end = time.monotonic() + 2
        while time.monotonic() < end:
            quick()
            quick.submit().wait()
        raise KeyboardInterrupt

    for n in range(30):
        timer = threading.Timer(
            0.005 + n * 0.0003,
            lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT),
        )
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            main()

    def endless():
        return [run for run in events.runs() if not run.state.is_final()]

    end = time.monotonic() + 5
    while endless() and time.monotonic() < end:
        time.sleep(0.01)
    assert endless() == []
    assert flow_run.id is None
    assert task(lambda: flow_run.id)() is None


# --- generators ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [task, flow], ids=["task", "flow"])
def test_generator_left_half_way_is_cancelled(make, events):
    closed = []

    @make
    def items():
        try:
            yield 1
            yield 2
        finally:
            closed.append(1)

    stream = items()
    next(stream)
    stream.close()
    stream = items()
    next(stream)
    del stream
    gc.collect()

    assert closed == [1, 1]
    assert [run.state.name for run in events.runs()] == ["Cancelled", "Cancelled"]


@pytest.mark.parametrize("make", [task, flow], ids=["task", "flow"])
def test_async_generator_left_half_way_is_cancelled(make, events):
    closed = []

    @make
    async def items():
        try:
            yield 1
            yield 2
        finally:
            closed.append(1)

    async def leave():
        stream = items()
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(leave())

    assert closed == [1]
    assert [run.state.name for run in events.runs()] == ["Cancelled"]


def test_generator_whose_cleanup_raises_fails(events):
    @task
    def items():
        try:
            yield 1
        finally:
            raise ValueError("cleanup")

    stream = items()
    next(stream)
    with pytest.raises(ValueError, match="cleanup"):
        stream.close()

    assert [run.state.name for run in events.runs()] == ["Failed"]


def test_process_runner_children_are_killed_with_their_flow(tmp_path, events):
    ids, pid_file = [], tmp_path / "pid"

    def hang(path):
        path.write_text(str(os.getpid()))
        time.sleep(60)

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main():
        ids.append(flow_run.id)
        task(hang).submit(pid_file)
        task(hang).submit(pid_file)

    join = in_background(lambda: main(return_state=True))
    while not pid_file.exists() or not pid_file.read_text():
        time.sleep(0.01)
    started = time.monotonic()
    cancel(ids[0])

    assert join().name == "Cancelled"
    assert time.monotonic() - started < 1
    assert all(run.state.name == "Cancelled" for run in events.runs())
    assert sum(run.kind is RunKind.TASK for run in events.runs()) == 2

"""What users get wrong, and what the world does to them: clear ends, and every run has one."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import warnings

import pytest

from nbflow import flow, task, wiring
from nbflow.errors import NbflowError
from nbflow.states import Completed


def test_endless_recursion_of_a_flow_ends_clearly(events):
    @flow
    def down(n):
        return down(n + 1)

    with pytest.raises(RecursionError):
        down(0)

    assert len(events.runs()) > 20
    assert {run.state.name for run in events.runs()} == {"Failed"}
    assert flow(lambda: 1)() == 1


def test_endless_recursion_of_a_task_ends_clearly(events):
    @task
    def down(n):
        return down(n + 1)

    with pytest.raises(RecursionError):
        down(0)

    assert {run.state.name for run in events.runs()} == {"Failed"}


def test_deep_but_ending_recursion_works():
    @flow
    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)

    assert down(30) == 30


def test_task_that_forks_leaves_the_parent_alone(events):
    @task
    def forks():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: threads and fork
            child = os.fork()
        if child == 0:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert forks() == 7
    assert flow(lambda: forks())() == 7
    assert all(run.state.name == "Completed" for run in events.runs())


def test_forked_child_may_run_flows_of_its_own():
    """Nothing is being written during the fork: SQLite's own locks are not made for one."""
    read, write = os.pipe()
    task(lambda: 1).submit().wait()
    wiring.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(20, exit=True)  # its parent waits for it
        try:
            os.write(write, str(flow(lambda: task(lambda: 3).submit().result())()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        assert answer.read() == b"3"
    os.waitpid(child, 0)
    assert task(lambda: 2)() == 2


@pytest.mark.parametrize("error", [SystemExit(2), KeyboardInterrupt()], ids=["exit", "interrupt"])
@pytest.mark.parametrize("way", ["call", "submit"])
def test_exit_in_a_task_ends_its_run(error, way, events):
    def raises():
        raise error

    with pytest.raises(type(error)) as caught:
        task(raises)() if way == "call" else task(raises).submit().result()

    assert caught.value is error
    expected = "Crashed" if isinstance(error, SystemExit) else "Cancelled"
    assert events.names()[-1] == expected


def test_exception_whose_text_raises_still_fails_the_run(colour, events):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    def raises():
        raise Mute

    with pytest.raises(Mute):
        colour.run(colour.task(raises))
    assert events.names() == ["Running", "Failed"]


def test_huge_message_is_shortened(events):
    def raises():
        raise ValueError("x" * 100_000)

    state = task(raises)(return_state=True)

    assert len(state.message) < 1_000


def test_value_with_odd_comparison_and_length_passes_through(colour):
    class Odd:
        def __eq__(self, other):
            raise RuntimeError

        def __len__(self):
            raise RuntimeError

        def __bool__(self):
            raise RuntimeError

        def __repr__(self):
            raise RuntimeError

        __hash__ = None

    odd = Odd()
    assert colour.run(colour.task(lambda x: x), odd) is odd
    assert colour.run(colour.flow(lambda x: x), odd) is odd
    assert colour.task(lambda x: [x]).submit([odd]).result()[0][0] is odd


def test_user_exceptions_of_base_types_are_taken_for_what_they_are(colour):
    for kind in (GeneratorExit, StopAsyncIteration, TimeoutError, NbflowError, RecursionError):

        def raises(kind=kind):
            raise kind("mine")

        with pytest.raises(kind, match="mine"):
            colour.run(colour.task(raises))


def test_stop_iteration_of_a_task_is_an_error_like_any_other():
    @task
    def raises():
        raise StopIteration("mine")

    with pytest.raises(StopIteration, match="mine"):
        raises()
    assert raises(return_state=True).is_failed()
    assert raises.submit(return_state=True).is_failed()


def test_many_threads_may_start_nbflow_at_once(events):
    answers = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(task(lambda: n).submit().result()))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(answers) == list(range(20))


def test_task_may_return_states_and_states_of_states():
    assert task(lambda: Completed(data=[Completed(data=1)]))().__class__ is list


def test_runs_from_a_thread_that_outlives_its_flow_are_its_children(events):
    from contextvars import copy_context

    done = threading.Event()
    go = threading.Event()

    def late():
        assert go.wait(10)
        task(lambda: 1, name="late")()
        done.set()

    @flow
    def main():
        context = copy_context()
        threading.Thread(target=lambda: context.run(late), daemon=True).start()

    main()
    go.set()
    assert done.wait(10)

    assert events.names("late-0") == ["Running", "Completed"]


def test_print_and_log_factory_come_back_when_nbflow_closes():
    import builtins
    import logging

    wiring.close()
    before = builtins.print, logging.getLogRecordFactory()
    task(lambda: 1)()
    assert builtins.print is not before[0]
    wiring.close()

    assert (builtins.print, logging.getLogRecordFactory()) == before
    assert sys.getrecursionlimit() > 0

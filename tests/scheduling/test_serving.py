"""`serve()`: in a script it blocks, in a notebook it gives a handle; runs are the process' own."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from children import Child

from nbflow import flow, runtime, serve, task, wiring
from nbflow.errors import InvalidSchedule, NbflowError, UnknownOption
from nbflow.schedules import Cron, IntervalSchedule


def until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not claim():
        assert time.monotonic() < deadline, "it did not come true in 30 s"
        threading.Event().wait(0.01)


@pytest.fixture
def interactive(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the process looks like inside a kernel."""
    ipython = SimpleNamespace(get_ipython=lambda: object())
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return


@pytest.mark.usefixtures("interactive")
def test_in_a_notebook_serve_returns_a_handle_and_runs_in_the_background() -> None:
    seen = []

    @flow
    def report(n: int = 1) -> None:
        seen.append((n, threading.current_thread().name, runtime.flow_run.scheduled_start_time))

    serving = report.serve(name="often", interval=0.2, parameters={"n": "3"}, overlap="allow")
    assert serving is not None
    assert "report/often: every 200 milliseconds" in repr(serving)
    assert len(serving.next_runs(3)) == 3
    until(lambda: len(seen) >= 3)
    serving.stop()
    assert not serving.is_active
    assert "stopped" in repr(serving)
    assert {n for n, _, _ in seen} == {3}
    assert all(name.startswith("nbflow-flow-") for _, name, _ in seen)
    planned = [at.timestamp() for _, _, at in seen]
    assert all(at * 5 == pytest.approx(round(at * 5), abs=1e-3) for at in planned)
    until(lambda: all(run.is_final for run in serving.runs()))
    assert {run.state_name for run in serving.runs()} == {"Completed"}


@pytest.mark.usefixtures("interactive")
def test_a_handle_triggers_a_run_with_other_parameters() -> None:
    @flow
    async def later(text: str = "a") -> str:
        return text

    serving = later.serve(cron="0 8 * * *", timezone="America/New_York")
    assert serving is not None
    serving.trigger({"text": "b"})
    until(lambda: [run.state_name for run in serving.runs()] == ["Completed"])
    assert serving.runs()[0].inputs == {"text": "b"}


@pytest.mark.usefixtures("interactive")
def test_several_flows_are_served_by_one_call() -> None:
    done = set()

    @flow
    def one() -> None:
        done.add("one")

    @flow
    def two() -> None:
        done.add("two")

    serving = serve(
        one.to_deployment("a", interval="1s"),
        two.to_deployment("b", schedules=[IntervalSchedule(interval=1), Cron("0 8 * * *")]),
    )
    until(lambda: done == {"one", "two"})
    assert serving is not None
    serving.stop()


@pytest.mark.usefixtures("interactive")
def test_hooks_of_a_scheduled_run_are_called_once_and_a_failure_stays_in_its_run() -> None:
    called = []

    @flow(on_failure=[lambda flow, run, state: called.append(run.id)])
    def broken() -> None:
        raise ValueError("no data")

    serving = broken.serve(interval="1s")
    assert serving is not None
    until(lambda: len(called) >= 2)
    serving.stop()
    until(lambda: all(run.is_final for run in serving.runs()))
    failed = [run for run in serving.runs() if run.state_name == "Failed"]
    assert sorted(run.id for run in failed) == sorted(called)
    assert "no data" in failed[0].message


@pytest.mark.usefixtures("interactive")
def test_tasks_of_a_scheduled_run_belong_to_it() -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    @flow
    def f() -> int:
        return sum(double.map([1, 2, 3]).result())

    serving = f.serve()
    assert serving is not None
    serving.trigger()
    until(lambda: [run.state_name for run in serving.runs()] == ["Completed"])
    family = wiring.current().store.family(serving.runs()[0].id)
    assert [run.spec_name for run in family] == ["f", "double", "double", "double"]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"cron": "0 8 * *"}, InvalidSchedule, "five"),
        ({"cron": "0 8 * * *", "interval": 60}, InvalidSchedule, "one"),
        ({"cron": "0 8 * * *", "timezone": "America/NewYork"}, InvalidSchedule, "New_York"),
        ({"crom": "0 8 * * *"}, UnknownOption, "cron"),
    ],
)
@pytest.mark.usefixtures("interactive")
def test_bad_schedules_are_refused_at_once(options, error, told) -> None:
    @flow
    def f() -> None: ...

    with pytest.raises(error, match=told):
        f.serve(**options)


def test_serve_needs_something_to_serve() -> None:
    with pytest.raises(NbflowError, match="to_deployment"):
        serve()


SCRIPT = """
    import sys, time
    from nbflow import flow

    @flow
    def report(seconds: float = 0.0):
        print("begun", flush=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)

    report.serve(name="often", interval=0.5, parameters={"seconds": float(sys.argv[1])})
    print("over", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_script_blocks_until_it_is_told_and_lets_its_runs_end(
    home: Path, number: signal.Signals
) -> None:
    child = Child(SCRIPT, home, 1.0)
    assert child.line() == "begun"
    child.send(number)
    assert child.end()[-1] == "over"
    assert "serving report/often: every 500 milliseconds" in child.stderr
    store = wiring.current().store
    assert {run.state_name for run in store.runs(name="report")} <= {"Completed", "Skipped"}


def test_told_twice_a_script_cancels_its_runs(home: Path) -> None:
    child = Child(SCRIPT, home, 60.0)
    assert child.line() == "begun"
    child.send(signal.SIGINT)
    while "Ctrl-C again" not in (line := child.error_line()):
        assert line
    child.send(signal.SIGINT)
    child.end()
    states = {run.state_name for run in wiring.current().store.runs(name="report")}
    assert "Cancelled" in states
    assert states <= {"Cancelled", "Skipped"}


def test_a_script_that_serves_again_goes_on_where_it_was(home: Path) -> None:
    for _ in range(2):
        child = Child(SCRIPT, home, 0.0)
        assert child.line() == "begun"
        child.send(signal.SIGINT)
        child.end()
    times = [run.scheduled_at for run in wiring.current().store.runs(name="report", limit=1_000)]
    assert len(times) == len(set(times))
    assert [b - a for a, b in zip(times[1:], times[:-1], strict=True)] == pytest.approx(
        [0.5] * (len(times) - 1), abs=1e-3
    )

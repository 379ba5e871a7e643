"""Flow runs: their final states, their subflows, their parameters."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from nbflow import flow, task, wiring
from nbflow.errors import CancelledRun, CrashedRun, FailedRun, ParameterError, UnfinishedRun
from nbflow.states import (
    Cancelled,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    State,
    StateType,
    TimedOut,
)
from nbflow.task_runners import ThreadPoolTaskRunner


def fails():
    raise ValueError("no rows")


# --- final states -----------------------------------------------------------------------------


def test_returned_value_completes_the_flow(colour, events):
    state = colour.run(colour.flow(lambda: 5), return_state=True)

    assert (state.name, state.type, state.result()) == ("Completed", StateType.COMPLETED, 5)
    assert events.names() == ["Running", "Completed"]


def test_raised_exception_fails_the_flow_and_is_raised_itself(colour, events):
    error = ValueError("x")

    def raises():
        raise error

    with pytest.raises(ValueError) as caught:
        colour.run(colour.flow(raises))

    assert caught.value is error
    (run,) = events.runs()
    assert (run.state.name, run.state.message) == ("Failed", "Flow run raised ValueError: x")
    assert any("ValueError: x" in line for line in events.messages())


@pytest.mark.parametrize(
    ("state", "raises"),
    [
        (Failed("no rows"), FailedRun),
        (Failed("x", data=KeyError("k")), KeyError),
        (Cancelled("enough"), CancelledRun),
        (Crashed("boom"), CrashedRun),
        (TimedOut("late"), FailedRun),
    ],
)
def test_returned_state_is_the_flows_state(colour, state, raises):
    made = colour.flow(lambda: state)

    final = colour.run(made, return_state=True)

    assert (final.type, final.name, final.message) == (state.type, state.name, state.message)
    with pytest.raises(raises):
        colour.run(made)


def test_returned_completed_state_gives_its_data(colour):
    assert colour.run(colour.flow(lambda: Completed(data=42))) == 42
    assert colour.run(colour.task(lambda: Completed("ok", data=42))) == 42


@pytest.mark.parametrize("state", [Running(), Pending(), Scheduled(), Paused()], ids=str)
def test_returned_state_that_is_not_final_fails_the_run(colour, state):
    for made in (colour.flow(lambda: state), colour.task(lambda: state)):
        with pytest.raises(FailedRun, match=f"returned the state {state.name}"):
            colour.run(made)


def test_returned_future_decides_the_state():
    good, bad = task(lambda: 3), task(fails)

    assert flow(lambda: good.submit())() == 3
    state = flow(lambda: bad.submit())(return_state=True)

    assert state.is_failed()
    assert isinstance(state.result(raise_on_failure=False), ValueError)


def test_returned_collection_of_futures_and_states_is_resolved_or_fails():
    good, bad = task(lambda: 3), task(fails)

    assert flow(lambda: [good.submit(), {"a": good.submit()}, 1])() == [3, {"a": 3}, 1]
    assert flow(lambda: (good(return_state=True), good.map([]) or 1))() == (3, 1)
    state = flow(lambda: [good.submit(), bad.submit(), bad.submit()])(return_state=True)

    assert state.is_failed()
    assert state.message.startswith("2 of 3 returned runs did not complete")


def test_failed_task_that_nobody_looked_at_fails_the_flow():
    bad = task(name="bad")(fails)

    @flow
    def ignores():
        bad.submit()
        return "value"

    state = ignores(return_state=True)

    assert state.is_failed()
    assert "'bad-0'" in state.message
    with pytest.raises(ValueError, match="no rows"):
        ignores()


@pytest.mark.parametrize("look", ["result", "state", "exception", "return_state", "try"])
def test_failure_that_was_looked_at_does_not_fail_the_flow(look):
    bad = task(fails)

    @flow
    def looks():
        future = bad.submit()
        future.wait()
        if look == "result":
            future.result(raise_on_failure=False)
        elif look == "state":
            assert future.state.is_failed()
        elif look == "exception":
            assert isinstance(future.exception(), ValueError)
        elif look == "try":
            with pytest.raises(ValueError):
                future.result()
        else:
            future.state
            bad.submit(return_state=True)
            assert bad(return_state=True).is_failed()
        return "value"

    assert looks() == "value"


def test_flow_waits_for_everything_it_submitted():
    ended = []
    gate = threading.Event()

    @task
    def late():
        assert gate.wait(10)
        ended.append(1)

    @flow
    def forgets():
        for _ in range(3):
            late.submit()
        threading.Timer(0.02, gate.set).start()

    forgets()

    assert ended == [1, 1, 1]


def test_failed_body_cancels_what_has_not_begun(events):
    gate = threading.Event()
    slow = task(name="slow")(lambda: gate.wait(10))

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def raises():
        for _ in range(3):
            slow.submit()
        threading.Timer(0.05, gate.set).start()
        raise ValueError("body")

    with pytest.raises(ValueError, match="body"):
        raises()

    names = [run.state.name for run in events.runs()[1:]]
    assert names.count("Cancelled") >= 2
    assert all(run.state.is_final() for run in events.runs())


# --- subflows -----------------------------------------------------------------------------------


def test_runs_know_where_they_belong(events):
    leaf = task(name="leaf")(lambda: 1)
    inner = flow(name="inner")(lambda: leaf())

    @flow(name="outer")
    def outer():
        return inner() + leaf()

    assert outer() == 2

    runs = events.runs()
    outer_run, inner_run, first, second = runs
    assert (outer_run.spec.name, outer_run.parent_id) == ("outer", None)
    assert inner_run.parent_id == outer_run.id
    assert first.parent_id == first.flow_run_id == inner_run.id
    assert second.parent_id == second.flow_run_id == outer_run.id


def test_subflow_in_each_colour_from_each_colour():
    sync_inner = flow(lambda x: x + 1)

    @flow
    async def async_inner(x):
        await asyncio.sleep(0)
        return x + 1

    @flow
    def sync_outer():
        return sync_inner(1), async_inner(1)

    @flow
    async def async_outer():
        return sync_inner(1), await async_inner(1)

    assert sync_outer() == (2, 2)
    assert asyncio.run(async_outer()) == (2, 2)


def test_failed_subflow_raises_in_its_caller_or_gives_its_state(events):
    inner = flow(fails)

    assert flow(lambda: inner(return_state=True).name + "!")() == "Failed!"
    with pytest.raises(ValueError, match="no rows"):
        flow(lambda: inner())()


def test_two_threads_may_call_one_flow_at_once(events):
    """Each run has tasks in flight while the other ends; the runner they share must live on."""
    meet = threading.Barrier(2)
    inc = task(lambda x: x + 1)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def chain(n):
        meet.wait(10)
        futures = [inc.submit(inc.submit(i)) for i in range(n)]
        return sum(future.result() for future in futures)

    answers = {}
    threads = [threading.Thread(target=lambda n=n: answers.update({n: chain(n)})) for n in (1, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert answers == {1: 2, 300: sum(range(300)) + 600}
    assert all(run.state.name == "Completed" for run in events.runs())


def test_recursive_flow_may_share_its_runner():
    inc = task(lambda x: x + 1)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def down(n):
        future = inc.submit(inc.submit(n))
        return (down(n - 1) if n else 0) + future.result()

    assert down(5) == sum(n + 2 for n in range(6))


# --- parameters ---------------------------------------------------------------------------------


@dataclass
class Point:
    x: int


def typed(
    n: int = 1,
    when: dt.date | None = None,
    names: list[str] = (),  # type: ignore[assignment]
    mode: Literal["a", "b"] = "a",
    point: Point | None = None,
    *rest: float,
    **more: int,
):
    return n, when, names, mode, point, rest, more


CONVERTED = [
    ({"n": "3"}, 0, 3),
    ({"when": "2024-02-29"}, 1, dt.date(2024, 2, 29)),
    ({"names": ("a",)}, 2, ["a"]),
    ({"mode": "b"}, 3, "b"),
    ({"point": {"x": "4"}}, 4, Point(4)),
    ({"other": "7"}, 6, {"other": 7}),
]


@pytest.mark.parametrize(("given", "place", "expected"), CONVERTED)
def test_parameters_are_converted_by_their_hints(colour, given, place, expected):
    assert colour.run(colour.flow(typed), **given)[place] == expected


def test_varargs_are_converted_too(colour):
    assert colour.run(colour.flow(typed), 1, None, [], "a", None, "1.5", 2)[5] == (1.5, 2.0)


MISMATCHES = [
    ({"n": "three"}, ["'n'", "three", "int"]),
    ({"mode": "z"}, ["'mode'", "z", "Literal"]),
    ({"names": [1]}, ["'names'[0]", "list[str]"]),
    ({"point": {"y": 1}}, ["'point'", "Point"]),
    ({"other": "x"}, ["'more'['other']", "int"]),
]


@pytest.mark.parametrize(("given", "parts"), MISMATCHES)
def test_mismatch_names_parameter_value_and_type(colour, events, given, parts):
    with pytest.raises(ParameterError) as caught:
        colour.run(colour.flow(typed, name="typed"), **given)

    for part in (*parts, "flow 'typed'"):
        assert part in str(caught.value)
    assert events.names()[-1] == "Failed"


def test_every_bad_parameter_is_told_at_once():
    def two(a: int, b: int):
        pass

    with pytest.raises(ParameterError, match=r"'a'.*'b'"):
        flow(two)("x", "y")


def test_wrong_arguments_are_told_with_the_signature(colour, events):
    def two(a: int, b: int = 3):
        pass

    with pytest.raises(ParameterError, match=r"missing a required argument: 'a'.*b: .*int.* = 3"):
        colour.run(colour.flow(two))
    assert events.names() == ["Failed"]


def test_validation_can_be_switched_off(colour):
    assert colour.run(colour.flow(lambda n: n, validate_parameters=False), "3") == "3"

    def double(n: int):
        return n * 2

    assert colour.run(colour.flow(double, validate_parameters=False), "3") == "33"


def test_values_of_unknown_classes_are_checked_but_never_copied():
    class Frame:
        pass

    def same(frame: Frame, rows: Annotated[list, "any"]):
        return frame, rows

    same.__annotations__ = {"frame": Frame, "rows": list}
    frame, rows = Frame(), [1]

    assert flow(same)(frame, rows)[0] is frame
    with pytest.raises(ParameterError, match="'frame'"):
        flow(same)(3, rows)


def test_hint_that_cannot_be_told_is_left_out():
    def odd(a: NoSuchName, b: int):  # noqa: F821
        return a, b

    assert flow(odd)(1, 2) == (1, 2)


def test_pydantic_model_is_made_from_a_dict():
    import pydantic

    class Order(pydantic.BaseModel):
        n: int

    def take(order):
        return order

    take.__annotations__ = {"order": Order}

    assert flow(take)({"n": "3"}) == Order(n=3)


def test_plain_flow_imports_no_heavy_library(tmp_path):
    code = """
import sys
from nbflow import flow, task

@task(retries=1)
def inc(x: int) -> int:
    return x + 1

@flow
def main(n: int = 1, name: str = "a", rows: list = []):
    return inc(n) + inc.submit(n).result()

assert main(3) == 8
heavy = {"pydantic", "pandas", "numpy", "IPython", "loky", "cloudpickle", "rich", "typer", "httpx"}
print(sorted(heavy & set(sys.modules)))
"""
    script = tmp_path / "plain.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "NBFLOW_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "[]\n"


# --- odds and ends ------------------------------------------------------------------------------


def test_run_names_from_templates_and_functions(colour, events):
    colour.run(colour.flow(lambda n: n, flow_run_name="load-{n}"), 3)
    colour.run(colour.flow(lambda: 1, flow_run_name=lambda: "made"))
    colour.run(colour.task(lambda n, m=2: n, task_run_name="t-{n}-{m}"), 3)

    assert [run.name for run in events.runs()] == ["load-3", "made", "t-3-2"]


def test_bad_template_is_told_and_the_run_goes_on(colour, caplog):
    assert colour.run(colour.flow(lambda: 1, flow_run_name="{nothing}", name="f")) == 1
    assert "flow_run_name of 'f' failed" in caplog.text


def test_unfinished_state_has_no_result():
    with pytest.raises(UnfinishedRun):
        Running().result()
    assert isinstance(Running().result(raise_on_failure=False), UnfinishedRun)


def test_state_predicates_tell_the_type():
    tests = {
        "is_completed": Completed(),
        "is_failed": TimedOut(),
        "is_crashed": Crashed(),
        "is_cancelled": Cancelled(),
        "is_running": Running(),
        "is_pending": Pending(),
        "is_scheduled": Scheduled(),
        "is_paused": Paused(),
    }
    for predicate, state in tests.items():
        assert [name for name in tests if getattr(state, name)()] == [predicate]
    assert [state.is_final() for state in tests.values()] == [True] * 4 + [False] * 4
    assert repr(Failed("why")) == "Failed('why')"
    assert Failed("why", name="NoRows").name == "NoRows"
    assert Completed().timestamp.tzinfo is not None
    assert isinstance(Completed(), State)


def test_runs_are_in_the_store_when_the_flow_has_returned():
    flow(name="kept")(lambda: task(lambda: 1)())()

    store = wiring.current().store
    (record,) = store.runs(name="kept")
    assert (record.state_name, record.run_count) == ("Completed", 1)


def test_visualize_draws_calls_without_running_them(events):
    ran = []
    load = task(name="load")(lambda: ran.append(1))
    clean = task(name="clean")(lambda x: x)
    sub = flow(name="report")(lambda x: ran.append(2))

    @flow
    def main(n):
        rows = load()
        parts = clean.map(rows)
        future = clean.submit(rows[0], wait_for=[parts])
        if future.result() > 3:
            sub([parts, future])
        return rows

    text = main.visualize(3)

    assert ran == []
    assert events.all == []
    assert text.splitlines() == [
        "graph TD",
        '    n0["load"]',
        '    n1["clean"]',
        '    n2["clean"]',
        '    n3[["report"]]',
        "    n0 --> n1",
        "    n0 --> n2",
        "    n1 --> n2",
        "    n1 --> n3",
        "    n2 --> n3",
    ]


def test_visualize_draws_async_flows_even_while_a_loop_runs():
    @task(name="a")
    async def step(x=None):
        return x

    @flow
    async def main():
        return await step(await step())

    @flow
    async def streams():
        yield await step()

    async def in_a_notebook():
        return main.visualize()

    assert "n0 --> n1" in main.visualize()
    assert "n0 --> n1" in asyncio.run(in_a_notebook())
    assert 'n0["a"]' in streams.visualize()

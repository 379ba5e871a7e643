"""State hooks: called once, in order, and unable to change a run."""

from __future__ import annotations

import asyncio
import sys

import pytest

from nbflow import flow, task, wiring
from nbflow.runtime import flow_run
from nbflow.states import Cancelled, Crashed


def recorder(calls, name):
    def hook(of, run, state):
        calls.append((name, of.name, run.state is state, state.name))

    return hook


ENDS = [
    (lambda: 1, "on_completion", "Completed"),
    (lambda: 1 / 0, "on_failure", "Failed"),
    (lambda: Cancelled(), "on_cancellation", "Cancelled"),
    (lambda: Crashed(), "on_crashed", "Crashed"),
]


@pytest.mark.parametrize(("body", "option", "name"), ENDS)
def test_flow_hooks_are_called_once_each_in_order(colour, body, option, name):
    calls = []
    hooks = {
        one: [recorder(calls, f"{one} 1"), recorder(calls, f"{one} 2")]
        for one in ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")
    }

    colour.run(colour.flow(body, name="f", **hooks), return_state=True)

    assert calls == [
        ("on_running 1", "f", True, "Running"),
        ("on_running 2", "f", True, "Running"),
        (f"{option} 1", "f", True, name),
        (f"{option} 2", "f", True, name),
    ]


@pytest.mark.parametrize("way", ["call", "submit"])
def test_task_hooks_are_called_once_in_spite_of_retries(colour, way):
    calls = []
    made = colour.task(
        lambda: 1 / 0,
        name="t",
        retries=2,
        on_running=[recorder(calls, "running")],
        on_failure=[recorder(calls, "failure")],
        on_completion=[recorder(calls, "completion")],
    )

    if way == "call":
        colour.run(made, return_state=True)
    else:
        made.submit(return_state=True)

    assert calls == [("running", "t", True, "Running"), ("failure", "t", True, "Failed")]


def test_resumed_flow_does_not_begin_anew():
    calls = []

    @flow(on_running=[recorder(calls, "running")])
    def main():
        engine = wiring.current().engine
        engine.pause(flow_run.id)
        engine.resume(flow_run.id)

    main()

    assert len(calls) == 1


@pytest.mark.parametrize("error", [ValueError("hook"), SystemExit(3)], ids=["error", "exit"])
@pytest.mark.parametrize("way", ["call", "submit"])
def test_hook_that_raises_changes_nothing(colour, error, way, caplog):
    calls = []

    def bad(*_):
        raise error

    made = colour.task(
        lambda: 5,
        on_running=[bad, recorder(calls, "running")],
        on_completion=[bad, recorder(calls, "completion")],
    )

    assert (colour.run(made) if way == "call" else made.submit().result(timeout=10)) == 5
    assert [call[0] for call in calls] == ["running", "completion"]
    assert caplog.text.count("hook 'bad' raised") == 2


@pytest.mark.parametrize("way", ["call", "submit"])
def test_async_hooks_are_awaited(colour, way):
    calls = []

    async def hook(of, run, state):
        await asyncio.sleep(0)
        calls.append(state.name)

    made = colour.task(lambda: 5, on_running=[hook], on_completion=[hook])

    assert (colour.run(made) if way == "call" else made.submit().result(timeout=10)) == 5
    assert calls == ["Running", "Completed"]


def test_cached_result_completes_too(colour):
    calls = []
    made = colour.task(
        lambda x: x,
        name="t",
        cache_key_fn=lambda *_: "key",
        on_completion=[recorder(calls, "completion")],
    )

    colour.run(made, 1)
    colour.run(made, 1)

    assert [call[3] for call in calls] == ["Completed", "Cached"]


def test_hook_may_run_a_task_itself(events):
    tell = task(name="tell")(lambda: 1)

    @flow(on_failure=[lambda *_: tell()])
    def main():
        sys.exit("not a failure") if False else 1 / 0

    main(return_state=True)

    assert events.names("tell-0") == ["Running", "Completed"]

"""SIGTERM and SIGINT at random instants: the process ends soon, and what it had said stays true."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import NamedTuple

import pytest
from children import Child, read
from mayhem import kill_all, percentiles, pids_of, seeded, unfinished, until
from serving import causes

SCRIPT = """
    import os, sys
    from nbflow import flow, task, get_run_logger
    from nbflow.cache_policies import INPUTS
    from nbflow.task_runners import ProcessPoolTaskRunner, ThreadPoolTaskRunner

    os.setsid()  # a terminal's foreground group of its own
    name, runner = sys.argv[1:]
    runner = {"threads": ThreadPoolTaskRunner, "processes": ProcessPoolTaskRunner}[runner](2)

    @task
    def double(x):
        get_run_logger().info("doubling %d", x)
        return 2 * x

    @task(cache_policy=INPUTS)
    def large(n):
        return [n] * 10_000

    @flow
    async def inner(n):
        return sum(double.map(range(n)).result())

    @flow(flow_run_name="{name}", task_runner=runner)
    def f(name, n):
        large(n % 3)
        return inner(5) + len(double.map(range(n)).result())

    f(f"{name}-0", 3)
    print("ready", flush=True)
    for i in range(1, 1_000_000):
        f(f"{name}-{i}", i % 20)
        print(f"{name}-{i}", flush=True)  # its result was given: it may not be lost
"""


class Case(NamedTuple):
    """Who is told to end, how, and what it is doing."""

    name: str
    signals: tuple[signal.Signals, ...]
    is_group: bool  # as a terminal does it
    runner: str


CASES = [
    Case("term", (signal.SIGTERM,), False, "threads"),
    Case("term with workers", (signal.SIGTERM,), False, "processes"),
    Case("term to all", (signal.SIGTERM,), True, "processes"),
    Case("ctrl-c", (signal.SIGINT,), True, "threads"),
    Case("ctrl-c with workers", (signal.SIGINT,), True, "processes"),
    Case("ctrl-c twice", (signal.SIGINT, signal.SIGINT), True, "threads"),
    Case("ctrl-c then term", (signal.SIGINT, signal.SIGTERM), True, "processes"),
]


def end_often(home, case, n_rounds):
    rng = seeded()
    acknowledged, took = [], []
    try:
        for n in range(n_rounds):
            child = Child(SCRIPT, home, n, case.runner)
            assert child.line() == "ready"
            time.sleep(rng.uniform(0, 0.15))  # the random instant, nothing to wait for
            for number in case.signals:
                (os.killpg if case.is_group else os.kill)(child.pid, number)
                time.sleep(rng.uniform(0, 0.02))
            began = time.monotonic()
            until(lambda child=child: child._process.poll() is not None, 30)
            took.append(time.monotonic() - began)
            # Its workers too: they see by themselves that nobody wants what they compute.
            until(lambda: not pids_of(home), 15)
            # A worker that was starting may have said something too.
            lines = [line for line in child.kill() if re.fullmatch(r"\d+-\d+", line)]
            acknowledged += [f"{n}-0", *lines]
            assert child._process.returncode in [-number for number in case.signals]
            for bad in ("nbflow: ", "could not be", "_at_exit"):
                assert bad not in child.stderr
    finally:
        kill_all(home)
    print(f"{case.name}: {len(acknowledged)} results given, ended within", percentiles(took))
    return acknowledged, took


@pytest.mark.parametrize(
    "n_rounds",
    [2, pytest.param(30, marks=[pytest.mark.reliability, pytest.mark.timeout(900)])],
)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_script_that_is_told_to_end_loses_nothing(home, case, n_rounds):
    acknowledged, took = end_often(home, case, n_rounds)

    assert sorted(took)[len(took) // 2] < 1.5
    assert max(took) < 5
    assert unfinished(home) == []
    completed = read(home, "SELECT name FROM runs WHERE kind='flow' AND state_name = 'Completed'")
    assert set(acknowledged) <= {name for (name,) in completed}
    assert read(home, "SELECT count(*) FROM runs WHERE ended_at IS NULL") == [(0,)]
    # Nothing failed: what was ended says that it was, and its history ends with that.
    told = read(home, "SELECT DISTINCT state_name FROM runs")
    assert {name for (name,) in told} <= {"Completed", "Crashed", "Cancelled", "Cached"}
    assert not read(
        home,
        """SELECT id, state_name FROM runs WHERE state_name <> (
            SELECT state_name FROM lines WHERE run_id = runs.id AND state_name IS NOT NULL
            ORDER BY rowid DESC LIMIT 1)""",
    )


SERVING = """
    import sys, time
    from nbflow import flow

    @flow
    def served(seconds):
        time.sleep(seconds)

    print("serving", flush=True)
    served.serve(
        name="it", interval=0.1, overlap="allow", parameters={"seconds": float(sys.argv[1])}
    )
"""


NAME = "it"


def serve_often(home, n_rounds, seconds, *signals):
    """A script serves, is told to end, and begins again."""
    rng = seeded()
    took, said = [], ""
    assert unfinished(home) == []  # now there is a store
    for _ in range(n_rounds):
        before = len(causes(home, NAME))
        child = Child(SERVING, home, seconds)
        assert child.line() == "serving"
        until(lambda before=before: len(causes(home, NAME)) > before)
        time.sleep(rng.uniform(0.1, 0.5))  # the random instant, nothing to wait for
        began = time.monotonic()
        for number in signals:
            child.send(number)
            time.sleep(rng.uniform(0, 0.1))
        child.end()
        took.append(time.monotonic() - began)
        said += child.stderr
    print(f"{signals}: ended within", percentiles(took))
    assert unfinished(home) == []
    times = [int(one) for one in causes(home, NAME)]
    assert times == list(range(times[0], times[-1] + 1, 100))  # nothing left out in between
    return said, max(took)


@pytest.mark.parametrize(
    "n_rounds", [2, pytest.param(30, marks=[pytest.mark.reliability, pytest.mark.timeout(900)])]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_script_that_serves_lets_its_runs_end_when_it_is_told_to(home, number, n_rounds):
    said, longest = serve_often(home, n_rounds, 0.3, number)

    assert longest < 5
    assert read(home, "SELECT state_name, message FROM runs WHERE state_name <> 'Completed'") == []
    assert all(line.startswith("nbflow: ") for line in said.splitlines()), said


@pytest.mark.parametrize(
    "n_rounds", [1, pytest.param(30, marks=[pytest.mark.reliability, pytest.mark.timeout(900)])]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_script_that_serves_cancels_its_runs_when_it_is_told_twice(home, number, n_rounds):
    said, longest = serve_often(home, n_rounds, 20.0, number, number)

    assert longest < 8
    states = {name for (name,) in read(home, "SELECT DISTINCT state_name FROM runs")}
    # What is blocked in C goes with the process, and is found by who comes next.
    assert states <= {"Cancelled", "Crashed", "Completed"}
    assert "Traceback" not in said

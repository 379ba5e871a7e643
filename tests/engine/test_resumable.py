"""What a run uses that goes on from another: each task that completed, and no task too often."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow import flow, task, wiring
from nbflow.cache_policies import INPUTS, NO_CACHE
from nbflow.errors import NbflowError
from nbflow.model.ids import new_id
from nbflow.model.records import RunRecord
from nbflow.model.runs import Appointment
from nbflow.states import Completed
from nbflow.task_runners import ProcessPoolTaskRunner
from nbflow.transactions import transaction


class Log:
    """What tasks did, in a file: what a task changes in memory would keep it from being kept."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def add(self, what: object) -> None:
        with Path(self.path).open("a") as file:
            file.write(f"{what}\n")

    def lines(self) -> list[str]:
        """What was done so far."""
        path = Path(self.path)
        return path.read_text().splitlines() if path.exists() else []

    def take(self) -> list[str]:
        """What was done since it was last asked."""
        path = Path(self.path)
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "effects.txt")


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Path]:
    """While this file is there, what asks for it fails."""
    path = tmp_path / "broken"
    path.touch()
    return path


def fail_while(path: str) -> None:
    if Path(path).exists():
        raise ValueError("broken")


def ticket(path: str) -> int:
    """0, 1, 2, ...: each number once, whoever asks."""
    for n in itertools.count():
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{path}{n}")
            return n
    raise AssertionError


class Again:
    """Runs a flow as `nbflow run` does, and each time after the first goes on from the first."""

    def __init__(self, what: Any, **parameters: Any) -> None:
        self.flow, self.parameters = what, parameters
        self.origin: str | None = None
        self.run_id = ""
        self.value: Any = None

    def __call__(self) -> str:
        """The name of the state in which the run ended."""
        self.run_id = new_id()
        run = Appointment(run_id=self.run_id, name="", origin_id=self.origin, is_resumable=True)
        self.origin = self.origin or self.run_id
        engine = wiring.current().engine
        answer = engine.call(
            self.flow.spec, (), self.parameters, return_state=True, appointment=run
        )
        state = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
        self.value = state.result(raise_on_failure=False)
        return str(state.name)

    def states(self) -> Counter[str]:
        """How many task runs ended in which state."""
        store = wiring.current().store
        store.flush()
        return Counter(one.state_name for one in store.family(self.run_id)[1:])

    def tasks(self) -> list[RunRecord]:
        store = wiring.current().store
        store.flush()
        return [one for one in store.family(self.run_id) if one.kind == "task"]


def test_tasks_that_completed_are_not_run_again(colour, log: Log, broken: Path):
    def work(n):
        if n == 4:
            fail_while(str(broken))
        log.add(n)
        return n * 10

    step = colour.task(work, name="step")

    if colour.is_async:

        async def body():
            return [await step(n) for n in range(1, 6)]
    else:

        def body():
            return [step(n) for n in range(1, 6)]

    run = Again(flow(body))
    assert run() == "Failed"
    assert log.take() == ["1", "2", "3"]
    broken.unlink()

    assert run() == "Completed"
    assert log.take() == ["4", "5"]
    assert run.value == [10, 20, 30, 40, 50]
    assert run.states() == {"Cached": 3, "Completed": 2}
    assert {one.message for one in run.tasks()[:3]} != {""}


def test_a_hit_names_the_run_that_it_came_from(log: Log, broken: Path):
    @task
    def step():
        return 1

    @flow(flow_run_name="first-of-them")
    def steps():
        step()
        fail_while(str(broken))

    run = Again(steps)
    run()
    run()
    assert [one.message for one in run.tasks()] == ["completed in flow run 'first-of-them'"]


def test_a_run_that_nobody_asked_for_keeps_nothing(log: Log):
    @task
    def step():
        log.add("ran")

    @flow
    def steps():
        step()
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            steps()
    assert log.take() == ["ran", "ran"]
    assert wiring.current().results.entries() == []


def test_equal_calls_are_each_run_and_each_kept(log: Log, broken: Path):
    @task
    def send():
        log.add("sent")

    @flow
    def steps(n: int):
        for _ in range(n):
            send()
        fail_while(str(broken))
        for _ in range(2):
            send()

    run = Again(steps, n=3)
    run()
    assert len(log.take()) == 3
    broken.unlink()
    assert run() == "Completed"
    assert len(log.take()) == 2


def test_equal_calls_that_failed_are_made_up_for_whatever_the_order(log: Log, tmp_path: Path):
    """Threads begin in any order; of 40 equal calls those that failed are run, and no others."""
    tickets = str(tmp_path / "ticket")

    @task
    def send():
        n = ticket(tickets)
        if n % 3 == 1 and n < 40:
            raise ValueError(n)
        log.add(n)

    @flow
    def steps():
        return [send.submit() for _ in range(40)]

    run = Again(steps)
    assert run() == "Failed"
    assert len(log.take()) == 27
    assert run() == "Completed"
    assert len(log.take()) == 13


def test_only_the_items_of_a_map_that_failed_run_again(log: Log, broken: Path):
    @task
    def step(n):
        if n in (3, 7, 19):
            fail_while(str(broken))
        log.add(n)
        return n

    @flow
    def steps():
        return sum(future.result() for future in step.map(list(range(20))))

    run = Again(steps)
    assert run() == "Failed"
    first = Counter(log.take())
    broken.unlink()
    assert run() == "Completed"
    both = first + Counter(log.take())
    assert both == Counter(str(n) for n in range(20))
    assert run.value == 190


def test_a_resumed_run_is_resumed_from_all_before_it(log: Log, tmp_path: Path):
    gates = [tmp_path / f"gate{n}" for n in range(3)]

    @task
    def step(n):
        log.add(n)

    @flow
    def steps():
        for n, gate in enumerate(gates):
            step(n)
            fail_while(str(gate))

    for gate in gates:
        gate.touch()
    run = Again(steps)
    for n, gate in enumerate(gates):
        assert run() == "Failed"
        assert log.take() == [str(n)]
        gate.unlink()
    assert run() == "Completed"
    assert log.take() == []


def test_what_changes_its_arguments_in_place_runs_again(log: Log, broken: Path):
    @task
    def extend(items):
        log.add("extended")
        items.append(len(items))
        return len(items)

    @task
    def read(items):
        log.add("read")
        return list(items)

    @flow
    def steps():
        items = []
        extend(items)
        extend(items)
        value = read(items)
        fail_while(str(broken))
        return value

    run = Again(steps)
    run()
    assert log.take() == ["extended", "extended", "read"]
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == ["extended", "extended"]
    assert run.value == [0, 1]


def test_what_changes_a_global_in_place_runs_again(log: Log, broken: Path):
    seen = []

    @task
    def remember(n):
        log.add(n)
        seen.append(n)

    @flow
    def steps():
        remember(1)
        fail_while(str(broken))

    run = Again(steps)
    run()
    seen.clear()
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == ["1", "1"]
    assert seen == [1]


def test_what_sets_something_for_others_runs_again(
    log: Log, broken: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("RESUMABLE_TEST_SET", raising=False)

    @task
    def configure():
        log.add("configured")
        os.environ["RESUMABLE_TEST_SET"] = "1"

    @flow
    def steps():
        configure()
        fail_while(str(broken))
        return os.environ["RESUMABLE_TEST_SET"]

    run = Again(steps)
    run()
    monkeypatch.delenv("RESUMABLE_TEST_SET")
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == ["configured", "configured"]


OPT_OUTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the task": ({"persist_result": False}, {}),
    "the flow": ({}, {"persist_result": False}),
    "no cache": ({"cache_policy": NO_CACHE}, {}),
    "refresh": ({"refresh_cache": True}, {}),
}


@pytest.mark.parametrize(("of_task", "of_flow"), OPT_OUTS.values(), ids=OPT_OUTS)
def test_who_says_so_has_nothing_kept(log: Log, broken: Path, of_task: Any, of_flow: Any):
    @task(**of_task)
    def step():
        log.add("ran")

    @flow(**of_flow)
    def steps():
        step()
        fail_while(str(broken))

    run = Again(steps)
    run()
    run()
    assert log.take() == ["ran", "ran"]


def test_results_kept_on_request_are_found_too(log: Log, broken: Path):
    @task(persist_result=True)
    def step(n):
        log.add(n)
        return n

    @flow
    def inner(n):
        return step(n)

    @flow
    def steps():
        step(0)
        inner(1)
        inner(1)
        fail_while(str(broken))

    run = Again(steps)
    run()
    assert log.take() == ["0", "1", "1"]  # two flow runs, as in a run that cannot be resumed
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == []


def test_what_a_run_kept_is_gone_when_it_has_completed(log: Log, broken: Path):
    @task
    def step(n):
        return n

    @task(persist_result=True)
    def mine():
        return 1

    @flow
    def steps():
        for n in range(5):
            step(n)
        mine()
        fail_while(str(broken))

    results = wiring.current().results
    run = Again(steps)
    run()
    assert len(results.entries()) == 6
    broken.unlink()
    assert run() == "Completed"
    assert [one.task_name for one in results.entries()] == ["mine"]


@pytest.mark.parametrize("value", [threading.Lock(), (n for n in range(3))], ids=["lock", "items"])
def test_what_cannot_be_kept_runs_again_without_a_word(
    log: Log, broken: Path, caplog: pytest.LogCaptureFixture, value: object
):
    @task
    def gives():
        log.add("gives")
        return threading.Lock()

    @task
    def takes(what):
        log.add("takes")

    @flow
    def steps():
        gives()
        takes(value)
        fail_while(str(broken))

    run = Again(steps)
    run()
    run()
    assert log.take() == ["gives", "takes"] * 2
    assert [one for one in caplog.records if "kept" in one.message] == []


def test_generators_run_again(log: Log, broken: Path):
    @task
    def items():
        log.add("begun")
        yield from range(3)

    @flow
    def steps():
        total = sum(items())
        fail_while(str(broken))
        return total

    run = Again(steps)
    run()
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == ["begun", "begun"]
    assert run.value == 3


def test_a_flow_that_is_retried_does_all_of_its_work_anew(log: Log, broken: Path):
    @task
    def send(n):
        log.add(n)
        return n

    @flow
    def inner(n):
        send(n)

    @flow(retries=1)
    def steps():
        send(1)
        send(1)
        inner(2)
        inner(2)
        if broken.exists():
            broken.unlink()
            raise ValueError
        return send(3)

    run = Again(steps)
    assert run() == "Completed"
    assert log.take() == ["1", "1", "2", "2", "1", "1", "2", "2", "3"]


def test_a_flow_that_is_retried_until_something_is_there_asks_again(log: Log):
    @task
    def fetch():
        log.add("asked")
        return len(log.lines())

    @flow(retries=5)
    def steps():
        if fetch() < 3:
            raise ValueError("not yet")

    assert Again(steps)() == "Completed"
    assert len(log.take()) == 3


def test_many_equal_calls_that_failed_do_not_hide_those_that_completed(log: Log, broken: Path):
    @task
    def send():
        log.add("sent")
        if len(log.lines()) <= 10:
            raise ValueError

    @flow
    def steps():
        for _ in range(20):
            send(return_state=True)
        fail_while(str(broken))

    run = Again(steps)
    run()
    assert len(log.lines()) == 20
    broken.unlink()
    run()
    assert len(log.take()) == 30  # the ten that failed


def test_a_call_in_another_situation_is_another_call(
    log: Log, broken: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RESUMABLE_TEST_SET", "")

    @task
    def read():
        value = os.environ["RESUMABLE_TEST_SET"]
        if value == "x" and broken.exists():
            raise ValueError
        return value

    @flow
    def steps():
        got = []
        for value in ("x", "y"):
            os.environ["RESUMABLE_TEST_SET"] = value
            state = read(return_state=True)
            got.append(state.result(raise_on_failure=False))
        fail_while(str(broken))
        return got

    run = Again(steps)
    run()
    monkeypatch.setenv("RESUMABLE_TEST_SET", "")
    broken.unlink()
    assert run() == "Completed"
    assert run.value == ["x", "y"]


def test_what_draws_from_a_random_generator_runs_again(log: Log, broken: Path):
    @task
    def draw():
        return random.random()

    @flow
    def steps():
        random.seed(1)
        first = draw()
        fail_while(str(broken))
        return [first, draw()]

    run = Again(steps)
    run()
    broken.unlink()
    random.seed(1)
    expected = [random.random(), random.random()]
    assert run() == "Completed"
    assert run.value == expected


def test_what_gives_back_its_argument_runs_again(log: Log, broken: Path):
    @task
    def same(one):
        log.add("run")
        return one

    @flow
    def steps():
        given = {"n": 0}
        same(given)["n"] = 5
        fail_while(str(broken))
        return given

    run = Again(steps)
    run()
    broken.unlink()
    assert run() == "Completed"
    assert run.value == {"n": 5}


def test_a_task_that_is_retried_does_all_of_its_work_anew(log: Log, broken: Path):
    """A task that polls by other tasks would else see the same answer for ever."""

    @task
    def check():
        log.add("checked")
        return broken.exists()

    @task(retries=2)
    def wait():
        if check():
            if len(Path(log.path).read_text().splitlines()) == 2:
                broken.unlink()
            raise ValueError

    @flow
    def steps():
        wait()

    assert Again(steps)() == "Completed"
    assert log.take() == ["checked"] * 3


def test_a_task_that_failed_uses_what_completed_inside_of_it(log: Log, broken: Path):
    @task
    def inner(n):
        log.add(n)

    @task
    def outer(n):
        inner("same")
        inner(n)
        if n == 2:
            fail_while(str(broken))
        inner(f"{n} too")

    @flow
    def steps():
        outer(1)
        outer(2)
        inner("same")

    run = Again(steps)
    run()
    assert log.take() == ["same", "1", "1 too", "same", "2"]
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == ["2 too", "same"]


def test_what_completed_inside_of_one_call_is_not_missing_in_an_equal_one(log: Log, broken: Path):
    """The second `outer` never got to `inner`; what the first one did there is not its doing."""
    count = Path(log.path + ".count")

    @task
    def inner():
        log.add("inner")

    @task
    def outer():
        count.write_text(count.read_text() + "x" if count.exists() else "x")
        if len(count.read_text()) == 2:
            fail_while(str(broken))
        inner()

    @flow
    def steps():
        outer()
        outer()

    run = Again(steps)
    run()
    assert log.take() == ["inner"]
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == ["inner"]


def test_an_attempt_that_worked_is_not_made_twice(log: Log, broken: Path):
    """Where the first of two equal calls failed, the result of the second stands for the first."""
    count = Path(log.path + ".count")

    @task
    def send():
        first = not count.exists()
        count.touch()
        if first:
            raise ValueError
        log.add("sent")

    @flow
    def steps():
        try:
            send()
        except ValueError:
            send()
        fail_while(str(broken))

    run = Again(steps)
    run()
    assert log.take() == ["sent"]
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == []


def test_flows_inside_are_told_apart_by_their_parameters_not_by_their_order(log: Log, broken: Path):
    @task
    def step(n):
        log.add(n)

    @flow
    async def inner(n, wait):
        await asyncio.sleep(wait)
        step(n)
        if n == 2:
            fail_while(str(broken))
        step(f"{n} too")

    @flow
    async def steps(order: list[int]):
        await asyncio.gather(*(inner(n, 0.0) for n in order), return_exceptions=True)
        fail_while(str(broken))

    run = Again(steps, order=[1, 2, 3])
    run()
    first = Counter(log.take())
    broken.unlink()
    run.parameters = {"order": [3, 2, 1]}
    assert run() == "Completed"
    assert first + Counter(log.take()) == Counter(["1", "1 too", "2", "2 too", "3", "3 too"])


def test_tasks_in_other_processes_are_kept_too(log: Log, broken: Path):
    path, stop = log.path, str(broken)

    @task
    def step(n):
        with open(path, "a") as file:  # goes over by value
            file.write(f"{n}\n")
        return n

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
    def steps():
        total = sum(future.result() for future in step.map([1, 2, 3]))
        fail_while(stop)
        return total

    run = Again(steps)
    run()
    assert sorted(log.take()) == ["1", "2", "3"]
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == []
    assert run.value == 6


def test_what_was_rolled_back_is_done_again(log: Log, broken: Path):
    @task
    def write():
        log.add("written")

    @write.on_rollback
    def undo(_transaction):
        log.add("undone")

    @flow
    def steps():
        with transaction():
            write()
            fail_while(str(broken))

    run = Again(steps)
    run()
    assert log.take() == ["written", "undone"]
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == ["written"]


def test_a_task_whose_source_was_changed_runs_again(log: Log, broken: Path):
    def steps_with(step: Callable[[], object]):
        @task
        def other():
            log.add("other")

        @flow(name="steps")
        def steps():
            other()
            task(step, name="step")()
            fail_while(str(broken))

        return steps

    run = Again(steps_with(lambda: log.add("old")))
    run()
    assert log.take() == ["other", "old"]
    broken.unlink()
    run.flow = steps_with(lambda: log.add("new"))
    assert run() == "Completed"
    assert log.take() == ["new"]


def test_a_run_that_began_again_after_its_process_died_uses_its_own(log: Log, broken: Path):
    @task
    def step(n):
        log.add(n)

    @flow
    def steps():
        step(1)
        fail_while(str(broken))

    engine, run_id = wiring.current().engine, new_id()
    for n_tries in range(2):
        run = Appointment(run_id=run_id, name="again", run_count=n_tries, is_resumable=True)
        engine.call(steps.spec, (), {}, return_state=True, appointment=run)
    assert log.take() == ["1"]


def test_a_state_that_a_task_gives_back_keeps_its_value(log: Log, broken: Path):
    @task
    def step():
        log.add("ran")
        return Completed(data=7, message="as it was")

    @flow
    def steps():
        value = step()
        fail_while(str(broken))
        return value

    run = Again(steps)
    run()
    broken.unlink()
    assert run() == "Completed"
    assert log.take() == ["ran"]
    assert run.value == 7


def test_a_policy_of_its_own_is_left_alone(log: Log, broken: Path):
    @task(cache_policy=INPUTS)
    def step():
        log.add("ran")

    @flow
    def steps():
        step()
        step()
        fail_while(str(broken))

    run = Again(steps)
    run()
    run()
    assert log.take() == ["ran"]


PLAIN: dict[str, tuple[Any, bool]] = {
    "numbers": (1.5, True),
    "lists": ([1, "x", None, {"a": [True]}], True),
    "tuples": ((1, 2), False),
    "dates": (Path("x"), False),
    "not a number": (float("nan"), False),
    "keys": ({1: 2}, False),
    "long": ("x" * 5000, False),
}


@pytest.mark.parametrize(("value", "is_plain"), PLAIN.values(), ids=PLAIN)
def test_a_call_is_remembered_where_its_arguments_are_small_and_plain(
    events, value: Any, is_plain: bool
):
    @flow(validate_parameters=False)
    def inner():
        return 1

    @flow(validate_parameters=False)
    def steps(x, y=2):
        return inner()

    steps(value)
    expected = {"kind": "call", "parameters": {"x": value}} if is_plain else None
    assert [one.source for one in events.runs()] == [expected, None]


def test_a_call_that_takes_whatever_it_is_given_is_not_remembered(events):
    @flow
    def steps(*args, **kwargs):
        return 1

    steps(1, a=2)
    with pytest.raises(NbflowError):
        flow(lambda x: x)()
    assert next(one.source for one in events.runs()) is None

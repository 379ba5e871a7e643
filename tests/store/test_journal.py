"""Events on the bus become rows; what is final stays."""

from __future__ import annotations

import json
import math
import random
import time

import pytest
from children import is_intact, read
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow import flow, get_run_logger, runs, tags, task, wiring
from nbflow.model.events import LogEmitted, RunCreated, StateChanged
from nbflow.model.runs import Appointment, Run, RunKind
from nbflow.model.specs import TaskSpec
from nbflow.model.states import FINAL_TYPES, STATE_NAMES, State, StateType, state_named
from nbflow.store.store import Store
from nbflow.transactions import transaction

WEIRD = {
    "nul": "a\0b",
    "lone surrogate": "a\ud800b",
    "low surrogate": "\udcff",
    "emoji": "🐍👩‍🚀é",
    "bidi": "\u202eabc",
    "json": '"]}{[\\u0000 \\\\u0000',
    "several nul": "\0\0\\\0",
    "newlines": "a\r\n\x0bb\x1b[31m",
    "empty": "",
}


def new_run(kind: RunKind = RunKind.TASK, **fields: object) -> Run:
    return Run(kind, TaskSpec(fn=print, name="t"), name="t-0", **fields)


def created(store: Store, **fields: object) -> Run:
    run = new_run(**fields)
    store.record(RunCreated(run, run.state))
    return run


def enter(store: Store, run: Run, name: str) -> None:
    run.state = state_named(name)
    store.record(StateChanged(run, run.state))


def test_run_is_recorded_with_all_that_is_known(store):
    run = created(
        store,
        parent_id="p" * 32,
        flow_run_id="f" * 32,
        tags=frozenset({"b", "a"}),
        inputs={"x": 1},
        upstream=("u" * 32,),
    )
    run.run_count, run.started_at = 2, 12.5
    enter(store, run, "Failed")
    store.flush()

    record = store.find_run(run.id)

    assert (record.kind, record.spec_name, record.name) == (RunKind.TASK, "t", "t-0")
    assert (record.parent_id, record.flow_run_id) == ("p" * 32, "f" * 32)
    assert (record.tags, record.inputs, record.upstream) == (["a", "b"], {"x": 1}, ["u" * 32])
    assert (record.state_type, record.state_name) == (StateType.FAILED, "Failed")
    assert (record.run_count, record.started_at, record.ended_at) == (2, 12.5, run.state.at)
    assert record.owner_id == store.owner_id


def test_run_tells_how_it_was_started_and_what_it_goes_on_from(store):
    run = created(
        store,
        kind=RunKind.FLOW,
        appointment=Appointment(run_id="r", name="n", origin_id="o" * 32),
        source={"kind": "script", "target": "a.py:f"},
    )
    plain = created(store)
    enter(store, run, "Completed")
    store.flush()

    record = store.find_run(run.id)
    assert (record.origin_id, record.source) == ("o" * 32, run.source)
    assert [line.state_name for line in store.lines(run.id)] == ["Pending", "Completed"]
    record = store.find_run(plain.id)
    assert (record.origin_id, record.source) == (None, None)


def test_only_its_owner_writes_a_run(store, home):
    """A process that counts as dead and is not may no longer say how its run ended."""
    run = created(store)
    store.flush()
    other = Store(home, may_fall_back=False)
    other.create_limit("open", 1)
    enter(other, run, "Completed")
    other.flush()

    assert store.find_run(run.id).state_name == "Pending"
    enter(store, run, "Failed")
    store.flush()
    assert store.find_run(run.id).state_name == "Failed"
    other.close()


@pytest.mark.parametrize("flushed", [True, False], ids=["apart", "one batch"])
def test_states_and_log_lines_keep_their_order(store, flushed):
    run = created(store)
    for name in ("Running", "AwaitingRetry", "Retrying", "Completed"):
        store.record(LogEmitted(run, 20, "user", f"before {name}", time.time(), True))
        enter(store, run, name)
        if flushed:
            store.flush()
    store.flush()

    told = [line.state_name or line.message for line in store.lines(run.id)]

    assert told == [
        "Pending",
        *("before Running", "Running"),
        *("before AwaitingRetry", "AwaitingRetry"),
        *("before Retrying", "Retrying"),
        *("before Completed", "Completed"),
    ]


@pytest.mark.parametrize("flushed", [True, False], ids=["apart", "one batch"])
@pytest.mark.parametrize("late", ["Running", "Failed", "Crashed", "Cancelled", "Cached"])
@pytest.mark.parametrize("final", ["Completed", "Failed", "Crashed", "Cancelled"])
def test_final_state_never_changes(store, final, late, flushed):
    run = created(store)
    enter(store, run, final)
    if flushed:
        store.flush()
    enter(store, run, late)
    store.flush()

    assert store.find_run(run.id).state_name == final


@pytest.mark.parametrize("flushed", [True, False], ids=["apart", "one batch"])
@pytest.mark.parametrize("final", ["Completed", "Cached", "Failed", "Crashed", "Cancelled"])
def test_only_a_completed_run_is_rolled_back(store, final, flushed):
    run = created(store)
    enter(store, run, final)
    if flushed:
        store.flush()
    enter(store, run, "RolledBack")
    store.flush()

    completed = final in ("Completed", "Cached")
    assert store.find_run(run.id).state_name == ("RolledBack" if completed else final)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(sorted(STATE_NAMES)), st.booleans()),
        max_size=25,
    )
)
def test_whatever_is_published_a_final_state_stays(tmp_path_factory, steps):
    store = Store(tmp_path_factory.mktemp("home"), may_fall_back=False)
    several = [created(store) for _ in range(3)]
    expected = ["Pending"] * 3
    for which, name, flush in steps:
        enter(store, several[which], name)
        before = STATE_NAMES[expected[which]]
        if before not in FINAL_TYPES or (before is StateType.COMPLETED and name == "RolledBack"):
            expected[which] = name
        if flush:
            store.flush()
            assert [store.find_run(run.id).state_name for run in several] == expected
    store.flush()

    assert [store.find_run(run.id).state_name for run in several] == expected
    n_unfinished = sum(STATE_NAMES[name] not in FINAL_TYPES for name in expected)
    assert store.watching == (n_unfinished > 0)
    store.close()


def test_run_that_ends_twice_leaves_the_others_watched(store):
    """Else a cancellation from another process would not be seen."""
    first, second = created(store), created(store)
    for _ in range(3):
        enter(store, first, "Crashed")
    store.flush()

    assert store.watching
    enter(store, second, "Completed")
    store.flush()
    assert not store.watching


@pytest.mark.parametrize("text", WEIRD.values(), ids=WEIRD)
def test_weird_text_comes_back_readable_and_loses_nothing_else(store, text):
    readable = text.encode("utf-8", "replace").decode().replace("\0", "␀")
    before, weird = created(store), new_run(tags=frozenset({text}), inputs={"x": text, text: 1})
    weird.name = f"run {text}"
    store.record(RunCreated(weird, weird.state))
    store.record(LogEmitted(weird, 20, text, text, time.time(), True))
    weird.state = State(StateType.FAILED, "Failed", text)
    store.record(StateChanged(weird, weird.state))
    after = created(store)
    store.flush()

    record = store.find_run(weird.id)

    assert {run.id for run in store.runs()} == {before.id, weird.id, after.id}
    assert (record.name, record.message) == (f"run {readable}", readable)
    assert record.tags == [readable]
    assert record.inputs == {"x": text, text: 1}  # as JSON, which has a way to write all of it
    assert [line.message for line in store.lines(weird.id, states=False)] == [readable]
    assert store.find_run(f"run {readable}").id == weird.id


def test_long_messages_are_cut(store):
    run = created(store)
    store.record(LogEmitted(run, 20, "user", "é" * 10_000_000, time.time(), True))
    run.state = State(StateType.FAILED, "Failed", "x" * 10_000_000)
    store.record(StateChanged(run, run.state))
    store.flush()

    (line,) = store.lines(run.id, states=False)

    assert line.message == "é" * 100_000
    assert store.find_run(run.id).message == "x" * 4_000


def test_numbers_that_json_does_not_know_are_kept_as_text(events):
    @task
    def f(x):
        return x

    values = [math.nan, math.inf, -math.inf, 10**400, -(2**63), 2**63 - 1, [math.nan], {"a": 1e308}]
    for value in values:
        f(value)

    inputs = [row["x"] for row in reversed(runs().inputs)]
    shown = ["nan", "inf", "-inf", "int of 1329 bits"]
    assert inputs == [*shown, "int of 64 bits", 2**63 - 1, ["nan"], {"a": 1e308}]


def test_what_flows_do_is_in_the_journal(home):
    @task
    def double(x):
        get_run_logger().warning("doubling %d", x)
        return 2 * x

    @flow
    def f():
        with tags("green"):
            first = double.submit(1)
        return double(first)

    f()
    store = wiring.current().store
    top, first, second = store.family(store.runs(kind=RunKind.FLOW)[0].id)

    assert (top.spec_name, top.n_tasks) == ("f", {"Completed": 2})
    assert (first.tags, first.inputs, first.parent_id) == (["green"], {"x": 1}, top.id)
    assert second.upstream == [first.id]
    told = [line.message for line in store.lines(top.id, states=False)]
    assert told == ["doubling 1", "doubling 2"]
    assert store.lines(top.id, states=False, inner=False) == []


def test_rolled_back_run_is_recorded_as_such(home):
    @task(on_rollback=[lambda txn: None])
    def f():
        return 1

    with pytest.raises(ZeroDivisionError), transaction():
        f()
        1 / 0
    wiring.current().store.flush()

    assert runs().state.tolist() == ["RolledBack"]


def test_what_is_journalled_is_on_disk_soon_without_a_flush(home):
    """The writer commits by itself; no deadline here, only that it happens."""
    store = Store(home, may_fall_back=False)
    run = created(store)

    end = time.monotonic() + 5
    while not read_states(home, run.id) and time.monotonic() < end:
        pass

    assert read_states(home, run.id) == [("Pending",)]
    store.close()


def read_states(home, run_id):
    if not (home / "nbflow.db").exists():
        return []
    try:
        return read(home, "SELECT state_name FROM runs WHERE id = ?", run_id)
    except Exception:  # the file is being made
        return []


def test_random_batches_leave_an_intact_file(store, home):
    source = random.Random(5)
    several = []
    for _ in range(3_000):
        if not several or source.random() < 0.2:
            several.append(created(store))
        else:
            enter(store, source.choice(several), source.choice(sorted(STATE_NAMES)))
        if source.random() < 0.01:
            store.flush()
    store.flush()

    assert len(store.runs(limit=10_000)) == len(several)
    assert is_intact(home)
    stored = read(home, "SELECT tags, inputs, upstream FROM runs")
    assert all(part is None or json.loads(part) is not None for row in stored for part in row)

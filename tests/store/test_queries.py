"""Finding, reading and deleting runs."""

from __future__ import annotations

import pytest

from nbflow.errors import AmbiguousRun, RunNotFound
from nbflow.model.events import LogEmitted, RunCreated, StateChanged
from nbflow.model.runs import Run, RunKind
from nbflow.model.specs import FlowSpec, TaskSpec
from nbflow.model.states import state_named


@pytest.fixture
def add(store):
    def add(name, kind=RunKind.TASK, parent=None, state=None, **fields):
        spec = (FlowSpec if kind is RunKind.FLOW else TaskSpec)(fn=print, name=f"spec-of-{name}")
        run = Run(kind, spec, name=name, parent_id=parent and parent.id, **fields)
        store.record(RunCreated(run, run.state))
        if state is not None:
            run.state = state_named(state)
            store.record(StateChanged(run, run.state))
        store.flush()
        return run

    return add


def log(store, run, level, message):
    store.record(LogEmitted(run, level, "user", message, 1.0, True))
    store.flush()


def test_run_is_found_by_id_first_digits_or_name(store, add):
    run = add("nimble-falcon")

    for what in (run.id, run.id[:-1], "nimble-falcon"):
        assert store.find_run(what).id == run.id


def test_newest_run_of_a_name_is_found(store, add):
    add("twin")
    newest = add("twin")

    assert store.find_run("twin").id == newest.id


def test_name_that_looks_like_digits_is_a_name(store, add):
    run = add("beef")

    assert store.find_run("beef").id == run.id


def test_digits_that_fit_several_runs_are_ambiguous(store, add):
    several = [add(str(n)) for n in range(3)]

    with pytest.raises(AmbiguousRun, match="give more digits") as ambiguous:
        store.find_run(several[0].id[:6])

    assert set(ambiguous.value.ids) == {run.id for run in several}


@pytest.mark.parametrize(
    "what", ["", "abc", "f" * 32, "no-such-run", "%", "_" * 32, "' OR 1=1 --", "\udcff", "a\0b"]
)
def test_unknown_run_is_not_found(store, add, what):
    add("other")

    with pytest.raises(RunNotFound, match="nbflow runs ls"):
        store.find_run(what)


def test_runs_are_filtered_and_newest_first(store, add):
    flow = add("f", RunKind.FLOW, state="Completed")
    first = add("a", parent=flow, state="Failed")
    second = add("b", parent=flow, state="Cached")

    def ids(**filters):
        return [record.id for record in store.runs(**filters)]

    assert ids() == [second.id, first.id, flow.id]
    assert ids(kind=RunKind.FLOW) == [flow.id]
    assert ids(outermost=True) == [flow.id]
    assert ids(state="failed") == [first.id]
    assert ids(state="COMPLETED") == [second.id, flow.id]
    assert ids(name="spec-of-a") == ids(name="a") == [first.id]
    assert ids(parent_id=flow.id) == [second.id, first.id]
    assert ids(limit=1) == [second.id]


def test_flow_runs_count_their_tasks(store, add):
    flow = add("f", RunKind.FLOW)
    for state in ("Completed", "Completed", "Failed", None):
        add("t", parent=flow, state=state)
    add("inner", RunKind.FLOW, parent=flow)

    assert store.find_run("f").n_tasks == {"Completed": 2, "Failed": 1, "Pending": 1}


def test_family_reaches_every_depth(store, add):
    top = add("top", RunKind.FLOW)
    inner = add("inner", RunKind.FLOW, parent=top)
    leaf = add("leaf", parent=inner)
    add("stranger")

    assert [record.id for record in store.family(top.id)] == [top.id, inner.id, leaf.id]
    assert [record.id for record in store.family(inner.id)] == [inner.id, leaf.id]
    assert store.family("absent") == []


def test_lines_are_read_on_from_a_seq(store, add):
    run = add("r")
    log(store, run, 20, "one")
    seen = store.lines(run.id)
    log(store, run, 20, "two")

    later = store.lines(run.id, after=seen[-1].seq)

    assert [line.message for line in later] == ["two"]
    assert store.lines(run.id, after=later[-1].seq) == []
    assert [line.seq for line in store.lines(run.id, limit=1)] == [seen[0].seq]


def test_lines_are_filtered(store, add):
    top = add("top", RunKind.FLOW)
    leaf = add("leaf", parent=top)
    log(store, leaf, 10, "low")
    log(store, leaf, 30, "high")
    log(store, top, 20, "own")

    def messages(**filters):
        return [line.state_name or line.message for line in store.lines(top.id, **filters)]

    assert messages() == ["Pending", "Pending", "low", "high", "own"]
    assert messages(inner=False) == ["Pending", "own"]
    assert messages(states=False) == ["low", "high", "own"]
    assert messages(states=False, level=20) == ["high", "own"]
    assert messages(level=20) == ["Pending", "Pending", "high", "own"]


def test_delete_takes_all_inside_and_nothing_else(store, add):
    top = add("top", RunKind.FLOW)
    leaf = add("leaf", parent=top)
    log(store, leaf, 20, "gone")
    other = add("other")
    fields = {"kind": "markdown", "data": "x", "description": None, "flow_run_id": top.id}
    store.add_artifact(key="k", run_id=leaf.id, **fields)
    kept = store.add_artifact(key="k", run_id=other.id, **{**fields, "flow_run_id": None})

    assert store.delete_run(top.id) == 2

    assert [record.id for record in store.runs()] == [other.id]
    assert store.lines(leaf.id) == []
    assert len(store.lines(other.id)) == 1
    assert [artifact.id for artifact in store.artifacts()] == [kept]
    assert store.delete_run(top.id) == 0

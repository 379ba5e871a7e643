"""Runs, logs, artifacts and variables, read back."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from children import Child

import nbflow
from nbflow import flow, get_run_logger, task
from nbflow.artifacts import (
    artifacts,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from nbflow.errors import NbflowError, RunNotFound
from nbflow.variables import Variable


@task
def say(n):
    get_run_logger().info("saying %d", n)
    get_run_logger().warning("warning %d", n)
    return n


@flow
def talk(n):
    get_run_logger().info("talk")
    for i in range(n):
        say(i)
    return n


def test_runs_of_an_empty_home():
    frame = nbflow.runs()

    assert frame.empty
    assert isinstance(frame.created_at.dtype, pd.DatetimeTZDtype)
    assert frame.seconds.dtype == "float64"


def test_runs_are_newest_first_with_their_facts():
    talk(2)

    frame = nbflow.runs()

    assert frame.of.tolist() == ["say", "say", "talk"]
    assert frame.state.tolist() == ["Completed"] * 3
    assert frame.tries.tolist() == [1, 1, 1]
    assert (frame.seconds >= 0).all()
    assert (frame.ended_at >= frame.started_at).all()
    assert abs(frame.created_at.iloc[0] - pd.Timestamp.now("UTC")) < pd.Timedelta(minutes=1)
    assert frame.parent_id.iloc[0] == frame.id.iloc[2]
    assert frame.inputs.iloc[0] == {"n": 1}


def test_runs_are_filtered():
    talk(3)

    assert len(nbflow.runs(kind="task")) == 3
    assert len(nbflow.runs(kind="flow")) == 1
    assert len(nbflow.runs(name="say")) == 3
    assert len(nbflow.runs(name="say-1")) == 1
    assert len(nbflow.runs(state="completed")) == 4
    assert len(nbflow.runs(state="Failed")) == 0
    assert len(nbflow.runs(limit=2)) == 2
    with pytest.raises(ValueError, match="kettle"):
        nbflow.runs(kind="kettle")


def test_runs_show_those_of_a_dead_process_as_crashed(home):
    code = """
        from nbflow import flow
        @flow
        def f():
            print("inside", flush=True)
            input()
        f()
    """
    child = Child(code, home)
    assert child.line() == "inside"
    while nbflow.runs().empty:
        pass
    assert nbflow.runs().state.tolist() == ["Running"]

    child.kill()

    assert nbflow.runs().state.tolist() == ["Crashed"]


def test_logs_of_a_run_and_all_inside_it():
    talk(2)
    run = nbflow.runs(kind="flow").id[0]

    frame = nbflow.logs(run)

    assert frame.message.tolist() == [*("talk", "saying 0", "warning 0", "saying 1", "warning 1")]
    assert frame.level.tolist() == ["INFO", "INFO", "WARNING", "INFO", "WARNING"]
    assert frame["at"].is_monotonic_increasing
    assert nbflow.logs(run, level="warning").message.tolist() == ["warning 0", "warning 1"]
    assert nbflow.logs(run, inner=False).message.tolist() == ["talk"]


def test_logs_of_a_run_that_said_nothing():
    @flow
    def quiet():
        return 1

    quiet()

    assert nbflow.logs(nbflow.runs().name[0]).empty
    with pytest.raises(RunNotFound):
        nbflow.logs("nobody")


def test_artifacts_know_their_runs():
    @task
    def t():
        return create_markdown_artifact("# Hello", key="greeting", description="first")

    @flow
    def f():
        return t(), create_link_artifact("https://example.org", "here")

    ids = f()
    of_flow, of_task = nbflow.runs(kind="flow").id[0], nbflow.runs(kind="task").id[0]

    (greeting,) = artifacts(key="greeting")
    assert (greeting.id, greeting.kind, greeting.data) == (ids[0], "markdown", "# Hello")
    assert (greeting.run_id, greeting.flow_run_id) == (of_task, of_flow)
    assert [one.id for one in artifacts(run_id=of_flow)] == [ids[1], ids[0]]
    assert artifacts(run_id=of_flow)[0].data == {"link": "https://example.org", "text": "here"}


def test_artifacts_with_a_key_have_a_history():
    for n in range(3):
        create_image_artifact(f"{n}.png", key="plot")

    assert [one.data for one in artifacts(key="plot")] == ["2.png", "1.png", "0.png"]


def test_progress_is_changed_in_place_and_bounded():
    progress = create_progress_artifact(-5, key="p", description="d")
    assert artifacts("p")[0].data == 0

    update_progress_artifact(progress, 250)

    (one,) = artifacts("p")
    assert (one.data, one.description) == (100, "d")
    with pytest.raises(ValueError, match="0 to 100"):
        update_progress_artifact(progress, math.nan)
    with pytest.raises(NbflowError, match="there is no artifact 'absent'"):
        update_progress_artifact("absent", 5)


@pytest.mark.parametrize(
    ("table", "kept"),
    [
        ([{"a": 1}], [{"a": 1}]),
        ([[1, 2]], [[1, 2]]),
        ({"a": [1, 2]}, {"a": [1, 2]}),
        (pd.DataFrame({"a": [1, 2]}), [{"a": 1}, {"a": 2}]),
        (pd.DataFrame({1: ["x"]}), [{"1": "x"}]),
        (pd.DataFrame({("a", "b"): [1]}), [{"('a', 'b')": 1}]),
        ([{"a": {1}}], [{"a": "{1}"}]),
        (pd.Series([1, 2], name="a"), [{"a": 1}, {"a": 2}]),
        (pd.DataFrame({"a": pd.to_datetime(["2024-01-02"])}), [{"a": "2024-01-02 00:00:00"}]),
    ],
)
def test_tables(table, kept):
    create_table_artifact(table, key="t")

    assert artifacts("t")[0].data == kept


def test_long_tables_are_cut():
    create_table_artifact([{"a": n} for n in range(20_000)], key="rows")
    create_table_artifact({"a": list(range(20_000))}, key="columns")

    assert len(artifacts("rows")[0].data) == 10_000
    assert len(artifacts("columns")[0].data["a"]) == 10_000


def test_variables():
    assert Variable.get("n") is None
    assert Variable.get("n", 5) == 5
    Variable.set("n", {"a": [1, None, "é"]}, tags=["x"])

    assert Variable.get("n") == {"a": [1, None, "é"]}
    with pytest.raises(NbflowError, match="overwrite=True"):
        Variable.set("n", 2)
    Variable.set("n", 2, overwrite=True)
    assert Variable.get("n") == 2
    with pytest.raises(TypeError):
        Variable.set("m", {1, 2})
    assert Variable.unset("n")
    assert not Variable.unset("n")

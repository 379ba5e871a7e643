"""What a run knows of itself: contexts, `runtime`, tags; and what it leaves behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

from nbflow import flow, get_run_context, runtime, tags, task
from nbflow.artifacts import (
    artifacts,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from nbflow.context import FlowRunContext, TaskRunContext
from nbflow.errors import NbflowError, NotInRun
from nbflow.variables import Variable


def test_context_of_a_flow_and_of_a_task(colour):
    def inside(n):
        return quote_free(get_run_context())

    def quote_free(context):
        return (type(context), context.parameters)

    assert colour.run(colour.flow(inside), 3) == (FlowRunContext, {"n": 3})
    assert colour.run(colour.task(inside), 3) == (TaskRunContext, {"n": 3})
    with pytest.raises(NotInRun, match=r"get_run_context\(\)"):
        get_run_context()


def test_context_holds_the_run_and_its_task():
    made = task(lambda: (get_run_context().task is made, get_run_context().task_run.name), name="t")

    assert made() == (True, "t-0")


def test_runtime_tells_of_flow_and_task(colour, events):
    def facts():
        return {
            "flow": (runtime.flow_run.id, runtime.flow_run.name, runtime.flow_run.flow_name),
            "parameters": runtime.flow_run.parameters,
            "task": (runtime.task_run.name, runtime.task_run.task_name),
            "inputs": runtime.task_run.parameters,
            "count": (runtime.flow_run.run_count, runtime.task_run.run_count),
            "tags": runtime.task_run.tags,
        }

    @flow(flow_run_name="run", name="main")
    def main(n):
        return colour.task(facts, name="t", tags=["b"]).submit().result()

    told = main(5)

    assert told == {
        "flow": (events.runs()[0].id, "run", "main"),
        "parameters": {"n": 5},
        "task": ("t-0", "t"),
        "inputs": {},
        "count": (1, 1),
        "tags": ["b"],
    }


def test_runtime_outside_of_a_run_is_empty():
    assert runtime.flow_run.id is None
    assert runtime.flow_run.parameters == {}
    assert runtime.task_run.tags == []
    assert runtime.task_run.run_count == 0
    assert flow(lambda: runtime.task_run.id)() is None


def test_runtime_without_such_a_fact_lists_those_there_are():
    with pytest.raises(AttributeError, match="'nmae'; it has id, name"):
        runtime.flow_run.nmae
    with pytest.raises(AttributeError, match="task_run has no 'nmae'"):
        runtime.task_run.nmae


def test_task_parameters_hold_values_and_not_futures(colour):
    """The run's name is made before its upstream has ended; what it was made from must not stay."""
    seen = colour.task(lambda n: runtime.task_run.parameters, task_run_name="seen-{n}")

    @flow
    def main():
        return seen.submit(task(lambda: 5).submit()).result()

    assert main() == {"n": 5}


def test_subflow_knows_its_parent():
    inner = flow(lambda: runtime.flow_run.parent_flow_run_id)
    outer = flow(lambda: (inner(), runtime.flow_run.id))

    parent, own = outer()
    assert parent == own


def test_tags_are_inherited_inside_the_block(colour, events):
    with tags("a", "b") as inside:
        assert inside == {"a", "b"}
        with tags("c"):
            colour.run(colour.task(lambda: 1, tags=["own"]))
            colour.task(lambda: 1).submit().wait()
    colour.run(colour.task(lambda: 1))

    assert [set(run.tags) for run in events.runs()] == [
        {"a", "b", "c", "own"},
        {"a", "b", "c"},
        set(),
    ]


def test_tags_of_two_threads_do_not_mix(events):
    meet = threading.Barrier(2)

    def tagged(name):
        with tags(name):
            meet.wait(10)
            task(lambda: 1, name=name)()
            meet.wait(10)

    threads = [threading.Thread(target=tagged, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert {run.spec.name: set(run.tags) for run in events.runs()} == {"x": {"x"}, "y": {"y"}}


def test_concurrent_runs_each_know_themselves():
    @task
    async def who(n):
        before = runtime.task_run.parameters["n"]
        await asyncio.sleep(0)
        return before, runtime.task_run.parameters["n"]

    @flow
    async def main():
        return await asyncio.gather(*(who(n) for n in range(10)))

    assert asyncio.run(main()) == [(n, n) for n in range(10)]


# --- artifacts and variables --------------------------------------------------------------------


def test_artifacts_are_kept_with_their_run(events):
    @task
    def leaves():
        create_markdown_artifact("# Report", key="report", description="all of it")
        create_table_artifact([{"a": 1, "b": object}], key="table")
        create_link_artifact("https://example.org", "there")
        create_image_artifact("data:image/png;base64,AAAA")

    flow(lambda: leaves())()

    flow_id, task_id = (run.id for run in events.runs())
    image, link, table, markdown = artifacts()
    assert (markdown.kind, markdown.data, markdown.description) == (
        "markdown",
        "# Report",
        "all of it",
    )
    assert table.data == [{"a": 1, "b": "<class 'object'>"}]
    assert link.data == {"link": "https://example.org", "text": "there"}
    assert image.kind == "image"
    assert {a.run_id for a in artifacts()} == {task_id}
    assert {a.flow_run_id for a in artifacts()} == {flow_id}
    assert [a.key for a in artifacts(key="report")] == ["report"]


def test_progress_is_kept_between_0_and_100():
    made = create_progress_artifact(-5, key="p")
    assert artifacts("p")[0].data == 0
    update_progress_artifact(made, 150)
    assert artifacts("p")[0].data == 100
    with pytest.raises(ValueError, match="from 0 to 100"):
        update_progress_artifact(made, float("nan"))
    with pytest.raises(NbflowError, match="no artifact"):
        update_progress_artifact("nothing", 1)


def test_table_takes_frames_and_columns():
    import pandas as pd

    create_table_artifact(pd.DataFrame({"a": [1, 2]}), key="frame")
    create_table_artifact({"a": [1, 2]}, key="columns")

    assert artifacts("frame")[0].data == [{"a": 1}, {"a": 2}]
    assert artifacts("columns")[0].data == {"a": [1, 2]}


def test_variables_are_kept_until_they_are_unset():
    Variable.set("limit", {"n": [1, 2]})

    assert Variable.get("limit") == {"n": [1, 2]}
    with pytest.raises(NbflowError, match="overwrite=True"):
        Variable.set("limit", 3)
    Variable.set("limit", 3, overwrite=True)
    assert flow(lambda: Variable.get("limit"))() == 3
    assert Variable.unset("limit") is True
    assert Variable.unset("limit") is False
    assert Variable.get("limit") is None
    assert Variable.get("limit", 7) == 7
    with pytest.raises(TypeError):
        Variable.set("no json", object())

"""Orders carried out in this process: scripts, sealed flows and notebooks."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from nbflow import flow, wiring
from nbflow.deploy.executing import execute
from nbflow.model.deployments import DeploymentKind, DeploymentRecord, OrderRecord
from nbflow.model.states import State
from nbflow.results.sealing import purpose_of, seal_value
from nbflow.runtime import flow_run
from tests.deploy.deployed import Deployed


@pytest.fixture
def deployed(home: Path, tmp_path: Path) -> Iterator[Deployed]:
    before = list(sys.path)
    yield Deployed(home, tmp_path / "scripts")
    sys.path[:] = before
    sys.modules.pop("script", None)


def carry_out(deployed: Deployed, deployment: DeploymentRecord, **parameters: object) -> State:
    """Ask for a run, take it and carry it out; gives its state, which is on disk as well."""
    deployed.order(deployment, **parameters)
    (order,) = deployed.store.take_orders(deployment_ids=[deployment.id])
    state = execute(order, deployment)
    deployed.store.flush()
    assert deployed.run(order).state_name == state.name
    return state


def sealed(deployed: Deployed, value: object, **options: object) -> DeploymentRecord:
    """Deploy a flow, or whatever is sealed in its place."""
    kind = DeploymentKind.FUNCTION
    bare = deployed.deploy(kind, "work", "a notebook", **options)
    snapshot = seal_value(purpose_of(bare), value, deployed.home)
    return deployed.deploy(kind, "work", "a notebook", snapshot=snapshot, **options)


def newest_order(deployed: Deployed, deployment: DeploymentRecord) -> OrderRecord:
    return deployed.store.orders(deployment_id=deployment.id)[0][0]


# --- flows ------------------------------------------------------------------------------------


def test_a_script_that_has_changed_is_read_anew(deployed: Deployed):
    work = deployed.script("@flow\ndef work(n: int): return n + 1")
    assert carry_out(deployed, work, n=1).result() == 2

    deployed.script("@flow\ndef work(n: int): return n + 10")
    assert carry_out(deployed, work, n=1).result() == 11


def test_a_sealed_flow_runs_as_the_run_that_was_asked_for(deployed: Deployed):
    offset = 5

    @flow(name="work")
    def work(n: int):
        return n + offset, flow_run.id, flow_run.name, sorted(flow_run.tags)

    deployment = sealed(deployed, work, parameters={"n": 1}, tags=("nightly",))
    value = carry_out(deployed, deployment).result()

    order = newest_order(deployed, deployment)
    assert value == (6, order.run_id, order.run_name, ["nightly"])


def test_a_sealed_flow_finds_the_modules_beside_it_from_any_folder(deployed: Deployed):
    (deployed.folder / "beside_the_notebook.py").write_text("def number(): return 7")
    sys.path.insert(0, str(deployed.folder))
    module = importlib.import_module("beside_the_notebook")
    deployment = sealed(deployed, flow(name="work")(module.number))
    sys.path.remove(str(deployed.folder))
    del sys.modules["beside_the_notebook"]

    for _ in range(2):
        assert carry_out(deployed, deployment).result() == 7
    assert sys.path.count(str(deployed.folder)) == 1
    del sys.modules["beside_the_notebook"]


def test_what_a_notebook_leaves_can_be_read_by_its_owner_only(deployed: Deployed):
    deployed.home.chmod(0o755)
    deployment = deployed.notebook("n = 1")

    carry_out(deployed, deployment)

    order = newest_order(deployed, deployment)
    executed = deployed.file(order, "executed.ipynb")
    assert executed.is_file()
    assert [one.stat().st_mode & 0o77 for one in (executed.parent, executed.parent.parent)] == [
        0,
        0,
    ]


def test_async_flows_run_too(deployed: Deployed):
    work = deployed.script("@flow\nasync def work(n: int): return n")

    assert carry_out(deployed, work, n="3").result() == 3


def test_parameters_that_do_not_fit_fail_the_run(deployed: Deployed):
    work = deployed.script("@flow\ndef work(n: int): say('ran')")

    state = carry_out(deployed, work, n="many")

    assert state.name == "Failed"
    assert "parameter 'n' = 'many' is not valid" in state.message
    assert deployed.said() == []


@pytest.mark.parametrize("colour", ["def", "async def"])
def test_a_flow_that_yields_is_refused(deployed: Deployed, colour: str):
    work = deployed.script(f"@flow\n{colour} work():\n    yield 1")

    state = carry_out(deployed, work)

    assert state.name == "Failed"
    assert "flow 'work' yields its values" in state.message


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_nothing_is_unpickled_that_was_not_sealed_for_it(deployed: Deployed, tmp_path: Path):
    trace = tmp_path / "unpickled"
    good = sealed(deployed, Evil(trace))
    assert good.snapshot is not None
    other = sealed(deployed, Evil(trace), name="other")
    damaged = good.snapshot[:-1] + bytes([good.snapshot[-1] ^ 1])

    for snapshot in (damaged, other.snapshot, b"", None):
        state = carry_out(deployed, replace(good, snapshot=snapshot))
        assert state.name == "Failed"
        assert "deploy it again" in state.message.lower()

    assert not trace.exists()
    assert "is no flow" in carry_out(deployed, good).message
    assert trace.exists()


# --- notebooks --------------------------------------------------------------------------------


def outputs(path: Path) -> list[str]:
    cells = nbformat.read(path, as_version=4).cells
    return [one.text for cell in cells for one in cell.outputs if one.output_type == "stream"]


def test_a_notebook_is_kept_as_executed(deployed: Deployed):
    report = deployed.notebook("city = 'none'", "import os\nprint(city, os.getcwd())")

    state = carry_out(deployed, report, city="Montreal")

    order = newest_order(deployed, report)
    copy = deployed.file(order, "executed.ipynb")
    assert state.result() == copy
    assert outputs(copy) == [f"Montreal {deployed.folder}\n"]
    page = deployed.file(order, "executed.html").read_text()
    assert "Montreal" in page
    assert "<title>report/test</title>" in page
    assert sorted(one.name for one in copy.parent.iterdir()) == ["executed.html", "executed.ipynb"]
    assert deployed.run(order).inputs == {"city": "Montreal"}


def test_a_notebook_that_fails_is_kept_as_well(deployed: Deployed):
    report = deployed.notebook("x = 0", "print('before')", "1 / x")

    state = carry_out(deployed, report)

    order = newest_order(deployed, report)
    assert state.name == "Failed"
    assert "cell 3 of 3 (1 / x) failed: ZeroDivisionError" in state.message
    assert outputs(deployed.file(order, "executed.ipynb")) == ["before\n"]
    assert "ZeroDivisionError" in deployed.file(order, "executed.html").read_text()


def test_a_failed_notebook_is_tried_again_in_another_kernel(deployed: Deployed):
    report = deployed.notebook(
        "log = ''",
        "import os\nwith open(log, 'a') as file: print(os.getpid(), file=file)",
        "assert len(open(log).readlines()) == 2",
        retries=1,
    )

    state = carry_out(deployed, report, log=str(deployed.log))

    assert state.name == "Completed"
    assert len(set(deployed.said())) == 2
    assert deployed.run(newest_order(deployed, report)).run_count == 2


def test_every_cell_is_a_task_where_the_deployment_says_so(deployed: Deployed):
    report = deployed.notebook("n = 1", "m = n + 1\nprint(m)", autotask=True)

    carry_out(deployed, report)

    order = newest_order(deployed, report)
    cells = nbformat.read(deployed.file(order, "executed.ipynb"), as_version=4).cells
    assert all("status" in cell.metadata["nbflow"] for cell in cells)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [({"n": 1}, "is not a notebook that can be read"), ({"class": 1}, "the parameter 'class'")],
)
def test_a_notebook_that_cannot_be_run_fails_its_run(
    deployed: Deployed, parameters: dict[str, object], told: str
):
    report = deployed.notebook("n = 0")
    if "n" in parameters:
        from nbflow.results.sealing import seal

        text = seal(purpose_of(report), b"{", deployed.home)
        report = replace(report, snapshot=text)

    state = carry_out(deployed, report, **parameters)

    assert (state.name, told in state.message) == ("Failed", True)


def test_a_page_that_cannot_be_written_fails_nothing(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    from nbconvert.exporters.html import HTMLExporter

    def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("no template")

    monkeypatch.setattr(HTMLExporter, "from_notebook_node", fail)
    report = deployed.notebook("n = 0")

    assert carry_out(deployed, report).name == "Completed"

    assert "could not be written as HTML: RuntimeError('no template')" in caplog.text
    order = newest_order(deployed, report)
    assert not deployed.file(order, "executed.html").exists()


def test_a_notebook_is_cancelled_in_a_thread_of_a_kernel(deployed: Deployed):
    """As one that a kernel serves: the thread that waits for the cells cannot be signalled."""
    import threading

    report = deployed.notebook(
        "log = ''", "open(log, 'a').write('began\\n')", "import time; time.sleep(60)"
    )
    deployed.order(report, log=str(deployed.log))
    (order,) = deployed.store.take_orders(deployment_ids=[report.id])
    states: list[State] = []
    thread = threading.Thread(target=lambda: states.append(execute(order, report)))
    thread.start()
    while not deployed.said():
        thread.join(0.01)

    wiring.current().engine.cancel(order.run_id)
    thread.join(20)

    assert [state.name for state in states] == ["Cancelled"]

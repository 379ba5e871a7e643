"""A flow written in cells, deployed from a cell, run by a worker in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbflow.store.store import Store
from tests.notebook.kernels import Kernel

FLOW = """
import os
from nbflow import flow, task, get_run_logger, runtime
from pathlib import Path

OFFSET = 40
class Scale:
    def __init__(self, by): self.by = by
scale = Scale(1)

@task
def plus(x): return (OFFSET + x) * scale.by

@flow(log_prints=True)
def report(x: int = 1):
    Path("answer.txt").write_text(f"{plus(x)} {os.getpid()} {runtime.deployment.name}")
"""


@pytest.fixture
def kernel(home: Path, tmp_path: Path) -> Iterator[Kernel]:
    started = Kernel(home, JPY_SESSION_NAME=str(tmp_path / "book.ipynb"))
    started.run(f"import os; os.chdir({str(tmp_path)!r})")
    yield started
    started.close()


@pytest.fixture
def worker(home: Path) -> Iterator[subprocess.Popen[str]]:
    store = Store(home, may_fall_back=False)
    store.create_pool("local", "process")
    store.close()
    process = subprocess.Popen(
        [sys.executable, "-m", "nbflow.cli.main", "worker", "start", "--pool", "local"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NBFLOW_HOME": str(home)},
    )
    assert process.stderr is not None
    assert "waits for runs" in process.stderr.readline()
    yield process
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def test_flow_of_cells_is_run_by_a_worker_as_it_was_deployed(kernel, worker, tmp_path, home):
    assert kernel.run(FLOW).error is None
    deployed = kernel.run("report.deploy('daily', work_pool_name='local', parameters={'x': 2})")
    kernel.run("OFFSET = 0")  # the deployment keeps what it was

    ran = kernel.run(
        "from nbflow.deployments import run_deployment\n"
        "run = run_deployment('report/daily', timeout=50)\n"
        "print(run.state_name, run.message)"
    )

    assert deployed.error is None
    (line,) = deployed.text("stdout").splitlines()
    assert line == (
        "deployed report/daily to 1 worker of pool 'local'; "
        "run it: nbflow deployment run report/daily"
    )
    assert ran.error is None
    assert ran.text("stdout").startswith("Completed")
    answer, pid, name = (tmp_path / "answer.txt").read_text().split()
    assert (answer, name) == ("42", "daily")
    assert int(pid) != kernel.literal("os.getpid()")
    store = Store(home, may_fall_back=False)
    (one,) = store.deployments()
    store.close()
    assert (one.place, one.folder) == (str(tmp_path / "book.ipynb"), str(tmp_path))


def test_notebook_that_deploys_and_serves_does_not_when_a_worker_runs_it(
    kernel, worker, tmp_path, home
):
    cells = (
        FLOW,
        "report.deploy('again', work_pool_name='local'); served = report.serve('live')",
        "Path('ran.txt').write_text('ran')",
    )
    path = tmp_path / "deploys.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(one) for one in cells]), path)
    command = [sys.executable, "-m", "nbflow.cli.main"]
    environment = {**os.environ, "NBFLOW_HOME": str(home)}
    for verb in (
        ("deploy", str(path), "--name", "daily", "--pool", "local"),
        ("deployment", "run", "deploys/daily", "--watch"),
    ):
        subprocess.run([*command, *verb], env=environment, check=True, capture_output=True)

    store = Store(home, may_fall_back=False)
    names = [one.full_name for one in store.deployments()]
    store.close()
    assert (tmp_path / "ran.txt").read_text() == "ran"
    assert names == ["deploys/daily"]


def test_value_of_a_cell_that_cannot_go_is_named_in_the_cell(kernel, home):
    kernel.run(
        "import threading\nfrom nbflow import flow, task\nlock = threading.Lock()\n"
        "@task\ndef guarded():\n    with lock: pass\n"
        "@flow\ndef report(): guarded()\n"
        "from nbflow import wiring\nwiring.current().store.create_pool('local', 'process')"
    )

    answer = kernel.run("report.deploy('daily', work_pool_name='local')")

    assert answer.error_name == "NotPicklable"
    assert "'lock' (lock), used by 'guarded' cannot be pickled" in answer.error


def test_flow_of_a_file_beside_the_notebook_is_read_from_it(kernel, worker, tmp_path):
    (tmp_path / "library.py").write_text(
        "from nbflow import flow\nfrom pathlib import Path\nimport more\n"
        "@flow\ndef report(): Path('answer.txt').write_text(more.TEXT)\n"
    )
    (tmp_path / "more.py").write_text("TEXT = 'before'")
    kernel.run("import sys; sys.path.insert(0, ''); from library import report")
    assert kernel.run("report.deploy('daily', work_pool_name='local')").error is None
    (tmp_path / "more.py").write_text("TEXT = 'after'")

    ran = kernel.run(
        "from nbflow.deployments import run_deployment\n"
        "print(run_deployment('report/daily', timeout=50).state_name)"
    )

    assert ran.text("stdout") == "Completed\n"
    assert (tmp_path / "answer.txt").read_text() == "after"


def test_flow_of_cells_may_use_a_file_beside_the_notebook(kernel, worker, tmp_path):
    (tmp_path / "more.py").write_text("def text(): return 'from the file'")
    kernel.run(
        "import sys; sys.path.insert(0, ''); import more\n"
        "from nbflow import flow\nfrom pathlib import Path\n"
        "@flow\ndef report(): Path('answer.txt').write_text(more.text())"
    )
    assert kernel.run("report.deploy('daily', work_pool_name='local')").error is None

    ran = kernel.run(
        "from nbflow.deployments import run_deployment\n"
        "run = run_deployment('report/daily', timeout=50); print(run.state_name, run.message)"
    )

    assert ran.text("stdout").startswith("Completed"), ran.text()
    assert (tmp_path / "answer.txt").read_text() == "from the file"

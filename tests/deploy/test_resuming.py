"""`nbflow resume`: runs that failed, started again from what they had completed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbflow import flow, task, wiring
from nbflow.deploy.executing import execute
from nbflow.deploy.notebooks import run_notebook
from nbflow.deploy.resuming import resume
from nbflow.deploy.scripts import run_script
from nbflow.errors import NbflowError, NotebookFailed
from nbflow.model.deployments import DeploymentKind, DeploymentRecord, DeploymentSpec
from nbflow.model.records import RunRecord
from tests.children import read
from tests.deploy.deployed import Deployed

SCRIPT = """
import os, time
from pathlib import Path
from nbflow import flow, task

@task
def step(n):
    if n == 4 and Path("broken").exists():
        if os.environ.get("HANG"):
            Path("hangs").touch()
            time.sleep(100)
        raise ValueError("broken")
    with open("effects.txt", "a") as file:
        file.write(f"{n}\\n")
    return n

@flow
def report(n: int = 5, title: str = "none"):
    print(title, os.getcwd(), sum(step(i) for i in range(1, n + 1)))

@flow(name="in async")
async def asynchronous():
    step(1)
    step(4)

@flow
def items():
    yield step(1)
    yield step(4)
"""


N_KILLS = 4
MANY = """
import os, uuid
from nbflow import flow, task
from nbflow.task_runners import ThreadPoolTaskRunner

@task
def step(n):
    os.mkdir(f"mark-{n}-{uuid.uuid4().hex}")
    return n

@flow(task_runner=ThreadPoolTaskRunner(max_workers=4))
def many():
    for n in range(30):
        a, b = step.submit(n), step.submit(n)
        assert a.result() + b.result() == 2 * n
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with a script that fails as long as the file `broken` is there."""
    before, modules = list(sys.path), set(sys.modules)
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "resumed_script.py").write_text(SCRIPT)
    (folder / "broken").touch()
    monkeypatch.chdir(folder)
    yield folder
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name == "resumed_script":
            del sys.modules[name]


def take(folder: Path) -> list[str]:
    """What was done since it was last asked."""
    path = folder / "effects.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def marks(folder: Path) -> list[Path]:
    """What the script MANY has done."""
    return list(folder.glob("mark-*"))


def nbflow(folder: Path, *arguments: str, code: int = 0, **environment: str) -> str:
    """Run a command; gives what it printed, with its stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "nbflow.cli.main", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def newest() -> RunRecord:
    """The outermost run that was started last."""
    store = wiring.current().store
    store.flush()
    store.reap()
    return store.runs(outermost=True, limit=1)[0]


def inner_states(run: RunRecord) -> list[str]:
    store = wiring.current().store
    return [one.state_name for one in store.family(run.id)[1:]]


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


# --- scripts ------------------------------------------------------------------------------------


def test_a_script_goes_on_after_the_tasks_that_completed(folder: Path):
    nbflow(folder, "run", "resumed_script.py:report", "-p", "n=5", "-p", "title=mine", code=1)
    assert take(folder) == ["1", "2", "3"]
    first = newest()

    # From elsewhere: the run knows its file, its folder and its parameters.
    nbflow(folder.parent, "resume", first.name, code=1)
    assert take(folder) == []
    (folder / "broken").unlink()
    told = nbflow(folder.parent, "resume", first.name)

    assert take(folder) == ["4", "5"]
    assert f"mine {folder} 15" in told
    again = newest()
    assert f"Flow run {again.name!r} goes on from {first.name!r}: Completed" in told
    assert again.id != first.id
    assert again.origin_id == first.id
    assert again.source == first.source
    assert inner_states(again) == ["Cached"] * 3 + ["Completed"] * 2


def test_a_run_that_was_killed_goes_on(folder: Path, home: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "nbflow.cli.main", "run", "resumed_script.py:report"],
        cwd=folder,
        env={**os.environ, "HANG": "1"},
        stderr=subprocess.DEVNULL,
    )
    wait_for((folder / "hangs").exists)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert take(folder) == ["1", "2", "3"]
    (folder / "broken").unlink()
    assert newest().state_name == "Crashed"

    nbflow(folder, "resume", newest().name)

    assert take(folder) == ["4", "5"]
    assert newest().state_name == "Completed"
    assert read(home, "SELECT count(*) FROM results") == [(0,)]


def test_a_run_that_was_cancelled_goes_on(folder: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "nbflow.cli.main", "run", "resumed_script.py:report"],
        cwd=folder,
        env={**os.environ, "HANG": "1"},
        stderr=subprocess.DEVNULL,
    )
    wait_for((folder / "hangs").exists)
    nbflow(folder, "cancel", newest().name)
    process.wait(30)
    assert newest().state_name == "Cancelled"
    (folder / "broken").unlink()

    assert resume(newest().name).state_name == "Completed"
    assert take(folder) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("name", ["in async", "report"])
def test_any_colour_goes_on_in_this_process(folder: Path, name: str):
    with pytest.raises(ValueError, match="broken"):
        run_script(f"resumed_script.py:{name}", {})
    first = take(folder)
    (folder / "broken").unlink()

    again = resume(newest().name)

    assert again.state_name == "Completed"
    assert not set(first) & set(take(folder))


def test_a_flow_that_yields_is_run_to_its_end(folder: Path):
    (folder / "broken").unlink()
    assert run_script("resumed_script.py:items", {}) == [1, 4]


def test_the_folder_is_left_as_it_was(folder: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="broken"):
        run_script("resumed_script.py:report", {})
    os.chdir(tmp_path)
    with pytest.raises(ValueError, match="broken"):
        resume(newest().name)
    assert Path.cwd() == tmp_path


def test_a_task_that_completed_is_never_run_again_wherever_the_process_dies(
    folder: Path, home: Path
):
    """Killed at random; what the store calls Completed was completed once, of each of its calls."""
    (folder / "broken").unlink()
    (folder / "many.py").write_text(MANY)
    command = [sys.executable, "-m", "nbflow.cli.main"]
    arguments = ["run", "many.py:many"]
    dice = random.Random(4)
    for _ in range(N_KILLS):
        n_before = len(marks(folder))
        process = subprocess.Popen([*command, *arguments], cwd=folder, stderr=subprocess.DEVNULL)
        wait_for(lambda n=n_before: len(marks(folder)) > n)
        time.sleep(dice.uniform(0.0, 0.02))
        process.kill()
        process.wait()
        store = wiring.current().store
        store.reap()
        # None: it was killed before anything of it was written.
        arguments = ["resume", newest().id] if store.runs(outermost=True) else arguments
    nbflow(folder, *arguments)

    assert newest().state_name == "Completed"
    completed = Counter(
        row[0]
        for row in read(
            home,
            "SELECT inputs FROM runs WHERE spec_name = 'step' AND state_name = 'Completed'",
        )
    )
    # Each of 30 calls is made twice, at the same time.
    assert max(completed.values()) == 2
    assert set(inner_states(newest())) == {"Cached", "Completed"}
    assert len(inner_states(newest())) == 60
    # Between what a task did and its end there is a moment in which the process may die.
    assert 60 <= len(marks(folder)) <= 60 + 4 * N_KILLS


# --- what cannot be resumed ---------------------------------------------------------------------


def test_what_has_completed_says_so(folder: Path):
    (folder / "broken").unlink()
    run_script("resumed_script.py:report", {})
    name = newest().name
    told = nbflow(folder, "resume", name, code=1)
    assert f"nbflow: Flow run {name!r} has completed; there is nothing left to do" in told


def test_a_run_that_was_resumed_and_completed_says_so(folder: Path):
    with pytest.raises(ValueError, match="broken"):
        run_script("resumed_script.py:report", {})
    first = newest()
    (folder / "broken").unlink()
    again = resume(first.name)
    with pytest.raises(NbflowError, match=f"was resumed as {again.name!r}, which has completed"):
        resume(first.name)


def test_what_is_running_says_so(folder: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "nbflow.cli.main", "run", "resumed_script.py:report"],
        cwd=folder,
        env={**os.environ, "HANG": "1"},
        stderr=subprocess.DEVNULL,
    )
    wait_for((folder / "hangs").exists)
    try:
        with pytest.raises(NbflowError, match="is Running; a run can be resumed when"):
            resume(newest().name)
    finally:
        process.kill()
        process.wait()


def test_a_part_of_a_run_says_which_to_resume(folder: Path):
    with pytest.raises(ValueError, match="broken"):
        run_script("resumed_script.py:report", {})
    run = newest()
    part = wiring.current().store.family(run.id)[-1]
    with pytest.raises(NbflowError, match=f"is a part of Flow run {run.name!r}; resume that"):
        resume(part.id)


def test_a_task_of_no_flow_says_so():
    @task
    def alone():
        raise ValueError

    with pytest.raises(ValueError):
        alone()
    with pytest.raises(NbflowError, match="is of no flow run, and only these can be resumed"):
        resume(newest().id)


def test_a_flow_that_yields_is_to_be_called_again():
    @flow
    def items():
        yield 1
        raise ValueError

    with pytest.raises(ValueError):
        list(items())
    with pytest.raises(NbflowError, match="yields its values to who calls it; call it again"):
        resume(newest().id, flows={"items": items})


def test_parameters_that_json_does_not_give_back_are_not_made_up(folder: Path):
    with pytest.raises(ValueError, match="broken"):
        run_script("resumed_script.py:report", {"title": "x" * 5000})
    with pytest.raises(NbflowError, match=r"nobody knows how .* was started"):
        resume(newest().name)


# --- calls --------------------------------------------------------------------------------------


def test_a_call_is_made_again_where_its_flow_is_known(tmp_path: Path):
    gate = tmp_path / "gate"
    gate.touch()
    done = str(tmp_path / "done")

    @task(persist_result=True)
    def step(n):
        with open(done, "a") as file:
            file.write(f"{n}\n")
        return n

    @flow(name="by hand")
    def by_hand(n: int):
        value = step(n)
        if gate.exists():
            raise ValueError
        return value

    with pytest.raises(ValueError):
        by_hand(7)
    name = newest().name
    with pytest.raises(NbflowError, match="resume it in a notebook that defines this flow"):
        resume(name)
    gate.unlink()

    again = resume(name, flows={"something": 1, "f": by_hand})

    assert again.state_name == "Completed"
    assert again.inputs == {"n": 7}
    assert Path(done).read_text() == "7\n"


# --- notebooks ----------------------------------------------------------------------------------


class Service(ThreadingHTTPServer):
    """Something outside of the notebook: it counts how often it is asked for what."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked = Counter[str]()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def take(self) -> dict[str, int]:
        """What was asked for since this was last called."""
        asked, self.asked = self.asked, Counter()
        return dict(asked)


class _Answer(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.server.asked[name] += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(self.server.asked.total()).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing to stderr."""


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


FIRST = """
%load_ext nbflow
import time
from pathlib import Path
from urllib.request import urlopen
"""


def asks(service: Service, name: str) -> str:
    return f"{name} = urlopen('{service.url}/{name}').read().decode()"


@pytest.fixture
def notebook(folder: Path, service: Service) -> Path:
    """A notebook whose sixth code cell fails as long as `broken` is there."""
    cells = [
        FIRST,
        f"%%task first\n{asks(service, 'first')}",
        "%%task clock\nat = time.time()",
        asks(service, "plain"),
        f"%%task second\n{asks(service, 'second')}\nprint(first, second)",
        "%%task bad\nassert not Path('broken').exists()",
        f"%%task third\n{asks(service, 'third')}",
        "print(at)",
    ]
    path = folder / "work.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    return path


def cells_of(executed: Path) -> list[Any]:
    return nbformat.read(executed, as_version=4).cells


def printed(cell: Any) -> str:
    return "".join(one.text for one in cell.outputs if one.output_type == "stream")


def statuses(executed: Path) -> list[Any]:
    """How each code cell was obtained, as the executed copy tells."""
    return [cell.metadata.get("nbflow", {}).get("status") for cell in cells_of(executed)]


def test_cells_that_completed_are_put_back_those_that_ask_the_world_too(
    folder: Path, notebook: Path, service: Service
):
    with pytest.raises(NotebookFailed):
        run_notebook(notebook)
    assert service.take() == {"first": 1, "plain": 1, "second": 1}
    first = newest()
    copy = folder / "work.executed.ipynb"
    # To others, and to the user, they are what they were.
    told = cells_of(copy)[1].metadata["nbflow"]
    assert told["status"] == "uncached"
    assert told["reason"] == "it uses the network; only a resumed run finds it"
    (folder / "broken").unlink()

    again = resume(first.name)

    assert service.take() == {"plain": 1, "third": 1}
    assert again.state_name == "Completed"
    assert again.origin_id == first.id
    assert statuses(copy) == [
        None, "cached", "cached", None, "cached", "uncached", "uncached", None
    ]  # fmt: skip
    assert printed(cells_of(copy)[4]) == "1 3\n"


def test_a_run_of_its_own_asks_the_world_anew(folder: Path, notebook: Path, service: Service):
    for _ in range(2):
        with pytest.raises(NotebookFailed):
            run_notebook(notebook)
        assert service.take() == {"first": 1, "plain": 1, "second": 1}


def test_equal_cells_are_each_run(folder: Path, service: Service):
    cells = [FIRST, *[f"%%task same{n}\n{asks(service, 'same')}" for n in range(3)]]
    cells.insert(3, "%%task bad\nassert not Path('broken').exists()")
    path = folder / "work.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    with pytest.raises(NotebookFailed):
        run_notebook(path)
    assert service.take() == {"same": 2}
    (folder / "broken").unlink()
    assert resume(newest().name).state_name == "Completed"
    assert service.take() == {"same": 1}


def test_with_autotask_every_cell_goes_on_and_the_command_shows_it(folder: Path, service: Service):
    cells = [
        "from pathlib import Path\nfrom urllib.request import urlopen",
        "who = 'nobody'",
        asks(service, "first"),
        "print(who, first)",
        "assert not Path('broken').exists()",
        asks(service, "second"),
    ]
    path = folder / "work.ipynb"
    made = [new_code_cell(cell) for cell in cells]
    made[1].metadata["tags"] = ["parameters"]
    nbformat.write(new_notebook(cells=made), path)
    output = folder / "out" / "done.ipynb"
    run = ["run", "work.ipynb", "--autotask", "-p", "who=me", "-o", "out/done.ipynb"]
    nbflow(folder, *run, code=1)
    assert service.take() == {"first": 1}
    (folder / "broken").unlink()

    told = nbflow(folder.parent, "resume", newest().name)

    assert service.take() == {"second": 1}
    assert "goes on from" in told
    assert f"executed notebook: {output}" in told
    assert printed(cells_of(output)[4]) == "me 1\n"
    assert statuses(output)[3] == "cached"


def test_a_resumed_notebook_is_resumed(folder: Path, notebook: Path, service: Service):
    for _ in range(2):
        with pytest.raises(NotebookFailed):
            run_notebook(notebook) if not service.asked else resume(newest().name)
    assert service.take() == {"first": 1, "plain": 2, "second": 1}
    (folder / "broken").unlink()
    assert resume(newest().name).state_name == "Completed"
    assert service.take() == {"plain": 1, "third": 1}


def test_a_notebook_that_is_gone_says_so(folder: Path, notebook: Path):
    with pytest.raises(NotebookFailed):
        run_notebook(notebook)
    notebook.unlink()
    with pytest.raises(NbflowError, match=r"the notebook of .* is gone"):
        resume(newest().name)


# --- deployments --------------------------------------------------------------------------------


def deployed(folder: Path, pool: str | None = None) -> DeploymentRecord:
    spec = DeploymentSpec(
        flow_name="report",
        name="nightly",
        kind=DeploymentKind.SCRIPT,
        target=f"{folder}/resumed_script.py:report",
        folder=str(folder),
        parameters={"title": "nightly"},
        pool=pool,
    )
    return wiring.current().store.put_deployment(spec, [])


def test_a_deployed_run_goes_on_here_if_nobody_else_would(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    deployment = deployed(folder)
    store = wiring.current().store
    order = store.add_order(deployment.id, parameters={"n": 6}, due_at=1_000_000.5, tags=("mine",))
    (taken,) = store.take_orders(deployment_ids=[deployment.id])
    assert execute(taken, deployment).is_failed()
    assert take(folder) == ["1", "2", "3"]
    (folder / "broken").unlink()

    again = resume(order.run_name)

    assert again.state_name == "Completed"
    assert take(folder) == ["4", "5", "6"]
    assert again.origin_id == order.run_id
    assert again.scheduled_at == 1_000_000.5
    assert again.tags == ["mine"]
    assert again.inputs == {"n": 6, "title": "nightly"}
    assert f"nightly {folder} 21" in capsys.readouterr().out
    with pytest.raises(NbflowError, match="which has completed"):
        resume(order.run_id)


def test_a_deployed_run_is_left_to_the_workers_of_its_pool(folder: Path):
    store = wiring.current().store
    store.create_pool("here", "process")
    deployment = deployed(folder, "here")
    order = store.add_order(deployment.id)
    (taken,) = store.take_orders(pool="here")
    assert execute(taken, deployment).is_failed()
    store.register_worker("a worker", "here")

    again = resume(order.run_name)

    assert again.state_name == "Scheduled"
    assert [one.run_id for one in store.take_orders(pool="here")] == [again.id]


def test_of_a_deployment_that_is_gone_says_so(folder: Path):
    deployment = deployed(folder)
    store = wiring.current().store
    order = store.add_order(deployment.id)
    (taken,) = store.take_orders(deployment_ids=[deployment.id])
    execute(taken, deployment)
    store.delete_deployment(deployment.id)
    with pytest.raises(NbflowError, match="was deleted; deploy it again"):
        resume(order.run_id)


def test_a_deployed_notebook_goes_on_cell_by_cell(folder: Path, home: Path, service: Service):
    store = wiring.current().store
    work = Deployed(home, folder)
    deployment = work.notebook(
        "n = 1",
        FIRST,
        f"%%task first\n{asks(service, 'first')}",
        "%%task bad\nassert not Path('broken').exists()",
        f"%%task second\n{asks(service, 'second')}",
        pool=None,
    )
    order = store.add_order(deployment.id)
    (taken,) = store.take_orders(deployment_ids=[deployment.id])
    assert execute(taken, deployment).is_failed()
    assert service.take() == {"first": 1}
    (folder / "broken").unlink()

    assert resume(order.run_name).state_name == "Completed"
    assert service.take() == {"second": 1}

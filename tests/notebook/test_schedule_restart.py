"""Schedules outlive their kernel: a new one of the same notebook takes them up again."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.children import read
from tests.notebook.kernels import Kernel
from tests.notebook.notebooks import Notebook

FLOWS = """
import os
import nbflow
from nbflow import flow

greeting = 'hello'

@flow
def greet(name='you'):
    print(greeting, name)
    nbflow.get_run_logger().info(f'pid {os.getpid()}')
"""


def wait_until(true: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


def n_completed(home: Path) -> int:
    found = read(
        home, "SELECT count(*) FROM runs WHERE spec_name = 'greet' AND state_name = 'Completed'"
    )
    return int(str(found[0][0]))


def load(folder: Path, **environment: str) -> tuple[Kernel, str]:
    """A new kernel of the folder's notebook, and what loading nbflow shows in it."""
    kernel = Kernel(folder / "home", NBFLOW_NOTEBOOK=str(folder / "a.ipynb"), **environment)
    return kernel, kernel.run("%load_ext nbflow").text()


def schedule(folder: Path, *magics: str) -> Notebook:
    """A kernel of the folder's notebook that has run magics."""
    notebook = Notebook(folder)
    for code in (FLOWS, *magics):
        cell = notebook.run(code)
        assert cell.error is None, cell.error
        assert "UsageError" not in cell.text(), cell.text()
    return notebook


def test_a_new_kernel_takes_up_what_its_notebook_has_scheduled_and_says_so(tmp_path: Path):
    notebook = schedule(
        tmp_path,
        "%schedule --every 1s greet --name often -p name=Ada",
        '%schedule "0 8 * * *" greet --name daily --tz America/New_York',
    )
    wait_until(lambda: n_completed(tmp_path / "home") >= 1)
    notebook.close()  # as a restart: nobody is asked
    n = n_completed(tmp_path / "home")

    kernel, shown = load(tmp_path)
    try:
        wait_until(lambda: n_completed(tmp_path / "home") >= n + 2)
        logs = kernel.run("%nbflow logs").text()
        names = kernel.literal("[name for name in ('greet', 'greeting') if name in globals()]")
        listed = kernel.run("%schedule").value
    finally:
        kernel.close()

    assert re.fullmatch(
        r"nbflow: took up 2 schedules again: daily \(next \w{3} \S+ 08:00 UTC-0[45]:00\), "
        r"often \(next \w{3} \S+ \S+ UTC.\d\d:\d\d\)\n",
        shown,
    )
    assert "hello Ada" in logs  # the flow as it was, though this kernel has not run its cell
    assert names == []
    assert listed is not None
    assert listed.count("this kernel") == 2


def test_fire_times_that_nobody_was_there_for_are_told_and_recorded(tmp_path: Path):
    notebook = schedule(tmp_path, "%schedule --every 1s greet --catch-up skip")
    wait_until(lambda: n_completed(tmp_path / "home") >= 1)
    notebook.close()
    # As if it had been closed for two minutes and a half.
    _set_back(tmp_path / "home", seconds=150)

    kernel, shown = load(tmp_path)
    try:
        wait_until(lambda: _states(tmp_path / "home").count("Missed") >= 80)
    finally:
        kernel.close()

    found = re.search(r"; (\d+) fire times were missed\n", shown)
    assert found is not None, shown
    assert 85 <= int(found[1]) <= 120  # those of the last minute are made up for


def test_what_is_paused_stays_paused(tmp_path: Path):
    notebook = schedule(
        tmp_path, "%schedule --every 1s greet --name still", "%schedule --pause still"
    )
    notebook.close()

    kernel, shown = load(tmp_path)
    kernel.close()

    assert shown == "nbflow: took up 1 schedule again: still (paused)\n"


def test_a_flow_that_could_not_be_kept_waits_for_its_cell(tmp_path: Path):
    notebook = schedule(
        tmp_path,
        "import threading\nlock = threading.Lock()\n"
        "@flow\ndef locked():\n    with lock:\n        pass",
        "%schedule --every 6h locked",
    )
    notebook.close()

    kernel, shown = load(tmp_path)
    kernel.close()

    assert shown == "nbflow: to go on with locked, run its cell again\n"


def test_a_flow_of_a_module_is_read_from_its_file_by_the_new_kernel(tmp_path: Path):
    module = tmp_path / "flows_of_a_file.py"
    text = "from nbflow import flow\n\n@flow\ndef greet():\n    print('VERSION')\n"
    module.write_text(text.replace("VERSION", "first"))
    notebook = schedule(
        tmp_path,
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom flows_of_a_file import greet",
        "%schedule --every 1s greet",
    )
    wait_until(lambda: n_completed(tmp_path / "home") >= 1)
    notebook.close()
    n = n_completed(tmp_path / "home")
    module.write_text(text.replace("VERSION", "second"))

    kernel, _ = load(tmp_path)
    try:
        wait_until(lambda: n_completed(tmp_path / "home") >= n + 1)
        logs = kernel.run("%schedule --pause greet\n%nbflow logs").text()
    finally:
        kernel.close()

    assert "second" in logs


def test_what_was_handed_over_is_left_to_its_pool(tmp_path: Path):
    notebook = schedule(
        tmp_path,
        "nbflow.wiring.current().store.create_pool('night', 'process')",
        "%schedule --every 6h greet",
        "%schedule --hand-over greet --pool night",
    )
    notebook.close()

    kernel, shown = load(tmp_path)
    listed = kernel.run("%schedule").value
    kernel.close()

    assert shown == ""
    assert listed is not None
    assert "pool night" in listed


@pytest.mark.parametrize(
    "end",
    [
        "shut down",
        # Workers notice that by themselves every half minute.
        pytest.param("killed", marks=pytest.mark.slow),
    ],
)
def test_a_worker_goes_on_when_the_kernel_is_gone_and_each_time_fires_once(
    tmp_path: Path, end: str
):
    home = tmp_path / "home"
    notebook = schedule(
        tmp_path,
        "nbflow.wiring.current().store.create_pool('night', 'process')",
        "%schedule --every 1s greet --pool night --overlap allow --catch-up all",
    )
    here = notebook.literal("os.getpid()")
    worker = subprocess.Popen(
        [sys.executable, "-m", "nbflow.cli.main", "worker", "start", "--pool", "night"],
        env={**os.environ, "NBFLOW_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: n_completed(home) >= 3)
        by_kernel = _pids(home)
        if end == "killed":
            os.kill(here, signal.SIGKILL)
        else:
            notebook.manager.shutdown_kernel(now=False)
        notebook.close()
        n = n_completed(home)
        wait_until(lambda: n_completed(home) >= n + 3, seconds=90)
    finally:
        worker.terminate()
        worker.wait(60)

    assert by_kernel == {here}
    assert _pids(home) - {here}
    times = [
        float(str(at))
        for (at,) in read(home, "SELECT scheduled_at FROM runs WHERE spec_name = 'greet'")
    ]
    assert len(times) == len(set(times))
    ordered = sorted(times)
    assert {round(b - a, 3) for a, b in itertools.pairwise(ordered)} == {1.0}


def test_other_notebooks_say_nothing(tmp_path: Path):
    schedule(tmp_path, "%schedule --every 6h greet").close()
    other = Kernel(tmp_path / "home", NBFLOW_NOTEBOOK=str(tmp_path / "b.ipynb"))
    try:
        shown = other.run("%load_ext nbflow").text()
    finally:
        other.close()

    assert shown == ""


def test_where_no_notebook_is_known_only_what_nobody_serves_is_taken_up(tmp_path: Path):
    home = tmp_path / "home"
    first, second = (Kernel(home, JPY_SESSION_NAME="", NBFLOW_NOTEBOOK="") for _ in range(2))
    try:
        here = f"import os\nos.chdir({str(tmp_path)!r})\n%load_ext nbflow"
        first.run(here + FLOWS + "%schedule --every 6h greet")
        shown = second.run(here).text()
        first.close()
        after = second.run("%reload_ext nbflow").text()
    finally:
        first.close()
        second.close()

    assert shown == ""
    assert after.startswith("nbflow: took up 1 schedule again: greet (next ")


def test_a_kernel_that_carries_out_a_run_takes_nothing_up(tmp_path: Path):
    schedule(tmp_path, "%schedule --every 6h greet").close()

    kernel, shown = load(tmp_path, NBFLOW_PARENT_RUN="0" * 32)
    kernel.close()

    assert shown == ""


def test_reloading_goes_on_with_the_schedules(tmp_path: Path):
    notebook = schedule(tmp_path, "%schedule --every 1s greet")
    try:
        wait_until(lambda: n_completed(tmp_path / "home") >= 1)
        notebook.run("%unload_ext nbflow")
        threads = notebook.literal(
            "[one.name for one in threading.enumerate() if one.name == 'nbflow-scheduler']"
        )
        n = n_completed(tmp_path / "home")
        shown = notebook.run("%load_ext nbflow").text()
        wait_until(lambda: n_completed(tmp_path / "home") >= n + 2)
    finally:
        notebook.close()

    assert threads == []
    assert shown.startswith("nbflow: took up 1 schedule again: greet (next ")


def test_reloading_takes_the_flow_as_it_is_by_then(tmp_path: Path):
    home = tmp_path / "home"
    define = (
        "import nbflow\nfrom nbflow import flow\n"
        "@flow\ndef told():\n    nbflow.get_run_logger().warning({!r})"
    )
    notebook = Notebook(tmp_path)
    try:
        notebook.run(define.format("old"))
        notebook.run("%schedule --every 6h told")
        notebook.run("%unload_ext nbflow")
        notebook.run(define.format("new"))
        notebook.run("%load_ext nbflow")
        notebook.run("%schedule --trigger told")
        said = "SELECT message FROM lines WHERE message IN ('old', 'new')"
        wait_until(lambda: read(home, said))
    finally:
        notebook.close()

    assert read(home, said) == [("new",)]


def test_two_kernels_of_one_notebook_fire_each_time_once(tmp_path: Path):
    home = tmp_path / "home"
    notebook = schedule(tmp_path, "%schedule --every 0.2s greet --overlap allow")
    kernel, shown = load(tmp_path)
    try:
        n = n_completed(home)
        wait_until(lambda: n_completed(home) >= n + 15)
        listed = kernel.run("%schedule --pause greet").text()
        wait_until(lambda: set(_states(home)) == {"Completed"})
    finally:
        notebook.close()
        kernel.close()

    assert "took up 1 schedule again" in shown
    assert "is paused" in listed
    times = [
        float(str(at))
        for (at,) in read(home, "SELECT scheduled_at FROM runs WHERE spec_name = 'greet'")
    ]
    assert len(times) == len(set(times))
    ordered = sorted(times)
    assert {round(b - a, 3) for a, b in itertools.pairwise(ordered)} == {0.2}


def test_a_killed_kernel_leaves_no_run_open(tmp_path: Path):
    home = tmp_path / "home"
    notebook = schedule(
        tmp_path,
        "import time\n@flow\ndef slow():\n    time.sleep(600)",
        "%schedule --every 1s slow",
    )
    wait_until(lambda: "Running" in _states(home, "slow"))
    os.kill(notebook.literal("os.getpid()"), signal.SIGKILL)
    notebook.close()

    kernel, _ = load(tmp_path)
    try:
        wait_until(lambda: "Crashed" in _states(home, "slow"))
        wait_until(lambda: "Running" in _states(home, "slow"))
    finally:
        kernel.close()


@pytest.mark.parametrize("store", ["none", "without schedules", "broken"])
def test_loading_is_quiet_and_loads_little_where_there_are_no_schedules(tmp_path: Path, store: str):
    home = tmp_path / "home"
    if store == "without schedules":
        code = "import nbflow\n@nbflow.flow\ndef one(): pass\none()"
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            env={**os.environ, "NBFLOW_HOME": str(home), "NBFLOW_LOG_LEVEL": "ERROR"},
        )
    elif store == "broken":
        home.mkdir()
        (home / "nbflow.db").write_bytes(b"no database" * 1000)
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S\n"
        "import sys, threading\n"
        "shell = S.instance()\n"
        "shell.run_line_magic('load_ext', 'nbflow')\n"
        "print(sorted({'croniter', 'dateutil', 'pandas', 'watchfiles', 'cloudpickle'}\n"
        "      & set(sys.modules)), threading.active_count())\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NBFLOW_HOME": str(home), "NBFLOW_NOTEBOOK": str(tmp_path / "a.ipynb")},
    )

    assert answer.stdout.splitlines() == ["[] 2"], answer.stdout  # IPython's history is the other
    assert (home / "nbflow.db").exists() is (store != "none")


def _states(home: Path, name: str = "greet") -> list[str]:
    found = read(home, "SELECT state_name FROM runs WHERE spec_name = ? ORDER BY id", name)
    return [str(state) for (state,) in found]


def _pids(home: Path) -> set[int]:
    """The processes that have run it."""
    found = read(home, "SELECT message FROM lines WHERE message LIKE 'pid %'")
    return {int(str(message).split()[1]) for (message,) in found}


def _set_back(home: Path, seconds: float) -> None:
    """Have the schedules wait for fire times that are long over."""
    import sqlite3

    connection = sqlite3.connect(home / "nbflow.db")
    connection.execute("UPDATE schedules SET next_at = next_at - ?", (seconds,))
    connection.commit()
    connection.close()

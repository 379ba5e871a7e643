"""`%schedule`: in words and real fire times, apart from what the user does meanwhile."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.children import read
from tests.notebook.kernels import CellResult, Kernel
from tests.notebook.notebooks import Notebook

FLOWS = """
import os, time
import nbflow
from nbflow import flow, task

@task
def add(n):
    print('task prints')
    return n + 1

@flow
def noisy(n=1):
    print('noisy prints', n)
    nbflow.get_run_logger().warning('noisy warns')
    display('noisy displays')
    result = n
    return add(n)

@flow
def broken():
    raise ValueError('broken indeed')

def plain():
    pass
"""


def wait_until(true: Callable[[], Any], seconds: float = 60) -> Any:
    """Poll until it is true; gives what it was."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)
    return found


def states(home: Path, name: str) -> list[str]:
    """States of the outermost runs of a flow, oldest first."""
    return [
        str(state)
        for (state,) in read(
            home,
            "SELECT state_name FROM runs WHERE spec_name = ? AND parent_id IS NULL ORDER BY id",
            name,
        )
    ]


def n_completed(home: Path, name: str) -> int:
    return states(home, name).count("Completed")


def lines(home: Path, name: str) -> list[str]:
    """What the newest run of a flow logged, and the tasks in it."""
    found = read(
        home,
        """SELECT message FROM lines WHERE run_id IN (
               SELECT id FROM runs WHERE flow_run_id = (
                   SELECT id FROM runs WHERE spec_name = ? AND kind = 'flow'
                   AND state_name = 'Completed' ORDER BY id DESC LIMIT 1))
           ORDER BY seq""",
        name,
    )
    return [str(message) for (message,) in found]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A kernel of a notebook with flows; tests delete their schedules."""
    folder = tmp_path_factory.mktemp("scheduled")
    notebook = Notebook(folder)
    try:
        begun = notebook.run(FLOWS)
        assert begun.error is None, begun.error
        yield notebook
    finally:
        notebook.close()


def told(cell: CellResult) -> str:
    """What a cell shows, whichever way."""
    assert cell.error is None, cell.error
    return cell.text() + (cell.value or "")


# --- an @flow -------------------------------------------------------------------------------------


def test_it_tells_the_schedule_in_words_and_its_next_five_fire_times(notebook: Notebook):
    shown = told(notebook.run('%schedule "0 8 * * 1-5" noisy --tz America/New_York --name early'))
    notebook.run("%schedule --delete early")

    assert "early: at 08:00" in shown
    assert "America/New_York" in shown
    assert shown.count(" 08:00 UTC-0") == 5
    assert "no runs yet" in shown


def test_a_flow_fires_every_second_in_its_kernel_and_shows_nothing_in_cells(notebook: Notebook):
    home = notebook.home
    assert "every second" in told(notebook.run("%schedule --every 1s noisy -p n=4"))
    result = notebook.send("result = 'mine'\nfor _ in range(25):\n    time.sleep(0.1)")
    seen: list[dict[str, Any]] = []
    end = time.monotonic() + 60
    while n_completed(home, "noisy") < 3:
        message = notebook.pump(min(0.2, end - time.monotonic()))
        seen += [message] if message is not None else []
    busy = notebook.wait(result)
    notebook.run("%schedule --delete noisy")

    assert told(busy) == ""
    assert busy.displays() == []
    assert [one["msg_type"] for one in seen if one["msg_type"] in ("stream", "display_data")] == []
    assert notebook.literal("result") == "mine"
    logged = lines(home, "noisy")
    for line in ("noisy prints 4", "noisy warns", "task prints"):
        assert line in logged
    assert any("noisy displays" in line for line in logged)


def test_no_fire_time_is_lost_and_none_fires_twice(notebook: Notebook):
    home = notebook.home
    notebook.run("@flow\ndef counted():\n    pass")
    notebook.run("%schedule --every 0.5s counted")
    wait_until(lambda: n_completed(home, "counted") >= 4)
    notebook.run("%schedule --delete counted")

    times = [
        float(str(at))
        for (at,) in read(
            home, "SELECT scheduled_at FROM runs WHERE spec_name = 'counted' ORDER BY scheduled_at"
        )
    ]
    gaps = [round(after - before, 3) for before, after in itertools.pairwise(times)]
    assert set(gaps) == {0.5}


def test_a_run_knows_its_planned_time(notebook: Notebook):
    home = notebook.home
    notebook.run(
        "planned = []\n@flow\ndef asks():\n"
        "    from nbflow import runtime\n"
        "    planned.append(str(runtime.flow_run.scheduled_start_time))"
    )
    notebook.run("%schedule --every 1s asks")
    wait_until(lambda: n_completed(home, "asks"))
    notebook.run("%schedule --delete asks")

    assert notebook.literal("planned[0]").startswith("20")


def test_a_failure_shows_in_the_list_and_in_no_cell(notebook: Notebook):
    home = notebook.home
    notebook.run("%schedule --every 1s broken")
    wait_until(lambda: "Failed" in states(home, "broken"))
    notebook.run("%schedule --pause broken")
    shown = told(notebook.run("%schedule --list"))
    quiet = notebook.run("1;")
    logged = told(notebook.run("%nbflow logs"))
    notebook.run("%schedule --delete broken")

    assert "✖ Failed" in shown
    assert "broken indeed" in shown
    assert told(quiet) == ""
    assert "ValueError: broken indeed" in logged


def test_figures_of_a_run_show_under_no_cell_and_those_of_cells_stay(notebook: Notebook):
    home = notebook.home
    notebook.run(
        "@flow\ndef draws():\n"
        "    import matplotlib.pyplot as plt\n"
        "    plt.plot([1, 2])\n    plt.figure()"
    )
    notebook.run("%schedule --every 0.5s draws")
    quiet = []
    for n in (1, 3):  # the first run imports pyplot
        wait_until(lambda n=n: n_completed(home, "draws") >= n)
        quiet.append(notebook.run("1;"))
    drawn = notebook.run("import matplotlib.pyplot as plt\nplt.figure();")
    notebook.run("%schedule --delete draws")

    assert [told(one) + "".join(one.displays()) for one in quiet] == ["", ""]
    assert drawn.displays() == ["<Figure size 640x480 with 0 Axes>"]


def test_interrupting_a_cell_does_not_end_a_scheduled_run(notebook: Notebook):
    home = notebook.home
    notebook.run(
        "gate = __import__('threading').Event()\n"
        "@flow\ndef patient():\n    assert gate.wait(60)\n    return 1"
    )
    notebook.run("%schedule --every 6h patient\n%schedule --trigger patient")
    wait_until(lambda: states(home, "patient") == ["Running"])

    cell = notebook.send("print('begun')\ntime.sleep(60)")
    notebook.wait_for_text(cell, "begun")
    notebook.interrupt()
    interrupted = notebook.wait(cell)
    notebook.run("gate.set()")
    wait_until(lambda: states(home, "patient") != ["Running"])
    notebook.run("%schedule --delete patient")

    assert interrupted.error_name == "KeyboardInterrupt"
    assert states(home, "patient") == ["Completed"]


def test_a_scheduled_run_is_cancelled_by_its_name(notebook: Notebook):
    home = notebook.home
    notebook.run("@flow\ndef endless():\n    while True:\n        time.sleep(0.01)")
    notebook.run("%schedule --every 6h endless\n%schedule --trigger endless")
    wait_until(lambda: states(home, "endless") == ["Running"])
    (name,) = read(home, "SELECT name FROM runs WHERE spec_name = 'endless'")[0]

    notebook.run(f"%nbflow cancel {name}")
    wait_until(lambda: states(home, "endless") == ["Cancelled"])
    quiet = notebook.run("1;")
    notebook.run("%schedule --delete endless")

    assert told(quiet) == ""


def test_async_flows_fire_too(notebook: Notebook):
    home = notebook.home
    notebook.run(
        "import asyncio\n@flow\nasync def waits():\n"
        "    await asyncio.sleep(0)\n    print('awaited')"
    )
    notebook.run("%schedule --every 1s waits")
    wait_until(lambda: n_completed(home, "waits"))
    quiet = notebook.run("time.sleep(1.2)")
    notebook.run("%schedule --delete waits")

    assert told(quiet) == ""
    assert "awaited" in lines(home, "waits")


def test_after_another_flow(notebook: Notebook):
    home = notebook.home
    notebook.run("@flow\ndef first():\n    pass\n@flow\ndef second():\n    pass")
    shown = told(notebook.run("%schedule --after first second"))
    notebook.run("first()")
    wait_until(lambda: n_completed(home, "second"))
    notebook.run("%schedule --delete second")

    assert "after each completed run of first" in shown


def test_when_a_file_changes(notebook: Notebook):
    home = notebook.home
    folder = Path(notebook.literal("os.getcwd()"), "in")
    folder.mkdir()
    notebook.run("@flow\ndef watches():\n    pass")
    shown = told(notebook.run("%schedule --on-change 'in/*.csv' watches"))

    def written_and_fired() -> bool:
        (folder / "a.csv").write_text(str(time.monotonic()))
        notebook.run("time.sleep(0.5)")
        return n_completed(home, "watches") > 0

    wait_until(written_and_fired)  # it is watched from a moment after the cell on
    notebook.run("%schedule --delete watches")

    assert "in/*.csv" in shown


def test_what_it_shows_is_html_too_without_what_cleaners_take_away(notebook: Notebook):
    cells = [notebook.run("%schedule --every 6h noisy --name '<b>'"), notebook.run("%schedule")]
    notebook.run("%schedule --delete '<b>'")

    for cell, tag in zip(cells, ("<pre>", "<table>"), strict=True):
        (data,) = [
            one["content"]["data"] for one in cell.messages if one["msg_type"] == "execute_result"
        ]
        assert data["text/html"].startswith(tag)
        assert "&lt;b&gt;" in data["text/html"]
        assert "<b>" in data["text/plain"]


# --- acting on schedules --------------------------------------------------------------------------


def test_pause_resume_trigger_and_delete(notebook: Notebook):
    home = notebook.home
    notebook.run("@flow\ndef acted():\n    pass")
    notebook.run("%schedule --every 0.5s acted --name often")
    wait_until(lambda: n_completed(home, "acted"))

    assert "is paused" in told(notebook.run("%schedule --pause often"))
    wait_until(lambda: set(states(home, "acted")) <= {"Completed", "Skipped"})
    n = len(states(home, "acted"))
    assert "paused" in told(notebook.run("%schedule\n"))
    notebook.run("time.sleep(1.2)")
    assert len(states(home, "acted")) == n

    assert "runs once now" in told(notebook.run("%schedule --trigger often"))
    wait_until(lambda: n_completed(home, "acted") + states(home, "acted").count("Skipped") > n)
    assert len(states(home, "acted")) == n + 1

    assert "goes on" in told(notebook.run("%schedule --resume often"))
    wait_until(lambda: len(states(home, "acted")) > n + 1)

    assert "is deleted" in told(notebook.run("%schedule --delete often"))
    assert "often" not in told(notebook.run("%schedule"))
    assert "no schedule 'often'" in told(notebook.run("%schedule --pause often"))


def test_resuming_moves_on_all_schedules_of_a_paused_deployment(notebook: Notebook):
    notebook.run(
        "from nbflow.schedules import Interval\n"
        "@flow\ndef several():\n    pass\n"
        "store = nbflow.wiring.current().store\n"
        "serving = several.serve(schedules=[Interval('1h', name=name) for name in "
        "('one_of_two', 'two_of_two')])\n"
        "store.pause_deployment(serving.deployments[0].id, True)"
    )
    with sqlite3.connect(notebook.home / "nbflow.db") as connection:
        connection.execute("UPDATE schedules SET next_at = 1.0 WHERE name LIKE '%_of_two'")
    connection.close()

    assert "goes on" in told(notebook.run("%schedule --resume one_of_two"))
    notebook.run("%schedule --trigger two_of_two")
    wait_until(lambda: n_completed(notebook.home, "several") >= 1)

    found = read(notebook.home, "SELECT next_at FROM schedules WHERE name LIKE '%_of_two'")
    notebook.run("serving.stop(); store.delete_deployment(serving.deployments[0].id)")
    assert all(float(str(at)) > time.time() for (at,) in found)
    assert states(notebook.home, "several") == ["Completed"]


def test_parameters_are_looked_at_when_a_run_is_asked_for(notebook: Notebook):
    notebook.run("@flow\ndef asked(n: int = 1):\n    pass")
    notebook.run("%schedule --every 6h asked")

    name = told(notebook.run("%schedule --trigger asked -p m=1"))
    value = told(notebook.run("%schedule --trigger asked -p n=two"))
    notebook.run("%schedule --delete asked")

    assert "UsageError: flow 'asked'" in name
    assert "unexpected keyword argument 'm'" in name
    assert "parameter 'n' = 'two' is not valid" in value
    assert states(notebook.home, "asked") == []


def test_a_flow_that_is_defined_anew_is_what_runs_from_then_on(notebook: Notebook):
    define = "@flow\ndef versioned():\n    nbflow.get_run_logger().warning({!r})"
    notebook.run(define.format("old"))
    notebook.run("%schedule --every 6h versioned")
    notebook.run(define.format("new"))
    notebook.run("%schedule --trigger versioned")
    wait_until(lambda: n_completed(notebook.home, "versioned") == 1)
    notebook.run("del versioned")
    notebook.run("%schedule --trigger versioned")
    wait_until(lambda: n_completed(notebook.home, "versioned") == 2)
    notebook.run("%schedule --delete versioned")

    said = read(notebook.home, "SELECT message FROM lines WHERE message IN ('old', 'new')")
    assert said == [("new",), ("old",)]


def test_what_a_schedule_takes_the_place_of_is_told_where_it_was_something_else(
    notebook: Notebook,
):
    notebook.run("nbflow.wiring.current().store.create_pool('before', 'process')")
    notebook.run("noisy.deploy('kept', work_pool_name='before')")

    shown = told(notebook.run("%schedule --every 6h noisy --name kept"))
    notebook.run("%schedule --delete kept")

    assert "the workers of pool 'before' do not run it any more" in shown


def test_an_error_of_deploying_has_one_frame_below_the_users(notebook: Notebook):
    cell = notebook.run("noisy.deploy('daily', work_pool_name='nowhere')")

    assert cell.error is not None
    assert "no work pool 'nowhere'" in cell.error
    frames = [line for line in cell.error.splitlines() if ".py:" in line and ", in " in line]
    assert len(frames) == 1  # the last is shown, whatever it is
    assert "nbflow/deployments.py" in frames[0]


def test_the_same_name_again_takes_its_place_and_says_so(notebook: Notebook):
    notebook.run("%schedule --every 6h noisy --name same")

    again = told(notebook.run("%schedule --every 6h noisy --name same"))
    other = told(notebook.run("%schedule --every 7h noisy --name same"))
    rows = told(notebook.run("%schedule")).count("same ")
    notebook.run("%schedule --delete same")

    assert "takes the place" not in again
    assert "it takes the place of: every 6 hours" in other
    assert rows == 1


def test_it_is_handed_over_to_a_pool(notebook: Notebook):
    notebook.run("%schedule --every 6h noisy --name given")
    assert "no work pool 'night'" in told(notebook.run("%schedule --hand-over given --pool night"))
    notebook.run("nbflow.wiring.current().store.create_pool('night', 'process')")

    shown = told(notebook.run("%schedule --hand-over given --pool night"))
    row = told(notebook.run("%schedule"))
    notebook.run("%schedule --delete given")

    assert "is left to the workers of pool 'night'" in shown
    assert "nbflow worker start --pool night" in shown
    assert "pool night" in row


def test_what_a_flow_serves_is_listed_and_can_be_handed_over(notebook: Notebook):
    home = notebook.home
    notebook.run(
        "create = nbflow.wiring.current().store.create_pool\n"
        "create('day', 'process'); create('books', 'notebook')"
    )
    notebook.run("served = noisy.serve(name='served', interval='6h')")
    listed = told(notebook.run("%schedule"))
    refused = told(notebook.run("%schedule --hand-over served --pool books"))
    shown = told(notebook.run("%schedule --hand-over served --pool day"))
    code = read(home, "SELECT snapshot IS NOT NULL, pool FROM deployments WHERE name = 'served'")
    waits = told(notebook.run("%schedule --trigger served"))
    notebook.run("%schedule --delete served")

    assert "this kernel" in listed
    assert "which runs notebooks only" in refused
    assert "is left to the workers of pool 'day'" in shown
    assert code == [(1, "day")]
    assert (
        "waits for a worker: no worker is alive: start one with `nbflow worker start --pool day`"
        in waits
    )


def test_a_schedule_of_another_notebook_is_not_taken_away(notebook: Notebook, tmp_path: Path):
    notebook.run("%schedule --every 6h noisy --name theirs")
    Path(notebook.literal("os.environ['NBFLOW_NOTEBOOK']")).touch()
    other = Kernel(notebook.home, NBFLOW_NOTEBOOK=str(tmp_path / "b.ipynb"))
    try:
        other.run("%load_ext nbflow\n" + FLOWS)
        refused = told(other.run("%schedule --every 1h noisy --name theirs"))
        listed = told(other.run("%schedule"))
        kept = told(other.run("%schedule --delete theirs"))
    finally:
        other.close()
    notebook.run("%schedule --delete theirs")

    assert "UsageError: schedule 'theirs' is one of" in kept
    assert "%schedule --delete noisy/theirs/theirs" in kept
    assert "UsageError: noisy/theirs is the schedule of" in refused
    assert "--name theirs-2" in refused
    assert "this notebook has no schedule yet" in listed
    assert "of other notebooks and scripts: nbflow schedule ls" in listed


# --- the notebook's own flow ----------------------------------------------------------------------


def test_the_task_cells_run_in_a_kernel_of_their_own(notebook: Notebook, tmp_path: Path):
    home, out = notebook.home, tmp_path / "out.txt"
    notebook.run("def twice(x):\n    return 2 * x\nCITY = 'Montreal'")
    notebook.run("n_rows = len('abc')")
    notebook.run("%%task load\nrows = [twice(one) for one in range(n_rows)]")
    notebook.run(
        f"%%task report --after load\nwith open({str(out)!r}, 'a') as file:\n"
        "    file.write(f'{CITY} {sum(rows)} {os.getpid()}\\n')\n"
        "rows = 'gone'"
    )
    notebook.run("rows = 'mine'\nn_rows = 4")
    begun = told(notebook.run("%schedule --every 2s --name cells -p CITY=Laval"))
    wait_until(lambda: n_completed(home, "a"))
    notebook.run("%schedule --delete cells")

    assert "cells: every 2 seconds" in begun
    written = [line.split() for line in out.read_text().splitlines()]
    here = str(notebook.literal("os.getpid()"))
    assert written[0] == ["Montreal", "6", here]
    assert written[1][:2] == ["Laval", "12"]
    assert written[1][2] != here
    assert notebook.literal("rows") == "mine"


def test_a_name_that_no_new_kernel_would_have_is_told_at_the_magic(tmp_path: Path):
    notebook = Notebook(tmp_path)
    try:
        none = told(notebook.run('%schedule "0 8 * * *"'))
        notebook.run("import pandas as pd\nframe = pd.DataFrame({'a': [1]})")
        notebook.run("%%task show\nn = len(frame)")
        needs = told(notebook.run('%schedule "0 8 * * *"'))
        notebook.run("%%task make\nframe = pd.DataFrame({'a': [1]})")
        shown = told(notebook.run('%schedule "0 8 * * *"'))
    finally:
        notebook.close()

    assert none.startswith("UsageError: no cell has been run as a task yet")
    assert "cell 'show' reads 'frame', a DataFrame that a new kernel would not have" in needs
    assert "write %%task at the top of the cell that makes 'frame'" in needs
    assert "a: at 08:00" in shown


def test_a_kernel_that_carries_out_a_scheduled_run_schedules_nothing(notebook: Notebook):
    home = notebook.home
    notebook.run("@flow\ndef once():\n    pass")
    notebook.run("%schedule --every 6h once\n%schedule --trigger once")
    wait_until(lambda: n_completed(home, "once"))
    (run_id,) = read(home, "SELECT id FROM runs WHERE spec_name = 'once'")[0]
    inner = Kernel(home, NBFLOW_PARENT_RUN=str(run_id))
    try:
        inner.run("%load_ext nbflow\n" + FLOWS)
        shown = told(inner.run("%schedule --every 1s noisy --name inside"))
        inner.run("%schedule --delete once")
    finally:
        inner.close()
    listed = told(notebook.run("%schedule"))
    notebook.run("%schedule --delete once")

    assert shown == ("nbflow: nothing is scheduled here: this kernel carries out a scheduled run\n")
    assert "once" in listed
    assert "inside" not in listed


# --- what is written wrongly ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('"0 8 * *" noisy', "it has 4 fields, cron has five: minute hour day month weekday"),
        ('"61 8 * * *" noisy', "'61 8 * * *'"),
        ('"0 8 30 2 *" noisy', "'0 8 30 2 *'"),
        ("0 8 * * * noisy", 'put the cron text in quotes: %schedule "0 8 * * *" noisy'),
        ('"0 8 * * *" noisy --tz America/NewYork', "did you mean America/New_York?"),
        ("--every 6x noisy", "such as 90s, 15m, 6h"),
        ("--every 0s noisy", "0.01"),
        ("--at tomorrow noisy", "such as 2026-12-24T18:00"),
        ("--every 6h --at 2030-01-01 noisy", "give one of them, not several"),
        ("noisy", "say when noisy is to run"),
        ("--tz Europe/Paris", "say when: a cron text"),
        ('"0 8 * * *" nowhere', "there is no flow 'nowhere' in this notebook; there are: noisy"),
        ('"0 8 * * *" plain', "plain is no flow; put @flow above its def"),
        ('"0 8 * * *" noisy broken', "takes one flow, not noisy broken"),
        ('"0 8 * * *" noisy -p m=1', "unexpected keyword argument 'm'"),
        ('"0 8 * * *" noisy -p n', "give it as NAME=VALUE"),
        ('"0 8 * * *" noisy --overlap both', "'skip', 'queue', 'cancel', 'allow'"),
        ('"0 8 * * *" noisy --catch-up some', "'skip', 'latest', 'all'"),
        ('"0 8 * * *" noisy --jitter soon', "jitter 'soon'"),
        ('"0 8 * * *" noisy --until never', "until 'never'"),
        ('"0 8 * * *" noisy --pool nowhere', "no work pool 'nowhere'"),
        ('"0 8 * * *" noisy --name a/b', "a name without '/'"),
        ('"0 8 * * *" noisy --retires 3', "unrecognized arguments: --retires"),
        ('"0 8 * * *" noisy --nam x', "unrecognized arguments: --nam"),
        ("--de nothing", "unrecognized arguments: --de"),
        ("--pause nothing", "no schedule 'nothing'"),
        ("--pause one --resume two", "one thing at a time"),
        ("--pause one --every 6h", "--pause takes the name of a schedule and no times"),
        ('"0 8 * * *" noisy --notify somewhere', "addresses as apprise takes them"),
        ("--hand-over nothing", "no schedule 'nothing'"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(notebook: Notebook, line: str, says: str):
    cell = notebook.run(f"%schedule {line}")

    assert cell.error is None, cell.error
    assert says in cell.text("stderr")
    assert cell.text("stderr").startswith("UsageError: ")
    if "unrecognized" not in says:  # where the usage follows
        assert cell.text("stderr").count("\n") == 1
    assert cell.value is None


def test_a_flow_that_cannot_be_kept_runs_while_its_kernel_lives(notebook: Notebook):
    home = notebook.home
    notebook.run(
        "import threading\nlock = threading.Lock()\n"
        "@flow\ndef locked():\n    with lock:\n        pass"
    )
    shown = told(notebook.run("%schedule --every 1s locked"))
    wait_until(lambda: n_completed(home, "locked"))
    notebook.run("%schedule --delete locked")

    assert "it ends with this kernel: flow 'locked' is not kept: 'lock'" in shown


# --- helped at the prompt -------------------------------------------------------------------------


def test_help_tells_every_option(notebook: Notebook):
    shown = told(notebook.run("%schedule --help"))

    assert shown.startswith("Usage: %schedule ")
    for option in (
        "--every",
        "--at",
        "--on-change",
        "--after",
        "--tz",
        "--catch-up",
        "--hand-over",
    ):
        assert option in shown


def test_what_can_be_written_is_completed(notebook: Notebook):
    notebook.run("%schedule --every 6h noisy --name completed")

    offered = {
        line: notebook.complete(line)
        for line in (
            "%schedule --on",
            "%schedule --every 6h noi",
            '%schedule "0 8 * * *" --tz America/Mont',
            "%schedule --pause comp",
            "%schedule --every 1h noisy --overlap ",
            "%schedule --after noi",
        )
    }
    notebook.run("%schedule --delete completed")

    assert list(offered.values()) == [
        ["--on-change"],
        ["noisy"],
        ["America/Monterrey", "America/Montevideo", "America/Montreal", "America/Montserrat"],
        ["completed"],
        ["allow", "cancel", "queue", "skip"],
        ["noisy"],
    ]


def test_where_output_has_to_be_stable_no_times_are_shown(tmp_path: Path):
    notebook = Notebook(tmp_path, NBFLOW_STABLE_OUTPUT="1")
    try:
        notebook.run(FLOWS)
        first = told(notebook.run('%schedule "0 8 * * *" noisy --tz Europe/Paris'))
        listed = told(notebook.run("%schedule"))
        run = told(notebook.run("%schedule --trigger noisy"))
    finally:
        notebook.close()

    assert first == "nbflow: noisy — at 08:00 (Europe/Paris)"
    assert "UTC" not in listed
    assert "this kernel" not in listed
    assert run == "schedule 'noisy' runs once now\n"


# --- %nbflow --------------------------------------------------------------------------------------


def test_a_failed_run_is_resumed_and_what_it_completed_is_not_run_again(notebook: Notebook):
    home = notebook.home
    notebook.run(
        "@task\ndef part(n):\n    print(n, file=open('parts', 'a'))\n    return n\n"
        "@flow\ndef parts():\n    part(1)\n    part(2)\n    if not mended:\n        1 / 0\n"
        "    return part(3)\n"
        "mended = False"
    )
    notebook.run("%schedule --every 6h parts\n%schedule --trigger parts")
    wait_until(lambda: states(home, "parts") == ["Failed"])
    name = read(home, "SELECT name FROM runs WHERE spec_name = 'parts'")[0][0]

    notebook.run("mended = True")
    shown = told(notebook.run(f"%nbflow resume {name}"))
    wait_until(lambda: states(home, "parts") == ["Failed", "Completed"])
    again = told(notebook.run(f"%nbflow resume {name}"))
    notebook.run("%schedule --delete parts")

    assert f"goes on from {name}" in shown
    assert notebook.literal("open('parts').read().split()") == ["1", "2", "3"]
    assert "which has completed; there is nothing left to do" in again


def test_the_doctor_tells_who_runs_the_schedules(notebook: Notebook):
    notebook.run("%schedule --every 6h noisy --name checked")
    shown = told(notebook.run("%nbflow doctor"))
    notebook.run("%schedule --delete checked")

    assert f"by kernel pid {notebook.literal('os.getpid()')}" in shown
    assert "kept alive       every 60 s while they have schedules" in shown

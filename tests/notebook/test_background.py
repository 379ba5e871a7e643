"""Cells that run in the background, and cells that wait for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.notebooks import Notebook

GATES = """
import threading
gates = {name: threading.Event() for name in "abc"}
def wait(name):
    assert gates[name].wait(20)
    return name
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    notebook = Notebook(tmp_path_factory.mktemp("background"))
    yield notebook
    notebook.close()


@pytest.fixture
def notebook(kernel: Notebook, tmp_path: Path) -> Iterator[Notebook]:
    kernel.load(tmp_path)
    (tmp_path / "gates.py").write_text(GATES)
    kernel.run("import sys; sys.modules.pop('gates', None)")
    kernel.cells(gates="import gates")
    yield kernel
    # The store stays open, and with it its folder, as long as something runs.
    kernel.run(
        "for gate in gates.gates.values(): gate.set()\n"
        "for one in threading.enumerate():\n"
        "    if one.name.startswith('nbflow-flow-'): one.join(20)"
    )


def test_the_prompt_comes_back_at_once_with_a_future_in_hand(notebook: Notebook):
    started = notebook.cell("a", "%%task --background\nx = gates.wait('a')\nx * 2")
    notebook.run("future = _")

    assert started.value == "<BackgroundRun of x: running x>"
    assert notebook.literal("(future.done(), 'x' in globals())") == (False, False)

    notebook.run("gates.gates['a'].set()")
    assert notebook.literal("(future.result(10), x)") == ("aa", "a")
    assert notebook.run("future").value == "<BackgroundRun of x: completed>"


def test_the_result_can_be_waited_for_with_a_timeout(notebook: Notebook):
    notebook.cell("a", "%%task --background\nx = gates.wait('a')")

    assert notebook.run("_.result(0.01)").error_name == "TimeoutError"


def test_a_cell_that_reads_what_runs_waits_and_says_so(notebook: Notebook):
    notebook.cell("a", "%%task --background\nx = gates.wait('a')")
    reads = notebook.send_cell("b", "print('got', x)")
    notebook.wait_for_text(reads, "waiting for 'x', which runs in the background and writes x\n")

    notebook.interrupt()
    ended = notebook.wait(reads, timeout=10)

    assert ended.error == (
        "KeyboardInterrupt: the cell was not run; x still runs in the background"
    )
    assert "got" not in ended.text()
    assert notebook.run("'the prompt is free'").value == "'the prompt is free'"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("print(x)", "writes x"),
        ("x = 2", "writes x"),
        ("del x", "writes x"),
        ("y.append(1)", "reads y"),
        ("y = 1", "reads y"),
        ("%%task\nz = x + '!'", "writes x"),
        ("%%task --background\nz = x + '!'", "writes x"),
        ("%flow run", "writes x"),
        ("%flow run x --background", "writes x"),
        ("%flow run -p y=2", "writes x"),
    ],
)
def test_what_is_waited_for(notebook: Notebook, source: str, told: str):
    notebook.cells(plain="y = []")
    notebook.cells(first="%%task x --no-cache\nx = '' and y")
    notebook.cell("first", "%%task x --background\nx = gates.wait('a') and str(y)")
    waits = notebook.send_cell("other", source)
    notebook.wait_for_text(waits, f"waiting for 'x', which runs in the background and {told}\n")
    notebook.interrupt()
    ended = notebook.wait(waits, timeout=10)

    assert ended.error is not None
    assert re.fullmatch(
        "KeyboardInterrupt: (the cell was not|nothing was) run; x still runs in the background",
        ended.error,
    )


@pytest.mark.parametrize("source", ["print(y)", "w = 1", "def f(): return 3", "%%task\nw = y"])
def test_cells_that_touch_nothing_of_it_do_not_wait(notebook: Notebook, source: str):
    notebook.cells(plain="y = []")
    notebook.cell("a", "%%task --background\nx = gates.wait('a') and str(y)")

    ran = notebook.cell("b", source)

    assert ran.error is None
    assert "waiting" not in ran.text()


def test_outputs_of_a_background_cell_come_under_the_cell_that_started_it(notebook: Notebook):
    started = notebook.send_cell("a", "%%task --background\ngates.wait('a')\nprint('said late')")
    notebook.wait(started)
    notebook.run("future = _")

    notebook.run("gates.gates['a'].set(); future.result(10)")
    notebook.wait_for_text(started, "said late")

    assert "▸ cell-" in notebook._cells[started].text()


def test_a_failure_is_told_where_it_was_started_and_raised_by_result(notebook: Notebook):
    started = notebook.send_cell("a", "%%task bad --background\nx = 1 / 0")
    notebook.wait_for_text(started, "ZeroDivisionError: division by zero")
    notebook.wait(started)
    notebook.run("future = _")

    raised = notebook.run("future.result(10)")

    assert raised.error is not None
    assert "----> 2 x = 1 / 0" in raised.error
    assert "/nbflow/" not in raised.error
    assert notebook.run("future").value == (
        "<BackgroundRun of bad: failed with ZeroDivisionError: division by zero>"
    )
    assert notebook.run("future.result(10)").error is not None
    assert notebook.run("print('x' in globals())").text() == "False\n"


def test_many_run_at_once(notebook: Notebook):
    for name in "abc":
        notebook.cell(name, f"%%task {name} --background\n{name} = gates.wait({name!r})")
        notebook.run(f"future_{name} = _")

    for name in "cab":
        notebook.run(f"gates.gates[{name!r}].set()")
        assert notebook.literal(f"(future_{name}.result(10), {name})")[1] == name


def test_a_whole_flow_runs_in_the_background(notebook: Notebook):
    notebook.cells(
        plain="n = 1",
        one="%%task one\nbase = n + 1",
        two="%%task two --no-cache\ntop = base * 10\nprint('top is', top)",
    )
    started = notebook.send("%flow run -p n=4 --background")
    notebook.wait(started)
    notebook.run("future = _")

    notebook.run("future.result(20)")

    assert notebook.literal("(base, top)") == (5, 50)
    notebook.wait_for_text(started, "▸ two\ntop is 50\n")
    assert notebook.run("%flow stale").text() == "everything is up to date\n"


def test_a_flow_that_is_up_to_date_ends_at_once(notebook: Notebook):
    notebook.cells(one="%%task one\nbase = 1 + 1")

    assert notebook.run("%flow run --background").error is None
    assert notebook.literal("(_.result(10), _.done())") == (None, True)


def test_what_a_cell_in_the_foreground_writes_meanwhile_is_kept_apart(notebook: Notebook):
    """Each is remembered with its own names only."""
    notebook.cell("a", "%%task a --background\na = gates.wait('a')")
    notebook.run("future = _")
    notebook.cell("b", "%%task b\nb = 'b' * 3")
    notebook.run("gates.gates['a'].set(); future.result(10)")
    notebook.run("del a, b")

    notebook.cell("b", "%%task b\nb = 'b' * 3")

    assert notebook.literal("(b, 'a' in globals())") == ("bbb", False)

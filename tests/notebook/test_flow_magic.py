"""`%flow`: the task cells of a notebook, shown and run as one flow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.kernels import CellResult
from tests.notebook.notebooks import Notebook

ORDERS = {
    "load": "%%task\norders = [3, 1, 2]\nprint('loaded')",
    "sort": "%%task\nranked = sorted(orders)\nranked",
    "total": "%%task\ntotal = sum(orders)\nprint('total', total)",
    "report": "%%task\nreport = f'{ranked[0]} of {total}'\nreport",
}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    notebook = Notebook(tmp_path_factory.mktemp("flow"))
    yield notebook
    notebook.close()


@pytest.fixture
def notebook(kernel: Notebook, tmp_path: Path) -> Notebook:
    kernel.load(tmp_path)
    return kernel


def headings(cell: CellResult) -> list[str]:
    """The cells whose outputs are shown, in order."""
    return re.findall(r"^▸ ([^\s:]+)", cell.text(), re.MULTILINE)


#: A module, so that no cell is seen to change what others use.
GATES = """
import threading
gate = threading.Event()
barrier = threading.Barrier(2)
def wait():
    assert gate.wait(20)
def meet():
    barrier.wait(20)
"""


def with_gates(notebook: Notebook, folder: Path) -> None:
    (folder / "gates.py").write_text(GATES)
    notebook.run("import sys; sys.modules.pop('gates', None)")
    notebook.cells(gates="import gates")


# --- what is run ----------------------------------------------------------------------------------


def test_nothing_runs_when_everything_is_up_to_date(notebook: Notebook):
    notebook.cells(**ORDERS)

    assert notebook.run("%flow stale").text() == "everything is up to date\n"
    assert notebook.run("%flow run").text() == "everything is up to date\n"


def test_an_edit_that_was_run_makes_what_depends_on_it_stale_and_flow_run_runs_just_that(
    notebook: Notebook,
):
    notebook.cells(**ORDERS)
    notebook.cell("total", "%%task\ntotal = sum(orders) * 10\nprint('total', total)")

    assert notebook.run("%flow stale").text() == "report: total ran after it\n"
    assert headings(notebook.run("%flow run")) == ["report"]
    assert notebook.literal("report") == "1 of 60"
    assert notebook.run("%flow stale").text() == "everything is up to date\n"


def test_an_edit_that_changes_no_value_has_what_depends_on_it_come_from_the_cache(
    notebook: Notebook,
):
    notebook.cells(**ORDERS)
    notebook.cell("load", "%%task\norders = [3] + [1, 2]")

    ran = notebook.run("%flow run")

    assert headings(ran) == ["ranked", "total", "report"]
    notebook.run("import nbflow")
    assert notebook.literal("list(nbflow.runs(name='report')['state'])[0]") == "Cached"


def test_what_plain_cells_bind_is_followed_by_content(notebook: Notebook):
    notebook.cells(
        plain="factor = 2\ndef scaled(x): return x * factor",
        scale="%%task\nscaled_one = scaled(21)",
        other="%%task\nother = len('four')",
    )
    assert notebook.run("%flow stale").text() == "everything is up to date\n"

    notebook.cell("plain", "factor = 3\ndef scaled(x): return x * factor")

    assert notebook.run("%flow stale").text() == (
        "scaled_one: factor, which scaled_one reads, has changed\n"
    )
    notebook.run("%flow run")
    assert notebook.literal("scaled_one") == 63


@pytest.mark.parametrize(
    ("line", "ran"),
    [
        ("ranked --force", ["orders", "ranked"]),
        ("report --force", ["orders", "ranked", "total", "report"]),
        ("total --downstream", ["total", "report"]),
        ("orders --downstream", ["orders", "ranked", "total", "report"]),
        ("total ranked --downstream", ["ranked", "total", "report"]),
        ("--force", ["orders", "ranked", "total", "report"]),
        ("--force --jobs 1", ["orders", "ranked", "total", "report"]),
    ],
)
def test_targets_are_cells_or_variables(notebook: Notebook, line: str, ran: list[str]):
    notebook.cells(**ORDERS)

    assert headings(notebook.run(f"%flow run {line}")) == ran


def test_a_variable_names_the_cell_that_gives_its_last_value(notebook: Notebook):
    notebook.cells(
        first="%%task one\nx = 1\nx", again="%%task two\nx = x + 1\nx", last="%%task z\ny=3"
    )

    assert headings(notebook.run("%flow run x --force")) == ["one", "two"]


def test_a_reader_above_a_rebinding_sees_the_value_from_above_it(notebook: Notebook):
    notebook.cells(
        a="%%task a\nx = len('a')",
        b="%%task b\ny = x * 100",
        c="%%task c\nx = len('four')",
        d="%%task d\nz = x * 100",
    )
    notebook.cell("b", "%%task b\ny = x * 1000")
    assert notebook.literal("y") == 4000
    assert notebook.run("%flow stale").text() == "b: x was changed by c before it\n"

    notebook.run("%flow run")

    assert notebook.literal("(x, y, z)") == (4, 1000, 400)
    assert notebook.run("%flow stale").text() == "everything is up to date\n"


def test_after_is_an_order_of_the_flow_too(notebook: Notebook):
    notebook.cells(
        set_up="import nbflow\nseen = []",
        first="%%task first --no-cache\nseen.append('first')",
        second="%%task second --no-cache --after first\nlen('second')",
    )

    assert notebook.run("%flow run second --force").error is None
    assert notebook.literal("seen") == ["first", "first"]


# --- parameters -----------------------------------------------------------------------------------


def test_a_parameter_takes_the_place_of_the_cell_that_writes_it(notebook: Notebook):
    notebook.cells(**ORDERS)

    ran = notebook.run("%flow run -p 'orders=[10, 20]'")

    assert headings(ran) == ["ranked", "total", "report"]
    assert notebook.literal("report") == "10 of 30"
    assert notebook.run("%flow stale").text().splitlines()[0] == (
        "orders: what orders gives was replaced with -p"
    )
    notebook.run("%flow run")
    assert notebook.literal("report") == "1 of 6"


def test_a_parameter_of_a_plain_cell_runs_what_reads_it(notebook: Notebook):
    notebook.cells(plain="city = 'Oslo'", greet="%%task greet\ngreeting = 'Hello ' + city")

    notebook.run("%flow run -p city=Paris")
    assert notebook.literal("greeting") == "Hello Paris"
    notebook.run('%flow run -p "city=New York"')
    assert notebook.literal("greeting") == "Hello New York"
    assert notebook.run('%flow run -p "city=New York"').text() == "everything is up to date\n"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run nope", "there is no task cell or variable 'nope' in this notebook; there are: ord"),
        ("run totl", "there is no task cell or variable 'totl' in this notebook; did you mean tot"),
        ("run -p total", "-p total: give it as NAME=VALUE"),
        ("run -p nowhere=1", "-p nowhere: no cell of this notebook reads nowhere"),
        ("run -p left=1", "-p left: task 'pair' writes right as well; write left in a cell of"),
        ("rum", "argument what: invalid choice: 'rum'"),
        ("export", "%flow export needs the path of one file, such as flow.py"),
    ],
)
def test_a_wrong_question_is_answered_in_a_line(notebook: Notebook, line: str, told: str):
    notebook.cells(**ORDERS, pair="%%task pair\nleft, right = 1, 2")

    answer = notebook.run(f"%flow {line}")

    assert answer.text().startswith(f"UsageError: {told}")
    assert answer.error is None
    assert notebook.literal("report") == "1 of 6"


def test_without_task_cells_there_is_nothing_to_run(notebook: Notebook):
    for line in ("", "run", "stale"):
        assert "no cell has been run as a task yet" in notebook.run(f"%flow {line}").text()


def test_cells_that_need_each_other_are_told(notebook: Notebook):
    notebook.cells(start="x = 1")
    notebook.cells(one="%%task one\ny = x", two="%%task two\nx = y", three="%%task three\nz = 3")

    for line in ("run", "run y", "run --downstream one", "run -b"):
        answer = notebook.run(f"%flow {line}").text()
        assert answer.startswith("UsageError: cells one, two need each other, for x, y: "), line
    assert notebook.run("%flow run three --force").error is None
    assert notebook.run("%flow stale").error is None
    assert notebook.run("%flow").value is not None


# --- how it is run --------------------------------------------------------------------------------


def test_independent_cells_run_at_the_same_time(notebook: Notebook, tmp_path: Path):
    with_gates(notebook, tmp_path)
    notebook.cells(
        plain="together = False",
        left="%%task left --no-cache\nif together: gates.meet()\na = 1",
        right="%%task right --no-cache\nif together: gates.meet()\nb = 2",
    )
    notebook.run("together = True")

    assert notebook.run("%flow run").error is None
    assert notebook.literal("gates.barrier.broken") is False


def test_jobs_1_runs_one_after_the_other(notebook: Notebook):
    notebook.cells(
        plain="busy = []\nmost = 0",
        **{
            f"c{n}": f"%%task c{n} --no-cache\nbusy.append({n})\nc{n} = len(busy)\nbusy.remove({n})"
            for n in range(4)
        },
    )

    notebook.run("%flow run --force --jobs 1")

    assert notebook.literal("(c0, c1, c2, c3)") == (1, 1, 1, 1)


def test_outputs_come_under_their_cells_in_the_order_of_the_graph(
    notebook: Notebook, tmp_path: Path
):
    """Though the first cell ends after the second."""
    with_gates(notebook, tmp_path)
    notebook.run("gates.gate.set()")
    notebook.cells(
        one="%%task one --no-cache\ngates.wait()\nprint('out of one')\n'value 1'",
        two="%%task two --no-cache\nprint('out of two')\ndisplay('shown by two')\ngates.gate.set()",
        three="%%task three --no-cache\n'hidden';",
    )
    notebook.run("gates.gate.clear()")

    ran = notebook.run("%flow run --force")

    assert ran.text() == "▸ one\nout of one\n▸ two\nout of two\n"
    assert ran.displays()[1:] == ["'value 1'", "'shown by two'"]


def test_a_failed_cell_stops_only_what_depends_on_it(notebook: Notebook):
    notebook.cells(
        plain="broken = False",
        start="%%task start\nbase = 1",
        bad="%%task bad --no-cache\nhalf = base / (0 if broken else 1)",
        needs="%%task needs --no-cache\nquarter = half / 2",
        needs_more="%%task needs_more --no-cache\neighth = quarter / 2",
        apart="%%task apart --no-cache\nprint('apart ran')\napart = base",
        worse="%%task worse --no-cache\nif broken: [][base]",
    )
    notebook.run("broken = True")

    ran = notebook.run("%flow run --force")

    assert ran.error is not None
    assert "----> 2 half = base / (0 if broken else 1)" in ran.error
    assert "ZeroDivisionError" in ran.error
    assert "/nbflow/" not in ran.error
    assert "skipping hidden" not in ran.error
    assert "apart ran" in ran.text()
    assert "▸ needs: not run, it needs bad\n▸ needs_more: not run, it needs needs\n" in ran.text()
    assert "IndexError" in ran.text()
    assert "✖ notebook" in ran.displays()[0]
    stale = notebook.run("%flow stale").text()
    assert [line.partition(":")[0] for line in stale.splitlines()] == [
        "bad", "needs", "needs_more", "worse"
    ]  # fmt: skip


def test_cells_that_draw_run_on_the_main_thread_one_after_the_other(notebook: Notebook):
    notebook.cells(
        plain="import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\n"
        "def drawing(n): plt.plot([n])\n"
        "def where(): return threading.current_thread() is threading.main_thread()\n"
        "def drawn(): return where(), len(plt.gca().lines)",
        one="%%task one --no-cache\nplt.plot([1]);\nfirst = drawn()\nplt.close()",
        two="%%task two --no-cache\ndrawing(2)\nsecond = drawn()\nplt.close()",
        three="%%task three --no-cache\nthird = where()",
    )

    assert notebook.run("%flow run --force").error is None
    assert notebook.literal("(first, second, third)") == ((True, 1), (True, 1), False)


def test_a_failed_drawing_does_not_stop_the_next(notebook: Notebook):
    notebook.cells(
        plain="import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\nbad=0"
    )
    notebook.cells(
        one="%%task one --no-cache\n1 / (1 - bad); plt.close()",
        two="%%task two --no-cache\nplt.close(); drawn = bad",
    )
    notebook.run("bad = 1")

    assert notebook.run("%flow run --force").error_name == "ZeroDivisionError"
    assert notebook.literal("drawn") == 1


def test_random_draws_come_in_the_order_of_the_notebook(notebook: Notebook):
    notebook.cells(
        plain="import random",
        seed="%%task seed --no-cache\nrandom.seed(7)",
        one="%%task one --no-cache\na = [random.random() for _ in range(2000)][-1]",
        two="%%task two --no-cache\nb = [random.random() for _ in range(2000)][-1]",
    )
    before = notebook.literal("(a, b)")

    notebook.run("a = b = None")
    notebook.run("%flow run --force")

    assert notebook.literal("(a, b)") == before


def test_what_ran_beside_others_is_found_afterwards(notebook: Notebook):
    notebook.cells(
        plain="def slowly(n): return [n for _ in range(n)]",
        one="%%task one\na = slowly(5)\nprint('one', len(a))",
        two="%%task two\nb = slowly(6)\nb",
    )
    notebook.run("%nbflow cache clear")
    notebook.run("%flow run --force")

    again = notebook.cell("one", "%%task one\na = slowly(5)\nprint('one', len(a))")

    assert "cached" in again.displays()[0]
    assert again.text() == "one 5\n"
    assert notebook.cell("two", "%%task two\nb = slowly(6)\nb").value == str([6] * 6)
    assert notebook.literal("(a, b)") == ([5] * 5, [6] * 6)


def test_cells_that_await_run_too(notebook: Notebook):
    notebook.cells(
        plain="import asyncio",
        one="%%task one --no-cache\nawait asyncio.sleep(0)\na = 1",
        two="%%task two --no-cache\nb = a + 1",
    )
    notebook.run("a = b = None")

    assert notebook.run("%flow run --force").error is None
    assert notebook.literal("(a, b)") == (1, 2)


def test_an_interrupt_ends_the_run_and_the_next_one_works(notebook: Notebook):
    notebook.cells(
        plain="import time\nblock = False",
        slow="%%task slow --no-cache\nwhile block: time.sleep(0.01)\na = 1",
        quick="%%task quick --no-cache\nb = 2",
    )
    notebook.run("block = True")
    running = notebook.send("print('begun', flush=True)\n%flow run --force")
    notebook.wait_for_text(running, "begun")
    while "Running" not in "".join(notebook._cells[running].displays()):
        notebook.pump()

    notebook.interrupt()
    ended = notebook.wait(running, timeout=10)

    assert ended.error == "KeyboardInterrupt: the flow was cancelled"
    assert "⊘ notebook" in ended.displays()[0]
    notebook.run("block = False")
    assert notebook.run("%flow run --force").error is None


# --- seeing and exporting it ----------------------------------------------------------------------


def test_flow_shows_the_graph_with_states(notebook: Notebook):
    notebook.cells(**ORDERS)
    notebook.cell("total", "%%task\ntotal = max(orders)")

    shown = notebook.run("%flow")

    assert shown.value is not None
    assert "◇ Stale" in next(line for line in shown.value.splitlines() if "report" in line)
    assert "✔ Completed" in next(line for line in shown.value.splitlines() if "total" in line)


def test_flow_export_writes_a_file_that_runs(notebook: Notebook, tmp_path: Path):
    notebook.cells(plain="def twice(x):\n    return 2 * x", **ORDERS)
    notebook.cells(
        last="%%task last --retries 2 --tags a,b\ndoubled = twice(total)\nprint(doubled)"
    )

    told = notebook.run("%flow export exported.py")

    assert told.text() == f"wrote {tmp_path / 'exported.py'}\n"
    written = (tmp_path / "exported.py").read_text()
    assert "retries=2" in written
    assert "def twice(x):" in written
    ran = subprocess.run(
        [sys.executable, "exported.py"],
        cwd=tmp_path,
        env={**os.environ, "NBFLOW_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "12" in ran.stdout


def test_flow_lines_are_completed(notebook: Notebook):
    notebook.cells(**ORDERS)

    for line, offered in {
        "%flow re": ["restore"],
        "%flow run to": ["total"],
        "%flow run total rep": ["report"],
        "%flow run --do": ["--downstream"],
        "%flow run -p tot": ["total="],
        "x = 1\n%flow run rank": ["ranked"],
        "%nbflow ca": ["cache", "cancel"],
        "%nbflow cache w": ["why"],
        "%nbflow cache why ran": ["ranked"],
        "%nbflow cache rm tot": ["total"],
        "%%task --exp": ["--expires"],
    }.items():
        assert notebook.complete(line) == offered, line

"""`%flow restore`: a notebook after its kernel was restarted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.notebooks import Notebook

CELLS = {
    "plain": "import math\nfactor = 3\ndef scaled(x):\n    return x * factor",
    "load": "%%task\nvalues = [n + 0.5 for n in range(4)]\nprint('loading')",
    "clean": "%%task\nwhole = [math.floor(v) for v in values]",
    "sum": "%%task\ntotal = scaled(sum(whole))\ntotal",
}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    notebook = Notebook(tmp_path_factory.mktemp("restore"))
    yield notebook
    notebook.close()


@pytest.fixture
def notebook(kernel: Notebook, tmp_path: Path) -> Notebook:
    kernel.load(tmp_path)
    return kernel


def restart(notebook: Notebook, folder: Path) -> None:
    """Without names and session; `test_in_another_process` has a real restart."""
    notebook.load(folder)


def test_what_is_valid_is_back_in_order(notebook: Notebook, tmp_path: Path):
    notebook.cells(**CELLS)
    restart(notebook, tmp_path)

    told = notebook.run("%flow restore")

    assert told.text() == "restored 3 of 3 task cells: values, whole, total\n"
    assert notebook.literal("(values, whole, total)") == ([0.5, 1.5, 2.5, 3.5], [0, 1, 2, 3], 18)
    assert notebook.literal("scaled(2)") == 6
    assert notebook.run("%flow stale").text() == "everything is up to date\n"
    shown = notebook.run("%flow").value
    assert shown is not None
    assert shown.count("Cached") == 3


def test_in_another_process(tmp_path: Path):
    first = Notebook(tmp_path)
    try:
        first.cells(**CELLS)
    finally:
        first.close()
    second = Notebook(tmp_path)
    try:
        assert "restored 3 of 3 task cells" in second.run("%flow restore").text()
        assert second.literal("total") == 18
    finally:
        second.close()


def test_what_cannot_be_restored_is_listed_with_the_reason(notebook: Notebook, tmp_path: Path):
    notebook.cells(
        **CELLS,
        clock="%%task\nimport time\nnow = time.time()",
        never="%%task --no-cache\nnever = len('no')",
        needs="%%task needs\nlater = never + now",
    )
    notebook.cell("bad", "%%task bad\n1 / 0")
    restart(notebook, tmp_path)

    told = notebook.run("%flow restore").text().splitlines()

    assert told[:2] == ["restored 3 of 7 task cells: values, whole, total", "not restored:"]
    assert told[2].startswith("  now: it reads the clock")
    assert told[3] == "  never: --no-cache"
    assert told[4].startswith("  needs: it needs ")
    assert told[5] == "  bad: nothing is kept for its source and inputs as they are"
    stale = notebook.run("%flow stale").text().splitlines()
    assert stale == [f"{name}: never run" for name in ("now", "never", "needs", "bad")]


def test_a_cell_that_was_edited_and_run_first_is_left_as_it_is(notebook: Notebook, tmp_path: Path):
    notebook.cells(**CELLS)
    restart(notebook, tmp_path)
    notebook.cells(plain=CELLS["plain"], load="%%task\nvalues = [7.5, 8.5]")

    told = notebook.run("%flow restore").text().splitlines()

    assert told == [
        "restored 0 of 2 task cells",
        "not restored:",
        "  whole: nothing is kept for its source and inputs as they are",
        "  total: it needs whole, which the notebook does not have",
    ]
    assert notebook.run("%flow run").error is None
    assert notebook.literal("(whole, total)") == ([7, 8], 45)


def test_running_a_cell_first_loses_none_of_the_others(notebook: Notebook, tmp_path: Path):
    notebook.cells(**CELLS)
    restart(notebook, tmp_path)
    notebook.cells(plain=CELLS["plain"], sum="%%task other_name\nother = 1 + 1")
    restart(notebook, tmp_path)

    assert notebook.run("%flow restore").text().splitlines()[0] == (
        "restored 3 of 3 task cells: values, whole, other_name"
    )


def test_an_edited_definition_wins_over_the_old_one(notebook: Notebook, tmp_path: Path):
    notebook.cells(**CELLS)
    notebook.cells(plain=CELLS["plain"].replace("x * factor", "x + factor"))
    notebook.cells(sum="%%task\ntotal = scaled(sum(whole))\ntotal")
    restart(notebook, tmp_path)

    notebook.run("%flow restore")

    assert notebook.literal("(total, scaled(1))") == (9, 4)


def test_a_definition_that_fails_is_listed(notebook: Notebook, tmp_path: Path):
    (tmp_path / "local_module.py").write_text("value = 1\n")
    notebook.cells(gone="import local_module", **CELLS)
    (tmp_path / "local_module.py").unlink()
    restart(notebook, tmp_path)
    notebook.run("import sys; sys.modules.pop('local_module')")

    told = notebook.run("%flow restore").text()

    assert "restored 3 of 3 task cells" in told
    assert "  import local_module: ModuleNotFoundError: No module named 'local_module'" in told


def test_objects_that_several_cells_share_are_one_again(notebook: Notebook, tmp_path: Path):
    notebook.cells(
        one="%%task one\nrows = [n for n in range(3)]",
        two="%%task two\nsame = rows\nlast = same[-1]",
    )
    restart(notebook, tmp_path)

    notebook.run("%flow restore")

    assert notebook.literal("(rows is same, last)") == (True, 2)


def test_cells_of_autotask_are_restored_too(notebook: Notebook, tmp_path: Path):
    notebook.run("%autotask on")
    notebook.cells(one="import time\ntime.sleep(0.3)\nslow = sum(range(10))")
    restart(notebook, tmp_path)

    told = notebook.run("%flow restore").text()

    assert told == "restored 1 of 1 task cells: slow\n"
    assert notebook.literal("slow") == 45


def test_without_known_cells_a_line_says_so(notebook: Notebook, tmp_path: Path):
    told = notebook.run("%flow restore")

    assert told.error is None
    assert told.text() == (
        "UsageError: no task cell of this notebook is known that this kernel has not run; restore "
        "works for cells that were run with %%task or %autotask in an earlier kernel\n"
    )
    notebook.cells(**CELLS)
    assert notebook.run("%flow restore").text().startswith("UsageError: no task cell of this")


def test_clearing_the_cache_keeps_the_list_of_cells(notebook: Notebook, tmp_path: Path):
    notebook.cells(**CELLS)
    notebook.run("%nbflow cache clear")
    restart(notebook, tmp_path)

    told = notebook.run("%flow restore").text()

    assert told.startswith("restored 0 of 3 task cells\nnot restored:\n  values: nothing is kept")
    notebook.run("%flow run")
    assert notebook.literal("total") == 18

"""`nbflow run --autotask`: every cell a task, and how each was obtained in the executed copy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from nbflow import wiring
from nbflow.deploy.notebook_client import CellFacts, CellProgress
from nbflow.deploy.notebooks import run_notebook
from nbflow.errors import NbflowError, NotebookFailed

Write = Callable[..., Path]
WORK = (
    "import random, sys\nrows = 3",
    "numbers = sorted(range(rows), key=lambda n: -n)\nprint(numbers, file=sys.stderr)\nnumbers",
    "total = sum(numbers)\nprint(len(numbers))",
    "# nothing to run",
    "total - sum(numbers)",
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a notebook; a cell is its source, or (source, tag)."""

    def write(*cells: str | tuple[str, str], **metadata: Any) -> Path:
        path = tmp_path / "work.ipynb"
        made = [
            new_code_cell(cell)
            if isinstance(cell, str)
            else new_code_cell(cell[0], metadata={"tags": [cell[1]]})
            for cell in cells
        ]
        nbformat.write(new_notebook(cells=made, metadata=metadata), path)
        return path

    return write


@pytest.fixture(autouse=True)
def _cache_quick_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBFLOW_CACHE_MIN_SECONDS", "0")


def cells_of(path: Path) -> list[Any]:
    return list(nbformat.read(path, as_version=4).cells)


def shown(path: Path) -> list[Any]:
    """Numbers and outputs of the cells."""
    return [(cell.execution_count, cell.outputs) for cell in cells_of(path)]


def facts(path: Path) -> list[str | None]:
    """How each cell was obtained."""
    return [cell.metadata.get("nbflow", {}).get("status") for cell in cells_of(path)]


def test_a_second_run_reuses_cells_and_shows_the_same(write: Write, tmp_path: Path):
    path = write(*WORK)

    first = run_notebook(path, autotask=True, output=tmp_path / "first.ipynb")
    second = run_notebook(path, autotask=True, output=tmp_path / "second.ipynb")

    assert facts(first)[1:3] == ["completed", "completed"]
    assert facts(second)[1:3] == ["cached", "cached"]
    assert shown(first) == shown(second)


def test_the_first_run_shows_what_a_plain_one_shows(write: Write, tmp_path: Path):
    path = write(*WORK, "%load_ext nbflow", "1 / 1;", "total")

    plain = run_notebook(path, output=tmp_path / "plain.ipynb")
    tasks = run_notebook(path, autotask=True, output=tmp_path / "tasks.ipynb")

    assert shown(plain) == shown(tasks)
    assert facts(plain) == [None] * 8


def test_each_cell_says_how_it_was_obtained(write: Write):
    path = write("x = sum([1, 2])", "# nothing", "print(x)")

    first, nothing, _ = (c.metadata.nbflow for c in cells_of(run_notebook(path, autotask=True)))

    assert sorted(first) == ["key", "reason", "seconds", "status"]
    assert (first.status, first.reason) == ("completed", "")
    assert first.key
    assert 0 < first.seconds < 60
    assert (nothing.status, nothing.reason) == ("uncached", "there is nothing to run")


def test_facts_of_an_earlier_run_do_not_stay(write: Write):
    path = write("x = sum([1, 2])")

    tasks = run_notebook(path, autotask=True)

    assert facts(run_notebook(tasks)) == [None]


def test_a_notebook_may_turn_it_on_for_itself(write: Write):
    path = write("%load_ext nbflow", "%autotask on", "x = sum([1, 2])", "%autotask off", "x")

    assert facts(run_notebook(path))[2] == "completed"
    assert facts(run_notebook(path))[2] == "cached"
    turned_off = cells_of(run_notebook(path, autotask=True))[4].metadata.nbflow
    assert (turned_off.status, turned_off.reason) == ("uncached", "it was not run as a task")


def test_a_plain_run_leaves_the_kernel_without_nbflow(write: Write):
    path = write("import sys\nprint('nbflow' in sys.modules)")

    assert cells_of(run_notebook(path))[0].outputs[0].text == "False\n"


def test_the_kernel_is_told_the_cells_id(write: Write):
    path = write("get_ipython().get_parent()['metadata']['cellId']")

    (cell,) = cells_of(run_notebook(path))

    assert cell.outputs[0].data["text/plain"] == repr(cell.id)


def test_a_failing_cell_stops_the_run_and_says_why(write: Write):
    path = write("x = sum([1])", "1 / 0", "print(x)")

    with pytest.raises(NotebookFailed, match=r"cell 2 of 3 \(1 / 0\) failed: ZeroDivisionError"):
        run_notebook(path, autotask=True)

    executed = cells_of(path.with_name("work.executed.ipynb"))
    assert facts(path.with_name("work.executed.ipynb")) == ["completed", "failed", None]
    assert executed[1].metadata.nbflow.reason == "ZeroDivisionError: division by zero"
    # As the traceback of a plain run, with not one frame of ours.
    (error,) = executed[1].outputs
    assert "nbflow" not in "".join(error.traceback)


def test_allowed_errors_do_not_stop_the_run_but_fail_it(write: Write):
    path = write("1 / 0", "print('on')", "{}['x']", ("int('x')", "raises-exception"))
    told: list[tuple[int, str, bool]] = []

    def obtained(place: CellProgress, cell: CellFacts) -> None:
        told.append((place.number, cell.status, cell.is_expected))

    executed = run_notebook(path, allow_errors=True, obtained=obtained)

    assert told == [(1, "failed", False), (3, "failed", False), (4, "failed", True)]
    assert cells_of(executed)[1].outputs[0].text == "on\n"
    assert facts(executed) == [None] * 4
    store = wiring.current().store
    store.flush()
    (run,) = store.runs()
    assert run.state_name == "Failed"
    assert "2 of 4 cells failed: the first is cell 1 of 4 (1 / 0): ZeroDivision" in run.message


def test_one_allowed_error_is_told_as_such(write: Write):
    run_notebook(write("1 / 0", "1"), autotask=True, allow_errors=True)

    store = wiring.current().store
    store.flush()
    run = next(run for run in store.runs() if run.kind == "flow")
    assert "cell 1 of 2 (1 / 0) failed: ZeroDivisionError" in run.message


def test_a_notebook_of_another_language_has_no_tasks(write: Write):
    path = write("1", kernelspec={"name": "ir", "language": "R", "display_name": "R"})

    with pytest.raises(NbflowError, match="--autotask is for notebooks in Python"):
        run_notebook(path, autotask=True)


def test_text_shown_in_ones_own_way_hides_no_facts_of_the_cells_outputs(write: Write):
    path = write(
        "formatter = get_ipython().display_formatter.formatters['text/plain']\n"
        "formatter.for_type(str, lambda text, p, cycle: p.text('shown'))",
        "'text'",
    )

    executed = cells_of(run_notebook(path, autotask=True))

    assert re.search("shown", executed[1].outputs[0].data["text/plain"])


@pytest.mark.parametrize(
    "cells",
    [
        ("from chosen import get\nvalue = get()\nvalue",),
        ("def ask():\n    from chosen import get\n    return get()", "value = ask()\nvalue"),
    ],
    ids=["the cell imports", "a function of the notebook imports"],
)
def test_an_edit_of_a_module_that_code_imports_when_it_runs_is_seen(
    write: Write, tmp_path: Path, cells: tuple[str, ...]
):
    path, module = write(*cells), tmp_path / "chosen.py"

    def shown_value() -> str:
        output = run_notebook(path, autotask=True, output=tmp_path / "out.ipynb")
        return str(cells_of(output)[-1].outputs[-1]["data"]["text/plain"])

    module.write_text("def get():\n    return 1\n")
    assert [shown_value(), shown_value()] == ["1", "1"]
    assert facts(tmp_path / "out.ipynb")[-1] == "cached"
    module.write_text("def get():\n    return 22\n")
    assert shown_value() == "22"

"""Whole notebooks, headless: `nbflow run` beside a script that calls nbclient."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from benchmarks.measuring import Measured, median_seconds, per_item

_NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
_SCRIPT = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook).execute()
nbformat.write(notebook, "executed.ipynb")
"""
_NBFLOW = [str(Path(sys.executable).parent / "nbflow"), "run", "-o", "executed.ipynb"]
_NBCLIENT = [sys.executable, "-c", _SCRIPT]
_TIMES = 3


def workloads(contender: str) -> dict[str, Callable[[], Measured]]:
    """Every workload by the name it has in `rows_notebooks`."""
    is_ours = contender == "nbflow"
    command = _NBFLOW if is_ours else _NBCLIENT
    trivial = ["x = 0", *["x = x + 1"] * 49]
    return {
        "nb_empty": lambda: written_and_run(command, []),
        "nb_50": lambda: written_and_run(command, trivial),
        "nb_quickstart": quickstart if is_ours else quickstart_plainly,
    }


def quickstart() -> dict[str, float]:
    """`nbflow run --autotask` in an empty home, and again."""
    _copy_quickstart()
    command = [*_NBFLOW, "--autotask"]
    first = per_item(1, lambda: _run(command, "quickstart.ipynb"))
    return {
        "first": first,
        "again": median_seconds(_TIMES, lambda: _run(command, "quickstart.ipynb")),
    }


def quickstart_plainly() -> dict[str, float]:
    """nbclient: the notebook as it is, and one that has nothing but its imports."""
    notebook = _copy_quickstart()
    lines = [line for cell in notebook.cells for line in cell.source.splitlines()]
    imports = [line for line in lines if line.startswith(("import ", "from ", "%load_ext "))]
    return {
        "first": per_item(1, lambda: _run(_NBCLIENT, "quickstart.ipynb")),
        "again": written_and_run(_NBCLIENT, ["\n".join(imports)]),
    }


def written_and_run(command: Sequence[str], sources: Sequence[str]) -> float:
    """Seconds for the run of a notebook with these cells."""
    nbformat.write(new_notebook(cells=[new_code_cell(one) for one in sources]), "made.ipynb")
    _run(command, "made.ipynb")
    return median_seconds(_TIMES, partial(_run, command, "made.ipynb"))


def _copy_quickstart() -> nbformat.NotebookNode:
    shutil.copy(_NOTEBOOKS / "quickstart.ipynb", "quickstart.ipynb")
    shutil.copytree(_NOTEBOOKS / "data", "data")
    return nbformat.read("quickstart.ipynb", as_version=4)


def _run(command: Sequence[str], notebook: str) -> None:
    subprocess.run(
        [*command, notebook],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

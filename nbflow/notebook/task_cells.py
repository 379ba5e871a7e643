"""Cells that were run as tasks, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbflow.model.runs import Run
from nbflow.notebook.cells import CellCode
from nbflow.notebook.obtaining import Obtained


@dataclass(slots=True, eq=False)
class TaskCell:
    """A cell that was run with `%%task`.

    Attributes:
        options: The magic's options, as parsed.
        line: The magic's line; empty for a cell that `%autotask` made a task.
        cell_id: The front end's id of the cell; empty if it sends none.
        option_line: The options as they were written.
        changes: Names that the cell was seen to change in place.
        run: Its newest run.
        obtained: How that run got its results.
    """

    name: str
    cell: CellCode
    options: Any
    line: str = ""
    cell_id: str = ""
    option_line: str = ""
    changes: tuple[str, ...] = ()
    run: Run | None = None
    obtained: Obtained | None = None

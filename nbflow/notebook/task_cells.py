"""Cells that were run as tasks, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbflow.model.runs import Run
from nbflow.notebook.cells import CellCode


@dataclass(slots=True, eq=False)
class TaskCell:
    """A cell that was run with `%%task`.

    Attributes:
        options: The magic's options, as parsed.
        run: Its newest run.
    """

    name: str
    cell: CellCode
    options: Any
    run: Run | None = None

"""When each task cell ran last, and so which of them are stale."""

from __future__ import annotations

import itertools

from nbflow.analysis.graph import CellGraph, Ran, stale
from nbflow.analysis.source import source_digest
from nbflow.model.states import State
from nbflow.notebook.task_cells import TaskCell


class Freshness:
    """The runs of one session's task cells, as far as they tell what is up to date."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._ran: dict[str, Ran] = {}

    def ended(self, cell: TaskCell, state: State) -> None:
        """A task cell has ended in this state."""
        if not state.is_completed():
            self._ran.pop(cell.name, None)
            return
        self._ran[cell.name] = Ran(source_digest(cell.cell.transformed), next(self._numbers))

    def stale(self, graph: CellGraph) -> dict[str, str]:
        """Stale cells and why, in words."""
        return stale(graph, self._ran)

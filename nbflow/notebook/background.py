"""Cells that run while the prompt is free, and waiting for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from IPython.core.error import InputRejected

from nbflow.analysis.graph import CellGraph
from nbflow.notebook.task_cells import TaskCell


class BackgroundRun(Future[Any]):
    """Cells that run while the prompt is free. `result()` waits for them all and raises.

    Args:
        on_error: Called with what `result()` is about to raise.
    """

    def __init__(
        self, graph: CellGraph, cells: list[TaskCell], on_error: Callable[[BaseException], None]
    ) -> None:
        super().__init__()
        self._graph = graph
        self._events = {cell.name: threading.Event() for cell in cells}
        self._on_error = on_error

    def unfinished(self) -> list[str]:
        """Cells that have not ended."""
        return [name for name, event in self._events.items() if not event.is_set()]

    def conflict(self, reads: set[str], writes: set[str]) -> tuple[str, str] | None:
        """A cell that has not ended and what it does to a name: ("load", "writes df").

        None: nothing that is read here is written there, or the other way round.
        """
        for name in self.unfinished():
            bound = set(self._graph.outputs(name))
            if common := sorted((reads | writes) & bound):
                return name, f"writes {common[0]}"
            if common := sorted(writes & set(self._graph.inputs(name))):
                return name, f"reads {common[0]}"
        return None

    def wait_for(self, name: str) -> None:
        """Wait for one of the cells. Can be interrupted."""
        self._events[name].wait()

    def ended(self, cell: TaskCell) -> None:
        """One of the cells has ended."""
        self._events[cell.name].set()

    def finish(self, value: Any, error: BaseException | None) -> None:
        """No cell will run any more."""
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(value)
        for event in self._events.values():
            event.set()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for all cells; of one cell started by itself, the value of its last expression.

        Raises:
            TimeoutError: They have not ended within `timeout` seconds.
            Exception: What the first cell that failed raised.
        """
        __tracebackhide__ = True
        error = self.exception(timeout)
        if error is not None:
            self._on_error(error)
            raise error
        return super().result()

    def __repr__(self) -> str:
        names = ", ".join(self._events) or "nothing"
        left = self.unfinished()
        if not self.done():
            return f"<BackgroundRun of {names}: running{f' {left[0]}' if left else ''}>"
        error = self.exception()
        told = "completed" if error is None else f"failed with {type(error).__name__}: {error}"
        return f"<BackgroundRun of {names}: {told}>"


class NotRun(InputRejected):
    """A cell that was not run, because the wait for what it needs was interrupted."""

    def _render_traceback_(self) -> list[str]:
        return [f"KeyboardInterrupt: {self}"]


def reject_cell(shell: Any, why: str) -> None:
    """Have the cell that is about to run not run.

    From `pre_run_cell`: IPython shows what is raised there, and runs the cell all the same.
    """

    class Rejecting:
        def visit(self, _: Any) -> Any:
            shell.ast_transformers.remove(self)
            raise NotRun(why)

    shell.ast_transformers.append(Rejecting())

"""The task cells of a notebook, run as one flow: in parallel, and only what is not up to date."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow.analysis.graph import CellGraph, CycleError
from nbflow.notebook import caching, choosing, graphing, running
from nbflow.notebook.background import BackgroundRun, reject_cell
from nbflow.notebook.cell_flow import CellFlow
from nbflow.notebook.choosing import Choice
from nbflow.notebook.freshness import Inputs, inputs_in
from nbflow.notebook.task_cells import TaskCell

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

_numbers = itertools.count(1)


class NotebookFlow:
    """The flow that a session's task cells form.

    Attributes:
        pending: What runs in the background, and perhaps some that has ended.
        earlier: What is noted of the notebook's earlier kernels, once it has been looked for; see
            `restoring`.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.pending: list[BackgroundRun] = []
        self.earlier: dict[str, list[Any]] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether cells run in the background."""
        return any(not one.done() for one in self.pending)

    def graph(self) -> CellGraph:
        """The cells and what connects them.

        Raises:
            UsageError: There are no task cells.
        """
        cells = self._session.task_cells.values()
        if not cells:
            raise UsageError("no cell has been run as a task yet; write %%task at the top of one")
        return graphing.graph_of(cells, self._session.shell.user_ns)

    def stale(self, graph: CellGraph) -> dict[str, str]:
        """The cells that are not up to date, and why."""
        return self._session.freshness.stale(graph, self._inputs_now)

    def run(self, choice: Choice) -> None:
        """Run the chosen cells and wait; what each shows comes under its name.

        Raises:
            UsageError: The choice cannot be made.
            Exception: What the first cell that failed raised; cells that do not depend on it ran.
        """
        __tracebackhide__ = True
        graph, cells = self._chosen(choice)
        if not cells:
            print("everything is up to date")  # noqa: T201  (the answer)
            return
        flow = CellFlow(
            self._session,
            graph,
            cells,
            force=choice.force,
            jobs=choice.jobs,
            alone=not self.is_busy,
        )
        try:
            flow()
        except BaseException as error:
            self._show_error(flow, error)
            raise

    def start(self, choice: Choice) -> BackgroundRun:
        """Run the chosen cells in a thread of their own; gives a future at once.

        Waits only for cells in the background that the chosen ones conflict with.
        """
        graph, cells = self._chosen(choice)
        return self._start(graph, cells, choice)

    def start_one(self, task_cell: TaskCell) -> BackgroundRun:
        """Run one cell in a thread of its own; gives a future at once."""
        return self._start(self.graph(), [task_cell], Choice())

    def wait_for(self, reads: set[str], writes: set[str]) -> None:
        """Wait for cells in the background that write what is read, or read what is written.

        For the cell that is about to run: it does not run if the wait is interrupted.
        """
        try:
            self._wait(reads, writes)
        except KeyboardInterrupt:
            reject_cell(self._session.shell, f"the cell was not run; {self._still_running()}")

    def _chosen(self, choice: Choice) -> tuple[CellGraph, list[TaskCell]]:
        """The cells to run, in order. What is in the background and touches them has ended then."""
        graph, session = self.graph(), self._session
        given = choosing.replaced_by(graph, session, choice.parameters)
        names = choosing.scope(graph, choice)
        reads = {variable for name in names for variable in graph.inputs(name)}
        writes = {variable for name in names for variable in graph.outputs(name)}
        try:
            self._wait(reads, writes | set(choice.parameters))
        except KeyboardInterrupt as error:
            _show_as(error, f"nothing was run; {self._still_running()}")
            raise
        session.shell.user_ns.update(choice.parameters)
        for name in given:
            session.freshness.replaced(name)
        graph = self.graph()  # what runs have shown of changes is known now
        try:
            return graph, choosing.to_run(session, graph, choice, self.stale(graph), given)
        except CycleError as error:
            raise UsageError(str(error)) from None

    def _wait(self, reads: set[str], writes: set[str]) -> None:
        self.pending = [one for one in self.pending if not one.done()]
        namespace = self._session.shell.user_ns
        modules = {name for name in reads if isinstance(namespace.get(name), ModuleType)}
        reads, writes = reads - modules, writes - modules
        if any(graphing.is_drawing_module(namespace[name]) for name in modules):
            writes = {*writes, graphing.FIGURES}
        for background in self.pending:
            while (found := background.conflict(reads, writes)) is not None:
                name, does = found
                print(f"waiting for {name!r}, which runs in the background and {_told(does)}")  # noqa: T201
                background.wait_for(name)

    def _start(self, graph: CellGraph, cells: list[TaskCell], choice: Choice) -> BackgroundRun:
        self.pending = [one for one in self.pending if not one.done()]
        context = copy_context()

        def show(shown: Callable[[], None]) -> None:
            context.run(shown)

        background = BackgroundRun(graph, cells, lambda error: self._show_error(flow, error))
        flow = CellFlow(
            self._session,
            graph,
            cells,
            force=choice.force,
            jobs=choice.jobs,
            alone=False,
            ended=background.ended,
            show=show,
        )

        def work() -> None:
            value, error = None, None
            try:
                if cells:
                    flow()
            except BaseException as failure:
                error = failure
            else:
                value = flow.value if len(cells) == 1 else None
            background.finish(value, error)

        self.pending.append(background)
        name = f"nbflow-flow-{next(_numbers)}"
        threading.Thread(target=partial(context.copy().run, work), name=name, daemon=True).start()
        return background

    def _still_running(self) -> str:
        names = ", ".join(name for one in self.pending for name in one.unfinished())
        return f"{names} still runs in the background"

    def _show_error(self, flow: CellFlow, error: BaseException) -> None:
        if flow.failed is not None:
            running.show_briefly(self._session, error, flow.failed.cell)
        elif isinstance(error, KeyboardInterrupt):
            _show_as(error, "the flow was cancelled")
        else:
            _show_as(error, str(error))

    def _inputs_now(self, name: str) -> Inputs:
        return inputs_in(caching.look_up(self._session, self._session.task_cells[name]).parts)


def _show_as(error: BaseException, text: str) -> None:
    """Have IPython show one line in place of a traceback, which would be of our own code."""
    lines = [f"{type(error).__name__}: {text}"]
    error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]


def _told(does: str) -> str:
    return "draws figures" if graphing.FIGURES in does else does

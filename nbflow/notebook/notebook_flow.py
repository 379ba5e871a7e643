"""The task cells of a notebook, run as one flow: in parallel, and only what is not up to date."""

from __future__ import annotations

import itertools
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from nbflow.analysis.graph import CellGraph, EdgeKind
from nbflow.engine.futures import TaskFuture
from nbflow.errors import NbflowError
from nbflow.model.annotations import allow_failure
from nbflow.model.specs import FlowSpec
from nbflow.model.states import State
from nbflow.notebook import graphing, running
from nbflow.notebook.recording import show_again
from nbflow.notebook.remembering import CellKeeper
from nbflow.notebook.task_cells import TaskCell
from nbflow.task_runners import ThreadPoolTaskRunner

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

_numbers = itertools.count(1)
#: Tells which cell the outputs below belong to.
_HEADING = "▸"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which cells to run, and how.

    Attributes:
        targets: Cells or variables; none: all.
        downstream: Run what depends on the targets, rather than what they need.
        force: Run also what is up to date, and do not use what is kept.
        jobs: How many cells may run at once.
    """

    targets: tuple[str, ...] = ()
    downstream: bool = False
    force: bool = False
    jobs: int = 0
    parameters: Mapping[str, Any] | None = None


class NotebookFlow:
    """The flow that a session's task cells form."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.pending: list[BackgroundRun] = []

    def graph(self) -> CellGraph:
        """The cells and what connects them.

        Raises:
            UsageError: There are no task cells.
        """
        cells = self._session.task_cells.values()
        if not cells:
            raise UsageError("no cell has been run as a task yet; write %%task at the top of one")
        return graphing.graph_of(cells, self._session.shell.user_ns)

    def chosen(self, choice: Choice) -> tuple[CellGraph, list[TaskCell]]:
        """The cells to run, in order; those that are up to date are left out."""
        graph = self.graph()
        known = self._session.task_cells
        for target in choice.targets:
            if target not in known and target not in _variables(graph):
                raise UsageError(
                    f"there is no task cell or variable {target!r} in this notebook; "
                    f"there are: {', '.join(known)}"
                )
        if not choice.targets:
            names: Sequence[str] = graph.order()
        elif choice.downstream:
            names = graph.push(*choice.targets)
        else:
            names = graph.pull(*choice.targets)
        stale = self._session.freshness.stale(graph)
        given = set(choice.parameters or {})
        cells = [known[name] for name in names]
        for cell in cells:
            writes = set(cell.cell.names.writes)
            if writes & given and not writes <= given:
                raise UsageError(
                    f"task {cell.name!r} writes {', '.join(sorted(writes & given))} besides other "
                    "names; give the parameters a cell of their own to run with -p"
                )
        cells = [cell for cell in cells if not given or not set(cell.cell.names.writes) & given]
        touched = self._touched(graph, given)
        return graph, [
            cell
            for cell in cells
            if choice.force or cell.name in stale or cell.name in touched
            or (choice.downstream and cell.name in choice.targets)
        ]  # fmt: skip

    def run(self, choice: Choice) -> None:
        """Run the chosen cells and wait; what each shows comes under its name.

        Raises:
            Exception: What the first cell that failed raised; cells that do not depend on it ran.
        """
        __tracebackhide__ = True
        graph, cells = self.chosen(choice)
        self._session.shell.user_ns.update(choice.parameters or {})
        if not cells:
            print("everything is up to date")  # noqa: T201  (the answer)
            return
        run = _Run(self._session, graph, cells, choice, show=self._show)
        self._call(run)

    def start(self, choice: Choice) -> BackgroundRun:
        """Run the chosen cells in a thread of their own; gives a future at once."""
        graph, cells = self.chosen(choice)
        self._session.shell.user_ns.update(choice.parameters or {})
        return self._start(graph, cells, choice)

    def start_one(self, task_cell: TaskCell) -> BackgroundRun:
        """Run one cell in a thread of its own; gives a future at once."""
        return self._start(self.graph(), [task_cell], Choice())

    def _start(self, graph: CellGraph, cells: list[TaskCell], choice: Choice) -> BackgroundRun:
        self.pending = [one for one in self.pending if not one.done()]
        background = BackgroundRun(cells)
        context = copy_context()

        def show(cell: TaskCell, shown: list[Any]) -> None:
            background.ended(cell)
            context.run(self._show, cell, shown)

        run = _Run(self._session, graph, cells, choice, show=show)

        def work() -> None:
            try:
                self._call(run)
            except BaseException as error:
                background.set_exception(error)
            else:
                background.set_result(None)
            finally:
                background.all_ended()

        self.pending.append(background)
        name = f"nbflow-flow-{next(_numbers)}"
        threading.Thread(target=context.copy().run, args=(work,), name=name, daemon=True).start()
        return background

    def wait_for(self, reads: set[str], writes: set[str]) -> None:
        """Wait for cells in the background that write what is read, or read what is written."""
        for background in self.pending:
            for cell in background.unfinished():
                names = cell.cell.names
                bound = {*names.writes, *names.deletes, *names.mutates}
                used = {*bound, *names.reads, *names.deferred}
                common = sorted((reads & bound) | (writes & used))
                if common:
                    print(f"waiting for {cell.name!r}, which runs in the background and "  # noqa: T201
                          f"{'writes' if set(common) & bound else 'reads'} {common[0]}")  # fmt: skip
                    background.wait_for(cell)

    def _call(self, run: _Run) -> None:
        __tracebackhide__ = True
        spec = FlowSpec(
            fn=run.body,
            name="notebook",
            validate_parameters=False,
            task_runner=ThreadPoolTaskRunner(max_workers=run.jobs),
        )
        self._session.watch().engine.call(spec, (), {})
        if run.error is not None:
            if run.failed is not None:
                running.show_briefly(self._session, run.error, run.failed.cell)
            raise run.error

    def _show(self, cell: TaskCell, shown: list[Any]) -> None:
        """Show what a cell has shown, under its name."""
        if shown:
            print(f"{_HEADING} {cell.name}")  # noqa: T201  (a heading)
            show_again(self._session.shell, shown, None, has_last=False, as_display=True)

    def _touched(self, graph: CellGraph, given: set[str]) -> set[str]:
        """Cells that depend on parameters that are given."""
        first = [
            node.name for node in graph.nodes if given & {*node.names.reads, *node.names.deferred}
        ]
        return set(graph.push(*first)) if first else set()


class _Run:
    """One run of chosen cells, as the body of a flow."""

    def __init__(
        self,
        session: Session,
        graph: CellGraph,
        cells: list[TaskCell],
        choice: Choice,
        show: Callable[[TaskCell, list[Any]], None],
    ) -> None:
        self._session = session
        self._graph = graph
        self._cells = {cell.name: cell for cell in cells}
        self._choice = choice
        self._show = show
        self.jobs = choice.jobs or min(4, os.cpu_count() or 1)
        self.error: BaseException | None = None
        self.failed: TaskCell | None = None
        self._done: queue.SimpleQueue[TaskCell] = queue.SimpleQueue()
        self._ends: dict[str, TaskFuture[Any] | State] = {}
        self._keepers: dict[str, CellKeeper] = {}

    def body(self) -> None:
        """Submit every cell with what it waits for; show what each shows when it has ended."""
        namespace = self._session.shell.user_ns
        engine = self._session.watch().engine
        alone = len(self._cells) == 1 or self.jobs == 1
        for name in [name for name in self._graph.order() if name in self._cells]:
            cell = self._cells[name]
            spec, keeper = running.spec_of(
                self._session, cell, refresh=self._choice.force, holds=True, alone=alone
            )
            self._keepers[name] = keeper
            waits = self._waits(name)
            if graphing.needs_main_thread(cell, namespace) and self._have_come(waits):
                self._ends[name] = engine.call(spec, (), {}, return_state=True)
                self._done.put(cell)
            else:
                future = engine.submit(spec, (), {}, wait_for=waits)
                self._ends[name] = future
                future.add_done_callback(lambda _, cell=cell: self._done.put(cell))
        for _ in self._cells:
            self._end(self._done.get())

    def _waits(self, name: str) -> list[Any]:
        waits: list[Any] = []
        for edge in self._graph.edges:
            if edge.after == name and edge.before in self._ends:
                end = self._ends[edge.before]
                waits.append(end if edge.kind is EdgeKind.DATA else allow_failure(end))
        return waits

    @staticmethod
    def _have_come(waits: list[Any]) -> bool:
        """Wait here for what a cell needs; tells whether it may run."""
        for wait in waits:
            is_needed = not isinstance(wait, allow_failure)
            end = wait if is_needed else wait.value
            if isinstance(end, TaskFuture):
                end.wait()
            state = end if isinstance(end, State) else end.state
            if is_needed and not state.is_completed():
                return False
        return True

    def _end(self, cell: TaskCell) -> None:
        end = self._ends[cell.name]
        state = end if isinstance(end, State) else end.state
        if isinstance(end, TaskFuture):
            end._observe()  # its failure is told here, not as one that nobody looked at
        self._show(cell, self._keepers[cell.name].shown)
        if not state.is_completed() and self.error is None:
            error = state.error
            self.error = error if error is not None else NbflowError(state.message)
            self.failed = cell


def _variables(graph: CellGraph) -> set[str]:
    return {name for node in graph.nodes for name in node.names.writes}


class BackgroundRun(Future[None]):
    """Cells that run while the prompt is free. `result()` waits for them all and raises."""

    def __init__(self, cells: list[TaskCell]) -> None:
        super().__init__()
        self._events = {cell.name: threading.Event() for cell in cells}
        self._cells = {cell.name: cell for cell in cells}

    def unfinished(self) -> list[TaskCell]:
        """Cells that have not ended."""
        return [cell for name, cell in self._cells.items() if not self._events[name].is_set()]

    def wait_for(self, cell: TaskCell) -> None:
        """Wait for one of the cells. Can be interrupted."""
        self._events[cell.name].wait()

    def ended(self, cell: TaskCell) -> None:
        """One of the cells has ended."""
        self._events[cell.name].set()

    def all_ended(self) -> None:
        """No cell will run any more."""
        for event in self._events.values():
            event.set()

    def __repr__(self) -> str:
        left = [cell.name for cell in self.unfinished()]
        names = ", ".join(self._cells)
        return f"<BackgroundRun of {names}: {f'running {left[0]}' if left else 'ended'}>"

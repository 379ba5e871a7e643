"""One run of task cells as a flow: each when what it needs has ended, as many at once as asked."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nbflow.analysis.graph import CellGraph, EdgeKind
from nbflow.analysis.source import ends_with_semicolon
from nbflow.engine.futures import TaskFuture
from nbflow.errors import NbflowError
from nbflow.model.specs import FlowSpec
from nbflow.model.states import State
from nbflow.notebook import graphing, running
from nbflow.notebook.recording import RESULT, show_again
from nbflow.notebook.remembering import CellKeeper
from nbflow.notebook.task_cells import TaskCell
from nbflow.task_runners import ThreadPoolTaskRunner

if TYPE_CHECKING:
    from nbflow.notebook.session import Session

#: Tells which cell the outputs below belong to.
_HEADING = "▸"
# So that a wait on another thread than the main one can be ended from outside.
_LOOK_SECONDS = 0.2
_Show = Callable[[Callable[[], None]], None]


class CellFlow:
    """Runs cells of a graph once.

    What they show comes in the order of the graph, so that it is the same each time: a cell's when
    those before it have ended.

    Args:
        cells: In the graph's order.
        force: Do not use what is kept.
        jobs: How many cells may run at once; 0: as many as there are processors, from 4 to 8.
        alone: Whether nothing else runs meanwhile.
        ended: Called with each cell that has ended or will not be run.
        show: Calls what it is given where the outputs belong.

    Attributes:
        failed: The first cell, in order, that failed; None: none did.
        value: Of the last cell's last expression.
    """

    def __init__(
        self,
        session: Session,
        graph: CellGraph,
        cells: Sequence[TaskCell],
        *,
        force: bool = False,
        jobs: int = 0,
        alone: bool = True,
        ended: Callable[[TaskCell], None] = lambda _: None,
        show: _Show = lambda shown: shown(),
    ) -> None:
        self._session = session
        self._cells = {cell.name: cell for cell in cells}
        self._force = force
        self._jobs = jobs or max(4, min(8, os.cpu_count() or 1))
        self._alone = alone and (self._jobs == 1 or len(cells) == 1)
        self._on_end = ended
        self._show = show
        self._before: dict[str, dict[str, EdgeKind]] = {cell.name: {} for cell in cells}
        for edge in graph.edges:
            if edge.before in self._cells and edge.after in self._cells:
                self._before[edge.after][edge.before] = edge.kind
        self._states: dict[str, State] = {}
        self._needs: dict[str, str] = {}  # cells that are not run, and what they would need
        self._running: dict[str, TaskFuture[Any]] = {}
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._keepers: dict[str, CellKeeper] = {}
        self._unshown = list(self._cells)
        self.failed: TaskCell | None = None
        self.value: Any = None

    def __call__(self) -> None:
        """Run them all and wait.

        Raises:
            Exception: What the first cell that failed raised; cells that do not depend on it ran.
        """
        __tracebackhide__ = True
        spec = FlowSpec(
            fn=self._body,
            name="notebook",
            validate_parameters=False,
            task_runner=ThreadPoolTaskRunner(max_workers=self._jobs),
        )
        self._session.watch().engine.call(spec, (), {})

    def _body(self) -> None:
        __tracebackhide__ = True
        try:
            while self._start_ready() or self._running:
                self._wait_for_one()
        finally:
            self._show_ended()
        failures = [name for name, state in self._states.items() if not state.is_completed()]
        if failures:
            first = min(failures, key=list(self._cells).index)
            self.failed = self._cells[first]
            state = self._states[first]
            raise state.error if state.error is not None else NbflowError(state.message)

    # --- starting -------------------------------------------------------------------------------

    def _start_ready(self) -> bool:
        """Start what can be started, topmost first; gives whether anything was."""
        started, here = False, list[str]()
        for name in self._cells:
            if not self._is_ready(name) or self._is_left_out(name):
                continue
            if len(self._running) >= self._jobs:
                break
            if graphing.needs_main_thread(self._cells[name], self._session.shell.user_ns):
                here.append(name)
                continue
            self._submit(name)
            started = True
        if here and len(self._running) < self._jobs:
            self._run_here(here[0])
            started = True
        return started

    def _is_ready(self, name: str) -> bool:
        is_begun = name in self._states or name in self._running or name in self._needs
        return not is_begun and all(
            before in self._states or before in self._needs for before in self._before[name]
        )

    def _is_left_out(self, name: str) -> bool:
        """Whether a cell cannot run because of what became of those it needs."""
        for before, kind in self._before[name].items():
            state = self._states.get(before)
            if kind is EdgeKind.DATA and (state is None or not state.is_completed()):
                self._needs[name] = before
                self._on_end(self._cells[name])
                return True
        return False

    def _spec(self, name: str) -> Any:
        spec, keeper = running.spec_of(
            self._session, self._cells[name], refresh=self._force, holds=True, alone=self._alone
        )
        self._keepers[name] = keeper
        return spec

    def _submit(self, name: str) -> None:
        future = self._session.watch().engine.submit(self._spec(name), (), {})
        self._running[name] = future
        future.add_done_callback(lambda _: self._done.put(name))

    def _run_here(self, name: str) -> None:
        engine = self._session.watch().engine
        self._ended(name, engine.call(self._spec(name), (), {}, return_state=True))

    # --- ending ---------------------------------------------------------------------------------

    def _wait_for_one(self) -> None:
        while self._running:
            try:
                name = self._done.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            future = self._running.pop(name)
            self._ended(name, future.state)  # looking at it: its failure is told here
            return

    def _ended(self, name: str, state: State) -> None:
        self._states[name] = state
        self._on_end(self._cells[name])
        while self._unshown and self._has_ended(self._unshown[0]):
            self._show_one(self._unshown.pop(0))

    def _has_ended(self, name: str) -> bool:
        is_ended = name in self._states or name in self._needs
        return is_ended or (self._is_ready(name) and self._is_left_out(name))

    def _show_ended(self) -> None:
        """What is left: of cells that have ended, those that an interrupt kept others from."""
        for name in self._unshown:
            if name in self._states or name in self._needs:
                self._show_one(name)
        self._unshown = []

    def _show_one(self, name: str) -> None:
        if name in self._needs:
            told = f"{_HEADING} {name}: not run, it needs {self._needs[name]}"
            self._show(lambda: print(told))  # noqa: T201  (the answer)
            return
        state, shown = self._states[name], self._keepers[name].shown
        self.value = state.data if state.is_completed() else None
        if ends_with_semicolon(self._cells[name].cell.transformed):
            shown = [item for item in shown if item[0] != RESULT]
        if shown:
            self._show(lambda: self._show_under_heading(name, shown))

    def _show_under_heading(self, name: str, shown: list[Any]) -> None:
        print(f"{_HEADING} {name}")  # noqa: T201  (a heading)
        show_again(self._session.shell, shown, None, has_last=False, as_display=True)

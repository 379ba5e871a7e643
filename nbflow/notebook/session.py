"""What nbflow has put into one shell, and how it is taken out again."""

from __future__ import annotations

import io
import itertools
import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from nbflow import wiring
from nbflow.analysis.effects import is_definitions_only
from nbflow.analysis.names import cell_names
from nbflow.console import console_line, level_of_state, told_of_state
from nbflow.errors import NbflowError
from nbflow.memo.memory import CellMemory
from nbflow.model.events import Event, LogEmitted, RunCreated, StateChanged
from nbflow.model.runs import Run, RunKind
from nbflow.model.specs import Spec
from nbflow.model.states import FINAL_TYPES, State
from nbflow.notebook import hosting, restoring, running
from nbflow.notebook.autotask import Autotask, inside
from nbflow.notebook.cells import CellCode
from nbflow.notebook.completion import complete
from nbflow.notebook.freshness import Freshness
from nbflow.notebook.keep_alive import KeepAlive
from nbflow.notebook.magics import NbflowMagics
from nbflow.notebook.notebook_flow import NotebookFlow
from nbflow.notebook.obtaining import Obtained
from nbflow.notebook.output import OutputRouter, unwatched
from nbflow.notebook.schedule_magics import ScheduleMagics
from nbflow.notebook.shells import injected_names, shell_probes
from nbflow.notebook.status import StatusLine
from nbflow.notebook.task_cells import TaskCell

logger = logging.getLogger(__name__)
Undo = Callable[[], object]


class Session:
    """nbflow in one shell.

    Attributes:
        task_cells: Cells that were run as tasks, by name.
        flow: What the task cells form.
        freshness: Which of them are stale.
        definitions: Sources of plain cells that only import, define and set constants, in order.
        quiet: The spec, if any, whose run shows no status line.
        obtained: How the cells that were run as tasks got their results, in order.
        place: The notebook, as its schedules name it.
        first_path: `sys.path` as it was when nbflow was loaded.
        keep_alive: Keeps the kernel from being culled while something lives in it.
    """

    keep_alive: KeepAlive

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.place = hosting.place_of(shell)
        self.first_path = tuple(sys.path)
        self.task_cells: dict[str, TaskCell] = {}
        self.quiet: Spec | None = None
        self.obtained: list[Obtained] = []
        self._memory: CellMemory | None = None
        self._cell_id = ""
        self.definitions: dict[str, None] = {}
        self._n_obtained = 0
        self._streams: tuple[Any, Any] | None = None
        self._noted: object = None
        self.freshness = Freshness()
        self.flow = NotebookFlow(self)
        self._autotask: Autotask | None = None
        self._undo: list[Undo] = []
        self._statuses: dict[str, StatusLine] = {}
        self.equipped: object = None  # see `hosting`
        self._hosted: set[str] = set()  # ids of flow runs for which no cell is there
        self._wiring: wiring.Wiring | None = None
        self._router: OutputRouter | None = None
        self.magics = NbflowMagics(shell, self)
        self.schedule_magics = ScheduleMagics(shell, self)
        for magics in (self.magics, self.schedule_magics):
            self._undo.append(_register(shell, magics))
        matcher = complete(self)
        shell.Completer.custom_matchers.append(matcher)
        self._undo.append(lambda: shell.Completer.custom_matchers.remove(matcher))
        for event, function in (
            ("pre_run_cell", self._pre_run_cell),
            ("post_run_cell", self._post_run_cell),
        ):
            shell.events.register(event, function)
            self._undo.append(partial(shell.events.unregister, event, function))
        self._note_definitions(_without_our_magics(shell))
        self.watch()  # now: the cell that loads nbflow may call a flow further down

    def close(self) -> None:
        """Take everything out of the shell again."""
        while self._undo:
            self._undo.pop()()

    def register(
        self, name: str, cell: CellCode, options: Any, line: str = "", option_line: str = ""
    ) -> TaskCell:
        """Take note of a cell that is about to run as a task; gives it a name if it has none.

        A cell that was run before keeps its place, whatever its name is now. Cells of one name are
        one task, unless the front end tells them apart and the name was not chosen by the user.
        """
        known = self.task_cells
        same = [one for one in known.values() if self._cell_id and one.cell_id == self._cell_id]
        if not name:
            name = same[0].name if same else f"cell-{self.shell.execution_count}"
        if not getattr(options, "name", None):
            name = self._free_name(name)
        made = TaskCell(name, cell, options, line, self._cell_id, option_line)
        for old in same:
            if old.name != name:
                self.task_cells = {
                    (name if key == old.name else key): one for key, one in self.task_cells.items()
                }
        self.task_cells[name] = made
        return made

    def _free_name(self, name: str) -> str:
        """The name, with a number if another cell has it."""
        for number in itertools.count(1):
            wanted = name if number == 1 else f"{name}-{number}"
            found = self.task_cells.get(wanted)
            if found is None or not self._cell_id or found.cell_id in ("", self._cell_id):
                return wanted
        raise AssertionError

    @property
    def memory(self) -> CellMemory:
        """What this notebook's cells remember."""
        results = self.watch().results
        if self._memory is None or self._memory.results is not results:
            self._memory = CellMemory(
                results,
                self.shell.user_ns,
                probes=shell_probes(self.shell),
                is_injected=injected_names(self.shell),
            )
        return self._memory

    @property
    def cache_min_seconds(self) -> float:
        """See `Settings`."""
        return self.watch().settings.cache_min_seconds

    def has_own_streams(self) -> bool:
        """Whether what is printed goes where the notebook shows it."""
        return (sys.stdout, sys.stderr) == self._streams

    @property
    def is_autotask(self) -> bool:
        """Whether every cell that is run is a task."""
        return self._autotask is not None

    def autotask(self, *, on: bool) -> None:
        """Whether every cell that is run from now on is a task."""
        if on and self._autotask is None:
            self._autotask = Autotask(self)
            self._undo.append(lambda: self.autotask(on=False))
        elif not on and self._autotask is not None:
            self._autotask.close()
            self._autotask = None

    def watch(self) -> wiring.Wiring:
        """This process' wiring, with its runs shown in the notebook rather than as log lines."""
        current = wiring.current()
        if current is not self._wiring:
            self._wiring = current
            current.silence_console()
            end = current.bus.subscribe(self._on_event)
            self._undo.append(end)
            self._undo.append(current.show_console)
            self.keep_alive = KeepAlive(
                self.shell,
                current.settings.keep_alive_seconds,
                current.engine.timers.call_later,
                partial(self._is_lived_in, current),
            )
            self._undo.append(self.keep_alive.close)
        # Not inside a `%%capture`, whose streams go with it.
        if self._router is None and not isinstance(sys.stdout, io.StringIO):
            self._router = OutputRouter(self.shell)
            self._streams = (sys.stdout, sys.stderr)
            self._undo.append(self._close_router)
        return current

    def _is_lived_in(self, connected: wiring.Wiring) -> bool:
        """Whether runs are in flight, or schedules are this kernel's to fire."""
        return not connected.engine.is_idle or hosting.serves(connected)

    def _pre_run_cell(self, info: Any) -> None:
        if inside.get():  # a cell that a cell runs, by `%%capture` and the like
            return
        self._cell_id = getattr(info, "cell_id", None) or ""
        self.watch()
        self._n_obtained = len(self.obtained)
        raw_cell = getattr(info, "raw_cell", "") or ""
        if not self.is_autotask and not raw_cell.startswith("%"):
            self._note_definitions(raw_cell)
        if self.flow.pending:
            self._wait_for_background(raw_cell)

    def _post_run_cell(self, result: Any) -> None:
        server = hosting.existing_server(self)
        if server is not None and server.served:  # by a flow's `serve`, perhaps
            self.keep_alive.wake()
        if self.is_autotask and not inside.get() and len(self.obtained) == self._n_obtained:
            error = getattr(result, "error_before_exec", None)
            told = f"{type(error).__name__}: {error}" if error is not None else ""
            self.obtained.append(
                Obtained("failed", told)
                if told
                else Obtained("uncached", "there is nothing to run")
            )

    def _note_definitions(self, raw_cell: str) -> None:
        """Cells that only define names are needed to export and to restore the tasks."""
        try:
            source = self.shell.transform_cell(raw_cell)
            if source.strip() and is_definitions_only(source):
                self.definitions.pop(raw_cell, None)
                self.definitions[raw_cell] = None
        except SyntaxError:
            pass

    def _wait_for_background(self, raw_cell: str) -> None:
        """Let cells in the background finish that write what this cell reads."""
        body = raw_cell.partition("\n")[2] if raw_cell.startswith("%%") else raw_cell
        try:
            found = cell_names(self.shell.transform_cell(body))
        except SyntaxError:
            return
        reads = {*found.reads, *found.deferred, *found.mutates}
        self.flow.wait_for(reads, {*found.writes, *found.deletes, *found.mutates})

    def _close_router(self) -> None:
        if self._router is not None:
            self._router.close()
            self._router = None

    # --- showing runs ---------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        """Bus subscriber."""
        run = event.run
        if type(event) is RunCreated:
            self.keep_alive.wake()
            if isinstance(run.spec.owner, TaskCell):
                run.spec.owner.run = run
            if hosting.is_hosted() and run.kind is RunKind.FLOW:
                self._hosted.add(run.id)
            elif self._is_outermost(run) and run.spec is not self.quiet:
                self._show_status(run)
        for status in tuple(self._statuses.values()):
            status.on_event(event)
        if type(event) is StateChanged and event.state.type in FINAL_TYPES:
            if isinstance(run.spec.owner, TaskCell):
                self._ended(run.spec.owner, event.state)
            if self._router is not None:
                self._router.end_of(run.id)
            ended = self._statuses.pop(run.id, None)
            if ended is not None:
                ended.end()
        if run.flow_run_id not in self._hosted:
            self._write_line(event)
        elif type(event) is StateChanged and event.state.type in FINAL_TYPES:
            self._hosted.discard(run.id)

    def _ended(self, cell: TaskCell, state: State) -> None:
        if cell.obtained is not None and cell.obtained.changed:
            cell.changes = cell.obtained.changed
        self.freshness.ended(cell, state)
        cells = [(one.name, one.cell.source, one.option_line) for one in self.task_cells.values()]
        noted = (tuple(self.definitions), cells)
        if noted != self._noted:
            self._noted = noted
            try:
                restoring.note(self)
            except Exception:  # a store that fails may not stop the cell
                logger.debug("the list of task cells was not kept", exc_info=True)

    def _is_outermost(self, run: Run) -> bool:
        """Whether a run has a line of its own: flows and task cells that no run here has called."""
        assert self._wiring is not None
        outer = self._wiring.settings.parent_run or None
        is_shown = run.kind is RunKind.FLOW or isinstance(run.spec.owner, TaskCell)
        return run.parent_id == outer and is_shown

    def _show_status(self, run: Run) -> None:
        assert self._wiring is not None
        settings = self._wiring.settings
        line = StatusLine(run, self._wiring.engine.timers.call_later, stable=settings.stable_output)
        self._statuses[run.id] = line
        line.show()

    def _write_line(self, event: Event) -> None:
        """What runs say, and retries and failures inside of them, as lines under the cell."""
        assert self._wiring is not None
        level = self._wiring.settings.log_level_number
        if type(event) is LogEmitted:
            if event.echo and event.level >= level:
                self._print(event.at, event.level, f"{self._label(event.run)} - {event.message}")
        elif type(event) is StateChanged and not self._is_outermost(event.run):
            loudness = level_of_state(event.state)
            if loudness >= max(level, logging.WARNING):
                told = told_of_state(self._label(event.run), event.state)
                self._print(event.state.at, loudness, told)

    def _label(self, run: Run) -> str:
        """As the run itself says, but for the name of a flow run where output has to be stable."""
        assert self._wiring is not None
        is_stable = self._wiring.settings.stable_output and run.kind is RunKind.FLOW
        return f"Flow run of {run.spec.name!r}" if is_stable else run.label

    def _print(self, at: float, level: int, text: str) -> None:
        assert self._wiring is not None
        line = console_line(at, level, text)
        if self._wiring.settings.stable_output:
            line = line.partition(" | ")[2]
        with unwatched():
            sys.stdout.write(line + "\n")


def _register(shell: Any, magics: Any) -> Undo:
    """Register magics; the returned function puts back whatever had their names before."""
    before = {
        kind: {name: shell.magics_manager.magics[kind].get(name) for name in names}
        for kind, names in magics.magics.items()
    }
    shell.register_magics(magics)

    def undo() -> None:
        for kind, known in before.items():
            for name, magic in known.items():
                if magic is None:
                    shell.magics_manager.magics[kind].pop(name, None)
                else:
                    shell.magics_manager.magics[kind][name] = magic
        shell.magics_manager.registry.pop(type(magics).__name__, None)

    return undo


def _without_our_magics(shell: Any) -> str:
    """The cell that loads nbflow, which often imports more, without the lines that are for us."""
    raw: list[str] = getattr(shell.history_manager, "input_hist_raw", None) or [""]
    ours = ("%load_ext nbflow", "%reload_ext nbflow", "%autotask")
    return "\n".join(one for one in raw[-1].splitlines() if not one.strip().startswith(ours))


_sessions: dict[int, Session] = {}


def open_in(shell: Any) -> Session:
    """The session of a shell, a new one if it has none."""
    session = _sessions.get(id(shell))
    if session is None:
        session = _sessions[id(shell)] = Session(shell)
        hosting.take_up(session)
    return session


def close_in(shell: Any) -> None:
    """End the session of a shell, if it has one."""
    session = _sessions.pop(id(shell), None)
    if session is not None:
        hosting.give_up(session)
        session.close()
        wiring.close_if_idle()


def obtained_json() -> str:
    """How the newest cell got its results, as JSON for `nbflow run`; empty: there is none."""
    newest = [session.obtained[-1] for session in _sessions.values() if session.obtained]
    return newest[-1].to_json() if newest else ""


def cell(name: str) -> Callable[[], Any]:
    """A cell that was run with `%%task name`, as a function that runs it again.

    In a `%%flow` cell or a flow it becomes one of the flow's task runs.

    Raises:
        NbflowError: There is none of this name, or this is not a notebook.
    """
    for session in _sessions.values():
        found = session.task_cells.get(name)
        if found is not None:
            return lambda: running.rerun(session, found)
    known = [known for session in _sessions.values() for known in session.task_cells]
    raise NbflowError(
        f"there is no task cell {name!r}; there are: {', '.join(known) or 'none yet'}"
    )
